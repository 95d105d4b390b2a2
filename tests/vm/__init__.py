"""Guests: whole machines with systemd, control groups v2 and newer programs, in which hosts are tried.

    make test-vm                       everything of plan.py, on every suite
    python -m tests.vm trixie          one suite
    python -m tests.vm shell trixie    a guest to look around in

`images` makes a disk image of each suite once, `guest` boots one, `plan` says what runs where, `inside` has tests that
only a guest can run. No test of this folder runs in `make test`, but for those of its own parts.
"""
