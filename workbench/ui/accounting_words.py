"""In one sentence what a plan saves and what it does not, and what to do instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.granularity import Granularity
from workbench.ui.i18n import _
from workbench.ui.theme import percent

if TYPE_CHECKING:
    from workbench.encodings import EncodedSizes
    from workbench.latency import LatencyComparison
    from workbench.staircase import Staircase

_UNSTEADY = 1.5  # upper over lower end of the interval


@dataclass(frozen=True)
class Account:
    """What is known about the saving of one plan.

    Attributes:
        granularity: Of the plan.
        prunes: Whether anything is pruned at all.
        sizes: Its bytes in every encoding.
        theoretical_speedup: MACs of the dense network divided by those that are left.
        speedups: Dense and pruned latency, one entry a runtime; none where not yet measured.
    """

    granularity: Granularity
    prunes: bool
    sizes: EncodedSizes
    theoretical_speedup: float
    speedups: Sequence[LatencyComparison] = ()


def what_it_saves(account: Account) -> str:
    """The sentence, with emphasis."""
    if not account.prunes:
        return _(
            "**This plan prunes nothing**: file and time are those of the dense network. "
            "Drag a column, or spread a target."
        )
    words = _of_channels(account) if account.granularity.structured else _of_zeros(account)
    return words.replace(" %", "\N{NO-BREAK SPACE}%")


def _of_channels(account: Account) -> str:
    sizes = account.sizes
    head = _(
        "**Whole channels go, and {removed} of the parameters with them**: the file on disk "
        "shrinks to **{file}**, for every runtime, and the multiplications to {macs}; "
    ).format(
        removed=percent(sizes.removed, 0), file=_of(sizes.file_bytes, sizes.dense_file_bytes),
        macs=percent(1 / account.theoretical_speedup, 0),
    )  # fmt: skip
    if not account.speedups:
        return head + _(
            "how much faster that is on this machine, only a measurement can tell, for the time "
            "does not fall as the multiplications do."
        )
    tail = _("the network is {times} (the multiplications promise {theory}×).").format(
        times=_times(account.speedups), theory=f"{account.theoretical_speedup:.1f}"
    )
    return head + tail + _advice_on_channels(account)


def _advice_on_channels(account: Account) -> str:
    """What to do where fewer channels do not make it faster."""
    verdicts = {found.verdict for found in account.speedups}
    if verdicts <= {"faster", "unclear"}:
        return ""
    if "slower" in verdicts:
        return " " + _(
            "Some numbers of channels suit a processor badly: keep multiples of 8, or look for the "
            "steps of a group under Staircase."
        )
    return " " + _(
        "In layers as small as these the time goes into calling them: cut deeper, or measure with "
        "more images at once."
    )


def _of_zeros(account: Account) -> str:
    head = _("**{zeros} of the weights are zero**: {file}, but ").format(
        zeros=_of(account.sizes.sparsity, 1), file=_file_of_zeros(account)
    )
    return f"{head}{_time_of_zeros(account)}{_pattern(account)} " + _(
        "**To be faster everywhere, remove channels instead.**"
    )


def _file_of_zeros(account: Account) -> str:
    """What zeros do to the file."""
    sizes = account.sizes
    words = _(
        "the file on disk keeps its size and shrinks only when zipped, to **{zipped}** "
        "({dense} without pruning)"
    ).format(
        zipped=_of(sizes.zipped_bytes, sizes.dense_file_bytes),
        dense=_of(sizes.dense_zipped_bytes, sizes.dense_file_bytes),
    )
    own = {"nm": "nm", "block": "block", "kernel": "block"}.get(account.granularity.kind)
    packed = sizes.by_name[own] if own else None
    if packed is not None and packed.applies and packed.num_bytes < sizes.dense_bytes:
        words += _(", or packed by its pattern, to {packed}").format(
            packed=_of(packed.num_bytes, sizes.dense_bytes)
        )
    csr = sizes.by_name["csr"]
    even = csr.break_even if account.granularity.kind == "weight" and csr.applies else None
    if even is not None and csr.num_bytes > sizes.dense_bytes:
        words += _(
            ", while sparse rows (CSR) would make it grow to {csr}, for they pay only from {even} "
            "zeros on"
        ).format(csr=_of(csr.num_bytes, sizes.dense_bytes), even=percent(even, 0))
    return words


def _time_of_zeros(account: Account) -> str:
    """What zeros do to the time: as a rule nothing, and why."""
    why = _("because PyTorch and ONNX Runtime multiply by zeros as by any other number")
    if not account.speedups:
        return _("the network takes **as long as before**, {why}.").format(why=why)
    if all(found.verdict in ("same", "unclear") for found in account.speedups):
        return _("the network takes **as long as before** (measured: {times}), {why}.").format(
            times=_figures(account.speedups), why=why
        )
    return _("the network was measured to be {times}; expect no more, {why}.").format(
        times=_times(account.speedups), why=why
    )


def _pattern(account: Account) -> str:
    """Who else can use the pattern of the zeros."""
    kind = account.granularity
    if kind.kind == "nm" and kind.m in (2, 4) and 2 * kind.n <= kind.m:
        return " " + _("Only the sparse tensor cores of NVIDIA GPUs gain from this pattern.")
    if kind.kind == "nm":
        return " " + _("No common runtime gains from {n}:{m}; GPUs take 2:4.").format(
            n=kind.n, m=kind.m
        )
    if kind.kind == "block":
        return " " + _("Only special block-sparse kernels gain from this pattern.")
    return ""


def _times(found: Sequence[LatencyComparison]) -> str:
    """``1.8× as fast in ONNX Runtime, as fast as before in PyTorch``."""
    return _(" and ").join(_time(one) for one in found)


def _time(one: LatencyComparison) -> str:
    if one.verdict == "faster" and one.speedup_high > _UNSTEADY * one.speedup_low:
        return _("**{low}× to {high}× as fast** in {runtime}").format(
            low=f"{one.speedup_low:.1f}", high=f"{one.speedup_high:.1f}",
            runtime=runtime_title(one.runtime),
        )  # fmt: skip
    words = {
        "faster": _("**{times}× as fast** in {runtime}"),
        "slower": _("**slower** ({times}× as fast) in {runtime}"),
        "same": _("no faster in {runtime} ({times}×)"),
        "unclear": _("too unsteady to tell in {runtime} ({times}×)"),
    }[one.verdict]
    return words.format(times=f"{one.measured_speedup:.2f}", runtime=runtime_title(one.runtime))


def runtime_title(name: str) -> str:
    """What a page calls a runtime."""
    from workbench.latency import RUNTIMES

    return RUNTIMES[name]


def _figures(found: Sequence[LatencyComparison]) -> str:
    return ", ".join(
        _("{times}× in {runtime}").format(
            times=f"{one.measured_speedup:.2f}", runtime=runtime_title(one.runtime)
        )
        for one in found
    )


def staircase_says(staircase: Staircase, kept: int | None = None) -> str:
    """What the staircase of a group means for a plan that keeps so many of its units.

    Args:
        staircase: As measured.
        kept: Units that the plan keeps; None where it cuts no channels.
    """
    if kept is not None and kept < staircase.num_units:
        return _of_present_width(staircase, kept)
    if len(staircase.plateaus) == 1:
        return _(
            "Whatever its width, this group does not change the time of the network beyond the "
            "spread of the measurement."
        )
    first, whole = staircase.plateaus[0], staircase.plateaus[-1]
    return _(
        "The time has {steps} levels: {low} ms with {first} of {units} kept, {high} ms with all. "
        "Within a level fewer channels save no time."
    ).format(
        steps=len(staircase.plateaus), low=f"{first.median_ms:.3g}", first=first.last,
        units=staircase.num_units, high=f"{whole.median_ms:.3g}",
    )  # fmt: skip


def is_slower(staircase: Staircase, kept: int | None) -> bool:
    """Whether a plan that keeps so many units would be faster with more of them."""
    return any(step.kept == kept for step in staircase.slower)


def _of_present_width(staircase: Staircase, kept: int) -> str:
    worse = next((step for step in staircase.slower if step.kept == kept), None)
    if worse is not None:
        return _(
            "**Keeping {kept} is slower than keeping {more}**: the wider network suits this "
            "processor better."
        ).format(kept=worse.kept, more=worse.beaten_by)
    level = staircase.plateau(kept)
    if level.last > kept:
        return _("The plan keeps {kept}; **up to {most} would take the same time**.").format(
            kept=kept, most=level.last
        )
    return _("The plan keeps {kept}, the most that this level of the time allows.").format(
        kept=kept
    )


def _of(part: float, whole: float) -> str:
    share = part / max(1.0, whole)
    return percent(share, 0 if share >= 0.1 else 1)
