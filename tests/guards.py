"""What a block of a test must not do."""

import builtins
import io
import os
import tempfile
from contextlib import contextmanager

import pytest


@contextmanager
def no_files():
    """Refuse to open any file by Python, for reading or writing."""

    def refuse(*args, **_kwargs):
        raise AssertionError(f"The file {args[:1]} was to be opened.")

    with pytest.MonkeyPatch.context() as patch:
        for module, name in (
            (builtins, "open"), (io, "open"), (os, "open"), (os, "mkdir"),
            (tempfile, "NamedTemporaryFile"), (tempfile, "TemporaryFile"),
        ):  # fmt: skip
            patch.setattr(module, name, refuse)
        yield
