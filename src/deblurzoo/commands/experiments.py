"""`deblurzoo experiments`: list the shipped experiments, their networks, and the papers' metric values."""

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
        description="List all experiments: network, number of parameters, data set, and the paper's PSNR and SSIM.",
    ).parse_args(arguments)
    from deblurzoo.reports.papers import parameters, rows, rows_of  # deferred: imports OpenCV

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
    table.width = Measurement.get(console, console.options.update(width=1000), table).maximum  # never truncated
    console.print(table, crop=False)
    for paper in dict.fromkeys(f"{row.table}: {row.source}" for row in rows() if row.experiment):
        console.print(paper, highlight=False, soft_wrap=True)


def names() -> list[str]:
    """Return the names of the shipped experiments, sorted."""
    return sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))


def load_experiment(name: str) -> dict[str, Any]:
    """Return the content of a shipped experiment's file, or {} if no experiment has this name."""
    file = Path(conf_dir() / "experiment" / f"{name}.yaml")
    return yaml.safe_load(file.read_text()) or {} if file.is_file() else {}


def choice(name: str, group: str) -> str | None:
    """Return the name of the config that a shipped experiment, or one of its bases, selects from a group; or None."""
    found = None
    for item in load_experiment(name).get("defaults", []):
        if isinstance(item, dict):
            found = item.get(f"override /{group}", found)
        elif item != "_self_":
            found = choice(item, group) or found
    return found
