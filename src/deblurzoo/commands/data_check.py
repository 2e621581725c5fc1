"""`deblurzoo data check`: read all files of a data set, count its clips, and report corrupt and missing files."""

import sys

from omegaconf import DictConfig, OmegaConf

from deblurzoo.commands.hydra_app import as_dicts, blur_choice, make
from deblurzoo.data import ClipSource, Kohler, Photos, Source
from deblurzoo.data.checking import check, counted
from deblurzoo.errors import DeblurzooError


def source_of(cfg: DictConfig) -> Source:
    """Return the data set of `cfg.data`. If its blur folder is not set, select `blur` and print a note."""
    if chosen := blur_choice(cfg.data, "blur"):
        print("using the blurry frames of blur/; to use blur_gamma/, set data.blur=blur_gamma")
    data = as_dicts(OmegaConf.merge(cfg, {"data": chosen}))["data"]
    return make(data, Source, "data")


def run(cfg: DictConfig) -> None:
    """Check the data set `cfg.data`; raise a DeblurzooError if it has problems."""
    source = source_of(cfg)
    if not source.splits:
        raise DeblurzooError("data=folder has nothing to check: set data.test.blur and data.test.sharp")
    if isinstance(source, Kohler | Photos):
        problems = source.problems()
    else:
        assert isinstance(source, ClipSource)
        problems = [problem for part in source.parts for problem in check(part)]
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        raise DeblurzooError(f"{counted(len(problems), 'problem')} in {source.name}, listed above")
    print("no problems")
