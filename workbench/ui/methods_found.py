"""What a trial of a method found: who did better, the numbers, and the way to use it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from workbench.ui import bench, plan_panels, session
from workbench.ui.errors import callback, plain
from workbench.ui.i18n import _
from workbench.ui.links import link_to
from workbench.ui.theme import percent

if TYPE_CHECKING:
    from workbench.paired import Proportion
    from workbench.trying import Side, Trial, TryingSettings

_TAKEN = "method_plan_taken"
_CHANCE = 0.05


def in_seconds(value: float) -> str:
    """Seconds with two digits, without their unit."""
    return _("under 0.01") if value < 0.01 else f"{value:.2g}" if value < 10 else f"{value:.0f}"


def data_digest() -> str:
    """Names the data on the bench by their content."""
    return bench.data(session.data_ref()).digest


def method_title(family: str, name: str) -> str:
    """What a page calls a method, or training without any option."""
    from workbench.catalogue import methods_of

    if name == "once":
        return _("magnitude, cut at once")
    if family == "finetuning" and name not in methods_of(family):
        return _("plain fine-tuning")
    return methods_of(family)[name].title


def asked_words(settings: TryingSettings) -> str:
    """What will be tried, in words."""
    what = _("weights") if settings.granularity == "weight" else _("channels")
    words = _("{part} of the {what}, up to {samples:,} validation images").format(
        part=percent(settings.level, 0), what=what, samples=settings.num_samples
    )
    if settings.family in ("schedule", "sparse_training", "finetuning"):
        words += _(", {shown:,} training images shown to each").format(shown=settings.shown)
    if settings.family in ("schedule", "sparse_training"):
        words += " " + _("(a short trial: what makes zeros while it trains needs many more)")
    return words


def show_found(settings: TryingSettings) -> None:
    """What a trial found, under the present settings or the last ones."""
    found = _kept_trial(settings)
    if found is None:
        return
    trial, fits = found
    if not fits:
        st.caption(
            _("Tried before with {asked}:").format(asked=asked_words(trial.settings)),
        )
    st.markdown(verdict(trial))
    st.table(_table(trial), hide_index=True, border="horizontal")
    for note in (*trial.own.notes, *trial.rival.notes):
        st.caption(plain(note))
    _offer_use(trial)


def _kept_trial(settings: TryingSettings) -> tuple[Trial, bool] | None:
    """The kept trial of a method and whether it is of these settings; the newest otherwise."""
    from workbench.trying import Trial, trial_key

    digests = session.require_model().digest, data_digest()
    kept: Mapping[str, Any] = session.setting("method_trials", {})
    key = trial_key(*digests, settings)
    if key in kept:
        return Trial.from_dict(kept[key]), True
    for values in reversed([*kept.values()]):
        asked = values["settings"]
        if (values["model"], values["data"]) == digests and (
            (asked["family"], asked["method"]) == (settings.family, settings.method)
        ):
            return Trial.from_dict(values), False
    return None


def timed_in_trial(family: str, name: str, granularity: str) -> str:
    """The seconds that a method took in its newest trial; empty where there is none."""
    from workbench.trying import Trial

    step, words = {
        "repair": ("repaired", _("{seconds} for a repair")),
        "criterion": ("plan", _("{seconds} to choose what goes")),
        "allocation": ("plan", _("{seconds} for a plan")),
    }.get(family, ("finetuned", _("{seconds} for {shown:,} training images")))
    digests = session.require_model().digest, data_digest()
    kept: Mapping[str, Any] = session.setting("method_trials", {})
    for values in reversed([*kept.values()]):
        asked = values["settings"]
        if (values["model"], values["data"]) != digests or (
            (asked["family"], asked["granularity"]) != (family, granularity)
        ):
            continue
        trial = Trial.from_dict(values)
        for side in (trial.own, trial.rival):
            if side.method == name and step in side.seconds:
                return words.format(
                    seconds=in_seconds(side.seconds[step]), shown=trial.settings.shown
                )
    return ""


def verdict(trial: Trial) -> str:
    """Who did better at the last step, and whether that can be told from chance."""
    from workbench.trying import STEPS

    step = next(name for name in reversed(STEPS) if name in trial.compared)
    found, settings = trial.compared[step], trial.settings
    own = plain(method_title(settings.family, settings.method))
    rival = plain(method_title(settings.family, settings.rival))
    points = _("{points} points (95 % interval {low} to {high})").format(
        points=f"{100 * abs(found.difference):.1f}",
        low=_signed(found.ci_low), high=_signed(found.ci_high),
    )  # fmt: skip
    when = {
        "pruned": _("right after the cut"),
        "repaired": _("after repair"),
        "finetuned": _("after training"),
    }[step]
    if found.p_value > _CHANCE:
        alike = _("**{own}** and {rival} cannot be told apart {when}: they differ by {points}.")
        return alike.format(own=own, rival=rival, when=when, points=points)
    better = _("better") if found.difference > 0 else _("worse")
    return _("**{own}** is {better} than {rival} {when}, by {points}.").format(
        own=own, better=better, rival=rival, when=when, points=points
    )


def _signed(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "−")


def _table(trial: Trial) -> pd.DataFrame:
    """A row for the method, its rival and the dense model."""
    steps = {
        "pruned": _("Raw"),
        "repaired": _("Repaired"),
        "finetuned": _("Fine-tuned"),
    }
    shown = {
        name: title
        for name, title in steps.items()
        if name in trial.own.steps or name in trial.rival.steps
    }
    rows = [
        {_("Method"): plain(method_title(trial.settings.family, side.method))}
        | {title: _accuracy(side.steps.get(name)) for name, title in shown.items()}
        | {_("Seconds"): _times(side)}
        for side in (trial.own, trial.rival)
    ]
    dense = dict.fromkeys(shown.values(), "")
    dense[next(iter(shown.values()))] = _accuracy(trial.dense)
    rows.append({_("Method"): _("Dense model")} | dense | {_("Seconds"): ""})
    return pd.DataFrame(rows)


def _accuracy(found: Proportion | None) -> str:
    if found is None:
        return ""
    return _("{accuracy} ({low}–{high})").format(
        accuracy=percent(found.accuracy), low=f"{100 * found.ci_low:.1f}",
        high=f"{100 * found.ci_high:.1f}",
    )  # fmt: skip


def _times(side: Side) -> str:
    words = {
        "plan": _("choosing {seconds}"),
        "repaired": _("repair {seconds}"),
        "finetuned": _("training {seconds}"),
    }
    return ", ".join(
        words[name].format(seconds=in_seconds(value)) for name, value in side.seconds.items()
    )


def _offer_use(trial: Trial) -> None:
    """Take what was tried to where it is used."""
    settings = trial.settings
    key = f"use_{settings.family}_{settings.method}"
    if settings.family in ("schedule", "sparse_training"):
        st.button(
            _("Train with it in full"), icon=":material/grain:", key=key,
            on_click=callback(partial(_use_sparse, settings)),
            help=_("Chooses it on the page of sparse training."),
        )  # fmt: skip
    elif settings.family == "finetuning":
        st.button(
            _("Use it in fine-tuning"), icon=":material/model_training:", key=key,
            on_click=callback(partial(_use_option, settings.method)),
            help=_("Sets it on the fine-tuning page, with its usual values."),
        )  # fmt: skip
    elif settings.family in ("criterion", "allocation"):
        st.button(
            _("Use it in the plan"), icon=":material/equalizer:", key=key,
            on_click=callback(partial(_use_plan, trial)),
            help=_("Puts the plan that was tried on the plan page; undo there brings the former "
                   "plan back."),
        )  # fmt: skip
    if st.session_state.get(_TAKEN) == key:
        del st.session_state[_TAKEN]
        if settings.family in ("schedule", "sparse_training"):
            st.success(_("It is chosen for sparse training."), icon=":material/check_circle:")
            link_to("sparse", _("Open sparse training"), "grain")
        elif settings.family == "finetuning":
            st.success(_("It is set on the fine-tuning page."), icon=":material/check_circle:")
            link_to("finetune", _("Open fine-tuning"), "content_cut")
        else:
            st.success(_("The plan is on the plan page."), icon=":material/check_circle:")
            link_to("plan", _("Open the plan"), "equalizer")


def _use_plan(trial: Trial) -> None:
    plan_panels.put_plan(trial.own.plan)
    st.session_state[_TAKEN] = f"use_{trial.settings.family}_{trial.settings.method}"


def _use_option(name: str) -> None:
    from workbench.finetune_settings import FineTuneSettings
    from workbench.training import FINETUNING

    kept = session.setting("finetune") or FineTuneSettings().to_dict()
    changed = FineTuneSettings.from_dict({**kept, **FINETUNING[name].settings})
    session.remember(finetune=changed.to_dict())
    st.session_state[_TAKEN] = f"use_finetuning_{name}"


def _use_sparse(settings: TryingSettings) -> None:
    """Choose a method on the page of sparse training, whatever was chosen there before."""
    kind = "schedule" if settings.family == "schedule" else "penalty"
    for widget in ("family", f"method_{kind}", f"granularity_{settings.method}"):
        st.session_state.pop(f"sparse_{widget}", None)
    before = session.setting("sparse_training") or {}
    session.remember(sparse_training={**before, "last": settings.method})
    st.session_state[_TAKEN] = f"use_{settings.family}_{settings.method}"
