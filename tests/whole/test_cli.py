"""Every verb's JSON agrees with the function behind it; refusals are one message and status 2."""

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import onnxruntime
import pytest
import streamlit.web.cli
from safetensors.torch import save_file

from workbench.allocation import ALLOCATIONS, allocate
from workbench.allocation.budget import UNITS
from workbench.cli import choices, main, verbs
from workbench.cli.parser import LEVELS, VERBS
from workbench.cli.progress import ProgressLine
from workbench.criteria import CRITERIA
from workbench.curves import DEFAULT_LEVELS, SensitivitySettings
from workbench.device import DEVICES
from workbench.export import FORMATS
from workbench.finetune_settings import OPTIMIZERS
from workbench.granularity import EXAMPLES, parse_granularity
from workbench.layers import inspect
from workbench.loading import load_data, load_model
from workbench.metrics import measure
from workbench.plan_file import read_plan, write_plan
from workbench.progress import Progress
from workbench.repair import REPAIRS
from workbench.sensitivity import measure_sensitivity

SAMPLE = "digits-mlp"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def model():
    return load_model(SAMPLE)


@pytest.fixture(scope="module")
def data():
    return load_data("digits")


@pytest.fixture
def result(capsys):
    """Runs a verb with ``--json -`` and returns what it printed there, and nothing else."""

    def run(*words):
        assert main([*words, "--json", "-"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return run


# --- help ---


@pytest.mark.parametrize(
    ("listed", "registry"),
    [
        (choices.CRITERIA, {name: entry.summary for name, entry in CRITERIA.items()}),
        (choices.ALLOCATIONS, {name: entry.summary for name, entry in ALLOCATIONS.items()}),
        (choices.REPAIRS, {name: entry.summary for name, entry in REPAIRS.items()}),
        (
            {name: text for name, text in choices.FORMATS.items() if name != "all"},
            {name: entry.summary for name, entry in FORMATS.items()},
        ),
    ],
    ids=["criteria", "allocations", "repairs", "formats"],
)
def test_help_says_what_the_registries_say(listed, registry):
    assert listed == registry


def test_help_lists_every_name_there_is():
    assert {name: parse_granularity(name).summary for name in EXAMPLES} == choices.GRANULARITIES
    assert tuple(choices.DEVICES) == DEVICES
    assert tuple(choices.BUDGETS) == UNITS
    assert tuple(float(level) for level in LEVELS.split(",")) == DEFAULT_LEVELS


@pytest.mark.parametrize(
    ("verb", "tables"),
    [
        ("inspect", [choices.GRANULARITIES]),
        ("sensitivity", [choices.CRITERIA, choices.REPAIRS, choices.PRECISIONS, choices.DEVICES,
                         choices.GRANULARITIES]),
        ("allocate", [choices.ALLOCATIONS, choices.CRITERIA, choices.BUDGETS,
                      choices.GRANULARITIES]),
        ("prune", [choices.ALLOCATIONS, choices.CRITERIA, choices.REPAIRS, OPTIMIZERS,
                   choices.GRANULARITIES, choices.BUDGETS, choices.DEVICES]),
        ("evaluate", [choices.SPLITS, choices.DEVICES]),
        ("export", [choices.FORMATS]),
        ("run", [choices.DEVICES]),
    ],
)  # fmt: skip
def test_help_of_a_verb_gives_each_choice_its_sentence(verb, tables, capsys):
    with pytest.raises(SystemExit) as end:
        main([verb, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    for table in tables:
        for name, sentence in table.items():
            assert re.search(rf"^  {re.escape(name)} +{re.escape(sentence)}$", text, re.M), name


def test_help_lists_every_verb(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for name, sentence in VERBS.items():
        assert re.search(rf"^  {name} +{re.escape(sentence)}$", text, re.M)


# --- refusals ---


REFUSALS = [
    ("pruen x", "There is no verb 'pruen'.", "Did you mean 'prune'? Choose one of: run, inspect, "
     "sensitivity, allocate, prune, arena, evaluate, export, sparse, "),
    ("inspect", "The following arguments are required: MODEL.",
     "See workbench inspect --help."),
    ("inspect digits-mpl", "There is no sample model 'digits-mpl'.", "Did you mean digits-mlp?"),
    ("inspect digits-mlp --jsn x", "workbench inspect does not take '--jsn'.",
     "Did you mean --json? See workbench inspect --help."),
    ("inspect digits-mlp extra", "workbench inspect does not take 'extra'.",
     "See workbench inspect --help."),
    ("inspect digits-mlp --json /no/such/file", "/no/such/file cannot be written: its folder does "
     "not exist.", "Choose another file."),
    ("inspect no_module_here:make", "There is no Python module 'no_module_here'.",
     "Start from the folder that holds it"),
    ("sensitivity digits-mlp --levels 0.1,half", "Argument --levels: '0.1,half' is no list of "
     "numbers; write it like this: 0.1,0.5,0.9.", "See workbench sensitivity --help."),
    ("sensitivity digits-mlp --levels 1.5", "The level 1.5 is not between 0 and 1.",
     "Choose values such as 0.1 or 0.95."),
    ("sensitivity digits-mlp --precision fats", "There is no precision 'fats'.",
     "Did you mean 'fast'? Choose one of: exact, fast."),
    ("sensitivity digits-mlp --precision fast --half-width 1", "The half-width is 1.0.",
     "Give a fraction such as 0.01, one point."),
    ("sensitivity digits-mlp --granularity chanel", "There is no granularity 'chanel'.",
     "Did you mean 'channel'? Choose one of: weight, nm:2:4, block:4x4, subblock:2x2, kernel, "
     "channel."),
    ("sensitivity digits-mlp --granularity nm:4:4", "Granularity 'nm:4:4' keeps 4 of every 4 "
     "weights.", "Choose N:M with 1 <= N < M <= 64, such as nm:2:4."),
    ("allocate digits-mlp --method uniform --sparsity 0.5 --granularity kernel",
     "Nothing can be pruned at granularity 'kernel'. hidden.0: It has no kernels.",
     "Choose another granularity, such as weight."),
    ("inspect digits-mlp --granularity block:0x4", "Granularity 'block:0x4' asks for blocks of "
     "0 x 4.", "Choose 1 to 256 rows and columns, at least 2 weights in all, such as block:4x4."),
    ("allocate digits-mlp --method uniform --sparsity 0.5 --channel-multiple 8",
     "The plan rounds to multiples of 8 channels but removes no channels.",
     "Leave channel_multiple out, or choose granularity 'channel'."),
    ("allocate digits-mlp --method uniform --sparsity 0.5 --granularity channel --protect "
     "hidden.0,hidden.1", "No group is left to prune.", "Protect fewer groups."),
    ("allocate digits-mlp --method global --sparsity 0.999 --granularity channel", "Sparsity 0.999 "
     "leaves 0 of 192 channels for 2 groups.", "Choose a lower sparsity, so that each group keeps "
     "at least one channel."),
    ("allocate digits-mlp --method globl --sparsity 0.5", "There is no method 'globl'.",
     "Did you mean 'global'? Choose one of: uniform, uniform_plus, global, erk, lamp, "
     "equal_loss, greedy, optimal, random, stage, cost_aware."),
    ("allocate digits-mlp --method global", "A plan needs one target; none given.",
     "Give either a sparsity or a budget."),
    ("prune digits-mlp --method global --sparsity 0.5 --criterion tailor",
     "There is no criterion 'tailor'.", "Did you mean 'taylor'? Choose one of: "),
    ("prune digits-mlp --method global --sparsity 0.5 --repair ful",
     "There is no repair 'ful'.", "Did you mean 'full'? Choose one of: none, bn, full."),
    ("prune digits-mlp --method global --sparsity 1.5", "The model asks for sparsity 1.50.",
     "Choose a value from 0 to 0.99."),
    ("prune digits-mlp", "Neither a plan nor a method is given.",
     "Give --plan FILE, or --method NAME with --sparsity or --budget."),
    ("prune digits-mlp --plan p.yaml --method global", "Both a plan and a method are given.",
     "Give --plan FILE, or --method NAME with --sparsity or --budget."),
    ("prune digits-mlp --plan p.yaml --sparsity 0.5", "A plan file holds its own sparsities; "
     "--sparsity and --budget do not go with it.", "Leave them out"),
    ("prune digits-mlp --plan nowhere.yaml", "There is no plan file nowhere.yaml.",
     "Check the path."),
    ("prune digits-mlp --method global --sparsity 0.5 --finetune-epochs -1", "epochs is -1.",
     "Choose a whole number from 0 to 10,000."),
    ("prune digits-mlp --method global --sparsity 0.5 --out /dev/null", "/dev/null is a file.",
     "Choose a folder."),
    ("evaluate digits-mlp --data fashion-mnist", "digits-mlp takes images of shape 1 x 8 x 8; "
     "fashion-mnist has 1 x 28 x 28.", "Choose data with images of that shape"),
    ("evaluate digits-mlp --split train", "There is no split 'train'.",
     "Choose one of: test, validation."),
    ("evaluate digits-mlp --device gpu", "There is no device 'gpu'.", "Did you mean 'cpu'?"),
    ("export digits-mlp --format tflite --out x", "There is no format 'tflite'.",
     "Choose one of: all, onnx, pt2, safetensors."),
    ("export digits-mlp --format onnx", "The following arguments are required: --out.",
     "See workbench export --help."),
    ("run --port 99999", "Argument --port: '99999' is no port; choose a number from 1 to 65535.",
     "See workbench run --help."),
    ("run --model nothing", "There is no sample model 'nothing'.", "Choose one of: digits-mlp"),
    ("--device gpu", "There is no device 'gpu'.", "Did you mean 'cpu'?"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message", "hint"), REFUSALS, ids=[r[0] for r in REFUSALS])
def test_a_refusal_is_one_message_and_one_hint(words, message, hint, capsys):
    assert main(words.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first == message
    assert second.startswith(hint)


def test_an_export_knows_its_data(tmp_path, result):
    target = tmp_path / "small"
    result("export", SAMPLE, "--out", str(target), "--samples", "20")
    path = target / "weights.safetensors"
    found = result("evaluate", str(path))
    assert found["data"] == {"name": "digits", "digest": load_data("digits").digest}
    assert found["accuracy"] == result("evaluate", SAMPLE)["accuracy"]
    assert load_model(path).card["trained_on"] == found["data"]


def test_a_model_without_known_data_asks_for_them(tmp_path, capsys, result):
    path = tmp_path / "weights.safetensors"
    save_file(load_model(SAMPLE).module.state_dict(), path)
    assert main(["evaluate", str(path)]) == 2
    assert capsys.readouterr().err.splitlines()[0] == (
        "weights does not say what data it was trained on."
    )
    assert result("evaluate", str(path), "--data", "digits")["accuracy"] > 0.96


def test_a_fault_is_short_and_names_the_way_to_its_traceback(monkeypatch, capsys):
    def fail(model):
        raise ZeroDivisionError("one over none")

    monkeypatch.setattr(verbs, "inspect", fail)
    assert main(["inspect", SAMPLE]) == 1
    err = capsys.readouterr().err
    assert err.startswith("The workbench failed: ZeroDivisionError: one over none\n")
    assert "--debug" in err
    assert "Traceback" not in err
    assert main(["inspect", SAMPLE, "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_ends_with_130(monkeypatch, capsys):
    def interrupt(model):
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs, "inspect", interrupt)
    assert main(["inspect", SAMPLE]) == 130
    assert capsys.readouterr().err == "\nStopped.\n"


# --- verbs ---


def test_inspect_gives_layers_groups_and_distributions(result, model):
    found = result("inspect", SAMPLE)
    layers = {key: value for key, value in inspect(model).to_dict().items() if key != "groups"}
    assert {key: found[key] for key in layers} == layers
    assert [(row["group"], row["num_channels"], row["prunable"]) for row in found["groups"]] == [
        ("hidden.0", 128, True), ("hidden.1", 64, True), ("classifier", 10, False),
    ]  # fmt: skip
    # what hangs on a neuron: its weights and bias, and the weights that read it
    assert [row["num_params"] for row in found["groups"]] == [
        65 * 128 + 128 * 64,
        129 * 64 + 640,
        0,
    ]
    assert found["groups"][0].keys() >= {"layers", "macs", "unit", "reason"}
    assert found["groups"][2]["reason"] == (
        "Its outputs are the class scores: one for every class."
    )
    assert [row["layer_name"] for row in found["distributions"]] == [
        layer.layer_name for layer in inspect(model).prunable
    ]
    for row, layer in zip(found["distributions"], inspect(model).prunable, strict=True):
        weight = model.module.get_parameter(layer.parameter_name).detach()
        assert sum(row["counts"]) == weight.count_nonzero()
        assert row["std"] == pytest.approx(float(weight.std(correction=0)), rel=1e-4)


def test_sensitivity_measures_what_the_function_measures(result, model, data, tmp_path):
    words = ["sensitivity", SAMPLE, "--levels", "0.9,0.5", "--samples", "50", "--seed", "3"]
    found = result(*words, "--criterion", "random", "--cache", str(tmp_path))
    settings = SensitivitySettings((0.5, 0.9), 50, "random", seed=3)
    curves = measure_sensitivity(model, data, settings)
    assert found["points"] == [point.to_dict() for point in curves.points]
    assert found["baseline"] == curves.baseline.to_dict()
    assert found["evaluations"] == len(curves.points) + 1
    again = result(*words, "--criterion", "random", "--cache", str(tmp_path))
    assert again["evaluations"] == 0
    assert again["points"] == found["points"]


def test_fast_sensitivity_keeps_what_is_interpolated_apart(result, model, data, capsys):
    words = ["--levels", "0.2,0.4,0.6,0.8", "--samples", "150"]
    fast = ["--precision", "fast", "--half-width", "0.1"]
    found = result("sensitivity", SAMPLE, *words, *fast)
    settings = SensitivitySettings(
        (0.2, 0.4, 0.6, 0.8), 150, precision="fast", half_width=0.1
    )  # fmt: skip
    curves = measure_sensitivity(model, data, settings)
    assert curves.interpolated
    assert found["points"] == [point.to_dict() for point in curves.points]
    assert found["interpolated"] == [point.to_dict() for point in curves.interpolated]
    assert main(["sensitivity", SAMPLE, *words, *fast]) == 0
    text = capsys.readouterr().out
    assert text.count("~") == len(curves.interpolated) + 1
    assert "~ is interpolated between measured levels." in text


def test_allocate_gives_the_plan_that_the_function_gives(result, model, tmp_path):
    path = tmp_path / "plan.yaml"
    found = result(
        "allocate", SAMPLE, "--method", "global", "--sparsity", "0.7", "--out", str(path)
    )
    plan = allocate(model, "global", sparsity=0.7)
    assert found["plan"] == plan.to_dict()
    assert read_plan(path) == plan
    assert found["predicted"]["num_nonzero"] < 0.4 * found["predicted"]["num_params"]


def test_allocate_prints_a_plan_that_can_be_kept(capsys, model, tmp_path):
    assert main(["allocate", SAMPLE, "--method", "uniform", "--budget", "macs=0.5"]) == 0
    path = tmp_path / "plan.yaml"
    path.write_text(capsys.readouterr().out)
    assert read_plan(path).allocation == "uniform"


def test_protecting_nothing_prunes_the_classifier_too(result):
    words = ("allocate", SAMPLE, "--method", "uniform", "--sparsity", "0.5")
    assert "classifier" not in result(*words)["plan"]["sparsities"]
    assert "classifier" in result(*words, "--protect", "")["plan"]["sparsities"]


def test_evaluate_measures_what_the_function_measures(result, model, data):
    found = result("evaluate", SAMPLE, "--split", "validation", "--samples", "40")
    expected = measure(model, data, split="validation", num_samples=40).to_dict()
    for key in ("accuracy", "loss", "recall", "num_params", "num_nonzero", "macs", "bytes"):
        assert found[key] == expected[key], key
    assert found["latency_ms"] > 0


def test_prune_goes_all_the_way(result, model, data, tmp_path, capsys):
    plan = allocate(model, "uniform", sparsity=0.9)
    write_plan(plan, tmp_path / "plan.yaml")
    found = result(
        "prune", SAMPLE, "--plan", str(tmp_path / "plan.yaml"), "--finetune-epochs", "1",
        "--out", str(tmp_path / "out"),
    )  # fmt: skip
    keys = {"accuracy", "loss", "num_params", "num_nonzero", "macs", "bytes", "latency_ms"}
    for stage in ("dense", "pruned", "repaired", "finetuned"):
        assert keys <= set(found[stage])
        assert found[stage]["split"] == "test"
    assert found["pruned"]["num_nonzero"] < 0.2 * found["dense"]["num_nonzero"]
    assert found["repaired"]["accuracy"] > found["pruned"]["accuracy"]
    assert (found["repair"]["method"], found["repair"]["chosen"]) == ("full", "full")
    assert all(step["error_after"] < step["error_before"] for step in found["repair"]["steps"])
    assert found["finetuned"]["accuracy"] > found["pruned"]["accuracy"]
    assert found["plan"] == plan.to_dict()
    assert set(found["seconds"]) == {"dense", "pruned", "repaired", "finetuned", "export"}
    assert {Path(name).name for name in found["files"]} >= {"model.onnx", "model.py", "plan.yaml"}
    assert found["export"]["max_abs_diff"] < 1e-3
    saved = found["accounting"]
    assert set(saved["measured_speedup"]) == {"torch", "onnxruntime"}
    assert saved["encodings"]["bitmask"]["bytes"] < 0.2 * saved["encodings"]["fp32"]["bytes"]
    report = json.loads((tmp_path / "out" / "report.json").read_bytes())
    assert [row["stage"] for row in report["stages"]] == [
        "dense",
        "pruned",
        "repaired",
        "finetuned",
    ]
    assert "Fine-tuned with sgd for 1 epoch in" in (tmp_path / "out" / "report.html").read_text()
    split = data.split("test")
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    scores = session.run(None, {"images": split.images.numpy()})[0]
    correct = (scores.argmax(1) == split.labels.numpy()).mean()
    assert correct == pytest.approx(found["finetuned"]["accuracy"], abs=1e-9)


def test_options_win_over_the_plan_file(result, model, tmp_path):
    write_plan(allocate(model, "uniform", sparsity=0.5), tmp_path / "plan.yaml")
    found = result(
        "prune", SAMPLE, "--plan", str(tmp_path / "plan.yaml"), "--criterion", "random",
        "--seed", "7",
    )  # fmt: skip
    assert (found["plan"]["criterion"], found["plan"]["seed"]) == ("random", 7)
    assert found["finetuned"]["skipped"]
    assert found["files"] == []


def test_export_writes_one_file(result, tmp_path):
    target = tmp_path / "small.pt2"
    found = result("export", SAMPLE, "--format", "pt2", "--out", str(target))
    assert found["files"] == [
        {"name": "small.pt2", "bytes": target.stat().st_size, "sha256": found["files"][0]["sha256"]}
    ]
    assert 0 <= found["max_abs_diff"] < 1e-5


def test_json_goes_to_a_file_and_a_table_to_the_screen(tmp_path, capsys):
    assert main(["inspect", SAMPLE, "--json", str(tmp_path / "a.json")]) == 0
    assert "17,226 parameters" in capsys.readouterr().out
    assert json.loads((tmp_path / "a.json").read_bytes())["num_params"] == 17226


FACTORY = """
from torch import nn

def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.ReLU(), nn.Linear(5, 3))
"""


def test_what_a_network_prints_stays_out_of_the_json(tmp_path, monkeypatch, capsys):
    (tmp_path / "chatty.py").write_text(
        "from torch import nn\nprint('imported')\n"
        "class Chatty(nn.Flatten):\n"
        "    input_shape = (1, 2, 2)\n"
        "    def forward(self, x):\n        print('forward')\n        return super().forward(x)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    assert main(["inspect", "chatty:Chatty", "--json", "-"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["num_classes"] == 4
    assert {"imported", "forward"} <= set(err.split())


def test_a_factory_is_found_in_the_current_folder(result, tmp_path, monkeypatch):
    (tmp_path / "my_networks_here.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    found = result("inspect", "my_networks_here:make", "--input-shape", "1,8,8")
    assert found["num_params"] == 64 * 5 + 5 + 5 * 3 + 3
    assert found["num_classes"] == 3


# --- run ---


@pytest.fixture
def started(monkeypatch):
    """What ``run`` hands to Streamlit, which is not started."""
    calls = []
    monkeypatch.setattr(streamlit.web.cli, "main", lambda words, **_: calls.append(words))
    for name in ("MODEL", "DATA", "HOME", "DEVICE"):
        monkeypatch.setenv(f"WORKBENCH_{name}", "")
    return calls


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_run_starts_the_app_with_what_was_chosen(started, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    port = str(free_port())
    (tmp_path / "own.npz").write_bytes(b"")
    words = ["--model", SAMPLE, "--data", "own.npz", "--home", "here", "--device", "cpu"]
    assert main([*words, "--port", port]) == 0
    (command,) = started
    assert command[0] == "run"
    assert Path(command[1]).read_text("utf-8").startswith('"""Entry point')
    assert command[command.index("--server.port") + 1] == port
    assert command[command.index("--server.headless") + 1] == "true"
    assert os.environ["WORKBENCH_MODEL"] == SAMPLE
    assert os.environ["WORKBENCH_DATA"] == str(tmp_path / "own.npz")
    assert os.environ["WORKBENCH_HOME"] == str(tmp_path / "here")
    assert os.environ["WORKBENCH_DEVICE"] == "cpu"


def test_run_refuses_a_port_in_use(started, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["run", "--port", str(port)]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"The app cannot listen on 127.0.0.1, port {port}:")
    assert second.startswith("Choose another port")
    assert not started


# --- progress ---


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_shows_one_line_that_is_wiped(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    stream = Terminal()
    with ProgressLine(stream) as line:
        line.start("Measuring")
        for done in range(1, 5):
            line(Progress(done, 4, f"layer {done}"))
    shown = stream.getvalue().split("\r")
    assert shown[2].rstrip() == "Measuring  [##########..........]   50 %  2 s left  layer 2"
    assert "\n" not in stream.getvalue()
    assert shown[-1] == ""
    assert not shown[-2].strip()


def test_a_file_gets_plain_lines_and_few(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    with ProgressLine(stream) as line:
        line.start("Measuring")
        for done in range(101):
            now[0] = done * 0.25
            line(Progress(done, 100, values={"seconds_left": 70}))
    assert stream.getvalue().splitlines() == [
        "Measuring",
        "   40 %  1 min 10 s left",
        "   80 %  1 min 10 s left",
    ]


# --- as a person starts it ---


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_a_process_of_its_own_stops_at_ctrl_c():
    command = [sys.executable, "-m", "workbench", "sensitivity", "fashion-resnet20"]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may ignore it
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    signal.signal(signal.SIGINT, before)
    try:
        assert process.stderr.readline() == "Measuring the sensitivity of fashion-resnet20\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out) == (130, "")
    assert err.strip() == "Stopped."


def test_a_closed_pipe_is_no_fault(monkeypatch, tmp_path, capsys):
    with (tmp_path / "out").open("w") as file:

        class Closed:
            def write(self, text):
                raise BrokenPipeError

            def fileno(self):
                return file.fileno()

        monkeypatch.setattr(sys, "stdout", Closed())
        assert main(["inspect", SAMPLE]) == 0
    assert capsys.readouterr().err == ""


def test_a_plan_made_for_another_model_is_told(tmp_path, capsys):
    plan = tmp_path / "plan.yaml"
    plan.write_text("model: deadbeefdeadbeef\nsparsities:\n  hidden.0: 0.5\n")
    assert (
        main(["prune", "digits-mlp", "--plan", str(plan), "--json", str(tmp_path / "a.json")]) == 0
    )
    assert "made for a model with digest deadbeefdeadbeef" in capsys.readouterr().err
