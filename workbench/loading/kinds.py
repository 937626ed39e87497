"""What a file really is, told from its first bytes and, for a zip, from its members.

The suffix is not asked: people rename files, and a page that failed to download is often saved
under the name of the model.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

HEAD_BYTES = 4096
"""As much of a file's start as ``recognise`` looks at."""

_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_SAVE_STATE_DICT = (
    "In PyTorch, save the weights with torch.save(model.state_dict(), 'weights.pt') "
    "and open that file."
)
_REBUILD = (
    "Rebuild the network in PyTorch, copy its weights into it and save them with "
    "torch.save(model.state_dict(), 'weights.pt')."
)
_ORIGINAL = (
    "Open the network that it was made from, saved with "
    "torch.save(model.state_dict(), 'weights.pt')."
)
_UNPACK = "Unpack it first and open the file inside."
_AGAIN = "Copy or download the file again and check that its size agrees with the original's."


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        name: One word for code; ``safetensors``, ``torch``, ``legacy``, ``zip`` and ``npz`` are
            opened further, all others are refused.
        words: What the file is, to follow "NAME is".
        advice: What someone who wanted to open it as a model should do.
        broken: Whether the advice is about how the file came here, and so holds for data too.
    """

    name: str
    words: str
    advice: str = ""
    broken: bool = False


def recognise(head: bytes) -> Kind:
    """Tell the kind of a file from its first ``HEAD_BYTES`` bytes."""
    for test, kind in _HEADS:
        if test(head):
            return kind
    return Kind("unknown", "not a kind of file that the workbench knows", _SAVE_STATE_DICT)


def recognise_archive(members: Sequence[str]) -> Kind:
    """Tell the kind of a zip archive from the names of its members."""
    names = set(members)
    tails = {name.rpartition("/")[2] for name in names}
    if "archive_format" in tails or any(re.search(r"(^|/)models/.*\.json$", n) for n in names):
        return Kind(
            "pt2", "an exported program (.pt2), which holds code",
            _ORIGINAL,
        )  # fmt: skip
    if "constants.pkl" in tails:
        return Kind(
            "torchscript", "a TorchScript program, which holds code",
            _ORIGINAL,
        )  # fmt: skip
    if "data.pkl" in tails:
        return Kind("torch", "a PyTorch file")
    if "model.weights.h5" in tails:
        return Kind("keras", "a Keras model (.keras), not PyTorch weights", _REBUILD)
    if names and all(name.endswith(".npy") for name in names):
        return Kind(
            "npz", "a set of NumPy arrays (.npz), not PyTorch weights",
            "Open it as data, or choose a .safetensors, .pt or .pth file as the model.",
        )  # fmt: skip
    return Kind("other zip", "a zip archive without PyTorch weights in it", _UNPACK)


def _starts(*starts: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(starts)


def _safetensors(head: bytes) -> bool:
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**40


def _onnx(head: bytes) -> bool:
    fields = b"\x12\x1a\x22\x32\x3a\x42"  # producer, version, domain, text, graph, operators
    return len(head) > 2 and head[0] == 8 and 3 <= head[1] <= 20 and head[2] in fields


def _graph(head: bytes) -> bool:
    return head[:1] == b"\n" and (b"Placeholder" in head or b"Const" in head)


def _text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as fault:
        if fault.start < len(head) - 4:
            return False
        text = head[: fault.start].decode("utf-8")
    return all(letter.isprintable() or letter in "\r\n\t\f" for letter in text)


def _page(head: bytes) -> bool:
    return (
        head.lstrip(b"\xef\xbb\xbf \t\r\n")[:15].lower().startswith((b"<!doctype html", b"<html"))
    )


_HEADS: tuple[tuple[Callable[[bytes], bool], Kind], ...] = (
    (lambda head: not head, Kind("empty", "empty: it has 0 bytes", _AGAIN, True)),
    (lambda head: not head.strip(b"\0"),
     Kind("zeros", "filled with zeros from its first byte on", _AGAIN, True)),
    (_starts(b"PK\x03\x04", b"PK\x05\x06"), Kind("zip", "a zip archive", _UNPACK)),
    (_starts(_LEGACY_TORCH), Kind("legacy", "a PyTorch file")),
    (_safetensors, Kind("safetensors", "a .safetensors file")),
    (_starts(b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
     Kind("pickle", "a Python pickle", _SAVE_STATE_DICT)),
    (_starts(b"\x89HDF\r\n\x1a\n"),
     Kind("hdf5", "an HDF5 file, as Keras and TensorFlow write them, not PyTorch weights",
          _REBUILD)),
    (lambda head: head[4:8] == b"TFL3", Kind("tflite", "a TensorFlow Lite model", _REBUILD)),
    (_starts(b"\x08\x01\x12"), Kind("savedmodel", "a TensorFlow SavedModel", _REBUILD)),
    (_onnx, Kind("onnx", "an ONNX model", _ORIGINAL)),
    (_graph, Kind("graphdef", "a frozen TensorFlow graph", _REBUILD)),
    (_starts(b"PWC1"),
     Kind("compressed", "a compressed model (.pwc), as workbench quantise writes it",
          "Restore its weights first: workbench restore FILE --out weights.safetensors.")),
    (_starts(b"GGUF"), Kind("gguf", "a GGUF language model", _SAVE_STATE_DICT)),
    (_starts(b"\x93NUMPY"),
     Kind("npy", "a single NumPy array (.npy)",
          "Open a .safetensors, .pt or .pth file with the whole state dict.")),
    (_starts(b"MATLAB 5.0"), Kind("matlab", "a MATLAB file", _SAVE_STATE_DICT)),
    (_starts(b"\x1f\x8b"), Kind("gzip", "compressed with gzip", _UNPACK, True)),
    (_starts(b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c", b"Rar!"),
     Kind("packed", "a compressed archive", _UNPACK, True)),
    (lambda head: head[257:262] == b"ustar", Kind("tar", "a tar archive", _UNPACK, True)),
    (_starts(b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"RIFF"),
     Kind("image", "a picture", "Choose a .safetensors, .pt or .pth file.")),
    (_starts(b"%PDF"), Kind("pdf", "a PDF document", "Choose a .safetensors, .pt or .pth file.")),
    (_starts(b"\x7fELF", b"MZ"),
     Kind("program", "a program", "Choose a .safetensors, .pt or .pth file.")),
    (_starts(b"version https://git-lfs"),
     Kind("lfs", "a Git LFS pointer: the name of the weights, not the weights",
          "Fetch the file itself with: git lfs pull.", True)),
    (_page, Kind("html", "a web page, so the download went to a page and not to the file",
                 "Download the file itself, for instance by its raw link.", True)),
    (_text, Kind("text", "plain text", "Choose a .safetensors, .pt or .pth file.")),
)  # fmt: skip
