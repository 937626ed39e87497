"""The report of an export as one HTML page that needs no network."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from math import prod
from string import Template
from typing import Any

from workbench.granularity import parse_granularity

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2126; --soft: #5b6570; --line: #dfe3e8;
  --panel: #f5f7f9; --kept: #0072b2; --pruned: #e69f00; --good: #00795a; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181c; --ink: #e8ebee; --soft: #a3adb7;
  --line: #333b43; --panel: #1d2328; --kept: #56b4e9; --pruned: #e69f00; --good: #4cc9a0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .6rem; }
p { margin: .5rem 0; max-width: 46rem; } .soft { color: var(--soft); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .8rem;
  margin: 1.5rem 0; padding: 0; }
.cards div { background: var(--panel); border-radius: .6rem; padding: .8rem 1rem; }
.cards dt { color: var(--soft); font-size: .85rem; } .cards dd { margin: 0; }
.cards strong { font-size: 1.5rem; font-weight: 600; display: block; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .92rem; }
th, td { padding: .4rem .7rem; border-bottom: 1px solid var(--line); text-align: right;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
th { color: var(--soft); font-weight: 500; } th:first-child, td:first-child { text-align: left; }
.text { text-align: left; }
.bar { display: flex; width: 6rem; height: .7rem; background: var(--kept); border-radius: .2rem;
  overflow: hidden; } .bar i { background: var(--pruned); }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: .2rem; margin: 0 .3rem
  0 .8rem; vertical-align: -.05rem; }
pre { background: var(--panel); border-radius: .6rem; padding: .9rem 1.1rem; overflow-x: auto;
  font: .86rem/1.5 ui-monospace, Consolas, monospace; }
code { font-family: ui-monospace, Consolas, monospace; font-size: .9em; }
.note { border-left: .25rem solid var(--pruned); padding: .1rem 0 .1rem 1rem; }
.good { color: var(--good); font-weight: 600; }
"""

_PAGE = Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
<h1>$title</h1>
<p class="soft">$subtitle</p>
<dl class="cards">$cards</dl>
$sections
<p class="soft">$origin</p>
</main>
</body>
</html>
""")

_STAGE_COLUMNS = (
    ("stage", "Stage"), ("accuracy", "Accuracy"), ("loss", "Loss"),
    ("num_nonzero", "Non-zero parameters"), ("macs", "MACs"), ("bytes", "Bytes"),
    ("latency_ms", "Latency, ms"), ("seconds", "Took, s"),
)  # fmt: skip
_STAGE_TITLES = {
    "dense": "Dense", "pruned": "Pruned", "repaired": "Repaired", "finetuned": "Fine-tuned",
}  # fmt: skip
_REPAIRED = {
    "bn": "Repaired by measuring the BatchNorm statistics again. ",
    "full": "Repaired without labels: the weights of every layer were solved for what the dense "
    "model gives. ",
}


def report_page(report: Mapping[str, Any]) -> str:
    """The page for a report made by ``make_report``."""
    model, size = report["model"], report["size"]
    title = f"{model['name']}: {100 * (1 - _kept(size)):.1f} % of all parameters pruned"
    if size["num_nonzero"] == size["dense_num_params"]:
        title = f"{model['name']}: dense model"
    shape = _by(model["input_shape"])
    subtitle = f"{model['architecture'] or 'Own network'}, images {shape}"
    if report["data"]:
        subtitle += f", compared on test images of {report['data']['name']}"
    sections = [
        _section("What was pruned", _pruned(report)),
        _section("Stages, measured on the test split", _stages(report["stages"])),
        _section("Layers", _layers(report["layers"])),
        _section("Files", _files(report)),
        _section("Good to know", _notes(report["notes"])),
        _section("Load it", _loading(report)),
    ]
    versions = report["versions"]
    origin = (
        f"Written {report['created']} by the pruning workbench {versions['workbench']} with "
        f"PyTorch {versions['torch']}, ONNX {versions['onnx']}, ONNX Runtime "
        f"{versions['onnxruntime']} on Python {versions['python']}, {versions['system']}."
    )
    return _PAGE.substitute(
        title=escape(title), style=_STYLE, subtitle=escape(subtitle), cards=_cards(report),
        sections="\n".join(filter(None, sections)), origin=escape(origin),
    )  # fmt: skip


def _cards(report: Mapping[str, Any]) -> str:
    size, stages = report["size"], report["stages"]
    zeros = size["num_nonzero"] < size["num_params"]
    cards = [
        (_number(size["num_nonzero"]), "non-zero parameters" if zeros else "parameters",
         f"of {_number(size['dense_num_params'])}; compression ratio "
         f"{size['compression_ratio']:.2f}"),
        (_number(size["macs"]), "theoretical MACs" if zeros else "MACs",
         f"of {_number(size['dense_macs'])}; theoretical speedup "
         f"{size['theoretical_speedup']:.2f}"),
    ]  # fmt: skip
    accuracy = stages[-1]["accuracy"] if stages else None
    onnx = next((c for c in report["checks"] if c["file"] == "model.onnx"), None)
    if accuracy is None and onnx is not None:
        accuracy = onnx["accuracy"]
    if accuracy is not None:
        dense = f"dense model {_percent(stages[0]['accuracy'])}" if stages else "in ONNX Runtime"
        cards.insert(0, (_percent(accuracy), "test accuracy", dense))
    if report["checks"]:
        samples = max(check["samples"] for check in report["checks"])
        cards.append(
            (_difference(report["max_abs_diff"]), "largest difference of a class score",
             f"files against memory, {samples:,} images")
        )  # fmt: skip
    return "".join(
        f"<div><dt>{escape(name)}</dt><dd><strong>{escape(value)}</strong>"
        f'<span class="soft">{escape(more)}</span></dd></div>'
        for value, name, more in cards
    )


def _pruned(report: Mapping[str, Any]) -> str:
    plan = report["plan"]
    if plan is None:
        return "<p>Nothing here: the model was exported as it came.</p>"
    count = sum(value > 0 for value in plan["sparsities"].values())
    target = "any model with these layers"
    if plan["model"]:
        target = f"the dense model <code>{escape(plan['model'])}</code>"
    kind = parse_granularity(plan["granularity"])
    what = f"{kind.title}: {count} layers pruned, what goes"
    ratios = "sparsities"
    if kind.structured:
        what, ratios = f"{kind.title}: {count} groups cut, what goes", "channel pruning ratios"
    made = (report["run"] or {}).get("made_by")
    how = (
        f"made during training by the method <code>{escape(made['method'])}</code>; the {ratios} "
        f"are what came out, seed {plan['seed']}. "
        if made
        else f"chosen by the criterion <code>{escape(plan['criterion'])}</code>; {ratios} by "
        f"<code>{escape(plan['allocation'])}</code>, seed {plan['seed']}. "
    )
    return (
        f"<p>{escape(what)} {how}"
        f"The plan is <code>plan.yaml</code>, digest <code>{report['plan_digest']}</code>; it "
        f"applies to {target}.</p>" + _recovery(report["run"])
    )


def _recovery(run: Mapping[str, Any] | None) -> str:
    """How the model was repaired and trained after pruning."""
    if run is None:
        return ""
    text = ""
    if repaired := [stage for stage in run["stages"] if stage["name"] == "repaired"]:
        chosen = (repaired[-1].get("repair") or {}).get("chosen") or run["repair"]
        text = _REPAIRED.get(chosen, "Repaired. ")
    last = run["stages"][-1] if run["stages"] else None
    training = last["training"] if last and last["name"] == "finetuned" else None
    if training:
        settings, epochs = training["settings"], len(training["history"]) - 1
        text += (
            f"Fine-tuned with {settings['optimizer']} for {epochs} "
            f"{'epoch' if epochs == 1 else 'epochs'} in {training['seconds']:.0f} s, seed "
            f"{settings['seed']}; epoch {training['best_epoch']} was best on the validation "
            f"images and is the one exported."
        )
    return f"<p>{escape(text)}</p>" if text else ""


def _stages(stages: Sequence[Mapping[str, Any]]) -> str:
    if not stages:
        return ""
    formats: dict[str, Callable[[Any], str]] = {
        "accuracy": _percent, "loss": "{:.4f}".format, "latency_ms": "{:.2f}".format,
        "seconds": "{:.1f}".format, "stage": lambda name: _STAGE_TITLES.get(name, escape(name)),
    }  # fmt: skip
    rows = [
        [
            "" if row.get(key) is None else formats.get(key, _number)(row[key])
            for key, _ in _STAGE_COLUMNS
        ]
        for row in stages
    ]
    return _table([title for _, title in _STAGE_COLUMNS], rows)


def _layers(layers: Sequence[Mapping[str, Any]]) -> str:
    """Every prunable layer; a column says what it was where channels were removed."""
    rows = [row for row in layers if row["prunable"]]
    thinner = any(row["shape"] != row["dense_shape"] for row in rows)
    zeros = not thinner or any(row["num_zeros"] for row in rows)
    key = (
        '<p class="soft"><span class="key" style="background:var(--kept);margin-left:0"></span>'
        'kept<span class="key" style="background:var(--pruned)"></span>pruned</p>'
    )
    cells = []
    for row in rows:
        gone = 1 - (row["num_weights"] - row["num_zeros"]) / max(1, prod(row["dense_shape"]))
        cells.append([
            f"<code>{escape(row['layer_name'])}</code>", escape(row["type"]),
            *([_by(row["dense_shape"])] if thinner else []),
            _by(row["shape"]), _number(row["num_params"]),
            *([_number(row["num_zeros"])] if zeros else []),
            _percent(gone if thinner else row["sparsity"]),
            f'<div class="bar" role="img" aria-label="{_percent(gone)} pruned">'
            f'<i style="width:{100 * gone:.1f}%"></i></div>',
        ])  # fmt: skip
    heads = [
        "Layer", "Type", *(["Shape before"] if thinner else []), "Shape", "Parameters",
        *(["Zeros"] if zeros else []), "Weights gone" if thinner else "Sparsity", "",
    ]  # fmt: skip
    return key + _table(heads, cells)


def _files(report: Mapping[str, Any]) -> str:
    checks = {check["file"]: check for check in report["checks"]}
    rows = []
    for file in report["files"]:
        check = checks.get(file["name"])
        rows.append([
            f"<code>{escape(file['name'])}</code>", _number(file["bytes"]),
            _difference(check["max_abs_diff"]) if check else "",
            _percent(check["agreement"]) if check else "",
            f"<code>{file['sha256'][:16]}</code>",
        ])  # fmt: skip
    text = ""
    if checks:
        text = (
            f'<p><span class="good">Checked.</span> Each file below that has a difference was run '
            f"again and gave the class scores of the model in memory to within "
            f"{_difference(report['max_abs_diff'])}; more than {report['tolerance']:.1g} is "
            f"refused. <code>check.safetensors</code> holds a few of the images with those scores: "
            f"<code>python -m workbench.export.check FOLDER</code> compares again, on any "
            f"machine.</p>"
        )
    if report["zipped_weights_bytes"]:
        size = report["size"]
        why = ": zeros compress well" if size["num_nonzero"] < size["num_params"] else ""
        zipped = _number(report["zipped_weights_bytes"])
        text += f"<p>Zipped, the weights take {zipped} bytes{why}.</p>"
    heads = ["File", "Bytes", "Largest difference", "Same class", "SHA-256 begins"]
    return text + _table(heads, rows)


def _notes(notes: Iterable[str]) -> str:
    return "".join(f'<p class="note">{escape(note)}</p>' for note in notes)


def _loading(report: Mapping[str, Any]) -> str:
    names = {file["name"] for file in report["files"]}
    shape = ", ".join(map(str, report["model"]["input_shape"]))
    prepared = f"<p><code>images</code> are float32 of shape (samples, {shape})"
    load, images = "load", "images"
    if report["data"] and report["data"]["pixels"]:
        mean, std = (_short(report["data"][key]) for key in ("mean", "std"))
        prepared += f": pixels scaled to 0..1, minus {mean}, divided by {std}"
        load, images = "load, normalise", "normalise(pixels)"
    blocks = {
        "model.onnx": "import onnxruntime\n\n"
        'session = onnxruntime.InferenceSession("model.onnx")\n'
        'scores = session.run(None, {"images": images})[0]  # a NumPy array',
        "model.pt2": "import torch\n\n"
        'network = torch.export.load("model.pt2").module()\n'
        "scores = network(images)  # a tensor",
        "model.py": f"from model import {load}\n\n"
        "network = load()  # reads weights.safetensors beside it\n"
        f"scores = network({images})  # a tensor",
    }
    if not names & set(blocks):
        return ""
    return f"{prepared}.</p>" + "".join(
        f"<p><code>{name}</code></p><pre>{escape(text)}</pre>"
        for name, text in blocks.items()
        if name in names
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>\n{body}</section>" if body else ""


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are HTML already."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def _kept(size: Mapping[str, Any]) -> float:
    return float(size["num_nonzero"]) / max(1.0, float(size["dense_num_params"]))


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %" if 0 < value < 1 else f"{100 * value:.0f} %"


def _difference(value: float) -> str:
    return f"{value:.1e}" if value else "0"


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _short(values: Sequence[float]) -> str:
    text = ", ".join(f"{value:.4g}" for value in values)
    return text if len(values) == 1 else f"({text})"
