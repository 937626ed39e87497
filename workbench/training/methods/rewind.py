"""Learning-rate rewinding: the end of the original training once more."""

from workbench.training.method import Course, FineTuning
from workbench.training.methods.one_cycle import one_cycle

PEAK = 0.2
"""Where the samples' own training had its highest learning rate (``sample_models/train.py``)."""


def rewind_factor(part: float, course: Course) -> float:
    """The original schedule from ``1 - course.retraced`` to its end."""
    return one_cycle(1 - course.retraced + course.retraced * part, PEAK)


METHOD = FineTuning(
    name="rewind",
    title="Learning-rate rewinding",
    summary="Retraces the learning rates of the last part of the model's own training.",
    explanation=(
        "Fine-tuning usually takes one small learning rate. Rewinding turns the clock of the "
        "schedule back instead: the weights stay as they are after the cut, but the learning rate "
        "goes once more through what it was in the last part of the original training, down to "
        "its end. Retraced over many epochs it recovers more accuracy than a small constant rate, "
        "with nothing to tune. The sample models' cards tell how they were trained, so as many "
        "of their last epochs are retraced as you train now; for other models a one-cycle "
        "schedule is assumed and its last 30 % taken, unless you choose another part."
    ),
    formula=r"\eta(t) = \eta_{\text{original}}\left(1 - r + r\,t\right)",
    paper='Renda, Frankle and Carbin 2020, "Comparing Rewinding and Fine-tuning in Neural Network '
    'Pruning", section 2',
    needs=("training",),
    options=("rewind",),
    strengths="The best known recipe for long retraining; nothing to tune where the card tells "
    "the original schedule.",
    limits="Shines with a large part of the original training; the schedule of an upload is not "
    "known and only assumed.",
    settings={"schedule": "rewind"},
    factor=rewind_factor,
)
