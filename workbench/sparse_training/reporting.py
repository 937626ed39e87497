"""Reports of parts of a longer work."""

from collections.abc import Mapping

from workbench.progress import Progress, Report

TOTAL = 1_000


def part_of(
    report: Report, start: float, end: float, title: str = "",
    values: Mapping[str, object] | None = None,
) -> Report:  # fmt: skip
    """A report for a part of the work.

    Args:
        report: Of the whole.
        start: Where the part begins, from 0 to 1.
        end: Where it ends.
        title: Stands before its messages.
        values: Told with every step, over what the step itself tells.
    """

    def report_part(progress: Progress) -> None:
        inside = progress.done / progress.total if progress.total else 0.0
        done = round(TOTAL * min(1.0, max(0.0, start + (end - start) * inside)))
        message = f"{title}: {progress.message}" if title else progress.message
        report(Progress(done, TOTAL, message, {**progress.values, **(values or {})}))

    return report_part
