"""Start of training: from scratch, or from a checkpoint with the same network, data and blur."""

import logging
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deblurzoo.data import Source
from deblurzoo.errors import DeblurzooError
from deblurzoo.extensions import current, name_of
from deblurzoo.reports.run_folder import IDENTITY, identity_of, trial_id
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
        """Metadata of the run: module, network, run id, data, blur, precision."""
        facts: dict[str, Any] = self.content["deblurzoo"]
        return facts

    def is_finished(self, last: int, run: Path) -> bool:
        """Whether a run has already reached its last step.

        Raises:
            DeblurzooError: the checkpoint has reached the last step but belongs to another run.
        """
        step = self.content["global_step"]
        if step < last:
            return False
        if self.path.resolve().parent != (run / "checkpoints").resolve():
            raise DeblurzooError(f"{self.path} is already at step {step}: set a larger trainer.max_steps to resume")
        log.info("%s is finished at step %d; to continue it, set a larger trainer.max_steps", run, step)
        return True

    def require_same_run(self, module: DeblurModule, source: Source, ema: bool) -> None:
        """Raise a DeblurzooError if network, optimiser class, EMA or blur differ; the message lists all differences."""
        arguments, network = self.content["hyper_parameters"], name_of(type(module.net))
        theirs = {
            "module": current(self.facts["module"]),
            "network": self.facts.get("network", network),
            **arguments["net"],
            "model.optimizer": arguments["optimizer"].get("class", ADAM),
            "callbacks.ema": "current_model_state" in self.content,
            "data.blur": self.facts["blur_folder"],
        }
        ours = {
            "module": name_of(type(module)),
            "network": network,
            **module.hparams["net"],
            "model.optimizer": module.hparams["optimizer"]["class"],
            "callbacks.ema": ema,
            "data.blur": source.blur_folder,
        }
        differing = [
            f"{key}: {theirs.get(key)} in the checkpoint, {ours.get(key)} in the config"
            for key in sorted(theirs.keys() | ours.keys())
            if theirs.get(key) != ours.get(key)
        ]
        if differing:
            raise DeblurzooError(
                f"{self.path} is a checkpoint of another network or run ({'; '.join(differing)}): "
                "set these keys as in the checkpoint, or start without resume"
            )

    def require_same_images(self, ours: dict[str, str]) -> None:
        """Raise a DeblurzooError naming both places if the checkpoint was trained on other images.

        Moving, copying or packing the images is allowed. A checkpoint of version 0.1 has no record of its images and
        always passes.
        """
        theirs = self.facts.get("data")
        if theirs and theirs["fingerprint"] != ours["fingerprint"]:
            raise DeblurzooError(
                f"{self.path} was trained on other images ({theirs['place']} then, {ours['place']} now): use the "
                "original data set, or start a new run with another name"
            )


def starting_point(resume: str | None, run: Path) -> Start | None:
    """Return the checkpoint to resume from: the run folder's newest (`auto`) or a given one; None for a new run.

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
            f"resume={resume} is an export, which has only the weights: evaluate it, deblur with it or export it; to "
            "resume training, give a run folder or a .ckpt file"
        )
    if newest is not None and (given is None or given.resolve().parent != newest.resolve().parent):
        raise DeblurzooError(
            f"{run} already contains a run ({newest.name}): resume=auto continues it, name=OTHER starts a new run"
        )
    return Start(given, read_checkpoint(given)) if given else None


def run_id(start: Start | None, resume: str | None, run: Path) -> str:
    """Return the run id of the checkpoint or, for `auto`, of a run without checkpoints; otherwise a new id.

    The id of a trial of `wandb agent` is always the agent's.
    """
    if trial := trial_id():
        return trial
    if start:
        return str(start.facts["run_id"])
    begun = resume == "auto" and (run / IDENTITY).is_file()
    return identity_of(run).id if begun else secrets.token_hex(4)
