"""The table of refusals and how a row of it is observed."""

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from workbench.errors import WorkbenchError

TABLE = Path(__file__).resolve().parents[1] / "refusals.yaml"
Maker = Callable[[Path], object]


@dataclass(frozen=True)
class Row:
    """One refusal: what is wrong, and what the person reads."""

    id: str
    wrong: str
    error: str
    message: str
    hint: str


class Makers(list[Maker]):
    """A list of makers that grows by decorating them."""

    def __call__(self, maker: Maker) -> Maker:
        self.append(maker)
        return maker


def observe(maker: Maker, folder: Path) -> Row:
    """Make the wrong input in an empty folder and record how it is refused."""
    wrong = " ".join((maker.__doc__ or "").split())
    try:
        maker(folder)
    except WorkbenchError as refusal:
        message, hint = (_settled(text, folder) for text in (refusal.message, refusal.hint))
        return Row(maker.__name__, wrong, type(refusal).__name__, message, hint)
    raise AssertionError(f"{maker.__name__} was not refused.")


def _settled(text: str, folder: Path) -> str:
    """The text without the parts that differ from run to run."""
    return re.sub(r"\.partial-[0-9a-f]+", ".partial", text.replace(str(folder), "FOLDER"))


def read_table() -> dict[str, Row]:
    """All rows by id."""
    rows = [Row(**row) for row in yaml.safe_load(TABLE.read_text("utf-8"))]
    return {row.id: row for row in rows}


def write_table(rows: list[Row]) -> None:
    """Write the rows with a blank line between them."""
    blocks = [
        yaml.safe_dump([asdict(row)], sort_keys=False, allow_unicode=True, width=10_000)
        for row in rows
    ]
    head = "# Written by `python -m tests.golden.refusals`; every change is read by eye.\n\n"
    TABLE.write_text(head + "\n".join(blocks), "utf-8")
