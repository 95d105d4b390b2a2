"""Why a container ended before its program had begun, which its runtime writes into the container's own log.

The kernel says that a script is missing where the program of its first line is: that line is read from the container.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gpulease_host.docker_engine.docker_api import DockerApi
from gpulease_host.docker_engine.lately import Lately
from gpulease_host.engine import EngineError

SAID = re.compile(
    r"(?:exec [^\n]*|standard_init_linux\.go:\d+: exec user process caused): "
    r"(no such file or directory|exec format error|permission denied)"
)
HEAD_BYTES = 256
OTHER_KIND = (
    "Its program did not start: it is neither made for this kind of processor nor a script with a first line such as "
    "#!/bin/sh. Mend the image, or choose a tag for this processor (program_of_other_kind)."
)
NOT_EXECUTABLE = (
    "Its program did not start: it may not be executed. Set its permission to execute (chmod +x) in the image, and "
    "push it again (program_not_executable)."
)
MISSING = (
    "Its program did not start: it needs a file that is not in the image, such as the loader of its libraries. Mend "
    "the image, and push it again (program_missing)."
)
CARRIAGE_RETURN = (
    "Its script did not start: its lines end as on Windows (CRLF), so its first line names a program that is not "
    "there. Save it with Unix line ends (LF), and push the image again (script_with_crlf)."
)
NO_INTERPRETER = (
    "Its script did not start: the program that its first line (#!) names is not in the image. Mend that line or add "
    "the program, and push the image again (program_missing)."
)


class ExecFailures:
    """Asks once for each run of a container."""

    def __init__(self, api: DockerApi) -> None:
        self._api = api
        self._known = Lately[tuple[str, str], str | None]()

    def why_not_begun(self, inspected: Mapping[str, Any]) -> str | None:
        """None where its program had begun, still runs, or ended well."""
        state = inspected["State"]
        if state["Status"] != "exited" or not state["ExitCode"]:
            return None
        key = (str(inspected["Id"]), str(state["StartedAt"]))
        if key not in self._known:
            self._known[key] = self._ask(inspected)
        return self._known[key]

    def _ask(self, inspected: Mapping[str, Any]) -> str | None:
        """What cannot be read says nothing."""
        try:
            written = self._api.logs(str(inspected["Id"]), 1, None, list)
            line = written[-1][1].decode(errors="replace").partition(" ")[2].strip() if written else ""
            found = SAID.fullmatch(line)
            if found is None:
                return None
            if found[1] == "exec format error":
                return OTHER_KIND
            if found[1] == "permission denied":
                return NOT_EXECUTABLE
            return why_missing(self._api.read_head(str(inspected["Id"]), str(inspected.get("Path", "")), HEAD_BYTES))
        except EngineError:
            return None


def why_missing(head: bytes | None) -> str:
    """`head` is how the file begins; None where it cannot be read."""
    if head is None or not head.startswith(b"#!"):
        return MISSING
    return CARRIAGE_RETURN if head.partition(b"\n")[0].endswith(b"\r") else NO_INTERPRETER
