"""The command line: `deblurzoo VERB …`."""

import sys
from importlib import import_module

from deblurzoo.allocator import keep_memory
from deblurzoo.errors import DeblurzooError, print_escaped
from deblurzoo.version import __version__

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


VERBS = (
    *("train", "evaluate", "deblur", "compare", "export", "benchmark", "experiments", "synthesize"),
    *("data toy", "data check", "data pack", "data show"),
)
"""`deblurzoo WORDS` is the module `commands/WORDS.py`."""
OF_HYDRA = ("train", "evaluate", "data check", "data pack", "data show")
"""Verbs that take overrides of a config."""


def _run(verb: str, arguments: list[str]) -> None:
    name = verb.replace(" ", "_")
    if verb in OF_HYDRA:
        import_module("deblurzoo.commands.hydra_app").run_verb(name, arguments)
    else:
        import_module(f"deblurzoo.commands.{name}").main(arguments)


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
    for verb in VERBS:
        words = verb.split()
        if arguments[: len(words)] == words:
            try:
                _run(verb, arguments[len(words) :])
            except DeblurzooError as error:
                sys.exit(f"error: {error}")
            return
    print(f"error: unknown verb {' '.join(arguments[:2])}\n\n{USAGE}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
