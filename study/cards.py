"""Scores and model cards of the networks that are part of deblurzoo."""

from crops import CARD, shown_image
from kept import BATCH, TESTS, blur_table, gain, kept, least_unharmed, table, value_of
from trainings import weights

from deblurzoo import shipped
from deblurzoo.commands.weights import Score, Scores
from deblurzoo.reports.blur_sizes import gain_by_blur
from deblurzoo.reports.results import Results


def scores(name: str) -> Scores:
    """Return the scores of a network that is part of deblurzoo."""
    results = kept("weights", name)
    crops = BATCH * results["kodak"].checkpoint.step
    length = value_of(weights()[name], "data.photos.length", "").strip("[]").replace(",", " to ")
    tests = []
    for test, result in results.items():
        found = gain(result)
        tests.append(
            Score(
                test=TESTS[test],
                images=len(result.images),
                blurry=round(result.blurry["psnr"], 3),
                gain=round(found.mean, 3),
                margin=found.margin and round(found.margin, 3),
                unharmed=round(result.do_no_harm_psnr or 0, 1),
                least_unharmed=round(least_unharmed([result]), 1),
            )
        )
    parameters = results["kodak"].network.parameters or 0
    trained = f"trained on {crops:,} crops with blur of {length} pixels"
    return Scores(parameters=parameters, trained=trained, tests=tests)


def score_table(found: Scores) -> str:
    """Return the scores of a network as a table."""
    headings = (
        "test",
        "images",
        "blurry dB",
        "gain dB",
        "95 % interval over photos",
        "sharp images, restored: dB (lowest)",
    )
    return table(
        headings,
        [
            [
                *(one.test, str(one.images), f"{one.blurry:.2f}", f"{one.gain:+.2f}"),
                "" if one.margin is None else f"{one.gain - one.margin:+.2f} to {one.gain + one.margin:+.2f}",
                f"{one.unharmed:.1f} ({one.least_unharmed:.1f})",
            ]
            for one in found.tests
        ],
    )


def card(name: str) -> str:
    """Return the model card of a network that is part of deblurzoo."""
    found = scores(name)
    results = kept("weights", name)
    first = results["kodak"]
    helpful = [one for one in gain_by_blur(first) if one.interval and one.interval[0] > 0]
    limit = f"It helps up to {helpful[-1].high:g} pixels of blur." if helpful else "It helps at no length of blur."
    tag = "" if name == shipped.DEFAULT else f" --checkpoint {name}"
    return f"""# {name}

{first.network.kind} with {found.parameters:,} parameters, {found.trained}. {limit}

```sh
deblurzoo deblur PHOTO{tag}
```

## Training

- **Data**: 90 % of the crops are of 91 photos under the Unsplash licence, the BSD-2-Clause licence, and free terms
  (`study/README.md` of deblurzoo lists their sources), reduced to a shorter side of 400 pixels and blurred by simulated
  hand shake. 10 % are of one video with 240 frames per second at half resolution (jeffreywolberg/
  deblurring_dataset_generator), in which a blurry image is the mean of 3 or 5 frames.
- **Recipe**: `recipe=study`: L1 and frequency loss, Adam, cosine decay from 1e-3, batches of 8 crops of 64x64 pixels,
  moving average of the weights. Step {first.checkpoint.step:,}. The weights are float16, rounded after the training.
- **Command**: `python study/study.py weights --only {name}`, deblurzoo {first.deblurzoo}.

## Scores

PSNR in dB of 8-bit images. The last column is the mean PSNR between sharp images and the images restored from them, and
the lowest PSNR of an image. Above 40 dB, the difference cannot be seen.

{score_table(found)}
## Gain by blur size

Kodak images, by the length of the blur of each tile of 64x64 pixels; 95 % intervals over images.

{blur_table({"gain dB": first})}
## Images

Blurry | restored | sharp, with the PSNR of the whole image. The largest gain on Kodak, {psnrs("good", results)}:

![Kodak, largest gain](good.jpg)

The smallest gain on Kodak, {psnrs("bad", results)}:

![Kodak, smallest gain](bad.jpg)

A real frame of REDS at half resolution, {psnrs("real", results)}:

![REDS](real.jpg)

## Limits

Longer blur, noise and JPEG artefacts were not part of the training. Photos of 12 megapixels are
softer at the pixel than the training images, and their blur is longer: reduce them first.
"""


def psnrs(picture: str, results: dict[str, Results]) -> str:
    """Return the PSNR of the blurry and of the restored image of a picture of the card, as text."""
    image = shown_image(picture, results[CARD[picture][0]])
    return f"{image.blurry['psnr']:.2f} dB before and {image.restored['psnr']:.2f} dB after"
