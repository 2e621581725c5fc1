"""Measure the waits of users without a GPU, before a revision and now.

python benchmarks/waits.py --before REVISION [--only WAIT …] [--repeats N] [--json FILE]

The commands of the two versions alternate, each in a separate process. Git checks `REVISION` out to a temporary folder;
both versions use the installed packages.
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from growth import image

from deblurzoo.benchmark.harness import Figures, command_figures, measured, parser, show
from deblurzoo.errors import as_program
from deblurzoo.media.images import write_png
from deblurzoo.synthesis.options import ToyOptions
from deblurzoo.synthesis.toy import write_toy

REPOSITORY = Path(__file__).resolve().parents[1]
OPERATOR = """
import deblurzoo, torch
from deblurzoo.ops.spatial_rnn import spatial_rnn
x, w = torch.randn(1, 32, 360, 640, requires_grad=True), torch.randn(1, 128, 360, 640).tanh().requires_grad_()
for _ in range(100):
    h = spatial_rnn(x, w)
    if {backward}:
        torch.autograd.grad(h, (x, w), h)
"""
PHOTOS = (2, 8, 24)
"""Sizes of photos in megapixels."""
Command = list[str]
Case = tuple[str, str]
"""Name of the wait, and version: `before` or `now`."""


def python(code: str, _inputs: Path, _out: Path) -> Command:
    """Return the command that runs code."""
    return [sys.executable, "-c", code]


def verb(*words: str) -> Command:
    """Return the command of a verb, in all versions."""
    return [sys.executable, "-c", "from deblurzoo.cli import main; main()", *words]


def photo(megapixels: int, network: str, options: list[str], inputs: Path, out: Path) -> Command:
    """Return the command that restores a photo."""
    words = [str(inputs / f"{megapixels}.png"), "--checkpoint", str(inputs / "runs" / network), "--out", str(out)]
    return verb("deblur", *words, *options)


def training(network: str, inputs: Path, out: Path) -> Command:
    """Return the command that trains a small network for 100 steps."""
    words = [f"experiment={network}_toy", f"data.root={inputs / 'toy'}", f"paths.runs={out}", "datamodule.val_frames=1"]
    return verb("train", *words, "datamodule.batch_size=8", "trainer=cpu", "trainer.max_steps=100")


def evaluation(network: str, inputs: Path, out: Path) -> Command:
    """Return the command that evaluates a network on 48 images."""
    words = [f"checkpoint={inputs / 'runs' / network}", "data=toy", f"data.root={inputs / 'toy'}", f"out={out}"]
    return verb("evaluate", *words, "trainer=cpu")


def twice(command: Callable[[Path, Path], Command], inputs: Path, out: Path) -> Command:
    """Return the command that runs a command twice at the same time."""
    first, second = (shlex.join(command(inputs, out / name)) for name in ("first", "second"))
    return ["sh", "-c", f"{first} & {second} & wait"]


WAITS: dict[str, Callable[[Path, Path], Command]] = {
    "operator in Python, 100 times forward": partial(python, OPERATOR.format(backward=False)),
    "operator in Python, 100 times forward and backward": partial(python, OPERATOR.format(backward=True)),
    **{f"deblur, {size} megapixels, SVRNN": partial(photo, size, "svrnn", []) for size in PHOTOS},
    "deblur, 2 megapixels, SVRNN, bf16": partial(photo, 2, "svrnn", ["--precision", "bf16"]),
    **{f"train, 100 steps, {network}": partial(training, network) for network in ("svrnn", "srn", "flow")},
    "train, 100 steps, svrnn, two at once": partial(twice, partial(training, "svrnn")),
    "evaluate, svrnn": partial(evaluation, "svrnn"),
    "evaluate, svrnn, two at once": partial(twice, partial(evaluation, "svrnn")),
}


@contextmanager
def checkout(revision: str, folder: Path) -> Iterator[None]:
    """Check a revision out to a folder while the context is active."""
    git = ["git", "-C", str(REPOSITORY)]
    subprocess.run([*git, "worktree", "add", "--quiet", "--detach", str(folder), revision], check=True)
    try:
        yield
    finally:
        subprocess.run([*git, "worktree", "remove", "--force", str(folder)], check=True)


def revision(text: str) -> str:
    """Return the hash of a revision; argparse type."""
    git = ["git", "-C", str(REPOSITORY), "rev-parse", "--verify", "--quiet", "--end-of-options", f"{text}^{{commit}}"]
    found = subprocess.run(git, capture_output=True, text=True, check=False)
    if found.returncode:
        raise argparse.ArgumentTypeError(f"{text!r} is not a revision of {REPOSITORY}")
    return found.stdout.strip()


def environment(source: Path) -> dict[str, str]:
    """Return the environment in which Python imports deblurzoo from a checkout."""
    return {**os.environ, "PYTHONPATH": str(source / "src")}


def prepare(inputs: Path, source: Path) -> None:
    """Write the photos, the toy clips and a network of few steps, which the version of `source` can read."""
    write_toy(inputs / "toy", ToyOptions(train_clips=16))
    for size in PHOTOS:
        write_png(inputs / f"{size}.png", image(round((size * 1e6) ** 0.5)))
    words = ["trainer.max_steps=1", f"data.root={inputs / 'toy'}", "trainer=cpu", f"paths.runs={inputs / 'runs'}"]
    command = verb("train", "experiment=svrnn_toy", "name=svrnn", *words)
    subprocess.run(command, check=True, env=environment(source), stdout=subprocess.DEVNULL)


def main() -> None:
    """Run the benchmark."""
    options = parser(__doc__, repeats=3)
    options.add_argument("--before", type=revision, required=True, metavar="REVISION", help="revision to compare with")
    options.add_argument("--only", nargs="+", choices=WAITS, default=list(WAITS), metavar="WAIT")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary, checkout(given.before, Path(temporary) / "before"):
        sources = {"before": Path(temporary) / "before", "now": REPOSITORY}
        prepare(Path(temporary), sources["before"])

        def measure(case: Case) -> Figures:
            wait, version = case
            with tempfile.TemporaryDirectory() as out:
                command = WAITS[wait](Path(temporary), Path(out))
                return command_figures(command, environment(sources[version]))

        found = measured([(wait, version) for wait in given.only for version in sources], measure, given)
    figures = {
        "seconds": lambda case: f"{found[case]['seconds']:.1f}",
        "CPU seconds": lambda case: f"{found[case]['cpu']:.1f}",
        "of which system": lambda case: f"{found[case]['system']:.1f}",
        "peak GB": lambda case: f"{found[case]['peak'] / 1e9:.2f}",
        "before / now": lambda case: f"{found[case[0], 'before']['seconds'] / found[case]['seconds']:.2f}",
    }
    show(found, {"wait": lambda case: case[0], "version": lambda case: case[1]}, figures)


if __name__ == "__main__":
    as_program(main)
