"""The study of study/README.md: one `deblurzoo train` per job, in an order of decreasing value, and its evaluations.

python study/study.py learnability|study|weights --data FOLDER --runs FOLDER [--device cpu|gpu] [--only NAME …] [--toy]
python study/study.py filters|check --data FOLDER --runs FOLDER

A finished job leaves its curves and results in study/learnability, study/jobs or study/weights, and is then skipped.
`--toy` trains two steps of every job on tiny crops, evaluates it on two images, and leaves nothing. `filters` evaluates
the best linear filters. `check` evaluates the networks that are part of deblurzoo again, and fails if a result differs
from the kept result.
"""

import argparse
import contextlib
import csv
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from math import inf
from pathlib import Path

import av
import cv2
import numpy as np
from crops import write_pictures
from hydra import compose, initialize_config_dir
from linear import Pair, best_filter, filtered

from deblurzoo import shipped
from deblurzoo.commands.hydra_app import as_dicts, make
from deblurzoo.data.clips import Sample, Source
from deblurzoo.files import conf_dir
from deblurzoo.media import Image
from deblurzoo.media.images import read_image, write_png
from deblurzoo.media.video import read_video
from deblurzoo.reports.results import read as read_results
from deblurzoo.synthesis.toy import PHOTOGRAPHS

HERE = Path(__file__).resolve().parent
TOLERANCE = 0.002
"""Maximum difference in dB between a kept PSNR and a PSNR measured again, on other machines."""
REGIME = {"length": "[4,6]", "shorter_side": "400", "objects": "0", "responses": "[null]"}
"""Blur length, scale of the photos, number of objects and camera response of the study, from the learnability table."""
PAIRS = {"reds": "folder_reds_020", "gopro": "gopro/test/GOPR0384_11_00"}
"""Folders of real pairs, with the sub-folders `blur` and `sharp`, relative to the folder of data."""
LISTS = ("train.txt", "validation.txt", "kodak.txt")
"""File names of the training, validation and test photos."""

VIDEO = "GOPR0477_11_00_240fps.mp4"
"""Video of a camera at 240 frames per second, in the folder of data."""

TOY = ["data.length=[1,2]", "data.shorter_side=null"]

NAFNET = ["model=nafnet", "model.net.width=16", "model.net.encoder_blocks=[1,1,8]", "model.net.decoder_blocks=[1,1,1]"]
NETWORKS = {
    "svrnn": ["model=svrnn", "model.net.width=0.25", "model.net.residual=true", "model.vgg16=null"],
    "srn": ["model=srn", "model.net.width=0.25", "model.net.residual=true"],
    "nafnet": NAFNET,
    "flow_rnn": ["model=flow_rnn", "model.net.width=0.25", "model.net.residual=true"],
}
"""Full networks of about 0.55 million parameters."""
CONTROLS = {
    "svrnn_no_rnns": ("svrnn", ["model.net.variant=no_rnns"], 1.094),
    "svrnn_no_convs": ("svrnn", ["model.net.variant=no_convs"], 0.255),
    "svrnn_no_skip": ("svrnn", ["model.net.variant=no_skip"], 0.266),
    "srn_one_scale": ("srn", ["model.net.scales=1", "model.net.bottleneck=conv"], 0.293),
    "srn_no_recurrence": ("srn", ["model.net.bottleneck=conv"], 0.258),
    "flow_rnn_no_flow": ("flow_rnn", ["model.net.variant=no_flow"], 0.26),
    "flow_rnn_no_flow_losses": ("flow_rnn", ["model.net.variant=no_flow_losses"], None),
}
"""Full network, overrides and width of the control of each ablation; None if both have the same multiply-adds."""

Jobs = dict[str, list[str]]
"""Overrides of `deblurzoo train` by the name of a job."""


def learnability() -> Jobs:
    """Return trainings in regimes of decreasing severity, with other losses, and with other values of Adam's epsilon.

    The first jobs were trained on larger crops without the frequency loss, at first with moving objects and several
    camera responses. A pair of SVRNNs compares the mean squared error with Caffe's L2 loss and its authors' solver.
    """
    first = ["trainer.max_steps=1000", "datamodule.augmentation.crop=128", "~model.loss.frequency"]
    jobs = {
        f"{network}_{name}_{side}": [*NETWORKS[network], f"data.length={length}", f"data.shorter_side={side}", *first]
        for network, name, length, side in (
            ("srn", "severe", "[8,24]", "400"),
            ("srn", "medium", "[4,12]", "400"),
            ("srn", "mild", "[2,6]", "400"),
            ("svrnn", "mild", "[2,6]", "400"),
            ("srn", "mild", "[2,6]", "720"),
            ("srn", "mild", "[2,6]", "null"),
        )
    }
    second = ["trainer.max_steps=2000", "data.shorter_side=400"]
    jobs["svrnn_mild"] = [*NETWORKS["svrnn"], "data.length=[2,6]", *second]
    still = [*second, "data.length=[4,6]", "data.objects=0", "data.responses=[null]"]
    jobs |= {f"{network}_still": [*NETWORKS[network], *still] for network in ("srn", "svrnn", "nafnet")}
    short = [*still, "trainer.max_steps=1000"]
    for loss in ("l1", "charbonnier", "mse"):
        other = [f"++model.loss.{loss}=1.0", *(["~model.loss.l1"] if loss != "l1" else [])]
        jobs[f"svrnn_{loss}"] = [*NETWORKS["svrnn"], *short, "~model.loss.frequency", *other]
    jobs["svrnn_l1_1e-12"] = [*jobs["svrnn_l1"], "++model.optimizer.eps=1e-12"]
    solver = ["++model.optimizer.weight_decay=1e-6", "++trainer.gradient_clip_val=5000"]
    jobs["svrnn_caffe_l2"] = [*jobs["svrnn_mse"], "++model.loss.mse=6144.0", *solver]  # 3/2 crop²
    return jobs


def study() -> Jobs:
    """Return the full networks, and the ablations with their controls; two seeds of SVRNN's."""
    regime = [f"data.{key}={value}" for key, value in REGIME.items()]
    jobs = {network: [*overrides, *regime] for network, overrides in NETWORKS.items()}
    for name, (network, overrides, width) in CONTROLS.items():
        jobs[name] = [*jobs[network], *overrides]
        if width is not None:
            jobs[f"{name}_control"] = [*jobs[name], f"model.net.width={width}"]
    again = {f"{name}_seed1": [*job, "seed=1"] for name, job in jobs.items() if name.startswith("svrnn")}
    return {name: [*job, "trainer.max_steps=2000"] for name, job in {**jobs, **again}.items()}


def weights() -> Jobs:
    """Return the trainings of the networks that are shipped: longer, on photos and on the frames of a real camera."""
    photos = ["data.photos.length=[0.5,7]", "data.photos.shorter_side=400"]
    steps = ["trainer.max_steps=20000", "trainer.val_check_interval=2000"]
    networks = {"nafnet": [*NETWORKS["nafnet"], "model.net.tlc=96"], "svrnn": NETWORKS["svrnn"]}
    return {f"{name}-small": [*network, *photos, *steps] for name, network in networks.items()}


PARTS: dict[str, Callable[[], Jobs]] = {"learnability": learnability, "study": study, "weights": weights}
FOLDERS = {"learnability": "learnability", "study": "jobs", "weights": "weights", "filters": "filters"}
"""Folders of the kept files of each part."""


SPLIT = ("train.names=train.txt", "test.names=validation.txt")


def training_data(prefix: str) -> list[str]:
    """Return the overrides of the photos for training and validation; `prefix` is the key of the data set."""
    return [f"{prefix}.{value}" for value in ("root=data/photos", "packed=packed/photos", "cache=exposures", *SPLIT)]


DATA = {
    "learnability": ["data=photos", *training_data("data")],
    "study": ["data=photos", *training_data("data")],
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
        *(
            "recipe=study",
            "logger=csv",
            f"trainer={given.device}",
            "resume=auto",
        ),
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


def prepare(given: argparse.Namespace) -> None:
    """Write all files that jobs read into the folder of runs. Paths of jobs are relative to this folder."""
    given.runs.mkdir(parents=True, exist_ok=True)
    data = given.runs / "toy" if given.toy else given.data.resolve()
    if given.toy and not data.exists():
        write_toy(data)
    link = given.runs / "data"
    if not link.exists() or link.resolve() != data:  # another process may train on it
        link.unlink(missing_ok=True)
        link.symlink_to(data, target_is_directory=True)
    for name in LISTS:
        shutil.copyfile((data if given.toy else HERE) / name, given.runs / name)
    for name, folder in PAIRS.items():
        for file in sorted((data / folder).glob("*/*.png")):
            image = read_image(file)
            for scale, scaled in (("full", image), ("half", halved(image))):
                target = given.runs / scale / name / file.parent.name / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                write_png(target, scaled)
    if not (given.runs / "packed").exists():  # JPEGs take five times as long to decode as a sample takes to draw
        words = ["data=photos", "data.root=data/photos", *(f"data.{names}" for names in SPLIT)]
        run(["data", "pack", *words, "out=packed/photos"], given)
    if given.part == "weights" and not (given.runs / "clip").exists():
        frames = given.runs / "frames" / Path(VIDEO).stem
        frames.mkdir(parents=True, exist_ok=True)
        for number, decode in enumerate(read_video(data / VIDEO)):
            write_png(frames / f"{number:06}.png", halved(decode()))
        exposures = ["--frames", "3-5", "--stride", "2", "--clip-length", "10"]
        run(["synthesize", str(frames), *exposures, "--out", "clip"], given)


def halved(image: Image) -> Image:
    """Return an image at half resolution: means of 2x2 pixels."""
    return cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def write_toy(folder: Path) -> None:
    """Write small data in the layout of the study's data, and their lists."""
    images = [read_image(path)[:192, :256] for path in PHOTOGRAPHS["test"]]
    for place in ("photos", "kodak", *(f"{pairs}/{role}" for pairs in PAIRS.values() for role in ("blur", "sharp"))):
        (folder / place).mkdir(parents=True, exist_ok=True)
        for number in range(3):
            image = images[number % 2]
            write_png(folder / place / f"{number}.png", cv2.blur(image, (3, 1)) if place.endswith("blur") else image)
    for name, numbers in zip(LISTS, ((0, 1), (2,), (0,)), strict=True):
        (folder / name).write_text("".join(f"{number}.png\n" for number in numbers))
    write_toy_video(folder / VIDEO, images[0])


def write_toy_video(path: Path, image: Image) -> None:
    """Write a video of 60 frames: an image that moves to the left by one pixel per frame."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=240, width=192, height=128, pix_fmt="yuv420p")
        for number in range(60):
            crop = np.ascontiguousarray(image[:128, number:][:, :192])
            file.mux(stream.encode(av.VideoFrame.from_ndarray(crop)))
        file.mux(stream.encode())


def run(words: list[str], given: argparse.Namespace) -> None:
    """Run a verb of deblurzoo in the folder of runs; exit with its exit code if it fails."""
    command = [sys.executable, "-m", "deblurzoo.cli", *words]
    if code := subprocess.run(command, check=False, cwd=given.runs).returncode:
        sys.exit(code)


def finish(name: str, job: list[str], given: argparse.Namespace) -> None:
    """Train or resume a job, evaluate it, and keep its curves and results in `study/`.

    Networks of the part `weights` are exported, and the export becomes a part of deblurzoo.
    """
    before = cpu_seconds()
    run(["train", *settings(given.part, job, given), f"name={name}"], given)
    spent = cpu_seconds() - before
    checkpoint = f"runs/{name}"
    if given.part == "weights":
        checkpoint = f"exports/{name}"
        shutil.rmtree(given.runs / checkpoint, ignore_errors=True)
        run(["export", "--checkpoint", f"runs/{name}", "--out", checkpoint, "--half"], given)
    results = {} if given.part == "learnability" else evaluated(checkpoint, f"runs/{name}/evaluate", job, given)
    if given.toy:
        return
    kept = HERE / FOLDERS[given.part] / name
    for test, file in results.items():
        (kept / test).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, kept / test / "results.json")
    kept.mkdir(parents=True, exist_ok=True)
    join_metrics(sorted((given.runs / "runs" / name / "csv").glob("*/metrics.csv")), kept / "metrics.csv")
    (kept / "hours.json").write_text(json.dumps({"cpu": round(spent / 3600, 3)}) + "\n")
    if given.part == "weights":
        shutil.copytree(given.runs / checkpoint, shipped.FOLDER / name, dirs_exist_ok=True)
        write_pictures(results, shipped.FOLDER / name)


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
        if (given.only and name not in given.only) or (kept.exists() and not given.toy):
            continue
        print(f"{name} ({number} of {len(jobs)})", flush=True)
        finish(name, job, given)


if __name__ == "__main__":
    main()
