"""Weights that others have trained."""

from pathlib import Path

import torch
from torch import Tensor

from deblurzoo.errors import DeblurzooError, first_line


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
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for a bad file
        reason = first_line(error)
        raise DeblurzooError(f"{key}={path} cannot be read ({reason}): give {wanted}") from error
    state = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DeblurzooError(f"{key}={path} holds no state dict: give {wanted}")
    return state
