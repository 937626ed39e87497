"""Write the table of refusals anew: ``python -m tests.golden.refusals``."""

import tempfile
from pathlib import Path

from tests.golden.refusals import MAKERS, TABLE, observe, write_table


def main() -> None:
    rows = []
    for maker in MAKERS.values():
        with tempfile.TemporaryDirectory() as folder:
            rows.append(observe(maker, Path(folder)))
    write_table(rows)
    print(f"{len(rows)} refusals in {TABLE.name}")


if __name__ == "__main__":
    main()
