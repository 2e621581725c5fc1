"""Draw the pictures of the README and the docs from the results of `make demo` and of the study: `make pictures`."""

import json
import shutil
from pathlib import Path
from typing import Any

from architectures import save_all
from gains import gains
from PIL import Image, ImageDraw, ImageFont
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
TOP = HERE.parents[1]
DEMO = TOP / "runs" / "demo"
NETWORKS = {"srn_toy": "SRN", "svrnn_toy": "SVRNN", "flow_toy": "FlowRNN"}
EVALUATION = "toy_blur_common2"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CAPTION, GAP = 30, 4
"""Height of the captions and width between images, in pixels."""


def make_strip(target: Path) -> None:
    """Write a strip of the blurry, restored and sharp image of the frame with the largest gain, with PSNR captions."""

    def gain(image: dict[str, Any]) -> float:
        return float(image["restored"]["psnr"] - image["blurry"]["psnr"])

    network, best = max(
        ((network, image) for network in NETWORKS for image in json.loads(results(network).read_text())["images"]),
        key=lambda found: gain(found[1]),
    )
    clip, name = best["clip"], f"{best['frame']}.png"
    test = TOP / "data" / "toy" / "test" / clip
    restored = results(network).parent / "restored" / clip / name
    panels = {
        f"blurry, {best['blurry']['psnr']:.2f} dB": test / "blur" / name,
        f"restored by {NETWORKS[network]}, {best['restored']['psnr']:.2f} dB": restored,
        "sharp": test / "sharp" / name,
    }
    images = [Image.open(file).resize((448, 320), Image.Resampling.NEAREST) for file in panels.values()]
    strip = Image.new("RGB", (3 * (448 + GAP) - GAP, 320 + CAPTION), "white")
    draw = ImageDraw.Draw(strip)
    for number, (caption, image) in enumerate(zip(panels, images, strict=True)):
        left = number * (448 + GAP)
        strip.paste(image, (left, CAPTION))
        draw.text((left + 224, CAPTION / 2), caption, "black", ImageFont.load_default(18), anchor="mm")
    strip.quantize(256).save(target, optimize=True)


def results(network: str) -> Path:
    """Return the path of the `results.json` of a network of the demo."""
    return DEMO / network / "evaluate" / EVALUATION / "results.json"


def make_page(target: Path) -> None:
    """Write a screenshot of the demo's comparison page, 1280 pixels wide."""
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
    save_all(HERE)
    gains().save(HERE / "gains.svg")
    make_strip(HERE / "strip.png")
    make_page(HERE / "comparison.png")
