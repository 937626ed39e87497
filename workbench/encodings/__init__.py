"""What a pruned network takes on disk: encodings that really encode, and where each pays."""

from workbench.encodings.catalogue import Encoding, encodings_for
from workbench.encodings.sizes import EncodedSize, EncodedSizes, break_even, measure_encodings

__all__ = [
    "EncodedSize",
    "EncodedSizes",
    "Encoding",
    "break_even",
    "encodings_for",
    "measure_encodings",
]
