"""Reading a module back from its checkpoint."""

import logging
from pathlib import Path
from typing import Any

import torch

from deblurzoo.errors import DeblurzooError
from deblurzoo.modules.base import DeblurModule
from deblurzoo.modules.flow_rnn import FlowRNNDeblur
from deblurzoo.modules.srn import SRNDeblur
from deblurzoo.modules.svrnn import Liu2016Deblur, SVRNNDeblur

log = logging.getLogger(__name__)

MODULES: dict[str, type[DeblurModule]] = {
    cls.__name__: cls for cls in (SRNDeblur, SVRNNDeblur, Liu2016Deblur, FlowRNNDeblur)
}


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


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of ours; it cannot run code (`weights_only=True`).

    Raises:
        DeblurzooError: the file is missing, unreadable, or not a deblurzoo checkpoint.
    """
    if not path.is_file():
        raise DeblurzooError(f"checkpoint {path} does not exist: give a .ckpt file or a run folder that has one")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch raises many types here: zip, pickle, unicode and runtime errors, all of them a bad file.
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise DeblurzooError(
            f"checkpoint {path} cannot be read ({reason}): it is damaged or not ours; give another one"
        ) from error
    if not _is_ours(checkpoint):
        raise DeblurzooError(
            f"{path} is not a checkpoint of deblurzoo (known modules: {', '.join(MODULES)}): "
            "give one that `deblurzoo train` wrote"
        )
    complete: dict[str, Any] = checkpoint
    return complete


def _is_ours(checkpoint: object) -> bool:
    """Whether a file's content has all that evaluating and resuming need."""
    needed = {"deblurzoo", "global_step", "state_dict", "hyper_parameters", "optimizer_states", "lr_schedulers"}
    if not isinstance(checkpoint, dict) or not needed <= checkpoint.keys():
        return False
    facts = checkpoint["deblurzoo"]
    return isinstance(facts, dict) and {"run_id", "blur_folder"} <= facts.keys() and facts.get("module") in MODULES


def load_module(checkpoint: dict[str, Any], path: Path) -> DeblurModule:
    """Rebuild the module of a checkpoint that `read_checkpoint` returned; `path` is for messages."""
    module_class = MODULES[checkpoint["deblurzoo"]["module"]]
    try:
        module = module_class(**checkpoint["hyper_parameters"])
        module.load_state_dict(checkpoint["state_dict"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DeblurzooError(
            f"checkpoint {path} does not fit {module_class.__name__} of this version of deblurzoo: {error}"
        ) from error
    return module
