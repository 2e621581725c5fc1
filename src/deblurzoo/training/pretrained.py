"""Loading untrusted torch files and third-party weights."""

import errno
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deblurzoo.errors import DeblurzooError, first_line
from deblurzoo.training.rehearsal import CORRUPT, LARGEST_PICKLE, rehearse

_MOST_BYTES = 8
"""Largest size of all tensors of a file, as a multiple of the size of the file."""


def load_tensors(path: Path) -> Any:
    """Load tensors and values of basic types from a torch file without running code from it (`weights_only=True`).

    Loading needs memory in proportion to the size of the file.

    Raises:
        ValueError: the file is corrupt, or loading it would call a function; the message is one line.
    """
    try:
        rehearse(path)
    except OSError as error:
        raise ValueError(first_line(error)) from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # corrupt files raise exceptions of many types, from zip, pickle, unicode and torch
        raise ValueError(_reason(error)) from error
    _require_bounded(content, path.stat().st_size)
    return content


def _require_bounded(content: Any, size: int) -> None:
    """Raise a ValueError if code that copies or walks through the content would need much memory or time.

    A small file can name one value any number of times, or repeat one number in a tensor of any size.

    Args:
        content: values of basic types and tensors.
        size: size of the file in bytes.
    """
    values, most, left = min(LARGEST_PICKLE, size), _MOST_BYTES * size, [content]
    while left:
        value = left.pop()
        values -= 1
        if isinstance(value, Tensor):
            most -= value.numel() * value.element_size()
        elif isinstance(value, dict):
            left.extend(value.values())
        elif isinstance(value, list | tuple):
            left.extend(value)
        if min(values, most) < 0:
            raise ValueError("its values share bytes, and would need much more memory than the file")


def _reason(error: Exception) -> str:
    """Return the reason why a file cannot be loaded, without torch's advice to run the code of the file."""
    if call := re.search(r"GLOBAL ([\w.]+) ", str(error)):
        return f"loading it would call {call[1]}"
    if isinstance(error, OSError) and error.errno != errno.EINVAL:  # torch seeks in a truncated file
        return first_line(error)
    return CORRUPT


def read_state(path: Path, key: str, wanted: str) -> dict[str, Tensor]:
    """Load a third-party state dict, from the top level or the key `state_dict` of a file; see `load_tensors`.

    Args:
        path: file of the state dict.
        key: config key of the file, for messages.
        wanted: description of the values that the key may have, for messages.

    Raises:
        DeblurzooError: the file cannot be read or has no state dict.
    """
    try:
        content = load_tensors(path)
    except ValueError as error:
        raise DeblurzooError(f"{key}={path} cannot be read ({error}): give {wanted}") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DeblurzooError(f"{key}={path} has no state dict: give {wanted}")
    return state
