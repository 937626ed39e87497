"""Wrong files and values, each with the exact refusal that it gets.

``refusals.yaml`` beside this package is the table: what is wrong, the class of the error, its
message and its hint. The functions here make the wrong input and hand it to the public function
that refuses it. After a change of wording write the table anew and read the difference by eye:

    python -m tests.golden.refusals
    git diff tests/golden/refusals.yaml
"""

from tests.golden.refusals import (
    allocation,
    arena,
    cluster,
    commands,
    criteria,
    data,
    evaluation,
    freezing,
    methods,
    models,
    precision,
    replacement,
    searches,
    shared,
    sparse_training,
    speed,
    thin,
    training,
    values,
)
from tests.golden.refusals.table import TABLE, Row, observe, read_table, write_table

MAKERS = {
    maker.__name__: maker
    for part in (
        models,
        thin,
        data,
        values,
        precision,
        speed,
        arena,
        methods,
        allocation,
        freezing,
        criteria,
        commands,
        evaluation,
        cluster,
        searches,
        replacement,
        shared,
        training,
        sparse_training,
    )
    for maker in part.MAKERS
}
"""Functions by the name of their row; each takes an empty folder and must be refused."""

__all__ = ["MAKERS", "TABLE", "Row", "observe", "read_table", "write_table"]
