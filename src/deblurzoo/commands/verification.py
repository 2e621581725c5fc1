"""Verification of a `results.json`. The file is untrusted: it does not decide which code runs."""

import logging
import math
import random
import tempfile
from collections.abc import Container, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import ValidationError

from deblurzoo.callbacks import ResultsWriter
from deblurzoo.commands.evaluate import measure
from deblurzoo.commands.evaluation import Evaluation, of_images, of_network
from deblurzoo.commands.hydra_app import quiet_lightning
from deblurzoo.commands.settings import Evaluating
from deblurzoo.config import build
from deblurzoo.data import Sample, Source
from deblurzoo.data.batches import default_workers
from deblurzoo.data.clips import NEIGHBOURS
from deblurzoo.data.consistency import follows
from deblurzoo.errors import DeblurzooError, escaped, few_of, require_utf8
from deblurzoo.files import user_path
from deblurzoo.metrics import OF_CLIPS
from deblurzoo.records import brief, first_problem
from deblurzoo.reports.results import FedSharp, Measured, NothingToRestore, Results, Row, inconsistent, read
from deblurzoo.reports.run_folder import differences
from deblurzoo.training.checkpoints import checkpoint_of, read_trained
from deblurzoo.training.precision import FULL

SHARE = 0.05
"""Share of the images that are measured again."""
STATED = "names of the network and of folders, source, times, version and config of the evaluation"
"""Content of a file that cannot be measured again, or that differs between machines."""
OF_NETWORK = "architecture, parameters, step and initial weights of the network, do no harm"
"""Content of a file that is verified only if the network is run."""
_TRAINER = {
    "_target_": "pytorch_lightning.Trainer",
    **{"max_steps": 1, "devices": 1, "enable_checkpointing": False, "enable_model_summary": False},
    **{"accumulate_grad_batches": 1, "gradient_clip_val": None, "gradient_clip_algorithm": "norm"},
    **{"val_check_interval": 1, "log_every_n_steps": 1},
}
"""Config of the trainer, apart from accelerator and precision."""


def verify(file: Path, overrides: list[str], seed: int) -> None:
    """Measure `SHARE` of the images of a `results.json` again and print the result.

    Args:
        file: the `results.json`.
        overrides: `KEY=VALUE` for keys of the evaluation's config.
        seed: seed of the choice of images.

    Raises:
        DeblurzooError: the means, the test images, the weights or a value differ, or the file cannot be used.
    """
    quiet_lightning()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    results = read(file)
    if not results.data.fingerprint:
        raise DeblurzooError(f"{file} has no fingerprint of its test images: run `deblurzoo evaluate` again")
    if untrue := inconsistent(results):
        raise DeblurzooError(f"{file} is not verified: {untrue}")
    evaluation = _prepared(results, overrides, file)
    results = _renamed(results, evaluation.datamodule.test_samples)
    if facts := list(_others(results, evaluation)):
        raise DeblurzooError(f"{file} is not verified: {'; '.join(facts)}")
    samples = evaluation.datamodule.test_samples
    chosen = _chosen(results, samples, seed)
    evaluation.datamodule.test_samples = [samples[index] for index in _with_previous(chosen, samples)]
    metrics = [name for name in results.restored if name not in OF_CLIPS]
    measured = _measured(evaluation, metrics, results.threads)
    restored = {_id(samples[index]) for index in chosen if not samples[index].is_fed_sharp}
    if wrong := _differing(results, measured, restored):
        raise DeblurzooError(
            f"{file} is not verified: {len(wrong)} of {len(measured)} images differ (seed {seed}): {few_of(wrong, 3)}. "
            "A network's output can differ between devices, and between numbers of threads: give its restored images "
            "with restored=FOLDER"
        )
    subject = f"{escaped(results.name)} on {escaped(results.dataset)}"
    print(f"verified: {subject}: all means; {_counts(measured, samples)} (seed {seed})")
    if _is_of_pngs(results, evaluation):
        print(f"the network was not run: its restored images were measured; not verified: {OF_NETWORK}, {STATED}")
    else:
        print(f"not verified: {STATED}")


def _prepared(results: Results, overrides: list[str], file: Path) -> Evaluation:
    """Return the evaluation of a file on this machine; classes are from deblurzoo and from trusted packages only."""
    unused = dict.fromkeys(("checkpoint", "restored", "name", "source", "out"))
    content = {**results.config, **unused, "paths": {"runs": "runs"}}
    content["restored" if results.is_of_images else "checkpoint"] = results.checkpoint.file
    for override in overrides:
        _set(content, override)
    trainer = content.get("trainer")
    chosen = {key: trainer.get(key) for key in ("accelerator", "precision")} if isinstance(trainer, dict) else {}
    if content["restored"]:
        content |= {"checkpoint": None, "switch": None, "self_ensemble": False, "compile": False}
        chosen["precision"] = FULL
    try:
        settings = Evaluating.model_validate({**content, "trainer": {**_TRAINER, **chosen}})
    except ValidationError as error:
        raise DeblurzooError(
            f"{file} cannot be used ({first_problem(error)}): run `deblurzoo evaluate` again"
        ) from error
    if settings.restored:
        return of_images(settings, build, _frames(results, settings))
    path = checkpoint_of(user_path(str(settings.checkpoint)))
    return of_network(settings, path, read_trained(path), build)


def _frames(results: Results, settings: Evaluating) -> int:
    """Return the number of input frames of a network, derived from the number of frames that it restored."""
    source: Source = build(settings.data.content, Source, "data")
    restored = len(results.images) + len(results.nothing_to_restore)
    possible = NEIGHBOURS if source.consecutive else (1,)
    return next((frames for frames in possible if len(source.samples("test", frames)) == restored), 1)


def _set(content: dict[str, Any], override: str) -> None:
    """Set an existing key of a config to the value of `KEY=VALUE`."""
    key, equals, text = override.partition("=")
    *parents, last = key.split(".")
    place: Any = content
    for part in parents:
        place = place.get(part) if isinstance(place, dict) else None
    if not equals or not isinstance(place, dict) or last not in place or last.startswith("_"):
        raise DeblurzooError(f"{override}: {key} is not a key of the evaluation: give for example data.root=FOLDER")
    require_utf8(override)
    place[last] = str(user_path(text)) if text.startswith("~") else _value(text)


def _value(text: str) -> Any:
    """Return the value that a text stands for in YAML; names of files such as `[1]`, `a #1` or a date stay texts."""
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):  # ValueError: a date that does not exist
        return text
    is_name = isinstance(value, date) or (isinstance(value, str) and text[0] not in "\"'")
    return text if is_name else value


def _renamed(results: Results, samples: list[Sample]) -> Results:
    """Return the results with the clip's name on this machine, if there is one clip: it can be the name of a folder."""
    clips = {sample.clip for sample in samples}
    if len(clips) > 1 or len({image.clip for image in results.images}) > 1:
        return results
    (clip,) = clips
    renamed = {
        "images": [image.model_copy(update={"clip": clip}) for image in results.images],
        "do_no_harm": [image.model_copy(update={"clip": clip}) for image in results.do_no_harm],
        "nothing_to_restore": [f"{clip}/{name.rpartition('/')[2]}" for name in results.nothing_to_restore],
    }
    return results.model_copy(update=renamed)


def _is_of_pngs(results: Results, evaluation: Evaluation) -> bool:
    """Whether the images that a network of deblurzoo restored are measured in place of the network."""
    return evaluation.images is not None and not results.is_of_images


def _others(results: Results, evaluation: Evaluation) -> Iterator[str]:
    """Yield the differences between the evaluation of a file and the evaluation on this machine."""
    is_of_pngs = _is_of_pngs(results, evaluation)
    network = ("checkpoint", "switch", "self_ensemble", "precision")
    ignored = {"blur", *(network if is_of_pngs else ())}  # the data's fingerprint decides
    yield from (text for key, text in differences(results, evaluation.facts).items() if key not in ignored)
    if results.rounding != evaluation.facts.rounding:
        yield f"rounding: {results.rounding} stored, {evaluation.facts.rounding} requested"
    net, found_net = results.network, evaluation.facts.network
    if net != found_net and not is_of_pngs:
        parameters = f"{net.parameters} parameters stored, {found_net.kind} of {found_net.parameters} found"
        yield f"network: {net.kind} of {parameters}"
    theirs, ours = ((one.checkpoint.step, one.checkpoint.lineage) for one in (results, evaluation.facts))
    if theirs != ours and not is_of_pngs:
        yield f"checkpoint: step {theirs[0]} stored, {ours[0]} found, or other initial weights"
    stated = ("dataset", "measure", "split", "independent", "incomplete_clips", "metric_versions")
    for name in stated:
        if (there := getattr(results, name)) != (here := getattr(evaluation.facts, name)):
            yield f"{name}: {brief(there)} stored, {brief(here)} found"
    frames = {*(image.id for image in results.images), *results.nothing_to_restore}
    sharp = {row.id for row in results.do_no_harm}
    samples = evaluation.datamodule.test_samples
    for kind, stored, is_fed_sharp in (("frames", frames, False), ("sharp input", sharp, True)):
        found = {_id(sample) for sample in samples if sample.is_fed_sharp == is_fed_sharp}
        if (odd := sorted(found ^ stored)) and not (is_of_pngs and is_fed_sharp):
            yield f"{kind}: {len(odd)} are only in the file, or only in the data set: {few_of(odd)}"


def _id(sample: Sample) -> str:
    return f"{sample.clip}/{sample.frame}"


def _measured(evaluation: Evaluation, metrics: list[str], computed_with: int | None) -> list[Row]:
    """Return the values of the test samples, measured by the code of `deblurzoo evaluate` with a number of threads."""
    with tempfile.TemporaryDirectory() as folder:
        samples, threads = evaluation.datamodule.test_samples, default_workers()
        facts = evaluation.facts.model_copy(update={"threads": computed_with or torch.get_num_threads()})
        writer = ResultsWriter(Path(folder) / "out", facts, samples, metrics, pictures=0, threads=threads)
        measure(evaluation, writer)
        return writer.rows()


def _counts(measured: list[Row], samples: list[Sample]) -> str:
    """Return the numbers of measured blurry images and, if the network was also fed sharp images, of sharp images."""
    fed, all_fed = sum(isinstance(row, FedSharp) for row in measured), sum(sample.is_fed_sharp for sample in samples)
    blurry = f"{len(measured) - fed} of {len(samples) - all_fed} images"
    return f"{blurry} and {fed} of {all_fed} sharp inputs" if all_fed else blurry


def _chosen(results: Results, samples: list[Sample], seed: int) -> list[int]:
    """Return the indices of a random `SHARE` of the samples, and of all pairs that the file excludes as identical."""
    excluded = (index for index, sample in enumerate(samples) if _id(sample) in results.nothing_to_restore)
    return sorted({*random.Random(seed).sample(range(len(samples)), math.ceil(SHARE * len(samples))), *excluded})


def _with_previous(chosen: list[int], samples: list[Sample]) -> list[int]:
    """Return the indices and, for the warping error, the indices of the previous frames of their clips."""
    return sorted({*chosen, *(index - 1 for index in chosen if index and follows(samples[index], samples[index - 1]))})


def _differing(results: Results, measured: list[Row], chosen: set[str]) -> list[str]:
    """Return a description of each image whose stored and measured values differ.

    Metrics of consecutive frames are compared for `chosen` frames only, whose previous frames were measured, too.
    """
    stored = {image.id: image for image in results.images}
    harmless = {image.id: image for image in results.do_no_harm}
    wrong = []
    for row in measured:
        if isinstance(row, Measured):
            wrong += _differing_values(stored.get(row.id), row, () if row.id in chosen else OF_CLIPS)
        elif isinstance(row, FedSharp) and harmless.get(row.id) != row:
            wrong.append(f"{row.id}: PSNR of sharp input")
        elif isinstance(row, NothingToRestore) and row.id not in results.nothing_to_restore:
            wrong.append(f"{row.id}: values are stored, but its blurry and sharp image are identical")
    return wrong


def _differing_values(stored: Measured | None, found: Measured, left_out: Container[str]) -> list[str]:
    """Return a description of the first value that differs, apart from the time and `left_out`, or an empty list."""
    if stored is None:
        return [f"{found.id}: no values are stored, but its blurry and sharp image differ"]
    for kind in ("restored", "blurry", "sharp"):
        theirs, ours = getattr(stored, kind), getattr(found, kind)
        for name in dict.fromkeys([*theirs, *ours]):
            if name not in left_out and theirs.get(name) != ours.get(name):
                return [f"{found.id}: {name} of the {kind} image {theirs.get(name)} stored, {ours.get(name)} measured"]
    is_same = (stored.height, stored.width, stored.tiles) == (found.height, found.width, found.tiles)
    return [] if is_same else [f"{found.id}: size or tiles"]
