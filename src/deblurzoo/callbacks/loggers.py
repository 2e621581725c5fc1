"""Lightning's logger of a W&B run."""

from pytorch_lightning.loggers import WandbLogger

from deblurzoo.reports.wandb import start_run


class WandbRun(WandbLogger):
    """Lightning's logger around a W&B run that `deblurzoo.reports.wandb.start_run` starts; it has its arguments."""

    def __init__(
        self, project: str, run: str, run_id: str, name: str, group: str | None, tags: list[str], job_type: str
    ) -> None:
        super().__init__(experiment=start_run(project, run, run_id, name, group, tags, job_type))
