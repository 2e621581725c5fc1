"""Reading a module back from its checkpoint or its export."""

import logging
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from deblurzoo.config import require_plain, require_types
from deblurzoo.errors import DeblurzooError
from deblurzoo.export.safetensors import WEIGHTS, is_export, read_export
from deblurzoo.extensions import MODULES, NETWORKS, current, resolve
from deblurzoo.training.module import DeblurModule
from deblurzoo.training.pretrained import load_tensors

log = logging.getLogger(__name__)

FORMS = "a run folder, a .ckpt file or, but to resume, an export"
"""All that trained weights are read from."""

RECORDS = ("optimizer", "schedule", "loss")
"""Arguments of a module that a checkpoint has for the record alone: training takes them from the config."""

CONTENT = {
    "deblurzoo": dict,
    "global_step": int,
    "state_dict": dict,
    "hyper_parameters": dict,
    "optimizer_states": list,
}
"""What evaluating and resuming need of a checkpoint."""


def find_checkpoint(run: Path) -> Path | None:
    """Return the newest whole checkpoint of a run folder, or None; damaged ones are said and passed over.

    Raises:
        DeblurzooError: there are checkpoints, and none can be read.
    """
    damage: DeblurzooError | None = None
    for path in sorted((run / "checkpoints").glob("step_*.ckpt"), reverse=True):
        try:
            read_checkpoint(path)
            return path
        except DeblurzooError as error:
            log.warning("%s. Going back to the one before", error)
            damage = damage or error
    if damage:
        raise damage
    return None


def load_any(path: Path) -> DeblurModule:
    """Rebuild a module from a checkpoint, a run folder (its newest checkpoint), an export folder or its safetensors.

    Raises:
        DeblurzooError: there is none, or it is damaged, not ours or of another version.
    """
    file = checkpoint_of(path)
    return load_module(read_trained(file), file)


def checkpoint_of(path: Path) -> Path:
    """Return `path`, or what is to be read if it is a folder: an export's weights, or a run's newest checkpoint."""
    if not path.is_dir():
        return path
    if is_export(path):
        return path / WEIGHTS
    newest = find_checkpoint(path)
    if newest is None:
        raise DeblurzooError(f"{path} has no checkpoints/step_*.ckpt and no {WEIGHTS}: give {FORMS}")
    return newest


def read_trained(path: Path) -> dict[str, Any]:
    """Read a checkpoint, or an export's weights in the same form; training resumes from checkpoints alone.

    Raises:
        DeblurzooError: the file is missing, unreadable, or not deblurzoo's.
    """
    if not is_export(path):
        return read_checkpoint(path)
    return read_export(path)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of ours; it cannot run code (`weights_only=True`).

    Raises:
        DeblurzooError: the file is missing, unreadable, or not a deblurzoo checkpoint.
    """
    if not path.is_file():
        raise DeblurzooError(f"checkpoint {path} does not exist: give {FORMS}")
    try:
        checkpoint = load_tensors(path)
    except ValueError as error:
        raise DeblurzooError(
            f"checkpoint {path} cannot be read ({error}): it is damaged or not ours; give another one"
        ) from error
    if not _is_ours(checkpoint):
        raise DeblurzooError(f"{path} is not a checkpoint of deblurzoo: give one that `deblurzoo train` wrote")
    try:
        require_plain(checkpoint["hyper_parameters"], "hyper_parameters")
    except (ValueError, RecursionError) as error:
        raise DeblurzooError(f"{path} cannot be used ({error}): give one that `deblurzoo train` wrote") from error
    complete: dict[str, Any] = checkpoint
    return complete


def _is_ours(checkpoint: object) -> bool:
    """Whether a file's content is a checkpoint's, as far as it can be seen from outside."""
    if not isinstance(checkpoint, dict):
        return False
    if not all(isinstance(checkpoint.get(key), kind) for key, kind in CONTENT.items()):
        return False
    facts, arguments = checkpoint["deblurzoo"], checkpoint["hyper_parameters"]
    return (
        all(isinstance(facts.get(key), str) for key in ("module", "run_id", "blur_folder"))
        and "${" not in facts["run_id"] + facts["blur_folder"]  # they become part of a config, which would resolve it
        and all(isinstance(facts.get(key, ""), str) for key in ("network", "precision"))
        and ("data" not in facts or _is_pictures(facts["data"]))
        and isinstance(arguments.get("net"), dict)
        and all(isinstance(arguments.get(key, {}), dict) for key in RECORDS)
        and all(isinstance(value, Tensor) for value in checkpoint["state_dict"].values())
    )


def _is_pictures(value: object) -> bool:
    """Whether a value says which pictures a network was trained on."""
    return isinstance(value, dict) and all(isinstance(value.get(key), str) for key in ("place", "fingerprint"))


def load_module(checkpoint: dict[str, Any], path: Path) -> DeblurModule:
    """Rebuild the module of a checkpoint that `read_trained` returned; `path` is for messages."""
    facts, arguments = checkpoint["deblurzoo"], checkpoint["hyper_parameters"]
    try:
        module = current(facts["module"])
        kind = resolve(MODULES.get(module, module), DeblurModule)
        network = facts.get("network")
        net = resolve(NETWORKS.get(network, network), nn.Module) if network else kind.network
    except ValueError as error:
        raise DeblurzooError(f"{path} cannot be used: {error}") from error
    try:
        given = {key: {} if key in RECORDS else value for key, value in arguments.items()}
        require_types(kind, given)
        loaded = kind(**{**given, "net": {**given["net"], "_target_": net}})
        _require_fit(checkpoint["state_dict"], loaded.state_dict())
        loaded.load_state_dict(checkpoint["state_dict"])
    except (KeyError, TypeError, ValueError, RuntimeError, DeblurzooError) as error:
        raise DeblurzooError(f"{path} does not fit {kind.__name__} of this version of deblurzoo: {error}") from error
    return loaded


def _require_fit(given: dict[str, Tensor], needed: dict[str, Tensor]) -> None:
    """Raise a ValueError that names the first tensor that is missing, unknown or of another shape."""
    shapes = [{name: tuple(tensor.shape) for name, tensor in state.items()} for state in (given, needed)]
    theirs, ours = shapes
    misfits = [name for name in {**ours, **theirs} if theirs.get(name) != ours.get(name)]
    if misfits:
        name, *others = misfits
        there, wanted = theirs.get(name, "missing"), ours.get(name, "unknown")
        more = f" (and {len(others)} more)" if others else ""
        raise ValueError(f"{name} is {there} there, {wanted} here{more}")
