"""The form of a training: what is asked, what was asked last, and a training told in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import streamlit as st

from workbench.loading import sample_card, sample_names
from workbench.training import FINETUNING
from workbench.ui import bench, run_shelf, session
from workbench.ui.errors import plain
from workbench.ui.i18n import _

if TYPE_CHECKING:
    from workbench.finetune import TrainingRecord
    from workbench.finetune_settings import FineTuneSettings

_SETTINGS, _TEACHER = "finetune", "finetune_teacher"
_DENSE = ""


def ask() -> dict[str, Any]:
    """The widgets, filled with what was asked last."""
    before = _remembered()
    asked = _ask_how_long(before)
    with st.expander(_("More settings"), icon=":material/tune:"):
        asked |= _ask_steps(before)
        asked |= _ask_targets(before)
        asked |= _ask_images(before)
    return asked


def settings_of(values: Mapping[str, Any]) -> FineTuneSettings:
    """What the widgets ask for.

    Raises:
        SettingsError: If a value is out of range.
    """
    from workbench.finetune_settings import FineTuneSettings

    rest = {k: v for k, v in values.items() if k not in ("by", "amount", "teacher")}
    amount = int(values["amount"])
    by_time = values["by"] == "seconds"
    return FineTuneSettings(
        **rest, seconds=float(amount) if by_time else None,
        epochs=FineTuneSettings().epochs if by_time else amount,
    )  # fmt: skip


def teacher_of(values: Mapping[str, Any]) -> dict[str, object] | None:
    """The teacher as a task takes it; None is the dense model."""
    kind, _colon, name = str(values["teacher"]).partition(":")
    if not name or not values["distillation"]:
        return None
    return {kind: int(name) if kind == "run" else name}


def remember(values: Mapping[str, Any], settings: FineTuneSettings) -> None:
    """Keep what was asked, for the next time."""
    session.remember(**{_SETTINGS: settings.to_dict(), _TEACHER: values["teacher"]})


def training_words(training: TrainingRecord) -> str:
    """Schedule and options of a training that is over, in a sentence."""
    settings = training.settings
    words = [_("Schedule: {title}").format(title=FINETUNING[settings.schedule].title)]
    if training.highest_lr:
        words.append(_("highest learning rate {lr}").format(lr=f"{training.highest_lr:.2g}"))
    words += [
        f"{method.title} {getattr(settings, name):g}"
        for name, method in FINETUNING.items()
        if method.factor is None and method.is_on(settings)
    ]
    if settings.distillation:
        words.append(
            _("taught by {teacher} at temperature {temperature}").format(
                teacher=plain(training.teacher) or _("the dense model"),
                temperature=f"{settings.temperature:g}",
            )
        )
    return "; ".join(words) + "."


def _remembered() -> FineTuneSettings:
    from workbench.finetune_settings import FineTuneSettings

    kept = session.setting(_SETTINGS)
    return FineTuneSettings.from_dict(kept) if kept else FineTuneSettings()


def _ask_how_long(before: FineTuneSettings) -> dict[str, Any]:
    from workbench.finetune_settings import OPTIMIZERS

    optimizers = list(OPTIMIZERS)
    by = {"epochs": _("Epochs"), "seconds": _("Seconds")}
    first = st.columns(4)
    return {
        "by": first[0].segmented_control(
            _("Train for"), list(by), format_func=by.__getitem__, required=True,
            default="epochs" if before.seconds is None else "seconds",
            help=_("An epoch is one pass over the training images."),
        ),
        "amount": first[1].number_input(
            _("How many"), 1, 10_000, int(before.seconds or before.epochs),
            help=_("Epochs or seconds, as chosen beside it."),
        ),
        "optimizer": first[2].selectbox(
            _("Optimiser"), optimizers, optimizers.index(before.optimizer),
            help="\n\n".join(f"**{name}**: {text}" for name, text in OPTIMIZERS.items()),
        ),
        "lr": first[3].number_input(
            _("Learning rate"), 0.0, 10.0, before.lr, format="%.4f", placeholder=_("automatic"),
            help=_(
                "The highest one; empty takes the optimiser's usual one, a tenth of it after a "
                "full repair, which large steps would undo first, and less with distillation at a "
                "high temperature, which makes steps larger."
            ),
        ),
    }  # fmt: skip


def _ask_steps(before: FineTuneSettings) -> dict[str, Any]:
    """How the weights are moved."""
    from workbench.finetune_settings import SCHEDULES

    schedules = list(SCHEDULES)
    st.markdown(_("**Steps**"))
    row = st.columns([2, 1, 1, 1, 1, 1], vertical_alignment="bottom")
    return {
        "schedule": row[0].selectbox(
            _("Schedule"), schedules, schedules.index(before.schedule),
            format_func=lambda name: FINETUNING[name].title,
            help="\n\n".join(
                f"**{FINETUNING[name].title}**: {FINETUNING[name].summary}" for name in schedules
            ),
        ),
        "cycles": row[1].number_input(
            _("Cycles"), 1, 100, before.cycles,
            help=_("Cosines of the schedule with restarts; the others take no notice of it."),
        ),
        "rewind": row[2].number_input(
            _("Rewind"), 0.01, 1.0, before.rewind, step=0.05, placeholder=_("automatic"),
            help=_(
                "Part of the original training that learning-rate rewinding retraces; empty takes "
                "as many epochs as are trained, or 0.3 where its length is not known."
            ),
        ),
        "batch_size": row[3].number_input(
            _("Batch size"), 2, 8192, before.batch_size, help=_("Images in a step.")
        ),
        "weight_decay": row[4].number_input(
            _("Weight decay"), 0.0, 1.0, before.weight_decay, format="%.5f",
            help=_("Pull of every weight towards zero."),
        ),
        "seed": row[5].number_input(
            _("Seed"), 0, 2**31 - 1, before.seed, help=_("Decides everything random.")
        ),
    }  # fmt: skip


def _ask_targets(before: FineTuneSettings) -> dict[str, Any]:
    """What the network is asked for: labels, softened or not, and a teacher's answers."""
    teachers = _teachers()
    kept = session.setting(_TEACHER)
    st.markdown(_("**Targets**"))
    row = st.columns([1, 1, 2, 1, 1], vertical_alignment="bottom")
    return {
        "distillation": row[0].number_input(
            _("Distillation"), 0.0, 1.0, before.distillation, step=0.1,
            help=_("{what} This is the weight of those answers; 0 is off, 0.7 is usual.").format(
                what=FINETUNING["distillation"].summary
            ),
        ),
        "temperature": row[1].number_input(
            _("Temperature"), 1.0, 100.0, before.temperature, step=1.0,
            help=_(
                "Softens the answers of teacher and student before they are compared, so that "
                "small probabilities count; 4 is usual."
            ),
        ),
        "teacher": row[2].selectbox(
            _("Teacher"), list(teachers),
            list(teachers).index(kept) if kept in teachers else 0,
            format_func=lambda key: teachers.get(key, key),
            help=_(
                "Whose answers are learnt where distillation is on: the dense model, a sample or "
                "a run of the same data."
            ),
        ),
        "label_smoothing": row[3].number_input(
            _("Label smoothing"), 0.0, 0.9, before.label_smoothing, step=0.05,
            help=_("{what} 0 is off, 0.1 is usual.").format(
                what=FINETUNING["label_smoothing"].summary
            ),
        ),
        "keep_signs": row[4].number_input(
            _("Sign keeping"), 0.0, 100.0, before.keep_signs, step=0.01, format="%.4g",
            help=_(
                "{what} Where no weight is shared, all are watched. This is its strength; 0 is "
                "off, 0.01 is usual."
            ).format(what=FINETUNING["keep_signs"].summary),
        ),
    }  # fmt: skip


def _teachers() -> dict[str, str]:
    """Who can teach, as the widget's value and in words."""
    data = session.workspace().data_ref
    found = {_DENSE: _("The dense model")}
    if data is None:
        return found
    model = session.model_ref()
    for name in sample_names():
        same = data.sample and sample_card(name).get("data_name") == data.sample
        if same and name != model.sample:
            found[f"sample:{name}"] = name
    for one in reversed(run_shelf.everything()):
        if bench.key_of(one.stored.data_ref) == bench.key_of(data):
            found[f"run:{one.number}"] = one.title
    return found


def _ask_images(before: FineTuneSettings) -> dict[str, Any]:
    """What is done to training images."""
    st.markdown(_("**Training images**"))
    row = st.columns(4, vertical_alignment="bottom")
    return {
        "shift": row[0].number_input(
            _("Shift, pixels"), 0, 8, before.shift,
            help=_("Training images are moved at random by up to so many pixels."),
        ),
        "gaussian_noise": row[1].number_input(
            _("Gaussian noise"), 0.0, 1.0, before.gaussian_noise, step=0.05,
            help=_(
                "{what} This is its standard deviation, as a part of the way from black to white; "
                "0 is off, 0.1 is usual."
            ).format(what=FINETUNING["gaussian_noise"].summary),
        ),
        "salt_and_pepper": row[2].number_input(
            _("Salt and pepper"), 0.0, 1.0, before.salt_and_pepper, step=0.05,
            help=_("{what} This is the part of the pixels; 0 is off, 0.05 is usual.").format(
                what=FINETUNING["salt_and_pepper"].summary
            ),
        ),
        "flip": row[3].checkbox(
            _("Mirror images"), before.flip, help=_("Half of them, left to right.")
        ),
    }  # fmt: skip
