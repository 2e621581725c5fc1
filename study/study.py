"""The study of study/README.md: one `deblurzoo train` per job, in an order of decreasing value, and its evaluations.

python study/study.py learnability|study --data FOLDER --runs FOLDER [--device cpu|gpu] [--only NAME …] [--toy]

A finished job leaves its curves and results in study/learnability or study/jobs, and is then skipped. `--toy` trains
two steps of every job on tiny crops, evaluates it on two images, and leaves nothing.
"""

import argparse
import csv
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

import cv2

from deblurzoo.media.images import read_image, write_png
from deblurzoo.synthesis.toy import PHOTOGRAPHS

HERE = Path(__file__).parent
REGIME = {"length": "[2,6]", "shorter_side": "400"}
"""Blur length and scale of the photos of the study; to be set from the learnability table."""
PAIRS = {"reds": "folder_reds_020", "gopro": "gopro/test/GOPR0384_11_00"}
"""Folders of real pairs, with the sub-folders `blur` and `sharp`, relative to the folder of data."""
LISTS = ("train.txt", "validation.txt", "kodak.txt")
"""File names of the training, validation and test photos."""

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
    """Return SRN in nine regimes, SVRNN and NAFNet in two of them, and losses and values of epsilon in one."""
    cells = {
        f"{short}_{side}": [f"data.length={length}", f"data.shorter_side={side}"]
        for (short, length), side in product(
            (("mild", "[2,6]"), ("medium", "[4,12]"), ("severe", "[8,24]")), ("400", "720", "null")
        )
    }
    jobs = {f"srn_{cell}": [*NETWORKS["srn"], *regime] for cell, regime in cells.items()}
    for network, cell in product(("svrnn", "nafnet"), ("mild_400", "medium_400")):
        jobs[f"{network}_{cell}"] = [*NETWORKS[network], *cells[cell]]
    for loss, epsilon in product(("mse", "l1", "charbonnier"), ("1e-8", "1e-12")):
        weights = [f"++model.loss.{loss}=1.0", *(["~model.loss.l1"] if loss != "l1" else [])]
        recipe = [*NETWORKS["srn"], *cells["mild_400"], *weights, f"++model.optimizer.eps={epsilon}"]
        jobs[f"srn_{loss}_{epsilon}"] = recipe
    del jobs["srn_l1_1e-8"]  # srn_mild_400
    return {name: [*job, "trainer.max_steps=1000"] for name, job in jobs.items()}


def study() -> Jobs:
    """Return the full networks, and the ablations with their controls; two seeds of SVRNN's."""
    regime = [f"data.{key}={value}" for key, value in REGIME.items()]
    jobs = {network: [*overrides, *regime] for network, overrides in NETWORKS.items()}
    for name, (network, overrides, width) in CONTROLS.items():
        jobs[name] = [*jobs[network], *overrides]
        if width is not None:
            jobs[f"{name}_control"] = [*jobs[name], f"model.net.width={width}"]
    again = {f"{name}_seed1": [*job, "seed=1"] for name, job in jobs.items() if name.startswith("svrnn")}
    return {name: [*job, "trainer.max_steps=8000"] for name, job in {**jobs, **again}.items()}


def settings(job: list[str], given: argparse.Namespace) -> list[str]:
    """Return the overrides of `deblurzoo train` of a job, with the overrides that all jobs share."""
    small = ["trainer.max_steps=2", "datamodule.batch_size=2", "datamodule.augmentation.crop=64", *TOY]
    return [
        *(
            "recipe=study",
            "logger=csv",
            f"trainer={given.device}",
            "resume=auto",
            "data=photos",
            "data.root=data/photos",
        ),
        *("data.train.names=train.txt", "data.test.names=validation.txt", "data.cache=exposures"),
        *job,
        *([*small, "datamodule.val_frames=1"] if given.toy else []),
    ]


def tests(job: list[str], given: argparse.Namespace) -> dict[str, list[str]]:
    """Return the overrides of `deblurzoo evaluate` by the name of a test.

    FlowRNN restores two of the three REDS frames, and cannot restore the GOPRO pair, which has no neighbours. All
    networks are tested on the same REDS frames.
    """
    regime = TOY if given.toy else [f"data.{key}={value}" for key, value in REGIME.items()]
    found = {
        "kodak": ["data=photos", "data.root=data/kodak", "data.test.names=kodak.txt", "data.cache=exposures", *regime]
    }
    for scale, pairs in product(("full", "half"), PAIRS):
        folders = [f"data.test.{role}={scale}/{pairs}/{role}" for role in ("blur", "sharp")]
        if pairs == "reds":
            found[f"reds_{scale}"] = ["data=folder", *folders, "data.common_frames=2"]
        elif "model=flow_rnn" not in job:
            found[f"gopro_{scale}"] = ["data=folder", *folders]
    return found


def prepare(given: argparse.Namespace) -> None:
    """Write all files that jobs read into the folder of runs. Paths of jobs are relative to this folder."""
    given.runs.mkdir(parents=True, exist_ok=True)
    data = toy(given.runs / "toy") if given.toy else given.data.resolve()
    link = given.runs / "data"
    link.unlink(missing_ok=True)
    link.symlink_to(data, target_is_directory=True)
    for name in LISTS:
        shutil.copyfile((data if given.toy else HERE) / name, given.runs / name)
    for name, folder in PAIRS.items():
        for file in sorted((data / folder).glob("*/*.png")):
            image = read_image(file)
            for scale, scaled in (
                ("full", image),
                ("half", cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)),
            ):
                target = given.runs / scale / name / file.parent.name / file.name
                target.parent.mkdir(parents=True, exist_ok=True)
                write_png(target, scaled)


def toy(folder: Path) -> Path:
    """Write small data in the layout of the study's data, and their lists; return the folder."""
    images = [read_image(path)[:192, :256] for path in PHOTOGRAPHS["test"]]
    for place in ("photos", "kodak", *(f"{pairs}/{role}" for pairs in PAIRS.values() for role in ("blur", "sharp"))):
        (folder / place).mkdir(parents=True, exist_ok=True)
        for number in range(3):
            image = images[number % 2]
            write_png(folder / place / f"{number}.png", cv2.blur(image, (3, 1)) if place.endswith("blur") else image)
    for name, numbers in zip(LISTS, ((0, 1), (2,), (0,)), strict=True):
        (folder / name).write_text("".join(f"{number}.png\n" for number in numbers))
    return folder


def run(words: list[str], given: argparse.Namespace) -> None:
    """Run a verb of deblurzoo in the folder of runs; exit with its exit code if it fails."""
    command = [sys.executable, "-m", "deblurzoo.cli", *words]
    if code := subprocess.run(command, check=False, cwd=given.runs).returncode:
        sys.exit(code)


def finish(part: str, name: str, job: list[str], given: argparse.Namespace) -> None:
    """Train or resume a job, evaluate it, and keep its curves and results in `study/`."""
    run(["train", *settings(job, given), f"name={name}"], given)
    kept = HERE / part / name
    results = {}
    for test, overrides in tests(job, given).items() if part == "jobs" else ():
        out = f"runs/{name}/evaluate/{test}"
        run(["evaluate", f"checkpoint=runs/{name}", f"out={out}", f"trainer={given.device}", *overrides], given)
        results[test] = given.runs / out / "results.json"
    if given.toy:
        return
    for test, file in results.items():
        (kept / test).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, kept / test / "results.json")
    kept.mkdir(parents=True, exist_ok=True)
    join_metrics(sorted((given.runs / "runs" / name / "csv").glob("*/metrics.csv")), kept / "metrics.csv")


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
    parser.add_argument("part", choices=("learnability", "study"))
    parser.add_argument("--data", type=Path, help="folder of data, see study/README.md; --toy needs none")
    parser.add_argument("--runs", type=lambda path: Path(path).resolve(), required=True, help="folder of runs")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of jobs; by default all")
    parser.add_argument("--toy", action="store_true", help="two steps of each job, on toy data")
    given = parser.parse_args()
    part, jobs = ("learnability", learnability()) if given.part == "learnability" else ("jobs", study())
    if unknown := {*(given.only or ())} - {*jobs}:
        parser.error(f"no such job: {', '.join(sorted(unknown))}. The jobs are {', '.join(jobs)}")
    if not given.toy and not given.data:
        parser.error("--data is missing: give the folder that study/README.md describes, or --toy")
    prepare(given)
    for number, (name, job) in enumerate(jobs.items(), 1):
        if (given.only and name not in given.only) or ((HERE / part / name).exists() and not given.toy):
            continue
        print(f"{name} ({number} of {len(jobs)})", flush=True)
        finish(part, name, job, given)


if __name__ == "__main__":
    main()
