"""The verbs ``evaluate``, ``robustness`` and ``ensemble``: their JSON is what functions find."""

import json
import re

import pytest
import torch
from safetensors.torch import save_file
from sklearn import metrics as oracle

from workbench.allocation import allocate
from workbench.cli import choices, main
from workbench.corruptions import CORRUPTIONS
from workbench.ensembles import ENSEMBLES, EnsembleSettings, combine_models
from workbench.export import export_model
from workbench.loading import load_data, load_model
from workbench.model import Model
from workbench.prune import prune
from workbench.robustness import RobustnessSettings, measure_robustness

CORRUPTED = ("--corruptions", "contrast,blur", "--severities", "1,5", "--samples", "60")


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> list[str]:
    """A file of weights with zeros, and an exported folder of a model with channels gone."""
    dense, data = load_model("digits-mlp"), load_data("digits")
    there = tmp_path_factory.mktemp("models")
    half, thin = (
        prune(dense, allocate(dense, "uniform", sparsity=sparsity, granularity=granularity))
        for granularity, sparsity in (("weight", 0.5), ("channel", 0.3))
    )
    save_file(half.model.module.state_dict(), there / "half.safetensors")
    export_model(thin.model, data, thin.plan, there / "thin", dense=dense)
    return [str(there / "half.safetensors"), str(there / "thin")]


def opened(sources: list[str]) -> dict[str, Model]:
    return {"half": load_model(sources[0]), "thin": load_model(f"{sources[1]}/weights.safetensors")}


def run(*words: str, capsys) -> dict:
    assert main([*words, "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


def plain(values: object) -> object:
    return json.loads(json.dumps(values))


def test_evaluate_tells_every_class_as_scikit_learn_does(capsys):
    values = run("evaluate", "digits-mlp", capsys=capsys)
    model, part = load_model("digits-mlp"), load_data("digits").split("test")
    with torch.inference_mode():
        outputs = model.module(part.images)
    answer, labels = outputs.argmax(1).numpy(), part.labels.numpy()
    precision, recall, f1, _ = oracle.precision_recall_fscore_support(labels, answer)
    assert [one["precision"] for one in values["classes"]] == pytest.approx(precision)
    assert [one["recall"] for one in values["classes"]] == pytest.approx(recall)
    assert values["recall"] == pytest.approx(recall)
    assert [one["f1"] for one in values["classes"]] == pytest.approx(f1)
    assert values["confusion"] == oracle.confusion_matrix(labels, answer).tolist()
    assert values["macro_f1"] == pytest.approx(oracle.f1_score(labels, answer, average="macro"))
    assert values["top5"] == pytest.approx(
        oracle.top_k_accuracy_score(labels, outputs.numpy(), k=5)
    )
    assert values["accuracy"] == pytest.approx(oracle.accuracy_score(labels, answer))


def test_evaluate_shows_the_confusion_and_the_means(capsys):
    assert main(["evaluate", "digits-mlp", "--samples", "50"]) == 0
    text = capsys.readouterr().out
    for words in ("macro mean", "Top-5 accuracy", "Images by what they are taken for", "F1"):
        assert words in text


def test_robustness_is_what_the_function_finds(sources, capsys):
    values = run("robustness", "digits-mlp", "--against", *sources, *CORRUPTED, capsys=capsys)
    settings = RobustnessSettings(("contrast", "blur"), (1, 5), 60)
    models = {"digits-mlp": load_model("digits-mlp")}
    models |= opened(sources)
    found = measure_robustness(models, load_data("digits"), settings)
    assert values["models"] == plain(found.to_dict())["models"]
    assert [one["name"] for one in values["models"]] == ["digits-mlp", "half", "thin"]
    assert values["data"]["name"] == "digits"
    assert values["complete"]


def test_robustness_tells_a_row_for_every_condition_and_the_difference(sources, capsys, tmp_path):
    words = ["robustness", "digits-mlp", "--against", sources[0], *CORRUPTED]
    assert main([*words, "--cache", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    for name in ("contrast", "blur"):
        for level in (1, 5):
            assert f"{CORRUPTIONS[name].title}, {level} " in text
    assert re.search(r"half beside digits-mlp: [+-]\d+\.\d\d points", text)
    assert "60 test images, the same for all" in text
    assert len(list(tmp_path.glob("*.jsonl"))) == 2
    assert main([*words, "--cache", str(tmp_path)]) == 0
    assert capsys.readouterr().out == text


def test_an_ensemble_is_what_the_function_finds(sources, capsys, tmp_path):
    words = ("ensemble", "digits-mlp", "--members", *sources, "--methods",
             "vote,average", "--cache", str(tmp_path))  # fmt: skip
    values = run(*words, capsys=capsys)
    dense = load_model("digits-mlp")
    models = opened(sources)
    found = combine_models(
        dense, models, load_data("digits"), EnsembleSettings(("vote", "average"))
    )
    told = plain(found.to_dict())
    for key in ("settings", "dense", "members", "combined", "best", "tried", "best_member"):
        assert values[key] == told[key], key
    assert len(list(tmp_path.glob("*.npy"))) == 6


def test_the_text_of_an_ensemble_says_how_large_it_is_and_what_is_best(sources, capsys):
    assert main(["ensemble", "digits-mlp", "--members", *sources]) == 0
    text = capsys.readouterr().out
    for method in ENSEMBLES.values():
        assert method.title in text
    assert "within the dense model's MACs" in text or "fit the dense model's MACs" in text
    assert "McNemar's exact test" in text
    assert main(["ensemble", "digits-mlp", "--members", *sources, "--no-search"]) == 0
    assert "the dense model's MACs" not in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["robustness", "ensemble"])
def test_help_gives_every_choice_its_sentence(verb, capsys):
    with pytest.raises(SystemExit) as end:
        main([verb, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    table = {"robustness": choices.CORRUPTIONS, "ensemble": choices.ENSEMBLES}[verb]
    for name, sentence in table.items():
        assert re.search(rf"^  {re.escape(name)} +{re.escape(sentence)}$", text, re.M), name


def test_the_choices_are_those_of_the_registries():
    assert {name: one.summary for name, one in CORRUPTIONS.items()} == choices.CORRUPTIONS
    assert {name: one.summary for name, one in ENSEMBLES.items()} == choices.ENSEMBLES
