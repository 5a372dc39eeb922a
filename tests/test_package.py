"""What is installed is this checkout, whole, from a set in which every byte is pinned."""

import importlib
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("domain", "strategies", "execution", "bot")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-sweep.lock")


@pytest.mark.parametrize("package", PACKAGES)
def test_each_import_name_is_this_checkout(package: str) -> None:
    assert importlib.import_module(package).__file__ == str(ROOT / package / "__init__.py")


def test_the_console_command_is_fundarb() -> None:
    (command,) = entry_points(group="console_scripts", name="fundarb")

    assert command.value == "bot.cli.main:main"
    assert callable(command.load())
    assert version("fundarb") == PROJECT["project"]["version"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("fundarb-*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_holds_every_module_and_every_config_file(wheel: zipfile.ZipFile) -> None:
    modules = {
        path.relative_to(ROOT).as_posix()
        for name in PACKAGES
        for path in (ROOT / name).rglob("*.py")
    }
    config = {
        f"bot/_config/{path.relative_to(ROOT / 'config').as_posix()}"
        for path in (ROOT / "config").rglob("*.toml")
    }

    assert config
    assert (modules | config) - set(wheel.namelist()) == set()


def test_the_wheel_holds_no_folder_but_ours(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/", maxsplit=1)[0] for name in wheel.namelist()}

    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_the_wheel_cannot_be_uploaded_and_carries_its_licence(wheel: zipfile.ZipFile) -> None:
    (metadata,) = (name for name in wheel.namelist() if name.endswith("/METADATA"))

    assert "Classifier: Private :: Do Not Upload" in wheel.read(metadata).decode()
    assert any(name.endswith("/licenses/LICENSE") for name in wheel.namelist())


def test_an_installed_wheel_finds_its_own_config(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path)
    script = "from bot.config_files import config_file; print(config_file('default.toml'))"
    out = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        check=True,
    )

    found = Path(out.stdout.decode().strip())
    assert found == tmp_path / "bot" / "_config" / "default.toml"
    assert found.read_text() == (ROOT / "config" / "default.toml").read_text()


def locked(lock: str) -> dict[str, str]:
    """Name to version."""
    text = (ROOT / lock).read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ ;\\]+)", text, re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_release_is_pinned_by_hash(lock: str) -> None:
    entries = re.split(r"^(?=[a-z0-9])", (ROOT / lock).read_text(), flags=re.MULTILINE)[1:]

    assert len(entries) > 50
    assert [e.split()[0] for e in entries if not re.match(r"\S+==\S+", e)] == []
    assert [e.split()[0] for e in entries if "--hash=sha256:" not in e] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()

    assert re.findall(r"://|--index|--find-links|file:|@ ", text) == []


def test_the_locks_agree_with_each_other_and_with_the_project() -> None:
    runtime, *larger = (locked(lock) for lock in LOCKS)
    wanted = {
        "requirements.lock": PROJECT["project"]["dependencies"],
        "requirements-dev.lock": PROJECT["dependency-groups"]["dev"],
        "requirements-sweep.lock": PROJECT["project"]["optional-dependencies"]["sweep"],
    }

    for other in larger:
        assert {name: other.get(name) for name in runtime} == runtime
    for lock, requirements in wanted.items():
        for requirement in map(Requirement, requirements):
            pinned = locked(lock)[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(pinned), f"{requirement}: run `make lock`"


def test_a_release_younger_than_a_week_is_not_locked() -> None:
    assert PROJECT["tool"]["uv"]["exclude-newer"] == "7 days"
