"""Initial weights of a new run: the weights of a trained network."""

import logging
from pathlib import Path
from typing import Any

from torch import nn

from deblurzoo import shipped
from deblurzoo.errors import DeblurzooError, few_of, require_utf8
from deblurzoo.files import sha256
from deblurzoo.nets.base import complete
from deblurzoo.reports.results import Lineage
from deblurzoo.training.checkpoints import checkpoint_of, net_state, read_trained, unequal
from deblurzoo.training.module import DeblurModule
from deblurzoo.training.resume import differences

log = logging.getLogger(__name__)


def initialise(module: DeblurModule, path: Path, partial: bool) -> Lineage:
    """Load the weights of a trained network, moving averages if it has them, into a module; return their record.

    Some arguments, such as `resize`, change the images of a network, but no shape of a tensor: a warning lists them.

    Args:
        module: module of the new run.
        path: a run folder (its newest checkpoint), a .ckpt file or an export.
        partial: load only the tensors that have the same name and shape in the module's network.

    Raises:
        DeblurzooError: the file cannot be read, a tensor does not fit, or, with `partial`, none fits.
    """
    require_utf8(path)
    file = checkpoint_of(path)
    trained = read_trained(file)
    theirs, ours = net_state(trained), module.net.state_dict()
    misfits = unequal(theirs, ours)
    fitting = {name: tensor for name, tensor in theirs.items() if name not in misfits}
    arguments = (trained["hyper_parameters"]["net"], module.hparams["net"])
    keys = differences(*(_comparable(type(module.net), given) for given in arguments))
    if misfits and not (partial and fitting):
        remedy = "" if partial else ", or init_partial=true to load only the tensors that fit"
        raise DeblurzooError(
            f"init={path} does not fit {type(module.net).__name__}: {few_of([*misfits.values()], 1)}. Set model and "
            f"model.net as in the file{f' ({keys})' if keys else ''}{remedy}"
        )
    if keys and not misfits:
        log.warning(
            "init=%s: its network has other arguments, and would restore other images (%s): set model.net as in the "
            "file, unless this is intended",
            path,
            keys,
        )
    module.net.load_state_dict(fitting, strict=False)
    return Lineage(
        file=str(shipped.shown(file)),
        step=trained["global_step"],
        sha256=sha256(file),
        lineage=trained["deblurzoo"].get("lineage"),
        origin=trained["deblurzoo"].get("origin"),
        loaded=len(fitting),
        missing=[name for name in ours if name not in fitting],
        unused=[name for name in theirs if name not in fitting],
    )


def _comparable(kind: type[nn.Module], arguments: dict[str, Any]) -> dict[str, Any]:
    """Return all arguments of a network, with tuples as lists, as configs and files have them."""
    return {key: list(v) if isinstance(v, tuple) else v for key, v in complete(kind, arguments).items()}
