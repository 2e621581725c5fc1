"""Where the shipped configuration is."""

from pathlib import Path

from deblurzoo.errors import DeblurzooError


def conf_dir() -> Path:
    """Return the folder of Hydra configs: inside an installed wheel, or at the top of a checkout."""
    package = Path(__file__).resolve().parent
    for candidate in (package / "conf", package.parents[1] / "conf"):
        if (candidate / "train.yaml").is_file():
            return candidate
    raise DeblurzooError(f"no conf/ beside {package} or at the top of its checkout: reinstall deblurzoo")
