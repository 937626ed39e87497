"""Words on the screen go through ``_()``, so that a translation is a file and not a rewrite.

``locale/README.md`` says how to extract the strings and where a translation goes.
"""

import gettext
from contextvars import ContextVar
from functools import cache
from pathlib import Path

LOCALE_FOLDER = Path(__file__).resolve().parent / "locale"
DOMAIN = "workbench"
_language: ContextVar[str] = ContextVar("language", default="en")


@cache
def catalogue(language: str) -> gettext.NullTranslations:
    """Translations into one language; where there are none the English text stands."""
    return gettext.translation(DOMAIN, LOCALE_FOLDER, [language], fallback=True)


def use_language(language: str) -> None:
    """Show everything from here on in a language such as ``en`` or ``zh``."""
    _language.set(language)


def _(message: str) -> str:
    """Translate one message."""
    return catalogue(_language.get()).gettext(message)


def ngettext(singular: str, plural: str, count: int) -> str:
    """Translate a message whose form depends on a count."""
    return catalogue(_language.get()).ngettext(singular, plural, count)
