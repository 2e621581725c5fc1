"""Names of classes in files, and the external packages that may provide the classes.

A file never decides which code runs. A class name is resolved without calling the class, and only in deblurzoo and in
trusted packages. A trusted package is an installed package that declares the entry point `deblurzoo.extension`, or a
package that the user names (`trust=PACKAGE`).
"""

import argparse
import functools
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import entry_points
from types import FunctionType, ModuleType
from typing import TypeVar

from deblurzoo.errors import DeblurzooError, first_line

T = TypeVar("T")

GROUP = "deblurzoo.extension"
OURS = "deblurzoo"
MODULES = {
    "srn": "deblurzoo.training.srn:SRNDeblur",
    "svrnn": "deblurzoo.training.svrnn:SVRNNDeblur",
    "liu2016": "deblurzoo.training.svrnn:Liu2016Deblur",
    "flow_rnn": "deblurzoo.training.flow_rnn:FlowRNNDeblur",
    "any": "deblurzoo.training.module:DeblurModule",
}
NETWORKS = {
    "srn": "deblurzoo.nets.srn:SRN",
    "svrnn": "deblurzoo.nets.svrnn:SVRNN",
    "liu2016": "deblurzoo.nets.liu2016:Liu2016",
    "flow_rnn": "deblurzoo.nets.flow_rnn:FlowRNN",
}
"""Stable names of deblurzoo's training modules and networks. The module `any` trains any network."""
_EARLIER = {"SRNDeblur": "srn", "SVRNNDeblur": "svrnn", "Liu2016Deblur": "liu2016", "FlowRNNDeblur": "flow_rnn"}
"""Names of training modules in files of version 0.1, and their current names."""

MOVED = {
    "deblurzoo.modules.DeblurModule": "deblurzoo.training.module.DeblurModule",
    "deblurzoo.modules.SRNDeblur": "deblurzoo.training.srn.SRNDeblur",
    "deblurzoo.modules.SVRNNDeblur": "deblurzoo.training.svrnn.SVRNNDeblur",
    "deblurzoo.modules.Liu2016Deblur": "deblurzoo.training.svrnn.Liu2016Deblur",
    "deblurzoo.modules.FlowRNNDeblur": "deblurzoo.training.flow_rnn.FlowRNNDeblur",
    "deblurzoo.data.DeblurDataModule": "deblurzoo.data.datamodule.DeblurDataModule",
    "deblurzoo.data.GoproDvd": "deblurzoo.data.Joined",
    "deblurzoo.loggers.wandb_logger": "deblurzoo.callbacks.loggers.WandbRun",
}
"""Classes that configs of version 0.1 name as `_target_`, and their current names."""

_trusted: dict[str, None] = {}
"""Packages, or modules with tables (see `with_entries`), that the user has trusted in this process."""


def trust(packages: str | Sequence[str] | None) -> None:
    """Allow files to name classes of these packages until this process ends.

    Raises:
        DeblurzooError: a name is not a package name, or the package cannot be imported.
    """
    given = [packages] if isinstance(packages, str) else packages or []
    if not isinstance(given, list | tuple):
        raise DeblurzooError(f"trust={packages} is not a package name: set trust=PACKAGE or trust=[PACKAGE,PACKAGE]")
    for package in given:
        if not isinstance(package, str) or not all(part.isidentifier() for part in package.split(".")):
            raise DeblurzooError(f"trust={package} is not a package name: set the name that Python imports")
        _imported(package)
        _trusted[package] = None


def _imported(module: str) -> ModuleType:
    try:
        return import_module(module)
    except Exception as error:  # a user's package may raise anything
        raise DeblurzooError(
            f"the trusted package {module} cannot be imported ({type(error).__name__}: {first_line(error)}): install "
            "it in this Python environment, or fix it"
        ) from error


def add_trust(parser: argparse.ArgumentParser) -> None:
    """Add the option `--trust` to a parser."""
    parser.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="PACKAGE",
        help="trust a package that provides networks, losses or metrics; packages with the entry point "
        f"{GROUP} are always trusted",
    )


def trusted() -> list[str]:
    """Return the names of the trusted packages, or of their modules with tables (see `with_entries`)."""
    return list(dict.fromkeys([*_declared(tuple(sys.path)), *_trusted]))


@functools.cache
def _declared(path: tuple[str, ...]) -> list[str]:
    """Return the modules that installed packages declare. The slow search is cached for each `sys.path`."""
    return [point.module for point in entry_points(group=GROUP)]


def with_entries(table: str, ours: dict[str, T]) -> dict[str, T]:
    """Return the entries of a table, such as `METRICS` or `LOSSES`, from deblurzoo and from trusted packages.

    To add entries, a package defines a dict with the name of the table.

    Raises:
        DeblurzooError: a package cannot be imported, or an entry has a wrong type or a name that deblurzoo uses.
    """
    found = dict(ours)
    for module in trusted():
        theirs = getattr(_imported(module), table, {})
        kind = type(next(iter(ours.values())))
        for name, entry in theirs.items() if isinstance(theirs, dict) else [(table, None)]:
            if not (isinstance(entry, kind) or (callable(entry) and kind is FunctionType)) or name in ours:
                raise DeblurzooError(
                    f"{module}.{table}[{name!r}] is not a {kind.__name__}, or deblurzoo already has an entry of "
                    "this name: fix the package"
                )
            found[name] = entry
    return found


def imported(name: str, kind: type[T]) -> type[T]:
    """Return the class that the user's own config names, from any package.

    Raises:
        DeblurzooError: the class does not exist, or is not a subclass of `kind`.
    """
    if name in MOVED:
        raise DeblurzooError(f"{name} is now {MOVED[name]}: use this name")
    module, _, class_name = name.replace(":", ".").rpartition(".")
    try:
        found = getattr(import_module(module), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise DeblurzooError(
            f"{name or 'an empty name'} cannot be imported ({error}): give PACKAGE.MODULE.CLASS"
        ) from error
    if not (isinstance(found, type) and issubclass(found, kind)):
        raise DeblurzooError(f"{name} is not a {kind.__module__}.{kind.__qualname__}: name a subclass of it")
    return found


def name_of(cls: type) -> str:
    """Return the stable name of a class: a short name for classes of deblurzoo, otherwise `package.module:Class`."""
    name = f"{cls.__module__}:{cls.__qualname__}"
    return next((short for short, ours in (*MODULES.items(), *NETWORKS.items()) if ours == name), name)


def current(name: str) -> str:
    """Return the current name of a training module, given its current name or its name in version 0.1."""
    return _EARLIER.get(name, name)


def resolve(name: str, kind: type[T]) -> type[T]:
    """Return the class that a file names, without calling it.

    Args:
        name: `package.module:Class` or `package.module.Class`.
        kind: the required base class; the class must be defined in the named package, not merely imported there.

    Raises:
        ValueError: the package is not trusted, or has no such class.
    """
    module, _, class_name = name.rpartition(":" if ":" in name else ".")
    package = module.partition(".")[0]
    found, reason = None, ""
    if all(part.isidentifier() for part in (*module.split("."), class_name)):
        if package not in (OURS, *(one.partition(".")[0] for one in trusted())):
            raise ValueError(
                f"{name} is in the package {package}, which is not trusted and could run any code: if you trust it, "
                f"set trust={package} (deblur, export, compare: --trust {package})"
            )
        try:
            found = vars(import_module(module)).get(class_name)
        except Exception as error:  # a user's package may raise anything
            reason = f" ({type(error).__name__}: {first_line(error)})"
    if not (isinstance(found, type) and issubclass(found, kind) and found.__module__.partition(".")[0] == package):
        raise ValueError(f"{name} is not a {kind.__name__} of deblurzoo or of a trusted package{reason}")
    return found
