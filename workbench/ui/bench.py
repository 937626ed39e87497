"""What all sessions of one server share: the store, and models and data as they were loaded.

Cached by what the references say, never by hashing arrays or modules. Whatever is returned is
shared and treated as read-only; copy a module before changing it. Torch is imported by the
functions that need it, so that a page can show its first numbers before.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st
from platformdirs import user_data_path

from workbench.errors import SettingsError
from workbench.jobs import Jobs, worker_command
from workbench.plan import digest_of_json
from workbench.store import DataRef, ModelRef, Store

if TYPE_CHECKING:
    from workbench.data import Data
    from workbench.distributions import LayerDistribution, LayerHistogram
    from workbench.groups import Groups
    from workbench.layers import Inspection
    from workbench.model import Model

HOME_VARIABLE = "WORKBENCH_HOME"


def data_folder() -> Path:
    """Where the workbench keeps workspaces: ``WORKBENCH_HOME``, or the user's data folder."""
    return Path(os.environ.get(HOME_VARIABLE) or user_data_path("workbench", appauthor=False))


@st.cache_resource(show_spinner=False)
def store() -> Store:
    """The store of this server, swept once when it starts."""
    opened = Store(data_folder())
    opened.sweep()
    return opened


@st.cache_resource(show_spinner=False)
def jobs() -> Jobs:
    """The background jobs of this server; those that its forerunner left are marked as cut off."""
    opened = store()
    opened.jobs.mark_interrupted()
    return Jobs(worker_command(opened.folder), ledger=opened.jobs)


def key_of(ref: ModelRef | DataRef) -> str:
    """Names what a reference points to, whatever it is called on the page."""
    return digest_of_json({**ref.to_dict(), "name": ""})


BY_REFERENCE: dict[str | type[Any], Callable[[Any], Any]] = {ModelRef: key_of, DataRef: key_of}


@st.cache_resource(show_spinner=False, max_entries=16, hash_funcs=BY_REFERENCE)
def model(ref: ModelRef) -> Model:
    """The model that a reference points to."""
    from workbench.reopen import reopen_model

    return reopen_model(ref, store())


@st.cache_resource(show_spinner=False, max_entries=16, hash_funcs=BY_REFERENCE)
def seeing_model(ref: ModelRef, data_ref: DataRef | None) -> Model:
    """The same model with images that criteria may look at, opened when one does."""
    from workbench.reopen import evidence

    if data_ref is None:
        return model(ref)
    return model(ref).with_evidence(evidence(data_ref, store()))


@st.cache_resource(show_spinner=False, max_entries=4, hash_funcs=BY_REFERENCE)
def data(ref: DataRef) -> Data:
    """The data that a reference points to."""
    from workbench.reopen import reopen_data

    return reopen_data(ref, store())


@st.cache_resource(show_spinner=False, max_entries=1)
def named_model(source: str) -> Model:
    """The model that the server was started with: a file or a factory."""
    from workbench.loading import load_model

    return load_model(source, allow_factory=True)


@st.cache_resource(show_spinner=False, max_entries=1)
def named_data(source: str) -> Data:
    """The data that the server was started with: a file."""
    from workbench.loading import load_data

    return load_data(source)


@st.cache_resource(show_spinner=False, max_entries=64, hash_funcs=BY_REFERENCE)
def inspection(ref: ModelRef) -> Inspection:
    """The layers of the model that a reference points to."""
    from workbench.layers import inspect

    return inspect(model(ref))


@st.cache_resource(show_spinner=False, max_entries=64, hash_funcs=BY_REFERENCE)
def groups(ref: ModelRef, granularity: str) -> Groups:
    """What a plan of a granularity can move in the model that a reference points to."""
    from workbench.groups import find_groups

    return find_groups(model(ref), granularity, inspection(ref))


@st.cache_resource(show_spinner=False, max_entries=64, hash_funcs=BY_REFERENCE)
def distributions(ref: ModelRef) -> tuple[LayerDistribution, ...]:
    """Where the weights of every layer lie."""
    from workbench.distributions import weight_distributions

    return weight_distributions(model(ref), inspection(ref))


@st.cache_resource(show_spinner=False, max_entries=256, hash_funcs=BY_REFERENCE)
def histogram(ref: ModelRef, layer_name: str) -> LayerHistogram:
    """The signed histogram of one layer."""
    from workbench.distributions import layer_histogram

    return layer_histogram(model(ref), layer_name)


@st.cache_data(show_spinner=False, max_entries=1024, hash_funcs=BY_REFERENCE)
def threshold(ref: ModelRef, layer_name: str, sparsity: float) -> float:
    """Absolute weight at which a sparsity cuts one layer by magnitude."""
    from workbench.distributions import threshold as exact_threshold

    return exact_threshold(model(ref), layer_name, sparsity)


@st.cache_resource(show_spinner=False)
def devices() -> tuple[str, ...]:
    """The devices this machine has, ``auto`` first."""
    from workbench.device import DEVICES, choose_device

    found = []
    for name in DEVICES:
        with suppress(SettingsError):
            choose_device(name)
            found.append(name)
    return tuple(found)
