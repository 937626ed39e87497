"""The verb ``prune``."""

import sys
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from workbench.cli.allocate_verb import make_plan
from workbench.cli.app import add_current_folder
from workbench.cli.choices import BUDGETS, check_choice
from workbench.cli.export_verb import exported_text
from workbench.cli.output import percent, write_json
from workbench.cli.progress import ProgressLine
from workbench.cli.quantise_verb import quantise_after, wanted_after
from workbench.cli.training_options import training_settings
from workbench.cli.verbs import (
    Outcome,
    UnfinishedError,
    describe,
    measurements_table,
    open_data,
    open_model,
)
from workbench.data import Data
from workbench.device import choose_device
from workbench.errors import PlanError
from workbench.experiment import Run, run_experiment
from workbench.export import Exported, check_target, export_model
from workbench.freezing import freeze_plan
from workbench.groups import find_groups
from workbench.latency import MIN_RUNS, RUNTIMES
from workbench.loading import load_model
from workbench.model import Model, check_fit
from workbench.plan import PruningPlan
from workbench.plan_file import read_plan
from workbench.saving import Saving, measure_saving

STAGES = ("dense", "pruned", "repaired", "finetuned")


def prune(arguments: Namespace) -> Outcome:
    """Plan, prune, repair, fine-tune, measure on the test split, export."""
    _check_source_of_plan(arguments)
    device = choose_device(arguments.device)
    settings = training_settings(arguments)
    wanted_after(arguments)
    if arguments.out:
        check_target(Path(arguments.out))
    model = open_model(arguments)
    data = open_data(arguments, model)
    teacher = _teacher(arguments, data)
    plan = _plan(arguments, model)
    with ProgressLine() as line:
        line.start(f"Pruning {model.name}")
        run, pruned = run_experiment(
            model, data, plan, repair=arguments.repair, finetune=settings, teacher=teacher,
            report=line, device=device,
        )  # fmt: skip
    values = describe(model, data) | _result(run, plan, None)
    text = measurements_table([(stage.name, stage.measurement) for stage in run.stages])
    text = "\n\n".join(filter(None, (text, _repair_text(run))))
    write_json(arguments.json, values)
    try:
        with ProgressLine() as line:
            line.start("Timing the dense and the pruned model in turns")
            saving = measure_saving(pruned, runs=MIN_RUNS, report=line)
            values |= {"accounting": saving.to_dict()}
            text += f"\n\n{_saving_text(saving)}"
            if not arguments.out:
                return values, text
            line.start(f"Exporting to {arguments.out}")
            exported = export_model(
                pruned.model, data, plan, arguments.out, run=run, dense=model, report=line
            )
        values |= _result(run, plan, exported)
        text += f"\n\n{exported_text(exported)}"
        if arguments.quantise:
            quantised, more = quantise_after(arguments, pruned.model, data)
            values, text = values | dict(quantised), f"{text}\n\n{more}"
    except BaseException as error:  # what was measured, perhaps for hours, is told all the same
        raise UnfinishedError((values, text), error) from error
    return values, text


def _check_source_of_plan(arguments: Namespace) -> None:
    if bool(arguments.plan) == bool(arguments.method):
        raise PlanError(
            "Both a plan and a method are given."
            if arguments.plan
            else "Neither a plan nor a method is given.",
            "Give --plan FILE, or --method NAME with --sparsity or --budget.",
        )
    if arguments.plan and (arguments.sparsity is not None or arguments.budget):
        raise PlanError(
            "A plan file holds its own sparsities; --sparsity and --budget do not go with it.",
            "Leave them out, or use --method instead of --plan.",
        )


def _teacher(arguments: Namespace, data: Data) -> Model | None:
    """The model that ``--teacher`` names; None takes the dense one."""
    if not arguments.teacher:
        return None
    if ":" in arguments.teacher:
        add_current_folder()
    teacher = load_model(arguments.teacher, input_shape=arguments.input_shape, allow_factory=True)
    check_fit(teacher, data)
    return teacher


def _plan(arguments: Namespace, model: Model) -> PruningPlan:
    """The plan of the file or of the method; options that were given win over the file."""
    if arguments.method:
        if arguments.budget:
            check_choice("budget", arguments.budget.partition("=")[0].strip(), BUDGETS)
        groups = find_groups(model, arguments.granularity or "weight")
        return make_plan(arguments, model, groups).plan
    plan = read_plan(Path(arguments.plan))
    if plan.model and plan.model != model.digest:
        sys.stderr.write(
            f"The plan was made for a model with digest {plan.model}; {model.name} has "
            f"{model.digest}. It is used all the same.\n"
        )
    if plan.allocation == "by_training":
        sys.stderr.write(
            "The plan tells how much sparse training left of every layer. The same shares are cut "
            f"from {model.name} here, which need not hit the same weights.\n"
        )
    if arguments.granularity not in (None, plan.granularity):
        raise PlanError(
            f"The plan is made for granularity {plan.granularity!r}, not for "
            f"{arguments.granularity!r}.",
            "Leave --granularity out, or make another plan with workbench allocate.",
        )
    changes = {
        key: getattr(arguments, key)
        for key in ("criterion", "seed", "channel_multiple")
        if getattr(arguments, key) is not None
    }
    plan = replace(plan, **changes)
    if not arguments.freeze:
        return plan
    return freeze_plan(find_groups(model, plan.granularity), plan, arguments.freeze)


def _result(run: Run, plan: PruningPlan, exported: Exported | None) -> dict[str, object]:
    """The stages by name; one that was left out repeats the one before and says so."""
    values: dict[str, object] = {}
    seconds: dict[str, float] = {}
    last: Mapping[str, object] = {}
    for name in STAGES:
        stage = run.stage(name)
        last = stage.measurement.to_dict() if stage else last
        values[name] = dict(last) | {"skipped": stage is None}
        seconds[name] = stage.seconds if stage else 0.0
    if exported:
        seconds["export"] = exported.seconds
        values["export"] = exported.to_dict()
    repaired = run.stage("repaired")
    if repaired and repaired.repair:
        values["repair"] = {"method": run.repair} | repaired.repair.to_dict()
    if run.training:
        values["training"] = run.training.to_dict()
    files = [str(exported.folder / file.name) for file in exported.files] if exported else []
    return values | {"plan": plan.to_dict(), "files": files, "seconds": seconds}


def _saving_text(saving: Saving) -> str:
    """What the pruned model saves, in a line for the file and one for the time."""
    sizes = saving.sizes
    file = (
        f"Weights file: {sizes.file_bytes:,} bytes, zipped {sizes.zipped_bytes:,} "
        f"(dense: {sizes.dense_file_bytes:,}, zipped {sizes.dense_zipped_bytes:,})."
    )
    times = [
        f"{found.measured_speedup:.2f}x ({found.speedup_low:.2f} to {found.speedup_high:.2f}) "
        f"in {RUNTIMES[name]}"
        for name, found in saving.speedups.items()
    ]
    times += [f"not in {RUNTIMES[name]}: {why}" for name, why in saving.unmeasured.items()]
    theory = f"theoretical speedup {saving.theoretical_speedup:.2f}x"
    return f"{file}\nMeasured speedup: {', '.join(times)}; {theory}."


def _repair_text(run: Run) -> str:
    """What repair did, in a line or two; empty where it did nothing."""
    stage = run.stage("repaired")
    if stage is None or stage.repair is None:
        return ""
    record = stage.repair
    lines = []
    changed = [step for step in record.steps if step.kept]
    if changed and record.chosen == "full":
        before = sum(step.error_before for step in changed) / len(changed)
        after = sum(step.error_after for step in changed) / len(changed)
        lines.append(
            f"Repair solved {len(changed)} of {len(record.steps)} layers anew: on average they "
            f"miss the dense model's outputs by {percent(after)} of their variance, before by "
            f"{percent(before)}."
        )
    if record.chosen != run.repair:
        lines.append(
            f"Repair {record.chosen!r} was taken instead of {run.repair!r}: it came closer to the "
            "dense model on images that were held out."
        )
    return "\n".join([*lines, *record.notes])
