"""Write the table of sample models into README.md: ``python sample_models/readme_table.py``."""

import json
from pathlib import Path

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
BEGIN = "<!-- samples: written by sample_models/readme_table.py -->\n"
END = "<!-- end of samples -->\n"


def table() -> str:
    """One line per card: architecture, data, size and measured accuracy with its interval."""
    lines = [
        "| name | architecture | data | parameters | MACs | test accuracy (95 % interval) |",
        "| --- | --- | --- | ---: | ---: | ---: |",
    ]
    for path in sorted((HERE / "cards").glob("*.json")):
        card = json.loads(path.read_text("utf-8"))
        measured = card["measured"]
        low, high = 100 * measured["ci_low"], 100 * measured["ci_high"]
        lines.append(
            f"| `{card['name']}` | {card['title']} | {card['data_name']} "
            f"| {card['num_params']:,} | {card['macs'] / 1e6:.2f} M "
            f"| {100 * measured['accuracy']:.2f} % ({low:.1f}–{high:.1f}) |"
        )
    return "\n".join(lines) + "\n"


def with_table(text: str) -> str:
    """The README's text with the table of today between its two marks."""
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text("utf-8")), encoding="utf-8")
