"""What an arena is asked: who competes, at which budgets, measured how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

from workbench.errors import SettingsError
from workbench.granularity import parse_granularity
from workbench.ui import arena_shelf, curve_shelf, latency_shelf, plan_limits, plan_state, session
from workbench.ui.criterion_choice import (
    criterion_help,
    criterion_names,
    criterion_title,
    usual_criterion,
)
from workbench.ui.errors import callback, guard, plain
from workbench.ui.granularity_choice import granularity_names, granularity_title
from workbench.ui.i18n import _
from workbench.ui.job_panel import is_active, start_job
from workbench.ui.methods_links import explain_methods
from workbench.ui.repair_choice import repair_names, usual_repair
from workbench.ui.words import explain

if TYPE_CHECKING:
    from workbench.arena import ArenaSettings

KIND = "arena"
_SETTINGS = "arena"


def show_form() -> None:
    """The settings and the button that begins, folded away while the page shows a result."""
    with st.expander(_("Run with other settings"), icon=":material/tune:"):
        granularity = _ask_granularity()
        before = remembered(granularity)
        with st.form("arena", border=False):
            values = _ask(before)
            sent = st.form_submit_button(
                _("Run"), icon=":material/play_arrow:", disabled=is_active(KIND)
            )
        if sent:
            with guard():
                start(_settings(values | {"granularity": granularity}, before))
                st.rerun()


def unit_titles() -> dict[str, str]:
    """What a budget counts, and what an axis shows."""
    return {
        "params": _("Parameters"),
        "macs": _("MACs"),
        "bytes": _("Bytes"),
        "latency": _("Latency"),
    }


def offer_first(busy: bool) -> None:
    """What to do where nothing has competed yet."""
    plan = session.plan()
    settings = remembered(plan.granularity)
    mine = any(plan.sparsities.values())
    st.info(
        _("Nobody has competed yet. Budgets of {factors} in {unit}, {granularity}{own}.").format(
            factors=", ".join(f"{factor:g}×" for factor in settings.factors),
            unit=_unit_words()[settings.unit],
            granularity=plain(granularity_title(settings.granularity).lower()),
            own=_("; your plan takes part") if mine else "",
        ),
        icon=":material/stadium:",
    )
    st.button(
        _("Run the arena"), type="primary", icon=":material/play_arrow:", disabled=busy,
        on_click=callback(_start_for_plan),
    )  # fmt: skip


def _unit_words() -> dict[str, str]:
    return {
        "params": _("non-zero parameters"),
        "macs": _("MACs"),
        "bytes": _("stored bytes"),
        "latency": _("measured latency"),
    }


def _start_for_plan() -> None:
    plan = session.plan()
    own = plan if any(plan.sparsities.values()) else None
    settings = remembered(plan.granularity).to_dict()
    changes = {
        "criterion": plan.criterion,
        "channel_multiple": plan.channel_multiple,
        "seed": plan.seed,
        "own": own and own.to_dict(),
    } | _limits(plan.granularity)
    start(_from_dict(settings | changes))


def _limits(granularity: str) -> dict[str, Any]:
    """What the person keeps the allocations from: the plan page's locks and bounds."""
    plan = session.plan()
    if granularity != plan.granularity:
        return {"protected": None, "locked": {}, "bounds": {}}
    held = plan_limits.held(granularity)
    return {
        "protected": [*plan_state.protected(granularity)],
        "locked": {name: plan.sparsities.get(name, 0.0) for name in held},
        "bounds": plan_limits.bounds(granularity),
    }


def start(settings: ArenaSettings) -> None:
    """Begin or resume; what was measured before comes at once."""
    session.require_data()
    session.remember(**{_SETTINGS: settings.to_dict() | {"own": None}})
    arena_shelf.expect(settings)
    start_job(
        KIND, _("Arena"),
        session.job_request(settings=settings.to_dict(), curves=[*curve_shelf.shelf()]),
    )  # fmt: skip


def remembered(granularity: str) -> ArenaSettings:
    """What was asked last at a granularity, or a good beginning."""
    kept = session.setting(_SETTINGS)
    if kept and kept.get("granularity") == granularity:
        return _from_dict(kept | {"repair": usual_repair(kept["repair"])})
    structured = parse_granularity(granularity).structured
    return _from_dict({
        "granularity": granularity, "unit": "macs" if structured else "params",
        "repair": usual_repair(), "repair_samples": 500,
    })  # fmt: skip


def _from_dict(values: Mapping[str, Any]) -> ArenaSettings:
    from workbench.arena import ArenaSettings

    return ArenaSettings.from_dict(values)


def _ask_granularity() -> str:
    """What goes together; the plan's until another is chosen."""
    planned = session.plan().granularity
    names = granularity_names(planned)
    granularity = st.selectbox(
        _("Granularity"), names, names.index(planned), format_func=granularity_title,
        key=f"arena_granularity_{planned}", persist_state="session", help=explain("granularity"),
    )  # fmt: skip
    return str(granularity)


def _ask(before: ArenaSettings) -> dict[str, Any]:
    """The widgets, filled with what was asked last."""
    from workbench.arena import UNITS
    from workbench.repair import REPAIRS

    timed = parse_granularity(before.granularity).structured and latency_shelf.table() is not None
    units = [unit for unit in UNITS if timed or unit != "latency"]
    repairs = repair_names()
    first = st.columns([1, 1.4, 1, 1], vertical_alignment="bottom")
    asked: dict[str, Any] = {
        "unit": first[0].selectbox(
            _("Budget counts"), units, units.index(before.unit) if before.unit in units else 0,
            format_func=unit_titles().__getitem__,
            help=_("Who wins depends on it; the chart can be switched to any other. Latency is "
                   "here once the groups were timed, on the plan page."),
        ),
        "factors": first[1].text_input(
            _("Budgets, times smaller"), ", ".join(f"{factor:g}" for factor in before.factors),
            help=_("A budget of 4 keeps at most a quarter of the dense model."),
        ),
        "repair": first[2].selectbox(
            _("Repair"), repairs, repairs.index(before.repair),
            format_func=lambda name: REPAIRS[name].title, help=explain_methods("repair", "repair"),
        ),
        "epochs": first[3].number_input(
            _("Fine-tuning, epochs"), 0, 100, before.finetune.epochs if before.finetune else 0,
            help=_("Trains every competitor for so long after the repair; 0 trains none."),
        ),
    }  # fmt: skip
    return asked | _ask_who(before) | _ask_how(before)


def _ask_who(before: ArenaSettings) -> dict[str, Any]:
    """Who takes part."""
    from workbench.allocation import ALLOCATIONS
    from workbench.arena import MAX_REFINE

    plan = session.plan()
    fits = plan.granularity == before.granularity and any(plan.sparsities.values())
    second = st.columns([2.6, 1, 1.1], vertical_alignment="bottom")
    return {
        "methods": second[0].multiselect(
            _("Allocations"), list(ALLOCATIONS), list(before.methods),
            format_func=lambda name: ALLOCATIONS[name].title, placeholder=_("All of them"),
            help=explain_methods("allocation", "allocation") + " " + _("Empty lets all compete."),
        ),
        "refine": second[1].number_input(
            _("Refining, plans"), 0, MAX_REFINE, before.refine,
            help=_("The optimal plan, bettered by measured exchanges between two layers, competes "
                   "as well: so many plans are measured for it at every budget. 0 leaves it out."),
        ),
        "own": second[2].checkbox(
            _("Your plan, too"), fits, disabled=not fits,
            help=_("Its own size becomes a budget for all; at the others it is scaled: every "
                   "layer's kept part raised to the same power.")
            if fits
            else _("The plan is empty, or of another granularity."),
        ),
    }  # fmt: skip


def _ask_how(before: ArenaSettings) -> dict[str, Any]:
    """How everybody is ranked and measured."""
    granularity = before.granularity
    criteria = criterion_names(granularity)
    criterion = usual_criterion(granularity, session.plan().criterion)
    third = st.columns([1.4, 1, 1, 1, 1.2], vertical_alignment="bottom")
    return {
        "criterion": third[0].selectbox(
            _("Criterion"), criteria, criteria.index(criterion), format_func=criterion_title,
            key=f"arena_criterion_{granularity}_{criterion}", help=criterion_help(criterion),
        ),
        "num_samples": third[1].number_input(
            _("Validation images"), 50, 10_000, before.num_samples, 50,
            help=_("More images give narrower intervals and take longer."),
        ),
        "repair_samples": third[2].number_input(
            _("Calibration images"), 50, 10_000, before.repair_samples, 50,
            help=_("For the repair: more repair better and take longer."),
        ),
        "seed": third[3].number_input(
            _("Seed"), 0, 2**31 - 1, before.seed, help=_("Decides everything random.")
        ),
        "timed": third[4].checkbox(
            _("Time every model"), before.timed,
            help=_("Beside the dense one, in turns, in PyTorch on one thread."),
        ),
    }  # fmt: skip


def _settings(values: Mapping[str, Any], before: ArenaSettings) -> ArenaSettings:
    epochs, plan = int(values["epochs"]), session.plan()
    finetune = None
    if epochs:
        finetune = (before.finetune.to_dict() if before.finetune else {}) | {"epochs": epochs}
    structured = parse_granularity(values["granularity"]).structured
    numbers = {key: int(values[key]) for key in ("num_samples", "repair_samples", "seed", "refine")}
    return _from_dict({
        **{key: values[key] for key in ("granularity", "unit", "repair", "criterion", "timed")},
        **numbers, "factors": read_factors(str(values["factors"])),
        "methods": list(values["methods"]), "finetune": finetune,
        "own": plan.to_dict() if values["own"] else None,
        "channel_multiple": plan.channel_multiple if structured else 1,
        **_limits(str(values["granularity"])),
    })  # fmt: skip


def read_factors(text: str) -> tuple[float, ...]:
    """Factors with commas or spaces between them, with or without a sign of multiplication.

    Raises:
        SettingsError: If one is no number.
    """
    words = text.replace("×", " ").replace("x", " ").replace(",", " ").split()
    try:
        return tuple(float(word) for word in words)
    except ValueError:
        raise SettingsError(
            _("The budgets {text!r} are not all numbers.").format(text=text),
            _("Write factors with commas between them, such as 2, 4, 8, 16."),
        ) from None
