"""The browser face of the workbench: the only package, with ``pages``, that imports Streamlit."""
