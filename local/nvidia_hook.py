"""A double of NVIDIA's container hook, for machines without NVIDIA's toolkit.

Docker calls the program `nvidia-container-runtime-hook prestart` before a container's first process, with the
container's OCI state on standard input, once per container that asked for GPUs. The real one mounts the devices; this
one records, per UUID, which container got it, and fails the start for a UUID that no host has declared: a file of that
name in the directory GPULEASE_SIMULATED_GPUS. Standard library only: it runs without a virtual environment, and it is
on the path of every start.
"""

import json
import os
import sys
import time


def main() -> int:
    state = json.load(sys.stdin)
    with open(os.path.join(state["bundle"], "config.json"), encoding="utf-8") as file:  # noqa: PTH118, PTH123
        config = json.load(file)
    environment = dict(entry.split("=", 1) for entry in config["process"]["env"] if "=" in entry)
    wanted = environment.get("NVIDIA_VISIBLE_DEVICES", "")
    uuids = [] if wanted in ("", "void", "none") else wanted.split(",")
    directory = os.environ["GPULEASE_SIMULATED_GPUS"]
    unknown = [uuid for uuid in uuids if "/" in uuid or not os.path.isfile(f"{directory}/{uuid}")]  # noqa: PTH113
    if unknown:
        print(f"nvidia-container-cli: device error: {', '.join(unknown)}: unknown device", file=sys.stderr)
        return 1
    record = json.dumps({"container": state["id"], "pid": state.get("pid"), "at": int(time.time())})
    for uuid in uuids:
        with open(f"{directory}/{uuid}", "a", encoding="utf-8") as file:  # noqa: PTH123
            file.write(record + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main() if sys.argv[1:2] == ["prestart"] else 0)
