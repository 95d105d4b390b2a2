"""Guests: whole machines with systemd, control groups v2 and newer programs, in which hosts are tried.

    make test-vm                          everything of plan.py
    python -m tests.vm trixie             one machine of it
    python -m tests.vm shell trixie       such a guest to look around in

`images` makes a disk image of each suite once, `guest` boots one, `plan` says what runs where, `steps` runs it;
`inside` and `outside` have tests that need a guest. `make test` runs none of these.
"""
