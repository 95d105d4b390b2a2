"""The service on a loopback port, as the local cloud mounts it, and agents that talk to it."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
from botocore.config import Config
from hypercorn.asyncio import serve
from hypercorn.config import Config as ServerConfig

from local.ports import free_port
from local.ssm.asgi import Receive, Send, SsmMiddleware
from local.ssm.service import SsmService
from local.ssm.sigv4 import HmacVerifier
from tests.ssm.world import ACCOUNT_ID, DOCUMENT_NAME, REGION, JsonObject, Rights, Sessions, command_document

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

ResultT = TypeVar("ResultT")

OVER = {"Success", "Failed", "TimedOut", "Cancelled", "Undeliverable"}
AGENT_PATH = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"


def wait_until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


async def other_application(scope: Any, receive: Receive, send: Send) -> None:
    """What stands behind the middleware: tells what reached it."""
    body = (await receive()).get("body", b"") if scope["type"] == "http" else b""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"behind:" + body})


class Endpoint:
    """A server in a thread; it can be stopped and started again on the same port and state."""

    def __init__(self, folder: Path, poll_s: float = 18.0) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.rights = Rights()
        self.sessions = Sessions()
        self.events: list[JsonObject] = []
        self.targets: list[str] = []
        self.poll_s = poll_s

    def start(self) -> None:
        """Serve until stopped."""
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        wait_until(self._is_up)

    def stop(self) -> None:
        """Stop serving; open connections are cut."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(10)

    def put_script(self, script: str, timeout_s: int = 60) -> None:
        """Give the document another script."""
        self.service.put_document(DOCUMENT_NAME, command_document(script, timeout_s))

    def on_loop(self, call: Callable[[], ResultT]) -> ResultT:
        """Call something on the server's own event loop."""

        async def called() -> ResultT:
            return call()

        return asyncio.run_coroutine_threadsafe(called(), self._loop).result(10)

    def client(self, key_id: str = "AKIAADMIN", secret: str = "admin-secret") -> "SSMClient":
        """An SDK client as a caller has it."""
        return boto3.client(
            "ssm",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            config=Config(retries={"total_max_attempts": 1}),
        )

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self.service = SsmService(
            self.folder / "ssm.jsonl",
            account_id=ACCOUNT_ID,
            region=REGION,
            authorize=self.rights,
            issue_credentials=self.sessions.issue,
            emit=self.events.append,
            poll_s=self.poll_s,
        )
        app = SsmMiddleware(other_application, self.service, HmacVerifier(self.sessions.keys.get, time.time))
        config = ServerConfig()
        config.bind = [f"127.0.0.1:{self.port}"]
        config.graceful_timeout = 0.1
        config.errorlog = None

        async def noting(scope: Any, receive: Any, send: Any) -> None:
            headers = {name.lower(): value.decode() for name, value in scope.get("headers", [])}
            if target := headers.get(b"x-amz-target"):
                self.targets.append(target.rsplit(".", 1)[-1])
            await app(scope, receive, send)

        self._loop.run_until_complete(serve(noting, config, shutdown_trigger=self._ended.wait))
        self.service.close()

    def _is_up(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class AgentProcess:
    """The stand-in agent as a process of its own."""

    def __init__(self, endpoint: Endpoint, folder: Path) -> None:
        self.endpoint = endpoint
        self.folder = folder
        self.instance_id = ""

    def start(self) -> None:
        """Start it; it registers the first time. Returns when it polls."""
        activation = self.endpoint.client().create_activation(IamRole="HostRole") if not self.instance_id else None
        register = ["--register", activation["ActivationCode"], activation["ActivationId"]] if activation else []
        command = [sys.executable, "-m", "local.agent", "--endpoint", self.endpoint.url, "--region", REGION]
        command += ["--state-dir", str(self.folder), "--credentials-file", str(self.folder / "credentials")]
        polls = self.endpoint.targets.count("GetMessages")
        self.process = subprocess.Popen(
            [*command, "--path", AGENT_PATH, *register], stdout=subprocess.PIPE, stderr=self._log()
        )
        assert self.process.stdout is not None
        self.instance_id = json.loads(self.process.stdout.readline())["instance_id"]
        wait_until(lambda: self.endpoint.targets.count("GetMessages") > polls)

    def kill(self) -> None:
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end."""
        self.process.terminate()
        return self.process.wait(10)

    def _log(self) -> Any:
        return (self.folder.parent / f"{self.folder.name}.log").open("ab")


class Rig:
    """An endpoint, an agent, and the caller's view of its commands."""

    def __init__(self, endpoint: Endpoint, agent: AgentProcess) -> None:
        self.endpoint = endpoint
        self.agent = agent
        self.client = endpoint.client()

    def send(self, order: str = "abc") -> str:
        """Send a command and return its id."""
        sent = self.client.send_command(
            DocumentName=DOCUMENT_NAME,
            InstanceIds=[self.agent.instance_id],
            Parameters={"Order": [order]},
            TimeoutSeconds=120,
        )
        return sent["Command"]["CommandId"]

    def result(self, command_id: str) -> Any:
        """Look at a command."""
        return self.client.get_command_invocation(CommandId=command_id, InstanceId=self.agent.instance_id)

    def outcome(self, command_id: str, seconds: float = 15.0) -> Any:
        """Wait until a command is over."""
        wait_until(lambda: self.result(command_id)["Status"] in OVER, seconds)
        return self.result(command_id)

    def run(self, script: str, order: str = "abc", timeout_s: int = 60) -> Any:
        """Run a script to its end."""
        self.endpoint.put_script(script, timeout_s)
        return self.outcome(self.send(order))
