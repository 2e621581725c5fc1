"""The study of study/README.md: one `deblurzoo train` per job, in an order of decreasing value.

python study/study.py learnability|study --photos FOLDER --runs FOLDER [--device cpu|gpu] [--only NAME …] [--toy]

A finished job leaves `metrics.csv` in study/learnability or study/jobs, and is then skipped. `--toy` trains two steps
of every job on tiny crops and leaves nothing.
"""

import argparse
import shutil
import subprocess
import sys
from itertools import product
from pathlib import Path

HERE = Path(__file__).parent
REGIME = {"length": "[2,6]", "shorter_side": "400"}
"""Blur length and scale of the photos of the study; to be set from the learnability table."""

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
    return {name: [*job, "trainer.max_steps=2000"] for name, job in jobs.items()}


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


def command(name: str, job: list[str], given: argparse.Namespace) -> list[str]:
    """Return the command that trains, or resumes, a job."""
    lists = [f"data.train.names={HERE / 'train.txt'}", f"data.test.names={HERE / 'validation.txt'}"]
    small = ["trainer.max_steps=2", "datamodule.batch_size=2", "datamodule.augmentation.crop=64", "data.length=[1,2]"]
    return [
        *(sys.executable, "-m", "deblurzoo.cli", "train", "recipe=study", "logger=csv", f"trainer={given.device}"),
        *("data=photos", f"data.root={given.photos}", f"data.cache={given.runs / 'exposures'}"),
        *("resume=auto", f"paths.runs={given.runs / 'runs'}", f"name={name}", *job),
        *([*small, "data.shorter_side=null", "datamodule.val_frames=1"] if given.toy else lists),
    ]


def main() -> None:
    """Train all jobs that are not finished."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("learnability", "study"))
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names of jobs; by default all")
    parser.add_argument("--toy", action="store_true")
    given = parser.parse_args()
    jobs, left = {"learnability": (learnability(), HERE / "learnability"), "study": (study(), HERE / "jobs")}[
        given.part
    ]
    if unknown := {*(given.only or ())} - {*jobs}:
        parser.error(f"no such job: {', '.join(sorted(unknown))}. The jobs are {', '.join(jobs)}")
    for number, (name, job) in enumerate(jobs.items(), 1):
        kept = left / f"{name}.csv"
        if (given.only and name not in given.only) or (kept.exists() and not given.toy):
            continue
        print(f"{name} ({number} of {len(jobs)})", flush=True)
        if code := subprocess.run(command(name, job, given), check=False).returncode:
            sys.exit(code)
        if not given.toy:
            left.mkdir(exist_ok=True)
            shutil.copyfile(given.runs / "runs" / name / "csv" / "version_0" / "metrics.csv", kept)


if __name__ == "__main__":
    main()
