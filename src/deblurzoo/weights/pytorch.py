"""State dicts in PyTorch's files (`.pth`), read without running code of the file."""

import warnings
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
    """Whether a tensor has exactly the values of its storage, in one of torch's two orders.

    Other tensors show that a file without checksums is damaged.
    """
    dense = tensor.is_contiguous() or (tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last))
    return dense and tensor.nbytes == tensor.untyped_storage().nbytes()
