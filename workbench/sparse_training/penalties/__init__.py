"""Penalties that make zeros; each module with a ``METHOD`` is one."""
