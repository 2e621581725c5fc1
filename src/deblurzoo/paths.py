"""Where the shipped configuration is, and what `~` is in a path of a user's."""

from contextlib import suppress
from os import PathLike
from pathlib import Path

from deblurzoo.errors import DeblurzooError


def conf_dir() -> Path:
    """Return the folder of Hydra configs: inside an installed wheel, or at the top of a checkout."""
    package = Path(__file__).resolve().parent
    for candidate in (package / "conf", package.parents[1] / "conf"):
        if (candidate / "train.yaml").is_file():
            return candidate
    raise DeblurzooError(f"no conf/ beside {package} or at the top of its checkout: reinstall deblurzoo")


def user_path(text: str | PathLike[str]) -> Path:
    """Return a path with the home folder for a leading `~` or `~USER`, which stays if there is no such user."""
    with suppress(RuntimeError):
        return Path(text).expanduser()
    return Path(text)
