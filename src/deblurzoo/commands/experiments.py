"""`deblurzoo experiments`: the shipped experiments, and the parameters of their networks."""

import argparse

from rich.console import Console
from rich.table import Table

from deblurzoo.files import conf_dir
from deblurzoo.reports.papers import parameters


def names() -> list[str]:
    """Return the shipped experiments in order."""
    return sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))


def main(arguments: list[str]) -> None:
    """Run `deblurzoo experiments`."""
    argparse.ArgumentParser("deblurzoo experiments", description="Print every experiment's size.").parse_args(arguments)
    known = parameters()
    table = Table("experiment")
    table.add_column("parameters", justify="right")
    for name in names():
        table.add_row(name, f"{known[name]:,}" if name in known else "")
    Console().print(table)
