"""Measure the sample models and write their cards: ``python sample_models/card.py [NAME ...]``.

A card says what a model is, how it was trained and how good it is on the whole test part, measured
here from the weights that ship. Without names every weights file gets its card.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path

from safetensors import safe_open

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from workbench.architectures import ARCHITECTURES  # noqa: E402
from workbench.data import Data  # noqa: E402
from workbench.layers import inspect  # noqa: E402
from workbench.loading import load_data, load_model, sample_names  # noqa: E402
from workbench.metrics import score  # noqa: E402

BATCH = 100
LICENCE = "MIT, like the workbench"


def training_record(name: str) -> dict[str, object]:
    """What ``train.py`` wrote into the metadata of the weights file."""
    with safe_open(HERE / "weights" / f"{name}.safetensors", "pt") as file:
        record: dict[str, object] = json.loads(file.metadata()["training"])
    return record


def training_command(record: dict[str, object]) -> str:
    """The command that trains the model anew."""
    parts = ["python", "sample_models/train.py", str(record["name"]), "--seed", str(record["seed"])]
    if "threads" in record:
        parts += ["--threads", str(record["threads"])]
    return shlex.join(parts)


def make_card(name: str) -> dict[str, object]:
    """Load, inspect and measure one sample model."""
    record = training_record(name)
    model = load_model(name)
    data: Data = load_data(str(record["data"]))
    inspection = inspect(model)
    measured = score(model.module, data.split("test"), batch_size=BATCH)
    return {
        "name": name,
        "title": ARCHITECTURES[model.architecture].title,
        "architecture": model.architecture,
        "arguments": dict(model.arguments),
        "input_shape": list(model.input_shape),
        "num_classes": model.num_classes,
        "data_name": data.name,
        "normalisation": {
            "mean": [round(value, 6) for value in data.mean],
            "std": [round(value, 6) for value in data.std],
        },
        "num_params": inspection.num_params,
        "macs": inspection.macs,
        "measured": {
            "split": "test",
            "accuracy": measured.accuracy,
            "ci_low": measured.ci_low,
            "ci_high": measured.ci_high,
            "samples": measured.samples,
        },
        "test_loss": measured.loss,
        "training": {
            "command": training_command(record),
            "recipe": record["recipe"],
            "seed": record["seed"],
            "images": record["training_images"],
            "seconds": record["training_seconds"],
        },
        "licence": LICENCE,
        "data_notice": data.notice,
        "digest": model.digest,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="sample models; all of them if none is named")
    folder = HERE / "cards"
    folder.mkdir(exist_ok=True)
    for name in parser.parse_args().names or sample_names():
        card = make_card(name)
        text = json.dumps(card, indent=2, ensure_ascii=False) + "\n"
        (folder / f"{name}.json").write_text(text, "utf-8")
        measured = card["measured"]
        assert isinstance(measured, dict)
        print(f"{name}: {card['num_params']:,} parameters, {card['macs']:,} MACs, accuracy "
              f"{measured['accuracy']:.2%} of {measured['samples']:,} test images")  # fmt: skip


if __name__ == "__main__":
    main()
