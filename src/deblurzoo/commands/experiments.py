"""`deblurzoo experiments`: the shipped experiments, their networks, and the figures that the papers give for them."""

import argparse
from pathlib import Path
from typing import Any

import yaml
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from deblurzoo.files import conf_dir


def main(arguments: list[str]) -> None:
    """Run `deblurzoo experiments`."""
    argparse.ArgumentParser(
        "deblurzoo experiments",
        description="Print every experiment: its network, size and data, and what its paper measured.",
    ).parse_args(arguments)
    from deblurzoo.reports.papers import parameters, rows, rows_of  # OpenCV takes a while, the help needs none of it

    table = Table(box=SIMPLE_HEAD)
    for heading in ("experiment", "network", "parameters", "data set", "table", "PSNR", "SSIM"):
        right = heading in ("parameters", "PSNR", "SSIM")
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for name in names():
        head = [name, choice(name, "model") or "", f"{parameters()[name]:,}"]
        for row in rows_of(name):
            psnr, ssim = row.figures.get("psnr"), row.figures.get("ssim_matlab3d")
            figures = ["" if psnr is None else f"{psnr:.2f}", "" if ssim is None else f"{ssim:.4f}"]
            table.add_row(*head, row.conditions["dataset"], row.table, *figures)
            head = [""] * len(head)
        if head[0]:
            table.add_row(*head, choice(name, "data") or "")
    console = Console()
    table.width = Measurement.get(console, console.options.update(width=1000), table).maximum  # too wide, but not cut
    console.print(table, crop=False)
    for paper in dict.fromkeys(f"{row.table}: {row.source}" for row in rows()):
        console.print(paper, highlight=False, soft_wrap=True)


def names() -> list[str]:
    """Return the shipped experiments in order."""
    return sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))


def load_experiment(name: str) -> dict[str, Any]:
    """Return the file of an experiment as it is written; {} if none of that name is shipped."""
    file = Path(conf_dir() / "experiment" / f"{name}.yaml")
    return yaml.safe_load(file.read_text()) or {} if file.is_file() else {}


def choice(name: str, group: str) -> str | None:
    """Return the config of a group that a shipped experiment, or one that it begins with, chooses."""
    found = None
    for item in load_experiment(name).get("defaults", []):
        if isinstance(item, dict):
            found = item.get(f"override /{group}", found)
        elif item != "_self_":
            found = choice(item, group) or found
    return found
