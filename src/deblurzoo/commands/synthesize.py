"""`deblurzoo synthesize`: training data from videos, folders of frames and photos."""

import argparse
import os
from collections.abc import Callable
from typing import TypeVar

from deblurzoo.commands.options import at_least
from deblurzoo.files import user_path
from deblurzoo.synthesis.options import CAMERA_GAMMA, Response

EXAMPLES = """examples:
  deblurzoo synthesize 240fps/*.mp4 --out DATA                    GOPRO's recipe: the mean of 11 frames
  deblurzoo synthesize CLIP_A CLIP_B --frames 7-13 --out DATA     folders of frames; each clip draws its number
  deblurzoo synthesize holiday.mp4 --interpolate --out DATA       ordinary video, 24 to 60 frames per second
  deblurzoo synthesize PHOTOS --photographs --out DATA            simulated hand shake
  deblurzoo train experiment=srn_gopro data=synthesized data.root=DATA

The same command again continues where it was stopped; DATA appears when it is complete. synthesis.yaml in it says what
it was made of. Whatever the number of workers, the same sources, options and seed give the same bytes."""
SLOWEST = 100
"""Frames per second of videos whose plain means show no ghosts."""
T = TypeVar("T")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "deblurzoo synthesize",
        description="Make pairs of blurry and sharp pictures, in GOPRO's layout, from your own sharp ones.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "sources",
        nargs="+",
        type=user_path,
        metavar="SOURCE",
        help="video, folder of consecutive frames, or photograph",
    )
    add("--out", type=user_path, required=True, metavar="DIR", help="folder to make")
    add("--photographs", action="store_true", help="folders hold photographs: blur them by simulated hand shake")
    add("--interpolate", action="store_true", help="add frames between those of ordinary video, by optical flow")
    add("--frames", type=_range(int), metavar="N[-M]", help="frames of an exposure, odd (11; 3 with --interpolate)")
    add(
        "--shake", type=_range(float), default=(5, 20), metavar="L[-M]", help="length of a hand's path in pixels (5-20)"
    )
    add(
        "--objects",
        type=at_least(0),
        default=0,
        metavar="N",
        help="moving objects before a photograph, at most (%(default)s)",
    )
    add("--stride", type=at_least(1), metavar="N", help="frames from one exposure to the next (as many as it has)")
    add("--response", type=_response, default=CAMERA_GAMMA, help="of blur_gamma: a number or srgb (%(default)s)")
    add("--noise", type=float, default=0.0, metavar="SIGMA", help="noise in the blurry pictures, in 8-bit levels (0)")
    add("--jpeg", type=int, metavar="QUALITY", help="compress the blurry pictures, 1 to 100 (not)")
    add("--clip-length", type=at_least(1), default=100, metavar="N", help="pairs in a clip at most (%(default)s)")
    add("--split", choices=("source", "time"), help="test on the last sources, or the end of each (time if only one)")
    add("--test-share", type=float, default=0.2, metavar="SHARE", help="share of the test split (%(default)s)")
    add("--gap", type=at_least(0), default=5, metavar="N", help="pairs between splits by time (%(default)s)")
    add("--seed", type=at_least(0), default=0, help="of everything random (%(default)s)")
    workers = min(os.cpu_count() or 1, 8)
    add("--workers", type=at_least(1), default=workers, metavar="N", help="exposures made at a time (%(default)s)")
    return parser


def _range(number: Callable[[str], T]) -> Callable[[str], tuple[T, T]]:
    """Return what reads `LEAST-MOST`, or one number for both."""

    def parse(text: str) -> tuple[T, T]:
        least, _, most = text.partition("-")
        try:
            return number(least), number(most or least)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text} is neither a number nor two as in 7-13") from error

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
    """Make the folder, or go on with it."""
    # OpenCV, PyAV and torch take seconds to import, and the help needs none of them.
    from deblurzoo.synthesis.exposure import Camera
    from deblurzoo.synthesis.pairs import Recipe, inspect_all, synthesize
    from deblurzoo.synthesis.plan import Cut
    from deblurzoo.synthesis.stills import Shake

    sources = inspect_all(options.sources, options.photographs)
    cut = Cut(
        frames=options.frames or ((3, 3) if options.interpolate else (11, 11)),
        stride=options.stride,
        clip_length=options.clip_length,
        split=options.split or ("time" if len(sources) == 1 else "source"),
        test_share=options.test_share,
        gap=options.gap,
        seed=options.seed,
    )
    camera = Camera(options.response, options.noise, options.jpeg)
    for source in sources:
        if source.fps and source.fps < SLOWEST and not options.interpolate:
            print(f"{source.path} has {source.fps:g} frames per second: without --interpolate its blur shows ghosts")
    least, most = options.shake
    recipe = Recipe(cut, camera, Shake(least, most, objects=options.objects), options.interpolate)
    synthesize(sources, options.out, recipe, options.workers)
