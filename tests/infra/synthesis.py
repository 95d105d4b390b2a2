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
    texts = {name: (folder / "cdk.out" / f"{prefix}-{name}.template.json").read_text() for name in STACKS}
    return Synthesized(app, folder / "cdk.out", {name: json.loads(text) for name, text in texts.items()})
