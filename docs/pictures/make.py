"""Takes the README's picture of the page that `make demo` ends with, in Chromium: `make picture`."""

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

TOP = Path(__file__).parents[2]
PAGE = TOP / "runs" / "demo" / "comparison.html"
PICTURE = Path(__file__).with_name("comparison.png")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Open the page at the width that it is made for and write what is seen of it."""
    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(PAGE.as_uri())
        tab.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length > 0")
        tab.wait_for_timeout(1000)  # plots are drawn in several steps
        tab.screenshot(path=PICTURE, full_page=True)
        browser.close()
    print(PICTURE.relative_to(TOP))


if __name__ == "__main__":
    main()
