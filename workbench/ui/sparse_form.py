"""What a sparse training is asked: method, strength, target, and how it trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

from workbench.errors import SettingsError
from workbench.ui import bench, session
from workbench.ui.errors import plain
from workbench.ui.granularity_choice import granularity_title
from workbench.ui.i18n import _

if TYPE_CHECKING:
    from workbench.finetune_settings import FineTuneSettings
    from workbench.sparse_training import SparseMethod, SparseTrainingSettings

_SETTINGS = "sparse_training"
BATCH_SIZE = 128


def ask_method() -> tuple[SparseMethod, str]:
    """Family, method and granularity, chosen outside the form because it follows from them."""
    from workbench.sparse_training import SCHEDULES, SPARSE_METHODS

    families = {"penalty": _("Penalties"), "schedule": _("Schedules")}
    members = {"penalty": SPARSE_METHODS, "schedule": SCHEDULES}
    before = session.setting(_SETTINGS) or {}
    last = str(before.get("last", "l1"))
    kind = "schedule" if last in SCHEDULES else "penalty"
    first = st.columns([1.1, 1.6, 1.1], vertical_alignment="bottom")
    family = first[0].segmented_control(
        _("Family"), list(families), format_func=families.__getitem__, default=kind,
        required=True, key="sparse_family", persist_state="session",
        help=_("Penalties add a term to the loss that asks for zeros; schedules cut a little "
               "more in every step of the training."),
    )  # fmt: skip
    methods = members[str(family)]
    names = sorted(methods, key=lambda name: methods[name].title.lower())
    name = first[1].selectbox(
        _("Method"), names, names.index(last) if last in names else 0,
        format_func=lambda one: methods[one].title, key=f"sparse_method_{family}",
        persist_state="session", help=_("How zeros are made while the network trains."),
    )  # fmt: skip
    method = methods[str(name)]
    granularity = first[2].selectbox(
        _("Granularity"), method.granularities, format_func=granularity_title,
        key=f"sparse_granularity_{name}", persist_state="session",
        disabled=len(method.granularities) == 1,
        help=_("Single weights become zero, or whole channels, neurons and heads go."),
    )  # fmt: skip
    st.caption(plain(method.summary))
    with st.expander(_("How it works"), icon=":material/school:"):
        _explain(method)
    return method, str(granularity)


def _explain(method: SparseMethod) -> None:
    st.write(plain(method.explanation))
    if method.formula:
        st.latex(method.formula)
    st.markdown(f"**{_('Strengths')}** · {plain(method.strengths)}")
    st.markdown(f"**{_('Limits')}** · {plain(method.limits)}")
    st.caption(plain(method.paper))


def ask(method: SparseMethod, granularity: str) -> dict[str, Any]:
    """The widgets of the form, filled with what was asked of this method last."""
    before = _remembered(method.name)
    asked = _ask_goal(method, granularity, before)
    asked |= _ask_own(method, before)
    asked |= _ask_training(before)
    with st.expander(_("More settings"), icon=":material/tune:"):
        asked |= _ask_more(method, before)
    return asked


def _ask_goal(method: SparseMethod, granularity: str, before: Mapping[str, Any]) -> dict[str, Any]:
    """Strength and target."""
    columns = st.columns(4, vertical_alignment="bottom")
    place_of_target = columns[0 if method.strength is None else 2]
    asked: dict[str, Any] = {}
    if method.strength is not None:
        asked["strength"] = columns[0].number_input(
            _("Strength"), 0.0, 1e6, float(before.get("strength") or method.strength),
            format="%g", step=method.strength,
            help=method.strength_help + " " + _("More strength makes more zeros."),
        )  # fmt: skip
        asked["strengths"] = columns[1].text_input(
            _("Or try several"), str(before.get("strengths_text", "")),
            placeholder=_("such as 1e-4, 3e-4, 1e-3"),
            help=_("Strengths with commas between them: each is trained in turn, becomes a run and "
                   "a point of the chart. They take the place of the strength on the left. Do not "
                   "aim at a target to see what each makes by itself."),
        )  # fmt: skip
    usual = method.usual_target(granularity)
    same = before.get("granularity", granularity) == granularity
    titles = {"weight": _("Target sparsity, %"), "channel": _("Target pruning ratio, %")}
    asked["target"] = (
        place_of_target.number_input(
            titles[granularity], 1.0, 99.9, 100 * float((same and before.get("target")) or usual),
            step=1.0, format="%.1f", key=f"sparse_target_{method.name}_{granularity}",
            help=_("Part of the weights or channels that may be cut which is to go.")
            if method.needs_target
            else _("At this part of zeros the penalty stops and its zeros are held; what is "
                   "missing late in the training goes by rank."),
        )
        / 100
    )  # fmt: skip
    if not method.needs_target:
        asked["aims"] = columns[3].checkbox(
            _("Aim at the target"), bool(before.get("aims", True)),
            key=f"sparse_aims_{method.name}",
            help=_("Off lets the penalty alone decide how many zeros come out: in a short "
                   "training few, with a strength that is too high nearly all."),
        )  # fmt: skip
        st.caption(_("Without a target the penalty alone decides; a short training then makes few "
                     "zeros."))  # fmt: skip
    return asked


def _ask_own(method: SparseMethod, before: Mapping[str, Any]) -> dict[str, Any]:
    """What this method alone asks."""
    widgets: dict[str, Any] = {
        "mix": lambda place: place.slider(
            _("L1 part"), 0.0, 1.0, float(before.get("mix", 0.5)), 0.05,
            help=_("1 is L1 alone, 0 is L2 alone."),
        ),
        "ramp": lambda place: place.slider(
            _("Ramp"), 0.1, 1.0, float(before.get("ramp", 0.6)), 0.05,
            help=_("Part of the training in which it grows; the rest repairs."),
        ),
        "step": lambda place: place.number_input(
            _("Step"), 0.01, 0.9, float(before.get("step", 0.1)), 0.05, format="%.2f",
            help=_("Sparsity that is added each time; past 80 % at most half of what is left."),
        ),
        "max_loss": lambda place: place.number_input(
            _("Accuracy to lose, points"), 0.0, 50.0, 100 * float(before.get("max_loss", 0.01)),
            0.5, format="%.1f",
            help=_("The floor lies so far below the validation accuracy at the beginning."),
        ),
        "rounds": lambda place: place.number_input(
            _("Rounds"), 1, 50, int(before.get("rounds", 3)),
            help=_("Trainings, each after a cut and a rewind."),
        ),
        "rewind_epochs": lambda place: place.number_input(
            _("Rewind to epoch"), 0, 1000, int(before.get("rewind_epochs", 1)),
            help=_("The weights go back to where they were so long after the beginning; 0 goes "
                   "back to the very first."),
        ),
    }  # fmt: skip
    own = [name for name in method.options if name in widgets]
    if not own:
        return {}
    columns = st.columns(4, vertical_alignment="bottom")
    asked = {name: widgets[name](place) for name, place in zip(own, columns, strict=False)}
    if "max_loss" in asked:
        asked["max_loss"] = asked["max_loss"] / 100
    return asked


def _ask_training(before: Mapping[str, Any]) -> dict[str, Any]:
    """How long and how fast."""
    by = {"epochs": _("Epochs"), "seconds": _("Seconds")}
    columns = st.columns(4, vertical_alignment="bottom")
    return {
        "by": columns[0].segmented_control(
            _("Train for"), list(by), format_func=by.__getitem__, required=True,
            default=before.get("by", "epochs"),
            help=_("An epoch is one pass over the training images."),
        ),
        "amount": columns[1].number_input(
            _("How many"), 1, 10_000, int(before.get("amount", _usual_epochs())),
            help=_("Epochs or seconds; of methods that train several times, for each training. "
                   "With few images many epochs are usual: weights need some hundred steps."),
        ),
        "lr": columns[2].number_input(
            _("Learning rate"), 0.0, 10.0, before.get("lr"), format="%.4f",
            placeholder=_("automatic"),
            help=_("The highest one; empty takes the optimiser's usual one. Proximal steps of "
                   "penalties follow it."),
        ),
        "finetune_epochs": columns[3].number_input(
            _("Fine-tune after, epochs"), 0, 1000, int(before.get("finetune_epochs", 2)),
            help=_("Training on afterwards without penalty, zeros held; 0 leaves it out."),
        ),
    }  # fmt: skip


def _usual_epochs() -> int:
    from workbench.sparse_training.settings import usual_epochs

    return usual_epochs(bench.data(session.data_ref()), BATCH_SIZE)


def _ask_more(method: SparseMethod, before: Mapping[str, Any]) -> dict[str, Any]:
    """What rarely changes."""
    from workbench.finetune_settings import OPTIMIZERS

    optimizers = list(OPTIMIZERS)
    first = st.columns(4, vertical_alignment="bottom")
    asked: dict[str, Any] = {
        "optimizer": first[0].selectbox(
            _("Optimiser"), optimizers, optimizers.index(before.get("optimizer", "sgd")),
            help="\n\n".join(f"**{name}**: {text}" for name, text in OPTIMIZERS.items()),
        ),
        "batch_size": first[1].number_input(
            _("Batch size"), 2, 8192, int(before.get("batch_size", BATCH_SIZE)),
            help=_("Images in a step."),
        ),
        "distillation": first[2].number_input(
            _("Distillation"), 0.0, 1.0, float(before.get("distillation", 0.0)), 0.1,
            help=_("Weight of the dense model's answers in the loss; the labels have the rest."),
        ),
        "seed": first[3].number_input(
            _("Seed"), 0, 2**31 - 1, int(before.get("seed", 0)),
            help=_("Decides everything random."),
        ),
    }  # fmt: skip
    second = st.columns(4, vertical_alignment="bottom")
    asked |= {
        "shift": second[0].number_input(
            _("Shift, pixels"), 0, 8, int(before.get("shift", 1)),
            help=_("Training images are moved at random by up to so many pixels."),
        ),
        "freeze": second[1].text_input(
            _("Freeze layers"), str(before.get("freeze", "")),
            placeholder=_("the classifier"),
            help=_("Names or patterns with commas between them, such as conv1, stages.0.*; what "
                   "fits stays dense. Empty keeps the classifier dense."),
        ),
        "flip": second[2].checkbox(
            _("Mirror images"), bool(before.get("flip", False)),
            help=_("Half of them, left to right."),
        ),
    }  # fmt: skip
    if "from_scratch" in method.options:
        asked["from_scratch"] = second[3].checkbox(
            _("From new weights"),
            bool(before.get("from_scratch", False)),
            help=_("Begins with newly drawn weights instead of the trained ones."),
        )
    return asked


def settings_of(
    method: SparseMethod, granularity: str, values: Mapping[str, Any]
) -> tuple[SparseTrainingSettings, tuple[float, ...], FineTuneSettings | None]:
    """Settings, strengths to try in turn (none takes that of the settings), and fine-tuning.

    Raises:
        SettingsError: If a value cannot be read or is out of range.
    """
    from workbench.finetune_settings import FineTuneSettings
    from workbench.sparse_training import SparseTrainingSettings
    from workbench.sparse_training.settings import NO_TARGET

    amount, by_time = int(values["amount"]), values["by"] == "seconds"
    kept = ("optimizer", "batch_size", "distillation", "seed", "shift", "flip", "lr")
    common = {name: values[name] for name in kept}
    training = FineTuneSettings(
        **common, seconds=float(amount) if by_time else None, epochs=5 if by_time else amount
    )
    own = {name: values[name] for name in method.options if name in values}
    patterns = tuple(word.strip() for word in values["freeze"].split(",") if word.strip())
    target = values["target"] if values.get("aims", True) else NO_TARGET
    settings = SparseTrainingSettings(
        method=method.name, granularity=granularity,
        target=target, freeze=patterns or None, training=training, **own,
    )  # fmt: skip
    after = int(values["finetune_epochs"])
    finetune = FineTuneSettings(**common, epochs=after) if after else None
    return settings, read_strengths(str(values.get("strengths", ""))), finetune


def read_strengths(text: str) -> tuple[float, ...]:
    """Strengths with commas or spaces between them.

    Raises:
        SettingsError: If one is no number.
    """
    try:
        return tuple(float(word) for word in text.replace(",", " ").split())
    except ValueError:
        raise SettingsError(
            _("The strengths {text!r} are not all numbers.").format(text=text),
            _("Write them with commas between them, such as 1e-4, 3e-4, 1e-3."),
        ) from None


def remember(method: SparseMethod, granularity: str, values: Mapping[str, Any]) -> None:
    """Keep what was asked of the method, for the next time."""
    before = session.setting(_SETTINGS) or {}
    kept = {**values, "strengths_text": values.get("strengths", ""), "granularity": granularity}
    session.remember(**{_SETTINGS: {**before, "last": method.name, method.name: kept}})


def _remembered(name: str) -> Mapping[str, Any]:
    kept: Any = (session.setting(_SETTINGS) or {}).get(name)
    return kept if isinstance(kept, Mapping) else {}
