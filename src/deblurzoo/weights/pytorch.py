"""State dicts in PyTorch's files (`.pth`), read without running code of the file."""

import pickle
import pickletools
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy.typing as npt
import torch
from torch import Tensor

from deblurzoo.training.pretrained import load_tensors

KEYS = ("params", "state_dict")
"""Keys of the state dict in files of BasicSR and of Lightning. A file without them must be the state dict itself."""
_LEGACY_PICKLES = 5
"""Number of pickles in files before version 1.6 of torch: number, version, system, state dict and names of storages."""
_PROTOCOL = 2
_LARGEST_PICKLE = 2**20
"""Largest size of a pickle in bytes, without its last value. NAFNet's have 0.1 MB; reading 1 MB takes seconds."""


def read(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the tensors of a state dict, by name, as float32 or float64.

    Raises:
        ValueError: the file is damaged or has no state dict; the message is one line.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        if file.read(2) == b"PK":
            for content in _pickles(path):
                _rehearse(BytesIO(content))
        else:
            file.seek(0)
            for _ in range(_LEGACY_PICKLES):
                _rehearse(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns about its own code for files before version 1.6
        content = load_tensors(path)
    key = next((key for key in KEYS if isinstance(content, dict) and key in content), None)
    state = content[key] if key else content
    if not isinstance(state, dict) or not state or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ValueError("it has no state dict")
    if odd := [name for name, tensor in state.items() if not _is_plain(tensor)]:
        raise ValueError(f"{odd[0]} is not a plain tensor of a float type")
    storages = {tensor.untyped_storage().data_ptr() for tensor in state.values()}
    if len(storages) < len(state) or not all(map(_fills_storage, state.values())):
        raise ValueError("its tensors share values, or are parts of larger ones")
    return {str(name): (t.float() if t.itemsize < 4 else t).numpy(force=True) for name, t in state.items()}


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor has float values in memory; not if it is sparse, nested, or without values (`meta`)."""
    dense = tensor.layout == torch.strided and not tensor.is_nested
    return dense and tensor.device.type == "cpu" and tensor.is_floating_point()


def _fills_storage(tensor: Tensor) -> bool:
    """Whether a tensor has exactly the values of its storage, which are in the file, in one of torch's two orders."""
    dense = tensor.is_contiguous() or (tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last))
    return dense and tensor.nbytes == tensor.untyped_storage().nbytes()


def _pickles(path: Path) -> list[bytes]:
    """Return the pickles of a zipped file.

    Raises:
        ValueError: a checksum is wrong, which torch does not verify, or the file is compressed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist())
            damaged = None if compressed else archive.testzip()
            names = [] if compressed or damaged else archive.namelist()
            pickles = [archive.read(name) for name in names if name.lower().endswith(".pkl")]
    except Exception as error:  # zipfile raises exceptions of many types for damaged archives
        raise ValueError("it is damaged") from error
    if compressed or damaged:
        raise ValueError(
            f"the checksum of {damaged} is wrong" if damaged else "it is compressed, unlike files of torch"
        )
    return pickles


_SUBSTITUTES: dict[str, Callable[..., Any]] = {"collections.OrderedDict": lambda: OrderedDict(), "torch.Size": tuple}
"""Substitutes that raise an exception where the original would iterate over a tensor, by name."""


class _Rehearsal(pickle._Unpickler):
    """Unpickler that creates no tensors, and that accepts only calls whose memory is in proportion to the file.

    `weights_only=True` also allows calls such as `bytearray(2**40)`, and iterating over a tensor with repeated values.
    """

    def find_class(self, module: str, name: str) -> Any:
        """Return a substitute of the same signature for a function or type that torch writes into state dicts."""
        if substitute := _SUBSTITUTES.get(f"{module}.{name}"):
            return substitute
        of_torch = module == "torch" and (name.endswith("Storage") or name.islower())
        if of_torch or module in ("torch._utils", "torch._tensor", "torch.serialization", "torch.storage"):
            return lambda *arguments: None
        raise _UnknownCallError(f"loading it would call {module}.{name}")

    def persistent_load(self, pid: Any) -> None:
        """Return nothing in place of a storage."""


class _UnknownCallError(ValueError):
    """A function or type that is not part of a state dict."""


def _rehearse(file: IO[bytes]) -> None:
    """Raise a ValueError unless the pickle at the position of a file only contains a state dict; move behind it."""
    start = file.tell()
    try:
        for operation, _, place in pickletools.genops(file):
            if operation.proto > _PROTOCOL or (place or 0) - start > _LARGEST_PICKLE:
                raise ValueError("torch does not write such a pickle for a state dict")
        file.seek(start)
        _Rehearsal(file).load()
    except (_UnknownCallError, OSError):
        raise
    except Exception as error:  # pickle raises exceptions of many types for damaged files
        raise ValueError("the file is corrupt, or is not a file of torch") from error
