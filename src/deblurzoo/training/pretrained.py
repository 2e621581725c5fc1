"""Loading untrusted torch files and third-party weights."""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deblurzoo.errors import DeblurzooError, first_line


def load_tensors(path: Path) -> Any:
    """Load tensors and values of basic types from a torch file without running code from it (`weights_only=True`).

    Raises:
        ValueError: the file is corrupt, or loading it would call a function; the message is one line.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # corrupt files raise exceptions of many types, from zip, pickle, unicode and torch
        call = re.search(r"GLOBAL (\S+)", str(error))
        raise ValueError(f"loading it would call {call[1]}" if call else first_line(error)) from error


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
