"""The verb allocate: curves, floors, bounds, locks, exchanges; its JSON and what it refuses."""

import json

import pytest

from workbench.allocation import Budget, allocate
from workbench.cli import allocate_verb, main
from workbench.cli.parser import parse
from workbench.cli.verbs import run_verb
from workbench.errors import SettingsError
from workbench.loading import load_data, load_model
from workbench.plan import PruningPlan
from workbench.plan_file import read_plan
from workbench.prediction import Prediction
from workbench.sensitivity import SensitivitySettings, measure_sensitivity
from workbench.ui import plan_goal

SAMPLE = "digits-mlp"


@pytest.fixture(scope="module")
def curves_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("curves") / "curves.json"
    words = ["sensitivity", SAMPLE, "--levels", "0.5,0.9", "--samples", "40", "--json", str(path)]
    assert main(words) == 0
    return path


@pytest.fixture
def result(capsys):
    def run(*words):
        assert main([*words, "--json", "-"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return run


def test_allocate_takes_the_curves_of_a_file(result, curves_file, tmp_path):
    out = tmp_path / "plan.yaml"
    found = result(
        "allocate", SAMPLE, "--method", "optimal", "--budget", "params=0.4", "--curves",
        str(curves_file), "--out", str(out),
    )  # fmt: skip
    curves = allocate_verb.read_curves(curves_file)
    settings = SensitivitySettings((0.5, 0.9), 40)
    measured = measure_sensitivity(load_model(SAMPLE), load_data("digits"), settings)
    assert curves.points == measured.points
    plan = allocate(load_model(SAMPLE), "optimal", budget=Budget("params", 0.4), curves=curves)
    assert found["plan"] == plan.to_dict() == read_plan(out).to_dict()
    assert found["method"] == "optimal"
    assert found["budget"] == {"unit": "params", "kept": 0.4}
    assert 0.39 < found["achieved"]["params"] <= 0.4
    assert found["predicted"].keys() >= {"num_nonzero", "macs", "bytes", "accuracy", "loss",
                                         "accuracy_low", "accuracy_high"}  # fmt: skip
    assert found["curves"] == {
        "source": str(curves_file), "criterion": "l1", "repair": "none", "samples": 40,
        "precision": "exact",
    }  # fmt: skip


def test_without_a_method_the_best_rule_spreads_the_target(result, curves_file, capsys):
    words = ("allocate", SAMPLE, "--budget", "params=0.4", "--curves", str(curves_file))
    found = result(*words)
    assert found["method"] == plan_goal.BEST
    assert found["plan"] == result(*words, "--method", "optimal")["plan"]
    with pytest.raises(SystemExit):
        main(["allocate", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "if left out optimal, which looks for the smallest loss, as the plan page does" in told


def test_a_precision_that_is_asked_for_measures_now(result, monkeypatch):
    def measured(model, data, settings, **more):
        raise SettingsError(f"measured at precision {settings.precision}")

    monkeypatch.setattr(allocate_verb, "measure_sensitivity", measured)
    words = ("allocate", "fashion-resnet20", "--budget", "macs=0.25", "--granularity", "channel")
    assert result(*words)["curves"]["source"] == "shipped with the sample"
    for precision in ("fast", "exact"):
        with pytest.raises(SettingsError, match=f"measured at precision {precision}"):
            run_verb(parse([*words, "--precision", precision]))


def test_bounds_and_locks_reach_the_plan(result, curves_file):
    found = result(
        "allocate", SAMPLE, "--method", "greedy", "--budget", "params=0.6", "--curves",
        str(curves_file), "--bound", "hidden.0=0.1:0.45", "--lock", "classifier=0.5",
    )  # fmt: skip
    values = found["plan"]["sparsities"]
    assert values["classifier"] == 0.5
    assert 0.1 <= values["hidden.0"] <= 0.45


def test_what_is_not_at_hand_is_measured_and_told(capsys):
    words = ["allocate", SAMPLE, "--method", "equal_loss", "--budget", "macs=0.5",
             "--samples", "30", "--refine", "3"]  # fmt: skip
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert "# sensitivity: measured now, repair bn\n" in out
    assert "# predicted accuracy " in out
    assert " exchanges accepted: validation loss " in out
    assert "Measuring the sensitivity of digits-mlp" in err


def test_a_floor_takes_the_place_of_a_target(result, curves_file):
    found = result(
        "allocate", SAMPLE, "--method", "uniform", "--floor", "0.8", "--unit", "bytes",
        "--samples", "40",
    )  # fmt: skip
    trials = found["floor"]["trials"]
    best = min((trial for trial in trials if trial["holds"]), key=lambda trial: trial["kept"])
    assert best["accuracy"] >= 0.8
    assert found["achieved"]["bytes"] <= best["kept"]
    assert found["budget"] is None
    assert found["floor"]["complete"]


def test_the_sample_brings_its_own_curves(result):
    found = result(
        "allocate", "fashion-resnet20", "--method", "optimal", "--budget", "macs=0.25",
        "--granularity", "channel",
    )  # fmt: skip
    assert found["curves"]["source"] == "shipped with the sample"
    assert found["curves"]["repair"] == "bn"
    assert found["achieved"]["macs"] <= 0.25


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--method optimal --floor 0.9 --budget params=0.5",
         "A floor is given and a target as well."),
        ("--method uniform --sparsity 0.5 --bound hidden.0",
         "Argument --bound: 'hidden.0' is no bound; write it like this: conv1=0.2:0.8."),
        ("--method uniform --sparsity 0.5 --lock hidden.0=half",
         "Argument --lock: 'hidden.0=half' is no lock; write it like this: conv1=0.5."),
        ("--method uniform --sparsity 0.5 --lock hiden.0=0.5", "There is no layer 'hiden.0'."),
        ("--method uniform --budget latency=0.5",
         "Latency cannot be a budget for weights: zeros in a layer do not make it faster."),
        ("--method optimal --sparsity 0.5 --curves nowhere.json",
         "nowhere.json cannot be read: No such file or directory."),
        ("--method uniform --floor 0.9 --unit flops", "There is no unit 'flops'."),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(words, message, capsys):
    assert main(["allocate", SAMPLE, *words.split()]) == 2
    assert capsys.readouterr().err.splitlines()[0] == message


@pytest.mark.parametrize(("low", "words"), [(0.5, "70.00 %"), (0.2, "at most 90.00 %")])
def test_of_a_wide_band_the_upper_end_is_told(low, words):
    made = allocate_verb.Made(PruningPlan({}), prediction=Prediction(0.7, 1.0, low, 0.9, 0.5, 2.0))
    (line,) = allocate_verb._told(made)
    assert line.startswith(f"predicted accuracy {words} ({100 * low:.2f} % to 90.00 %), ")
