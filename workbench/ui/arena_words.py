"""What an arena says in words: titles, the takeaway, and who leads on which axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from workbench.ui.arena_form import unit_titles
from workbench.ui.errors import plain
from workbench.ui.granularity_choice import granularity_title
from workbench.ui.i18n import _, ngettext
from workbench.ui.theme import percent

if TYPE_CHECKING:
    from workbench.arena import Arena, ArenaEntry

_USUAL_FACTOR = 4.0
_MOST_NAMED = 3


def names(arena: Arena) -> dict[str, str]:
    """Method to what a page calls it."""
    from workbench.allocation import ALLOCATIONS
    from workbench.arena import OWN, REFINED

    titles = {name: allocation.title for name, allocation in ALLOCATIONS.items()}
    titles |= {OWN: _("Your plan"), REFINED: _("Optimal, refined")}
    return {method: titles.get(method, method) for method in arena.methods}


def budget_title(arena: Arena, factor: float) -> str:
    """A budget as a column's title; the one that is the person's is marked."""
    title = f"{factor:.3g}×"
    return _("{factor} (your size)").format(factor=title) if factor == arena.own_factor else title


def axis_title(axis: str) -> str:
    """Title of the axis of what is kept."""
    return {
        "params": _("Parameters kept (non-zero), of the dense model's"),
        "macs": _("MACs kept (theoretical), of the dense model's"),
        "bytes": _("Bytes kept (stored), of the dense model's"),
        "latency": _("Latency kept (measured), of the dense model's"),
    }[axis]


def title(arena: Arena) -> str:
    """What an arena is called in a list: what competed and how it was measured."""
    from workbench.criteria import get_criterion
    from workbench.repair import get_repair

    settings = arena.settings
    then = (
        _(", {epochs} epochs of fine-tuning").format(epochs=settings.finetune.epochs)
        if settings.finetune
        else ""
    )
    own = _(", with your plan") if settings.own else ""
    return _(
        "{granularity}: {criterion}, budgets in {unit}{own}; repair: {repair}{then}; {samples:,} "
        "validation images"
    ).format(
        granularity=granularity_title(settings.granularity),
        criterion=get_criterion(settings.criterion).title,
        unit=unit_titles()[settings.unit].lower() if settings.unit != "macs" else _("MACs"),
        own=own, repair=get_repair(settings.repair).title, then=then,
        samples=arena.dense.samples if arena.dense else settings.num_samples,
    )  # fmt: skip


def takeaway(arena: Arena) -> str:
    """Who is best at a budget in the middle, with whom it ties, and what the floor is."""
    factors = [factor for factor in arena.factors if arena.best(factor) is not None]
    factor = min(factors, key=lambda f: abs(f - _USUAL_FACTOR))
    best = arena.best(factor)
    if best is None or best.score is None:
        return ""
    called = names(arena)
    sentence = _("At {factor} fewer {unit} **{best}** keeps {accuracy}").format(
        factor=f"{factor:.3g}×", unit=_unit_word(arena.settings.unit),
        best=plain(called[best.method]), accuracy=percent(best.score.accuracy, 1),
    )  # fmt: skip
    if arena.dense is not None:
        sentence += _(" (dense {accuracy})").format(accuracy=percent(arena.dense.accuracy, 1))
    sentence += "." + _tie_sentence(arena, factor, called)
    for method in ("uniform", "random"):
        entry = arena.entry(method, factor)
        if entry is not None and entry.score is not None and entry is not best:
            sentence += _(" {method}: {accuracy}.").format(
                method=plain(called[method]), accuracy=percent(entry.score.accuracy, 1)
            )
    return sentence.replace(" %", "\N{NO-BREAK SPACE}%")


def _tie_sentence(arena: Arena, factor: float, called: Mapping[str, str]) -> str:
    ties = arena.ties(factor)
    if not ties:
        return _(" It is better than every other beyond noise.")
    if len(ties) > _MOST_NAMED:
        there = sum(entry.factor == factor for entry in arena.measured)
        if len(ties) == there - 1:
            return _(" None of the {others} others can be told from it.").format(others=len(ties))
        words = _(" {n} of the {others} others cannot be told from it.")
        return words.format(n=len(ties), others=there - 1)
    named = "; ".join(plain(called[method]) for method in ties)
    return _(" Within noise of it: {methods}.").format(methods=named)


def _unit_word(unit: str) -> str:
    return {
        "params": _("parameters"),
        "macs": _("MACs"),
        "bytes": _("bytes"),
        "latency": _("milliseconds"),
    }[unit]


def axis_note(arena: Arena, axis: str) -> str:
    """Who holds the Pareto front on this axis, and that another axis has other winners."""
    counts = arena.on_front(axis)
    called, total = names(arena), sum(counts.values())
    leaders = ", ".join(f"{called[method]} {count}" for method, count in [*counts.items()][:3])
    note = ngettext(
        "{n} entry is on the Pareto front of this axis: {leaders}.",
        "{n} entries are on the Pareto front of this axis: {leaders}.",
        total,
    ).format(n=total, leaders=leaders)
    if axis != arena.settings.unit:
        note += " " + _(
            "All plans were made for budgets in {unit}; who wins depends on the axis."
        ).format(unit=_unit_word(arena.settings.unit))
    return note


def disagreement(
    entries: Sequence[ArenaEntry], groups: Sequence[str], called: Mapping[str, str]
) -> str:  # fmt: skip
    """The layer or group on which the methods differ most; random ones do not count."""
    plans = {e.method: e.plan for e in entries if e.plan is not None and e.method != "random"}
    spreads = []
    for group in groups:
        values = {method: plan.sparsities.get(group, 0.0) for method, plan in plans.items()}
        least, most = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
        spreads.append((values[most] - values[least], group, least, most, values))
    if not spreads or max(spread[0] for spread in spreads) < 0.01:
        return _("All methods prune alike here.")
    _gap, group, least, most, values = max(spreads, key=lambda spread: spread[0])
    return _("They differ most on {group}: {least} prunes {low} of it, {most} {high}.").format(
        group=group, least=called[least], low=percent(values[least], 0), most=called[most],
        high=percent(values[most], 0),
    )  # fmt: skip
