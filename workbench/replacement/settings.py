"""What to put in the place of the weights, as plain values that check themselves."""

import re
from dataclasses import asdict, dataclass
from typing import Any

from workbench.errors import SettingsError
from workbench.finetune_settings import MAX_SEED
from workbench.granularity import parse_granularity
from workbench.names import suggest
from workbench.settings_reading import check_number, known_values

METHODS: dict[str, str] = {
    "int8_static": "Weights and activations in 8 bits, with scales measured on calibration images.",
    "int8_dynamic": "Weights in 8 bits; activations get their scales anew for every image.",
    "cluster": "Few values for all weights of a layer, entropy coded into one small file.",
    "nm": "Keeps N of every M neighbouring weights, the pattern of sparse tensor cores.",
    "channel_multiple": "Removes channels until every layer's number is a multiple of N.",
}
"""Name to one sentence, in the order in which they are offered."""
CODINGS: dict[str, str] = {
    "range": "An adaptive range coder, which learns where zeros lie: the smallest file.",
    "huffman": "Huffman's words and run lengths, as in Deep Compression.",
}
MIN_BITS, MAX_BITS = 2, 8
MAX_TUNE_EPOCHS, MAX_SAMPLES, MAX_MULTIPLE = 100, 100_000, 256
_EXAMPLE = "cluster:5, nm:2:4, channel_multiple:8 or int8_static"


@dataclass(frozen=True)
class ReplacementSettings:
    """One replacement of weights.

    Attributes:
        method: A name in ``METHODS``.
        bits: Bits of a code with ``cluster``: 2 to 8, so 3 to 255 values besides zero in a layer.
        coding: How codes are written with ``cluster``; a name in ``CODINGS``.
        tune_epochs: Passes over the training images that move the values of ``cluster``.
        pattern: ``N:M`` with ``nm``.
        multiple: Of the channels that stay with ``channel_multiple``.
        samples: Calibration images, without labels, of ``int8_static`` and of the repair after
            ``nm`` and ``channel_multiple``.
        seed: Decides which images these are, and their order in training.

    Raises:
        SettingsError: If a value is out of range.
        PlanError: If the pattern is none.
    """

    method: str = "cluster"
    bits: int = 5
    coding: str = "range"
    tune_epochs: int = 1
    pattern: str = "2:4"
    multiple: int = 8
    samples: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        for what, name, offered in (
            ("replacement", self.method, METHODS), ("coding", self.coding, CODINGS)
        ):  # fmt: skip
            if name not in offered:
                raise SettingsError(f"There is no {what} {name!r}.", suggest(name, offered))
        check_number("bits", self.bits, MIN_BITS, MAX_BITS, whole=True)
        check_number("tune_epochs", self.tune_epochs, 0, MAX_TUNE_EPOCHS, whole=True)
        check_number("multiple", self.multiple, 2, MAX_MULTIPLE, whole=True)
        check_number("samples", self.samples, 1, MAX_SAMPLES, whole=True)
        check_number("seed", self.seed, 0, MAX_SEED, whole=True)
        parse_granularity(f"nm:{self.pattern}")

    @property
    def key(self) -> str:
        """Short name of what is made, such as ``cluster:5``; one result is kept under each."""
        return {
            "cluster": f"cluster:{self.bits}" + (":huffman" if self.coding == "huffman" else ""),
            "nm": f"nm:{self.pattern}",
            "channel_multiple": f"channel_multiple:{self.multiple}",
        }.get(self.method, self.method)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: object) -> "ReplacementSettings":
        """Read settings back; what is missing takes its default.

        Raises:
            SettingsError: If a setting is unknown or its value out of range.
        """
        return cls(**known_values(cls, values, "replacement"))


def parse_replacement(text: str, **others: Any) -> ReplacementSettings:
    """Read a replacement as people write it: ``int8_static``, ``cluster:5``, ``nm:2:4``.

    Args:
        text: A method, after a colon what it takes: bits, N:M or a multiple. After the bits of
            ``cluster`` a coding may follow, as in ``cluster:4:huffman``.
        others: More settings by name; what the text says wins.

    Raises:
        SettingsError: If the text is no replacement, or a value is out of range.
        PlanError: If the pattern of ``nm`` is none.
    """
    method, _, rest = text.strip().partition(":")
    settings = {"method": method, **others}
    if not rest or method not in METHODS:
        return ReplacementSettings(**settings)
    number, _, coding = rest.partition(":")
    if method == "cluster" and number.isdecimal():
        settings |= {"bits": int(number)} | ({"coding": coding} if coding else {})
    elif method == "channel_multiple" and rest.isdecimal():
        settings |= {"multiple": int(rest)}
    elif method == "nm" and re.fullmatch(r"\d+:\d+", rest):
        settings |= {"pattern": rest}
    else:
        raise SettingsError(
            f"{text!r} is no replacement: {method} takes no {rest!r}.",
            f"Write it like {_EXAMPLE}.",
        )
    return ReplacementSettings(**settings)
