"""One small file for a clustered network, and the way back, bit for bit.

A file, all numbers most significant byte first:

    4 bytes   ``PWC1``
    3 bytes   length of the header
    header    deflated JSON: ``a`` architecture, ``g`` its arguments, ``i`` shape of an image, ``n``
              number of classes, ``m`` name, ``d`` data, ``c`` coding (``range`` or ``huffman``),
              ``t`` the tensors in the order of the state dict, each ``[name, shape, kind, more]``
    plain     what is not coded, tensor after tensor: the values of the clustered ones, the
              numbers of the others, in float16, float32 or int64 as their kind says
    codes     the codes of all clustered tensors, in one stream
    4 bytes   CRC-32 of everything before

Kinds: ``e`` and ``f`` are clustered tensors with values in float16 and float32, ``more`` says how
many; ``h``, ``s`` and ``q`` are plain tensors of float16, float32 and int64; ``=`` has the numbers
of tensor number ``more``. The codes lie as matrices with one row for each output.

Nothing in a file is executed. Every length is checked before memory is taken for it.
"""

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.compression.clustering import Clustered, ClusteredTensor, fits_in_half
from workbench.compression.code_matrix import code_matrix, read_words, write_words
from workbench.compression.huffman import BitReader, BitWriter
from workbench.compression.range_coder import BITS_AT_LEAST, Decoder, Encoder
from workbench.errors import LoadError
from workbench.loading import limits
from workbench.model import Model
from workbench.progress import ShouldStop, never
from workbench.replacement.settings import CODINGS

SUFFIX = ".pwc"
MAGIC = b"PWC1"
_HEAD, _TAIL = len(MAGIC) + 3, 4
_MAX_HEADER = 1 << 20
_MAX_AXES, _MAX_VALUES = 8, 255
_TYPES = {"e": ">f2", "f": ">f4", "h": ">f2", "s": ">f4", "q": ">i8"}
_AGAIN = "Quantise the model again, or copy the file anew."


@dataclass(frozen=True, eq=False)
class Compressed:
    """What a file holds.

    Attributes:
        clustered: Codes, values and all other tensors.
        record: ``architecture, arguments, input_shape, num_classes, name, data``; plain JSON.
        coding: How the codes are written.
    """

    clustered: Clustered
    record: Mapping[str, Any]
    coding: str


def compress(
    model: Model, clustered: Clustered, coding: str = "range", should_stop: ShouldStop = never
) -> bytes:
    """Write a clustered network as one file.

    Args:
        model: What the network is; its weights are not looked at.
        clustered: The weights.
        coding: A name in ``CODINGS``.
        should_stop: Asked many times while the codes are written.

    Raises:
        StoppedError: If it should stop.
    """
    names = list(clustered.names)
    rows: list[list[Any]] = []
    plain = []
    for name in names:
        row, numbers = _entry(name, clustered, names)
        rows.append(row)
        plain.append(numbers)
    header = {
        "a": model.architecture, "g": dict(model.arguments), "i": list(model.input_shape),
        "n": model.num_classes, "m": model.name, "d": model.data_name, "c": coding, "t": rows,
    }  # fmt: skip
    packed = _deflate(json.dumps(header, separators=(",", ":")).encode())
    codes = _write_codes(clustered.clustered, coding, should_stop)
    content = MAGIC + len(packed).to_bytes(3, "big") + packed + b"".join(plain) + codes
    return content + zlib.crc32(content).to_bytes(_TAIL, "big")


def decompress(
    content: bytes, name: str = "The file", should_stop: ShouldStop = never
) -> Compressed:
    """Read a file that ``compress`` wrote.

    Args:
        content: The file.
        name: What messages call it.
        should_stop: Asked many times while the codes are read.

    Raises:
        StoppedError: If it should stop.
        LoadError: If it is something else, damaged, or claims more than it can hold.
    """
    header, rest = _split(content, name)
    try:
        return _Reading(header, rest, should_stop).compressed()
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
        reason = str(error) if isinstance(error, ValueError) else "its header is not whole."
        raise LoadError(f"{name} cannot be restored: {reason}", _AGAIN) from error


def _entry(name: str, clustered: Clustered, names: list[str]) -> tuple[list[Any], bytes]:
    """The header's row of a tensor, and what of it is not coded."""
    if name in clustered.same:
        return [name, [], "=", names.index(clustered.same[name])], b""
    if name in clustered.clustered:
        entry = clustered.clustered[name]
        kind = "e" if fits_in_half(torch.from_numpy(entry.values)) else "f"
        row: list[Any] = [name, list(entry.codes.shape), kind, len(entry.values)]
        return row, entry.values.astype(_TYPES[kind]).tobytes()
    tensor = clustered.others[name]
    kind = "q" if not tensor.is_floating_point() else "h" if _is_half(tensor) else "s"
    return [name, list(tensor.shape), kind], tensor.numpy().astype(_TYPES[kind]).tobytes()


def _is_half(tensor: Tensor) -> bool:
    """Whether 16 bits keep every number of a tensor exactly."""
    return bool((tensor.half().float() == tensor).all())


def _matrix(codes: np.ndarray) -> np.ndarray:
    """Codes with one row for each output."""
    return codes.reshape(len(codes), -1).astype(np.int64)


def _write_codes(
    tensors: Mapping[str, ClusteredTensor], coding: str, should_stop: ShouldStop
) -> bytes:
    if coding == "huffman":
        writer = BitWriter()
        for entry in tensors.values():
            write_words(writer, _matrix(entry.codes), len(entry.values), should_stop)
        return writer.finish()
    encoder = Encoder()
    for entry in tensors.values():
        code_matrix(encoder, _matrix(entry.codes), len(entry.values), should_stop)
    return encoder.finish()


def _deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def _split(content: bytes, name: str) -> tuple[dict[str, Any], bytes]:
    """The header and what follows it, once the length and the checksum are right."""
    if content[: len(MAGIC)] != MAGIC:
        raise LoadError(
            f"{name} is no compressed model: it does not begin with {MAGIC.decode()}.",
            f"Choose a {SUFFIX} file that workbench quantise wrote.",
        )
    if len(content) < _HEAD + _TAIL:
        raise LoadError(f"{name} ends after {len(content)} bytes.", _AGAIN)
    told, counted = content[-_TAIL:], zlib.crc32(content[:-_TAIL]).to_bytes(_TAIL, "big")
    if told != counted:
        raise LoadError(
            f"{name} is damaged: its checksum is {told.hex()}, its content has {counted.hex()}.",
            _AGAIN,
        )
    end = _HEAD + int.from_bytes(content[len(MAGIC) : _HEAD], "big")
    if end > len(content) - _TAIL:
        raise LoadError(f"{name} claims a header longer than the file.", _AGAIN)
    unpacker = zlib.decompressobj(-15)
    try:
        text = unpacker.decompress(content[_HEAD:end], _MAX_HEADER)
        header = json.loads(text) if unpacker.eof else None
    except (zlib.error, ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise LoadError(f"{name} has a header that cannot be read.", _AGAIN)
    return header, content[end:-_TAIL]


class _Reading:
    """One file under way, from its header on.

    Every method raises ``ValueError`` with a sentence where something is wrong.
    """

    def __init__(self, header: dict[str, Any], content: bytes, should_stop: ShouldStop) -> None:
        self._header, self._content, self._should_stop = header, content, should_stop
        self._place = 0
        self._rows = header["t"]
        self._coding = header["c"]
        if self._coding not in CODINGS:
            raise ValueError(f"its coding is {str(self._coding)[:40]!r}, which is not known.")
        if not isinstance(self._rows, list) or len(self._rows) > limits.MAX_TENSORS:
            raise ValueError("it claims too many tensors.")
        for row in self._rows:
            _check_row(row)
        sizes = [prod(row[1]) for row in self._rows if row[2] != "="]
        if 4 * sum(sizes) > limits.MAX_MODEL_BYTES:
            raise ValueError(f"it claims {sum(sizes):,} numbers, more than are read.")
        coded = sum(prod(row[1]) for row in self._rows if row[2] in "ef")
        if coded * BITS_AT_LEAST > 8 * len(content) + 64:
            raise ValueError(f"it is too short for {coded:,} weights.")

    def compressed(self) -> Compressed:
        """Everything that the file holds."""
        plain = [self._numbers(row) for row in self._rows]
        codes = self._codes([row for row in self._rows if row[2] in "ef"])
        clustered, others, same = {}, {}, {}
        for row, numbers in zip(self._rows, plain, strict=True):
            name, kind = row[0], row[2]
            if kind == "=":
                same[name] = self._first(row)
            elif kind in "ef":
                clustered[name] = ClusteredTensor(codes[name], numbers.astype(np.float32))
            else:
                dtype = np.int64 if kind == "q" else np.float32
                others[name] = torch.from_numpy(numbers.astype(dtype).reshape(row[1]))
        if len({row[0] for row in self._rows}) < len(self._rows):
            raise ValueError("it has two tensors of one name.")
        names = tuple(row[0] for row in self._rows)
        return Compressed(Clustered(clustered, others, same, names), self._record(), self._coding)

    def _record(self) -> dict[str, Any]:
        keys = {
            "a": ("architecture", str), "g": ("arguments", dict), "i": ("input_shape", list),
            "n": ("num_classes", int), "m": ("name", str), "d": ("data", str),
        }  # fmt: skip
        for key, (word, kind) in keys.items():
            if not isinstance(self._header[key], kind):
                raise ValueError(f"its {word} is no {kind.__name__}.")
        return {word: self._header[key] for key, (word, _) in keys.items()}

    def _first(self, row: list[Any]) -> str:
        number = row[3]
        if type(number) is not int or not 0 <= number < len(self._rows):
            raise ValueError(f"tensor {row[0][:60]!r} has the numbers of one that is not there.")
        first = self._rows[number]
        if first[2] == "=":
            raise ValueError(f"tensor {row[0][:60]!r} has the numbers of one that has none.")
        return str(first[0])

    def _numbers(self, row: list[Any]) -> np.ndarray:
        """The next plain numbers: values of a clustered tensor, or a whole other one."""
        kind = row[2]
        if kind == "=":
            return np.zeros(0)
        dtype = np.dtype(_TYPES[kind])
        count = row[3] if kind in "ef" else prod(row[1])
        end = self._place + count * dtype.itemsize
        if end > len(self._content):
            raise ValueError(f"it ends within {row[0][:60]!r}.")
        numbers = np.frombuffer(self._content[self._place : end], dtype)
        self._place = end
        if not np.isfinite(numbers).all():
            raise ValueError(f"{row[0][:60]!r} has numbers that are NaN or infinite.")
        return numbers

    def _codes(self, rows: list[list[Any]]) -> dict[str, np.ndarray]:
        content = self._content[self._place :]
        reader, decoder = BitReader(content), Decoder(content)
        found = {}
        for name, shape, _, count in rows:
            codes = np.zeros((shape[0], prod(shape[1:])), dtype=np.int64)
            if self._coding == "huffman":
                read_words(reader, codes, count, self._should_stop)
            else:
                code_matrix(decoder, codes, count, self._should_stop)
            found[name] = codes.astype(np.uint8).reshape(shape)
        return found


def _check_row(row: object) -> None:
    """Refuse a row of the header that describes no tensor."""
    if not isinstance(row, list) or len(row) < 3 or not isinstance(row[0], str):
        raise ValueError("it describes a tensor that is none.")
    name, shape, kind = row[:3]
    whole = isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)
    if not whole or len(shape) > _MAX_AXES:
        raise ValueError(f"tensor {name[:60]!r} has no shape.")
    if kind not in (*_TYPES, "="):
        raise ValueError(f"tensor {name[:60]!r} is of kind {str(kind)[:20]!r}, which is not known.")
    if kind in ("e", "f") and 0 in shape:  # its other axes would be bounded by nothing
        raise ValueError(f"tensor {name[:60]!r} is empty.")
    if kind in ("e", "f") and (
        len(row) < 4 or type(row[3]) is not int or not 0 <= row[3] <= _MAX_VALUES or len(shape) < 2
    ):
        raise ValueError(f"tensor {name[:60]!r} has too many values.")
