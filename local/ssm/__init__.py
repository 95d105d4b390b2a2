"""AWS Systems Manager Run Command for hybrid-activated nodes, as a local service.

The local cloud emulates this one AWS service itself, because no emulator has hybrid nodes. It speaks the wire protocol
of the real amazon-ssm-agent, so the real agent and the stand-in of `local.agent` are served alike. `SsmService` is the
whole service without a web server; `SsmMiddleware` mounts it in front of an ASGI application.
"""
