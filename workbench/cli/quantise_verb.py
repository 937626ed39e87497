"""The verb ``quantise``."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import torch

from workbench.cli.output import percent, table
from workbench.cli.progress import ProgressLine
from workbench.cli.verbs import Outcome, UnfinishedError, describe, open_data, open_model
from workbench.data import Data
from workbench.device import choose_device
from workbench.errors import SettingsError
from workbench.export.folder import storage_errors
from workbench.model import Model
from workbench.replacement import REPLACEMENTS, ReplacementSettings, parse_replacement
from workbench.replacing import Replaced, State, describe_state, replace_weights
from workbench.run_export import QUANTISED


def quantise(arguments: Namespace) -> Outcome:
    """Replace the weights of a model in one or several ways, and measure every file."""
    wanted = list(dict.fromkeys(_settings(arguments, text) for text in arguments.method))
    if not wanted:
        raise SettingsError(
            "No method was given.", f"Choose one or several of: {', '.join(REPLACEMENTS)}."
        )
    device = choose_device(arguments.device)
    folder = Path(arguments.out)
    model = open_model(arguments)
    data = open_data(arguments, model)
    timed = not arguments.no_time
    values, text = quantise_model(model, data, wanted, folder, timed=timed, device=device)
    return describe(model, data) | dict(values), text


def quantise_after(arguments: Namespace, model: Model, data: Data) -> Outcome:
    """What ``prune --quantise`` does with the model it ends with, in a folder beside the export."""
    wanted = wanted_after(arguments)
    folder = Path(f"{arguments.out}{QUANTISED}")
    device = choose_device(arguments.device)
    try:
        values, text = quantise_model(model, data, wanted, folder, device=device)
    except UnfinishedError as part:  # prune tells what it measured; the files that are there stay
        raise part.error from None
    return {"quantised": values}, text


def wanted_after(arguments: Namespace) -> list[ReplacementSettings]:
    """What ``prune --quantise`` asks for; refused before any work is done.

    Raises:
        SettingsError: If a replacement is none, or there is no folder for its file.
    """
    found = (parse_replacement(text, seed=arguments.seed or 0) for text in arguments.quantise)
    wanted = list(dict.fromkeys(found))  # each is done once
    if wanted and not arguments.out:
        raise SettingsError(
            "--quantise writes files, and no folder is given.", "Give one with --out DIR."
        )
    return wanted


def quantise_model(
    model: Model, data: Data, wanted: Sequence[ReplacementSettings], folder: Path, *,
    timed: bool = True, device: torch.device | str = "cpu",
) -> Outcome:  # fmt: skip
    """Replace the weights of a model in every way that is wanted.

    Raises:
        UnfinishedError: With what was made before something was refused.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    found: list[Replaced] = []
    with ProgressLine() as line:
        line.start(f"Measuring {model.name}")
        before = describe_state(model, data, device=device)
        try:
            for settings in wanted:
                line.start(f"{REPLACEMENTS[settings.method].title}: {model.name}")
                one = replace_weights(
                    model, data, settings, folder, timed=timed, report=line, device=device
                )
                assert one is not None  # nothing asks it to stop
                found.append(one)
        except BaseException as error:  # what was made is told all the same
            if not found:
                raise
            raise UnfinishedError(_outcome(before, found, folder), error) from error
    return _outcome(before, found, folder)


def _settings(arguments: Namespace, text: str) -> ReplacementSettings:
    asked = {"bits": arguments.bits, "coding": arguments.coding}
    asked = {name: value for name, value in asked.items() if value is not None}
    found = parse_replacement(
        text, **asked, tune_epochs=arguments.tune_epochs, samples=arguments.samples,
        seed=arguments.seed or 0,
    )  # fmt: skip
    for name, value in asked.items():
        if getattr(found, name) != value:
            raise SettingsError(
                f"The method {text} and --{name} {value} contradict each other.",
                "Leave one of the two out.",
            )
    return found


def _outcome(before: State, found: list[Replaced], folder: Path) -> Outcome:
    values = {
        "before": before.to_dict(),
        "results": [
            one.to_dict() | {"compression_ratio": before.bytes / one.bytes} for one in found
        ],
        "files": [str(folder / one.file) for one in found],
    }
    return values, quantised_text(before, found, folder)


def quantised_text(before: State, found: list[Replaced], folder: Path) -> str:
    """A row for the model as it was and one for each file; then the proof and the notes."""
    rows = [
        [
            "float32", percent(before.accuracy), _interval(before.ci_low, before.ci_high),
            f"{before.bytes:,}", f"{before.zipped_bytes:,}", "", "", "",
        ]
    ]  # fmt: skip
    for one in found:
        latency = one.latency
        rows.append(
            [
                one.settings.key, percent(one.accuracy), _interval(one.ci_low, one.ci_high),
                f"{one.bytes:,}", f"{one.zipped_bytes:,}", f"{before.bytes / one.bytes:.1f}x",
                f"{latency.dense.median_ms:.3f} to {latency.pruned.median_ms:.3f}"
                if latency else "",
                f"{latency.measured_speedup:.2f}x" if latency else "",
            ]
        )  # fmt: skip
    heads = ["", "accuracy", "95 % interval", "bytes", "zipped", "smaller", "latency, ms",
             "speedup"]  # fmt: skip
    lines = [table(heads, rows), ""]
    for one in found:
        lines.append(f"{folder / one.file}: {proof_text(one)}")
        lines += [f"  {note}" for note in one.notes]
    return "\n".join(lines)


def proof_text(one: Replaced) -> str:
    """Whether zeros survived, as one sentence."""
    before = sum(proof.zeros_before for proof in one.proof)
    kept = sum(proof.zeros_kept for proof in one.proof)
    after = sum(proof.zeros_after for proof in one.proof)
    whole = sum(proof.num_weights for proof in one.proof)
    read = "reads back bit for bit" if one.restored else "does NOT read back as it was written"
    return (
        f"{kept:,} of {before:,} zeros are still exactly zero; {whole - before:,} non-zero weights "
        f"before, {whole - after:,} after; the file {read}."
    )


def _interval(low: float, high: float) -> str:
    return f"{100 * low:.2f} to {100 * high:.2f}"
