"""Write `docs/results.md` from the files that finished jobs left in `study/`: `python study/report.py`.

Also write `scores.json` and the model card of each network that is part of deblurzoo.
"""

import csv
from collections.abc import Iterator, Sequence

from cards import card, score_table, scores
from ideas import OF_IDEAS, TITLES, idea_rows, slow_controls, spread_of_seeds, summary_rows
from kept import (
    BATCH,
    HIGH,
    LOW,
    RECIPE,
    TESTS,
    blur_table,
    gain,
    hours,
    in_words,
    kept,
    least_unharmed,
    table,
    validations,
    value_of,
)
from trainings import FOLDERS, HERE, NETWORKS, PARTS, REGIME, WORTH, learnability, longer, study, weights

from deblurzoo import shipped
from deblurzoo.commands.weights import SCORES
from deblurzoo.errors import as_program
from deblurzoo.files import write_atomically
from deblurzoo.reports.results import Results

PAGE = HERE.parent / "docs" / "results.md"
ENOUGH = 1.0
"""Gain in dB by which a regime counts as learned."""
FILTERS = {
    "one": "the best filter of all images",
    "each": "the best filter of each image, which knows its sharp image",
}
"""Linear filters of 9x9 pixels, fitted by least squares."""
OF_NETWORKS = ("network", "parameters", "tera multiply-adds", "CPU hours", *TESTS.values(), "sharp images, restored")
"""Headings of `network_rows`."""


def learnability_rows() -> list[list[str]]:
    """Return a row for each finished job of the learnability table."""
    rows = []
    for name, job in learnability().items():
        metrics = HERE / "learnability" / name / "metrics.csv"
        if not metrics.exists():
            continue
        found = validations(metrics)[-1]
        low, high = value_of(job, "data.length", "").strip("[]").split(",")
        side = value_of(job, "data.shorter_side", "").replace("null", "as they are")
        crop = value_of(job, "datamodule.augmentation.crop", RECIPE["datamodule"]["augmentation"]["crop"])
        rows.append(
            [
                *(value_of(job, "model", ""), f"{low} to {high}", side),
                "no" if value_of(job, "data.objects", "2") == "0" else "yes",
                *(loss_of(job), value_of(job, "model.optimizer.eps", "1e-8"), f"{BATCH * found.step:,} of {crop}"),
                *(f"{found.psnr - found.gain:.2f}", f"{found.gain:+.2f}", f"{found.tflop:.1f}"),
            ]
        )
    return rows


def loss_of(job: Sequence[str]) -> str:
    """Return the losses of a job, with their weights if they are not 1."""
    weights: dict[str, float] = dict(RECIPE["model"]["loss"])
    for word in job:
        name, _, weight = word.partition("model.loss.")[2].partition("=")
        if word.startswith("~model.loss."):
            del weights[name]
        elif name:
            weights[name] = float(weight)
    return " + ".join(name if weight == 1 else f"{weight:,g} {name}" for name, weight in weights.items())


def filter_rows() -> Iterator[list[str]]:
    """Yield a row for each linear filter, with the columns of `network_rows`."""
    for name, text in FILTERS.items():
        results = kept("filters", name)
        yield [text, "81", "", "", *(in_words(gain(results[test])) for test in TESTS), ""]


def network_rows(part: str) -> Iterator[list[str]]:
    """Yield a row for each finished job of a part."""
    for name in PARTS[part]():
        if results := kept(part, name):
            folder = HERE / FOLDERS[part] / name
            found = validations(folder / "metrics.csv")[-1]
            first = results["kodak"]
            yield [
                *(
                    name.replace("_", " "),
                    f"{first.network.parameters:,}",
                    f"{found.tflop:.1f}",
                    f"{hours(folder / 'hours.json'):.2f}",
                ),
                *(in_words(gain(results[test])) if test in results else "" for test in TESTS),
                f"{least_unharmed(results.values()):.1f}",
            ]


def curve_table(part: str) -> str:
    """Return a table of the gain on the validation photos at every validation of each finished job of a part."""
    found = {
        name: validations(metrics)
        for name in PARTS[part]()
        if (metrics := HERE / FOLDERS[part] / name / "metrics.csv").exists()
    }
    steps = [one.step for one in max(found.values(), key=len, default=[])]
    rows = [[name.replace("_", " "), *(f"{one.gain:+.3f}" for one in curve)] for name, curve in found.items()]
    return table(["network", *(f"{BATCH * step:,} crops" for step in steps)], rows)


def page() -> str:
    """Return the text of the page."""
    return f"""# Results

Written by `python study/report.py` from the files in [study/](../study/README.md), which describes the question, the
networks, the data and the jobs.

{summary_section()}
## In which regime do small networks learn?

{learnability_section()}
## Which ideas help?

{ideas_section()}
## Do the conclusions hold after a longer training?

{longer_section()}
## Gain by blur size

Gain in dB on the tiles of the Kodak images whose blur has about this length, with 95 % intervals over images, after
{crops("study")} crops.

{blur_table({**{text: kept("filters", name)["kodak"] for name, text in FILTERS.items()}, **full_networks("study")})}
## Training on harder data

{weights_section()}
## Networks that are part of deblurzoo

The default of `deblurzoo deblur` must also gain 0.1 dB on a real test, and leave the sharp images of each
test above 40 dB on average.
{f"It is `{shipped.DEFAULT}`." if shipped.DEFAULT else "No network reaches all of this yet."}

{"".join(shipped_section(name) for name in shipped.names()) or "None yet."}"""


def summary_section() -> str:
    """Return the gains of the full networks, the verdicts, and their limits."""
    headings = ("network", "idea", "verdict", "minus control", "minus narrower network", "the same in the paper")
    gains = ", ".join(f"{TITLES[name]} {gain(found).mean:.2f}" for name, found in full_networks("longer").items())
    return f"""## Summary

Four networks of about 0.55 million parameters learned to remove simulated hand shake of {LOW} to {HIGH} pixels from
small photos. After {crops("longer")} crops, they gain on Kodak, in dB over the blurry images:
{gains}.

![gain of the four networks by crops seen, and by length of the blur](pictures/gains.svg)

Left: during the training. Right: after it, with 95 % intervals, without lengths of fewer than 100 tiles.

Which ideas help, beyond size and compute? The network without an idea is trained twice: as narrow as the full network,
and widened to the multiply-adds of the full network (the control). The table shows the PSNR of the full network minus
the PSNR of these networks on 13 Kodak images, in dB, for each seed; in the papers, on GOPRO or DVD.

{table(headings, summary_rows())}
- An idea helps or harms if all differences of two seeds are on the same side of 0, with their 95 % intervals over
  images.
- The intervals contain the choice of images, not the chance of a training. The seeds of a comparison differ by up to
  {spread_of_seeds():.2f} dB, so smaller differences of a single seed may be chance.
- A wide control can learn more slowly than the narrower network. The smaller difference is the safer one.
- These are small networks, short trainings and mild blur. SRN's scales, for example, are meant for longer blur.
- The networks of this comparison harm most real pairs and sharp images, because their training images are always
  blurred by {LOW} to {HIGH} pixels. A network that is trained on [harder data](#training-on-harder-data) gains on most
  real pairs.
"""


def learnability_section() -> str:
    """Return the learnability table, the regime that was chosen from it, and the gain of the filters in this regime."""
    rows = learnability_rows()
    headings = ("network", "blur in pixels", "shorter side", "moving objects", "loss", "Adam's epsilon")
    headings += ("crops seen, and their side", "blurry dB", "gain dB", "tera multiply-adds")
    largest = max(float(row[headings.index("gain dB")]) for row in rows)
    reached = f"The largest gain is {largest:.2f} dB, {'at least' if largest >= ENOUGH else 'less than'} {ENOUGH:g} dB."
    filters = [gain(kept("filters", name, ["validation"])["validation"]).mean for name in FILTERS]
    return f"""Networks of about 0.55 million parameters were trained on 91 photos. The gain is over the blurry
input, on three fixed exposures of each of 20 other photos. Without moving objects, the camera's response is linear;
otherwise, it is drawn from three responses. {len(rows)} of {len(learnability())} jobs are finished.

{table(headings, rows)}
{reached}

The study's regime has the largest gain: blur of {LOW} to {HIGH} pixels, photos with a shorter side of
{REGIME["shorter_side"]} pixels, no moving objects. Two linear filters of 9x9 pixels are the yardstick:

{table(["filter", "gain dB"], [[text, f"{found:+.2f}"] for text, found in zip(FILTERS.values(), filters, strict=True)])}
A network that gains no more than the first filter has learned nothing about the blur of an image.
"""


def ideas_section() -> str:
    """Return the tables of the study: its networks, their curves, and its conclusions."""
    done = list(network_rows("study"))
    slower, controls = slow_controls()
    twice = ("learnability", "srn_still"), (FOLDERS["study"], "srn")
    first, second = (validations(HERE / part / name / "metrics.csv")[-1].gain for part, name in twice)
    return f"""All conclusions hold for this regime and for {crops("study")} crops per network, which is little.
{len(done)} of {len(study())} jobs of the study are finished.

{table(OF_NETWORKS, [*filter_rows(), *done])}
The columns of tests are gains in PSNR over the blurry images, in dB; Kodak's with the 95 % interval over 13 images. The
last column is the lowest PSNR between a sharp image and the image restored from it, in all tests. FlowRNN restores no
single GOPRO frame, because it reads the next frame, too.

The gain on the 20 validation photos during the training, in dB:

{curve_table("study")}
SRN was trained with these settings twice, for the first table of this page and for this one: {first:+.2f} and
{second:+.2f} dB. The first loss counts half of the symmetric spectrum; nothing else differs. Differences of this size
between single trainings may be chance.

An idea helps if the full network is better than its control and than the narrower ablation in two seeds, and if all
intervals are above 0. Each line of a row is a seed.

{table(OF_IDEAS, idea_rows("study"))}
All networks have the same learning rate, which was tuned for none of them. A control can therefore learn more slowly
than the narrower ablation: {slower} of {controls} controls gain less. The full network is better than both if both
differences are positive.

The papers compare the full network with the ablation, after long trainings on GOPRO (FlowRNN: DVD). This difference
includes the effect of size.
"""


def longer_section() -> str:
    """Return the tables of the same networks after a longer training."""
    done = list(network_rows("longer"))
    finals = {
        name: validations(HERE / FOLDERS["longer"] / name / "metrics.csv")[-1] for name in full_networks("longer")
    }
    reached = ", ".join(TITLES[name] for name, final in finals.items() if final.gain >= ENOUGH)
    return f"""The same networks are trained again from scratch, on {crops("longer")} crops.
{len(done)} of {len(longer())} jobs are finished. A gain of {ENOUGH:g} dB on the validation photos, which no network has
after {crops("study")} crops, is reached by the full networks {reached or "none"}.

{table(OF_NETWORKS, done)}
The gain on the 20 validation photos during the training, in dB:

{curve_table("longer")}
{table(OF_IDEAS, idea_rows("longer"))}{flow_error()}
The gain on tiles of the Kodak images, by the length of their blur:

{blur_table(full_networks("longer"))}"""


def flow_error() -> str:
    """Return a paragraph about the error of FlowRNN's flow after the longer training; empty before."""
    file = HERE / FOLDERS["longer"] / "flow_rnn" / "metrics.csv"
    if not file.exists():
        return ""
    with file.open(newline="") as metrics:
        last = [row for row in csv.DictReader(metrics) if row["val/epe"]][-1]
    learned, zero = float(last["val/epe"]), float(last["val/epe_of_zero_flow"])
    return f"""
FlowRNN's flow network starts from random weights, in the paper from a trained FlowNetS. On the validation photos, the
error of its flow is {learned:.1f} pixels, and {zero:.1f} pixels for a flow of 0.
With a flow network that is trained longer, the answer may differ.
"""


def weights_section() -> str:
    """Return the tables of the networks that are trained to become a part of deblurzoo."""
    lengths = {value_of(job, "data.photos.length", "").strip("[]") for job in weights().values()}
    shortest, longest = lengths.pop().split(",")
    return f"""Outside the comparison, networks were trained on {crops("weights")} crops of harder data: blur of
{shortest} to {longest} pixels, moving objects, three camera responses, and frames of a video.

{table(OF_NETWORKS, network_rows("weights"))}
The gain on the validation photos during the training, in dB:

{curve_table("weights")}
A network that gains at least {WORTH:g} dB on Kodak becomes a part of deblurzoo.
"""


def crops(part: str) -> str:
    """Return the number of crops on which each network of a part is trained."""
    (steps,) = {value_of(job, "trainer.max_steps", "") for job in PARTS[part]().values()}
    return f"{BATCH * int(steps):,}"


def full_networks(part: str) -> dict[str, Results]:
    """Return the results on Kodak of the full networks of a part that are finished."""
    return {name: found["kodak"] for name in NETWORKS if (found := kept(part, name))}


def shipped_section(name: str) -> str:
    """Return the section of the page about a network that is part of deblurzoo."""
    found = scores(name)
    card = f"../src/deblurzoo/shipped/{name}/README.md"
    return f"`{name}`: {found.parameters:,} parameters, {found.trained} ([model card]({card})).\n\n{score_table(found)}"


def main() -> None:
    """Write the page, the scores and the cards."""
    for name in shipped.names():
        write_atomically(shipped.FOLDER / name / SCORES, (scores(name).model_dump_json(indent=2) + "\n").encode())
        write_atomically(shipped.FOLDER / name / "README.md", card(name).encode())
    write_atomically(PAGE, page().encode())


if __name__ == "__main__":
    as_program(main)
