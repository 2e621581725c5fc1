"""The command line: `deblurzoo VERB …`."""

import argparse
import sys
from collections.abc import Callable
from importlib import import_module

from deblurzoo import __version__
from deblurzoo.allocator import keep_memory
from deblurzoo.errors import DeblurzooError, print_escaped, require_utf8
from deblurzoo.files import user_path

USAGE = """usage: deblurzoo VERB …

  train       train a network:            deblurzoo train experiment=srn_gopro data.root=GOPRO
  evaluate    measure a trained network:  deblurzoo evaluate checkpoint=RUN data=gopro data.root=GOPRO
  deblur      your own pictures, videos:  deblurzoo deblur INPUT… --checkpoint RUN --out OUT
  compare     one table of evaluations:   deblurzoo compare RUN…
  export      safetensors and ONNX:       deblurzoo export --checkpoint RUN --out DIR --onnx
  benchmark   speed, memory and size:     deblurzoo benchmark --out DIR
  experiments list them with their sizes: deblurzoo experiments
  synthesize  make training data:         deblurzoo synthesize VIDEO… --out DIR
  data toy    make the toy data set:      deblurzoo data toy --out DIR
  data check  look for damage and gaps:   deblurzoo data check data=gopro data.root=GOPRO
  data pack   decode once, read fast:     deblurzoo data pack data=gopro data.root=GOPRO out=DIR
  data show   picture training samples:   deblurzoo data show experiment=srn_gopro data.root=GOPRO

`deblurzoo VERB --help` says more; train, evaluate, data check, pack and show take Hydra overrides (KEY=VALUE)."""


def _hydra(module: str) -> Callable[[list[str]], None]:
    """Return a verb that hands its arguments to the Hydra entry point of a module."""

    def run(arguments: list[str]) -> None:
        from deblurzoo.commands.overrides import readable  # Hydra takes a while to import
        from deblurzoo.commands.user_configs import require_readable_configs

        for argument in arguments:
            require_utf8(argument)
        arguments = readable(arguments)
        require_readable_configs(arguments)
        program = import_module(module)
        # Lightning starts its other processes by running __main__ again with sys.argv: this verb's own module.
        # Hydra's help composes the config, for which evaluate and data check need some data.
        # Hydra's parser takes no override after -m that follows another override: -m goes first.
        ordered = sorted(arguments, key=lambda argument: argument not in ("-m", "--multirun"))
        sys.modules["__main__"].__spec__ = program.__spec__
        sys.argv = [str(program.__file__), *ordered, *(["data=toy"] if "--help" in arguments else [])]
        program.main()

    return run


def _toy(arguments: list[str]) -> None:
    from deblurzoo.synthesis.toy import ToyOptions, write_toy

    parser = argparse.ArgumentParser("deblurzoo data toy", description="Make the toy data set.")
    parser.add_argument("--out", type=user_path, required=True, help="folder to make")
    for name, default in vars(ToyOptions()).items():
        action = {"action": "store_true"} if default is False else {"type": type(default), "default": default}
        parser.add_argument(f"--{name.replace('_', '-')}", **action)
    options = vars(parser.parse_args(arguments))
    out = options.pop("out")
    write_toy(out, ToyOptions(**options))
    print(f"toy data in {out}")


def _plain(module: str) -> Callable[[list[str]], None]:
    """Return a verb that hands its arguments to the `main` of a module, imported only then."""
    return lambda arguments: import_module(module).main(arguments)


VERBS: dict[tuple[str, ...], Callable[[list[str]], None]] = {
    ("train",): _hydra("deblurzoo.commands.train"),
    ("evaluate",): _hydra("deblurzoo.commands.evaluate"),
    ("deblur",): _plain("deblurzoo.commands.deblur"),
    ("compare",): _plain("deblurzoo.commands.compare"),
    ("export",): _plain("deblurzoo.commands.export"),
    ("benchmark",): _plain("deblurzoo.commands.benchmark"),
    ("experiments",): _plain("deblurzoo.commands.experiments"),
    ("synthesize",): _plain("deblurzoo.commands.synthesize"),
    ("data", "toy"): _toy,
    ("data", "check"): _hydra("deblurzoo.data.checking"),
    ("data", "pack"): _hydra("deblurzoo.data.packing"),
    ("data", "show"): _hydra("deblurzoo.commands.data_show"),
}


def main() -> None:
    """Run the verb named on the command line."""
    print_escaped()
    arguments = sys.argv[1:]
    if arguments in ([], ["-h"], ["--help"]):
        print(USAGE)
        return
    if arguments == ["--version"]:
        print(f"deblurzoo {__version__}")
        return
    keep_memory()
    for words, run in VERBS.items():
        if tuple(arguments[: len(words)]) == words:
            try:
                run(arguments[len(words) :])
            except DeblurzooError as error:
                sys.exit(f"error: {error}")
            return
    print(f"error: unknown verb {' '.join(arguments[:2])}\n\n{USAGE}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
