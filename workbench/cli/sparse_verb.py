"""The verb ``sparse``."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from workbench.cli.export_verb import exported_text
from workbench.cli.output import percent, table, write_json
from workbench.cli.progress import ProgressLine
from workbench.cli.verbs import (
    Outcome,
    UnfinishedError,
    describe,
    measurements_table,
    open_data,
    open_model,
)
from workbench.device import choose_device
from workbench.errors import SettingsError
from workbench.experiment import Run, Stage
from workbench.export import check_target, export_model
from workbench.finetune_settings import FineTuneSettings
from workbench.prune import Pruned
from workbench.sparse_training import SparseTrainingSettings, get_sparse_method
from workbench.sparse_training.measured import train_sparse_and_measure
from workbench.sparse_training.settings import LEAST_EPOCHS, usual_epochs
from workbench.sparse_training.sweeping import (
    Choice,
    Tried,
    choose_strength,
    prunable_sparsity,
    settings_of_sweep,
)

OWN = ("mix", "ramp", "step", "max_loss", "rounds", "rewind_epochs")


def sparse(arguments: Namespace) -> Outcome:
    """Train a model sparse, with one strength or several, measure it and export it."""
    tries = _tries(arguments)
    after = arguments.finetune_epochs
    finetune = _training(arguments, after, None) if after else None
    device = choose_device(arguments.device)
    if arguments.out:
        check_target(Path(arguments.out))
    model = open_model(arguments)
    data = open_data(arguments, model)
    if arguments.epochs is None and arguments.seconds is None:
        epochs = usual_epochs(data, arguments.batch_size)
        tries = [replace(one, training=replace(one.training, epochs=epochs)) for one in tries]
    attempts: list[dict[str, Any]] = []
    texts: list[str] = []
    dense: Stage | None = None
    run, pruned = None, None
    with ProgressLine() as line:
        for settings in tries:
            line.start(f"Training {model.name} sparse: {settings.chosen.title}")
            try:
                run, pruned = train_sparse_and_measure(
                    model, data, settings, finetune=finetune, dense=dense, report=line,
                    device=device,
                )  # fmt: skip
            except BaseException as error:
                if not attempts:
                    raise
                found = describe(model, data) | _result(attempts)
                raise UnfinishedError((found, _all_texts(texts, attempts)), error) from error
            assert pruned is not None  # nothing stops it
            dense = run.stage("dense")
            attempts.append(_attempt(settings, run, pruned))
            texts.append(_text(settings, run, pruned))
            write_json(arguments.json, describe(model, data) | _result(attempts))
    assert run is not None
    assert pruned is not None
    values = describe(model, data) | _result(attempts)
    text = _all_texts(texts, attempts)
    if not arguments.out:
        return values, text
    try:
        with ProgressLine() as line:
            line.start(f"Exporting to {arguments.out}")
            exported = export_model(
                pruned.model, data, run.plan, arguments.out, run=run, dense=model, report=line
            )
    except BaseException as error:  # what was trained, perhaps for hours, is told all the same
        raise UnfinishedError((values, text), error) from error
    files = [str(exported.folder / file.name) for file in exported.files]
    values |= {"files": files, "export": exported.to_dict()}
    return values, f"{text}\n\n{exported_text(exported)}"


def _tries(arguments: Namespace) -> list[SparseTrainingSettings]:
    strengths = arguments.strength
    if arguments.out and len(strengths) > 1:
        raise SettingsError(
            f"{len(strengths)} strengths are to be tried, but only one model can be exported.",
            "Leave --out away, or give one strength.",
        )
    granularities = get_sparse_method(arguments.method).granularities
    settings = SparseTrainingSettings(
        method=arguments.method, strength=strengths[0] if strengths else None,
        target=arguments.target,
        granularity=arguments.granularity or granularities[0],
        freeze=tuple(arguments.freeze) or None, from_scratch=arguments.from_scratch,
        training=_training(arguments, _epochs(arguments), arguments.seconds),
        **{name: getattr(arguments, name) for name in OWN},
    )  # fmt: skip
    return settings_of_sweep(settings, strengths)


def _epochs(arguments: Namespace) -> int:
    """What was asked for; otherwise any number, until the data are open."""
    return LEAST_EPOCHS if arguments.epochs is None else int(arguments.epochs)


def _training(arguments: Namespace, epochs: int, seconds: float | None) -> FineTuneSettings:
    return FineTuneSettings(
        optimizer=arguments.optimizer, lr=arguments.lr, epochs=epochs, seconds=seconds,
        batch_size=arguments.batch_size, seed=arguments.seed or 0,
    )  # fmt: skip


def _attempt(settings: SparseTrainingSettings, run: Run, pruned: Pruned) -> dict[str, Any]:
    """One strength: settings, stages, plan and the sparsity of what may be cut."""
    stages = {stage.name: stage.measurement.to_dict() for stage in run.stages}
    trained, dense = run.stage("pruned"), run.stage("dense")
    assert dense is not None
    assert trained is not None
    assert trained.training is not None
    return {
        "settings": settings.to_dict(),
        "strength": settings.used_strength,
        "sparsity": prunable_sparsity(pruned),
        "validation_accuracy": run.final.validation.accuracy,
        "dense_validation": dense.validation.accuracy,
        **stages,
        "plan": run.plan.to_dict(),
        "training": trained.training.to_dict(),
        "seconds": {stage.name: stage.seconds for stage in run.stages},
    }


def _result(attempts: list[dict[str, Any]]) -> dict[str, object]:
    """The last attempt's values, all attempts, and which of several is the best."""
    best = {"best": _choice(attempts).index} if len(attempts) > 1 else {}
    return dict(attempts[-1]) | {"attempts": attempts, "files": []} | best


def _choice(attempts: list[dict[str, Any]]) -> Choice:
    settings = SparseTrainingSettings.from_dict(attempts[0]["settings"])
    tried = [Tried(one["sparsity"], one["validation_accuracy"]) for one in attempts]
    return choose_strength(tried, settings.used_target, attempts[0]["dense_validation"])


def _text(settings: SparseTrainingSettings, run: Run, pruned: Pruned) -> str:
    """The stages as a table, and what came out in a line."""
    trained = run.stage("pruned")
    note = trained.training.note if trained and trained.training else ""
    what = "channels, neurons and heads" if pruned.kept else "weights that may be cut"
    method = settings.chosen
    with_strength = f", strength {settings.used_strength:g}" if method.strength is not None else ""
    line = (
        f"{method.title}{with_strength}: {percent(prunable_sparsity(pruned))} of the {what} gone."
    )
    head = measurements_table([(stage.name, stage.measurement) for stage in run.stages])
    return "\n".join(filter(None, (head, "", line, note)))


def _all_texts(texts: list[str], attempts: list[dict[str, Any]]) -> str:
    """What is told of every strength, and a table where there are several."""
    return "\n\n".join([*texts, *([_table(attempts)] if len(attempts) > 1 else [])])


def _table(attempts: list[dict[str, Any]]) -> str:
    """Strength against sparsity and validation accuracy."""
    rows = [
        [f"{one['strength']:g}", percent(one["sparsity"]), percent(one["validation_accuracy"])]
        for one in attempts
    ]
    choice = _choice(attempts)
    why = {
        "target": f"the most accurate of {choice.among} that reach the target",
        "nearest": "none reaches the target, and it comes nearest",
        "close": f"the sparsest of {choice.among} within one point of dense",
        "accurate": "none is within one point of dense, and it loses least",
    }[choice.why]
    best = f"Best on validation images: strength {attempts[choice.index]['strength']:g}, {why}."
    return f"{table(['strength', 'sparsity', 'validation accuracy'], rows)}\n\n{best}"
