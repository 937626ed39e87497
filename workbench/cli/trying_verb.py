"""What ``workbench methods`` measures: a method beside the usual choice, the seconds of all."""

from argparse import Namespace

from workbench.catalogue import find_all, methods_of
from workbench.cli.output import percent, table
from workbench.cli.progress import ProgressLine
from workbench.cli.verbs import Outcome, describe, open_data, open_model
from workbench.device import choose_device
from workbench.errors import SettingsError
from workbench.paired import Proportion
from workbench.trying import (
    ONCE,
    STEPS,
    TRIED,
    Cost,
    Side,
    Trial,
    TryingSettings,
    measure_costs,
    try_method,
)


def trial(arguments: Namespace) -> Outcome:
    """Try one method beside the usual choice of its family.

    Raises:
        SettingsError: If no method is named, or it cannot be tried.
    """
    if not arguments.method:
        raise SettingsError("No method was named to try.", "Write workbench methods NAME --try.")
    found = find_all(arguments.method, arguments.family)
    family = next((one for one, _method in found if one in TRIED), found[0][0])
    settings = TryingSettings(
        family, arguments.method, granularity=arguments.granularity, sparsity=arguments.sparsity,
        num_samples=arguments.samples, repair=arguments.repair, shown=arguments.shown,
        seed=arguments.seed or 0,
    )  # fmt: skip
    model = open_model(arguments)
    data = open_data(arguments, model)
    with ProgressLine() as line:
        line.start(f"Trying {arguments.method} on {model.name}")
        tried = try_method(
            model, data, settings, device=choose_device(arguments.device), report=line
        )
    assert tried is not None, "nobody can stop it"
    rest = {key: value for key, value in tried.to_dict().items() if key not in ("model", "data")}
    return describe(model, data) | rest | {"split": "validation"}, trial_text(tried)


def trial_text(tried: Trial) -> str:
    """A row for each of the two and the dense model, and who did better."""
    family, sides = tried.settings.family, (tried.own, tried.rival)
    steps = [name for name in STEPS if any(name in side.steps for side in sides)]
    rows = [
        [_title(family, side.method), *(_accuracy(side.steps.get(name)) for name in steps),
         _seconds(side)]
        for side in sides
    ]  # fmt: skip
    rows.append(["dense model", _accuracy(tried.dense), *("" for _ in steps)])
    heads = ["validation accuracy", *(STEPS[name] for name in steps), "seconds"]
    lines = [table(heads, rows), ""]
    for name in steps:
        if name in tried.compared:
            found = tried.compared[name]
            lines.append(
                f"{STEPS[name]}: {100 * found.difference:+.2f} points (95 % interval "
                f"{100 * found.ci_low:+.2f} to {100 * found.ci_high:+.2f}, p = {found.p_value:.2g})"
            )
    notes = dict.fromkeys(note for side in sides for note in side.notes)
    return "\n".join([*lines, *notes])


def _title(family: str, method: str) -> str:
    if method == ONCE:
        return "Magnitude, cut at once"
    found = methods_of(family).get(method)
    return found.title if found else "plain fine-tuning"


def _accuracy(found: Proportion | None) -> str:
    if found is None:
        return ""
    return f"{percent(found.accuracy)} ({100 * found.ci_low:.1f}-{100 * found.ci_high:.1f})"


def _seconds(side: Side) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in side.seconds.items())


def costs(arguments: Namespace) -> Outcome:
    """Time every method."""
    model = open_model(arguments)
    data = open_data(arguments, model)
    with ProgressLine() as line:
        line.start(f"Timing methods on {model.name}")
        found = measure_costs(
            model, data, arguments.granularity, device=choose_device(arguments.device), report=line
        )
    values = {"granularity": arguments.granularity, "costs": [cost.to_dict() for cost in found]}
    return describe(model, data) | values, costs_text(found)


def costs_text(found: list[Cost]) -> str:
    """A row for each method; below it why some have no seconds."""
    rows = [
        [f"{cost.family} {cost.method}", "-" if cost.seconds is None else f"{cost.seconds:.3f}"]
        for cost in found
    ]
    reasons = [f"{cost.family} {cost.method}: {cost.reason}" for cost in found if cost.reason]
    told = (
        "A criterion scores all that may go; an allocation makes one plan, curves at hand; repairs "
        "and replacements are whole; whatever trains is timed for one epoch, a corruption for "
        "1,000 images, an ensemble for combining three models on as many."
    )
    return "\n".join([table(["method", "seconds"], rows), "", told, *reasons])
