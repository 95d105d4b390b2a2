"""Why a container did not start, told apart by what Docker said: the client's image, this host, or nobody knows.

What a client may have written (names of programs, users, folders) is quoted in what Docker says. So their own faults
are looked for first, and signs of the host's only outside of quotation marks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
"""As Go writes what it quotes: a client's own quotation mark has a backslash before it."""

Whose = Literal["client", "gpus", "host", "passing"]


@dataclass(frozen=True)
class Cause:
    """`signs`: any of them, in small letters. `what` goes on after "could not be started: "; `remedy` is an order, to
    the client or to the host's owner, by `whose` fault it is; what is `passing` is tried again."""

    code: str
    whose: Whose
    signs: tuple[str, ...]
    what: str
    remedy: str


CLIENTS = (
    Cause(
        "program_not_executable",
        "client",
        ("permission denied",),
        "the program that it is to run may not be executed in the image",
        "set its permission to execute (chmod +x), and push the image again",
    ),
    Cause(
        "program_of_other_kind",
        "client",
        ("exec format error",),
        "the program is neither for this kind of processor nor a script with a first line such as #!/bin/sh",
        "mend the image, or choose a tag that is made for this processor",
    ),
    Cause(
        "program_missing",
        "client",
        ("executable file not found", "no such file or directory", "is a directory"),
        "the program that it is to run is not in the image, or a script's first line names one that is not there",
        "check entrypoint and args, and that scripts have Unix line ends",
    ),
)
"""What is said of the program that is to run: looked for only behind `exec:` of the container's own process."""

CAUSES = (
    Cause(
        "user_missing",
        "client",
        (
            "unable to find user",
            "unable to find group",
            "no matching entries in passwd",
            "no matching entries in group",
        ),
        "the image is to run as a user or group that it does not have",
        "mend the USER of the image, and push it again",
    ),
    Cause(
        "no_program",
        "client",
        ("no command specified", "no command or entrypoint specified"),
        "the image names no program to run",
        "give entrypoint or args",
    ),
    Cause(
        "init_missing",
        "client",
        ("exec: : executable file not found",),
        "the Docker of this host has no docker-init",
        "rent without init, or choose another host",
    ),
    Cause(
        "bad_folder",
        "client",
        (
            "chdir to cwd",
            "cannot mkdir",
            "mkdir cwd",
            "not a directory",
            "working directory",
            "on ordinary directory",
            "too many levels of symbolic links",
            "file name too long",
        ),
        "a folder that it needs is not a folder in the image",
        "mend the WORKDIR of the image, and let /opt, /run and /dev be folders",
    ),
    Cause(
        "driver_too_old",
        "client",
        ("unsatisfied condition",),
        "the image asks for a newer NVIDIA driver than this host has",
        "choose an image for an older CUDA, or a host with a newer driver",
    ),
    Cause(
        "bad_gpu_variables",
        "client",
        ("requirement error", "unsupported capabilities"),
        "the image's NVIDIA variables are not understood",
        "mend NVIDIA_REQUIRE_… and NVIDIA_DRIVER_CAPABILITIES of the image",
    ),
    Cause(
        "libraries_not_listed",
        "client",
        ("ldcache error",),
        "the image does not let NVIDIA's libraries be listed in it",
        "mend its /etc/ld.so.conf and libraries, or choose a newer image",
    ),
    Cause(
        "too_long",
        "client",
        ("argument list too long",),
        "its environment and arguments are longer than the kernel takes",
        "shorten env and args",
    ),
    Cause(
        "disk_of_instance_full",
        "client",
        ("disk quota exceeded",),
        "the disk of this instance is full",
        "rent with a larger disk_gib",
    ),
    Cause(
        "driver_mismatch",
        "host",
        ("driver/library version mismatch", "api mismatch"),
        "the NVIDIA driver in the kernel and its library are of different versions",
        "Restart the machine: the driver was updated under the running kernel.",
    ),
    Cause(
        "driver_not_loaded",
        "host",
        ("driver not loaded", "libnvidia-ml.so", "libcuda.so", "nvidia-smi has failed", "load library failed"),
        "the NVIDIA driver is not loaded",
        "Install it for the running kernel, or restart the machine.",
    ),
    Cause(
        "gpu_hook_missing",
        "host",
        ("could not select device driver", "nvidia-container-runtime-hook", "unresolvable cdi devices"),
        "Docker cannot hand GPUs to containers",
        "Install nvidia-container-toolkit, run `nvidia-ctk runtime configure`, and restart Docker.",
    ),
    Cause(
        "gpu_not_given",
        "gpus",
        ("nvidia-container-cli", "unknown device", "nvml", "gpu is lost", "running hook", "prestart hook"),
        "its GPUs cannot be handed to containers",
        "Look at `nvidia-smi` and at the kernel's log; often the machine has to be restarted.",
    ),
    Cause(
        "firewall_refused",
        "host",
        ("iptables", "ip6tables", "nftables", "no chain/target/match", "programming external connectivity"),
        "Docker cannot set its firewall rules",
        "Restart Docker after other firewalls, and let it set its rules.",
    ),
    Cause(
        "network_not_made",
        "host",
        ("failed to create endpoint", "veth", "failed to set up container networking", "address pool"),
        "its network cannot be made",
        "Restart Docker, and look at its log.",
    ),
    Cause(
        "confinement_refused",
        "host",
        ("apparmor", "seccomp", "selinux"),
        "the kernel does not take the profile that confines it",
        "Restart Docker, so that it loads its profiles again (AppArmor, seccomp or SELinux).",
    ),
    Cause(
        "groups_refused",
        "host",
        ("cgroup", "unable to start unit"),
        "its control groups cannot be made",
        "Restart Docker, or the machine if that does not help.",
    ),
    Cause(
        "docker_disk_full",
        "host",
        ("no space left on device",),
        "the host's disk is full",
        "Free some of the disk that Docker's data is on.",
    ),
    Cause(
        "docker_disk_faulty",
        "host",
        ("input/output error", "structure needs cleaning", "overlay mount", "overlayfs"),
        "the host's disk does not give its data",
        "Look at the kernel's log for faults of the disk that Docker's data is on.",
    ),
    Cause(
        "resources_used_up",
        "host",
        ("cannot allocate memory", "too many open files", "resource temporarily unavailable"),
        "the host's own memory, files or processes are used up",
        "Look for what else runs on this machine, and raise the limits of docker.service.",
    ),
    Cause(
        "runtime_fails",
        "host",
        ("unknown or invalid runtime", "unknown runtime", "did not terminate successfully", "unable to retrieve oci"),
        "Docker's runtime fails",
        "Install runc and containerd again as they belong to this Docker, and restart Docker.",
    ),
    Cause(
        "toolkit_gone",
        "host",
        ("bind source path does not exist",),
        "the programs that let people in are gone from this host",
        "Restart gpulease-host, which makes them anew.",
    ),
    Cause(
        "containerd_away",
        "passing",
        ("containerd.sock", "context deadline exceeded", "transport is closing", "connection error: desc"),
        "Docker's containerd does not answer",
        "it is tried again",
    ),
)
PROGRAM = re.compile(r'exec: "((?:[^"\\]|\\.)+)"')
MOST_NAME = 80
EXEC_OF_IMAGE = re.compile(r"(?:unable to start container process|starting container process caused)[^:]*: .*?exec:")


def cause_of(said: str) -> Cause | None:
    """Behind `exec:` stands what the client wrote, also without quotation marks: no sign of the host's counts there."""
    told = unquoted(said.lower())
    of_image = _of_program(told)
    if of_image is None:
        return _first(CAUSES, told)
    return _first((*CLIENTS, *(cause for cause in CAUSES if cause.whose == "client")), told[of_image.end() :])


def is_of_program(said: str) -> bool:
    """Whether it is said of the program that is to run, which the client or the image names."""
    return _of_program(unquoted(said.lower())) is not None


def _of_program(told: str) -> re.Match[str] | None:
    found = EXEC_OF_IMAGE.search(told)
    return None if found is None or "hook" in found[0] else found


def program_of(said: str) -> str:
    """In quotation marks, as the client or the image names it; empty where it is not said."""
    found = PROGRAM.search(said)
    return "" if found is None else json.dumps(found[1][:MOST_NAME], ensure_ascii=False)


def unquoted(said: str) -> str:
    return QUOTED.sub("", said)


def _first(causes: Sequence[Cause], said: str) -> Cause | None:
    return next((cause for cause in causes if any(sign in said for sign in cause.signs)), None)
