"""Makes another version of the service beside this one: other code, another setting, machine and command document."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from local.supervise import ROOT
from local.synth import SOURCES

VERSION = "B"
NEW_STATE = "considered"
SETTING = {"POWERTOOLS_LOG_LEVEL": "WARNING"}

# Each is what a maintainer may do at any time: add to an answer, to a header, to a description.
ADDED = {
    "functions/handlers/step.py": """
_before = handler


def handler(event, context):
    answer = _before(event, context)
    return answer and {**answer, "version": "B"}
""",
    "functions/handlers/api_root.py": """
_before = handler


def handler(event, context):
    answer = _before(event, context)
    return {**answer, "headers": {"x-version": "B"}}
""",
    "infra/constructs/host_access.py": '\nCOMMAND["description"] = "Version B."\n',
    "infra/config.py": '\nSTAGES["local"] = replace(STAGES["local"], log_level="WARNING")\n',
}


def write_another_version(folder: Path) -> Path:
    """A copy of the sources, changed; what `make up` of a later checkout would deploy."""
    for name in (*SOURCES, "constraints.txt"):
        _copy(ROOT / name, folder / name)
    for name, text in ADDED.items():
        with (folder / name).open("a") as file:
            file.write(text)
    machine = folder / "statemachines" / "contract.asl.json"
    machine.write_text(json.dumps(_with_one_more_state(json.loads(machine.read_text())), indent=2))
    return folder


def _with_one_more_state(machine: dict[str, Any]) -> dict[str, Any]:
    """Every run passes through it right after it has read its contract."""
    machine["States"]["route"]["Next"] = NEW_STATE
    machine["States"][NEW_STATE] = {"Type": "Pass", "Next": "decide"}
    return machine


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)
