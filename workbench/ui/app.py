"""Entry point of the pages: ``workbench`` runs this file with Streamlit."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:] = [path for path in sys.path if path != str(HERE)]  # Streamlit put it first
if str(ROOT) not in sys.path and (ROOT / "pyproject.toml").is_file():
    sys.path.insert(0, str(ROOT))  # a bare checkout, nothing installed

import streamlit as st  # noqa: E402

from workbench.ui import errors, navigation, opening, sidebar, warm  # noqa: E402
from workbench.ui.i18n import _  # noqa: E402

st.set_page_config(
    page_title=_("Pruning workbench"), page_icon=str(HERE / "static" / "icon.png"), layout="wide"
)
st.logo(HERE / "static" / "icon.png", size="large")
st.html(HERE / "static" / "page.css")
warm.warm_up()
pages = navigation.sections()
page = st.navigation(pages, position="hidden")
with errors.guard():
    opening.open_workspace()
    sidebar.show(pages)
    errors.show_notices()
    page.run()
warm.rerun_when_warm()
