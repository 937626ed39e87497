"""The verb ``export``."""

from argparse import Namespace
from pathlib import Path

from workbench.cli.output import percent
from workbench.cli.progress import ProgressLine
from workbench.cli.verbs import Outcome, describe, open_data, open_model
from workbench.export import FORMATS, Exported, export_file, export_model


def export(arguments: Namespace) -> Outcome:
    """Write a model as a folder or as one file."""
    model = open_model(arguments)
    known = arguments.data or model.data_name
    data = open_data(arguments, model) if known else None
    target = Path(arguments.out)
    names = tuple(FORMATS) if arguments.format == "all" else (arguments.format,)
    as_folder = arguments.format == "all" or target.is_dir()
    with ProgressLine() as line:
        line.start(f"Exporting {model.name} to {target}")
        if as_folder:
            exported = export_model(
                model, data, None, target, formats=names, num_samples=arguments.samples,
                report=line,
            )  # fmt: skip
        else:
            exported = export_file(
                model, data, target, names[0], num_samples=arguments.samples, report=line
            )
    return describe(model, data) | exported.to_dict(), exported_text(exported)


def exported_text(exported: Exported) -> str:
    """Files with their lengths, and how they compare with the model in memory."""
    width = max(len(file.name) for file in exported.files)
    lines = [f"{exported.folder}"]
    lines += [f"  {file.name:{width}}  {file.bytes:>12,} bytes" for file in exported.files]
    if exported.checks:
        samples = max(check.samples for check in exported.checks)
        lines.append(
            f"Largest difference from the model in memory: {exported.max_abs_diff:.1e}, same "
            f"class for {percent(exported.agreement)} of {samples:,} images."
        )
    return "\n".join([*lines, *exported.notes])
