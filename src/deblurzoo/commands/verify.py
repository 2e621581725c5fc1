"""`deblurzoo verify`: measure some images of a `results.json` again."""

import argparse
import secrets

from deblurzoo.commands.options import at_least
from deblurzoo.extensions import add_trust, trust
from deblurzoo.files import user_path


def main(arguments: list[str]) -> None:
    """Run `deblurzoo verify`."""
    parser = argparse.ArgumentParser(
        "deblurzoo verify",
        description="Measure a random 5 % of the images of a results.json again, and compare to the last digit.",
        epilog="KEY=VALUE replaces a key of the evaluation's config, such as data.root=GOPRO, checkpoint=FILE, "
        "restored=FOLDER or trainer.accelerator=cpu.",
    )
    parser.add_argument("results", type=user_path, metavar="RESULTS", help="a results.json")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="places of files on this machine")
    parser.add_argument("--seed", type=at_least(0), help="seed of the choice of images; default: random")
    add_trust(parser)
    options = parser.parse_intermixed_args(arguments)
    trust(options.trust)
    from deblurzoo.commands.verification import verify  # deferred: PyTorch and Lightning take seconds to import

    verify(options.results, options.overrides, secrets.randbits(32) if options.seed is None else options.seed)
