"""Weights that do not tell the image size: a person can."""

import io

import pytest
import torch

from workbench.architectures import ARCHITECTURES
from workbench.errors import SettingsError
from workbench.ui import choosing, session


@pytest.mark.parametrize("text", ["3 x 32 x 32", "3,32,32", " 3 32  32", "3×32×32", "3X32X32"])
def test_a_shape_is_read_as_people_write_it(text):
    assert choosing.parse_shape(text) == (3, 32, 32)


def test_nothing_written_means_automatic():
    assert choosing.parse_shape("  ") is None


@pytest.mark.parametrize(
    "text", ["32 x 32", "3 x 32 x 0", "a x b x c", "1e3 x 2 x 2", "3 x 3 x -1"]
)
def test_other_words_are_refused(text):
    with pytest.raises(SettingsError, match="is not three whole numbers"):
        choosing.parse_shape(text)


def test_an_uploaded_resnet_takes_the_written_shape_and_tells_what_was_assumed(open_app):
    network = ARCHITECTURES["resnet"].build(in_channels=3, widths=(4, 4), blocks=(1, 1))
    file = io.BytesIO()
    torch.save({"state_dict": {f"module.{k}": v for k, v in network.state_dict().items()}}, file)
    app = open_app()
    app.file_uploader[0].set_value(("mine.pt", file.getvalue(), "application/octet-stream"))
    next(box for box in app.text_input if box.label == "Image shape").set_value("3 x 32 x 32")
    next(button for button in app.button if button.label == "Put on the bench").click().run()
    assert not app.exception
    assert not app.error
    assert session.ADDRESS_KEY in app.query_params
    captions = " ".join(caption.value for caption in app.caption)
    assert "3 × 32 × 32" in captions
    assert "module" in captions
