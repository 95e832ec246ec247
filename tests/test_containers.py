"""What the images run: their install script, in a clean environment; what they leave out."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import yaml

from tests.goldens import ROOT

DOCKERFILES = ("Dockerfile", "Dockerfile.cpu")
COPIED = ("pyproject.toml", "hatch_build.py", "constraints.txt", "README.md", "LICENSE", "docker",
          "lora_lightning", "hydra_plugins", "train.py", "configs")  # fmt: skip
PRERELEASE = "2.7.0a0+7c8ec84dab.nv25.3"  # as NVIDIA's image names its torch


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A folder as an image has it, and a Python that has what we need but not us.

    Its torch calls itself a pre-release, and PIP_CONSTRAINT names versions that do not fit.
    """
    folder = tmp_path_factory.mktemp("image")
    (folder / "app").mkdir()
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / "app" / name)
    venv.create(folder / "venv", with_pip=False)
    packages = next((folder / "venv" / "lib").iterdir()) / "site-packages"
    (packages / "outside.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    metadata = packages / f"torch-{PRERELEASE}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: torch\nVersion: {PRERELEASE}\n"
    )
    (folder / "constraint.txt").write_text("hydra-core==0.1\nwandb==0.1\n")
    return folder


def inside(image: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the image's folder with its Python first on the path, without a network."""
    environment = os.environ | {
        "PATH": f"{image / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PIP_CONSTRAINT": str(image / "constraint.txt"),
        "PIP_NO_INDEX": "1",
    }
    environment.pop("PYTHONPATH", None)
    return subprocess.run(
        command, cwd=image / "app", env=environment, capture_output=True, text=True, timeout=200
    )


def test_the_script_of_both_images_installs_into_a_clean_environment(image):
    result = inside(image, "sh", "docker/install.sh", "--no-build-isolation")
    assert result.returncode == 0, result.stdout + result.stderr
    where = inside(image, "python", "-c", "import lora_lightning; print(lora_lightning.__file__)")
    assert where.stdout.strip() == str(image / "app" / "lora_lightning" / "__init__.py")
    help = inside(image, "python", "train.py", "--help")
    assert "Groups" in help.stdout, help.stderr


def test_a_prerelease_torch_that_is_there_is_kept_with_what_it_was_compiled_with(image):
    kept = inside(image, "python", "docker/kept_packages.py").stdout.splitlines()
    assert f"torch=={PRERELEASE}" in kept
    assert any(line.startswith("numpy==") for line in kept)
    assert not any(line.startswith("hydra") for line in kept)


def test_without_a_torch_nothing_is_kept():
    code = "import runpy; runpy.run_path('docker/kept_packages.py', run_name='__main__')"
    result = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert (result.returncode, result.stdout) == (0, "")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_runs_the_script_and_neither_torch_nor_root(name):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    runs = [line for line in lines if line.startswith("RUN ")]
    assert any("sh docker/install.sh" in line for line in runs)
    assert not any("pip install" in line for line in runs)
    assert [line for line in lines if line.startswith("USER ")] == ["USER $UID"]
    [volumes] = [line for line in lines if line.startswith("VOLUME ")]
    assert "/app/outputs" in volumes
    assert "/app/data/raw" in volumes


def test_the_images_stand_on_the_bases_that_the_documentation_names():
    bases = [
        (ROOT / name).read_text(encoding="utf-8").partition("FROM ")[2] for name in DOCKERFILES
    ]
    assert [base.split("\n")[0] for base in bases] == [
        "nvcr.io/nvidia/pytorch:25.03-py3", "python:3.11-slim",
    ]  # fmt: skip


@pytest.mark.parametrize("name", DOCKERFILES)
def test_what_an_image_copies_exists(name):
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("COPY "):
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists()


def test_compose_has_both_images_with_results_on_the_host():
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert services["cpu"]["build"]["dockerfile"] == "Dockerfile.cpu"
    assert services["gpu"]["ipc"] == "host"
    for service in services.values():
        assert "./outputs:/app/outputs" in service["volumes"]


def test_secrets_and_results_stay_out_of_an_image():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {".env", ".git", "outputs", "data/raw", "configs/local", ".venv"} <= set(ignored)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="git knows which files there are")
def test_every_text_file_has_line_feeds():
    names = subprocess.run(
        ["git", "ls-files", "--eol"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [name for name in names if name.startswith(("i/crlf", "i/mixed"))] == []
