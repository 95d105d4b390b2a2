"""Reads a synthesized CDK assembly: its stacks in the order they need each other, and their files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class AssemblyError(Exception):
    """The folder is not an assembly that can be deployed."""


@dataclass(frozen=True)
class Asset:
    """One file or folder that a template refers to by its key in the bootstrap bucket."""

    source: Path
    bucket: str
    key: str
    is_folder: bool


@dataclass(frozen=True)
class Stack:
    """One stack: where its template lies, which assets it brings, which stacks come first."""

    name: str
    artifact_id: str
    template: Path
    assets: tuple[Asset, ...]
    needs: tuple[str, ...]

    @property
    def template_asset(self) -> Asset:
        """The template's own place in the bootstrap bucket."""
        return next(asset for asset in self.assets if asset.source == self.template)

    def layer_keys(self) -> frozenset[str]:
        """The bucket keys that the stack's Lambda layers are made from."""
        resources: Mapping[str, Any] = json.loads(self.template.read_text()).get("Resources", {})
        layers = (r for r in resources.values() if r["Type"] == "AWS::Lambda::LayerVersion")
        return frozenset(layer["Properties"]["Content"]["S3Key"] for layer in layers)


def read_stacks(folder: Path, *, account: str, region: str) -> list[Stack]:
    """The assembly's stacks, each after those it needs."""
    manifest = folder / "manifest.json"
    if not manifest.exists():
        raise AssemblyError(f"{folder} holds no manifest.json.")
    artifacts: Mapping[str, Any] = json.loads(manifest.read_text())["artifacts"]
    stacks = {
        artifact_id: _read_stack(folder, artifact_id, artifacts, account, region)
        for artifact_id, artifact in artifacts.items()
        if artifact["type"] == "aws:cloudformation:stack"
    }
    return list(_in_order(stacks))


def _read_stack(folder: Path, artifact_id: str, artifacts: Mapping[str, Any], account: str, region: str) -> Stack:
    artifact = artifacts[artifact_id]
    needs = artifact.get("dependencies", [])
    manifests = [artifacts[name] for name in needs if artifacts[name]["type"] == "cdk:asset-manifest"]
    files = [folder / manifest["properties"]["file"] for manifest in manifests]
    return Stack(
        name=artifact["properties"].get("stackName", artifact_id),
        artifact_id=artifact_id,
        template=folder / artifact["properties"]["templateFile"],
        assets=tuple(asset for file in files for asset in _read_assets(folder, file, account, region)),
        needs=tuple(name for name in needs if artifacts[name]["type"] == "aws:cloudformation:stack"),
    )


def _read_assets(folder: Path, manifest: Path, account: str, region: str) -> Iterator[Asset]:
    for entry in json.loads(manifest.read_text()).get("files", {}).values():
        destination = next(iter(entry["destinations"].values()))
        bucket = destination["bucketName"].replace("${AWS::AccountId}", account).replace("${AWS::Region}", region)
        is_folder = entry["source"].get("packaging") == "zip"
        yield Asset(folder / entry["source"]["path"], bucket, destination["objectKey"], is_folder)


def _in_order(stacks: Mapping[str, Stack]) -> Iterator[Stack]:
    done: set[str] = set()
    while len(done) < len(stacks):
        ready = [s for s in stacks.values() if s.artifact_id not in done and done.issuperset(s.needs)]
        if not ready:
            raise AssemblyError("The stacks need each other in a circle.")
        for stack in ready:
            done.add(stack.artifact_id)
            yield stack
