"""Modes ssh and jupyter on Docker: what a container is given for them, and whether they work.

A container has the link `current` mounted, not the toolkit behind it: so each start runs on the newest one, and a
running container keeps the one it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpulease_host.engine import WAYS_IN, EngineError, Order, Secrets
from gpulease_host.launch import reaching
from gpulease_host.launch.instance_files import InstanceFiles, files_of
from gpulease_host.launch.ssh_keys import SshKeyError
from gpulease_host.toolkit import layout
from gpulease_host.toolkit.background import ToolkitKeeper
from gpulease_host.toolkit.store import ToolkitStore

HOME = "/root"
CONVINCING = 2
"""So many trials in a row must fail: a machine may be busy for a while."""
NOBODY_GOT_IN = (
    "Nobody could log in to a container of this host's own, which was started for that (way_in_failed). See what ssh "
    "said: journalctl -u gpulease-host"
)


class WayInError(EngineError):
    """The host could not prepare the way in."""

    code = "way_in_refused"


class NobodyGotInError(WayInError):
    """A container of this host's own runs, and lets nobody in."""


@dataclass(frozen=True)
class Launch:
    """What a container is created with, in place of the image's entrypoint."""

    toolkit: Path
    instance: Path


class WaysIn:
    """`attends`: the toolkit is built and renewed also while nobody starts what needs it."""

    def __init__(self, folder: Path, store: ToolkitStore, *, attends: bool = False) -> None:
        self._folder = folder
        self._store = store
        self._attends = attends
        self.keeper = ToolkitKeeper(self._store)
        self._failed_trials = 0

    def modes(self) -> dict[str, str | None]:
        """Every launch mode: None where this host serves it now, else why not, in a sentence.

        A toolkit is whole or not there, so JupyterLab and ssh go together.
        """
        if self._attends:
            self.keeper.attend()
        reason = self.keeper.why_not_served() or (NOBODY_GOT_IN if self._failed_trials >= CONVINCING else None)
        return {"args": None, **dict.fromkeys(sorted(WAYS_IN), reason)}

    @contextmanager
    def trial(self) -> Iterator[None]:
        """Counts what comes of it; raises WayInError where there is no toolkit to try yet."""
        if self.keeper.ready() is None:
            raise WayInError(self.keeper.why_one_waits() or "The toolkit is gone.")
        try:
            yield
        except NobodyGotInError:
            self._failed_trials += 1
            raise
        self._failed_trials = 0

    def why_not_startable(self, order: Order) -> str | None:
        return self.keeper.why_one_waits() if order.mode in WAYS_IN else None

    def prepare(self, order: Order, secrets: Secrets, workdir: str | None) -> Launch:
        """Before each start. `workdir` is the image's; None for a container that was made with it before."""
        if self.keeper.ready() is None:
            raise WayInError(self.keeper.why_one_waits() or "The toolkit is gone.")
        files = self.files(order.instance_id)
        if order.mode == "jupyter" and files.certificate is None:
            raise WayInError("JupyterLab has no certificate.")
        try:
            files.prepare(order.mode, secrets, _notebook_folder(workdir, files), order.stop_grace_s)
        except (OSError, SshKeyError) as error:
            raise WayInError(f"The way in could not be prepared: {error}") from error
        return Launch(self._store.folder / "current", files.inside)

    def why_not_reached(self, order: Order, address: str) -> str | None:
        files = self.files(order.instance_id)
        reason = reaching.why_ssh_is_not_reached(address, files)
        if reason is None and order.mode == "jupyter":
            reason = reaching.why_jupyter_is_not_reached(address, files)
        return reason

    def set_ssh_keys(self, instance_id: int, keys: Sequence[str]) -> None:
        files = self.files(instance_id)
        if not files.inside.exists():
            raise WayInError(f"Instance {instance_id} has no ssh here.")
        try:
            files.set_ssh_keys(keys)
        except (OSError, SshKeyError) as error:
            raise WayInError(f"The keys could not be changed: {error}") from error

    def files(self, instance_id: int) -> InstanceFiles:
        return files_of(self._folder, instance_id)

    def remove(self, instance_id: int) -> None:
        """Raises WayInError, for the removal to be tried again: nothing of a token or a host key may stay behind."""
        try:
            self.files(instance_id).remove()
        except OSError as error:
            raise WayInError(f"Keys and token of instance {instance_id} could not be removed: {error}") from error


def launch_config() -> dict[str, Any]:
    """In place of what the image says about its first process."""
    return {
        "Entrypoint": list(layout.INIT),
        "Cmd": [],
        "User": "0:0",
        "StopSignal": "SIGTERM",
    }


def launch_host_config(launch: Launch) -> dict[str, Any]:
    return {
        "Mounts": [
            {"Type": "bind", "Source": str(launch.toolkit), "Target": layout.TOOLKIT, "ReadOnly": True},
            {"Type": "bind", "Source": str(launch.instance), "Target": layout.INSTANCE, "ReadOnly": True},
        ],
        "Tmpfs": {layout.SCRATCH: f"mode=0700,size={layout.SCRATCH_BYTES}"},
    }


def _notebook_folder(workdir: str | None, files: InstanceFiles) -> str:
    if workdir is None:
        try:
            return (files.inside / layout.FOLDER_FILE).read_text()
        except FileNotFoundError:
            return HOME
    return HOME if workdir in ("", "/") else workdir
