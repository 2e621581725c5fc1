"""Lightning logger for W&B."""

from pytorch_lightning.loggers import WandbLogger

from deblurzoo.reports.wandb import start_run


class WandbRun(WandbLogger):
    """Lightning logger that starts a W&B run; for the arguments, see `deblurzoo.reports.wandb.start_run`."""

    def __init__(
        self, project: str, run: str, run_id: str, name: str, group: str | None, tags: list[str], job_type: str
    ) -> None:
        super().__init__(experiment=start_run(project, run, run_id, name, group, tags, job_type))
