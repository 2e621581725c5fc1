"""Loading checkpoints and exports, and rebuilding their networks."""

import logging
from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from deblurzoo import shipped
from deblurzoo.config import require_plain
from deblurzoo.errors import DeblurzooError, few_of
from deblurzoo.extensions import NETWORKS, current, resolve
from deblurzoo.files import require_readable
from deblurzoo.nets.base import DeblurNet, build_network, no_larger_than
from deblurzoo.records import Literally, Record, checked, load_record
from deblurzoo.reports.results import Lineage, Origin
from deblurzoo.training.pretrained import load_tensors

log = logging.getLogger(__name__)

WEIGHTS, CONFIG = "model.safetensors", "config.json"
"""File names of an export; see `deblurzoo.export.safetensors`."""
_REMEDY = f"give a folder written by `deblurzoo export`, with {WEIGHTS} and {CONFIG}"

FORMS = (
    "a run folder, a .ckpt file, wandb:ENTITY/PROJECT/NAME:ALIAS or, except for resume, an exported network or a name "
    "of `deblurzoo weights`"
)
"""Accepted forms of trained weights, for messages."""

RECORDS = ("optimizer", "schedule", "loss")
"""Module arguments that a checkpoint stores only for the record: training reads them from the config."""

CONTENT = {
    "deblurzoo": dict,
    "global_step": int,
    "state_dict": dict,
    "hyper_parameters": dict,
    "optimizer_states": list,
}
"""Keys that a checkpoint must have for evaluation and resuming, with the types of their values."""


class _ExportFacts(Record):
    """Section `deblurzoo` of an export's `config.json`."""

    module: str
    network: str | None = None
    frames: int
    size_multiple: int
    blur_folder: Literally
    step: int
    version: str
    lineage: Lineage | None = None
    origin: Origin | None = None


class _Export(Record):
    """`config.json` of an export: the section `deblurzoo` and, as additional keys, the network's arguments."""

    model_config = ConfigDict(extra="allow")

    deblurzoo: _ExportFacts


def is_export(path: Path) -> bool:
    """Whether a path is an export's folder or its safetensors file."""
    return path.suffix == ".safetensors" or (path / CONFIG).is_file() or (path / WEIGHTS).is_file()


def find_checkpoint(run: Path) -> Path | None:
    """Return the newest readable checkpoint of a run folder, or None; warn about corrupt checkpoints and skip them.

    Raises:
        DeblurzooError: the folder has checkpoints, but none can be read.
    """
    damage: DeblurzooError | None = None
    if (folder := run / "checkpoints").is_dir():
        require_readable(folder)
    for path in sorted(folder.glob("step_*.ckpt"), reverse=True):
        try:
            read_checkpoint(path)
            return path
        except DeblurzooError as error:
            log.warning("%s. Trying the previous checkpoint", error)
            damage = damage or error
    if damage:
        raise damage
    return None


def load_any(path: Path) -> DeblurNet:
    """Load the network from a checkpoint, a run folder (newest checkpoint), an export folder or its safetensors file.

    Raises:
        DeblurzooError: the file is missing, corrupt, not written by deblurzoo, or incompatible with this version.
    """
    file = checkpoint_of(path)
    return load_net(read_trained(file), file)


def checkpoint_of(path: Path) -> Path:
    """Return the file to load: `path` itself, or a folder's exported weights or newest checkpoint.

    A name that `deblurzoo weights` lists is the export that is part of deblurzoo, unless a file or folder has the name.

    The file of an artifact of W&B, `wandb:ENTITY/PROJECT/NAME:ALIAS`, is downloaded first.
    """
    if str(path).startswith("wandb:"):
        from deblurzoo.reports.artifacts import fetch  # W&B's library takes seconds to import

        return fetch(str(path))
    path = shipped.export_of(path) or path
    if not path.is_dir():
        return path
    if is_export(path):
        return path / WEIGHTS
    newest = find_checkpoint(path)
    if newest is None:
        raise DeblurzooError(f"{path} has no checkpoints/step_*.ckpt and no {WEIGHTS}: give {FORMS}")
    return newest


def read_trained(path: Path) -> dict[str, Any]:
    """Load a checkpoint or an export. An export is returned in the form of a checkpoint that cannot be resumed.

    Raises:
        DeblurzooError: the file is missing, unreadable, or not written by deblurzoo.
    """
    if not is_export(path):
        return read_checkpoint(path)
    return read_export(path)


def read_export(path: Path) -> dict[str, Any]:
    """Load an export's safetensors file and `config.json`; return the content in the form of a checkpoint.

    Raises:
        DeblurzooError: a file is missing or corrupt, or `config.json` was not written by deblurzoo.
    """
    file = path.with_name(CONFIG)
    config = load_record(file, _Export, _REMEDY)
    arguments = config.model_extra or {}
    try:
        require_plain(arguments, "config")
    except DeblurzooError as error:
        raise DeblurzooError(f"{file} cannot be used ({error}): {_REMEDY}") from error
    return {
        "deblurzoo": config.deblurzoo.model_dump(),
        "global_step": config.deblurzoo.step,
        "hyper_parameters": {"net": arguments},
        "state_dict": {f"net.{name}": tensor for name, tensor in _read_weights(path).items()},
    }


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise DeblurzooError(f"{path} cannot be read ({error}): export the network again") from error
    return state


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Load a deblurzoo checkpoint without running code from the file (`weights_only=True`).

    Raises:
        DeblurzooError: the file is missing, unreadable, or not a deblurzoo checkpoint.
    """
    if not path.is_file():
        raise DeblurzooError(f"checkpoint {path} does not exist: give {FORMS}")
    try:
        checkpoint = load_tensors(path)
    except ValueError as error:
        raise DeblurzooError(
            f"checkpoint {path} cannot be read ({error}): give a checkpoint of deblurzoo, that is, {FORMS}"
        ) from error
    if not _is_ours(checkpoint):
        raise DeblurzooError(f"{path} is not a checkpoint of deblurzoo: give a file written by `deblurzoo train`")
    try:
        require_plain(checkpoint["hyper_parameters"], "hyper_parameters")
    except (DeblurzooError, RecursionError) as error:
        raise DeblurzooError(f"{path} cannot be used ({error}): give a file written by `deblurzoo train`") from error
    complete: dict[str, Any] = checkpoint
    return complete


def _is_ours(checkpoint: object) -> bool:
    """Whether loaded content has the structure of a deblurzoo checkpoint."""
    if not isinstance(checkpoint, dict):
        return False
    if not all(isinstance(checkpoint.get(key), kind) for key, kind in CONTENT.items()):
        return False
    facts, arguments = checkpoint["deblurzoo"], checkpoint["hyper_parameters"]
    return (
        all(isinstance(facts.get(key), str) for key in ("module", "run_id", "blur_folder"))
        and "${" not in facts["run_id"] + facts["blur_folder"]  # would be interpolated in a config
        and all(isinstance(facts.get(key, ""), str) for key in ("network", "precision"))
        and type(threads := facts.get("threads", 1)) is int  # not bool, which torch refuses
        and threads > 0
        and ("data" not in facts or _is_fingerprint(facts["data"]))
        and _is_lineage(facts.get("lineage"))
        and isinstance(arguments.get("net"), dict)
        and all(isinstance(arguments.get(key, {}), dict) for key in RECORDS)
        and all(isinstance(value, Tensor) for value in checkpoint["state_dict"].values())
    )


def _is_fingerprint(value: object) -> bool:
    """Whether a value describes a set of training images by place and fingerprint."""
    return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in ("place", "fingerprint"))


def _is_lineage(value: object) -> bool:
    """Whether a value is None or the content of a `Lineage`."""
    try:
        return value is None or bool(checked(value, Lineage))
    except (ValueError, RecursionError):
        return False


def load_net(trained: dict[str, Any], path: Path) -> DeblurNet:
    """Rebuild the network from the output of `read_trained`; `path` is for messages only."""
    facts, arguments = trained["deblurzoo"], trained["hyper_parameters"]["net"]
    network = facts.get("network") or current(facts["module"])  # version 0.1 stores only the training module
    try:
        kind = resolve(NETWORKS.get(network, network), nn.Module)
    except ValueError as error:
        raise DeblurzooError(f"{path} cannot be used: {error}") from error
    try:
        state = net_state(trained)
        with no_larger_than(state):
            net = build_network(kind, arguments)
        if misfits := list(unequal(state, net.state_dict()).values()):
            raise ValueError(few_of(misfits, 1))
        net.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError, DeblurzooError) as error:
        raise DeblurzooError(f"{path} does not fit {kind.__name__} of this version of deblurzoo: {error}") from error
    return net


def net_state(trained: dict[str, Any]) -> dict[str, Tensor]:
    """Return the network's tensors by name from the output of `read_trained`; moving averages, if it has them."""
    state: dict[str, Tensor] = trained["state_dict"]
    return {name.removeprefix("net."): tensor for name, tensor in state.items() if name.startswith("net.")}


def unequal(given: dict[str, Tensor], needed: dict[str, Tensor]) -> dict[str, str]:
    """Return a description of each tensor that is missing, unknown, or of a different shape or kind, by name."""
    theirs, ours = ({name: _form(tensor) for name, tensor in state.items()} for state in (given, needed))
    return {
        name: f"{name} is {theirs.get(name, 'missing')} in the file, {ours.get(name, 'unknown')} in the network"
        for name in {**ours, **theirs}
        if theirs.get(name) != ours.get(name)
    }


def _form(tensor: Tensor) -> str:
    """Return the shape of a tensor, and its type unless it has float values in memory, which torch converts."""
    if tensor.is_nested:
        return "nested"
    is_plain = tensor.layout == torch.strided and tensor.is_floating_point() and not tensor.is_meta
    return f"{tuple(tensor.shape)}{'' if is_plain else f' of {tensor.dtype}, {tensor.layout}, {tensor.device}'}"
