"""Reading tensors out of PyTorch's pickles without running anything in them.

``torch.load(weights_only=True)`` interprets a short list of harmless instructions and refuses the
rest. Where it refuses, the pickle is read once more as text, never executed, to say what it wants.
"""

import io
import pickletools
import re
import zipfile
from collections.abc import Sequence

import torch

from workbench.errors import LoadError
from workbench.loading import limits
from workbench.loading.files import AGAIN, open_zip
from workbench.loading.kinds import Kind, recognise_archive
from workbench.loading.wording import listed, shown, sized

_HARMLESS = re.compile(
    r"torch\.\w+$|torch\.(_utils|_tensor|storage|serialization|nn\.parameter|distributed)\.|"
    r"collections\.(OrderedDict|Counter|defaultdict)$|builtins\.(set|bytearray|dict|list)$|"
    r"__builtin__\.(set|bytearray)$|_codecs\.encode$"
)
_HARMFUL = re.compile(
    r"(os|posix|nt|sys|subprocess|shutil|socket|runpy|importlib|pty|ctypes|pickle|_pickle|code|"
    r"webbrowser|urllib|requests|pathlib|tempfile|threading|multiprocessing|asyncio|timeit|pdb|"
    r"torch\.hub|torch\.utils\.cpp_extension|builtins|__builtin__|operator|functools)(\.|$)"
)
_MODULE = re.compile(r"torch\.nn\.(modules|quantized|intrinsic)\.|torchvision\.models\.|timm\.")
_LEGACY_PICKLES = 5
_MOST_INSTRUCTIONS = 2_000_000


def read_archive(name: str, data: bytes) -> object:
    """Read what ``torch.save`` wrote as a zip archive.

    Raises:
        LoadError: If the archive is another kind of zip, is damaged, unpacks to more than it
            holds, or wants anything but tensors and plain values.
    """
    archive = open_zip(name, data, limits.MAX_TENSORS, limits.MAX_UNPACKED_BYTES, LoadError)
    with archive:
        members = archive.infolist()
        kind = recognise_archive([member.filename for member in members])
        if kind.name != "torch":
            raise LoadError(f"{name} is {kind.words}.", kind.advice)
        _check_packing(name, members, len(data))
        pickled = next(m for m in members if m.filename.rpartition("/")[2] == "data.pkl")
        try:
            instructions = archive.read(pickled)
        except Exception:
            raise LoadError(f"{name} is damaged: its data.pkl cannot be read.", AGAIN) from None
    return _load(name, data, instructions)


def _check_packing(name: str, members: Sequence[zipfile.ZipInfo], length: int) -> None:
    """Refuse what torch.save never writes: packed members, or more bytes than the file has."""
    hint = "It looks like a zip bomb: ask for the file from a source that you trust."
    packed = [m.filename for m in members if m.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise LoadError(
            f"{name} is compressed inside, which torch.save never does: {listed(packed)}.", hint
        )
    total = sum(member.file_size for member in members)
    if total > length:
        raise LoadError(
            f"{name} has {sized(length)} and claims to hold {sized(total)} uncompressed.", hint
        )


def read_legacy(name: str, data: bytes) -> object:
    """Read what ``torch.save`` wrote before PyTorch 1.6, or with the old format asked for.

    Raises:
        LoadError: If it is damaged or wants anything but tensors and plain values.
    """
    return _load(name, data, data)


def refuse_pickle(name: str, data: bytes, kind: Kind) -> LoadError:
    """Say what a pickle that torch.save did not write would do."""
    return _explain(name, data) or LoadError(
        f"{name} is {kind.words} that torch.save did not write.", kind.advice
    )


def _load(name: str, data: bytes, instructions: bytes) -> object:
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception:
        raise _explain(name, instructions) or LoadError(
            f"{name} is damaged: it is a PyTorch file whose contents cannot be read to the end.",
            AGAIN,
        ) from None


def _explain(name: str, instructions: bytes) -> LoadError | None:
    """What a pickle asks for besides tensors, or None where it asks for nothing else."""
    wanted = [each for each in names_in_pickle(instructions) if not _HARMLESS.match(each)]
    if not wanted:
        return None
    harmful = [each for each in wanted if _HARMFUL.match(each)]
    if harmful:
        return LoadError(
            f"{name} is a pickle that would call {shown(harmful[0])} when it is opened.",
            "Nothing in it was run. Ask for the weights as a .safetensors file, and do not open "
            "this one elsewhere.",
        )
    if any(_MODULE.match(each) for each in wanted):
        return LoadError(
            f"{name} is a whole pickled module of class {shown(wanted[0])}, which only its own "
            "code could open.",
            "Where that code is at hand, save the weights alone with "
            "torch.save(model.state_dict(), 'weights.pt').",
        )
    return LoadError(
        f"{name} holds Python objects besides tensors: {listed(wanted)}.",
        "Where it was made, save the weights alone with "
        "torch.save(model.state_dict(), 'weights.pt').",
    )


def names_in_pickle(instructions: bytes) -> list[str]:
    """Every class and function that pickles name, in order, without running them."""
    found: dict[str, None] = {}
    stream = io.BytesIO(instructions)
    texts: list[str] = []
    steps = 0
    try:
        for _ in range(_LEGACY_PICKLES):
            for opcode, argument, _position in pickletools.genops(stream):
                steps += 1
                if steps > _MOST_INSTRUCTIONS:
                    return list(found)
                if opcode.name in ("GLOBAL", "INST"):
                    found[str(argument).replace(" ", ".", 1)] = None
                elif opcode.name == "STACK_GLOBAL" and len(texts) >= 2:
                    found[".".join(texts[-2:])] = None
                elif isinstance(argument, str):
                    texts = [*texts[-1:], argument]
    except Exception:
        return list(found)
    return list(found)
