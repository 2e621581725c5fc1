"""The content of the page of `deblurzoo compare`."""

import html
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from deblurzoo.errors import DeblurzooError
from deblurzoo.media.images import read_image, write_png
from deblurzoo.reports.gather import Failure
from deblurzoo.reports.page import write_page
from deblurzoo.reports.page.figures import read_curves, thin
from deblurzoo.reports.page.types import networks
from deblurzoo.reports.views import published
from reports.pages import EVIL, HEIGHT, PICTURED, WIDTH, evaluation, flat, write_page_with_another_metric


class Elements(HTMLParser):
    """The tags of a page with their attributes, and its text outside scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] not in ("script", "style"):
            self.text += data


def data_of(page: Path) -> Any:
    _, _, rest = page.read_text().partition('<script type="application/json" id="data">')
    return json.loads(rest.partition("</script>")[0])


def test_names_are_text(page: Path) -> None:
    elements = Elements(page.read_text())
    assert EVIL in elements.text
    assert "broken <b>run</b>" in elements.text
    assert "b" not in [tag for tag, _ in elements.tags]
    assert not [attributes for _, attributes in elements.tags if "onerror" in attributes]
    assert data_of(page)["groups"][0]["networks"][1]["name"] == EVIL


def test_nothing_is_loaded_from_elsewhere(page: Path) -> None:
    for tag, attributes in Elements(page.read_text()).tags:
        for name in ("src", "href", "srcset", "data", "action"):
            assert not (attributes.get(name) or "").startswith(("http:", "https:", "//")), (tag, attributes)
    for url in data_of(page)["pictures"].values():
        assert (page.parent / unquote(url)).is_file()


def test_table_has_figures_failures_and_the_paper(page: Path) -> None:
    text = Elements(page.read_text()).text
    assert "blurry input" in text and "25.00" in text
    assert "30.00 (31.50)" in text and "0.8571 (0.9000)" in text
    assert "3,000,000" in text and "+6.00" in text
    assert "data.root=/nowhere does not exist & more" in text
    assert "3 evaluations, 1 set of conditions, runs without a result: 1 failed" in text


def test_conditions_do_not_share_a_table(tmp_path: Path) -> None:
    evaluations = [
        evaluation(tmp_path, "one", 30.0),
        evaluation(tmp_path, "two", 30.5),
        evaluation(tmp_path, "two", 31.0, blur="blur_gamma"),
    ]
    write_page(evaluations, [Failure("late", "killed")], tmp_path / "page.html", inline_pictures=False)
    groups = data_of(tmp_path / "page.html")["groups"]
    assert [[network["name"] for network in group["networks"]] for group in groups] == [["one", "two"], ["two"]]
    assert groups[0]["networks"][1] == groups[1]["networks"][0], "a network has one number and colour in all sections"
    tables = (tmp_path / "page.html").read_text().split('<table class="results">')[1:]
    assert ["killed" in part.partition("</table>")[0] for part in tables] == [*[False] * 3, True, False, False]


def test_networks_by_data_sets(field: Path) -> None:
    tables = dict(re.findall(r'<div data-metric="(\w+)"(.*?)</table>', field.read_text()))
    assert list(tables) == ["psnr", "ssim", "ssim_matlab3d", "mae"]
    assert [" hidden>" in table[:8] for table in tables.values()] == [False, True, True, True]
    rows = [re.findall(r"<td.*?>(.*?)</td>", row) for row in tables["psnr"].split("<tr")[2:]]
    assert rows == [
        ["25.00", "25.00", "25.00"],
        ["<u>30.00</u>", "<b>28.00</b>", "<u>29.00</u>"],
        ["<b>30.50</b>", "<b>28.00</b>", "27.00"],
        ["29.00", "<u>27.00</u>", "<b>31.00</b>"],
    ], "values that are equal as shown are both the best"
    assert "PSNR (dB) by data set" in tables["psnr"]


def test_published_results_follow_the_evaluations(tmp_path: Path) -> None:
    one = evaluation(tmp_path, "one")
    tables = published([one.results.model_copy(update={"dataset": name}) for name in ("hide", "realblur_j")])
    assert len(tables) == 4
    tables[0].rows[0][0] = EVIL
    write_page([one], [], tmp_path / "page.html", inline_pictures=False, published=tables)
    text = (tmp_path / "page.html").read_text()
    before, _, after = text.partition('<section class="group published">')
    assert "Restormer" not in before and EVIL not in text and html.escape(EVIL) in after
    shown = re.findall(r"<h3>(.*?)</h3>.*?<tbody>(.*?)</tbody></table></div><ul class=\"note\">(.*?)</ul>", after)
    assert [f"published: {title}" for title, *_ in shown] == [table.title for table in tables]
    for table, (_, rows, sources) in zip(tables, shown, strict=True):
        cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows.split("<tr>")[1:]]
        assert [[html.unescape(cell) for cell in row] for row in cells] == table.rows
        assert list(map(html.unescape, re.findall(r"<li>(.*?)</li>", sources))) == table.notes
    write_page([one], [], tmp_path / "page.html", inline_pictures=False)
    assert "Published results" not in (tmp_path / "page.html").read_text()


def test_pictures_are_the_thirds_of_strips_and_the_restored_ones(page: Path) -> None:
    data = data_of(page)
    frames = data["groups"][0]["frames"]
    assert [frame["id"] for frame in frames] == ["/".join(frame) for frame in PICTURED]
    layers = [frames[0]["blurry"], frames[0]["sharp"], *frames[0]["restored"]]
    pictures = [read_image(page.parent / unquote(data["pictures"][key])) for key in layers]
    assert [int(picture.mean()) for picture in pictures] == [40, 200, 150, 149, 151]
    assert {picture.shape for picture in pictures} == {(HEIGHT, WIDTH, 3)}


def test_inlined_pictures_need_no_files_and_stale_ones_go(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "page & more_files"
    assert len(list(folder.iterdir())) == 5
    (folder / "mine.png").write_bytes(b"")
    write_page([evaluation(tmp_path, "other", 20.0)], [], page, inline_pictures=True)
    assert [path.name for path in folder.iterdir()] == ["mine.png"]
    assert all(url.startswith("data:image/png;base64,") for url in data_of(page)["pictures"].values())


def test_an_unreadable_strip_leaves_the_earlier_page(page: Path, tmp_path: Path) -> None:
    before = page.read_bytes()
    broken = evaluation(tmp_path, "broken", 20.0)
    write_png(broken.folder / "side_by_side" / "clip_a_000000.png", flat(0)[:, :-1])
    with pytest.raises(DeblurzooError, match="not a blurry"):
        write_page([broken], [], page, inline_pictures=False)
    assert page.read_bytes() == before
    assert not list(tmp_path.glob("*.tmp"))


def test_without_evaluations_the_page_has_the_failures(tmp_path: Path) -> None:
    write_page([], [Failure("late", "killed")], tmp_path / "page.html", inline_pictures=False)
    assert "killed" in Elements((tmp_path / "page.html").read_text()).text


def test_curves_of_resumed_and_killed_runs(tmp_path: Path) -> None:
    for version, rows in {2: "1,0.5,\n2,0.4,\n2,,30\n", 10: "2,0.3,\n3,nan,\n4,0.2,31\n5,0."}.items():
        folder = tmp_path / "csv" / f"version_{version}"
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text(f"step,train/loss,val/psnr\n{rows}")
    curves = read_curves(tmp_path)
    assert curves["train/loss"] == [(1, 0.5), (2, 0.3), (4, 0.2), (5, 0.0)]
    assert curves["val/psnr"] == [(2, 30), (4, 31)]
    assert read_curves(None) == read_curves(tmp_path / "nothing") == {"val/psnr": [], "train/loss": [], "compute": []}
    assert thin([(step, float(step)) for step in range(1, 7)], most=3) == [(2, 1.5), (4, 3.5), (6, 5.5)]


def test_figures_of_gain_by_blur_and_of_compute(page: Path) -> None:
    drawn = data_of(page)["groups"][0]["figures"]
    blur, compute = drawn["blur"], drawn["compute"]
    assert [trace["network"] for trace in blur["data"]] == [trace["network"] for trace in compute["data"]] == [1, 2, 3]
    middle, *_, best = blur["data"]
    assert len(middle["x"]) == len(middle["y"]) == len(middle["error_y"]["array"]) == 7
    assert middle["y"][0] == pytest.approx(10 * math.log10(90 / 60)), "lengths 1 to 2 pixels: one tile of one clip"
    assert set(middle["error_y"]["array"]) == {0.0} and middle["text"][0] == "1 to 2 pixels, 1 tiles, clips: 1"
    assert min(b - a for a, b in zip(middle["x"], best["x"], strict=True)) > 0, "intervals do not cover each other"
    assert compute["data"][0]["x"] == [30 * step for step in range(1, 6)]


def test_equal_names_stay_apart(tmp_path: Path) -> None:
    twins = [evaluation(tmp_path, "net", 30.0), evaluation(tmp_path, "net", 31.0)]
    assert [network.name for network in networks(twins, {})] == ["net", "net (2)"]


def test_another_metric_has_a_column_and_pairs_left_out_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = write_page_with_another_metric(tmp_path, monkeypatch).read_text()
    elements = Elements(page)
    assert "Error <i> (levels)" in elements.text and "i" not in [tag for tag, _ in elements.tags]
    assert '<td data-value="4.0">4.000</td>' in page and '<td data-value=""></td>' in page and "<td>9.000</td>" in page
    assert (
        "7 pairs with identical blurry and sharp images (clip_b/0, clip_b/1, clip_b/2, clip_b/3, clip_b/4 and" in page
    )
    (group,) = data_of(tmp_path / "page.html")["groups"]
    assert [metric["higher"] for metric in group["metrics"]] == [True, True, True, False]
    assert group["images"][0]["blurry"] == [25.0, 0.7, 0.8, 9.0]
    assert [figures[3] for figures in group["images"][0]["restored"]] == [None, 4.0, 3.0]
