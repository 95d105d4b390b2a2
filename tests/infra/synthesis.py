"""Synthesized templates for the tests, without the dependency layer that a real deployment needs first."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aws_cdk as cdk

from infra.layer import STAMP, fingerprint
from infra.synth import build_app

STACKS = ("Data", "Host", "Service")
HOST_KEY = f"ssh-ed25519 {'A' * 68}"
PROXIED = {
    "stage": "prod",
    "alarm_email": "on-call@example.com",
    "zone": "gpu.example.com",
    "proxy": json.dumps({"addresses": ["ssh.example.com"], "first_port": 30_000, "last_port": 49_999}),
    "proxy_machines": json.dumps(
        {
            "elastic_ips": {"198.51.100.1": "eipalloc-0000000a", "198.51.100.2": "eipalloc-0000000b"},
            "host_key": HOST_KEY,
        }
    ),
}
"""With machines for proxies, which no stage has by itself."""
Resource = dict[str, Any]


@dataclass(frozen=True)
class Synthesized:
    """One stage's assembly: its folder, and each stack's template by the last word of its name."""

    app: cdk.App
    folder: Path
    templates: Mapping[str, dict[str, Any]]

    def resources(self, kind: str) -> dict[str, Resource]:
        """All resources of a type, in every stack, by logical id."""
        return {name: found for name, found in self.all_resources() if found["Type"] == kind}

    def all_resources(self) -> Iterator[tuple[str, Resource]]:
        for template in self.templates.values():
            yield from template["Resources"].items()

    def outputs(self) -> set[str]:
        return {name for template in self.templates.values() for name in template.get("Outputs", {})}


def stand_in_layer(folder: Path) -> Path:
    """A directory that synthesis takes for the built layer."""
    (folder / "python").mkdir(parents=True)
    (folder / STAMP).write_text(fingerprint())
    return folder


def synthesize(folder: Path, overrides: Mapping[str, str], *, reviewed: bool = False) -> Synthesized:
    app = build_app(overrides, folder / "cdk.out", stand_in_layer(folder / "layer"))
    if reviewed:
        from infra.review import review  # its check pack loads slowly

        review(app)
    app.synth()
    prefix = f"GpuLease-{overrides['stage']}"
    names = (*STACKS, "Proxy") if "proxy_machines" in overrides else STACKS
    texts = {name: (folder / "cdk.out" / f"{prefix}-{name}.template.json").read_text() for name in names}
    return Synthesized(app, folder / "cdk.out", {name: json.loads(text) for name, text in texts.items()})
