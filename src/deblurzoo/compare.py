"""`deblurzoo compare`: one table of evaluations, one per protocol."""

import argparse
import json
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from deblurzoo.errors import DeblurzooError

Results = dict[str, Any]


def read_results(path: Path) -> list[Results]:
    """Return the evaluations below a run folder, or the one of a `results.json`."""
    files = [path] if path.is_file() else sorted(path.glob("**/results.json"))
    if not files:
        raise DeblurzooError(f"{path} has no results.json: run `deblurzoo evaluate ckpt={path} data=…` first")
    try:
        found = [json.loads(file.read_text()) for file in files]
        for results in found:
            _conditions(results)
        return found
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise DeblurzooError(f"results below {path} cannot be read ({error}): evaluate anew") from error


def _conditions(results: Results) -> tuple[str, ...]:
    """Return all that must agree for two figures to be comparable."""
    return (
        results["dataset"],
        results["protocol"],
        results["split"],
        results["blur_folder"],
        "/".join(results["resolution"]),
        f"{results['frames']} frames",
        f"{results['blurry']['psnr']:.6f}",  # other pictures have another one
    )


def print_table(all_results: list[Results]) -> None:
    """Print a table for each set of conditions: figures of different conditions never share a column."""
    console = Console()
    for conditions, group in groupby(sorted(all_results, key=_conditions), key=_conditions):
        dataset, protocol, split, blur, resolution, frames, _ = conditions
        table = Table(
            title=f"{dataset} {split}, protocol {protocol}, {blur}/, {resolution}, {frames}", title_justify="left"
        )
        table.add_column("network", no_wrap=True)
        for heading in ("parameters", "PSNR", "SSIM", "SSIM 3-D", "gain dB", "ms / image"):
            table.add_column(heading, justify="right")
        rows = list(group)
        table.add_row("blurry input", "", *_figures(rows[0]["blurry"]), "", "")
        for row in rows:
            table.add_row(
                row["name"],
                f"{row['network']['parameters']:,}",
                *_figures(row["restored"]),
                f"{row['gain_db']:+.2f}",
                f"{row['ms_per_image']:.0f}",
            )
        console.print(table)


def _figures(means: dict[str, float]) -> list[str]:
    return [f"{means['psnr']:.2f}", f"{means['ssim']:.4f}", f"{means['ssim_matlab3d']:.4f}"]


def main(arguments: list[str]) -> None:
    """Run `deblurzoo compare`."""
    parser = argparse.ArgumentParser("deblurzoo compare", description="Print the evaluations of runs in one table.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folder or results.json")
    print_table([results for run in parser.parse_args(arguments).runs for results in read_results(run)])
