"""Optuna's sweeper for deblurzoo. Hydra finds sweepers only in the namespace `hydra_plugins`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from deblurzoo.errors import first_line


class Search(Sweeper):
    """A sweeper that runs all trials of an Optuna search and then, unlike `OptunaSweeper`, fails if a trial failed.

    Args:
        options: options of `hydra_optuna_sweeper`; a `max_failure_rate` below 1 may end the search early.
    """

    def __init__(self, **options: Any) -> None:
        from hydra_plugins.hydra_optuna_sweeper.optuna_sweeper import OptunaSweeper  # installed by deblurzoo[sweep]

        self._optuna = OptunaSweeper(**options)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Set up Optuna's sweeper to launch its trials through `_Trials`."""
        if OmegaConf.is_list(config.hydra.sweeper.direction):
            directions = " and ".join(map(str, config.hydra.sweeper.direction))
            raise CompactHydraException(
                f"error: hydra.sweeper.direction cannot be {directions}: a trial returns one value, the PSNR; "
                "set one direction"
            )
        self._optuna.setup(hydra_context=hydra_context, task_function=task_function, config=config)
        launcher = self._optuna.sweeper.launcher
        assert launcher is not None
        self._trials = _Trials(launcher)
        self._optuna.sweeper.launcher = self._trials  # type: ignore[assignment]  # only `launch` is called

    def sweep(self, arguments: list[str]) -> None:
        """Run the search; at the end, raise an error that names all failed trials."""
        trials = self._trials
        try:
            self._optuna.sweep(arguments)
        except ValueError:  # raised by Optuna if no trial is complete
            if len(trials.failed) < trials.count:
                raise
        if trials.failed:
            lines = dict.fromkeys(f"  {_folder(trial)}: {_reason(trial)}" for trial in trials.failed)
            raise CompactHydraException(
                "\n".join([f"error: {len(trials.failed)} of {trials.count} trials failed", *lines])
            )


class _Trials:
    """A launcher that records failed trials, and runs identical trials of a batch only once."""

    def __init__(self, launcher: Launcher) -> None:
        self.launcher, self.count = launcher, 0
        self.failed: list[JobReturn] = []

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Run a batch of trials; return one result per trial."""
        trials = list(dict.fromkeys(map(tuple, job_overrides)))  # two processes cannot share a run folder
        by_trial = dict(zip(trials, self.launcher.launch(trials, initial_job_idx), strict=True))
        results = [by_trial[tuple(overrides)] for overrides in job_overrides]
        self.count += len(results)
        self.failed += [result for result in results if result.status == JobStatus.FAILED]
        return results


def _folder(trial: JobReturn) -> Path:
    assert trial.hydra_cfg is not None
    folder = Path(trial.hydra_cfg.hydra.runtime.output_dir)
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder


def _reason(trial: JobReturn) -> str:
    try:
        return str(trial.return_value)  # raises the error of a failed job
    except Exception as error:
        return first_line(error).removeprefix("error: ")
