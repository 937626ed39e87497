"""The verb ``restore``."""

from argparse import Namespace
from pathlib import Path

from workbench.cli.app import add_current_folder
from workbench.cli.output import percent
from workbench.cli.progress import ProgressLine
from workbench.cli.verbs import Outcome, describe, open_data
from workbench.compression import read_compressed
from workbench.compression import restore as restore_model
from workbench.errors import ExportError
from workbench.export.folder import write_whole
from workbench.export.formats import safetensors_bytes
from workbench.loading import load_model
from workbench.metrics import count_nonzero, score
from workbench.model import Model


def restore(arguments: Namespace) -> Outcome:
    """Restore a compressed file to a model, write its weights, and measure it where data is."""
    path = Path(arguments.file)
    if arguments.out and Path(arguments.out).suffix != ".safetensors":
        raise ExportError(
            f"{arguments.out} does not end in .safetensors.", "Weights are written in that format."
        )
    compressed = read_compressed(path)
    model = restore_model(compressed, path.name, _dense(arguments))
    values = describe(model) | {
        "coding": compressed.coding,
        "bytes": path.stat().st_size,
        "num_params": sum(parameter.numel() for parameter in model.module.parameters()),
        "num_nonzero": count_nonzero(model.module),
    }
    lines = [
        f"{path.name} holds {model.name}: {values['num_params']:,} parameters, "
        f"{values['num_nonzero']:,} of them not zero, in {values['bytes']:,} bytes."
    ]
    if arguments.data:
        data = open_data(arguments, model)
        with ProgressLine() as line:
            line.start(f"Measuring {model.name}")
            scored = score(model.module, data.split("test"), report=line)
        values |= {"split": "test"} | scored.to_dict()
        lines.append(f"Accuracy on {scored.samples:,} test images: {percent(scored.accuracy)}.")
    if arguments.out:
        record = {
            "name": model.name, "architecture": model.architecture,
            "arguments": dict(model.arguments), "input_shape": list(model.input_shape),
            "data": model.data_name,
        }  # fmt: skip
        file = write_whole(Path(arguments.out), safetensors_bytes(model.module, record))
        values |= {"files": [arguments.out]}
        lines.append(f"{arguments.out}: {file.bytes:,} bytes.")
    return values, "\n".join(lines)


def _dense(arguments: Namespace) -> Model | None:
    if not arguments.factory:
        return None
    add_current_folder()
    return load_model(arguments.factory, input_shape=arguments.input_shape, allow_factory=True)
