"""A stand-in for amazon-ssm-agent: takes commands for this machine from SSM and runs them.

It says on the wire what the real agent says, and is as strict: the same parameter check, substitution and replies. The
real one can take its place on any host. Start it with `python -m local.agent`.
"""
