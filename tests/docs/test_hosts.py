"""docs/hosts.md has every variable, file, command and status of a host; docs/security.md what a container may."""

import ast
import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from gpulease_host import accept, cli
from gpulease_host.docker_engine import (
    container_config,
    engine,
    firewall,
    image_environment,
    images,
    kernel_room,
    networks,
)
from gpulease_host.machine_setup import live_restore
from gpulease_host.settings import Settings
from rental.api import schemas
from rental.api.schemas import ListHost
from rental.domain.host import HostStatus
from rental.domain.observation import ReportedGpu
from tests.docs.pages import ROOT, page, table

HOSTS = "docs/hosts.md"
VARIABLE = re.compile(r"(GPULEASE|DOCKER|AWS)_[A-Z_]*[A-Z]")


def _variables_read() -> set[str]:
    return {
        node.value
        for source in (ROOT / "host").rglob("*.py")
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and VARIABLE.fullmatch(node.value)
    }


def test_every_variable_that_the_host_reads_stands_there_and_no_other() -> None:
    assert set(table(HOSTS, "variable")) == _variables_read()


def test_every_variable_has_its_default() -> None:
    unset = Settings.from_environment({})
    written = {name: cells[0].strip("`") for name, cells in table(HOSTS, "variable").items()}
    assert written["GPULEASE_HOST_DIR"] == str(unset.folder)
    assert float(written["GPULEASE_HEARTBEAT_S"]) == unset.heartbeat_s
    assert int(written["GPULEASE_STOP_GRACE_S"]) == unset.stop_grace_s
    assert written["GPULEASE_ADDRESS_POOL"] == engine.ADDRESS_POOL
    terms = images.ImageTerms()
    assert float(written["GPULEASE_PULL_TIMEOUT_S"]) == terms.pull_timeout_s
    assert float(written["GPULEASE_IMAGE_KEEP_H"]) * 3600 == terms.keep_s
    assert written["DOCKER_HOST"] == f"unix://{unset.docker_socket}"
    assert Path(written["AWS_SHARED_CREDENTIALS_FILE"]).expanduser() == unset.credentials


def test_every_file_of_the_host_stands_there() -> None:
    paths = [
        value.fget(Settings.from_environment({})).name
        for name, value in vars(Settings).items()
        if isinstance(value, property) and value.fget is not None and name.endswith("_path")
    ]
    files = {*paths, live_restore.NOTE, accept.SOCKET_NAME, str(firewall.LOCK), str(networks.LOCK)}
    assert len(paths) >= 4
    assert files <= set(table(HOSTS, "file"))


def test_every_command_stands_there_and_no_other() -> None:
    commands = set(re.findall(r"gpulease-host [a-z-]+", cli.USAGE))
    assert set(table(HOSTS, "command")) == commands


@pytest.mark.parametrize("option", sorted(set(re.findall(r"--[a-z-]+", cli.USAGE))))
def test_every_option_of_registration_stands_there(option: str) -> None:
    assert option in page(HOSTS)


@pytest.mark.parametrize("status", [*HostStatus, *get_args(get_type_hints(ReportedGpu)["status"])])
def test_every_status_of_hosts_and_gpus_stands_there(status: str) -> None:
    assert f"`{status}`" in page(HOSTS)


def test_every_field_of_a_listing_stands_there_and_no_other() -> None:
    assert set(table(HOSTS, "field")) == set(ListHost.model_fields)


def test_the_capabilities_of_a_container_stand_in_the_security_page() -> None:
    listed = re.search(r"all capabilities dropped but (.+?);", page("docs/security.md"), re.DOTALL)
    assert listed
    assert tuple(re.findall(r"`(\w+)`", listed.group(1))) == container_config.CAPABILITIES


@pytest.mark.parametrize("prefix", image_environment.PREFIXES)
def test_refused_variables_stand_in_the_security_page(prefix: str) -> None:
    assert f"`{prefix}…`" in page("docs/security.md")


def test_service_and_host_refuse_the_same_variables_and_the_page_of_the_api_has_them() -> None:
    assert schemas.RESERVED == image_environment.OBEYED
    assert [name for name in schemas.RESERVED if f"`{name}`" not in page("docs/api.md")] == []


def test_every_setting_of_the_kernel_that_is_changed_stands_in_the_page_of_hosts() -> None:
    names = [name.replace("/", ".") for name in (*kernel_room.LEAST, *kernel_room.UNLIMITED)]
    assert [name for name in names if f"`{name}`" not in page(HOSTS)] == []


def test_every_option_of_the_installer_stands_there_and_no_other() -> None:
    usage = re.search(r"usage\(\) \{(.+?)\n\}", (ROOT / "host/install.sh").read_text(), re.DOTALL)
    assert usage
    told = {option for cell in table(HOSTS, "option") for option in re.findall(r"--[a-z-]+", cell)}
    assert told == set(re.findall(r"--[a-z-]+", usage.group(1)))
