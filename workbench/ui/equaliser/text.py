"""The words of the equaliser; the scripts hold none, so that a translation reaches them."""

from typing import TYPE_CHECKING

from workbench.ui.i18n import _, ngettext
from workbench.ui.words import explain

if TYPE_CHECKING:
    from workbench.groups import Group


def prediction_basis(repair: str) -> str:
    """What a prediction stands for, by the repair that comes before measuring."""
    if repair == "none":
        return _("without repair")
    if repair == "bn":
        return _("after BatchNorm repair")
    if repair == "full":
        return _("after full repair")
    return _("after the curves' repair")


def forecast_basis(repair: str, same_criterion: bool) -> str:
    """What a prediction stands for, and whether its curves are of the plan's criterion."""
    basis = prediction_basis(repair)
    if same_criterion:
        return basis
    return _("{basis}, guessed from another criterion's curves").format(basis=basis)


def prediction_origin(num_plans: int, same_criterion: bool, same_repair: bool) -> str:
    """What a prediction rests on beside the curves, in sentences.

    Args:
        num_plans: Plans measured in full that corrected it.
        same_criterion: Whether the curves were measured with the plan's criterion.
        same_repair: Whether they were measured after the repair that is predicted.
    """
    told = []
    if not same_criterion:
        told.append(_("The curves are of another criterion, so the band is wide."))
    if not same_repair:
        told.append(_("The curves were measured after another repair, so the band is wide."))
    if num_plans:
        told.append(
            ngettext(
                "Corrected by {count} plan that was measured here.",
                "Corrected by {count} plans that were measured here.",
                num_plans,
            ).format(count=num_plans)
        )
    return " ".join(told)


def unit_count(unit: str, count: int) -> str:
    """A number of units in words, such as ``32 channels``."""
    forms = {
        "channel": ngettext("{count} channel", "{count} channels", count),
        "neuron": ngettext("{count} neuron", "{count} neurons", count),
        "head": ngettext("{count} head", "{count} heads", count),
        "hidden unit": ngettext("{count} hidden unit", "{count} hidden units", count),
        "block": ngettext("{count} block", "{count} blocks", count),
        "kernel": ngettext("{count} kernel", "{count} kernels", count),
    }
    return forms.get(unit, ngettext("{count} weight", "{count} weights", count)).format(
        count=f"{count:,}"
    )


def counted(unit: str) -> str:
    """How the scripts say how much of a group stays: ``20 of 32 channels``."""
    return {
        "channel": _("{kept} of {total} channels"),
        "neuron": _("{kept} of {total} neurons"),
        "head": _("{kept} of {total} heads"),
        "hidden unit": _("{kept} of {total} hidden units"),
        "block": _("{kept} of {total} blocks"),
        "kernel": _("{kept} of {total} kernels"),
    }.get(unit, "")


def members_line(group: "Group") -> str:
    """What a coupled group is, in one line: its units, and its layers where there are several."""
    units = unit_count(group.unit, group.num_units)
    if len(group.layers) == 1:
        return units
    return _("{units} across {count} layers").format(units=units, count=len(group.layers))


def words(granularity: str = "weight") -> dict[str, str]:
    """Every string the scripts show; ``{name}`` is filled in by them."""
    usual = _totals() | _checks() | _hands() | _details()
    return usual | _of_channels() if granularity == "channel" else usual


def _of_channels() -> dict[str, str]:
    """What is said otherwise where whole channels go."""
    return {
        "nonzero": _("Parameters"),
        "nonzero_help": explain("parameters"),
        "bytes": _("Stored size"),
        "bytes_help": _("Bytes of the remaining parameters, four each."),
        "sparsity": _("Channel pruning ratio"),
        "sparsity_help": _(
            "The fraction of all channels, neurons, heads and hidden units that goes."
        ),
        "sparsity_units": _("{gone} of {total} removed"),
        "board": _("Part of each group. Left and right choose a group, up and down change it."),
        "weights": _("parameters"),
        "weights_help": _(
            "Height: square root of the parameters that hang on the group. Blue kept, orange "
            "pruned."
        ),
        "reset_help": _("Set every unlocked group to 0"),
        "brush_help": _("Paint several groups in one stroke, as with Shift held"),
        "announce": _("{nonzero} parameters, {share} kept. {accuracy}"),
        "sparsity_of": _("Channel pruning ratio of {name} in percent"),
        "alone_dense": _("costs nothing: the group is whole"),
        "curve": _("Accuracy against channel pruning ratio with only this group cut"),
        "legend": _("Accuracy lost when only this group is cut, in points"),
        "fixed": _("Cannot be cut"),
        "value_fixed": _("Cannot be cut: {reason}"),
        "legend_locked": _("cannot be cut: hover or focus it for the reason"),
    }


def _totals() -> dict[str, str]:
    return {
        "predicted": _("Predicted accuracy"),
        "predicted_help": _(
            "An estimate, not a measurement: the measured damage of every layer, added up, and "
            "more where many layers share it. Nine in ten measurements should fall into the band, "
            "those of plans that an allocation made from the same curves too."
        ),
        "band": _("({low} to {high})"),
        "at_most": _("at most: too much is cut to tell, {basis}"),
        "finally_at_most": _("; {basis} at most {accuracy}"),
        "finally": _("; {basis} ≈ {accuracy} {band}"),
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


def _checks() -> dict[str, str]:
    return {
        "checked": _("Measured accuracy"),
        "checked_help": _(
            "Measured: the plan was cut, repaired and tried on validation images. In brackets the "
            "95 % interval of what all validation images would give; each image is compared with "
            "what the dense model makes of it. Without brackets all were tried."
        ),
        "checking": _("measuring this plan"),
        "check_hint": _("let a column go, and the plan is measured"),
        "former": _("Had been predicted"),
        "former_help": _("What was predicted of this plan before it was measured."),
        "former_inside": _("{points} points when measured, as the band said"),
        "former_off": _("{points} points when measured, outside the band"),
        "former_none": _("nothing was predicted before it was measured"),
    }


def _hands() -> dict[str, str]:
    return {
        "board": _("Sparsity of each layer. Left and right choose a layer, up and down change it."),
        "hint": _(
            "Drag a column or use the arrow keys; hold Shift to paint across several; "
            "double-click for 0."
        ),
        "undo": _("Undo"),
        "undo_help": _("Undo the last change, that of the granularity too (Ctrl+Z)"),
        "redo": _("Redo"),
        "redo_help": _("Redo the change undone last (Ctrl+Shift+Z)"),
        "reset": _("Reset"),
        "reset_help": _("Set every unlocked layer to 0"),
        "brush": _("Brush"),
        "brush_help": _("Paint several layers in one stroke, as with Shift held"),
        "axis": _("pruned"),
        "weights": _("weights"),
        "weights_help": _("Height: square root of the layer's weights. Blue kept, orange pruned."),
        "value": _("{percent} percent pruned{count}"),
        "value_cost": _("{percent} percent pruned{count}, alone it costs {points} points"),
        "value_unmeasured": _("{percent} percent pruned{count}, cost not measured"),
        "value_locked": _("{percent} percent pruned{count}, locked: {reason}"),
        "value_fixed": _("Cannot be pruned: {reason}"),
        "announce": _("{nonzero} non-zero parameters, {share} kept. {accuracy}"),
        "announce_accuracy": _("Predicted accuracy about {accuracy} {band}."),
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
        "hidden": _("Not drawn, {count} in number: {reason}"),
        "asked": _("asked for {percent} %, the nearest that can be had"),
        "together": _("Cut together: {layers}"),
        "losers": _("Shrink with it: {layers}"),
        "others": _("{layers} and {count} more"),
        "lane": _("Layers of the network, first to last"),
        "lane_together": _("cut together"),
        "lane_losers": _("shrink with it"),
    }
