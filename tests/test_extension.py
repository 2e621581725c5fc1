"""An external package with a network, a data set, a loss and a metric works with all verbs."""

import hashlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from commands.test_wandb import records, summary
from conftest import TINY, TINY_RUN, Run
from deblurzoo import extensions, load
from deblurzoo.config import rebuild
from deblurzoo.data import Source
from deblurzoo.errors import DeblurzooError
from deblurzoo.media.images import read_image, write_png
from verbs import refused

EXTENSION = Path(__file__).parent / "extension"
CONF = f"--config-dir={EXTENSION / 'conf'}"
SIZES = {1: (48, 64), 3: (64, 48), 10: (40, 40)}


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which pip has installed the package."""
    folder = tmp_path_factory.mktemp("extension")
    source = shutil.copytree(EXTENSION, folder / "source")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", folder / "installed", source], check=True, capture_output=True)
    return folder / "installed"


@pytest.fixture
def extension(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The package on `sys.path`; unloaded after the test."""
    monkeypatch.syspath_prepend(installed)
    importlib.invalidate_caches()
    yield installed
    for name in [name for name in sys.modules if name.partition(".")[0] == "smalldeblur"]:
        del sys.modules[name]
    extensions._trusted.clear()


@pytest.fixture
def undeclared(extension: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package on `sys.path`, without its entry point."""
    copy = tmp_path / "undeclared"
    shutil.copytree(extension / "smalldeblur", copy / "smalldeblur")
    monkeypatch.setattr(sys, "path", [str(copy), *(place for place in sys.path if place != str(extension))])
    importlib.invalidate_caches()
    return copy


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two training scenes and a test scene, each with images 1, 3 and 10 of three sizes."""
    rng = np.random.default_rng(0)
    for scene in ("train/a2", "train/a10", "test/b"):
        for photo, size in SIZES.items():
            for kind in ("blur", "gt"):
                image = rng.integers(0, 256, (*size, 3), np.uint8)
                write_png(tmp_path / "Real" / scene / kind / f"{kind}_{photo}.png", image)
    return tmp_path / "Real"


def test_it_goes_through_every_verb(extension: Path, root: Path, deblurzoo: Run, tmp_path: Path) -> None:
    def done(*arguments: object) -> str:
        result = deblurzoo(*arguments)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout + result.stderr

    train = ["train", CONF, "experiment=small", f"data.root={root}", "trainer=cpu"]
    done("data", "check", CONF, "data=real", f"data.root={root}")
    done(*train)
    done(*train, "trainer.max_steps=3", "resume=auto")
    checkpoint = torch.load(tmp_path / "runs/small/checkpoints/step_00000003.ckpt", weights_only=True)
    assert checkpoint["deblurzoo"]["network"] == "smalldeblur.net:Small"
    assert checkpoint["hyper_parameters"]["loss"] == {"charbonnier": 1.0, "edges": 0.1}
    evaluate = ["evaluate", CONF, "data=real", f"data.root={root}", "trainer=cpu"]
    assert "edge" in done(*evaluate, "checkpoint=runs/small", "metrics=[edge]")
    results = json.loads(next(tmp_path.glob("runs/small/evaluate/*/results.json")).read_text())
    assert set(results["restored"]) == {"psnr", "ssim", "ssim_matlab3d", "edge"}
    assert [image["frame"] for image in results["images"]] == ["1", "3", "10"]

    done("train", "-m", *train[1:], "name=sweep", "model.net.width=4,8", "metrics=[edge]")
    swept = [json.loads(file.read_text()) for file in tmp_path.glob("runs/sweep/*/evaluate/*/results.json")]
    assert len(swept) == 2 and all("edge" in results["restored"] for results in swept)
    (curves,) = tmp_path.glob("runs/sweep/*width-4*/csv/*/metrics.csv")
    assert "val/edge" in curves.read_text()
    assert "smalldeblur" not in done("compare", "runs", "--html", "page.html")
    assert "edge error" in (tmp_path / "page.html").read_text()
    done("export", "--checkpoint", "runs/small", "--out", "exported")
    exported = json.loads((tmp_path / "exported/config.json").read_text())
    assert exported["deblurzoo"]["network"] == "smalldeblur.net:Small"
    picture = root / "test" / "b" / "blur" / "blur_10.png"
    done("deblur", picture, "--checkpoint", "exported", "--out", "restored")
    assert read_image(tmp_path / "restored" / picture.name).shape == (40, 40, 3)
    assert load(tmp_path / "runs/small", "cpu")(read_image(picture)).shape == (40, 40, 3)


def test_a_measure_with_weights_is_in_results_table_csv_page_and_wandb(
    extension: Path, process: Run, toy: Path, deblurzoo: Run, tmp_path: Path
) -> None:
    train = ["train", *TINY, f"data.root={toy}", "name=run", "logger=wandb", "trainer.max_steps=1"]
    places = [str(extension), *filter(None, [os.environ.get("PYTHONPATH")])]
    measure = ["trainer.val_check_interval=1", "evaluate_at_end=true", "metrics=[features]"]
    done = process(*train, *measure, PYTHONPATH=os.pathsep.join(places))
    assert done.returncode == 0, done.stderr
    (file,) = tmp_path.glob("runs/run/evaluate/*/results.json")
    results = json.loads(file.read_text())
    package = importlib.import_module("smalldeblur.perceptual")
    image, sharp = (
        read_image(next(toy.glob(f"test/*/{kind}/{results['images'][0]['frame']}.png"))) for kind in ("blur", "sharp")
    )
    assert results["images"][0]["blurry"]["features"] == pytest.approx(package.distance(image, sharp), rel=1e-5)
    weights = hashlib.sha256()
    for tensor in package.network().state_dict().values():
        weights.update(tensor.numpy().tobytes())
    version = f"smalldeblur 1.0, weights {weights.hexdigest()}"
    assert results["metric_versions"] == {"features": version}
    (folder,) = tmp_path.glob("runs/run/wandb/offline-run-*")
    assert summary(records(folder))["test/features"] == pytest.approx(results["restored"]["features"])

    compared = deblurzoo("compare", "runs", "--csv", "t.csv", "--markdown", "t.md", "--html", "page.html")
    assert compared.returncode == 0, compared.stderr
    assert f"feature distance: {version}" in compared.stdout.splitlines()
    assert "| feature distance |" in (tmp_path / "t.md").read_text()
    assert f",{results['restored']['features']}," in (tmp_path / "t.csv").read_text()
    page = (tmp_path / "page.html").read_text()
    assert "feature distance" in page and version in page


PYIQA = """import torch

class Measure(torch.nn.Module):
    def __init__(self, name):
        super().__init__()
        self.metric_mode, self.net = "NR" if name == "niqe" else "FR", torch.nn.Conv2d(3, 1, 3)
        if name == "niqe":
            self.net.pretrained_model_path = __file__

    def forward(self, image, *sharp):
        return (image - sharp[0]).abs().mean() if sharp else image.mean()

def create_metric(name, device):
    return Measure(name).to(device)
"""
"""A stand-in for pyiqa, with the part of its interface that docs/protocols.md uses."""


def test_the_measures_of_the_docs_are_measured(
    identity: Path, toy: Path, deblurzoo: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = (Path(__file__).parents[1] / "docs" / "protocols.md").read_text()
    blocks = re.findall(r"^```\w*\n(.*?)^```$", docs, re.M | re.S)
    (code,) = (block for block in blocks if "pyiqa.create_metric" in block)
    (tmp_path / "mymeasures.py").write_text(code)
    (tmp_path / "pyiqa.py").write_text(PYIQA)
    (tmp_path / "pyiqa-0.1.dist-info").mkdir()
    (tmp_path / "pyiqa-0.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: pyiqa\nVersion: 0.1\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("mymeasures", "pyiqa"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    evaluate = ["evaluate", f"checkpoint={identity}", "data=toy", f"data.root={toy}", "trainer=cpu", "out=out"]
    done = deblurzoo(*evaluate, "metrics=[lpips,niqe]", "trust=mymeasures")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    image = results["images"][0]
    frame = f"{image['frame']}.png"
    blurry, sharp = (read_image(next(toy.glob(f"test/*/{kind}/{frame}"))) / 255 for kind in ("blur", "sharp"))
    assert image["blurry"]["lpips"] == pytest.approx(np.abs(blurry - sharp).mean(), rel=1e-5)
    assert (image["blurry"]["niqe"], image["sharp"]["niqe"]) == pytest.approx((blurry.mean(), sharp.mean()), rel=1e-5)
    assert "lpips" not in image["sharp"]
    weights = hashlib.sha256(PYIQA.encode()).hexdigest()
    assert results["metric_versions"]["niqe"] == f"pyiqa 0.1, weights {weights}"


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("lambda: 1 / 0", "the version of metric odd is unknown (ZeroDivisionError: division by zero)"),
        ("lambda: 5", "the version of metric odd is 5: return one line of text"),
        ("lambda: 'a\\nb'", "the version of metric odd is 'a\\nb': return one line of text"),
    ],
)
def test_a_wrong_version_is_named(
    version: str,
    message: str,
    identity: Path,
    toy: Path,
    deblurzoo: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package(tmp_path, monkeypatch, f"METRICS = {{'odd': Metric('Odd', 2, '', True, print, version={version})}}")
    evaluate = ["evaluate", f"checkpoint={identity}", "data=toy", f"data.root={toy}", "trainer=cpu", "metrics=[odd]"]
    refused(deblurzoo(*evaluate, "trust=torchmine"), message)


def test_without_the_entry_point_it_is_refused_until_it_is_trusted(
    undeclared: Path, root: Path, toy: Path, deblurzoo: Run, tmp_path: Path
) -> None:
    train = ["train", CONF, "experiment=small", f"data.root={root}", "trainer=cpu"]
    assert deblurzoo(*train).returncode == 0  # a user's config may name the package
    assert deblurzoo(*train, "trainer.max_steps=3", "resume=auto").returncode == 0

    done = deblurzoo("train", "data=toy", f"data.root={toy}", "model.loss={edges:1}")
    refused(
        done,
        "model.loss.edges is not a known loss: choose from mse, l1, charbonnier, psnr, frequency, or, if a package",
    )
    told = "smalldeblur.net:Small is in the package smalldeblur, which is not trusted and could run any code: if you "
    evaluate = ["evaluate", "checkpoint=runs/small", "data=toy", f"data.root={toy}", "trainer=cpu"]
    picture = root / "test" / "b" / "blur" / "blur_10.png"
    export = ["export", "--checkpoint", "runs/small", "--out", "exported"]
    deblur = ["deblur", picture, "--checkpoint", "runs/small", "--out", "restored"]
    for verb in (evaluate, export, deblur):
        refused(
            deblurzoo(*verb), told + "trust it, set trust=smalldeblur (deblur, export, compare: --trust smalldeblur)"
        )
    with pytest.raises(DeblurzooError, match="smalldeblur, which is not trusted"):
        load(tmp_path / "runs/small")
    for verb in (
        [*evaluate, "trust=smalldeblur"],
        [*export, "--trust", "smalldeblur"],
        [*deblur, "--trust=smalldeblur"],
    ):
        done = deblurzoo(*verb)
        assert done.returncode == 0, done.stderr
    assert load(tmp_path / "runs/small", "cpu", trust="smalldeblur")(read_image(picture)).shape == (40, 40, 3)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("smalldeblur.net.Small", "is not a Source of"),
        ("smalldeblur.data.ClipSource", "is not a Source of"),  # imported there, not defined
        ("smalldeblur.data.Path", "is not a Source of"),
        ("smalldeblur.nothing.Real", "is not a Source of"),
        ("torch.utils.data.Dataset", "is in the package torch"),
    ],
)
def test_a_trusted_package_gives_its_own_classes_of_the_kind_alone(extension: Path, target: str, reason: str) -> None:
    with pytest.raises(DeblurzooError, match=reason):
        rebuild({"data": {"_target_": target, "root": None}}, "data", Source, Path("config.yaml"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("1 / 0", "TOY_test_000/000001: metric odd failed (ZeroDivisionError: division by zero)"),
        ("float('nan')", "metric odd returned nan: values must be finite and below 1e+09"),
        ("1e300", "metric odd returned 1e+300: values must be finite and below 1e+09"),
        ("'text'", "metric odd failed (ValueError: could not convert string to float: 'text')"),
        ("None", "metric odd failed (TypeError: "),
    ],
)
def test_a_metric_that_fails_is_named(
    body: str, message: str, identity: Path, toy: Path, deblurzoo: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, monkeypatch, f"METRICS = {{'odd': Metric('Odd', 2, '', True, lambda image, sharp: {body})}}")
    evaluate = ["evaluate", f"checkpoint={identity}", "data=toy", f"data.root={toy}", "trainer=cpu", "metrics=[odd]"]
    refused(deblurzoo(*evaluate, "trust=torchmine"), message)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("LOSSES = {'odd': 5}", "torchmine.LOSSES['odd'] is not a function, or deblurzoo already has an entry of"),
        ("LOSSES = {'mse': print}", "torchmine.LOSSES['mse'] is not a function, or deblurzoo already has an entry of"),
        ("LOSSES = {'odd': lambda a, b: 1.0}", "model.loss.odd returned float: a loss must return a scalar tensor"),
        ("LOSSES = {'odd': lambda a, b: a - b}", "model.loss.odd returned a tensor of shape (2, 3, "),
        ("LOSSES = {'odd': lambda a, b: 1 / 0}", "model.loss.odd failed (ZeroDivisionError: "),
        (
            "METRICS = {'psnr': Metric('P', 2, '', True, print)}",
            "torchmine.METRICS['psnr'] is not a Metric, or deblurzoo",
        ),
        ("METRICS = {'odd': Metric('P', 'x', '', True, print)}", "TypeError: digits='x' of a metric must be int"),
        ("METRICS = 5", "torchmine.METRICS['METRICS'] is not a Metric"),
    ],
)
def test_tables_of_a_package_that_are_wrong_are_named(
    table: str, message: str, toy: Path, deblurzoo: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package(tmp_path, monkeypatch, table)
    words = ["model.loss={odd:1}"] if table.startswith("LOSSES") else ["metrics=[odd]"]
    refused(deblurzoo("train", *TINY, "data=toy", f"data.root={toy}", "trust=torchmine", *words), message)


def package(folder: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    """Write the package `torchmine` to `sys.path`; its name starts with torch."""
    (folder / "torchmine.py").write_text(f"from deblurzoo.metrics import Metric\n{content}\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "torchmine", raising=False)


@pytest.mark.parametrize(
    ("trust", "message"),
    [
        ("5", "trust=5 is not a package name"),
        ("true", "trust=True is not a package name"),
        ("[1,null]", "trust=1 is not a package name"),
        ("{a:1}", "is not a package name: set trust=PACKAGE or trust=[PACKAGE,PACKAGE]"),
        ("../mine", "trust=../mine is not a package name: set the name"),
        ("nowhere", "the trusted package nowhere cannot be imported (ModuleNotFoundError: "),
    ],
)
def test_what_cannot_be_trusted_is_told_before_anything_is_measured(
    trust: str, message: str, identity: Path, toy: Path, deblurzoo: Run
) -> None:
    done = deblurzoo("evaluate", f"checkpoint={identity}", "data=toy", f"data.root={toy}", f"trust={trust}")
    refused(done, message)
    assert not list(identity.rglob("results.json"))


def test_a_package_called_like_torch_is_somebodys_own_and_its_module_has_the_tables(
    toy: Path, deblurzoo: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torchlike").mkdir()
    (tmp_path / "torchlike" / "__init__.py").touch()
    (tmp_path / "torchlike" / "tables.py").write_text("LOSSES = {'odd': lambda a, b: (a - b).abs().mean()}\n")
    shutil.copy(EXTENSION / "smalldeblur" / "net.py", tmp_path / "torchlike")
    monkeypatch.syspath_prepend(tmp_path)
    own = ["model=base", "+model.net._target_=torchlike.net.Small", "trust=torchlike.tables", "model.loss={odd:1}"]
    small = ["trainer=cpu", "logger=csv", *TINY_RUN, "name=a,b", "trainer.max_steps=1", "trainer.val_check_interval=1"]
    done = deblurzoo("train", "-m", "data=toy", f"data.root={toy}", *own, *small)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(tmp_path.rglob("results.json"))) == 2


def test_a_network_in_the_place_of_a_module_is_told_where_it_goes(extension: Path, toy: Path, deblurzoo: Run) -> None:
    done = deblurzoo("train", "data=toy", f"data.root={toy}", "model._target_=smalldeblur.net.Small")
    refused(done, "model._target_=smalldeblur.net.Small is not a DeblurModule: set your own network as model.net")


def test_a_package_that_cannot_be_imported_is_named(deblurzoo: Run, toy: Path) -> None:
    done = deblurzoo("train", "data=toy", f"data.root={toy}", "trust=nowhere")
    refused(done, "the trusted package nowhere cannot be imported (ModuleNotFoundError: No module named 'nowhere')")
