"""The sortable table of one section."""

import html
import re
from collections.abc import Callable

from deblurzoo.compare import FIGURES, PAPERS, do_no_harm, format_figure
from deblurzoo.page.types import Failure, Network

_Column = tuple[str, Callable[[Network], float], Callable[[Network], str]]


def table(group: list[Network], failures: list[Failure], label: str) -> str:
    """Return the table; the blurry input stays its first row and failed runs its last ones however it is sorted."""
    shown = columns(group)
    headings = "".join(_heading(index, name) for index, name in enumerate(["network", *(c[0] for c in shown)]))
    rows = [_blurry_row(group[0]), *(_row(network, shown) for network in group)]
    rows += [_failed_row(failure, len(shown)) for failure in failures]
    return _table(headings, rows, f"Results: {label}")


def failed_table(failures: list[Failure]) -> str:
    """Return the table of failed runs alone, where it is open which section they belong to."""
    headings = '<th scope="col">network</th><th scope="col">reason</th>'
    return _table(headings, [_failed_row(failure, 1) for failure in failures], "Failed runs")


def _table(headings: str, rows: list[str], label: str) -> str:
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table class="results">'
        f"<thead><tr>{headings}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def badge(network: Network) -> str:
    """Return the coloured number by which all figures know a network."""
    return f'<span class="badge" style="background:{network.colour};color:{network.ink}">{network.number}</span>'


def columns(group: list[Network]) -> list[_Column]:
    """Return heading, value to sort by and text of each column that a section has, but for the networks' names."""
    return [
        (
            "parameters",
            lambda n: n.results["network"]["parameters"],
            lambda n: f"{n.results['network']['parameters']:,}",
        ),
        *map(_figure_column, group[0].results["blurry"]),
        (
            "gain (dB)",
            lambda n: n.results["gain_db"],
            lambda n: f"{n.results['gain_db']:+.2f}".replace("-", "\N{MINUS SIGN}"),
        ),
        ("do no harm (dB)", lambda n: n.results.get("do_no_harm_psnr") or 0, lambda n: do_no_harm(n.results)),
        ("ms / image", lambda n: n.results["ms_per_image"], lambda n: f"{n.results['ms_per_image']:,.1f}"),
    ]


def _figure_column(name: str) -> _Column:
    return (
        FIGURES[name] + (" (dB)" if name == "psnr" else ""),
        lambda n: n.results["restored"][name],
        lambda n: format_figure(name, n.results["restored"][name]) + _paper(name, n.evaluation.paper),
    )


def _paper(name: str, paper: dict[str, float] | None) -> str:
    theirs = next((value for key, value in (paper or {}).items() if PAPERS.get(key) == name), None)
    return "" if theirs is None else f' <span class="paper">({format_figure(name, theirs)})</span>'


def _heading(index: int, name: str) -> str:
    return f'<th scope="col" aria-sort="none"><button type="button" data-column="{index}">{name}</button></th>'


def _row(network: Network, shown: list[_Column]) -> str:
    cells = "".join(f'<td data-value="{value(network)}">{text(network)}</td>' for _, value, text in shown)
    name = html.escape(network.name)
    return f'<tr><th scope="row" data-value="{name}">{_name(badge(network), network.name)}</th>{cells}</tr>'


def _blurry_row(network: Network) -> str:
    figures = "".join(f"<td>{format_figure(*figure)}</td>" for figure in network.results["blurry"].items())
    return (
        '<tr class="blurry"><th scope="row">'
        + _name('<span class="badge"></span>', "blurry input")
        + f"</th><td></td>{figures}<td></td><td></td><td></td></tr>"
    )


def _failed_row(failure: Failure, width: int) -> str:
    reason = f'<div class="reason"><strong>failed</strong> {html.escape(failure.reason)}</div>'
    name = _name('<span class="badge">!</span>', failure.name)
    return f'<tr class="failed"><th scope="row">{name}</th><td colspan="{width}">{reason}</td></tr>'


def _name(mark: str, name: str) -> str:
    """Return a mark and a name that may break after punctuation."""
    words = "<wbr>".join(html.escape(word) for word in re.split(r"(?<=[._/-])", name) if word)
    return f'<div class="name">{mark}<span>{words}</span></div>'
