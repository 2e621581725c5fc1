"""State dicts in PyTorch's files (`.pth`), read without running code of the file."""

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from deblurzoo.training.pretrained import load_tensors

KEYS = ("params", "state_dict")
"""Keys of the state dict in files of BasicSR and of Lightning. A file without them must be the state dict itself."""


def read(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the tensors of a state dict, by name, as float32 or float64.

    Raises:
        ValueError: the file is damaged or has no state dict; the message is one line.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        if file.read(2) == b"PK":
            _require_intact(path)
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


def _require_intact(path: Path) -> None:
    """Raise a ValueError if a checksum is wrong, which torch does not verify, or if a file is compressed."""
    try:
        with zipfile.ZipFile(path) as archive:
            compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist())
            damaged = None if compressed else archive.testzip()
    except Exception as error:  # zipfile raises exceptions of many types for damaged archives
        raise ValueError("it is damaged") from error
    if compressed or damaged:
        raise ValueError(
            f"the checksum of {damaged} is wrong" if damaged else "it is compressed, unlike files of torch"
        )
