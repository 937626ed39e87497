"""Numbers as they stand on the screen."""

import pytest

from workbench.ui import i18n, theme
from workbench.ui.i18n import _, ngettext


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (7, "7"),
        (999, "999"),
        (999.6, "1.00 k"),
        (1000, "1.00 k"),
        (10_000, "10.0 k"),
        (272_186, "272 k"),
        (999_499, "999 k"),
        (999_600, "1.00 M"),
        (31_021_000, "31.0 M"),
        (2_500_000_000, "2.50 G"),
    ],
)
def test_counts_have_three_digits(number, text):
    assert theme.compact(number) == text


@pytest.mark.parametrize(
    ("number", "text"), [(12, "12 B"), (1_090_000, "1.09 MB"), (45_300, "45.3 kB")]
)
def test_sizes_have_units(number, text):
    assert theme.in_bytes(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0 s"), (7.6, "8 s"), (125, "2 min 5 s"), (3780, "1 h 3 min")]
)
def test_durations_read_as_said(seconds, text):
    assert theme.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(-0.001234, "−0.00123"), (6.741, "6.74"), (float("nan"), "–"), (0.0, "0")]
)
def test_plain_numbers_have_three_digits(value, text):
    assert theme.plain_number(value) == text


def test_a_measured_accuracy_names_interval_and_count():
    assert theme.interval(0.926, 0.936, 10_000) == "92.6–93.6 %, 10,000 images"


def test_translucent_keeps_the_colour():
    assert theme.translucent("#0072B2", 0.25) == "rgba(0, 114, 178, 0.25)"


def test_every_ramp_grows_more_opaque():
    for dark in (False, True):
        opacities = [
            float(colour.rpartition(",")[2].strip(" )")) for _place, colour in theme.ramp(dark)
        ]
        assert opacities == sorted(opacities)
        assert opacities[0] == 0
        assert opacities[-1] == 1


def test_without_a_translation_the_english_text_stands(monkeypatch):
    monkeypatch.setattr(i18n, "language", lambda: "xx_YY")
    assert _("Layers") == "Layers"
    assert ngettext("{n} layer", "{n} layers", 2) == "{n} layers"


def test_without_a_browser_the_language_is_english():
    assert i18n.language() == "en"


def test_a_translation_is_a_file(tmp_path, monkeypatch):
    folder = tmp_path / "zz" / "LC_MESSAGES"
    folder.mkdir(parents=True)
    (folder / "workbench.mo").write_bytes(
        _compiled({"": "Content-Type: text/plain; charset=UTF-8\n", "Layers": "Schichten"})
    )
    monkeypatch.setattr(i18n, "LOCALE_FOLDER", tmp_path)
    i18n.catalogue.cache_clear()
    monkeypatch.setattr(i18n, "language", lambda: "zz_ZZ")
    try:
        assert _("Layers") == "Schichten"
        assert _("Model") == "Model"
    finally:
        i18n.catalogue.cache_clear()


def _compiled(messages):
    """A gettext ``.mo`` file of these messages."""
    import struct

    keys = sorted(messages)
    ids = [key.encode() + b"\0" for key in keys]
    texts = [messages[key].encode() + b"\0" for key in keys]
    start = 28 + 16 * len(keys)
    table, blob = b"", b""
    for group in (ids, texts):
        for text in group:
            table += struct.pack("<II", len(text) - 1, start + len(blob))
            blob += text
    head = struct.pack("<7I", 0x950412DE, 0, len(keys), 28, 28 + 8 * len(keys), 0, 0)
    return head + table + blob
