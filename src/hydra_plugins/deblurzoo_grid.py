"""Hydra's sweeper over all values, for deblurzoo; Hydra finds sweepers only in this namespace."""

from collections.abc import Sequence
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException


class Grid(BasicSweeper):
    """A sweeper that records all runs of a sweep before the first one starts, so that `compare` lists them."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Compose the config of each job, and record in each run folder that the job has not begun.

        Raises:
            CompactHydraException: two jobs have the same folder.
        """
        assert self.config is not None
        if "run" not in self.config:  # a sweep of evaluations
            super().validate_batch_is_legal(batch)
            return
        from deblurzoo.reports.run_folder import announce  # deferred: every command imports the plugins

        jobs: dict[Path, Sequence[str]] = {}
        for overrides in batch:
            folder = self._folder(overrides)
            if jobs.setdefault(folder, overrides) is not overrides:
                raise CompactHydraException(
                    f"error: {folder} would be the folder of two jobs ({' '.join(jobs[folder])}; {' '.join(overrides)})"
                    ": add name=NAME, and folders are also named by the experiment"
                )
        for folder in jobs:
            announce(folder)

    def _folder(self, overrides: Sequence[str]) -> Path:
        """Return the folder of a job."""
        assert self.config is not None and self.hydra_context is not None
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
        HydraConfig.instance().set_config(config)
        return Path(config.hydra.sweep.dir, config.hydra.sweep.subdir)
