"""The study of study/README.md: one `deblurzoo train` per job, in an order of decreasing value, and its evaluations.

python study/study.py PART --data FOLDER --runs FOLDER [--device cpu|gpu] [--only NAME …] [--toy]
python study/study.py filters|check --data FOLDER --runs FOLDER

PART is learnability, study, longer or weights. A finished job leaves its curves and results in the folder of its part
under `study/`, and is then skipped. `--toy` trains two steps of every job on tiny crops, evaluates it on two images,
and leaves nothing. `filters` evaluates the best linear filters. `check` evaluates the networks that are part of
deblurzoo again, and fails if a result differs from the kept result.
"""

import argparse
import contextlib
import csv
import json
import resource
import shutil
import sys
from itertools import product
from math import inf
from pathlib import Path

from crops import write_pictures
from hydra import compose, initialize_config_dir
from inputs import PAIRS, SPLIT, prepare, run
from linear import Pair, best_filter, filtered
from trainings import FOLDERS, HERE, NETWORKS, PARTS, REGIME, WORTH, weights

from deblurzoo import shipped
from deblurzoo.commands.hydra_app import as_dicts, make
from deblurzoo.data.clips import Sample, Source
from deblurzoo.errors import as_program
from deblurzoo.files import conf_dir
from deblurzoo.media.images import write_png
from deblurzoo.reports.results import read as read_results

TOLERANCE = 0.002
"""Maximum difference in dB between a kept PSNR and a PSNR measured again, on other machines."""
TOY = ["data.length=[1,2]", "data.shorter_side=null"]
"""Regime of the toy size."""


def training_data(prefix: str) -> list[str]:
    """Return the overrides of the photos for training and validation; `prefix` is the key of the data set."""
    return [f"{prefix}.{value}" for value in ("root=data/photos", "packed=packed/photos", "cache=exposures", *SPLIT)]


DATA = {
    "learnability": ["data=photos", *training_data("data")],
    "study": ["data=photos", *training_data("data")],
    "longer": ["data=photos", *training_data("data")],
    "weights": [
        *("data=mix", "data.test=photos", "data.weights={photos: 0.9, synthesized: 0.1}", "blur=blur"),
        *(*training_data("data.photos"), "data.synthesized.root=clip"),
    ],
}
"""Overrides of the training data of each part."""


def settings(part: str, job: list[str], given: argparse.Namespace) -> list[str]:
    """Return the overrides of `deblurzoo train` of a job, with the overrides that all jobs share."""
    toy = [word.replace("data.", "data.photos.") for word in TOY] if part == "weights" else TOY
    small = ["trainer.max_steps=2", "datamodule.batch_size=2", "datamodule.augmentation.crop=64", *toy]
    return [
        *("recipe=study", "logger=csv", f"trainer={given.device}", "resume=auto"),
        *DATA[part],
        *job,
        *([*small, "datamodule.val_frames=1"] if given.toy else []),
    ]


def tests(job: list[str], given: argparse.Namespace) -> dict[str, list[str]]:
    """Return the overrides of `deblurzoo evaluate` by the name of a test.

    FlowRNN restores two of the three REDS frames, and cannot restore the GOPRO pair, which has no neighbours. All
    networks are tested on the same REDS frames.
    """
    found = {"kodak": exposures("kodak", "kodak.txt", given)}
    for scale, pairs in product(("full", "half"), PAIRS):
        folders = [f"data.test.{role}={scale}/{pairs}/{role}" for role in ("blur", "sharp")]
        if pairs == "reds":
            found[f"reds_{scale}"] = ["data=folder", *folders, "data.common_frames=2"]
        elif "model=flow_rnn" not in job:
            found[f"gopro_{scale}"] = ["data=folder", *folders]
    return found


def exposures(folder: str, names: str, given: argparse.Namespace) -> list[str]:
    """Return the overrides of exposures of listed photos in the study's regime."""
    regime = TOY if given.toy else [f"data.{key}={value}" for key, value in REGIME.items()]
    return ["data=photos", f"data.root=data/{folder}", f"data.test.names={names}", "data.cache=exposures", *regime]


def finish(name: str, job: list[str], given: argparse.Namespace) -> None:
    """Train or resume a job, evaluate it, and keep its curves and results in `study/`.

    Networks of the part `weights` are exported, and the export of a network that gains enough becomes a part of
    deblurzoo. The exports of the full networks of the part `longer` are kept in `study/`.
    """
    trained = f"{given.part}_{name}"
    folder = given.runs / "runs" / trained
    train(folder, settings(given.part, job, given), given)
    checkpoint = f"runs/{trained}"
    keeps_export = given.part == "longer" and name in NETWORKS
    if keeps_export or given.part == "weights":
        checkpoint = f"exports/{trained}"
        shutil.rmtree(given.runs / checkpoint, ignore_errors=True)
        run(["export", "--checkpoint", f"runs/{trained}", "--out", checkpoint, "--half"], given)
    results = {} if given.part == "learnability" else evaluated(checkpoint, f"runs/{trained}/evaluate", job, given)
    if given.toy:
        return
    kept = HERE / FOLDERS[given.part] / name
    for test, file in results.items():
        (kept / test).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, kept / test / "results.json")
    kept.mkdir(parents=True, exist_ok=True)
    join_metrics(sorted((folder / "csv").glob("*/metrics.csv")), kept / "metrics.csv")
    shutil.copyfile(folder / "hours.json", kept / "hours.json")
    if keeps_export:
        shutil.copytree(given.runs / checkpoint, kept / "export", dirs_exist_ok=True)
    if given.part == "weights" and read_results(results["kodak"]).gain_db >= WORTH:
        shutil.copytree(given.runs / checkpoint, shipped.FOLDER / name, dirs_exist_ok=True)
        write_pictures(results, shipped.FOLDER / name)


def train(folder: Path, overrides: list[str], given: argparse.Namespace) -> None:
    """Train or resume a job, and write its CPU hours; those of a resumed job are estimated from the resumed steps."""
    begun, before = last_step(folder), cpu_seconds()
    run(["train", *overrides, f"name={folder.name}"], given)
    spent = cpu_seconds() - before
    if ended := last_step(folder) - begun:  # otherwise only the tests were missing
        hours = spent / 3600 * (ended + begun) / ended
        (folder / "hours.json").write_text(json.dumps({"cpu": round(hours, 3)}) + "\n")


def last_step(folder: Path) -> int:
    """Return the step of the last checkpoint of a run; 0 without checkpoints."""
    return max((int(file.stem.removeprefix("step_")) for file in folder.glob("checkpoints/step_*.ckpt")), default=0)


def cpu_seconds() -> float:
    """Return the CPU time of all finished child processes in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def evaluated(checkpoint: str, out: str, job: list[str], given: argparse.Namespace) -> dict[str, Path]:
    """Evaluate a network on all tests in subfolders of `out`; return the paths of `results.json` by test."""
    for test, overrides in tests(job, given).items():
        words = [f"checkpoint={checkpoint}", f"out={out}/{test}", f"trainer={given.device}", "pictures=100"]
        run(["evaluate", *words, *overrides], given)
    return {test: given.runs / out / test / "results.json" for test in tests(job, given)}


def filters(given: argparse.Namespace) -> None:
    """Evaluate the best linear filters on all tests, and keep the results in `study/filters`.

    `one` has the smallest error on exposures of the training photos. `each` is fitted to each test image, of which it
    knows the sharp image.
    """
    sets = tests([], given)
    sets["validation"] = exposures("photos", "validation.txt", given)
    kernel = best_filter(map(pair, samples(exposures("photos", "train.txt", given))))
    for name, test in product(("one", "each"), sets):
        folder = Path("filters", name, test)
        for sample in samples(sets[test]):
            blurry, sharp = pair(sample)
            target = folder / sample.clip / f"{sample.frame}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            write_png(target, filtered(blurry, kernel if name == "one" else best_filter([(blurry, sharp)])))
        out = f"runs/filter_{name}/evaluate/{test}"
        run(["evaluate", f"restored={folder}", f"name=filter_{name}", f"out={out}", *sets[test]], given)
        if not given.toy:
            kept = HERE / FOLDERS["filters"] / name / test
            kept.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(given.runs / out / "results.json", kept / "results.json")


def samples(overrides: list[str]) -> list[Sample]:
    """Return the samples of a test, for networks that read one frame."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("evaluate", ["restored=none", *overrides])
    source: Source = make(as_dicts(cfg.data), Source, "data")
    return source.samples("test", 1)


def pair(sample: Sample) -> Pair:
    """Return the blurry and the sharp image of a sample."""
    return sample.blur[0].read(), sample.sharp.read()


def check(given: argparse.Namespace) -> None:
    """Evaluate the networks that are part of deblurzoo; exit with 1 if an image differs from its kept PSNR."""
    largest = 0.0
    for name in shipped.names():
        for test, file in evaluated(name, f"check/{name}", weights()[name], given).items():
            now = read_results(file)
            kept = read_results(HERE / FOLDERS["weights"] / name / test / "results.json")
            same = now.data.fingerprint == kept.data.fingerprint and len(now.images) == len(kept.images)
            pairs = zip(now.images, kept.images, strict=True) if same else ()
            worst = max((abs(a.restored["psnr"] - b.restored["psnr"]) for a, b in pairs), default=inf)
            print(f"{name}, {test}: PSNR of {len(now.images)} images differs by at most {worst:.6f} dB")
            largest = max(largest, worst)
    if largest > TOLERANCE:
        sys.exit(f"error: a result differs by more than {TOLERANCE} dB, or other images were measured")


def join_metrics(files: list[Path], target: Path) -> None:
    """Write the rows of several `metrics.csv` to one file: a resumed run has one file for each start."""
    rows = [row for file in files for row in csv.DictReader(file.read_text().splitlines())]
    with target.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def main() -> None:
    """Train and evaluate all jobs that are not finished."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=(*PARTS, "filters", "check"))
    parser.add_argument("--data", type=Path, help="folder of data, see study/README.md; --toy needs none")
    parser.add_argument("--runs", type=lambda path: Path(path).resolve(), required=True, help="folder of runs")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of jobs; by default all")
    parser.add_argument("--toy", action="store_true", help="two steps of each job, on toy data")
    given = parser.parse_args()
    if not given.toy and not given.data:
        parser.error("--data is missing: give the folder that study/README.md describes, or --toy")
    jobs = PARTS[given.part]() if given.part in PARTS else {}
    if given.only and not jobs:
        parser.error(f"--only: {given.part} has no jobs")
    if unknown := {*(given.only or ())} - {*jobs}:
        parser.error(f"no such job: {', '.join(sorted(unknown))}. The jobs are {', '.join(jobs)}")
    prepare(given)
    if given.part == "check":
        check(given)
    if given.part == "filters":
        with contextlib.chdir(given.runs):
            filters(given)
    for number, (name, job) in enumerate(jobs.items(), 1):
        kept = HERE / FOLDERS[given.part] / name
        if given.only and name not in given.only:
            continue
        if kept.exists() and not given.toy:
            print(f"{name} ({number} of {len(jobs)}) is finished: {kept}", flush=True)
            continue
        print(f"{name} ({number} of {len(jobs)})", flush=True)
        finish(name, job, given)


if __name__ == "__main__":
    as_program(main)
