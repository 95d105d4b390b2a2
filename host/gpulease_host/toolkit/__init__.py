"""The toolkit: a read-only folder that gives any Linux container sshd, a shell and JupyterLab, built once by the host.

layout ── where things are inside a container
packages ── what it is made of; elf, python_copy ── how that is made relocatable; running ── other programs
building ── one build, origins ── what it was made of, manifest ── proof of it, store ── the built ones on this machine
inside/ ── the programs that run in containers
"""
