"""Weights that others have trained."""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deblurzoo.errors import DeblurzooError, first_line


def load_tensors(path: Path) -> Any:
    """Return what torch has saved in a file: tensors and plain values; it cannot run code (`weights_only=True`).

    Raises:
        ValueError: the reason in one line: the file is damaged, or reading it would call a function.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for a bad file: of zip, pickle, unicode, and its own
        call = re.search(r"GLOBAL (\S+)", str(error))
        raise ValueError(f"reading it would call {call[1]}" if call else first_line(error)) from error


def read_state(path: Path, key: str, wanted: str) -> dict[str, Tensor]:
    """Read somebody else's state dict, alone or below `state_dict`; it cannot run code (`weights_only=True`).

    Args:
        path: the file.
        key: the config key that names it.
        wanted: what should be given there.

    Raises:
        DeblurzooError: the file is missing or is no state dict.
    """
    try:
        content = load_tensors(path)
    except ValueError as error:
        raise DeblurzooError(f"{key}={path} cannot be read ({error}): give {wanted}") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DeblurzooError(f"{key}={path} holds no state dict: give {wanted}")
    return state
