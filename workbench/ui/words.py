"""The glossary: a few sentences for every term; the first is the help wherever the term stands."""

from collections.abc import Mapping

import streamlit as st

from workbench.ui.errors import plain
from workbench.ui.i18n import _


def glossary() -> Mapping[str, str]:
    """Every term with its explanation; the first sentence is the help text."""
    return {**_pruning_terms(), **_model_terms(), **_measuring_terms()}


def explain(term: str) -> str:
    """The help text of a term: the first sentence of its glossary entry."""
    first, dot, _rest = glossary()[term].partition(". ")
    return first + dot.strip()


def show_glossary() -> None:
    """All terms in alphabetical order, one click away from every page."""
    terms = sorted(glossary().items(), key=lambda item: item[0].lower())
    with (
        st.popover(_("Glossary"), icon=":material/menu_book:", width="stretch"),
        st.container(height=440, border=False),
    ):
        st.markdown("\n\n".join(f"**{term}** · {plain(text)}" for term, text in terms))


def _pruning_terms() -> dict[str, str]:
    """What is pruned, how it is chosen, and what comes after."""
    return {
        "mask": _("True where a weight is kept, False where it is pruned."),
        "sparsity": _("The fraction of a layer's weights that are zero."),
        "density": _("The fraction of weights that are not zero: 1 minus sparsity."),
        "granularity": _(
            "What is pruned together: single weights, N:M patterns, blocks, kernels or whole "
            "channels. Only whole channels make the network itself smaller and faster everywhere."
        ),
        "N:M": _(
            "Of every M weights along a layer's inputs N are kept. The sparse units of recent "
            "GPUs use 2:4; other runtimes treat the zeros like any other number."
        ),
        "block": _(
            "A rectangle of outputs by inputs that is kept or pruned as one. Runtimes with "
            "block-sparse kernels skip pruned blocks."
        ),
        "shared weight": _(
            "One weight tensor that several places of a network use: it is counted once, pruned "
            "once, and its sensitivity is measured and its repair solved with all its uses."
        ),
        "sub-block": _(
            "A part of a kernel, such as 4 x 4 of 5 x 5 weights; parts overlap or lie side by "
            "side, and a weight goes when no kept part covers it."
        ),
        "kernel": _("All weights between one input channel and one output channel."),
        "channel pruning ratio": _(
            "The fraction of a group's channels, neurons or heads that are removed. With a ratio "
            "p everywhere about 1-(1-p)² of the parameters go, since a layer loses inputs too."
        ),
        "group": _(
            "Layers whose channels must be removed together. Where the outputs of several layers "
            "are added, channel 7 of one can go only with channel 7 of all others."
        ),
        "multiple": _(
            "The number of channels that stay is rounded to a multiple of this. Many runtimes "
            "are fastest with multiples of 8 or 16."
        ),
        "scope": _("Whether weights are ranked within each layer, each stage, or all layers."),
        "criterion": _("How weights are ranked: those with the highest scores are kept."),
        "score": _("How important the criterion takes a unit to be; the lowest go first."),
        "activation": _(
            "What a unit gives for an image. Units whose activation is nearly always zero, or "
            "nearly always the same, tell the later layers little."
        ),
        "entropy": _(
            "How much a unit's activation tells, in bits: 0 where it is always the same. It is "
            "taken over calibration images."
        ),
        "gradient": _(
            "How much the loss would change if a weight were a little larger. It needs labelled "
            "training images."
        ),
        "Fisher information": _(
            "The mean square of a weight's gradient. Without labels for the second derivative it "
            "says how sharply the loss bends in that weight."
        ),
        "allocation": _("How one target becomes a sparsity for every layer or group."),
        "freeze": _(
            "Leaves layers dense that a pattern names, where * stands for any characters. Their "
            "columns are locked at 0 and get back what they had when the pattern is taken out."
        ),
        "stage of the network": _(
            "Layers that follow each other and work at one feature-map size. The allocation per "
            "stage prunes every stage to the same sparsity."
        ),
        "trade-off": _(
            "How much costs count for the cost-aware allocation: scores are divided by the cost "
            "raised to it. 0 is blind for costs, 1 weighs score for cost; it can be learnt on "
            "validation images."
        ),
        "plan": _("What to prune: a sparsity for every layer or group, the criterion and seed."),
        "sensitivity curve": _(
            "Accuracy against sparsity when one layer or group is pruned and the rest stays dense."
        ),
        "repair": _(
            "Recovery after pruning from unlabelled images, without training. It takes seconds, "
            "and what it does is measured as a stage of its own."
        ),
        "BatchNorm repair": _(
            "Measures the mean and variance in every BatchNorm layer again on unlabelled images."
        ),
        "full repair": _(
            "Solves each layer's weights anew so that it gives what the dense layer gave. Layer "
            "by layer, by least squares, on unlabelled images; a step is kept only where it "
            "lowers the error."
        ),
        "reconstruction error": _(
            "How far a layer's outputs lie from the dense layer's, relative to their size."
        ),
        "fine-tuning": _("Training after pruning; what was pruned stays pruned."),
        "distillation": _(
            "Training on the answers of a teacher, such as the dense model, besides the labels. A "
            "temperature softens both answers, so that small probabilities count."
        ),
        "schedule": _(
            "When the cut is made: at once, step by step, or growing while the network trains."
        ),
        "sparse training": _(
            "Training that makes zeros itself, by a penalty or by a cut that grows meanwhile."
        ),
        "penalty": _(
            "A term that is added to the loss and pulls weights or channels towards zero. Its "
            "strength says how hard."
        ),
        "rewinding": _(
            "Going back to weights or learning rates of an earlier point of the training."
        ),
        "catalogue": _(
            "Every method of the workbench with its explanation, formula and paper. Each can be "
            "tried on your model beside the usual choice."
        ),
    }


def _model_terms() -> dict[str, str]:
    """What a model is made of and how large it is."""
    return {
        "parameters": _("All trained numbers of the model, biases and normalisation included."),
        "non-zero parameters": _("Parameters that are not zero."),
        "MACs": _("Multiply-accumulates for one image, counted from real output shapes."),
        "compression ratio": _("Original divided by new; the unit is named beside it."),
        "stored size": _(
            "Bytes of the parameters where zeros of pruned layers are left out and one bit a "
            "weight tells which are kept."
        ),
        "file size": _("Bytes of the weights file."),
        "kurtosis": _(
            "How heavy the tails of the weights are: 0 for a normal distribution, more for "
            "a few large weights among many small ones."
        ),
        "spread": _("The standard deviation of the weights."),
        "largest": _("The largest absolute weight."),
        "threshold": _("The absolute value below which weights are pruned."),
        "share": _("This layer's part of all parameters of the model."),
        "zeros": _("Weights of this layer that are zero already."),
        "used": _(
            "Where a weight that several places share is used in one pass, in order; empty for a "
            "weight that is used once."
        ),
        "protected": _("Left dense unless you ask for it by name."),
    }


def _measuring_terms() -> dict[str, str]:
    """What is measured, on which images and where."""
    return {
        "theoretical speedup": _(
            "MACs of the dense model divided by MACs of the pruned one. Zeros save MACs on paper "
            "only; removed channels save them everywhere."
        ),
        "measured speedup": _(
            "The dense model's latency divided by the pruned one's, on the same machine, batch, "
            "threads and runtime. The median of repeated, interleaved runs; usually less than the "
            "theoretical one, for some time does not go into MACs."
        ),
        "latency": _("The time one image takes, as the median of repeated runs on this machine."),
        "accuracy": _(
            "The fraction of images whose class is recognised; below it the 95 % interval."
        ),
        "loss": _("The mean cross-entropy of the images; lower is better."),
        "exact": _(
            "Exact measures every curve at every level on all images. The numbers are those of "
            "pruning, repairing and classifying everything anew, only quicker."
        ),
        "fast": _(
            "Fast looks at only as many images and levels as the stated half-width needs. Each cut "
            "is compared with the dense model on the same images until the 95 % interval of what "
            "all images would give is narrow enough; levels between two that leave little room "
            "are interpolated."
        ),
        "half-width": _(
            "The 95 % interval reaches so far to either side of the value. It is counted in "
            "points, hundredths of the images."
        ),
        "interpolated": _(
            "Not measured, but read off between two measured levels; drawn hollow and dotted."
        ),
        "Ray": _(
            "A program that spreads work over processors and machines. A worker that is lost "
            "loses only what it was doing, and that is done again elsewhere."
        ),
        "interval": _("The range that holds the true value in 95 of 100 such measurements."),
        "validation split": _("Training images held out for every choice between plans."),
        "calibration split": _("Training images whose labels are not used, for repair."),
        "test split": _("Images kept for the final number only."),
        "recall": _("The part of the images of a class that are found."),
        "precision": _("The part of the images taken for a class that are of it."),
        "F1": _("The harmonic mean of recall and precision."),
        "macro mean": _(
            "The mean over the classes, each counting alike however many images it has."
        ),
        "top-5 accuracy": _("The part of the images whose class is among the five likeliest."),
        "confusion matrix": _("How many images of each class are taken for each class."),
        "corruption": _(
            "A change of the image that a person would still see through: noise, blur, less "
            "contrast, something in front. Every model is shown exactly the same changed images."
        ),
        "severity": _(
            "How strong a corruption is, from 1 to 5. The strengths follow Hendrycks and "
            "Dietterich 2019, scaled to the size of the image."
        ),
        "mean corruption accuracy": _(
            "Accuracy averaged over all corruptions and severities. Its interval is a bootstrap "
            "over images, each drawn with all its corruptions."
        ),
        "ensemble": _("Several models that answer as one."),
        "McNemar's test": _(
            "Whether two models that saw the same images differ by more than chance. It counts the "
            "images that only one of the two recognises; p tells how often chance alone would part "
            "them as far."
        ),
        "Pareto front": _("Runs that no other run beats in both size and accuracy."),
        "device": _("Where computations run: the processor (CPU) or an accelerator."),
    }
