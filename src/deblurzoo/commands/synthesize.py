"""`deblurzoo synthesize`: synthesize training data from videos, folders of frames and photos."""

import argparse
from collections.abc import Callable
from typing import TypeVar

from deblurzoo.commands.options import add_out, at_least
from deblurzoo.errors import few_of
from deblurzoo.files import user_path
from deblurzoo.synthesis.options import CAMERA_GAMMA, Response

EXAMPLES = """examples:
  deblurzoo synthesize 240fps/*.mp4 --out DATA                    like GOPRO: the mean of 11 frames
  deblurzoo synthesize CLIP_A CLIP_B --frames 7-13 --out DATA     folders of frames; the mean of 7 to 13 frames
  deblurzoo synthesize holiday.mp4 --interpolate --out DATA       ordinary video, 24 to 60 frames per second
  deblurzoo synthesize PHOTOS --photographs --out DATA            simulated camera shake
  deblurzoo train experiment=srn_gopro data=synthesized data.root=DATA

To resume an interrupted synthesis, run the same command again. DATA is created only when the synthesis is complete.
DATA/synthesis.yaml records the sources and options. The same sources, options and seed produce identical files for any
number of workers."""
SLOWEST = 100
"""Lowest frame rate, in frames per second, at which the mean of frames shows no ghosting without interpolation."""
T = TypeVar("T")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "deblurzoo synthesize",
        description="Synthesize pairs of blurry and sharp images in GOPRO's layout from sharp videos and photos.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "sources",
        nargs="+",
        type=user_path,
        metavar="SOURCE",
        help="video, folder of consecutive frames, or photo",
    )
    add_out(parser, "folder to create")
    add(
        "--photographs",
        action="store_true",
        help="folders contain photos, which are blurred by simulated camera shake",
    )
    add("--interpolate", action="store_true", help="interpolate frames by optical flow, for video below 100 fps")
    add(
        "--frames",
        type=_range(int),
        metavar="N[-M]",
        help="odd number of frames per exposure; from a range, the number is drawn for each clip (default: 11; 3 with "
        "--interpolate)",
    )
    add(
        "--shake",
        type=_range(float),
        default=(5, 20),
        metavar="L[-M]",
        help="length of the simulated camera path in pixels, or a range (default: 5-20)",
    )
    add(
        "--objects",
        type=at_least(0),
        default=0,
        metavar="N",
        help="maximum number of moving objects in the foreground of a photo (default: %(default)s)",
    )
    add(
        "--exposures",
        type=at_least(1),
        metavar="N",
        help="number of clips of each photo: three consecutive exposures with the true optical flow (default: a single "
        "exposure)",
    )
    add(
        "--shorter-side",
        type=at_least(1),
        metavar="N",
        help="reduce photos to this number of pixels of their shorter side (default: unchanged)",
    )
    add(
        "--stride",
        type=at_least(1),
        metavar="N",
        help="frames from the start of an exposure to the start of the next (default: the frames per exposure)",
    )
    add(
        "--response",
        type=_response,
        default=CAMERA_GAMMA,
        help="camera response for blur_gamma: a gamma value, or srgb (default: %(default)s)",
    )
    add(
        "--noise",
        type=float,
        default=0.0,
        metavar="SIGMA",
        help="standard deviation of the noise in blurry images, in 8-bit levels (default: 0)",
    )
    add("--jpeg", type=int, metavar="QUALITY", help="JPEG quality of the blurry images, 1 to 100 (default: no JPEG)")
    add(
        "--clip-length",
        type=at_least(1),
        default=100,
        metavar="N",
        help="maximum number of pairs per clip (default: %(default)s)",
    )
    add(
        "--split",
        choices=("source", "time"),
        help="source: test on the last sources; time: on the end of each source (default: time for a single source, "
        "otherwise source)",
    )
    add(
        "--test-share",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="share of the data for testing (default: %(default)s)",
    )
    add(
        "--gap",
        type=at_least(0),
        default=5,
        metavar="N",
        help="number of pairs omitted between the splits of a source (default: %(default)s)",
    )
    add("--seed", type=at_least(0), default=0, help="random seed (default: %(default)s)")
    add(
        "--workers",
        type=at_least(1),
        metavar="N",
        help="number of exposures computed in parallel (default: one per core, up to 8)",
    )
    return parser


def _range(number: Callable[[str], T]) -> Callable[[str], tuple[T, T]]:
    """Return an argparse type for a range `LEAST-MOST`, or for one number that is used as both bounds."""

    def parse(text: str) -> tuple[T, T]:
        least, _, most = text.partition("-")
        try:
            return number(least), number(most or least)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text} is neither a number nor a range such as 7-13") from error

    return parse


def _response(text: str) -> Response:
    try:
        return "srgb" if text == "srgb" else float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text} is neither a number nor srgb") from error


def main(arguments: list[str]) -> None:
    """Run `deblurzoo synthesize`."""
    run(_parser().parse_args(arguments))


def run(options: argparse.Namespace) -> None:
    """Synthesize the data set into a new folder, or resume an interrupted synthesis."""
    # Deferred: OpenCV, PyAV and torch take seconds to import, and --help does not need them.
    from deblurzoo.synthesis.exposure import Camera
    from deblurzoo.synthesis.pairs import Recipe, inspect_all, synthesize
    from deblurzoo.synthesis.plan import Cut
    from deblurzoo.synthesis.sources import unused
    from deblurzoo.synthesis.stills import Shake

    sources = inspect_all(options.sources, options.photographs)
    for given in options.sources:
        if names := unused(given):
            print(f"{given}: files that cannot be used are skipped: {few_of(names)}")
    cut = Cut(
        frames=options.frames or ((3, 3) if options.interpolate else (11, 11)),
        stride=options.stride,
        clip_length=options.clip_length,
        split=options.split or ("time" if len(sources) == 1 else "source"),
        test_share=options.test_share,
        gap=options.gap,
        seed=options.seed,
        exposures=options.exposures,
    )
    camera = Camera(options.response, options.noise, options.jpeg)
    for source in sources:
        if source.fps and source.fps < SLOWEST and not options.interpolate:
            print(
                f"{source.path} has {source.fps:g} frames per second: use --interpolate to avoid ghosting in its blur"
            )
    least, most = options.shake
    recipe = Recipe(cut, camera, Shake(least, most, objects=options.objects), options.interpolate, options.shorter_side)
    synthesize(sources, options.out, recipe, options.workers)
