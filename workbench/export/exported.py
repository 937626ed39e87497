"""What an export gives back."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class ExportedFile:
    """One file of an export.

    Attributes:
        name: Its name in the folder.
        bytes: How long it is.
        sha256: Digest of its content, 64 hexadecimal digits.
    """

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class FileCheck:
    """How the class scores of a file compare with those of the model in memory.

    Attributes:
        file: Which file was run.
        max_abs_diff: Largest absolute difference between two scores.
        agreement: Fraction of the images that both put into the same class.
        samples: Images compared.
        accuracy: Fraction of those images the file puts into the right class; None where their
            labels are not known.
    """

    file: str
    max_abs_diff: float
    agreement: float
    samples: int
    accuracy: float | None = None


@dataclass(frozen=True)
class Exported:
    """An exported folder.

    Attributes:
        folder: Where the files lie.
        files: All of them, in the order of the formats.
        checks: One comparison with the model in memory for each file that can be run.
        notes: What a reader should know: what was left out and why, and what zeros do not do.
        seconds: How long the export took, checks included.
    """

    folder: Path
    files: tuple[ExportedFile, ...]
    checks: tuple[FileCheck, ...]
    notes: tuple[str, ...]
    seconds: float

    @property
    def max_abs_diff(self) -> float:
        """Largest absolute difference between a score of a file and of the model in memory."""
        return max((check.max_abs_diff for check in self.checks), default=0.0)

    @property
    def agreement(self) -> float:
        """Smallest fraction of images that a file puts into the same class as the model."""
        return min((check.agreement for check in self.checks), default=1.0)

    @property
    def accuracy(self) -> float | None:
        """Accuracy of the ONNX file in ONNX Runtime; None where it was not measured."""
        return next((check.accuracy for check in self.checks if check.file == "model.onnx"), None)

    def to_dict(self) -> dict[str, object]:
        """Plain values, ready for JSON."""
        return {
            "folder": str(self.folder),
            "files": [asdict(file) for file in self.files],
            "checks": [asdict(check) for check in self.checks],
            "max_abs_diff": self.max_abs_diff,
            "agreement": self.agreement,
            "accuracy": self.accuracy,
            "notes": list(self.notes),
            "seconds": self.seconds,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> "Exported":
        """Read back what ``to_dict`` gave."""
        rows = {key: values[key] for key in ("files", "checks", "notes")}
        assert all(isinstance(row, list) for row in rows.values())
        return cls(
            folder=Path(str(values["folder"])),
            files=tuple(ExportedFile(**file) for file in rows["files"]),  # type: ignore[attr-defined]
            checks=tuple(FileCheck(**check) for check in rows["checks"]),  # type: ignore[attr-defined]
            notes=tuple(rows["notes"]),  # type: ignore[arg-type]
            seconds=float(str(values["seconds"])),
        )
