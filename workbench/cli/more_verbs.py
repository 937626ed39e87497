"""Verbs that bring their own options: each is one entry here and one module.

The module is ``workbench.cli.NAME_verb`` with a function of the verb's name; it is imported when
the verb runs, so that ``--help`` stays quick.
"""

from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import dataclass

from workbench.cli.ensemble_options import add_ensemble_options
from workbench.cli.methods_options import add_methods_options
from workbench.cli.quantise_options import add_quantise_options, add_restore_options
from workbench.cli.robustness_options import add_robustness_options
from workbench.cli.sparse_options import add_sparse_options


@dataclass(frozen=True)
class Verb:
    """A verb of the command line.

    Attributes:
        does: What it does, as half a sentence.
        add_options: Gives its parser what it takes.
    """

    does: str
    add_options: Callable[[ArgumentParser], None]


MORE_VERBS = {
    "sparse": Verb(
        "make zeros while the model trains, by a penalty or a growing cut", add_sparse_options
    ),
    "quantise": Verb(
        "put 8-bit numbers or a codebook in the place of the weights, measured",
        add_quantise_options,
    ),
    "restore": Verb("restore the model that a compressed file holds", add_restore_options),
    "robustness": Verb(
        "measure accuracy on corrupted test images, one model beside others", add_robustness_options
    ),
    "ensemble": Verb(
        "combine several models and compare them with the dense one at equal size",
        add_ensemble_options,
    ),
    "methods": Verb(
        "list every method, tell of one in full, try it, time all", add_methods_options
    ),
}
"""In the order in which ``--help`` lists them, after those of the road itself."""
