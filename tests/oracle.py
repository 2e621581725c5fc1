"""Check that a refactoring changes no bit: train, resume and evaluate all networks, compare with a recorded run.

    python tests/oracle.py record before.json    # before the refactoring
    python tests/oracle.py check before.json     # after each of its commits, on the same machine

The code under test is the package that `import deblurzoo` imports.
"""

import argparse
import contextlib
import hashlib
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ONE_THREAD = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
"""Environment, set before torch is imported: the last digit of a sum depends on the number of threads."""

# Everything that a refactoring may rename: command lines, the files that they write, the keys in these files.
TOY = "data toy --out toy --train-clips 2 --test-clips 1 --frames 3 --height 64 --width 80"
TRAIN = (
    "train data=toy data.root=toy trainer=cpu logger=csv seed=1 datamodule.batch_size=2 datamodule.workers=1 "
    "datamodule.val_frames=1 trainer.val_check_interval=2 name={net} trainer.max_steps={steps} {settings}"
)
RESUME = " resume=auto"
EVALUATE = "evaluate checkpoint=runs/{net} data=toy data.root=toy trainer=cpu datamodule.workers=1"
NETWORKS = {
    "srn": "model=srn model.net.kernel_size=3 model.net.blocks=1 model.net.width=0.125 model.schedule.power=0.3 "
    "model.schedule.end=0.01 callbacks=ema callbacks.ema.decay=0.5 datamodule.augmentation.crop=32 "
    "datamodule.augmentation.zoom=[0.75,1.0] datamodule.augmentation.rot90=true datamodule.augmentation.flip=true "
    "datamodule.augmentation.permute_channels=true",
    "svrnn": "model=svrnn model.net.width=0.125 model.vgg16=null datamodule.augmentation.crop=32 "
    "trainer.accumulate_grad_batches=2",
    "liu2016": "model=liu2016 datamodule.augmentation.crop=32",
    "nafnet": "model=nafnet model.net.width=4 model.net.encoder_blocks=[1,1] model.net.decoder_blocks=[1,1] "
    "model.net.tlc=32 datamodule.augmentation.crop=32",
    "flow_rnn": "model=flow_rnn model.net.width=0.125 datamodule.augmentation.crop=64",
}
STEPS = (3, 5)
PICTURES = "toy/**/*.png"
CHECKPOINT = "runs/{net}/checkpoints/step_{steps:08d}.ckpt"
WEIGHTS = "state_dict"
RESTORED = "runs/{net}/evaluate/*/restored/*/*.png"
RESULTS = "runs/{net}/evaluate/*/results.json"
NOT_FIGURES = {"ms", "ms_per_image", "config", "checkpoint", "deblurzoo"}
"""Keys of results.json, at any depth, that hold times, paths and versions."""


def machine() -> dict[str, str]:
    """Return the CPU model and torch's version, on which results depend in addition to the code."""
    import torch

    facts: dict[str, str] = {}
    with contextlib.suppress(OSError):  # only Linux has it
        for line in Path("/proc/cpuinfo").read_text().partition("\n\n")[0].splitlines():
            key, _, value = line.partition(":")
            facts[key.strip()] = value.strip()
    name = facts.get("model name", platform.processor() or platform.machine())
    kind = [name, *(f"{key} {facts[key]}" for key in ("cpu family", "model") if key in facts)]
    return {"cpu": ", ".join([*kind, torch.backends.cpu.get_cpu_capability()]), "torch": torch.__version__}


def run(command: str) -> None:
    """Run `deblurzoo COMMAND` in this process, silently.

    Raises:
        SystemExit: the command failed; the message contains its output.
    """
    from verbs import call  # slow to import

    done = call(command.split(), Path.cwd(), dict(os.environ))
    if done.returncode:
        sys.exit(f"{done.stdout}{done.stderr}\nerror: `deblurzoo {command}` failed with exit code {done.returncode}")


def _found(pattern: str) -> list[Path]:
    """Return the files that match a pattern, sorted by name.

    Raises:
        SystemExit: no file matches.
    """
    return sorted(Path().glob(pattern)) or sys.exit(f"error: the commands wrote no files {pattern}")


def digest_of_files(pattern: str) -> str:
    """Return the SHA-256 of all files that match a pattern, sorted by name."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in _found(pattern))).hexdigest()


def digest_of_weights(checkpoint: str) -> str:
    """Return the SHA-256 of a checkpoint's weights in stored order, independent of their names."""
    import torch

    digest = hashlib.sha256()
    for tensor in torch.load(checkpoint, map_location="cpu", weights_only=True)[WEIGHTS].values():
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


def digest_of_results(pattern: str) -> str:
    """Return the SHA-256 of the single results.json that matches a pattern, without NOT_FIGURES."""

    def figures(content: Any) -> Any:
        if isinstance(content, dict):
            return {key: figures(value) for key, value in content.items() if key not in NOT_FIGURES}
        return [figures(value) for value in content] if isinstance(content, list) else content

    (file,) = _found(pattern)
    return hashlib.sha256(json.dumps(figures(json.loads(file.read_text())), sort_keys=True).encode()).hexdigest()


def digests() -> Iterator[tuple[str, str]]:
    """Yield name and SHA-256 of each product, in the order in which products depend on each other."""
    run(TOY)
    yield "toy data", digest_of_files(PICTURES)
    for net, settings in NETWORKS.items():
        for steps in STEPS:
            command = TRAIN.format(net=net, steps=steps, settings=settings)
            run(command if steps == STEPS[0] else command + RESUME)
            yield f"{net}, weights after {steps} steps", digest_of_weights(CHECKPOINT.format(net=net, steps=steps))
        run(EVALUATE.format(net=net))
        yield f"{net}, restored picture", digest_of_files(RESTORED.format(net=net))
        yield f"{net}, results.json", digest_of_results(RESULTS.format(net=net))


def measure() -> dict[str, str]:
    """Return name and SHA-256 of each product, created in a temporary folder; print each when it is finished."""
    import deblurzoo

    print(f"measuring {Path(deblurzoo.__file__).parent}", flush=True)
    found = {}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name, digest in digests():
            print(f"{digest[:16]}  {name}", flush=True)
            found[name] = digest
    return found


def differing(recorded: dict[str, str], found: dict[str, str]) -> list[str]:
    """Return the names with different digests, in order of creation; names that are only recorded come last."""
    return [name for name in dict.fromkeys([*found, *recorded]) if found.get(name) != recorded.get(name)]


def read(file: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return machine and digests of a record.

    Raises:
        SystemExit: the file is missing or not a record.
    """
    try:
        content = json.loads(file.read_text())
        parts = content["machine"], content["sha256"]
        if not all(isinstance(value, str) for part in parts for value in part.values()):
            raise TypeError
    except OSError as error:
        sys.exit(f"error: {file} cannot be read ({error.strerror}): run `python tests/oracle.py record {file}`")
    except (ValueError, TypeError, KeyError, AttributeError):
        sys.exit(f"error: {file} is not a record of `python tests/oracle.py record FILE`: choose another file")
    return parts


def record(file: Path) -> None:
    """Write the digests of the current code to a file.

    Raises:
        SystemExit: the file exists: a record of the code before a refactoring cannot be recreated afterwards.
    """
    if file.exists() or not file.absolute().parent.is_dir():
        sys.exit(f"error: {file} exists already, or its folder does not exist: choose another file")
    content = {"machine": machine(), "sha256": measure()}
    file.write_text(json.dumps(content, indent=1) + "\n")
    print(f"recorded in {file}")


def check(file: Path) -> None:
    """Compare the current code with a record.

    Raises:
        SystemExit: products differ; the message names the first different product, and all later ones.
    """
    then, recorded = read(file)
    if then != (now := machine()):
        print(f"warning: {file} was recorded on {then}, this is {now}: digests may differ", file=sys.stderr)
    if different := differing(recorded, measure()):
        first, *later = different
        sys.exit(f"error: {first} differs from {file}; later products that differ: {'; '.join(later) or 'none'}")
    print(f"all products are identical to {file}")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser("oracle.py", description="Check that a refactoring changes no bit.")
    parser.add_argument("verb", choices=("record", "check"))
    parser.add_argument("file", type=Path, metavar="FILE")
    options = parser.parse_args()
    os.environ.update(ONE_THREAD)
    {"record": record, "check": check}[options.verb](options.file)


if __name__ == "__main__":
    main()
