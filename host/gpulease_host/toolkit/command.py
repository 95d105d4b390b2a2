"""`gpulease-host toolkit`: what there is, build what is missing, hold what there is to its manifest, name packages."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from gpulease_host.toolkit import manifest, packages
from gpulease_host.toolkit.store import ToolkitStore

MIB = 1 << 20


def run_toolkit(arguments: Sequence[str], folder: Path) -> int:
    """Raises ToolkitError, whose sentence says what to do."""
    parser = argparse.ArgumentParser(prog="gpulease-host toolkit", description="What modes ssh and jupyter run on.")
    parser.add_argument("deed", nargs="?", choices=["build", "verify", "packages"], help="left out: say what there is")
    deed = parser.parse_args(arguments).deed
    if deed == "packages":  # the installer installs each line
        print(*packages.missing(), sep="\n")
        return 0
    store = ToolkitStore(folder)
    if deed == "build":
        store.ensure()
    if deed is not None:
        print(f"{store.verify()} files are as they were built, and the programs run.")
    print(_told(store))
    return 0


def _told(store: ToolkitStore) -> str:
    current = store.current()
    if current is None:
        return f"There is no toolkit in {store.folder} yet; the daemon builds it, or: gpulease-host toolkit build"
    fresh = "of the packages as they are" if store.is_fresh() else "older than the packages; the daemon renews it"
    return f"{current}: {manifest.size_bytes(current) // MIB} MiB, {fresh}"
