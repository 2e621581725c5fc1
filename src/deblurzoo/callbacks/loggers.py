"""Lightning logger for W&B."""

from pytorch_lightning.loggers import WandbLogger

from deblurzoo.reports.wandb import start_run


class WandbRun(WandbLogger):
    """Lightning logger of a W&B run started by `deblurzoo.reports.wandb.start_run`, with the same arguments."""

    def __init__(
        self, project: str, run: str, run_id: str, name: str, group: str | None, tags: list[str], job_type: str
    ) -> None:
        super().__init__(experiment=start_run(project, run, run_id, name, group, tags, job_type))
