"""`make test-vm`: every step of the plan in its guest, two guests side by side, then a summary.

    python -m tests.vm [MACHINE ...]     the plan, of these machines only
    python -m tests.vm shell MACHINE     such a guest with this checkout in it, until you log out

What a step says is in `.local/vm/<machine>-<number>.log`. Ends with 1 when a step failed, with 2 when none could run.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from local import supervise
from local.dockerd_packages import MissingPackagesError
from local.site import LOCAL
from tests.vm import images
from tests.vm.guest import CHECKOUT, booted
from tests.vm.images import ImageError
from tests.vm.plan import PLAN, Machine
from tests.vm.steps import LOGS, Result, run_machine

SIDE_BY_SIDE = 2
"""Guests; each has one busy processor most of the time."""


def main(arguments: Sequence[str]) -> int:
    is_shell = arguments[:1] == ["shell"]
    names = list(arguments[1:] if is_shell else arguments) or list(PLAN)
    if unknown := [name for name in names if name not in PLAN]:
        print(f"There is no machine {unknown[0]}. There are: {', '.join(PLAN)}.", file=sys.stderr)
        return 2
    try:
        with alone():
            images.prepare()
            return shell(names[0]) if is_shell else run(names)
    except (BlockingIOError, ImageError, MissingPackagesError) as error:
        print(error, file=sys.stderr)
        return 2


@contextmanager
def alone() -> Iterator[None]:
    """One at a time in this checkout: what others have left is cleared. Raises BlockingIOError."""
    images.CACHE.mkdir(parents=True, exist_ok=True)
    with (images.CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError("Guests of this checkout run already. Wait for them, or end them.") from error
        images.clear_leftovers()
        for state in LOCAL.glob("vm-*"):
            supervise.stop_cloud(state)
        yield


def run(names: Sequence[str]) -> int:
    LOGS.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        results = [result for of_one in pool.map(run_one, names) for result in of_one]
    print("\n" + "\n".join(result.line() for result in results))
    failed = sum(not result.passed for result in results)
    print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


def run_one(name: str) -> list[Result]:
    """Its disk is made when its turn comes, beside the other guest."""
    try:
        return run_machine(name, image_for(PLAN[name]))
    except ImageError as error:
        return [Result(name, "its disk", str(error), 0, False)]


def image_for(machine: Machine) -> images.Image:
    """One for all machines of its suite. Raises ImageError."""
    alike = [each for each in PLAN.values() if each.suite == machine.suite]
    return images.provide(machine.suite, with_browser=any(each.with_browser for each in alike))


def shell(name: str) -> int:
    with booted(image_for(PLAN[name])) as guest:
        guest.login.copy_checkout()
        print(f"The checkout is in {CHECKOUT}. This guest goes when you log out.", flush=True)
        return subprocess.run(guest.login.ssh(f"cd {CHECKOUT}; exec bash -l", "-t")).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
