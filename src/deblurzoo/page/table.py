"""The sortable table of one section."""

import html
import re
from collections.abc import Callable

from deblurzoo.page.types import Failure, Network

_Column = tuple[str, Callable[[Network], float], Callable[[Network], str]]


def table(group: list[Network], failures: list[Failure], label: str) -> str:
    """Return the table; the blurry input stays its first row and failed runs its last ones however it is sorted."""
    headings = "".join(_heading(index, name) for index, name in enumerate(["network", *(c[0] for c in COLUMNS)]))
    rows = [_blurry_row(group[0]), *map(_row, group), *map(_failed_row, failures)]
    return _table(headings, rows, f"Results: {label}")


def failed_table(failures: list[Failure]) -> str:
    """Return the table of failed runs alone, where it is open which section they belong to."""
    headings = f'<th scope="col">network</th><th scope="col" colspan="{len(COLUMNS)}">reason</th>'
    return _table(headings, list(map(_failed_row, failures)), "Failed runs")


def _table(headings: str, rows: list[str], label: str) -> str:
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table class="results">'
        f"<thead><tr>{headings}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def badge(network: Network) -> str:
    """Return the coloured number by which all figures know a network."""
    return f'<span class="badge" style="background:{network.colour};color:{network.ink}">{network.number}</span>'


def _with_paper(ours: str, paper: dict[str, float] | None, key: str, digits: int) -> str:
    if not paper or paper.get(key) is None:
        return ours
    return f'{ours} <span class="paper">({paper[key]:.{digits}f})</span>'


COLUMNS: tuple[_Column, ...] = (
    ("parameters", lambda n: n.results["network"]["parameters"], lambda n: f"{n.results['network']['parameters']:,}"),
    (
        "PSNR (dB)",
        lambda n: n.results["restored"]["psnr"],
        lambda n: _with_paper(f"{n.results['restored']['psnr']:.2f}", n.evaluation.paper, "psnr", 2),
    ),
    (
        "SSIM",
        lambda n: n.results["restored"]["ssim"],
        lambda n: f"{n.results['restored']['ssim']:.4f}",
    ),
    (
        "SSIM 3-D",
        lambda n: n.results["restored"]["ssim_matlab3d"],
        lambda n: _with_paper(f"{n.results['restored']['ssim_matlab3d']:.4f}", n.evaluation.paper, "ssim", 4),
    ),
    (
        "gain (dB)",
        lambda n: n.results["gain_db"],
        lambda n: f"{n.results['gain_db']:+.2f}".replace("-", "\N{MINUS SIGN}"),
    ),
    ("ms / image", lambda n: n.results["ms_per_image"], lambda n: f"{n.results['ms_per_image']:,.1f}"),
)


def _heading(index: int, name: str) -> str:
    return f'<th scope="col" aria-sort="none"><button type="button" data-column="{index}">{name}</button></th>'


def _row(network: Network) -> str:
    cells = "".join(f'<td data-value="{value(network)}">{text(network)}</td>' for _, value, text in COLUMNS)
    name = html.escape(network.name)
    return f'<tr><th scope="row" data-value="{name}">{_name(badge(network), network.name)}</th>{cells}</tr>'


def _blurry_row(network: Network) -> str:
    means = network.results["blurry"]
    figures = f"<td>{means['psnr']:.2f}</td><td>{means['ssim']:.4f}</td><td>{means['ssim_matlab3d']:.4f}</td>"
    return (
        '<tr class="blurry"><th scope="row">'
        + _name('<span class="badge"></span>', "blurry input")
        + f"</th><td></td>{figures}<td></td><td></td></tr>"
    )


def _failed_row(failure: Failure) -> str:
    reason = f'<div class="reason"><strong>failed</strong> {html.escape(failure.reason)}</div>'
    name = _name('<span class="badge">!</span>', failure.name)
    return f'<tr class="failed"><th scope="row">{name}</th><td colspan="{len(COLUMNS)}">{reason}</td></tr>'


def _name(mark: str, name: str) -> str:
    """Return a mark and a name that may break after punctuation."""
    words = "<wbr>".join(html.escape(word) for word in re.split(r"(?<=[._/-])", name) if word)
    return f'<div class="name">{mark}<span>{words}</span></div>'
