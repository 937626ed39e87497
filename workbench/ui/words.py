"""The glossary: one sentence for every term, shown as help wherever the term stands."""

from collections.abc import Mapping

from workbench.ui.i18n import _


def glossary() -> Mapping[str, str]:
    """Every term with its explanation; the first sentence is the help text."""
    return {
        "mask": _("True where a weight is kept, False where it is pruned."),
        "sparsity": _("The fraction of a layer's weights that are zero."),
        "density": _("The fraction of weights that are not zero: 1 minus sparsity."),
        "granularity": _("What is pruned together: single weights or larger pieces."),
        "scope": _("Whether weights are ranked within each layer or across all layers at once."),
        "criterion": _("How weights are ranked: those with the highest scores are kept."),
        "allocation": _("How one target becomes a sparsity for every layer."),
        "plan": _("What to prune: a sparsity for every layer, the criterion and the seed."),
        "sensitivity curve": _(
            "Accuracy against sparsity when one layer is pruned and the rest stays dense."
        ),
        "repair": _("Recovery after pruning from unlabelled images, without training."),
        "fine-tuning": _("Training after pruning while pruned weights are held at zero."),
        "compression ratio": _("Original divided by new; the unit is named beside it."),
        "theoretical speedup": _("MACs of the dense model divided by MACs of the pruned one."),
        "latency": _("The time one image takes, as the median of repeated runs on this machine."),
        "parameters": _("All trained numbers of the model, biases and normalisation included."),
        "MACs": _("Multiply-accumulates for one image, counted from real output shapes."),
        "non-zero parameters": _("Parameters that are not zero."),
        "accuracy": _(
            "The fraction of images whose class is recognised; below it the 95 % interval."
        ),
        "loss": _("The mean cross-entropy of the images; lower is better."),
        "interval": _("The range that holds the true value in 95 of 100 such measurements."),
        "validation split": _("Training images held out for every choice between plans."),
        "calibration split": _("Training images whose labels are not used, for repair."),
        "test split": _("Images kept for the final number only."),
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
        "protected": _("Left dense unless you ask for it by name."),
        "device": _("Where computations run: the processor (CPU) or an accelerator."),
    }


def explain(term: str) -> str:
    """The help text of a term: the first sentence of its glossary entry."""
    return glossary()[term]
