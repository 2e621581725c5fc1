import importlib.metadata
import importlib.util
import re
import tomllib
from pathlib import Path

from deblurzoo.version import __version__

REPOSITORY = Path(__file__).parents[2]


def test_torchvision_is_absent() -> None:
    """With a CPU build of torch, an installed torchvision breaks `import torchmetrics`."""
    assert importlib.util.find_spec("torchvision") is None


def test_what_is_installed_is_what_is_pinned() -> None:
    pins = dict(line.split("==") for line in (REPOSITORY / "constraints.txt").read_text().split() if "==" in line)
    needed = [re.split(r"[^\w-]", r)[0] for r in importlib.metadata.requires("deblurzoo") or []]
    assert "torch" in needed
    pins = {pin.lower().replace("_", "-"): version for pin, version in pins.items()}
    # CUDA builds of torch pin the triton they need; the onnx and gpu extras are part of dev.
    for name in set(needed) - {"triton", "deblurzoo"}:
        assert importlib.metadata.version(name).split("+")[0] == pins[name], name


def test_no_committed_file_names_an_index() -> None:
    for name in ("constraints.txt", "pyproject.toml", "Makefile"):
        assert "://" not in (REPOSITORY / name).read_text(), name


def test_every_file_states_the_same_version() -> None:
    assert tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"] == __version__
    assert re.findall(r"^version: (.+)$", (REPOSITORY / "CITATION.cff").read_text(), re.M) == [__version__]
    assert re.findall(r"^## (.+)$", (REPOSITORY / "CHANGELOG.md").read_text(), re.M)[0] == __version__
