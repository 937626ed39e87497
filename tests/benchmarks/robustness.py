"""What pruning costs in robustness, and what ensembles of pruned models give back.

Run: python -m tests.benchmarks.robustness [--model fashion-resnet20] [--samples 1000]

Prunes the model in three ways (weights at 80 and 90 %, a third of the channels; repaired, not
trained), measures the dense model and all of them on the same corrupted test images, then combines
the three. Writes results/robustness.jsonl, a line for either part, and results/robustness.md. What
was measured is kept by digest in the folder --cache, so that a run that was cut short goes on.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import workbench as wb
from workbench.corruptions import CORRUPTIONS
from workbench.curve_cache import JsonLinesCache
from workbench.ensembles import ENSEMBLES
from workbench.outputs import OutputCache

RESULTS = Path(__file__).parent / "results"
RUNS = {
    "weights 80 %": ("global", "weight", 0.8),
    "weights 90 %": ("global", "weight", 0.9),
    "channels 33 %": ("uniform", "channel", 0.33),
}


def pruned_models(model: wb.Model, data: wb.Data, repair: str) -> dict[str, wb.Model]:
    """The three pruned models, repaired on unlabelled images."""
    found = {}
    for name, (method, granularity, sparsity) in RUNS.items():
        plan = wb.allocate(model, method, sparsity=sparsity, granularity=granularity)
        found[name] = wb.repair(wb.prune(model, plan), data, repair).pruned.model
    return found


def write_table(found: wb.Robustness, ensembles: wb.Ensembles, about: dict) -> None:
    """The tables that the documentation shows."""
    lines = [
        f"# Robustness of {about['model']} on {about['data']}",
        "",
        f"Accuracy in percent on {found.models[0].samples:,} test images, the same for every model "
        f"and severity; pruned models repaired ({about['repair']}), not trained. The mean is over "
        f"{len(found.settings.conditions)} conditions; intervals are 95 % bootstraps over images.",
        "",
        "| corruption | " + " | ".join(model.name for model in found.models) + " |",
        "|---" * (1 + len(found.models)) + "|",
        _row("clean", [model.score() for model in found.models]),
    ]
    for name in found.settings.corruptions:
        for level in (1, 3, 5):
            scores = [model.score(name, level) for model in found.models]
            lines.append(_row(f"{CORRUPTIONS[name].title}, severity {level}", scores))
    means = [found.mean(model) for model in found.models]
    cells = [f"**{100 * m.accuracy:.1f}** ({100 * m.ci_low:.1f} to {100 * m.ci_high:.1f})"
             for m in means]  # fmt: skip
    lines.append("| mean corruption accuracy | " + " | ".join(cells) + " |")
    apart = [found.difference(model) for model in found.models[1:]]
    told = [f"{100 * a.accuracy:+.1f} ({100 * a.ci_low:+.1f} to {100 * a.ci_high:+.1f})"
            for a in apart]  # fmt: skip
    lines.append("| beside dense, points | | " + " | ".join(told) + " |")
    lines += ["", "# Ensembles of the pruned models", "", *_ensemble_lines(ensembles)]
    (RESULTS / "robustness.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def _row(title: str, scores: list) -> str:
    return f"| {title} | " + " | ".join(f"{100 * score.accuracy:.1f}" for score in scores) + " |"


def _ensemble_lines(found: wb.Ensembles) -> list[str]:
    lines = [
        "Test accuracy on all test images; chosen and fitted on validation images; p: McNemar's "
        "exact test against the dense model.",
        "",
        "| model | test, % | 95 % interval | bytes, part of dense | MACs, part of dense | p |",
        "|---|---|---|---|---|---|",
    ]
    everyone = [("dense", found.dense), *((one.name, one) for one in found.members)]
    everyone += [(f"{ENSEMBLES[one.method].title} of all", one) for one in found.combined]
    for unit, best in found.best.items():
        if best is not None:
            told = f"best within dense {unit}: {best.method} of {' + '.join(best.members)}"
            everyone.append((told, best))
    for name, one in everyone:
        p_value = "" if one.against_dense is None else f"{one.against_dense.p_value:.2g}"
        lines.append(
            f"| {name} | {100 * one.test.accuracy:.2f} | {100 * one.test.ci_low:.2f} to "
            f"{100 * one.test.ci_high:.2f} | {found.part(one, 'bytes'):.2f} | "
            f"{found.part(one, 'macs'):.2f} | {p_value} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="fashion-resnet20")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--repair", default="bn")
    parser.add_argument("--samples", type=int, default=1_000)
    parser.add_argument("--device", default="cpu")
    kept = Path(tempfile.gettempdir()) / "workbench-robustness"
    parser.add_argument("--cache", type=Path, default=kept, help="points and answers")
    arguments = parser.parse_args()
    dense, data = wb.load_model(arguments.model), wb.load_data(arguments.data)
    models = {"dense": dense} | pruned_models(dense, data, arguments.repair)
    cache, device = arguments.cache, wb.choose_device(arguments.device)
    begin = time.perf_counter()
    found = wb.measure_robustness(
        models, data, wb.RobustnessSettings(num_samples=arguments.samples),
        cache=JsonLinesCache(cache), device=device, report=_show,
    )  # fmt: skip
    print(f"robustness: {time.perf_counter() - begin:.1f} s")
    begin = time.perf_counter()
    runs = {name: model for name, model in models.items() if name != "dense"}
    ensembles = wb.combine_models(dense, runs, data, cache=OutputCache(cache), device=device)
    assert ensembles is not None
    print(f"ensembles: {time.perf_counter() - begin:.1f} s")
    about = {"model": arguments.model, "data": arguments.data, "repair": arguments.repair}
    with (RESULTS / "robustness.jsonl").open("w", encoding="utf-8") as file:
        for kind, values in (("robustness", found.to_dict()), ("ensembles", ensembles.to_dict())):
            file.write(json.dumps({"kind": kind, **about, **values}) + "\n")
    write_table(found, ensembles, about)


def _show(progress: wb.Progress) -> None:
    print(f"{progress.done}/{progress.total} {progress.values}", flush=True)


if __name__ == "__main__":
    main()
