"""The verb ``robustness``."""

from argparse import Namespace
from pathlib import Path

from workbench.cli.opening import open_others
from workbench.cli.output import percent, table
from workbench.cli.progress import ProgressLine
from workbench.cli.verbs import Outcome, describe, open_data, open_model
from workbench.corruptions import CORRUPTIONS
from workbench.curve_cache import JsonLinesCache
from workbench.device import choose_device
from workbench.errors import SettingsError
from workbench.robustness import (
    MeanAccuracy,
    ModelRobustness,
    Robustness,
    RobustnessSettings,
    measure_robustness,
)


def robustness(arguments: Namespace) -> Outcome:
    """Accuracy on corrupted test images, one model beside others."""
    settings = RobustnessSettings(
        tuple(arguments.corruptions or ()), _whole(arguments.severities), arguments.samples,
        arguments.seed or 0,
    )  # fmt: skip
    device = choose_device(arguments.device)
    model = open_model(arguments)
    models = {model.name: model} | open_others(arguments.against, arguments, model.name)
    data = open_data(arguments, model)
    cache = JsonLinesCache(Path(arguments.cache)) if arguments.cache else None
    with ProgressLine() as line:
        line.start(f"Measuring {len(models)} models on corrupted images")
        found = measure_robustness(models, data, settings, cache=cache, device=device, report=line)
    values = describe(model, data) | {k: v for k, v in found.to_dict().items() if k != "data"}
    return values, robustness_text(found)


def robustness_text(found: Robustness) -> str:
    """A row for each corruption and severity, a column for each model; then the means."""
    rows = [["clean", *(_accuracy(model.score()) for model in found.models)]]
    rows += [
        [f"{CORRUPTIONS[name].title}, {level}", *(_accuracy(m.score(name, level))
                                                  for m in found.models)]
        for name, level in found.settings.conditions
    ]  # fmt: skip
    rows.append(["mean corruption accuracy", *(_mean(found.mean(m)) for m in found.models)])
    samples = found.models[0].samples
    lines = [table(["accuracy, %", *(model.name for model in found.models)], rows), ""]
    lines.append(
        f"{samples:,} test images, the same for all; a mean's 95 % interval is a bootstrap over "
        "images."
    )
    return "\n".join([*lines, *(_beside(found, model) for model in found.models[1:])])


def _beside(found: Robustness, model: ModelRobustness) -> str:
    apart = found.difference(model)
    assert apart is not None  # nothing asks the measurement to stop
    return (
        f"{model.name} beside {found.models[0].name}: {100 * apart.accuracy:+.2f} points "
        f"({100 * apart.ci_low:+.2f} to {100 * apart.ci_high:+.2f}), compared image by image."
    )


def _accuracy(score: object) -> str:
    accuracy = getattr(score, "accuracy", None)
    return "" if accuracy is None else f"{100 * accuracy:.2f}"


def _mean(mean: MeanAccuracy | None) -> str:
    if mean is None:
        return ""
    return f"{percent(mean.accuracy)} ({100 * mean.ci_low:.2f} to {100 * mean.ci_high:.2f})"


def _whole(numbers: tuple[float, ...]) -> tuple[int, ...]:
    for number in numbers:
        if number != int(number):
            raise SettingsError(
                f"The severity {number:g} is unknown.", "Choose a whole number from 1 to 5."
            )
    return tuple(int(number) for number in numbers)
