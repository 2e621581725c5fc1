"""Initial weights of a new run: the weights of a trained network."""

from pathlib import Path

from deblurzoo import shipped
from deblurzoo.errors import DeblurzooError, few_of, require_utf8
from deblurzoo.files import sha256
from deblurzoo.nets.base import complete
from deblurzoo.reports.results import Lineage
from deblurzoo.training.checkpoints import checkpoint_of, net_state, read_trained, unequal
from deblurzoo.training.module import DeblurModule
from deblurzoo.training.resume import differences


def initialise(module: DeblurModule, path: Path, partial: bool) -> Lineage:
    """Load the weights of a trained network, moving averages if it has them, into a module; return their record.

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
    if misfits and not (partial and fitting):
        arguments = (trained["hyper_parameters"]["net"], module.hparams["net"])
        keys = differences(*(complete(type(module.net), given) for given in arguments))
        remedy = "" if partial else ", or init_partial=true to load only the tensors that fit"
        raise DeblurzooError(
            f"init={path} does not fit {type(module.net).__name__}: {few_of([*misfits.values()], 1)}. Set model and "
            f"model.net as in the file{f' ({keys})' if keys else ''}{remedy}"
        )
    module.net.load_state_dict(fitting, strict=False)
    return Lineage(
        file=str(shipped.shown(file)),
        step=trained["global_step"],
        sha256=sha256(file),
        lineage=trained["deblurzoo"].get("lineage"),
        loaded=len(fitting),
        missing=[name for name in ours if name not in fitting],
        unused=[name for name in theirs if name not in fitting],
    )
