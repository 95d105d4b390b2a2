"""Settings end up in other programs' configuration, so nothing in them can be syntax there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.service import Binding, HostPorts, parse_ports
from proxy.settings import Settings, SettingsError
from proxy.sshd_config import key_options

GOOD: dict[str, Any] = {
    "api_url": "https://api.example",
    "api_key_file": "/etc/gpulease/key",
    "state": "/var/lib/gpulease-proxy",
    "zone": "jupyter.example",
    "user": "gpulease-proxy",
}


def load(folder: Path, **changes: Any) -> Settings:
    path = folder / "config.json"
    path.write_text(json.dumps({name: value for name, value in (GOOD | changes).items() if value is not ...}))
    return Settings.load(path)


def test_what_is_left_out_has_a_default(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert (settings.public_address, settings.loopback_address) == ("0.0.0.0", "127.0.0.1")
    assert not settings.serves_jupyter


@pytest.mark.parametrize(
    "change",
    [
        {"zone": "x; } server {"},
        {"zone": "Jupyter.Example"},
        {"state": "/var/lib/a b"},
        {"state": "relative"},
        {"state": "/x;\n"},
        {"user": "root\nPermitRootLogin yes"},
        {"public_address": "0.0.0.0:22"},
        {"loopback_address": "::1"},
        {"tunnel_port": 0},
        {"tunnel_port": "2222"},
        {"tunnel_port": True},
        {"api_url": "ftp://x"},
        {"api_url": "https://"},
        {"api_url": "https://[x"},
        {"api_url": "https://x:port"},
        {"api_url": f"https://{'x' * 64}.example"},
        {"tls_certificate": "/x$y"},
        {"user": ...},
        {"zones": "x"},
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(change))):
        load(tmp_path, **change)


def test_a_key_without_ports_never_becomes_one_for_all_ports(tmp_path: Path) -> None:
    """An authorized key without permitlisten may listen anywhere."""
    with pytest.raises(ValueError, match="permitlisten"):
        key_options(load(tmp_path), HostPorts(7, ()))


def test_ssh_is_permitted_where_clients_connect_and_jupyterlab_on_loopback_alone(tmp_path: Path) -> None:
    settings = load(tmp_path, public_address="203.0.113.9", loopback_address="127.0.0.5")
    known = HostPorts(7, (Binding(70, "ssh", 40001), Binding(70, "jupyter", 40002), Binding(71, "jupyter", 40003)))
    options = key_options(settings, known).split(",")
    assert options[:2] == ["restrict", "port-forwarding"]
    assert [each for each in options if each.startswith("permit")] == [
        'permitlisten="203.0.113.9:40001"',
        'permitlisten="127.0.0.5:40002"',
        'permitlisten="127.0.0.5:40003"',
    ]


@pytest.mark.parametrize(
    "binding",
    [
        {"instance_id": 1, "kind": "ssh", "port": 22},
        {"instance_id": 1, "kind": "ssh", "port": '1",permitopen="*'},
        {"instance_id": 1, "kind": "vnc", "port": 40001},
        {"instance_id": True, "kind": "ssh", "port": 40001},
        {"instance_id": 1, "port": 40001},
    ],
)
def test_an_answer_of_the_service_that_is_not_exactly_one_permits_nothing(binding: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        parse_ports({"host_id": 7, "bindings": [binding]})
