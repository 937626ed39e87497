"""Words that lead from a choice of methods to the catalogue."""

from urllib.parse import urlencode

from workbench.ui import session
from workbench.ui.i18n import _
from workbench.ui.words import explain


def explain_methods(term: str, family: str) -> str:
    """The help of a list of methods: the term's first sentence and the way to the catalogue.

    Args:
        term: A term of the glossary, such as ``repair``.
        family: The methods' family.
    """
    return f"{explain(term)} {more_of(family)}"


def more_of(family: str, name: str = "") -> str:
    """A link to a family of methods, or to one of them."""
    asked = {session.ADDRESS_KEY: session.workspace_id(), "family": family}
    address = "/methods?" + urlencode(asked | ({"method": name} if name else {}))
    return _("[More about each]({address})").format(address=address)
