"""`deblurzoo data check`: all of a data set read, its clips counted, its damage and gaps named."""

import sys

from omegaconf import DictConfig, OmegaConf

from deblurzoo.commands.hydra_app import as_dicts, blur_choice, make
from deblurzoo.data import ClipSource, Kohler, Source
from deblurzoo.data.checking import check, counted
from deblurzoo.errors import DeblurzooError


def source_of(cfg: DictConfig) -> Source:
    """Build `cfg.data`; of GOPRO's blur folders, take `blur` where none is named, and say so."""
    if chosen := blur_choice(cfg.data, "blur"):
        print("taking the frames of blur/; data.blur=blur_gamma takes the other folder's")
    data = as_dicts(OmegaConf.merge(cfg, {"data": chosen}))["data"]
    return make(data, Source, "data")


def run(cfg: DictConfig) -> None:
    """Check `cfg.data`; raise a DeblurzooError if anything is wrong."""
    source = source_of(cfg)
    if not source.splits:
        raise DeblurzooError("data=folder has nothing to check: set data.test.blur and data.test.sharp")
    if isinstance(source, Kohler):
        problems = source.problems()
    else:
        assert isinstance(source, ClipSource)
        problems = [problem for part in source.parts for problem in check(part)]
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        raise DeblurzooError(f"{counted(len(problems), 'problem')} in {source.name}, listed above")
    print("no problems")
