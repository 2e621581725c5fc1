"""`deblurzoo evaluate`: evaluate a trained network on a test split."""

import json
import logging
from contextlib import nullcontext
from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig

from deblurzoo.callbacks import ResultsWriter, StepProgress
from deblurzoo.commands.evaluation import MATCHES, Evaluation, of_images, of_network, run_folder, runs_of
from deblurzoo.commands.hydra_app import blur_choice, make, quiet_lightning, require_settings, settled
from deblurzoo.commands.processes import on_free_devices
from deblurzoo.commands.settings import Evaluating
from deblurzoo.data.batches import default_workers, told_reader_failures
from deblurzoo.errors import DeblurzooError, on_interrupt, require_utf8
from deblurzoo.files import require_output, user_path, write_atomically
from deblurzoo.metrics.protocols import MEASURES
from deblurzoo.ops.spatial_rnn import require_backend
from deblurzoo.reports.results import RESULTS
from deblurzoo.reports.run_folder import (
    CONFIG,
    is_finished,
    new_id,
    require_free,
    write_identity,
)
from deblurzoo.reports.table import print_table
from deblurzoo.training.checkpoints import checkpoint_of, read_trained
from deblurzoo.training.cores import free_cores
from deblurzoo.training.precision import AUTO, FULL, is_one, require_compiler, require_trainer

log = logging.getLogger(__name__)


def run(cfg: DictConfig) -> None:
    """Run the evaluation, even if finished results exist."""
    require_settings(cfg, Evaluating)
    with on_free_devices(cfg, user_path(str(cfg.checkpoint or cfg.restored))) as on_devices:
        evaluate(on_devices)


def evaluate(cfg: DictConfig, anew: bool = True) -> Path:
    """Restore the test split of `cfg.data` with the network of `cfg.checkpoint`; write PNGs and `results.json`.

    If `cfg.restored` is set, images that another program restored are measured instead.

    An interrupted evaluation is resumed. Earlier results for other images, conditions or checkpoints are kept.

    Args:
        cfg: config composed from `conf/evaluate.yaml`.
        anew: repeat an evaluation that is already finished.

    Returns:
        The path of `results.json`.
    """
    quiet_lightning()
    if cfg.restored is not None:
        settings = begin(cfg, "blur")
        _require_out(settings, runs_of(settings))
        evaluation = of_images(settings)
    else:
        path = checkpoint_of(user_path(str(cfg.checkpoint)))
        require_utf8(path)
        trained = read_trained(path)
        # For a network trained on several data sets, `blur_folder` is their blur folders joined by +, GOPRO's first.
        settings = begin(cfg, trained["deblurzoo"]["blur_folder"].partition("+")[0])
        _require_out(settings, run_folder(path, runs_of(settings)) / "evaluate")
        evaluation = of_network(settings, path, trained)
    settings, facts, datamodule = evaluation.settings, evaluation.facts, evaluation.datamodule
    out = Path(settings.out) if settings.out else evaluation.usual_folder()
    require_free(out, facts)
    metrics = MEASURES[facts.measure].names(settings.metrics)
    if not anew and is_finished(out, facts, metrics):
        return out / RESULTS
    writer = ResultsWriter(out, facts, datamodule.test_samples, metrics, settings.pictures, threads=default_workers())
    if writer.measured:
        log.info("resuming %s: %d of %d images are measured", out, writer.measured, len(datamodule.test_samples))
    measure(evaluation, writer)
    results = writer.finish()
    if evaluation.images:
        write_atomically(out / MATCHES, evaluation.images.as_csv())
        if not settings.out:
            _write_run(evaluation)
    print_table([results])
    print(f"values per image: {out / RESULTS}")
    if settings.pictures:
        print(f"pictures:         {out / 'side_by_side'}")
    return out / RESULTS


def _require_out(settings: Evaluating, usual: Path) -> None:
    """Raise a DeblurzooError if results cannot be written to `out` or, without `out`, to the usual folder."""
    out = Path(settings.out) if settings.out else usual
    require_output(out, f"out={out}")


def measure(evaluation: Evaluation, writer: ResultsWriter) -> None:
    """Restore and measure the test samples that are not measured yet."""
    settings, datamodule = evaluation.settings, evaluation.datamodule
    datamodule.measured = writer.measured
    if writer.measured == len(writer.samples):
        return
    callbacks = [writer, StepProgress()]
    trainer = make(settings.trainer.content, pl.Trainer, "trainer", callbacks=callbacks, logger=False)
    state = "{} of {} images of {} are measured; the same command resumes"
    begun = writer.facts.threads
    computing = nullcontext() if evaluation.images else free_cores(settings.trainer.accelerator, begun)
    with (
        told_reader_failures(),
        on_interrupt(lambda: state.format(len(writer.rows()), len(writer.samples), writer.finished)),
        computing as threads,
    ):
        writer.computes_with(threads)
        trainer.test(evaluation.module, datamodule, verbose=False)


def _write_run(evaluation: Evaluation) -> None:
    """Write the files by which the folder of restored images is a run for `compare` and W&B, unless they exist."""
    folder, facts = evaluation.folder, evaluation.facts
    if not (folder / CONFIG).is_file():
        write_atomically(folder / CONFIG, f"tags: []\ngroup: null\nsource: {json.dumps(facts.source)}\n".encode())
        write_identity(folder, new_id(), facts.name)


def begin(cfg: DictConfig, blur: str) -> Evaluating:
    """Return the complete config. A missing blur folder is set to `blur`; precision `auto` means full precision.

    Raises:
        DeblurzooError: a value of the config is missing or invalid.
    """
    if chosen := blur_choice(cfg.data, blur):
        log.info(
            "using the blurry frames of %s/, as in %s", blur, "training" if cfg.checkpoint else "published results"
        )
    settings = settled(cfg, Evaluating, data=chosen)
    if not is_one(settings.trainer.devices):
        raise DeblurzooError(
            f"trainer.devices={settings.trainer.devices}: several devices would measure some frames "
            "twice; set trainer.devices=1"
        )
    require_backend()
    require_trainer(settings.trainer.content)
    if settings.compile:
        require_compiler(settings.trainer.accelerator)
    if settings.trainer.precision == AUTO:
        exact = settings.trainer.model_copy(update={"precision": FULL})
        settings = settings.model_copy(update={"trainer": exact})
    return settings
