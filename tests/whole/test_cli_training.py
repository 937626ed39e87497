"""The command line trains with every option, and its JSON says so."""

import json
import sys

import pytest

from workbench.cli import main
from workbench.experiment import Run, run_experiment
from workbench.finetune import TrainingRecord
from workbench.finetune_settings import SCHEDULES, FineTuneSettings
from workbench.loading import load_data, load_model
from workbench.plan import PruningPlan
from workbench.training import FINETUNING

PLAN = ("prune", "digits-mlp", "--method", "global", "--sparsity", "0.9", "--json", "-")


@pytest.fixture
def pruned(capsys):
    """Prunes and trains with some options; returns the JSON."""

    def run(*words: str) -> dict:
        assert main([*PLAN, *words]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return run


def test_every_option_reaches_the_training_and_the_json(pruned):
    words = (
        "--finetune-epochs 2 --schedule restarts --cycles 3 --distillation 0.6 --temperature 2 "
        "--teacher digits-mlp --label-smoothing 0.1 --gaussian-noise 0.05 --salt-and-pepper 0.02 "
        "--shift 2 --flip --momentum 0.8 --weight-decay 0.001 --lr 0.01 --seed 3"
    )
    found = pruned(*words.split())
    record = TrainingRecord.from_dict(found["training"])
    assert record.settings == FineTuneSettings(
        lr=0.01, epochs=2, momentum=0.8, weight_decay=0.001, shift=2, flip=True, seed=3,
        schedule="restarts", cycles=3, distillation=0.6, temperature=2.0,
        label_smoothing=0.1, gaussian_noise=0.05, salt_and_pepper=0.02,
    )  # fmt: skip
    assert record.teacher == "digits-mlp"
    assert record.highest_lr == 0.01
    assert len(record.history) == 3
    plan = PruningPlan.from_dict(found["plan"])
    run, _pruned = run_experiment(
        load_model("digits-mlp"), load_data("digits"), plan, finetune=record.settings
    )
    assert isinstance(run, Run)
    accuracy = run.stage("finetuned").measurement.accuracy
    assert found["finetuned"]["accuracy"] == accuracy, "the teacher is the dense model itself"


def test_a_teacher_may_come_from_a_factory_in_the_folder_one_is_in(pruned, tmp_path, monkeypatch):
    code = "import torch\n\ndef build():\n    return torch.nn.Sequential("
    code += "torch.nn.Flatten(), torch.nn.Linear(64, 10))\n"
    (tmp_path / "some_teacher.py").write_text(code, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    words = "--repair none --finetune-epochs 1 --distillation 0.5 --teacher some_teacher:build"
    record = pruned(*words.split(), "--input-shape", "1,8,8")["training"]
    assert record["teacher"] == "some_teacher:build"


@pytest.mark.parametrize(("repair", "highest"), [("none", 0.05), ("full", 0.005)])
def test_right_after_a_full_repair_the_automatic_rate_is_gentle(pruned, repair, highest):
    record = pruned("--finetune-epochs", "1", "--repair", repair)["training"]
    assert record["settings"]["lr"] is None
    assert record["highest_lr"] == pytest.approx(highest)


def test_help_lists_the_schedules_and_the_catalogue_tells_of_every_option(capsys):
    with pytest.raises(SystemExit):
        main(["prune", "--help"])
    text = capsys.readouterr().out
    for name in SCHEDULES:
        assert name in text
        assert FINETUNING[name].summary in text
    assert main(["methods", "--family", "finetuning"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in FINETUNING)
