"""Start of training: from scratch, or from a checkpoint with the same network, data and blur."""

import logging
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deblurzoo.data import Source
from deblurzoo.errors import DeblurzooError
from deblurzoo.extensions import current, name_of
from deblurzoo.nets.base import complete
from deblurzoo.records import typed
from deblurzoo.reports.run_folder import IDENTITY, identity_of, new_id, own_id, trial_id
from deblurzoo.training.checkpoints import checkpoint_of, find_checkpoint, is_export, read_checkpoint
from deblurzoo.training.module import ADAM, DeblurModule

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """Checkpoint to resume from.

    Args:
        path: checkpoint file.
        content: output of `read_checkpoint`.
    """

    path: Path
    content: dict[str, Any]

    @property
    def facts(self) -> dict[str, Any]:
        """Metadata of the run: module, network, run id, data, blur, precision, number of CPU threads."""
        facts: dict[str, Any] = self.content["deblurzoo"]
        return facts

    def is_finished(self, last: int, run: Path) -> bool:
        """Whether a run has already reached its last step.

        Raises:
            DeblurzooError: the checkpoint has reached the last step but belongs to a different run.
        """
        step = self.content["global_step"]
        if step < last:
            return False
        if self.path.resolve().parent != (run / "checkpoints").resolve():
            raise DeblurzooError(
                f"{self.path} is already at step {step}: set a larger trainer.max_steps to resume, or, for a new run "
                f"from its weights, {typed('init', self.path)} in place of resume"
            )
        log.info(
            "%s is finished at step %d; to continue it, set a larger trainer.max_steps; for a new run from its "
            "weights, %s name=OTHER",
            run,
            step,
            typed("init", run),
        )
        return True

    def require_same_run(self, module: DeblurModule, source: Source, ema: bool) -> None:
        """Raise a DeblurzooError with all differences in network, optimiser class, EMA and blur folder, if any."""
        arguments, kind = self.content["hyper_parameters"], type(module.net)
        network = name_of(kind)
        theirs = {
            "module": current(self.facts["module"]),
            "network": self.facts.get("network", network),
            **complete(kind, arguments["net"]),  # older versions had fewer arguments
            "model.optimizer": arguments["optimizer"].get("class", ADAM),
            "model.bias_rate": arguments.get("bias_rate", 1.0),
            "callbacks.ema": "current_model_state" in self.content,
            "data.blur": self.facts["blur_folder"],
        }
        ours = {
            "module": name_of(type(module)),
            "network": network,
            **complete(kind, module.hparams["net"]),
            "model.optimizer": module.hparams["optimizer"]["class"],
            "model.bias_rate": module.bias_rate,
            "callbacks.ema": ema,
            "data.blur": source.blur_folder,
        }
        if differing := differences(theirs, ours):
            raise DeblurzooError(
                f"{self.path} is a checkpoint of a different network or run ({differing}): set these keys as in the "
                f"checkpoint, or start a new run from its weights: {typed('init', self.path)} name=OTHER in place of "
                "resume"
            )

    def require_same_images(self, ours: dict[str, str]) -> None:
        """Raise a DeblurzooError with both locations if the checkpoint was trained on different images.

        Moving, copying or packing the images is allowed. A checkpoint of version 0.1 does not record its images
        and always passes.
        """
        theirs = self.facts.get("data")
        if theirs and theirs["fingerprint"] != ours["fingerprint"]:
            raise DeblurzooError(
                f"{self.path} was trained on different images ({theirs['place']} then, {ours['place']} now): use the "
                f"original data set, or start a new run from its weights: {typed('init', self.path)} name=OTHER in "
                "place of resume"
            )


def differences(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """Return the keys whose values differ between a checkpoint and the config, with both values; "" if none."""
    return "; ".join(
        f"{key}: {theirs.get(key)} in the checkpoint, {ours.get(key)} in the config"
        for key in sorted(theirs.keys() | ours.keys())
        if theirs.get(key) != ours.get(key)
    )


def starting_point(resume: str | None, run: Path) -> Start | None:
    """Return the checkpoint to resume from: the run's newest (`auto`) or the given checkpoint; None for a new run.

    Raises:
        DeblurzooError: the run folder has checkpoints but `resume` is neither `auto` nor one of them, or `resume` is
            not a checkpoint that training can resume from.
    """
    newest = find_checkpoint(run)
    if resume == "auto":
        return Start(newest, read_checkpoint(newest)) if newest else None
    given = checkpoint_of(Path(resume)) if resume else None
    if given and is_export(given):
        raise DeblurzooError(
            f"resume={resume} is an export, which has only the weights: {typed('init', str(resume))} starts a new run "
            "from them; to resume training, give a run folder or a .ckpt file"
        )
    if newest is not None and (given is None or given.resolve().parent != newest.resolve().parent):
        raise DeblurzooError(
            f"{run} already contains a run ({newest.name}): resume=auto continues this run, name=OTHER starts a new run"
        )
    return Start(given, read_checkpoint(given)) if given else None


def run_id(start: Start | None, resume: str | None, run: Path) -> str:
    """Return the id of the resumed run; a new id for a new run, for a copy, and from the checkpoint of another run.

    The id of a trial of `wandb agent` is the agent's. A checkpoint keeps its id if the run folder of the checkpoint
    is gone or has another id.
    """
    if trial := trial_id():
        return trial
    if start is None:
        return own_id(run) if resume == "auto" and (run / IDENTITY).is_file() else new_id()
    stored, holder = str(start.facts["run_id"]), start.path.resolve().parent.parent
    with suppress(DeblurzooError):
        if holder == run.resolve():
            return own_id(run)
        if identity_of(holder).id == stored:
            return new_id()
    return stored
