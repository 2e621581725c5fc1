"""The wheel, installed in a new environment, trains from another folder with a user's experiment."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

from conftest import USERS_EXPERIMENT
from deblurzoo.media.images import write_png

REPOSITORY = Path(__file__).parents[2]


def required(name: str, extra: str = "") -> set[str]:
    """Return the recursive dependencies of a distribution, without dependencies of unrequested extras."""
    found = set()
    for requirement in map(Requirement, importlib.metadata.requires(name) or []):
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            found |= {requirement.name, *required(requirement.name)}
            for asked in requirement.extras:
                found |= required(requirement.name, asked)
    return found


def link(name: str, site: Path) -> None:
    """Link an installed distribution into another environment: with pip, copying would take minutes."""
    distribution = importlib.metadata.distribution(name)
    for top in {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}:
        if not (site / top).exists():
            (site / top).symlink_to(distribution.locate_file(top))


@pytest.mark.processes
def test_wheel_trains_from_another_folder(environment: dict[str, str], toy: Path, tmp_path: Path) -> None:
    def run(*command: object) -> str:
        arguments = list(map(str, command))
        done = subprocess.run(arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, REPOSITORY)
    (wheel,) = tmp_path.glob("*.whl")
    run(sys.executable, "-m", "venv", "venv")
    (site,) = tmp_path.glob("venv/lib/python*/site-packages")
    for name in required("deblurzoo"):
        link(name, site)
    run("venv/bin/python", "-m", "pip", "install", "--quiet", "--no-deps", wheel)
    run("venv/bin/python", "-m", "pip", "check")
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "mine.yaml").write_text(USERS_EXPERIMENT)

    train = ["venv/bin/deblurzoo", "train", "--config-dir", "conf", "experiment=mine", f"data.root={toy}"]
    run(*train, "trainer=cpu")
    assert (tmp_path / "runs" / "mine" / "checkpoints" / "step_00000001.ckpt").is_file()
    run("venv/bin/deblurzoo", "evaluate", "checkpoint=runs/mine", "data=toy", f"data.root={toy}", "trainer=cpu")
    assert "mine" in run("venv/bin/deblurzoo", "compare", "runs/mine")
    write_png(tmp_path / "photo.png", np.full((40, 60, 3), 99, np.uint8))
    run("venv/bin/deblurzoo", "deblur", "photo.png")
    assert (tmp_path / "deblurred" / "photo.png").is_file()
    where = run("venv/bin/python", "-c", "import deblurzoo; print(deblurzoo.__file__)")
    assert Path(where.strip()).is_relative_to(tmp_path)
