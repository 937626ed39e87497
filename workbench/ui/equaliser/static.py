"""The component's script and style sheet, joined from files once."""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
SCRIPTS = (
    "predict.js",
    "format.js",
    "dom.js",
    "scale.js",
    "columns.js",
    "accuracies.js",
    "totals.js",
    "members.js",
    "detail.js",
    "hand.js",
    "equaliser.js",
)


def script() -> str:
    """One module out of the script files, in the order of their use."""
    return "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)


def style_sheet() -> str:
    """The style sheet of the component's shadow root."""
    return (FOLDER / "equaliser.css").read_text(encoding="utf-8")
