"""The behaviour of the page of `deblurzoo compare` in Chromium."""

import io
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deblurzoo.reports.differences import difference
from deblurzoo.reports.page import Evaluation, write_page
from deblurzoo.reports.results import Measured, Results
from deblurzoo.reports.views import published
from reports.pages import evaluation, facts, write_page_with_another_metric

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


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


def test_labels_of_many_networks_stay_inside_the_figures(chromium: Any, tmp_path: Path) -> None:
    evaluations = [evaluation(tmp_path, f"network {number}", 30 + number / 100) for number in range(24)]
    write_page(evaluations, [], tmp_path / "page.html", inline_pictures=False)
    tab = chromium.new_page(viewport={"width": 1280, "height": 900})
    tab.goto((tmp_path / "page.html").as_uri())
    tab.wait_for_selector("html[data-ready=true]", state="attached")
    for name in ("val", "compute", "loss", "blur"):
        outside = f"""(() => {{
            const figure = document.querySelector('[data-figure={name}]');
            const plot = figure.querySelector('.main-svg').getBoundingClientRect();
            return [...figure.querySelectorAll('.annotation .bg')].map(label => label.getBoundingClientRect())
                .map(b => b.top < plot.top || b.bottom > plot.bottom || b.right > plot.right);
        }})()"""
        assert tab.evaluate(outside) == [False] * 24, name
    tab.close()


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
