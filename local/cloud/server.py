"""The cloud's process: MiniStack, journal, local SSM and front door behind two loopback ports.

Every start is a fresh emulator. In this order: listen, serve AWS, deploy the templates, replay the journal, open the
front door, sweep, and last say so in `cloud.json`. Until the replay is done nobody reads or writes a table.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from functools import partial

from hypercorn.asyncio import serve
from hypercorn.config import Config

from local.cloud import emulator, wiring
from local.cloud.asgi import App, Receive, Scope, Send
from local.cloud.frontdoor import FrontDoor
from local.cloud.gate import AwsGate
from local.cloud.journal import Journal
from local.cloud.journaling import JournalingDynamoDb
from local.cloud.replay import replay
from local.cloud.settings import ACCOUNT_ID, HOST, REGION, CloudInfo, CloudSettings
from local.deploy import ClientSource, Deployment, deploy

logger = logging.getLogger("gpulease.cloud")

# Longer than any poll that an agent holds open, so that its connection is not closed between two of them.
KEEP_ALIVE_S = 120
BACKLOG = 512
GRACEFUL_STOP_S = 2
SWEEP_HANDLER = "handlers.sweep.handler"
# As late as a contract can be ahead of time: every execution died with the emulator, so all are started again.
RESUME_EVERYTHING = b'{"late_s": -4000000000}'


class CloudStartError(Exception):
    """The cloud could not come up."""


class PortRouter:
    """One server, two ports: AWS and the front door."""

    def __init__(self, front_port: int, front: App, aws: App) -> None:
        self._front_port = front_port
        self._front = front
        self._aws = aws

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand the request to the application of its port; start and stop belong to the emulator."""
        is_front = scope["type"] != "lifespan" and scope["server"][1] == self._front_port
        await (self._front if is_front else self._aws)(scope, receive, send)


class Cloud:
    """One local cloud from start to stop."""

    def __init__(self, settings: CloudSettings, pid: int) -> None:
        self._settings = settings
        self._pid = pid
        self._stopping = asyncio.Event()
        self._failed = False
        self._front = FrontDoor()
        self._emulator = emulator.asgi_app()
        self._dynamodb = JournalingDynamoDb(self._emulator, wiring.EmulatorTables(), self._give_up)

    async def run(self) -> int:
        """Serve until told to stop; the exit status."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        try:
            config = self._config()
        except CloudStartError as error:
            logger.error("The cloud could not come up: %s", error)
            return 1
        services = wiring.with_local_ssm(self._emulator, self._settings)
        router = PortRouter(self._settings.front_port, self._front, AwsGate(services, self._dynamodb))
        server = loop.create_task(serve(router, config, shutdown_trigger=self._stopping.wait))
        bring_up = loop.create_task(self._bring_up())
        await asyncio.wait({server, bring_up}, return_when=asyncio.FIRST_COMPLETED)
        if bring_up.done() and bring_up.exception() is not None:
            logger.error("The cloud could not come up: %s", bring_up.exception())
            self._failed = True
            self._stopping.set()
        await server
        bring_up.cancel()
        return int(self._failed)

    def _give_up(self, error: OSError) -> None:
        """A journal that cannot be written ends the cloud: it must not acknowledge what it would forget."""
        logger.critical("The journal cannot be written: %s", error)
        self._failed = True
        self._stopping.set()

    async def _bring_up(self) -> None:
        started = time.monotonic()
        deployment = await asyncio.to_thread(self._deploy)
        path = self._settings.state / "journal.jsonl"
        replayed = await replay(self._emulator, path, self._settings.admin_access_key, time.time())
        self._dynamodb.open(Journal(path))
        api_id = _api_id()
        if api_id is not None:
            self._front.open(partial(emulator.call_http_api, api_id))
        info = self._info(deployment)
        await asyncio.to_thread(_sweep, info)
        info.write(self._settings.state)
        logger.info(
            "Ready after %.1f s: %d stacks in %.1f s, %d items put back, %d of unknown tables kept, %d expired",
            time.monotonic() - started,
            len(deployment.stacks),
            deployment.seconds,
            *replayed,
        )

    def _deploy(self) -> Deployment:
        if not self._settings.assembly:
            return Deployment({}, 0.0)
        clients = ClientSource(self._info(Deployment({}, 0.0)).client)
        return deploy(
            self._settings.assembly_folder,
            clients,
            account=ACCOUNT_ID,
            region=REGION,
            zip_cache=self._settings.zip_cache_folder,
        )

    def _info(self, deployment: Deployment) -> CloudInfo:
        return CloudInfo(
            pid=self._pid,
            aws_endpoint=self._settings.aws_endpoint,
            front_url=self._settings.front_url,
            region=REGION,
            account_id=ACCOUNT_ID,
            admin_access_key=self._settings.admin_access_key,
            admin_secret_key=self._settings.admin_secret_key,
            outputs=deployment.outputs,
        )

    def _config(self) -> Config:
        config = Config()
        ports = (self._settings.aws_port, self._settings.front_port)
        config.bind = [f"fd://{_listen(port).detach()}" for port in ports]
        config.backlog = BACKLOG
        config.keep_alive_timeout = KEEP_ALIVE_S
        config.keep_alive_max_requests = 1_000_000_000
        config.graceful_timeout = GRACEFUL_STOP_S
        config.loglevel = "WARNING"
        config.include_server_header = False
        config.include_date_header = False
        return config


def _listen(port: int) -> socket.socket:
    """From now on whoever connects waits for an answer and is not refused."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CloudStartError(f"Port {port} on {HOST} is in use. Stop what uses it, or choose another.") from error
    return listener


def _api_id() -> str | None:
    """The service's HTTP API: the front door has one address, so there is but one."""
    ids = emulator.http_api_ids()
    if len(ids) > 1:
        raise CloudStartError("There are several HTTP APIs, and one front door.")
    return ids[0] if ids else None


def _sweep(info: CloudInfo) -> None:
    """Resume every contract that is not over: executions died with the last process, and what they waited for too.

    The schedule sweeps what is late each minute, so a failure here, whichever, is only a line in the log.
    """
    try:
        functions = info.client("lambda")
        for function in functions.list_functions()["Functions"]:
            if function["Handler"] == SWEEP_HANDLER:
                functions.invoke(
                    FunctionName=function["FunctionName"], InvocationType="Event", Payload=RESUME_EVERYTHING
                )
    except Exception:
        logger.exception("The first sweep was not started")
