"""Putting another model or other data on the bench; what is refused changes nothing."""

from __future__ import annotations

import re

from workbench.errors import SettingsError
from workbench.loading.samples import sample_data_names
from workbench.store import DataRef, ModelRef
from workbench.ui import bench, session
from workbench.ui.facts import ModelFacts, facts_of_model
from workbench.ui.i18n import _


def use_sample_model(name: str) -> None:
    """Put a sample model on the bench, with its data unless uploaded data fits it."""
    put_model(ModelRef(name=name, sample=name))


def use_uploaded_model(
    filename: str, content: bytes, architecture: str = "", image_shape: str = ""
) -> None:
    """Put uploaded weights on the bench; what was there before stays where they are refused.

    Args:
        filename: Its ending tells the format.
        content: The file.
        architecture: Family of networks; empty finds it by the names of the tensors.
        image_shape: Channels, height and width as a person writes them; empty takes what the
            weights tell, and the family's usual size where they do not.

    Raises:
        LoadError: If the file cannot be used.
        SettingsError: If the image shape is not three whole numbers.
    """
    from workbench.layers import inspect
    from workbench.loading import load_uploaded_model

    shape = parse_shape(image_shape)
    model = load_uploaded_model(filename, content, architecture, input_shape=shape)
    facts = facts_of_model(model, inspect(model), len(content))
    ref = ModelRef(
        name=model.name,
        architecture=model.architecture,
        arguments=dict(model.arguments),
        input_shape=model.input_shape,
    )
    ref = bench.store().save_model_ref(session.workspace_id(), ref, model.module.state_dict())
    notes = list(model.card.get("notes", ()))  # type: ignore[call-overload]
    session.remember(
        **{session.FACTS: {"key": bench.key_of(ref), "facts": facts.to_dict(), "notes": notes}}
    )
    choose_data(facts)


def parse_shape(text: str) -> tuple[int, int, int] | None:
    """Read an image shape such as ``3 x 32 x 32`` or ``3, 32, 32``; None where nothing is written.

    Raises:
        SettingsError: If it is not three whole numbers from 1.
    """
    if not text.strip():
        return None
    words = re.split(r"[\s,x×]+", text.strip().lower())
    if len(words) != 3 or not all(re.fullmatch(r"[1-9]\d{0,4}", word) for word in words):
        raise SettingsError(
            _("The image shape {text!r} is not three whole numbers.").format(text=text[:40]),
            _("Write channels, height and width, such as 3 x 32 x 32."),
        )
    channels, height, width = map(int, words)
    return (channels, height, width)


def use_sample_data(name: str) -> None:
    """Put sample data on the bench.

    Raises:
        DataError: If it does not fit the model; the former data stay.
    """
    from workbench.model import check_fit

    ref = DataRef(name=name, sample=name)
    check_fit(session.require_model(), bench.data(ref))
    bench.store().save_data_ref(session.workspace_id(), ref)
    session.refresh()


def use_uploaded_data(filename: str, content: bytes) -> None:
    """Put an uploaded ``.npz`` on the bench.

    Raises:
        DataError: If it cannot be read or does not fit the model; the former data stay.
    """
    from workbench.loading import load_uploaded_data
    from workbench.model import check_fit

    data = load_uploaded_data(filename, content)
    check_fit(session.require_model(), data)
    bench.store().save_data_ref(session.workspace_id(), DataRef(name=data.name), data)
    session.refresh()


def put_model(ref: ModelRef) -> None:
    """Put the model that a reference points to on the bench, with data that fit it."""
    bench.store().save_model_ref(session.workspace_id(), ref)
    session.refresh()
    facts = session.model_facts()
    if facts is not None:
        choose_data(facts)


def choose_data(facts: ModelFacts) -> None:
    """Keep uploaded data where they fit the model; else take the data it was trained on.

    A model that names no data keeps what is there, or gets the first sample data that fit.
    """
    session.refresh()
    kept = session.workspace().data_ref
    if kept is not None and (kept.digest or not facts.data_name) and _fits(kept, facts):
        return
    samples = [DataRef(name=name, sample=name) for name in sample_data_names()]
    named = [ref for ref in samples if ref.name == facts.data_name]
    for ref in named or [ref for ref in samples if _fits(ref, facts)]:
        bench.store().save_data_ref(session.workspace_id(), ref)
        session.refresh()
        return


def _fits(ref: DataRef, facts: ModelFacts) -> bool:
    data = bench.data(ref)
    return (tuple(data.input_shape), data.num_classes) == (facts.input_shape, facts.num_classes)
