"""`deblurzoo experiments`: what the shipped experiments train."""

import argparse

from hydra import compose, initialize_config_dir
from rich.console import Console
from rich.table import Table

from deblurzoo.commands.hydra_app import build
from deblurzoo.files import conf_dir


def names() -> list[str]:
    """Return the shipped experiments in order."""
    return sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))


def parameters(name: str) -> int:
    """Return how many parameters the network of an experiment has, by building it."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("train", overrides=[f"experiment={name}"])
    return sum(p.numel() for p in build(cfg.model, recursive=False).net.parameters())


def main(arguments: list[str]) -> None:
    """Run `deblurzoo experiments`."""
    argparse.ArgumentParser("deblurzoo experiments", description="Print every experiment's size.").parse_args(arguments)
    table = Table("experiment")
    table.add_column("parameters", justify="right")
    for name in names():
        table.add_row(name, f"{parameters(name):,}")
    Console().print(table)
