"""The agent's life: register, poll for messages, tell that it lives, until it is told to stop."""

import fcntl
import logging
import platform
import socket
import threading
import time
from collections.abc import Mapping

from local.agent.courier import Backoff, Courier
from local.agent.identity import Identity, IdentityError, keep_instance_id, load_identity, prepare_identity
from local.agent.ledger import Ledger
from local.agent.reply import AGENT_NAME, AGENT_VERSION
from local.agent.runner import Runner
from local.agent.session import RoleSession
from local.agent.settings import Settings
from local.agent.wire import JsonObject, UnreachableError, Wire, WireError

STOP_PATIENCE_S = 5.0

log = logging.getLogger(__name__)


class Agent:
    """One registered machine's agent."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self._settings = settings
        self._environment = environment
        self._wire = Wire(settings.endpoint, settings.region)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Make `run` return soon."""
        self._stopping.set()

    def claim(self) -> None:
        """Hold the state directory: two agents on one would each run what the other was handed."""
        self._settings.state_dir.mkdir(parents=True, exist_ok=True)
        self._claim = (self._settings.state_dir / "lock").open("w")
        try:
            fcntl.flock(self._claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise IdentityError(f"Another agent uses {self._settings.state_dir}.") from error

    def register(self) -> str:
        """Return this machine's id; register first if an activation was given that it has not used yet."""
        activation = self._settings.activation
        if activation is None:
            return self._identity().instance_id
        identity = prepare_identity(self._settings.state_dir, activation[0])
        if not identity.instance_id:
            identity = keep_instance_id(self._settings.state_dir, identity, self._register(identity, activation))
        return identity.instance_id

    def run(self) -> None:
        """Serve until told to stop; then give running commands a few seconds."""
        identity = self._identity()
        session = RoleSession(self._wire, identity, self._settings.credentials_file)
        courier = Courier(session, identity.instance_id, self._stopping)
        runner = Runner(
            courier,
            Ledger(self._settings.state_dir / "commands.jsonl"),
            folder=self._settings.state_dir / "orchestration",
            environment=self._script_environment(identity),
            clock=time.time,
        )
        runner.start()
        for loop in (lambda: self._ping(courier), lambda: self._poll(courier, runner)):
            threading.Thread(target=loop, daemon=True).start()
        self._stopping.wait()
        deadline = time.monotonic() + STOP_PATIENCE_S
        while not runner.is_idle() and time.monotonic() < deadline:
            time.sleep(0.05)

    def _identity(self) -> Identity:
        identity = load_identity(self._settings.state_dir)
        if identity is None or not identity.instance_id:
            raise IdentityError("This machine is not registered: start once with --register CODE ID.")
        return identity

    def _register(self, identity: Identity, activation: tuple[str, str]) -> str:
        backoff = Backoff(self._stopping)
        while True:
            try:
                answer = self._wire.call(
                    "ssm", "AmazonSSM.RegisterManagedInstance", _request(identity, activation), None
                )
                return str(answer["InstanceId"])
            except UnreachableError as error:
                log.warning("not registered yet: %s", error)
                if self._stopping.is_set():
                    raise
                backoff.wait()

    def _poll(self, courier: Courier, runner: Runner) -> None:
        backoff = Backoff(self._stopping)
        while not self._stopping.is_set():
            try:
                for message in courier.receive():
                    runner.take(message)
                backoff.reset()
            except WireError as error:
                log.warning("poll: %s", error)
                backoff.wait()

    def _ping(self, courier: Courier) -> None:
        backoff = Backoff(self._stopping)
        while not self._stopping.is_set():
            try:
                courier.ping(_facts())
            except WireError as error:
                log.warning("ping: %s", error)
                backoff.wait()
                continue
            backoff.reset()
            self._stopping.wait(self._settings.ping_interval_s)

    def _script_environment(self, identity: Identity) -> dict[str, str]:
        return {
            **self._environment,
            "PATH": self._settings.script_path,
            "AWS_SSM_INSTANCE_ID": identity.instance_id,
            "AWS_SSM_REGION_NAME": self._settings.region,
        }


def _request(identity: Identity, activation: tuple[str, str]) -> JsonObject:
    return {
        "ActivationCode": activation[1],
        "ActivationId": activation[0],
        "Fingerprint": identity.fingerprint,
        "PublicKey": identity.public_key(),
        "PublicKeyType": "Rsa",
    }


def _facts() -> JsonObject:
    try:
        system = platform.freedesktop_os_release()
    except OSError:
        system = {}
    return {
        "AgentName": AGENT_NAME,
        "AgentStatus": "Active",
        "AgentVersion": AGENT_VERSION,
        "ComputerName": socket.gethostname(),
        "IPAddress": "127.0.0.1",
        "PlatformName": system.get("NAME", "Linux"),
        "PlatformType": "Linux",
        "PlatformVersion": system.get("VERSION_ID", ""),
    }
