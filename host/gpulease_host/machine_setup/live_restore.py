"""Docker's live-restore, in the owner's daemon.json: containers run on while Docker restarts.

dockerd takes a reload in which a flag and the file contradict each other, and then refuses to start: days later, at its
next update. So the owner's file is proved before it is touched, and the new one before it is put in force. What was
changed is noted, and undone only as long as nobody has changed the file since.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gpulease_host.engine import EngineError
from gpulease_host.files import sync_folder, write_durably
from gpulease_host.machine_setup.dockerd import Dockerd
from gpulease_host.machine_setup.errors import MachineSetupError

KEY = "live-restore"
ASIDE = "daemon.json.before-gpulease"
NOTE = "docker-settings"
TAKEN_TIMEOUT_S = 30
LOOK_S = 0.5


@dataclass(frozen=True)
class Note:
    """What is needed to undo it."""

    path: str
    had_file: bool
    had_folder: bool
    written_sha256: str


@dataclass(frozen=True)
class LiveRestore:
    """`info` is Docker's own; `folder` is where it is noted what was changed."""

    info: Callable[[], Mapping[str, Any]]
    find_dockerd: Callable[[], Dockerd]
    folder: Path
    sleep: Callable[[float], None] = time.sleep

    @property
    def _note(self) -> Path:
        return self.folder / NOTE

    def turn_on(self) -> str:
        """Raises MachineSetupError and EngineError."""
        info = self.info()
        if info.get("LiveRestoreEnabled"):
            return "live-restore is on"
        dockerd = self.find_dockerd()
        _refuse_conflicts(info, dockerd)
        path = dockerd.settings_path
        try:
            self._change(dockerd, path, path.read_bytes() if path.exists() else None)
        except OSError as error:
            raise MachineSetupError(f"{path} could not be changed: {error}") from error
        return f"live-restore is on now, in {path}"

    def turn_off(self) -> str:
        """Undo `turn_on`, if it was that that turned it on. A Docker that runs keeps it until its next start."""
        if not self._note.exists():
            return "its settings are the owner's, and stay"
        note = Note(**json.loads(self._note.read_bytes()))
        path = Path(note.path)
        aside = path.with_name(ASIDE)
        if not _has_digest(path, note.written_sha256) or (note.had_file and not aside.exists()):
            self._note.unlink()
            return f"{path} or {aside} was changed since, and stays as it is"
        if note.had_file:
            aside.replace(path)
        else:
            path.unlink()
        if not note.had_folder and not any(path.parent.iterdir()):
            path.parent.rmdir()
        self._note.unlink()
        return f"{path} is as it was; Docker takes that at its next start"

    def _change(self, dockerd: Dockerd, path: Path, before: bytes | None) -> None:
        settings = _parse(path, before)
        if before is not None:
            _prove(dockerd, path, f"Docker would not start with {path} as it is")
        if settings.get(KEY) is not True:
            self._write(dockerd, path, before, json.dumps(settings | {KEY: True}, indent=2).encode() + b"\n")
        try:
            self._reload(dockerd)
        except BaseException:
            self.turn_off()
            with suppress(OSError):
                dockerd.reload()
            raise

    def _write(self, dockerd: Dockerd, path: Path, before: bytes | None, after: bytes) -> None:
        had_folder = path.parent.is_dir()
        path.parent.mkdir(parents=True, exist_ok=True)
        trial, aside = path.with_name(f"{path.name}.gpulease"), path.with_name(ASIDE)
        _write_like(path, trial, after)
        try:
            _prove(dockerd, trial, f"Docker would not start with {KEY} in {path}")
        except MachineSetupError:
            trial.unlink()
            raise
        if before is not None:
            _write_like(path, aside, before)
        note = Note(str(path), before is not None, had_folder, hashlib.sha256(after).hexdigest())
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_durably(self._note, json.dumps(asdict(note)).encode(), mode=0o600)
        trial.replace(path)
        sync_folder(path.parent)

    def _reload(self, dockerd: Dockerd) -> None:
        dockerd.reload()
        for _ in range(round(TAKEN_TIMEOUT_S / LOOK_S)):
            with suppress(EngineError):  # it may be about to be back
                if self.info().get("LiveRestoreEnabled"):
                    return
            self.sleep(LOOK_S)
        raise MachineSetupError(
            f"Docker did not take {KEY} within {TAKEN_TIMEOUT_S} s, so its settings were put back. "
            "See why with journalctl -u docker, and run the same line again."
        )


def _refuse_conflicts(info: Mapping[str, Any], dockerd: Dockerd) -> None:
    if (info.get("Swarm") or {}).get("LocalNodeState", "inactive") != "inactive":
        raise MachineSetupError(
            "This Docker is part of a swarm, which live-restore excludes. Leave it (docker swarm leave), if that may "
            "be, and run the same line again."
        )
    flag = dockerd.flag(KEY)
    if flag is not None:
        raise MachineSetupError(
            f"Docker is started with --{KEY}={flag}, and would not start with {KEY} in its settings too. Take it out "
            "of the command line (systemctl edit docker), restart Docker, and run the same line again."
        )


def _parse(path: Path, before: bytes | None) -> dict[str, Any]:
    try:
        settings = json.loads(before) if before and before.strip() else {}
    except ValueError as error:
        raise MachineSetupError(f"{path} is no JSON ({error}). Mend it, and run the same line again.") from error
    if not isinstance(settings, dict):
        raise MachineSetupError(f"{path} is no JSON object. Mend it, and run the same line again.")
    return settings


def _has_digest(path: Path, sha256: str) -> bool:
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def _prove(dockerd: Dockerd, settings: Path, sentence: str) -> None:
    complaint = dockerd.complaint_about(settings)
    if complaint is not None:
        raise MachineSetupError(f"{sentence}: {complaint}. Mend that, and run the same line again.")


def _write_like(original: Path, path: Path, content: bytes) -> None:
    """With the mode and the owner of the original, if there is one."""
    like = original.stat() if original.exists() else None
    write_durably(path, content, mode=like.st_mode & 0o7777 if like else 0o644)
    if like is not None:
        os.chown(path, like.st_uid, like.st_gid)
