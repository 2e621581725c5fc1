"""`deblurzoo data check`: read all files of a data set, count its clips, and report corrupt and missing files."""

import sys

from omegaconf import DictConfig, OmegaConf

from deblurzoo.commands.hydra_app import as_dicts, blur_choices, make
from deblurzoo.data import Source
from deblurzoo.data.checking import check, counted
from deblurzoo.errors import DeblurzooError


def source_of(cfg: DictConfig, key: str = "data") -> Source:
    """Return the data set that a key describes. If its blur folder is not set, select `blur` and print a note."""
    chosen = blur_choices(cfg, "blur")
    if chosen[key]:
        print(f"using the blurry frames of blur/; to use blur_gamma/, set {key}.blur=blur_gamma")
    source = make(as_dicts(OmegaConf.merge(cfg, chosen))[key], Source, key)
    for part in source.parts:
        part.key = key + part.key.removeprefix("data")
    return source


def run(cfg: DictConfig) -> None:
    """Check the data set `cfg.data`, and `cfg.against` if given; raise a DeblurzooError if they have problems."""
    sources = [source_of(cfg, key) for key in ("data", "against") if cfg[key] is not None]
    if not all(source.splits for source in sources):
        raise DeblurzooError("data=folder has nothing to check: set data.test.blur and data.test.sharp")
    problems = check(*(part for source in sources for part in source.parts))
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        names = " and ".join(source.name for source in sources)
        raise DeblurzooError(f"{counted(len(problems), 'problem')} in {names}, listed above")
    print("no problems")
