"""The verb ``quantise``."""

from argparse import Namespace
from pathlib import Path

from workbench.cli.output import percent, table
from workbench.cli.progress import ProgressLine
from workbench.cli.verbs import Outcome, UnfinishedError, describe, open_data, open_model
from workbench.device import choose_device
from workbench.export.folder import storage_errors
from workbench.replacement import REPLACEMENTS, ReplacementSettings, parse_replacement
from workbench.replacing import Replaced, State, describe_state, replace_weights


def quantise(arguments: Namespace) -> Outcome:
    """Replace the weights of a model in one or several ways, and measure every file."""
    wanted = [_settings(arguments, text) for text in arguments.method]
    device = choose_device(arguments.device)
    folder = Path(arguments.out)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    model = open_model(arguments)
    data = open_data(arguments, model)
    found: list[Replaced] = []
    with ProgressLine() as line:
        line.start(f"Measuring {model.name}")
        before = describe_state(model, data, device=device)
        try:
            for settings in wanted:
                line.start(f"{REPLACEMENTS[settings.method].title}: {model.name}")
                one = replace_weights(
                    model, data, settings, folder, timed=not arguments.no_time, report=line,
                    device=device,
                )  # fmt: skip
                assert one is not None  # nothing asks it to stop
                found.append(one)
        except BaseException as error:  # what was made is told all the same
            if not found:
                raise
            raise UnfinishedError(
                _outcome(describe(model, data), before, found, folder), error
            ) from error
    return _outcome(describe(model, data), before, found, folder)


def _settings(arguments: Namespace, text: str) -> ReplacementSettings:
    return parse_replacement(
        text, bits=arguments.bits, coding=arguments.coding, tune_epochs=arguments.tune_epochs,
        samples=arguments.samples, seed=arguments.seed or 0,
    )  # fmt: skip


def _outcome(
    about: dict[str, object], before: State, found: list[Replaced], folder: Path
) -> Outcome:
    values = about | {
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
