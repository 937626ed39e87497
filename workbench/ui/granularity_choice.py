"""What goes together: the same choices and words on every page."""

from workbench.granularity import EXAMPLES, Granularity, parse_granularity
from workbench.ui.i18n import _

_ALSO = ("nm:4:8", "nm:1:4", "block:8x8", "block:2x2:kernel", "subblock:4x4")
"""More that pages offer, behind one of each kind."""


def granularity_names(*present: str) -> list[str]:
    """Names to choose from, one of each kind first; those in use are always among them."""
    return list(dict.fromkeys([*EXAMPLES, *_ALSO, *present]))


def granularity_title(name: str) -> str:
    """What a page calls a granularity."""
    return parse_granularity(name).title


def level_title(name: str) -> str:
    """What a level of a plan or a curve counts at a granularity."""
    structured = parse_granularity(name).structured
    return _("Channel pruning ratio") if structured else _("Sparsity")


def group_noun(kind: Granularity) -> str:
    """What one value of a plan or one curve belongs to."""
    return _("group") if kind.structured else _("layer")
