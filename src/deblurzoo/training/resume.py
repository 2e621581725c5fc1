"""Where training starts: from nothing, or from a checkpoint of the same network, data and run."""

import logging
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deblurzoo.data import Source
from deblurzoo.errors import DeblurzooError
from deblurzoo.extensions import current, name_of
from deblurzoo.reports.run_folder import IDENTITY, identity_of
from deblurzoo.training.checkpoints import checkpoint_of, find_checkpoint, is_export, read_checkpoint
from deblurzoo.training.module import ADAM, DeblurModule

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Start:
    """A checkpoint to go on from.

    Args:
        path: its file.
        content: what `read_checkpoint` returned.
    """

    path: Path
    content: dict[str, Any]

    @property
    def facts(self) -> dict[str, Any]:
        """Its facts on the run: module, network, run id, data, blur, precision."""
        facts: dict[str, Any] = self.content["deblurzoo"]
        return facts

    def is_finished(self, last: int, run: Path) -> bool:
        """Return whether a run has taken its last step already.

        Raises:
            DeblurzooError: the checkpoint is of another run, and of no earlier step than the last one.
        """
        step = self.content["global_step"]
        if step < last:
            return False
        if self.path.resolve().parent != (run / "checkpoints").resolve():
            raise DeblurzooError(f"{self.path} is at step {step} already: set a larger trainer.max_steps to go on")
        log.info("%s is finished at step %d; a larger trainer.max_steps goes on", run, step)
        return True

    def require_same_run(self, module: DeblurModule, source: Source, ema: bool) -> None:
        """Raise a DeblurzooError that names every difference if the checkpoint is of another network or blur."""
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
                "set these as they were, or start without resume"
            )

    def require_same_images(self, ours: dict[str, str]) -> None:
        """Raise a DeblurzooError that names both places if the checkpoint was trained on other pictures than ours.

        Pictures may be moved, copied and packed in between; a checkpoint of version 0.1 does not say which it saw.
        """
        theirs = self.facts.get("data")
        if theirs and theirs["fingerprint"] != ours["fingerprint"]:
            raise DeblurzooError(
                f"{self.path} was trained on other pictures ({theirs['place']} then, {ours['place']} now): set the "
                "data set as it was, or train anew under another name"
            )


def starting_point(resume: str | None, run: Path) -> Start | None:
    """Return where to start: None for the beginning, the newest checkpoint of the run folder (`auto`), or one given.

    Raises:
        DeblurzooError: the run folder has checkpoints but `resume` does not say what to do with them, or `resume` is
            no checkpoint that training goes on from.
    """
    newest = find_checkpoint(run)
    if resume == "auto":
        return Start(newest, read_checkpoint(newest)) if newest else None
    given = checkpoint_of(Path(resume)) if resume else None
    if given and is_export(given):
        raise DeblurzooError(
            f"resume={resume} is an export, which has the weights alone: evaluate it, deblur with it or export it; "
            "training goes on from a run folder or a .ckpt file"
        )
    if newest is not None and (given is None or given.resolve().parent != newest.resolve().parent):
        raise DeblurzooError(
            f"{run} holds a run already ({newest.name}): resume=auto continues it, name=OTHER starts a new one"
        )
    return Start(given, read_checkpoint(given)) if given else None


def run_id(start: Start | None, resume: str | None, run: Path) -> str:
    """Return the id of a run: its checkpoint's, its own if it was stopped before the first one, or a new one."""
    if start:
        return str(start.facts["run_id"])
    begun = resume == "auto" and (run / IDENTITY).is_file()
    return identity_of(run).id if begun else secrets.token_hex(4)
