"""The host package: a sound wheel, the same from the same sources, with every library pinned."""

import base64
import csv
import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from io import BytesIO, StringIO
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra.host_package import HostPackage, build_host_package
from infra.paths import CONSTRAINTS, HOST
from tests.infra.permissions import render, statements
from tests.infra.synthesis import Synthesized


@pytest.fixture(scope="module")
def package() -> HostPackage:
    return build_host_package()


def contents(package: HostPackage) -> dict[str, bytes]:
    with zipfile.ZipFile(BytesIO(package.body)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pins(text: str) -> dict[str, str]:
    found = (line.partition("==") for line in text.splitlines() if "==" in line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, _, version in found}


def test_pip_installs_it_and_the_program_starts(package: HostPackage, tmp_path: Path) -> None:
    wheel = tmp_path / package.file_name
    wheel.write_bytes(package.body)
    installed = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--target", str(installed)]
    done = subprocess.run([*pip, str(wheel)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    program = installed / "bin" / "gpulease-host"
    environment = {"PYTHONPATH": str(installed), "PATH": os.environ["PATH"]}
    told = subprocess.run([str(program), "--help"], env=environment, capture_output=True, text=True, check=False)
    assert told.stdout.startswith("usage: gpulease-host register")


def test_the_same_sources_give_the_same_bytes_wherever_and_whenever(package: HostPackage, tmp_path: Path) -> None:
    copy = shutil.copytree(HOST, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    (copy / "gpulease_host" / "__pycache__").mkdir(exist_ok=True)
    (copy / "gpulease_host" / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert build_host_package(copy) == package


@pytest.mark.parametrize("changed", ["gpulease_host/cli.py", "install.sh", "installer/docker.sh", "requirements.txt"])
def test_any_change_is_a_new_version(package: HostPackage, tmp_path: Path, changed: str) -> None:
    copy = shutil.copytree(HOST, tmp_path / "host")
    with (copy / changed).open("a") as file:
        file.write("six==1.0\n")
    assert build_host_package(copy).file_name != package.file_name


def test_every_file_is_in_the_record_with_its_hash(package: HostPackage) -> None:
    files = contents(package)
    (record,) = (body.decode() for name, body in files.items() if name.endswith("/RECORD"))
    listed = {name: (digest, size) for name, digest, size in csv.reader(StringIO(record))}
    assert set(listed) == set(files)
    for name, (digest, size) in listed.items():
        if not name.endswith("/RECORD"):
            expected = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).decode().rstrip("=")
            assert (digest, int(size)) == (f"sha256={expected}", len(files[name]))


def test_it_requires_every_library_by_the_version_that_is_tested(package: HostPackage) -> None:
    (metadata,) = (body.decode() for name, body in contents(package).items() if name.endswith("/METADATA"))
    required = pins("\n".join(re.findall(r"^Requires-Dist: (.*)$", metadata, flags=re.MULTILINE)))
    tested = pins(CONSTRAINTS.read_text())
    assert required == {name: tested[name] for name in _closure()}


def test_the_installer_inside_is_the_one_of_this_checkout(package: HostPackage) -> None:
    script = contents(package)["gpulease_host/install.sh"].decode()
    for part in (HOST / "installer").iterdir():
        assert part.read_text() in script
    assert not re.search(r"@[a-z]+\.sh@", script)
    ends = [(HOST / "install.sh").read_text().splitlines()[at] for at in (0, -1)]
    assert [script.splitlines()[at] for at in (0, -1)] == ends


def test_one_function_may_read_the_package_and_no_other_object(prod: Synthesized) -> None:
    ((role, read),) = [(role, each) for role, each in statements(prod) if "s3:GetObject" in each["Action"]]
    (function,) = [
        found["Properties"]["Environment"]["Variables"]
        for found in prod.resources("AWS::Lambda::Function").values()
        if "HOST_PACKAGE_KEY" in found["Properties"]["Environment"]["Variables"]
    ]
    assert role.startswith("ApiInstallRole")
    assert render(read["Resource"]).endswith(f"/{function['HOST_PACKAGE_KEY']}")
    assert (prod.folder / f"asset.{function['HOST_PACKAGE_KEY']}").read_bytes() == build_host_package().body


def _closure() -> set[str]:
    """What the host program needs, and what that needs in turn."""
    found: set[str] = set()
    waiting = tomllib.loads((HOST / "pyproject.toml").read_text())["project"]["dependencies"]
    while waiting:
        requirement = Requirement(waiting.pop())
        name = canonicalize_name(requirement.name)
        if name not in found and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            found.add(name)
            waiting += importlib.metadata.requires(name) or []
    return found
