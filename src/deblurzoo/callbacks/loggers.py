"""Lightning logger for W&B."""

from typing import Any, Literal

from pytorch_lightning.loggers import WandbLogger

from deblurzoo.callbacks.checkpoints import StepCheckpoints
from deblurzoo.reports.artifacts import harmless, log_checkpoint
from deblurzoo.reports.run_folder import RunConfig
from deblurzoo.reports.wandb import start_run


class WandbRun(WandbLogger):
    """Lightning logger of a W&B run started by `deblurzoo.reports.wandb.start_run`, with the same arguments.

    Args:
        log_model: checkpoints to upload as artifacts: none, the last one after training, or all.
    """

    def __init__(
        self,
        project: str,
        run: str,
        run_id: str,
        name: str,
        group: str | None,
        tags: list[str],
        job_type: str,
        log_model: Literal[False, "last", "all"] = False,
    ) -> None:
        super().__init__(experiment=start_run(project, run, run_id, name, group, tags, job_type))
        self._uploads, self._ema = log_model, False
        self._newest: StepCheckpoints | None = None

    def log_hyperparams(self, params: Any) -> None:
        """Log the config of a run, with the names by which W&B groups runs."""
        self._ema = bool(params["callbacks"].get("ema"))
        super().log_hyperparams(RunConfig.model_validate(params).for_wandb())

    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Upload a checkpoint, or keep it for the end of training."""
        self._newest = checkpoint_callback if self._uploads else None
        if self._uploads == "all":
            self._upload()

    def finalize(self, status: str) -> None:
        """Upload the last checkpoint of a successful training."""
        if status == "success":
            self._upload()

    def _upload(self) -> None:
        """Upload the newest checkpoint unless it is uploaded."""
        if self._newest:
            step = self._newest.saved_step
            with harmless("a checkpoint"):
                log_checkpoint(self.experiment, self._newest.file(step), step, self._ema)
            self._newest = None
