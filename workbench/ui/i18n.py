"""Words on the screen go through ``_()``, so that a translation is a file and not a rewrite.

``locale/README.md`` says how to extract the strings and where a translation goes.
"""

import gettext
from functools import cache
from pathlib import Path

from streamlit.runtime.scriptrunner import get_script_run_ctx

LOCALE_FOLDER = Path(__file__).resolve().parent / "locale"
DOMAIN = "workbench"


@cache
def catalogue(language: str) -> gettext.NullTranslations:
    """Translations into one language; where there are none the English text stands."""
    return gettext.translation(DOMAIN, LOCALE_FOLDER, [language], fallback=True)


def language() -> str:
    """The language of the browser that the script runs for, such as ``en_US`` or ``zh_CN``."""
    context = get_script_run_ctx(suppress_warning=True)
    info = context.context_info if context else None
    return (info.locale if info else "").replace("-", "_") or "en"


def _(message: str) -> str:
    """Translate one message."""
    return catalogue(language()).gettext(message)


def ngettext(singular: str, plural: str, count: int) -> str:
    """Translate a message whose form depends on a count."""
    return catalogue(language()).ngettext(singular, plural, count)
