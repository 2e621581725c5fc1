"""Optuna's sweeper for deblurzoo. Hydra finds sweepers only in the namespace `hydra_plugins`."""

import functools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException, HydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from deblurzoo.errors import DeblurzooError, first_line
from deblurzoo.files import claim, write_atomically
from deblurzoo.records import Record, load_record, shown

log = logging.getLogger(__name__)


class Search(Sweeper):
    """A sweeper that runs all trials of an Optuna search and then, unlike `OptunaSweeper`, fails if a trial failed.

    The same search again starts with the trials of the first one: the jobs of finished trials return their result,
    other jobs resume. Optuna's own databases would require SQLAlchemy 1.

    Args:
        storage: JSON file with the values of all trials, written before each trial.
        options: options of `hydra_optuna_sweeper`; a `max_failure_rate` below 1 may end the search early.
    """

    def __init__(self, storage: Any, **options: Any) -> None:
        from hydra_plugins.hydra_optuna_sweeper.optuna_sweeper import OptunaSweeper  # installed by deblurzoo[sweep]

        self._storage = storage
        self._others: list[Any] = []  # recorded trials of another search space
        self._optuna = OptunaSweeper(storage=None, **options)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Set up Optuna's sweeper to launch its trials through `_Trials`."""
        self._file = _file(self._storage)  # Hydra would wrap an error of __init__ in its own
        if OmegaConf.is_list(config.hydra.sweeper.direction):
            directions = " and ".join(map(str, config.hydra.sweeper.direction))
            raise CompactHydraException(
                f"error: hydra.sweeper.direction cannot be {directions}: a trial returns one value, the PSNR; "
                "set one direction"
            )
        self._optuna.setup(hydra_context=hydra_context, task_function=task_function, config=config)
        launcher = self._optuna.sweeper.launcher
        assert launcher is not None
        self._trials = _Trials(launcher, self._record)
        self._optuna.sweeper.launcher = self._trials  # type: ignore[assignment]  # only `launch` is called

    def sweep(self, arguments: list[str]) -> None:
        """Run the search; at the end, raise an error that names all failed trials."""
        trials = self._trials
        try:
            space = self._space(arguments)
            claim(self._file.parent)
            self._study = self._resumed(space)
        except DeblurzooError as error:
            raise CompactHydraException(f"error: {error}") from error
        try:
            self._optuna.sweep(arguments)
        except (ValueError, AssertionError) as error:  # also raised by Optuna if no trial is complete
            if not trials.count:
                raise CompactHydraException(
                    f"error: the search has no trial ({first_line(error)}): correct hydra.sweeper or the search space"
                ) from error
            if len(trials.failed) < trials.count:
                raise
        if trials.failed:
            lines = dict.fromkeys(f"  {_folder(trial)}: {_reason(trial)}" for trial in trials.failed)
            raise CompactHydraException(
                "\n".join([f"error: {len(trials.failed)} of {trials.count} trials failed", *lines])
            )

    def _space(self, arguments: list[str]) -> dict[str, Any]:
        """Return the search space: the distributions of the searched keys.

        Raises:
            DeblurzooError: an override is not a distribution of Optuna.
        """
        from hydra_plugins.hydra_optuna_sweeper._impl import create_params_from_overrides

        space: dict[str, Any] = {}
        fixed: dict[str, Any] = {}
        for override in [*self._optuna.sweeper._parse_sweeper_params_config(), *arguments]:
            try:
                for known, found in zip((space, fixed), create_params_from_overrides([override]), strict=True):
                    known.update(found)
            except (ValueError, AssertionError, NotImplementedError, HydraException) as error:
                raise DeblurzooError(
                    f"{override} is not a search space ({first_line(error).rstrip('.')}): set "
                    "KEY=interval(LOW,HIGH) with LOW<HIGH, KEY=tag(log,interval(LOW,HIGH)) with 0<LOW, "
                    "KEY=range(LOW,HIGH,STEP) or KEY=choice(A,B)"
                ) from error
        return {key: values for key, values in space.items() if key not in fixed}

    def _resumed(self, space: dict[str, Any]) -> Any:
        """Return a study in memory that first runs the recorded trials of the search space."""
        import optuna

        sweeper = self._optuna.sweeper
        sweeper.storage, sweeper.study_name = optuna.storages.InMemoryStorage(), "deblurzoo"
        study = optuna.create_study(
            study_name=sweeper.study_name, storage=sweeper.storage, directions=sweeper._get_directions()
        )
        if isinstance(sweeper.sampler, functools.partial) or not self._file.is_file():  # a grid is complete without it
            return study
        recorded = load_record(self._file, Tried, f"remove {self._file}, and the search starts anew").trials
        known = [trial for trial in recorded if _is_of(trial, space)]
        self._others = [trial for trial in recorded if trial not in known]
        for trial in known:
            study.enqueue_trial(trial)
        if known:
            sweeper.sampler.reseed_rng()  # a seed would repeat the values of the first trials
            log.info("%s: the search resumes with its %d trials", self._file, len(known))
        return study

    def _record(self) -> None:
        """Write the values of all trials, including those that are to be resumed."""
        trials = self._study.get_trials(deepcopy=False)
        values = [trial.params or trial.system_attrs.get("fixed_params", {}) for trial in trials]
        write_atomically(self._file, Tried(trials=[*self._others, *values]).as_json(indent=1))


def _file(storage: Any) -> Path:
    """Return the file of a search's trials."""
    if not isinstance(storage, str) or not storage or "://" in storage or Path(storage).is_dir():
        raise CompactHydraException(
            f"error: hydra.sweeper.storage={shown(storage)} is not a file: give FILE.json, which lists the trials; "
            "Optuna's databases are not available"
        )
    return Path(storage)


class Tried(Record):
    """The file of `hydra.sweeper.storage`: the values of each trial, by key."""

    trials: list[dict[str, str | int | float | bool | None]]


def _is_of(trial: dict[str, Any], space: dict[str, Any]) -> bool:
    """Whether the values of a trial belong to a search space."""
    try:
        return trial.keys() == space.keys() and all(
            one._contains(one.to_internal_repr(trial[key])) for key, one in space.items()
        )
    except (ValueError, TypeError):  # not a choice, or not a number
        return False


class _Trials:
    """A launcher that records trials and failures, and runs a repeated trial of a batch once."""

    def __init__(self, launcher: Launcher, record: Callable[[], None]) -> None:
        self.launcher, self.record, self.count = launcher, record, 0
        self.failed: list[JobReturn] = []

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        """Run a batch of trials; return one result per trial."""
        self.record()
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
