"""Brings a local cloud to what the sources say: starts it, or deploys over the one that runs, as `cdk deploy` would.

What changed decides how. Templates and functions are updated in place: executions keep the definition that they began
with, and nobody notices. When the cloud's own code changed (`local/`, the emulator's version), it is stopped and
started again: the journal is replayed and every contract resumed. A deployment that fails is rolled back by the
emulator, and the service goes on as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from local import supervise
from local.cloud.settings import CloudInfo, read_settings
from local.deploy import ClientSource, DeployError, deploy


def bring_up(state: Path, front_port: int, assembly: Path, say: Callable[[str], object] = print) -> CloudInfo:
    """A cloud that serves these templates. Raises ProcessError, DeployError."""
    before = supervise.running("cloud", state=state)
    if before is None:
        say("Starting the local cloud …")
    info = supervise.start_cloud(state, front_port, assembly)
    if before is not None and before.pid != info.pid:
        say("The local cloud's own code has changed: it was started again, and every contract goes on.")
    return _deploy_over(state, info, assembly, say)


def _deploy_over(state: Path, info: CloudInfo, assembly: Path, say: Callable[[str], object]) -> CloudInfo:
    settings = read_settings(state)
    if settings is None or settings.assembly == str(assembly):
        return info
    try:
        deployment = deploy(
            assembly,
            ClientSource(info.client),
            account=info.account_id,
            region=info.region,
            zip_cache=settings.zip_cache_folder,
        )
    except DeployError as error:
        sentence = "The service runs on as it was. `make down` and `make up` deploy afresh, with all its contracts."
        raise DeployError(f"{error}\n{sentence}") from error
    replace(settings, assembly=str(assembly)).write()
    updated = replace(info, outputs=deployment.outputs)
    updated.write(state)
    say(f"The running service was updated in place, in {deployment.seconds:.1f} s.")
    return updated
