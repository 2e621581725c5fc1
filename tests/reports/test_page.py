"""The page of `deblurzoo compare`: its content, and its behaviour in Chromium."""

import html
import io
import json
import math
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from PIL import Image

from deblurzoo.errors import DeblurzooError
from deblurzoo.media.images import read_image, write_png
from deblurzoo.metrics import METRICS, Metric
from deblurzoo.reports.differences import difference
from deblurzoo.reports.gather import Failure
from deblurzoo.reports.page import Evaluation, write_page
from deblurzoo.reports.page.figures import read_curves, thin
from deblurzoo.reports.page.types import networks
from deblurzoo.reports.results import Checkpoint, Facts, Measured, Network, Results, Tiles
from deblurzoo.reports.views import published

EVIL = '<script>alert("x")</script>&<img src=x onerror=alert(1)>'
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HEIGHT, WIDTH = 96, 144
FRAMES = [("clip_a", f"{number:06d}") for number in range(6)]
PICTURED = FRAMES[::3]


def evaluation(
    folder: Path,
    name: str,
    psnr: float = 30.0,
    size: int = 1000,
    blur: str = "blur",
    paper: dict[str, float] | None = None,
    more: dict[str, float] | None = None,
) -> Evaluation:
    """Write a run folder with training curves, results and images, as training and evaluation do."""
    run = folder / f"run_{psnr}"
    out = run / "evaluate" / blur
    (run / "csv" / "version_0").mkdir(parents=True, exist_ok=True)
    lines = [f"{step},{0.01 / step},,{psnr * step},\n{step},,{psnr - 1 / step},," for step in range(1, 6)]
    lines = ["step,train/loss,val/psnr,train/tflop,other", *lines, ""]
    (run / "csv" / "version_0" / "metrics.csv").write_text("\n".join(lines))
    means = {"psnr": psnr, "ssim": psnr / 40, "ssim_matlab3d": psnr / 35, **(more or {})}
    before = {"psnr": 25.0, "ssim": 0.7, "ssim_matlab3d": 0.8, **dict.fromkeys(more or {}, 9.0)}
    images = [
        Measured(clip=clip, frame=frame, height=HEIGHT, width=WIDTH, ms=size / 100, blurry=before,
                 restored={**means, "psnr": psnr + (-1) ** n * n / 4},
                 tiles=Tiles(length=[n + 1.0, 2 * n + 3.0], blurry=[90.0, 110.0], restored=[60.0, 110 + n - psnr]))
        for n, (clip, frame) in enumerate(FRAMES)
    ]  # fmt: skip
    results = Results.of(facts(name, size, blur), images)
    results.restored, results.gain_db, results.do_no_harm_psnr = means, psnr - 25, psnr + 5
    out.mkdir(parents=True)
    (out / "results.json").write_bytes(results.as_json())
    for clip, frame in FRAMES:
        write_png(out / "restored" / clip / f"{frame}.png", flat(120 + int(psnr)))
    for clip, frame in PICTURED:
        write_png(out / "side_by_side" / f"{clip}_{frame}.png", np.concatenate([flat(40), flat(90), flat(200)], axis=1))
    return Evaluation(name, run, out, results, paper or {})


def facts(name: str, size: int = 1000, blur: str = "blur") -> Facts:
    """Return the facts of an evaluation of the toy data."""
    config = {"data": {}, "trainer": {"precision": "32-true"}, "switch": None, "rounding": "nearest"}
    network = Network.model_validate({"class": "SRN", "arguments": {}, "parameters": size})
    return Facts(
        name=name,
        network=network,
        checkpoint=Checkpoint(file="run/checkpoints/step_00000005.ckpt", step=5, sha256="0"),
        dataset="toy",
        protocol="toy",
        split="test",
        blur_folder=blur,
        rounding="uint8, nearest",
        deblurzoo="0.1.0",
        config=config,
    )


def flat(value: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.full((HEIGHT, WIDTH, 3), value, np.uint8)


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


@pytest.fixture
def page(tmp_path: Path) -> Path:
    evaluations = [
        evaluation(tmp_path, "middle", 30.0, 2_000, paper={"psnr": 31.5, "ssim_matlab3d": 0.9}),
        evaluation(tmp_path, EVIL, 29.98, 1_990),
        evaluation(tmp_path, "best_of_the_three.with-a_rather.long-name", 31.0, 3_000_000),
    ]
    failures = [Failure("broken <b>run</b>", "data.root=/nowhere does not exist & more")]
    write_page(evaluations, failures, tmp_path / "page & more.html", inline_pictures=False)
    return tmp_path / "page & more.html"


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


FIELD = {"first": (30.0, 28.0, 29.0), "second": (30.5, 28.004, 27.0), "third": (29.0, 27.0, 31.0)}
"""PSNR of three networks on three data sets."""


@pytest.fixture
def field(tmp_path: Path) -> Path:
    """The page of three networks on three data sets."""
    evaluations = [
        evaluation(tmp_path / f"{name}_{blur}", name, value, 1000, blur, more={"mae": 40 - value})
        for name, values in FIELD.items()
        for blur, value in zip("abc", values, strict=True)
    ]
    write_page(evaluations, [], tmp_path / "page.html", inline_pictures=False)
    return tmp_path / "page.html"


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


def write_page_with_another_metric(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a page of three networks, two of them measured by a metric for which lower is better."""
    metric = Metric("Error <i>", 3, "levels", False, lambda image, sharp: 0.0)
    monkeypatch.setitem(METRICS, "mae", metric)
    evaluations = [
        evaluation(folder, "without", 31.0),
        evaluation(folder, "worse", 30.5, more={"mae": 4.0}),
        evaluation(folder, "better", 30.0, more={"mae": 3.0}),
    ]
    evaluations[1].results.nothing_to_restore = [f"clip_b/{number}" for number in range(7)]
    write_page(evaluations, [], folder / "page.html", inline_pictures=True)
    return folder / "page.html"


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


# ---- in a browser -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not in PATH: install it, e.g. apt-get install chromium")
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: install the dev extra")
    with sync.sync_playwright() as playwright:
        # Chromium's sandbox does not run as root, e.g. in containers; the page is trusted.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def width() -> int:
    return 1280


both_widths = pytest.mark.parametrize("width", [1280, 400])


@pytest.fixture
def tab(chromium: Any, page: Path, width: int) -> Iterator[Any]:
    """The page in an offline window; fails on console messages, errors, dialogs and network requests."""
    context = chromium.new_context(viewport={"width": width, "height": 900}, offline=True)
    context.set_default_timeout(120_000)  # ms; on a busy machine a page loads slowly
    tab = context.new_page()
    complaints: list[str] = []
    tab.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
    tab.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else complaints.append(r.url))
    tab.on("requestfailed", lambda failed: complaints.append(f"failed: {failed.url}"))
    tab.goto(page.as_uri())
    tab.wait_for_selector("html[data-ready=true]", state="attached")
    yield tab
    context.close()
    assert not complaints


def names(tab: Any) -> list[str]:
    found: list[str] = tab.locator(".results tbody th .name").all_inner_texts()
    return [name.split("\n")[-1][:6] for name in found]


def colour_at(tab: Any, x: float, y: float) -> int:
    """Return the red channel of the stage at fractions of its width and height."""
    shot = Image.open(io.BytesIO(tab.locator(".stage").screenshot())).convert("RGB")
    red: int = np.asarray(shot)[int(y * shot.height), int(x * shot.width), 0]
    return int(red)


def until(tab: Any, condition: str) -> None:
    """Wait for a condition; playwright's `wait_for_function` needs eval, which the page forbids."""
    for _ in range(100):
        if tab.evaluate(condition):
            return
        tab.wait_for_timeout(50)
    pytest.fail(f"false after 5 s: {condition}")


def split(tab: Any, percent: int) -> None:
    tab.locator("[data-choice=split]").fill(str(percent))


def transforms(tab: Any) -> list[str]:
    found: list[str] = tab.evaluate("[...document.querySelectorAll('.world')].map(w => getComputedStyle(w).transform)")
    return found


@both_widths
def test_no_horizontal_overflow_and_no_cut_words(tab: Any) -> None:
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    cut = """[...document.querySelectorAll('h1,h2,h3,h4,p,dd,figcaption,.legend button,.tag,li,.thumbs span,label')]
        .filter(e => e.offsetParent && (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline'
            || e.getBoundingClientRect().right > innerWidth))
        .map(e => e.outerHTML)"""
    assert tab.evaluate(cut) == []


@both_widths
def test_figures_are_drawn_and_labels_do_not_overlap(tab: Any) -> None:
    assert tab.locator(".figures .main-svg").count() >= 4
    boxes = """[...document.querySelectorAll('[data-figure]')].map(f => [...f.querySelectorAll('.annotation .bg')]
        .filter(b => b.style.fill !== 'rgb(0, 0, 0)').map(b => b.getBoundingClientRect())
        .map(b => [b.left, b.top, b.right, b.bottom]))"""
    for figure in tab.evaluate(boxes):
        assert len(figure) >= 3
        for index, a in enumerate(figure):
            for b in figure[:index]:
                assert a[0] >= b[2] - 1 or b[0] >= a[2] - 1 or a[1] >= b[3] - 1 or b[1] >= a[3] - 1, (a, b)


def test_sorting_by_click_and_enter(tab: Any) -> None:
    assert names(tab) == ["blurry", "middle", "<scrip", "best_o", "broken"]
    psnr = tab.get_by_role("button", name="PSNR (dB)")
    psnr.click()
    assert names(tab) == ["blurry", "best_o", "middle", "<scrip", "broken"]
    psnr.press("Enter")
    assert names(tab) == ["blurry", "<scrip", "middle", "best_o", "broken"]
    assert tab.locator("th[aria-sort=ascending]").inner_text().startswith("PSNR")
    tab.get_by_role("button", name="network", exact=True).press("Enter")
    assert names(tab) == ["blurry", "<scrip", "best_o", "middle", "broken"]
    assert tab.locator("th[aria-sort=ascending]").count() == 1


def test_figures_follow_the_window(tab: Any) -> None:
    tab.set_viewport_size({"width": 400, "height": 900})
    until(tab, "[...document.querySelectorAll('.main-svg')].every(svg => svg.getBoundingClientRect().width < 400)")
    sizes = (
        "[...document.querySelectorAll('.plot')].map(p => [p, p.querySelector('.main-svg')]).map(pair => pair.map(%s))"
    )
    for outer, inner in tab.evaluate(sizes % "e => e.getBoundingClientRect().height"):
        assert outer >= 250 and abs(outer - inner) <= 1
    for outer, inner in tab.evaluate(sizes % "e => e.getBoundingClientRect().width"):
        assert abs(outer - inner) <= 1


def test_a_network_can_be_hidden_in_figures(tab: Any) -> None:
    lines = tab.locator("[data-figure=val] .scatterlayer .trace")
    before = lines.count()
    tab.locator(".legend button").first.click()
    assert (before, lines.count()) == (3, 2)


@both_widths
def test_the_slider_reveals_the_other_picture(tab: Any) -> None:
    assert (colour_at(tab, 0.25, 0.4), colour_at(tab, 0.75, 0.4)) == (40, 151)
    split(tab, 90)
    assert (colour_at(tab, 0.25, 0.4), colour_at(tab, 0.75, 0.4)) == (40, 40)
    slider = tab.locator("[data-choice=split]")
    slider.focus()
    for _ in range(5):
        slider.press("ArrowLeft")
    assert slider.input_value() == "85"
    tab.locator(".stage").press("ArrowRight")
    assert slider.input_value() == "87"
    split(tab, 10)
    assert (colour_at(tab, 0.25, 0.4), colour_at(tab, 0.75, 0.4)) == (151, 151)


def test_the_divider_can_be_dragged(tab: Any) -> None:
    tab.locator(".stage").scroll_into_view_if_needed()
    box = tab.locator(".stage").bounding_box()
    middle = box["y"] + box["height"] / 2
    tab.mouse.move(box["x"] + box["width"] / 2, middle)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * 0.8, middle, steps=4)
    tab.mouse.up()
    assert 78 <= int(tab.locator("[data-choice=split]").input_value()) <= 82
    assert transforms(tab)[0] == "matrix(1, 0, 0, 1, 0, 0)", "the image does not move"


@both_widths
def test_zoom_and_pan_stay_in_step(tab: Any) -> None:
    stage = tab.locator(".stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    tab.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.2)
    tab.mouse.wheel(0, -700)
    until(tab, "document.querySelector('output').textContent !== '100 %'")
    zoomed = transforms(tab)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * 0.15, box["y"] + box["height"] * 0.15, steps=3)
    tab.mouse.up()
    moved = transforms(tab)
    assert zoomed[0] == zoomed[1] != moved[0] == moved[1]
    stage.press("Shift+ArrowRight")
    stage.press("+")
    again = transforms(tab)
    assert again[0] == again[1] != moved[0]
    stage.dblclick(position={"x": 5, "y": box["height"] - 5})
    assert transforms(tab) == ["matrix(1, 0, 0, 1, 0, 0)"] * 2
    tab.get_by_role("button", name="Zoom in").press("Enter")
    assert transforms(tab)[0] == transforms(tab)[1] != "matrix(1, 0, 0, 1, 0, 0)"


def test_error_map_is_four_times_the_difference(tab: Any) -> None:
    tab.locator("[data-choice=left]").select_option("sharp")
    tab.locator("[data-choice=error]").check()
    assert (colour_at(tab, 0.25, 0.4), colour_at(tab, 0.75, 0.4)) == (0, 4 * (200 - 151))


def test_per_image_differences_follow_the_choice(tab: Any) -> None:
    tab.locator("[data-choice=first]").select_option("blurry")
    tab.locator("[data-choice=second]").select_option("0")
    few = "over 1 clip: +4.88 dB, too few clips for an interval."
    assert said(tab) == f"middle is better than blurry input on 6 of 6 images; mean difference {few}"
    items = tab.locator(".extremes li").all_inner_texts()
    assert items[0].startswith("clip_a/000004: +6.00") and items[3].startswith("clip_a/000005: +3.75")
    tab.locator("[data-choice=second]").select_option("blurry")
    assert "blurry input is better than middle on 0 of 6 images" in said(tab)
    assert tab.locator(".bars .bars .point").count() == 6
    tab.get_by_role("button", name="Open in the viewer").first.click()
    assert tab.locator("[data-choice=left]").input_value() == "0"
    assert tab.locator(".stage").evaluate("stage => stage === document.activeElement")


def test_differences_have_the_interval_of_students_t(chromium: Any, tmp_path: Path) -> None:
    steps = {"A": [0.0] * 7, "B": [0.5, 0.7, 0.4, 0.9, 0.6, 0.2, 0.8]}
    evaluations = []
    for name, values in steps.items():
        images = [
            Measured(clip=f"clip{n}", frame=frame, height=64, width=64, ms=1.0, blurry={"psnr": 25.0},
                     restored={"psnr": 30.0 + n + step})
            for n, step in enumerate(values) for frame in ("1", "2")
        ]  # fmt: skip
        evaluations.append(Evaluation(name, None, tmp_path, Results.of(facts(name), images), {}))
    write_page(evaluations, [], tmp_path / "page.html", inline_pictures=False)
    tab = chromium.new_page()
    tab.goto((tmp_path / "page.html").as_uri())
    tab.wait_for_selector("html[data-ready=true]", state="attached")
    found = difference(evaluations[0].results, evaluations[1].results, "psnr")
    assert found and found.margin and found.clips == 7
    low, high = (f"{found.mean + sign * found.margin:+.2f} dB" for sign in (-1, 1))
    assert said(tab).endswith(f"over 7 clips: {found.mean:+.2f} dB, 95 % interval {low} to {high}.")
    tab.close()


def test_the_metric_of_networks_by_data_sets_is_chosen(chromium: Any, field: Path) -> None:
    tab = chromium.new_page()
    tab.goto(field.as_uri())
    tab.wait_for_selector("html[data-ready=true]", state="attached")
    overview = tab.locator(".overview")
    shown = overview.locator("[data-metric]:visible")
    assert shown.locator("th[scope=col]").all_inner_texts() == ["network", "toy a", "toy b", "toy c"]
    shown.get_by_role("button", name="toy b").click()
    assert "third" in shown.locator("tbody tr").last.inner_text()
    overview.locator("select").select_option("mae")
    assert shown.get_attribute("data-metric") == "mae"
    tab.close()
    for width in (1280, 400):
        tab = chromium.new_page(viewport={"width": width, "height": 900})
        tab.goto(field.as_uri())
        tab.wait_for_selector("html[data-ready=true]", state="attached")
        assert not tab.evaluate("document.documentElement.scrollWidth > innerWidth")
        tab.close()


def test_published_results_are_sorted_and_fit_the_page(chromium: Any, tmp_path: Path) -> None:
    one = evaluation(tmp_path, "one")
    tables = published([one.results.model_copy(update={"dataset": name}) for name in ("gopro", "realblur_j")])
    write_page([one], [], tmp_path / "page.html", inline_pictures=False, published=tables)
    for width in (1280, 400):
        tab = chromium.new_page(viewport={"width": width, "height": 900})
        tab.goto((tmp_path / "page.html").as_uri())
        tab.wait_for_selector("html[data-ready=true]", state="attached")
        table = tab.locator(".published table").first
        table.get_by_role("button", name="PSNR").click()
        values = [float(text) for text in table.locator("td:nth-child(4)").all_inner_texts()]
        assert values == sorted(values, reverse=True) and len(values) == len(tables[0].rows)
        assert not tab.evaluate("document.documentElement.scrollWidth > innerWidth")
        tab.close()


def test_all_columns_of_a_table_are_seen(chromium: Any, tmp_path: Path) -> None:
    one = evaluation(tmp_path / "one", "one", 30.0, 1000, "blur", more={"warping": 8.5})
    write_page([one], [], tmp_path / "page.html", inline_pictures=False)
    tab = chromium.new_page(viewport={"width": 1280, "height": 900})
    tab.goto((tmp_path / "page.html").as_uri())
    tab.wait_for_selector("html[data-ready=true]", state="attached")
    assert "warping error" in tab.locator(".results thead").inner_text()
    assert tab.evaluate("document.querySelector('.results').getBoundingClientRect().right <= innerWidth")
    tab.close()


def test_the_page_follows_the_direction_of_a_metric(
    chromium: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab = chromium.new_page()
    tab.goto(write_page_with_another_metric(tmp_path, monkeypatch).as_uri())
    tab.wait_for_selector("html[data-ready=true]", state="attached")
    heading = tab.get_by_role("button", name="Error <i> (levels)")
    heading.click()
    assert names(tab) == ["blurry", "better", "worse", "withou"], "best value first, missing value last"
    heading.click()
    assert names(tab) == ["blurry", "worse", "better", "withou"]
    tab.locator("[data-choice=first]").select_option("1")
    tab.locator("[data-choice=second]").select_option("2")
    tab.locator("[data-choice=metric]").select_option("Error <i>")
    few = "mean difference over 1 clip: {}, too few clips for an interval."
    assert said(tab) == "better is better than worse on 6 of 6 images; " + few.format("-1.000 levels")
    assert spaced(tab.locator(".extremes li").first) == "clip_a/000000: -1.000 levels (4.000 → 3.000)"
    assert spaced(tab.locator(".tag.left")) == "blurry input · 9.000 levels"
    assert spaced(tab.locator(".bars .ytitle")) == "Error <i> difference (levels)"
    tab.locator("[data-choice=metric]").select_option("PSNR")
    assert said(tab) == "better is better than worse on 0 of 6 images; " + few.format("-0.50 dB")
    tab.close()


def said(tab: Any) -> str:
    return spaced(tab.locator(".verdict"))


def spaced(place: Any) -> str:
    text: str = place.text_content()
    return text.replace("\xa0", " ").replace("\N{MINUS SIGN}", "-")


def test_a_page_without_curves_and_pictures(chromium: Any, tmp_path: Path) -> None:
    whole = evaluation(tmp_path, "bare", 30.0)
    shutil.rmtree(whole.folder)
    write_page([replace(whole, run=None)], [], tmp_path / "page.html", inline_pictures=True)
    tab = chromium.new_page()
    errors: list[str] = []
    tab.on("console", lambda message: errors.append(message.text))
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto((tmp_path / "page.html").as_uri())
    tab.wait_for_selector("html[data-ready=true]", state="attached")
    assert [box.is_visible() for box in tab.locator("[data-figure]").all()] == [False, False, True, True, True, False]
    assert not tab.locator(".viewer").is_visible()
    assert "bare is better than blurry input on 6 of 6 images" in tab.locator(".verdict").inner_text()
    tab.close()
    assert not errors


def test_focus_is_visible(tab: Any) -> None:
    tab.keyboard.press("Tab")
    tab.keyboard.press("Tab")
    outline = tab.evaluate("[document.activeElement.tagName, getComputedStyle(document.activeElement).outlineStyle]")
    assert outline == ["BUTTON", "solid"]
