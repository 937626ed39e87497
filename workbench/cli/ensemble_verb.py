"""The verb ``ensemble``."""

from argparse import Namespace
from pathlib import Path

from workbench.cli.opening import open_others
from workbench.cli.output import percent, table
from workbench.cli.progress import ProgressLine
from workbench.cli.verbs import Outcome, describe, open_data, open_model
from workbench.device import choose_device
from workbench.ensembles.combining import combine_models
from workbench.ensembles.registry import ENSEMBLES
from workbench.ensembles.values import UNITS, Combined, Ensembles, EnsembleSettings, Member
from workbench.outputs import OutputCache
from workbench.paired import Paired

_WORDS = {"bytes": "bytes", "macs": "MACs"}


def ensemble(arguments: Namespace) -> Outcome:
    """Combine models and compare them with the dense one."""
    settings = EnsembleSettings(
        tuple(arguments.methods or ()), not arguments.no_search, arguments.seed or 0
    )
    device = choose_device(arguments.device)
    model = open_model(arguments)
    models = open_others(arguments.members, arguments, model.name)
    data = open_data(arguments, model)
    with ProgressLine() as line:
        line.start(f"Combining {len(models)} models")
        found = combine_models(
            model, models, data, settings,
            cache=OutputCache(Path(arguments.cache) if arguments.cache else None),
            device=device, report=line,
        )  # fmt: skip
    assert found is not None  # nothing asks it to stop
    values = describe(model, data) | {k: v for k, v in found.to_dict().items() if k != "data"}
    return values, ensembles_text(found)


def ensembles_text(found: Ensembles) -> str:
    """A row for the dense model, every member and every ensemble, then what the search found."""
    rows = [_row(found, "dense", found.dense)]
    rows += [_row(found, one.name, one) for one in found.members]
    rows += [_row(found, ENSEMBLES[one.method].title, one) for one in found.combined]
    heads = ["", "validation, %", "test, %", "95 % interval", "bytes", "MACs", "beside dense",
             "p"]  # fmt: skip
    lines = [table(heads, rows), ""]
    lines += [_best_says(found, unit) for unit in UNITS if unit in found.best]
    lines.append(
        "Chosen and fitted on validation images; bytes and MACs are those of all members "
        "together. p: McNemar's exact test on the same test images."
    )
    return "\n".join(lines)


def _row(found: Ensembles, name: str, one: Member | Combined) -> list[str]:
    test = one.test
    return [
        name, f"{100 * one.validation.accuracy:.2f}", f"{100 * test.accuracy:.2f}",
        f"{100 * test.ci_low:.2f} to {100 * test.ci_high:.2f}",
        *(f"{one.size(unit):,} ({found.part(one, unit):.2f}x)" for unit in UNITS),
        *_apart(one.against_dense),
    ]  # fmt: skip


def _apart(paired: Paired | None) -> tuple[str, str]:
    if paired is None:
        return "", ""
    return f"{100 * paired.difference:+.2f}", f"{paired.p_value:.3g}"


def _best_says(found: Ensembles, unit: str) -> str:
    best, single = found.best[unit], found.best_member(unit)
    alone = f" The best single model within it: {single.name}." if single else ""
    if best is None:
        return f"No two of the models fit the dense model's {_WORDS[unit]} together.{alone}"
    paired = best.against_dense
    return (
        f"Best of {found.tried[unit]:,} within the dense model's {_WORDS[unit]}: "
        f"{ENSEMBLES[best.method].title} of {', '.join(best.members)}, "
        f"{percent(best.test.accuracy)} of test images, {100 * paired.difference:+.2f} points "
        f"({100 * paired.ci_low:+.2f} to {100 * paired.ci_high:+.2f}), p {paired.p_value:.3g}."
        f"{alone}"
    )
