"""Sensitivity curves in a file, as ``workbench sensitivity --json`` writes them."""

import json
from collections.abc import Mapping
from pathlib import Path

from workbench.curves import SensitivityCurves
from workbench.errors import StorageError


def read_curves(path: Path) -> SensitivityCurves:
    """The curves in a file that ``workbench sensitivity --json`` wrote.

    Raises:
        StorageError: If it cannot be read or holds no curves.
    """
    try:
        values = json.loads(path.read_text("utf-8"))
        plain = {key: values[key] for key in _CURVE_KEYS if key in values}
        for key in ("model", "data"):
            if isinstance(plain[key], Mapping):
                plain[key] = plain[key]["digest"]
        return SensitivityCurves.from_dict(plain)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be read: {error.strerror}.", "Check the path."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(
            f"{path} holds no sensitivity curves.",
            "Write some with workbench sensitivity MODEL --json FILE.",
        ) from error


_CURVE_KEYS = tuple(SensitivityCurves.__dataclass_fields__)
