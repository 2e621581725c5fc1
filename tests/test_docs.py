"""Each documented command and Python block is run here, run in another test, or listed with a reason."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from hydra import compose, initialize_config_dir

from conftest import USERS_EXPERIMENT, write_kohler
from deblurzoo.cli import VERBS
from deblurzoo.files import conf_dir
from deblurzoo.synthesis.options import ToyOptions
from deblurzoo.synthesis.toy import write_toy
from documents import DOCUMENTS, ROOT, sections
from verbs import serving
from videos import moving, write_video

PROGRAM = re.compile(r"(deblurzoo|make|python|pip|torchrun|srun|sbatch|scontrol|scancel|apt-get)\s|\.(venv|ci)/")
CODE = re.compile(r"^```(?P<language>\w*)\n(?P<block>.*?)^```$|`(?P<span>[^`]+)`", re.M | re.S)

JOURNEYS = {  # sections whose commands run in one folder, in this order; and files that must exist afterwards
    "gopro": (
        ("README.md#train-on-gopro", "docs/datasets.md#", "docs/datasets.md#mixing-data-sets",
         "docs/datasets.md#packing",
         "docs/datasets.md#looking-at-training-samples",
         "docs/train.md#", "docs/train.md#start-from-trained-weights",
         "docs/protocols.md#", "docs/export.md#", "docs/export.md#export"),
        "runs/srn_gopro/config.yaml runs/srn_gopro/checkpoints/*.ckpt runs/srn_gopro/pictures/* "
        "runs/srn_gopro/csv/*/metrics.csv runs/srn_gopro/evaluate/gopro*/results.json comparison.html "
        "restored/holiday.jpg restored/clip.mp4 packed/gopro/index.json samples.png "
        "runs/srn_gopro/evaluate/kohler*/results.json runs/srn_dvd/evaluate/su30*/results.json "
        "runs/flow_dvd/evaluate/*/results.json runs/tuned/config.yaml srn_export/model.safetensors "
        "srn_export/evaluate/*/results.json",
    ),
    "demo": (
        ("README.md#try-it", "docs/deblur.md#", "docs/extend.md#add-a-backend-of-the-spatial-rnn"),
        "runs/demo/comparison.html runs/demo/*/evaluate/*/side_by_side/*.png "
        "restored/holiday.jpg restored/clip.mp4 restored/1.png restored/large.tif restored/000003.png restored.png",
    ),
    "overrides": (
        ("docs/train.md#overrides", "docs/extend.md#", "docs/wandb.md#"),
        "runs/mine/checkpoints/*.ckpt runs/smoke/svrnn_toy/wandb/*",
    ),
    "sweeps": (
        ("docs/sweeps.md#", "docs/networks.md#"),
        "comparison.html table.csv table.md runs/flow_dvd_no_rnns/status.json runs/svrnn_gopro_no_rnns/checkpoints/*",
    ),
    "own data": (
        ("docs/datasets.md#your-own-data", "docs/datasets.md#the-same-scene-in-training-and-testing",
         "docs/datasets.md#photos", "docs/datasets.md#toy-clips"),
        "DATA/synthesis.yaml photos.png runs/svrnn_photos/evaluate/photos_blur/results.json "
        "runs/mine/evaluate/*/results.json toy_flow/*/*/flow/*",
    ),
    "clusters": (
        ("docs/cluster.md#several-gpus-of-one-machine", "docs/cluster.md#sweeps-on-slurm"),
        "runs/two/checkpoints/*.ckpt",
    ),
}  # fmt: skip

SMALLER = {  # arguments appended to commands that contain these words, to shrink them
    "trainer=gpu": "trainer=cpu",
    "train trainer=gpu": "debug=smoke paths.runs=runs",
    "train trainer=cpu": "debug=smoke model.net.width=0.25",
    "train trainer=ddp": "trainer.accelerator=cpu debug=smoke datamodule.val_frames=2 paths.runs=runs logger=csv",
    "trainer.devices=2": "name=two",
    "train experiment=svrnn_gopro": "debug=smoke paths.runs=runs logger=csv model.net.width=0.125",
    "train experiment=svrnn_gopro_no_rnns": "debug=smoke paths.runs=runs logger=csv model.net.width=0.125",
    "train experiment=srn_gopro": "model.net.width=0.125",
    "train experiment=flow_dvd": "model.net.width=0.125",
    "train experiment=glob(flow_dvd*)": "model.net.width=0.125",
    "train data.packed=packed/gopro": "debug=smoke",
    "train data=mix": "debug=smoke paths.runs=runs",
    "show": "datamodule.augmentation.crop=64 datamodule.augmentation.zoom=null",
    "data=kohler": "data.verify=false",
    "data=photos": "data.shorter_side=64 data.length=[2,4] data.test.exposures=1",
    "train data=photos": "debug=smoke paths.runs=runs logger=csv model.net.width=0.125 datamodule.augmentation.crop=16",
    "show data=photos": "datamodule.augmentation.crop=16",
    "toy": "--train-clips 1 --test-clips 1 --frames 3 --height 80 --width 96",
}
DEBLURZOO = """#!{python}
import os, sys
from multiprocessing.connection import Client
words = sys.argv[1:]
more = [word for key, value in {smaller!r}.items() if {{*key.split()}} <= {{*words}} for word in value.split()]
if "trainer=ddp" in words:  # Lightning starts the second process from the command line of the first
    os.execv(sys.executable, [sys.executable, "-m", "deblurzoo", *words, *more])
with Client({address!r}) as server:
    server.send(([*words, *more], os.getcwd(), dict(os.environ)))
    code, out, err = server.recv()
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""
"""Sends its arguments to `verbs.serving`, whose processes need no imports."""
INCOMPLETE = {  # `data check` must report that toy clips are not the official clips
    "deblurzoo data check data=gopro data.root=GOPRO_Large": "problems in gopro, listed above",
    "deblurzoo data check data=gopro data.packed=packed/gopro": "problems in gopro, listed above",
    "deblurzoo data check data=synthesized data.root=DATA data.blur=blur data@against=gopro against.root=GOPRO_Large":
        "problems in synthesized and gopro, listed above",
}  # fmt: skip

_SLURM = "tests/cluster/test_slurm.py::test_jobs_of_a_sweep_survive_requeue_and_time_limit"
_AGENT = "tests/commands/test_wandb_agent.py::test_two_trials_of_the_example_are_evaluated_runs_of_their_own"
_IMPORT = "tests/weights/test_import.py"
_IMPORTED = f"{_IMPORT}::test_an_import_is_evaluated_restores_starts_runs_and_is_exported"
_RESTORED = "tests/commands/test_restored.py"
_VIEWS = "tests/reports/test_views.py"
ELSEWHERE = {  # the test that runs the command
    "deblurzoo deblur photo.jpg": "tests/commands/test_weights.py::test_a_photo_is_restored_without_other_arguments",
    "deblurzoo weights": "tests/commands/test_weights.py::test_a_network_is_listed_with_its_scores",
    "deblurzoo compare runs --to-wandb deblurzoo":
        "tests/commands/test_wandb.py::test_runs_trained_without_wandb_are_sent_to_it",
    "deblurzoo synthesize PHOTOS --photographs --exposures 3 --shake 3-20 --objects 2 --shorter-side 720 --out DATA":
        "tests/data/test_photos.py::test_test_exposures_stay_and_are_those_of_synthesize",
    "deblurzoo evaluate restored=FOLDER data=gopro data.root=GOPRO_Large name=NAFNet source=URL":
        f"{_RESTORED}::test_our_own_images_have_the_figures_of_the_network",
    "deblurzoo verify runs/srn_gopro/evaluate/gopro_blur/results.json":
        "tests/commands/test_verify.py::test_results_of_a_network_are_verified",
    "deblurzoo verify nafnet_gopro.json data.root=GOPRO_Large restored=FOLDER":
        "tests/commands/test_verify.py::test_results_are_verified_elsewhere",
    "python leaderboard/board.py": "tests/leaderboard/test_board.py::test_a_method_comes_by_a_file",
    "deblurzoo compare runs --by-data psnr --latex table.tex": f"{_VIEWS}::test_compare_by_data",
    "deblurzoo compare runs --published": f"{_VIEWS}::test_compare_by_data",
    "deblurzoo compare runs/srn_gopro runs/svrnn_gopro":
        f"{_VIEWS}::test_compare_states_the_difference_of_two_networks",
    "deblurzoo compare runs --by-blur":
        "tests/reports/test_blur_sizes.py::test_compare_by_blur",
    "deblurzoo compare --wandb ENTITY/deblurzoo --html comparison.html":
        "tests/commands/test_wandb.py::test_compare_reads_runs_from_wandb_as_from_disk",
    "deblurzoo compare runs --wandb-report ENTITY/deblurzoo":
        "tests/reports/test_wandb_report.py::test_a_report_compares_the_given_runs_by_variant",
    "deblurzoo import checkpoints/color --network srn --out srn_color": f"{_IMPORT}::test_srn_of_tensorflow",
    "deblurzoo import SVRNN.caffemodel --network svrnn --out svrnn": f"{_IMPORT}::test_svrnn_of_caffe",
    "deblurzoo import FLOW.caffemodel --network flow_rnn --out flow_rnn": f"{_IMPORT}::test_flow_rnn_of_caffe",
    "deblurzoo import LRNN_solver4L0.mat --network liu2016 --out liu2016": f"{_IMPORT}::test_liu2016_of_matlab",
    "deblurzoo import NAFNet-GoPro-width64.pth --network nafnet --out nafnet": _IMPORTED,
    "deblurzoo evaluate checkpoint=srn_lstm data=gopro_blur data.root=GOPRO_Large rounding=floor trainer=gpu":
        _IMPORTED,
    "deblurzoo evaluate checkpoint=svrnn data=gopro_blur data.root=GOPRO_Large trainer=gpu": _IMPORTED,
    "deblurzoo evaluate checkpoint=flow_rnn data=dvd_flow data.root=DeepVideoDeblurring_Dataset trainer=gpu": _IMPORTED,
    "deblurzoo evaluate checkpoint=nafnet data=gopro_blur data.root=GOPRO_Large trainer=gpu": _IMPORTED,
    "wandb sweep conf/wandb_sweep.yaml": _AGENT,
    "wandb agent ENTITY/deblurzoo/SWEEP": _AGENT,
    "deblurzoo evaluate checkpoint=wandb:ENTITY/deblurzoo/model-ID:latest data=gopro data.root=GOPRO_Large":
        "tests/commands/test_wandb_artifacts.py::test_a_checkpoint_of_wandb_is_evaluated_and_exported",
    "deblurzoo export --checkpoint runs/srn_gopro --out srn_half --half":
        "tests/export/test_export.py::test_half_precision_takes_half_the_space",
    "deblurzoo export … --to-wandb PROJECT":
        "tests/commands/test_wandb_artifacts.py::test_an_export_is_an_artifact_of_its_run_and_starts_another",
    "deblurzoo benchmark --out runs/benchmark":
        "tests/commands/test_benchmark.py::test_the_command_measures_prints_and_draws",
    "deblurzoo train --help": "tests/commands/test_errors.py::test_unknown_verb_and_help",
    "deblurzoo experiments": "tests/conf/test_experiments.py::test_one_command_prints_the_papers_figures",
    "deblurzoo train -m 'experiment=glob(svrnn_gopro*)' data.root=GOPRO_Large trainer=gpu":  # liu2016 has no width
        "tests/conf/test_experiments.py::test_experiment_takes_a_step",
    "deblurzoo train -m 'experiment=glob(srn_gopro_k3*)' data.root=GOPRO_Large trainer=gpu":
        "tests/conf/test_experiments.py::test_experiment_takes_a_step",
    "deblurzoo train -m 'experiment=glob(flow_dvd*)' debug=smoke data=toy":  # as in the ablation tables, but smaller
        "tests/test_docs.py::test_the_documented_commands_work",
    "deblurzoo train -m experiment=svrnn_toy model.net.variant=full,no_rnns,no_convs,no_skip":
        "tests/commands/test_sweep.py::test_a_sweep_is_evaluated_and_a_second_one_does_nothing",
    "deblurzoo train -m 'experiment=glob(srn_gopro_k3*)' data.root=GOPRO_Large trainer=gpu trainer.devices=free"
    " hydra/launcher=joblib hydra.launcher.n_jobs=4":
        "tests/cluster/test_free_devices.py::test_four_jobs_share_two_slots_and_survive_a_kill",
    "deblurzoo train experiment=srn_gopro data.root=GOPRO_Large trainer=gpu trainer.devices=free:2":
        "tests/cluster/test_free_devices.py::test_a_single_run_on_two_free_devices",
    "deblurzoo train -m hydra/sweeper=search experiment=svrnn_toy":
        "tests/commands/test_launchers.py::test_the_example_search_draws_from_its_space",
    "deblurzoo evaluate … switch=disable_rnn":
        "tests/commands/test_switch.py::test_a_trained_network_is_evaluated_with_its_switch_on",
    "deblurzoo evaluate checkpoint=RUN/checkpoints/best.ckpt …":
        "tests/commands/test_best.py::test_the_best_checkpoint_is_kept_evaluated_and_never_taken_as_the_newest",
    "python study/report.py": "tests/study/test_study.py::test_the_page_of_results_is_up_to_date",
    "make gpu": "tests/test_gpu.py::test_every_part_runs_and_is_reported",
    "python docs/tables.py": "tests/test_docs_pages.py::test_the_tables_of_the_networks_are_up_to_date",
    "deblurzoo data check data=… data.root=…": "tests/test_docs.py::test_the_documented_commands_work",
    ".venv/bin/jupytext --sync notebooks/*.py":
        "tests/notebooks/test_notebooks.py::test_notebook_and_script_are_in_step",
    "scontrol requeue": _SLURM,
    "scontrol requeue JOB_0": _SLURM,
    "deblurzoo train -m 'experiment=glob(srn_gopro_k3*)' data.root=GOPRO_Large trainer=gpu hydra/launcher=slurm"
    " hydra.launcher.partition=gpu hydra.launcher.timeout_min=480": _SLURM,
}  # fmt: skip
NOT_RUN = {  # with the reason; make targets must exist, and overrides must compose
    "make pictures": "needs the results of make demo",
    "make test": "is this suite",
    "make test-all": "is this suite",
    "python benchmarks/train.py --batch 4 --steps 4 --repeats 2": "takes a quarter of an hour",
    "python benchmarks/growth.py": "takes ten minutes",
    "python benchmarks/waits.py --before aa4eae0~1": "takes ten minutes",
    "python benchmarks/photos.py PHOTOS": "takes minutes, and needs photos of more than 600 pixels",
    "deblurzoo benchmark --networks svrnn --how naive eager": "takes minutes",
    "deblurzoo train experiment=srn_gopro data.root=GOPRO_Large trainer=gpu preset=fast": "needs a GPU",
    "python tests/oracle.py record before.json": "is for refactorings, a minute long",
    "python tests/oracle.py check before.json": "is for refactorings, a minute long",
    "make lint": "is half of .ci/run",
    "make format": "rewrites the checkout",
    ".ci/run": "runs this suite",
    ".venv/bin/pre-commit install": "changes the checkout's hooks",
    "apt-get install chromium": "changes the machine; .ci/run does it",
    "apt-get install slurm-wlm munge": "changes the machine; .ci/run does it",
    "pip install 'deblurzoo[sweep]'": "needs a package index",
    "pip install 'deblurzoo[hub]'": "needs a package index",
    "pip install 'deblurzoo[onnx]'": "needs a package index",
    "pip install 'deblurzoo[report]'": "needs a package index",
    "scancel JOB_0": "needs a cluster",
    "torchrun --nnodes=2 --nproc-per-node=4 --rdzv-backend=c10d --rdzv-endpoint=FIRST_MACHINE:29500 -m deblurzoo"
    " train experiment=srn_gopro data.root=GOPRO_Large trainer=ddp trainer.num_nodes=2": "needs two machines of 4 GPUs",
    "trap 'scontrol requeue $SLURM_JOB_ID' USR1 srun deblurzoo train experiment=srn_gopro data.root=GOPRO_Large"
    " trainer=ddp trainer.num_nodes=2 resume=auto & wait": "needs two machines of 4 GPUs",
}
LISTED = {*ELSEWHERE, *NOT_RUN}


def commands(text: str) -> Iterator[str]:
    """Yield shell commands without comments, each script as one command, and Python blocks unchanged."""
    for code in CODE.finditer(text):
        language, block, span = code.group("language", "block", "span")
        assert language not in ("bash", "console", "shell"), f"call it sh: {block}"
        if language == "python":
            yield block
        elif language == "sh" or (span and PROGRAM.match(span)):
            lines = [block or span] if span or block.startswith("#!") else block.replace("\\\n", " ").splitlines()
            for line in lines:
                words = shlex.split(line, comments=True, posix=False)
                # A bare verb that requires arguments is a name, not a command.
                if words and " ".join(words[1:]) not in {*VERBS} - {"experiments", "weights"}:
                    yield " ".join(words)


def collect() -> dict[str, str]:
    """Return each command with its section: the first section in JOURNEYS, otherwise the last section."""
    run = {part for parts, _ in JOURNEYS.values() for part in parts}
    found: dict[str, str] = {}
    for document in DOCUMENTS:
        for anchor, text in sections(document):
            for command in commands(text):
                if found.get(command) not in run:
                    found.pop(command, None)
                    found[command] = f"{document.relative_to(ROOT)}#{anchor}"
    return found


COMMANDS = collect()


@pytest.fixture
def toy(journey: str, tmp_path: Path) -> Path:
    """Two clips of three frames in GOPRO's layout; for "gopro", large enough for Köhler's protocol."""
    size = (176, 192) if journey == "gopro" else (80, 96)
    write_toy(tmp_path / "GOPRO_Large", ToyOptions(0, 1, 1, 3, *size))
    return tmp_path / "GOPRO_Large"


@pytest.fixture
def user(journey: str, toy: Path, dvd: Path, tmp_path: Path) -> Iterator[Path]:
    """A folder with all files that the documents mention, and a `deblurzoo` program that adds SMALLER."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for folder in (".venv/bin", "data", "240fps", "photos", "MYCONF/experiment"):
        (tmp_path / folder).mkdir(parents=True)
    for name in (".venv/installed", ".venv/bin/activate"):
        (tmp_path / name).touch()
    (clip,) = (toy / "test").iterdir()
    dvd.rename(tmp_path / "DeepVideoDeblurring_Dataset")
    write_kohler(tmp_path / "KOHLER", 176, 192)
    if journey == "overrides":  # `make demo` makes them elsewhere
        (tmp_path / "data/toy").symlink_to(toy)
    for name, target in {"MY": clip, "MY/blurry": clip / "blur", "frames": clip / "blur"}.items():
        (tmp_path / name).symlink_to(target)
    picture = cv2.imread(str(min((clip / "blur").iterdir())))
    for name in ("holiday.jpg", *(f"photos/{number}.png" for number in range(1, 7)), "large.tif", "blurry.png"):
        cv2.imwrite(str(tmp_path / name), picture)
    for name in ("240fps/1.mp4", "240fps/2.mp4", "clip.mp4"):
        write_video(tmp_path / name, moving(24, height=80, width=96))
    (tmp_path / "MYCONF/experiment/mine.yaml").write_text(USERS_EXPERIMENT)
    with serving() as address:
        program = tmp_path / ".venv/bin/deblurzoo"
        program.write_text(DEBLURZOO.format(python=sys.executable, smaller=SMALLER, address=address))
        program.chmod(0o755)
        yield tmp_path


@pytest.mark.processes
@pytest.mark.parametrize("journey", JOURNEYS)
def test_the_documented_commands_work(journey: str, user: Path, environment: dict[str, str]) -> None:
    parts, made = JOURNEYS[journey]
    path = os.pathsep.join([str(user / ".venv/bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    offline = {"https_proxy": "http://127.0.0.1:9", "TORCH_HOME": str(user)}
    ordered = [c for part in parts for c, section in COMMANDS.items() if section == part and c not in LISTED]
    for command in ordered:
        shell = [sys.executable, "-c"] if "\n" in command else ["bash", "-c"]
        done = subprocess.run(
            [*shell, command], cwd=user, env={**environment, **offline, "PATH": path}, capture_output=True, text=True
        )
        told = done.stdout + done.stderr
        assert done.returncode == (command in INCOMPLETE), f"{command}\n{told}"
        assert INCOMPLETE.get(command, "") in told, f"{command}\n{told}"
    for product in made.split():
        assert list(user.glob(product)), product
    shutil.rmtree(user / "runs")


def test_every_command_is_run_or_listed() -> None:
    run = {part for parts, _ in JOURNEYS.values() for part in parts}
    assert run <= set(COMMANDS.values())
    assert not [f"{c} ({s}): add it to JOURNEYS, ELSEWHERE or NOT_RUN" for c, s in COMMANDS.items()
                if s not in run and c not in LISTED]  # fmt: skip
    assert {*LISTED, *INCOMPLETE} <= COMMANDS.keys(), "these are no longer in the documents"
    words = {word for command in (*COMMANDS, *(ROOT / "Makefile").read_text().splitlines())
             for word in command.replace("'", "").split()}  # fmt: skip
    assert {word for key in SMALLER for word in key.split()} <= words
    for test in ELSEWHERE.values():
        file, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text()


def test_what_is_not_run_composes() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"deblurzoo\[(\w+)\]", " ".join(COMMANDS))) <= extras.keys()
    for command in NOT_RUN:
        if command.startswith("make"):
            subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, check=True, capture_output=True)
        elif train := re.search(r" train (.+?)( &|$)", command):
            with initialize_config_dir(str(conf_dir()), version_base="1.3"):
                compose("train", overrides=shlex.split(train[1]))
