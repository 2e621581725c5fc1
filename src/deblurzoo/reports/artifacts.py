"""Artifacts of W&B: training images, checkpoints and results of a run, and download of trained weights."""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

import wandb
from wandb.env import get_artifact_dir

from deblurzoo.errors import DeblurzooError, first_line
from deblurzoo.reports.results import Results
from deblurzoo.reports.table import title

log = logging.getLogger(__name__)

_REFERENCE = re.compile(r"wandb:(\w[\w.-]*)/(\w[\w.-]*)/(\w[\w.-]*?)(?::(\w[\w.-]*))?")
_FORM = "wandb:ENTITY/PROJECT/NAME:ALIAS"
_EXPORT = ("model.safetensors", "config.json")


@contextmanager
def harmless(what: str) -> Iterator[None]:
    """Log a warning in place of an error of W&B, which must not fail a run; `what` is the content that may be missing.

    W&B raises errors of the file system, of connections and of its own, and documents none.
    """
    try:
        yield
    except Exception as error:
        log.warning("%s may be missing in W&B (%s: %s)", what, type(error).__name__, first_line(error))


def use_data(dataset: str, blur: str, images: dict[str, str]) -> None:
    """Record the training images as input of the open W&B run, if any: their fingerprint, not the images.

    Args:
        dataset: name of the data set.
        blur: name of the blur folder.
        images: their description, see `deblurzoo.data.fingerprint.describe`.
    """
    if wandb.run is None or wandb.run.disabled:
        return
    with harmless("the fingerprint of the training images"):
        artifact = wandb.Artifact(f"data-{dataset}", type="dataset", metadata=images)
        with artifact.new_file("data.json") as file:  # equal images are one version of the artifact
            json.dump({"dataset": dataset, "blur": blur, "fingerprint": images["fingerprint"]}, file)
        # Its public form, use_artifact, waits for the server and does not work offline.
        wandb.run._log_artifact(artifact, aliases=[], is_user_created=True, use_after_commit=True)


def log_checkpoint(run: wandb.Run, file: Path, step: int, ema: bool) -> None:
    """Upload a checkpoint as a version of the run's model, with the aliases `latest`, `step-N` and, if so, `ema`."""
    _log_model(run, f"model-{run.id}", [file], step, ema)


def log_export(run: wandb.Run, folder: Path, ema: bool) -> None:
    """Upload an export as a version of the run's export, with the aliases of a checkpoint."""
    step = json.loads((folder / _EXPORT[1]).read_text())["deblurzoo"]["step"]
    _log_model(run, f"export-{run.id}", sorted(folder.iterdir()), step, ema)


def _log_model(run: wandb.Run, name: str, files: list[Path], step: int, ema: bool) -> None:
    artifact = wandb.Artifact(name, type="model", metadata={"name": run.name, "step": step})
    for file in files:
        artifact.add_file(str(file))
    run.log_artifact(artifact, aliases=["latest", f"step-{step}", *(["ema"] if ema else [])])


def log_results(file: Path, results: Results) -> None:
    """Upload a `results.json` to the open W&B run, with the evaluated checkpoint and images as metadata."""
    assert wandb.run is not None
    metadata = {
        **results.restored,
        "gain_db": results.gain_db,
        "conditions": title([results]),
        "checkpoint": results.checkpoint.model_dump(),
        "data": results.data.model_dump(),
        "metric_versions": results.metric_versions,
    }
    artifact = wandb.Artifact(f"evaluation-{wandb.run.id}", type="evaluation", metadata=metadata)
    artifact.add_file(str(file))
    wandb.run.log_artifact(artifact, aliases=["latest", f"step-{results.checkpoint.step}"])


def fetch(reference: str) -> Path:
    """Download the checkpoint or export of an artifact and return the file of its weights; it is still untrusted.

    The file is written below `artifacts/ENTITY/PROJECT` or, if set, the folder `WANDB_ARTIFACT_DIR`.

    Args:
        reference: wandb:ENTITY/PROJECT/NAME:ALIAS, where ALIAS is `latest` by default.

    Raises:
        DeblurzooError: no API key, no such artifact, no answer, or an artifact without weights.
    """
    match = _REFERENCE.fullmatch(reference)
    if not match:
        raise DeblurzooError(f"{reference} is not an artifact of W&B: give {_FORM}")
    entity, project, collection, alias = match.groups("latest")
    try:
        artifact = wandb.Api().artifact(f"{entity}/{project}/{collection}:{alias}")
        wanted = _weights([name for name, entry in artifact.manifest.entries.items() if entry.ref is None])
        version = re.sub(r"\W", "", artifact.version)  # a part of a path
        folder = Path(get_artifact_dir()) / entity / project / f"{collection}-{version}"
        folder = folder if wanted == _EXPORT else folder / "checkpoints"  # as in a run folder
        files = [Path(artifact.get_entry(name).download(root=str(folder))) for name in wanted]
    except (wandb.Error, ValueError, OSError) as error:  # ValueError: the API did not find it
        raise DeblurzooError(
            f"{reference} cannot be downloaded ({error}): check the name, the network connection and `wandb login`"
        ) from error
    return files[0]


def _weights(names: list[str]) -> tuple[str, ...]:
    """Return the files to download: the newest checkpoint, or an export.

    Raises:
        ValueError: the artifact has neither.
    """
    if checkpoints := sorted(name for name in names if fnmatch(name, "*.ckpt") and Path(name).name == name):
        return (checkpoints[-1],)
    if set(_EXPORT) <= set(names):
        return _EXPORT
    raise ValueError("it has no .ckpt file and no export")
