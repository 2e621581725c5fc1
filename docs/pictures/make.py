"""Makes the README's pictures from what `make demo` left: a frame, and the page in Chromium. `make pictures`."""

import json
import shutil
from pathlib import Path
from statistics import mean

from PIL import Image
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
TOP = HERE.parents[1]
DEMO = TOP / "runs" / "demo"
NETWORKS = ("srn_toy", "svrnn_toy", "flow_toy")
EVALUATION = "toy_blur_common2"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def make_strip(target: Path) -> None:
    """Write the frame that the networks improve most: blurry, restored by each, sharp."""
    folders = [DEMO / network / "evaluate" / EVALUATION for network in NETWORKS]
    results = [json.loads((folder / "results.json").read_text())["images"] for folder in folders]

    def gain(number: int) -> float:
        return mean(images[number]["restored"]["psnr"] - images[number]["blurry"]["psnr"] for images in results)

    best = results[0][max(range(len(results[0])), key=gain)]
    clip, name = best["clip"], f"{best['frame']}.png"
    test = TOP / "data" / "toy" / "test" / clip
    files = [test / "blur" / name, *(folder / "restored" / clip / name for folder in folders), test / "sharp" / name]
    frames = [Image.open(file) for file in files]
    strip = Image.new("RGB", (sum(frame.width + 4 for frame in frames) - 4, frames[0].height), "white")
    for number, frame in enumerate(frames):
        strip.paste(frame, (number * (frame.width + 4), 0))
    strip.save(target)


def make_page(target: Path) -> None:
    """Open the page at the width that it is made for and write what is seen of it."""
    browser_path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.goto((DEMO / "comparison.html").as_uri())
        tab.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length > 0")
        tab.wait_for_timeout(1000)  # plots are drawn in several steps
        tab.screenshot(path=target, full_page=True)
        browser.close()


if __name__ == "__main__":
    make_strip(HERE / "strip.png")
    make_page(HERE / "comparison.png")
