"""Options that mean nothing are refused, and taken where they mean something."""

import itertools

import pytest

from workbench.catalogue import methods_of
from workbench.cli.parser import parse
from workbench.errors import SettingsError
from workbench.finetune_settings import DEFAULT_LR, SCHEDULES, WITH_MOMENTUM
from workbench.training import FINETUNING
from workbench.training.method import Course

VALUES = {
    "mix": "0.5", "ramp": "0.6", "step": "0.1", "max_loss": "0.01", "rounds": "3",
    "rewind_epochs": "1", "from_scratch": None, "strength": "0.1", "trade_off": "1", "bits": "4",
    "coding": "huffman", "tune_epochs": "1", "samples": "64", "cycles": "2", "rewind": "0.3",
    "temperature": "4", "teacher": "digits-mlp", "repair_samples": "100", "pattern": None,
    "multiple": None,
}  # fmt: skip
"""A good value of every option that some method calls its own, often the usual one."""
ONLY_IN_NAMES = {"pattern", "multiple"}
"""Settings that stand behind a method's name on the command line, as in nm:2:4."""
PRUNE = ("prune", "digits-mlp", "--method", "uniform", "--sparsity", "0.5")
TRAIN = (*PRUNE, "--finetune-epochs", "1")
CHOICES = {
    "sparse_training": ("sparse", "digits-mlp", "--method"),
    "schedule": ("sparse", "digits-mlp", "--method"),
    "allocation": ("allocate", "digits-mlp", "--budget", "params=0.5", "--method"),
    "replacement": ("quantise", "digits-mlp", "--out", "here", "--method"),
    "repair": ("arena", "digits-mlp", "--repair"),
}


def flag(option):
    words = [f"--{option.replace('_', '-')}"]
    return words if VALUES[option] is None else [*words, VALUES[option]]


def owned():
    """Verb with its choice, a method, an option of its family, and whether it is the method's."""
    for family, words in CHOICES.items():
        methods = methods_of(family)
        if words[0] == "sparse":
            methods = {**methods_of("sparse_training"), **methods_of("schedule")}
        options = {option for method in methods.values() for option in method.options}
        for name, option in itertools.product(methods_of(family), sorted(options - ONLY_IN_NAMES)):
            yield words, name, option, option in methods[name].options


@pytest.mark.parametrize(("words", "name", "option", "own"), [*owned()])
def test_an_option_is_taken_by_its_methods_alone(words, name, option, own):
    asked = [*words, name, *flag(option)]
    if own:
        assert option in parse(asked)
        return
    with pytest.raises(SettingsError) as refused:
        parse(asked)
    written = flag(option)[0]
    assert refused.value.message == f"{written} means nothing with {words[-1]} {name}."
    assert f"leave {written} out" in refused.value.hint


def test_every_option_that_a_method_owns_is_known_here():
    families = ("criterion", "ensemble", "corruption", "finetuning", *CHOICES)
    found = {o for f in families for method in methods_of(f).values() for o in method.options}
    assert found == set(VALUES)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_owns_what_its_rate_depends_on(name):
    """Asked of the schedule itself: which part of the course moves the learning rate."""
    factor = FINETUNING[name].factor
    parts = [part / 20 for part in range(1, 20)]

    def rates(**course):
        return [factor(part, Course(1.0, **course)) for part in parts]

    owns = set()
    if rates(cycles=2) != rates(cycles=3):
        owns.add("cycles")
    if rates(retraced=0.3) != rates(retraced=0.6):
        owns.add("rewind")
    assert owns == set(FINETUNING[name].options)
    for option in ("cycles", "rewind"):
        words = [*TRAIN, "--schedule", name, *flag(option)]
        if option in owns:
            parse(words)
        else:
            with pytest.raises(SettingsError, match=f"--{option} means nothing with --schedule"):
                parse(words)


@pytest.mark.parametrize("option", ["temperature", "teacher"])
def test_a_teacher_needs_a_weight(option):
    parse([*TRAIN, "--distillation", "0.5", *flag(option)])
    for weight in ([], ["--distillation", "0"]):
        with pytest.raises(SettingsError, match="means nothing without --distillation"):
            parse([*TRAIN, *weight, *flag(option)])


@pytest.mark.parametrize("name", DEFAULT_LR)
def test_momentum_belongs_to_optimisers_that_have_some(name):
    words = [*TRAIN, "--optimizer", name, "--momentum", "0.9"]
    if name in WITH_MOMENTUM:
        parse(words)
    else:
        with pytest.raises(SettingsError, match=f"--momentum means nothing with .*{name}"):
            parse(words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((*PRUNE, "--lr", "0.1"), "--lr means nothing without --finetune-epochs"),
        ((*PRUNE, "--flip"), "--flip means nothing without --finetune-epochs"),
        ((*TRAIN, "--finetune-seconds", "2"), "--finetune-epochs means nothing beside"),
        (("prune", "digits-mlp", "--plan", "a", "--lock", "b=0.1"), "--lock means nothing beside"),
        (("prune", "digits-mlp", "--plan", "a", "--protect", "b"), "--protect means nothing"),
        (("sensitivity", "digits-mlp", "--half-width", "0.1"), "--half-width means nothing with"),
        (("sensitivity", "digits-mlp", "--granularity", "nm:2:4", "--levels", "0.5"),
         "--levels means nothing beside --granularity nm:2:4"),
        (("allocate", "digits-mlp", "--sparsity", "0.5", "--unit", "macs"),
         "--unit means nothing without --floor"),
        (("allocate", "digits-mlp", "--sparsity", "0.5", "--method", "cost_aware", "--trade-off",
          "1"), "--trade-off means nothing without --budget or --floor"),
        (("allocate", "digits-mlp", "--sparsity", "0.5", "--method", "lamp", "--repair", "bn"),
         "--repair means nothing with --method lamp"),
        (("allocate", "digits-mlp", "--sparsity", "0.5", "--curves", "a", "--precision", "fast"),
         "--precision means nothing beside --curves"),
        (("sparse", "digits-mlp", "--method", "l1", "--seconds", "2", "--epochs", "2"),
         "--epochs means nothing beside --seconds"),
        (("restore", "a.pwc", "--input-shape", "1,8,8"), "--input-shape means nothing without"),
        (("methods", "--granularity", "weight"), "--granularity means nothing without --model"),
        (("methods", "l1", "--model", "digits-mlp", "--costs", "--samples", "9"),
         "--samples means nothing without --try"),
        (("methods", "bn", "--model", "digits-mlp", "--try", "--repair", "bn"),
         "--repair means nothing beside bn"),
        (("methods", "l1", "--model", "digits-mlp", "--try", "--shown", "640"),
         "--shown means nothing with l1"),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused_by_name(words, message):
    with pytest.raises(SettingsError, match=message):
        parse(words)


@pytest.mark.parametrize(
    "words",
    [
        (*TRAIN, "--lr", "0.1", "--momentum", "0.9"),
        (*PRUNE, "--finetune-seconds", "2", "--flip"),
        (*PRUNE, "--seed", "3", "--repair", "none"),
        ("prune", "digits-mlp", "--plan", "a", "--criterion", "l2", "--freeze", "b", "--seed", "1"),
        ("sensitivity", "digits-mlp", "--precision", "fast", "--half-width", "0.1"),
        ("allocate", "digits-mlp", "--sparsity", "0.5", "--precision", "exact", "--samples", "9"),
        ("allocate", "digits-mlp", "--method", "lamp", "--sparsity", "0.5", "--refine", "3",
         "--repair", "none", "--samples", "9", "--seed", "1"),
        ("allocate", "digits-mlp", "--method", "uniform", "--floor", "0.9", "--unit", "macs",
         "--samples", "9"),
        ("quantise", "digits-mlp", "--out", "a", "--method", "int8_static,cluster:4",
         "--tune-epochs", "0", "--samples", "9"),
        ("methods", "l1", "--family", "sparse_training", "--model", "digits-mlp", "--try",
         "--shown", "640"),
    ],
)  # fmt: skip
def test_what_means_something_is_taken(words):
    parse(words)
