"""The sortable table of one section."""

import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from deblurzoo.metrics import figure
from deblurzoo.reports.gather import Failure
from deblurzoo.reports.page.types import Network
from deblurzoo.reports.table import blurry, do_no_harm, figure_names, sharp


@dataclass(frozen=True)
class Column:
    """A column of the table, except the column of the networks' names.

    Args:
        heading: heading of the column, as text.
        higher_is_better: whether sorting starts with the highest value.
        value: returns the value of a network by which rows are sorted, or None.
        text: returns the cell of a network as HTML.
    """

    heading: str
    higher_is_better: bool
    value: Callable[[Network], float | None]
    text: Callable[[Network], str]


def table(group: list[Network], failures: list[Failure], label: str) -> str:
    """Return the table; in any order, the blurry input is first, and runs without a result are last."""
    shown = columns(group)
    headings = heading_cell(0, "network", descending=False)
    headings += "".join(heading_cell(n, column.heading, column.higher_is_better) for n, column in enumerate(shown, 1))
    rows = [*_given_rows(group), *(_row(network, shown) for network in group)]
    rows += [_failed_row(failure, len(shown)) for failure in failures]
    return table_of(headings, rows, f"Results: {label}")


def failed_table(failures: list[Failure]) -> str:
    """Return a table of the runs without a result, for a page on which their section is unknown."""
    headings = '<th scope="col">network</th><th scope="col">reason</th>'
    return table_of(headings, [_failed_row(failure, 1) for failure in failures], "Runs without a result")


def table_of(headings: str, rows: list[str], label: str) -> str:
    """Return a table, which scrolls in a narrow window, of the HTML of its headings and rows."""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table class="results">'
        f"<thead><tr>{headings}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def badge(network: Network) -> str:
    """Return the coloured number that identifies a network in all figures."""
    return f'<span class="badge" style="background:{network.colour};color:{network.ink}">{network.number}</span>'


def columns(group: list[Network]) -> list[Column]:
    """Return the columns of a section's table, except the column of the networks' names."""
    return [
        Column(
            "parameters",
            False,
            lambda n: n.results.network.parameters,
            lambda n: _number(n.results.network.parameters, 0),
        ),
        *map(_figure_column, figure_names([network.results for network in group])),
        Column(
            "gain (dB)",
            True,
            lambda n: n.results.gain_db,
            lambda n: f"{n.results.gain_db:+.2f}".replace("-", "\N{MINUS SIGN}"),
        ),
        Column("do no harm (dB)", True, lambda n: n.results.do_no_harm_psnr, lambda n: do_no_harm(n.results)),
        Column("ms / image", False, lambda n: n.results.ms_per_image, lambda n: _number(n.results.ms_per_image, 1)),
    ]


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def heading(name: str) -> str:
    """Return the heading of a metric with its unit."""
    return figure(name).heading + (f" ({figure(name).unit})" if figure(name).unit else "")


def _figure_column(name: str) -> Column:
    def text(network: Network) -> str:
        value = network.results.restored.get(name)
        return ("" if value is None else figure(name).text(value)) + _paper(name, network.evaluation.paper)

    return Column(heading(name), figure(name).higher_is_better, lambda n: n.results.restored.get(name), text)


def _paper(name: str, paper: dict[str, float]) -> str:
    return f' <span class="paper">({figure(name).text(paper[name])})</span>' if name in paper else ""


def heading_cell(index: int, name: str, descending: bool) -> str:
    """Return the heading of a column, by which the rows can be sorted."""
    first = "descending" if descending else "ascending"
    words = re.sub(r"\S+-\S+", r'<span class="whole">\g<0></span>', html.escape(name))  # no break after a hyphen
    button = f'<button type="button" data-column="{index}" data-first="{first}">{words}</button>'
    return f'<th scope="col" aria-sort="none">{button}</th>'


def _row(network: Network, shown: list[Column]) -> str:
    cells = "".join(_cell(column.value(network), column.text(network)) for column in shown)
    name = html.escape(network.name)
    return f'<tr><th scope="row" data-value="{name}">{named(badge(network), network.name)}</th>{cells}</tr>'


def _cell(value: float | None, text: str) -> str:
    return f'<td data-value="{"" if value is None else value}">{text}</td>'


def _given_rows(group: list[Network]) -> Iterator[str]:
    """Yield the row of the blurry input and, if they have values, of the sharp images."""
    all_results = [network.results for network in group]
    for label, values in (("blurry input", blurry(all_results)), ("sharp images", sharp(all_results))):
        texts = (figure(name).text(values[name]) if name in values else "" for name in figure_names(all_results))
        cells = "".join(f"<td>{text}</td>" for text in texts)
        head = named('<span class="badge"></span>', label)
        if values:
            yield f'<tr class="blurry"><th scope="row">{head}</th><td></td>{cells}<td></td><td></td><td></td></tr>'


def _failed_row(failure: Failure, width: int) -> str:
    failed = failure.state == "failed"
    reason = f'<div class="reason">{"<strong>failed</strong> " if failed else ""}{html.escape(failure.reason)}</div>'
    name = named(f'<span class="badge">{"!" if failed else ""}</span>', failure.name)
    kind = "unfinished failed" if failed else "unfinished"
    return f'<tr class="{kind}"><th scope="row">{name}</th><td colspan="{width}">{reason}</td></tr>'


def named(mark: str, name: str) -> str:
    """Return the HTML of a mark and a name. The name may be wrapped after punctuation."""
    words = "<wbr>".join(html.escape(word) for word in re.split(r"(?<=[._/-])", name) if word)
    return f'<div class="name">{mark}<span>{words}</span></div>'
