"""A trained network for others: `model.safetensors` and `config.json`, the layout of PyTorchModelHubMixin.

The top level of `config.json` are the network's keyword arguments, which huggingface_hub's mixin hands to the class;
what deblurzoo needs besides is below `deblurzoo`, which the mixin ignores.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from deblurzoo import __version__
from deblurzoo.config import require_plain
from deblurzoo.errors import DeblurzooError
from deblurzoo.extensions import name_of
from deblurzoo.files import write_atomically
from deblurzoo.records import Export, load_record
from deblurzoo.training.module import DeblurModule

WEIGHTS, CONFIG = "model.safetensors", "config.json"
_REMEDY = f"give a folder that `deblurzoo export` wrote, with {WEIGHTS} and {CONFIG} in it"


def is_export(path: Path) -> bool:
    """Whether a path is the safetensors file or the folder of an export."""
    return path.suffix == ".safetensors" or (path / CONFIG).is_file() or (path / WEIGHTS).is_file()


def write_export(folder: Path, module: DeblurModule, trained: dict[str, Any]) -> None:
    """Write the network of a module, rebuilt from the checkpoint `trained`, into a folder; nothing is pickled."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in module.net.state_dict().items()}
    config = {
        **module.hparams["net"],
        "deblurzoo": {
            "module": name_of(type(module)),
            "network": name_of(type(module.net)),
            "frames": module.frames,
            "size_multiple": module.net.size_multiple,
            "blur_folder": trained["deblurzoo"]["blur_folder"],
            "step": trained["global_step"],
            "version": __version__,
        },
    }
    write_atomically(folder / WEIGHTS, save(state, metadata={"format": "pt"}))
    write_atomically(folder / CONFIG, (json.dumps(config, indent=2) + "\n").encode())


def read_export(path: Path) -> dict[str, Any]:
    """Read an export's safetensors file and the `config.json` beside it, in the form of a checkpoint.

    Raises:
        DeblurzooError: a file is missing or damaged, or `config.json` is not deblurzoo's.
    """
    file = path.with_name(CONFIG)
    config = load_record(file, Export, _REMEDY)
    facts = config.pop("deblurzoo")
    try:
        require_plain(config, "config")
    except ValueError as error:
        raise DeblurzooError(f"{file} cannot be used ({error}): {_REMEDY}") from error
    return {
        "deblurzoo": facts,
        "global_step": facts["step"],
        "hyper_parameters": {"net": config},
        "state_dict": {f"net.{name}": tensor for name, tensor in _read_weights(path).items()},
    }


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise DeblurzooError(f"{path} cannot be read ({error}): export the network again") from error
    if odd := [name for name, tensor in state.items() if not tensor.is_floating_point()]:
        raise DeblurzooError(f"{path} holds {odd[0]} of type {state[odd[0]].dtype}, not weights: export again")
    return state
