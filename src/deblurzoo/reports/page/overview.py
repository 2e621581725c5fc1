"""Tables outside the sections of a page: networks by data sets, at its top, and published results, at its end."""

import html
from collections.abc import Sequence

from deblurzoo.metrics import figure
from deblurzoo.reports.page.table import badge, heading, heading_cell, named, table_of
from deblurzoo.reports.page.types import Network
from deblurzoo.reports.table import Table, blurry, figure_names
from deblurzoo.reports.views import best_two, column_names, references


def overview(groups: Sequence[list[Network]]) -> str:
    """Return the section with the choice of a metric, and the table of each metric; the first table is visible."""
    names = figure_names([network.results for group in groups for network in group])
    options = "".join(f'<option value="{name}">{html.escape(figure(name).heading)}</option>' for name in names)
    tables = "".join(
        f'<div data-metric="{name}"{" hidden" if index else ""}>{_table(groups, name)}</div>'
        for index, name in enumerate(names)
    )
    return (
        '<section class="group overview"><h2>Networks by data set</h2>'
        f'<div class="controls"><label>Metric <select data-choice="overview">{options}</select></label></div>'
        f'{tables}<p class="note">Means over the images of each data set; a column for each set of conditions below. '
        "The best value of a column is bold, the second underlined.</p></section>"
    )


def _table(groups: Sequence[list[Network]], name: str) -> str:
    columns = [group for group in groups if name in _before(group)]
    results = [[network.results for network in group] for group in columns]
    titles = column_names(results)
    higher = figure(name).higher_is_better
    heads = heading_cell(0, "network", descending=False)
    heads += "".join(heading_cell(n, title, higher) for n, title in enumerate(titles, 1))
    found = {network.number: network for group in columns for network in group}
    values = [{network.number: network.results.restored.get(name) for network in group} for group in columns]
    texts = [[figure(name).text(value) for value in column.values() if value is not None] for column in values]
    ranks = [best_two(column, higher) for column in texts]
    rows = []
    for label, given in references(results, name):
        cells = "".join(f"<td>{figure(name).shown(value)}</td>" for value in given)
        mark = named('<span class="badge"></span>', label)
        rows.append(f'<tr class="blurry"><th scope="row">{mark}</th>{cells}</tr>')
    for number in sorted(found):
        cells = "".join(_cell(column.get(number), name, rank) for column, rank in zip(values, ranks, strict=True))
        network = found[number]
        head = f'<th scope="row" data-value="{html.escape(network.name)}">{named(badge(network), network.name)}</th>'
        rows.append(f"<tr>{head}{cells}</tr>")
    return table_of(heads, rows, f"{html.escape(heading(name))} by data set")


def _before(group: Sequence[Network]) -> dict[str, float]:
    return blurry([network.results for network in group])


def _cell(value: float | None, name: str, ranks: Sequence[str]) -> str:
    if value is None:
        return '<td data-value=""></td>'
    text = figure(name).text(value)
    tag = dict(zip(ranks, ("b", "u"), strict=False)).get(text)
    return f'<td data-value="{value}">{f"<{tag}>{text}</{tag}>" if tag else text}</td>'


def published_section(tables: Sequence[Table]) -> str:
    """Return the section of tables of published results, each with the sources of its rows."""
    return f'<section class="group published"><h2>Published results</h2>{"".join(map(_published, tables))}</section>'


def _published(table: Table) -> str:
    heads = "".join(
        f'<th scope="col">{html.escape(name)}</th>'
        if index and higher is None
        else heading_cell(index, name, bool(higher))
        for index, (name, higher) in enumerate(zip(table.headings, table.better, strict=True))
    )
    escaped = [list(map(html.escape, row)) for row in table.rows]
    rows = [
        f'<tr><th scope="row" data-value="{name}">{name}</th>'
        + "".join(f'<td data-value="{text}">{text}</td>' for text in texts)
        + "</tr>"
        for name, *texts in escaped
    ]
    title = html.escape(table.title.removeprefix("published: "))
    sources = "".join(f"<li>{html.escape(note)}</li>" for note in table.notes)
    return f'<h3>{title}</h3>{table_of(heads, rows, f"Published results: {title}")}<ul class="note">{sources}</ul>'
