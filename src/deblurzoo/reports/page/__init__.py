"""A self-contained HTML page that compares networks: table, curves, per-image differences, viewer.

The page works offline: it contains the style sheet, the script, the plotting library and the plots. Images are
embedded in the page or stored in a folder next to it.
"""

import html
import json
import string
from collections.abc import Sequence
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from deblurzoo.files import files_of, write_atomically
from deblurzoo.metrics import figure
from deblurzoo.reports.differences import FEWEST_CLIPS, quantile
from deblurzoo.reports.gather import Failure, conditions
from deblurzoo.reports.page.figures import figures
from deblurzoo.reports.page.overview import overview, published_section
from deblurzoo.reports.page.pictures import PictureStore, viewer_frames
from deblurzoo.reports.page.table import failed_table, table
from deblurzoo.reports.page.types import Evaluation, Network, networks
from deblurzoo.reports.results import scene
from deblurzoo.reports.table import Table, counts, figure_names, left_out, origins, sizes, subject, versions

__all__ = ["Evaluation", "Network", "sections", "write_page"]


def write_page(
    evaluations: list[Evaluation],
    failures: list[Failure],
    out: Path,
    inline_pictures: bool,
    published: Sequence[Table] = (),
) -> None:
    """Write the page of evaluations and of runs without a result.

    Args:
        evaluations: the evaluations to compare; each set of conditions has a separate section.
        failures: runs without a result, shown as rows with the reason.
        out: path of the page, such as `comparison.html`; images are written to `comparison_files` next to it.
        inline_pictures: whether to embed the images, so that the page is a single file.
        published: tables of published results, which follow the sections of the evaluations.

    Raises:
        DeblurzooError: an image cannot be read or a file cannot be written; an earlier page then stays unchanged.
    """
    store = PictureStore(files_of(out), inline_pictures)
    written, data = [], []
    groups = sections(evaluations)
    for number, group in enumerate(groups):
        written.append(_section(number, group, failures if len(groups) == 1 else []))
        data.append(_data(group, store))
    if failures and len(groups) != 1:
        written.insert(0, f'<section class="group"><h2>Runs without a result</h2>{failed_table(failures)}</section>')
    if len(groups) > 1:
        written.insert(0, overview(groups))
    if published:
        written.append(published_section(published))
    page = _template("page.html").substitute(
        css=_read("page.css"),
        script=_read("page.js"),
        plotly=get_plotlyjs(),
        summary=_summary(groups, failures),
        contents=_contents(groups),
        sections="\n".join(written),
        data=_json({"pictures": store.urls, "groups": data}),
    )
    store.write()
    write_atomically(out, page.encode())
    store.remove_stale()


def sections(evaluations: list[Evaluation]) -> list[list[Network]]:
    """Return a list of comparable networks for each set of conditions."""
    numbers: dict[str, int] = {}
    return [networks(list(group), numbers) for _, group in groupby(sorted(evaluations, key=_key), key=_key)]


def _key(evaluation: Evaluation) -> tuple[str, ...]:
    return conditions(evaluation.results)


def _title(group: list[Network]) -> str:
    results = group[0].results
    return html.escape(f"{subject(results)} · {results.split} · {results.blur_folder}/")


def _conditions_line(group: list[Network]) -> str:
    """Return the conditions of a section, and the origin of its networks, as a description list in HTML."""
    all_results = [network.results for network in group]
    results = all_results[0]
    terms = {
        "protocol": results.protocol,
        "resolution": sizes(results),
        "frames": f"{results.frames:,}",
        "rounding": results.rounding,
        **({"images": results.data.place} if results.data.place else {}),
        **({"excluded": pairs} if (pairs := left_out(all_results)) else {}),
        **({"metrics": "; ".join(lines)} if (lines := versions(all_results)) else {}),
        **({"origin": "; ".join(lines)} if (lines := origins(all_results)) else {}),
    }
    items = (f"<div><dt>{term}</dt><dd>{html.escape(value)}</dd></div>" for term, value in terms.items())
    return f'<dl class="conditions">{"".join(items)}</dl>'


def _section(number: int, group: list[Network], failures: list[Failure]) -> str:
    return _template("section.html").substitute(
        number=number,
        title=_title(group),
        conditions=_conditions_line(group),
        table=table(group, failures, _title(group)),
    )


def _data(group: list[Network], store: PictureStore) -> dict[str, Any]:
    """Return the data of one section for the script."""
    names = figure_names([network.results for network in group])
    return {
        "networks": [{"name": n.name, "colour": n.colour, "ink": n.ink, "number": n.number} for n in group],
        "figures": figures(group),
        "metrics": [_metric(name) for name in names],
        "images": (images := _images(group, names)),
        "quantiles": {n: quantile(n) for n in range(FEWEST_CLIPS, len({image["clip"] for image in images}) + 1)},
        "frames": viewer_frames(group, store),
    }


def _metric(name: str) -> dict[str, Any]:
    shown = figure(name)
    return {"heading": shown.heading, "unit": shown.unit, "digits": shown.digits, "higher": shown.higher_is_better}


def _images(group: list[Network], names: list[str]) -> list[dict[str, Any]]:
    """Return the named metrics of each blurry image and of each network's result for it; None if not measured."""
    measured = [{(i.clip, i.frame): i for i in n.results.images} for n in group]
    clips = {(i.clip, i.frame): scene(n.results, i) for n in group for i in n.results.images}
    images = []
    for key in sorted({key for of in measured for key in of}):
        found = [of.get(key) for of in measured]
        before = {name: value for image in found if image for name, value in image.blurry.items()}
        after = [image.restored if image else {} for image in found]
        images.append(
            {
                "id": "/".join(key),
                "clip": clips[key],
                "blurry": [before.get(name) for name in names],
                "restored": [[values.get(name) for name in names] for values in after],
            }
        )
    return images


def _summary(groups: list[list[Network]], failures: list[Failure]) -> str:
    def count(number: int, noun: str) -> str:
        return f"{number} {noun}{'' if number == 1 else 's'}"

    parts = [count(sum(map(len, groups)), "evaluation"), f"{count(len(groups), 'set')} of conditions"]
    return ", ".join(parts + ([f"runs without a result: {counts(failures)}"] if failures else []))


def _contents(groups: list[list[Network]]) -> str:
    if len(groups) < 2:
        return ""
    links = []
    for number, group in enumerate(groups):
        results = group[0].results
        terms = html.escape(f"protocol {results.protocol}, {sizes(results)}")
        links.append(f'<li><a href="#group-{number}">{_title(group)}, {terms}</a></li>')
    return f'<nav aria-label="Conditions"><ul>{"".join(links)}</ul></nav>'


def _json(data: Any) -> str:
    """Return JSON in which no text can close the script element or open a comment."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _read(name: str) -> str:
    return files("deblurzoo.reports.page").joinpath(name).read_text(encoding="utf-8")


def _template(name: str) -> string.Template:
    return string.Template(_read(name))
