"""The words of the equaliser; the scripts hold none, so that a translation reaches them."""

from workbench.ui.i18n import _
from workbench.ui.words import explain


def prediction_basis(repair: str) -> str:
    """What a prediction stands for, by the repair its curves were measured after."""
    if repair == "none":
        return _("without repair")
    if repair == "bn":
        return _("after BatchNorm repair")
    return _("after the curves' repair")


def words() -> dict[str, str]:
    """Every string the scripts show; ``{name}`` is filled in by them."""
    return _totals() | _hands() | _details()


def _totals() -> dict[str, str]:
    return {
        "predicted": _("Predicted accuracy"),
        "predicted_help": _(
            "An estimate, not a measurement: the measured damage of every layer, added up."
        ),
        "no_prediction": _("Measure the sensitivity first"),
        "points_lost": _("{points} points, {basis}"),
        "best_case": _("at best: cut but not measured: {count}"),
        "beyond": _("a guess: cut beyond the curves: {count}"),
        "measured_other": _("belongs to another plan"),
        "measured_interval": _("{low}–{high}, {samples} images"),
        "measured_help": _("Measured on images, with its 95 % interval."),
        "nonzero": _("Non-zero parameters"),
        "nonzero_help": explain("non-zero parameters"),
        "macs": _("MACs"),
        "macs_help": explain("MACs"),
        "bytes": _("Stored size"),
        "bytes_help": explain("stored size"),
        "of": _("{share} of {total}"),
        "compression": _("Compression ratio"),
        "compression_help": explain("compression ratio"),
        "compression_units": _("in parameters; {bytes} in bytes"),
        "speedup": _("Theoretical speedup"),
        "speedup_help": explain("theoretical speedup"),
        "speedup_units": _("in MACs, not in time"),
        "sparsity": _("Sparsity"),
        "sparsity_help": explain("sparsity"),
        "sparsity_units": _("of prunable; {all} of all"),
    }


def _hands() -> dict[str, str]:
    return {
        "board": _("Sparsity of each layer. Left and right choose a layer, up and down change it."),
        "hint": _(
            "Drag a column or use the arrow keys; hold Shift to paint across several; "
            "double-click for 0."
        ),
        "undo": _("Undo"),
        "undo_help": _("Undo the last change (Ctrl+Z)"),
        "redo": _("Redo"),
        "redo_help": _("Redo the change undone last (Ctrl+Shift+Z)"),
        "reset": _("Reset"),
        "reset_help": _("Set every unlocked layer to 0"),
        "brush": _("Brush"),
        "brush_help": _("Paint several layers in one stroke, as with Shift held"),
        "axis": _("pruned"),
        "weights": _("weights"),
        "weights_help": _("Height: square root of the layer's weights. Blue kept, orange pruned."),
        "value": _("{percent} percent pruned"),
        "value_cost": _("{percent} percent pruned, alone it costs {points} points"),
        "value_unmeasured": _("{percent} percent pruned, cost not measured"),
        "value_locked": _("{percent} percent pruned, locked: {reason}"),
        "value_fixed": _("Cannot be pruned: {reason}"),
        "announce": _("{nonzero} non-zero parameters, {share} kept. {accuracy}"),
        "announce_accuracy": _("Predicted accuracy about {accuracy}."),
    }


def _details() -> dict[str, str]:
    return {
        "sparsity_of": _("Sparsity of {name} in percent"),
        "kept": _("kept"),
        "pruned": _("pruned"),
        "locked": _("Locked"),
        "fixed": _("Cannot be pruned"),
        "alone": _("Alone"),
        "alone_dense": _("costs nothing: the layer is dense"),
        "alone_at": _(
            "costs {points} points, measured: {accuracy} [{low}–{high}], {samples} images"
        ),
        "alone_between": _(
            "costs ≈ {points} points, between levels; at {level}: {accuracy} "
            "[{low}–{high}], {samples} images"
        ),
        "alone_beyond": _(
            "not measured beyond {level}: {accuracy} [{low}–{high}], {samples} images"
        ),
        "alone_unmeasured": _("not measured"),
        "curve": _("Accuracy against sparsity with only this layer pruned"),
        "curve_none": _("No curve: not measured"),
        "legend": _("Accuracy lost when only this layer is pruned, in points"),
        "legend_unmeasured": _("not measured"),
        "legend_locked": _("locked or not prunable"),
        "hidden": _("{count} more layers cannot be pruned: {reason}"),
    }
