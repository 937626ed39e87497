"""Measure the sensitivity curves that ship: ``python sample_models/measure_curves.py NAME``.

Writes ``curves/NAME.json`` (pruned only) and ``curves/NAME-bn.json`` (BatchNorm statistics
re-estimated after pruning), and with ``--granularity channel`` the same for coupled channels as
``curves/NAME-channel.json`` and ``curves/NAME-channel-bn.json``. With ``--cache FOLDER`` an
interrupted run goes on where it was.
"""

import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from workbench.loading import load_data, load_model  # noqa: E402
from workbench.progress import Progress  # noqa: E402
from workbench.sensitivity import (  # noqa: E402
    JsonLinesCache,
    SensitivitySettings,
    measure_sensitivity,
)

NUM_SAMPLES = 2_000


def tell(progress: Progress) -> None:
    values = progress.values
    print(f"{progress.done}/{progress.total} {progress.message}: accuracy "
          f"{values['accuracy']:.4f}, {values['seconds_left']} s left", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="a sample model, such as fashion-resnet20")
    parser.add_argument("--repair", choices=("none", "bn"), nargs="+", default=["none", "bn"])
    parser.add_argument("--granularity", choices=("weight", "channel"), default="weight")
    parser.add_argument("--cache", type=Path, help="folder that keeps measured points")
    arguments = parser.parse_args()
    model = load_model(arguments.name)
    data = load_data(model.data_name)
    cache = JsonLinesCache(arguments.cache) if arguments.cache else None
    for repair in arguments.repair:
        settings = SensitivitySettings(
            num_samples=NUM_SAMPLES, repair=repair, granularity=arguments.granularity
        )
        curves = measure_sensitivity(model, data, settings, cache=cache, report=tell)
        suffix = "" if arguments.granularity == "weight" else f"-{arguments.granularity}"
        suffix += "" if repair == "none" else f"-{repair}"
        path = HERE / "curves" / f"{arguments.name}{suffix}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(curves.to_dict(), indent=1) + "\n", "utf-8")
        print(f"wrote {path.name}: {curves.evaluations} evaluations, {curves.seconds:.0f} s")


if __name__ == "__main__":
    main()
