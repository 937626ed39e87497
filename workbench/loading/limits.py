"""How large a file may be before it is refused unread, and what it may unfold to."""

MAX_MODEL_BYTES = 2 * 1024**3
"""Largest model file that is read, and most bytes that its tensors may claim together."""

MAX_TENSORS = 20_000
"""Most tensors in one model file."""

MAX_DATA_BYTES = 2 * 1024**3
"""Largest data file that is read."""

MAX_UNPACKED_BYTES = 4 * 1024**3
"""Most bytes that the arrays of a data file may unpack to."""

MAX_ARRAYS = 64
"""Most arrays in one data file."""

MAX_IMAGE_NUMBERS = 2**24
"""Most numbers in one image, channels times height times width."""

MAX_HEADER_BYTES = 16 * 1024**2
"""Longest header of a .safetensors file: about a thousand times that of a large network."""
