"""The handlers as deployed: their environment, and moto in the place of AWS."""

import hashlib
import itertools
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from handlers import (
    api_accounts,
    api_calls,
    api_certificates,
    api_contracts,
    api_hosts,
    api_install,
    api_machine,
    api_offers,
    api_proxy,
    dispatch,
    reports,
    step,
    sweep,
)
from handlers.logs import logger
from rental.adapters import wiring
from rental.adapters.items import Guarded, principal_key
from rental.domain.book import Book
from rental.domain.host import Host, HostStatus
from rental.domain.ids import HostId, OfferId
from rental.ports import Extras, OfferPlace, Principal
from tests.conftest import FAKE_CREDENTIALS
from tests.fakes.builders import MOST_GPUS, PROXY, make_listing, make_manifest
from tests.fakes.dynamo import create_liveness_table, create_table
from tests.fakes.http import Answer, call
from tests.fakes.kms import create_token_key
from tests.fakes.machine import TUNNEL_END, Machine

API_URL = "https://api.example.com"
FINE = SimpleNamespace(status_code=200)
ROLE_ARN = "arn:aws:iam::123456789012:role/machine"
CACHES = (
    wiring.session,
    wiring.client,
    wiring.store,
    wiring.access_store,
    wiring.call_store,
    wiring.authority_store,
    wiring.bells,
    wiring.ledger,
    wiring.liveness,
    wiring.workflows,
    wiring.tasks,
    wiring.tokens,
    wiring.proxy,
    api_accounts.access,
    api_accounts.ssh_keys,
    api_calls.calls,
    api_certificates.certificates,
    api_contracts.renting,
    api_contracts.contracts,
    api_hosts.hosts,
    api_install.package,
    api_machine.machines,
    api_machine.answering,
    api_machine.tunneling,
    api_proxy.tunneling,
    api_offers.offers,
    dispatch.dispatching,
    reports.observing,
    step.life,
    sweep.sweeping,
    sweep.silence,
    sweep.clearing,
)
_ids = itertools.count(1)


@pytest.fixture(scope="package")
def deployed() -> Iterator[dict[str, str]]:
    """The resources of the stacks; their names as the functions' environment has them."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in FAKE_CREDENTIALS.items():
            environment.setenv(name, value)
        with mock_aws():
            _forget()
            create_liveness_table(boto3.client("dynamodb"), "liveness")
            sqs, states = boto3.client("sqs"), boto3.client("stepfunctions")
            definition = json.dumps({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}})
            machine = states.create_state_machine(name="life", definition=definition, roleArn=ROLE_ARN)
            key = boto3.client("kms").create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
            yield {
                "AUTHORITY_KEY_ID": key["KeyMetadata"]["KeyId"],
                "ZONE": "localhost",
                "TABLE_NAME": "table",
                "LIVENESS_TABLE_NAME": "liveness",
                "URGENT_QUEUE_URL": sqs.create_queue(QueueName="urgent")["QueueUrl"],
                "NORMAL_QUEUE_URL": sqs.create_queue(QueueName="normal")["QueueUrl"],
                "STATE_MACHINE_ARN": machine["stateMachineArn"],
                "COMMAND_DOCUMENT_NAME": "Command",
                "HOST_ROLE_NAME": "host",
                "EVENT_BUS_NAME": "bus",
                "TUNNEL_ENDS": json.dumps([TUNNEL_END]),
                "API_URL": API_URL,
                "HOST_PACKAGE_BUCKET": "assets",
                "HOST_PACKAGE_KEY": "package.whl",
                "STAGE": "dev",
                "CELL": "0",
                "GRACE_S": "172800",
                "PROVISION_TIMEOUT_S": "600",
                "ALLOW_SIMULATED_GPUS": "true",
                "TOKEN_KEY_ARN": create_token_key(boto3.client("kms")),
                "PROXY": json.dumps(asdict(PROXY)),
            }
            _forget()


def _forget() -> None:
    for cached in CACHES:
        cached.cache_clear()


def _renew_table() -> None:
    """An empty table: moto copies all of it in each transaction."""
    client = wiring.dynamodb()
    if "table" in client.list_tables()["TableNames"]:
        client.delete_table(TableName="table")
    create_table(client, "table")


@dataclass
class Site:
    """A listed host of its own for one test, with the accounts that use it."""

    number: int = field(default_factory=lambda: next(_ids))

    def __post_init__(self) -> None:
        self.host_id = HostId(self.number)
        self.owner = Principal(f"owner-{self.number}", "host")
        self.client = Principal(f"client-{self.number}", "client")
        self.machine = Machine(self.host_id)
        self.now = int(time.time())
        self._seq = itertools.count(1)

    def open(self) -> "Site":
        """Put the host and its offers into the table."""
        manifest = make_manifest(host_id=self.host_id)
        offers = {size: OfferId(self.number * 1000 + size) for size in (1, 2, 4)}
        listing = replace(make_listing(now=self.now), offers=offers)
        manifest = replace(manifest, owner=self.owner.account, listing=listing)
        host = Host(
            self.host_id,
            self.owner.account,
            "rack",
            HostStatus.ACTIVE,
            self.now,
            "0" * 64,
            self.now,
            "activation",
            f"mi-{self.number}",
            self.machine.key,
            manifest.inventory,
        )
        wiring.store().create_host(host)
        places = tuple(OfferPlace(offer_id, self.host_id, size) for size, offer_id in offers.items())
        wiring.store().commit(Book(manifest), Book(manifest), Extras(new_offers=places))
        return self

    def wish(self, size: int = 1, **changes: Any) -> dict[str, Any]:
        """The body of a rental of an offer of this size."""
        return {
            "offer_id": self.number * 1000 + size,
            "image": "alpine:3",
            "args": ["sleep", "600"],
            "env": {"PASSWORD": "hunter2"},
            "disk_gib": 10,
            "duration_s": 3600,
            "label": "x",
        } | changes

    def rent(self, **details: Any) -> Answer:
        body = details.pop("body", None) or self.wish()
        return call(api_contracts.handler, "POST", "/v1/contracts", body, caller=self.client, **details)

    def rented(self, **changes: Any) -> int:
        """The id of a new contract, pending."""
        answer = self.rent(body=self.wish(**changes))
        assert answer.status == 201, answer.text
        return int(answer.body["id"])

    def on_contract(self, method: str, contract_id: object, deed: str = "", body: Any = None, **details: Any) -> Answer:
        details.setdefault("caller", self.client)
        path = f"/v1/contracts/{contract_id}{deed}"
        return call(api_contracts.handler, method, path, body, **details)

    def event(
        self,
        instances: list[dict[str, Any]],
        seq: int | None = None,
        inventory: Any = None,
        gpus: Any = None,
        ports_in_use: Any = None,
        **claims: Any,
    ) -> dict[str, Any]:
        """A signed report in its envelope."""
        free = [{"index": i, "uuid": f"GPU-{i:04d}", "status": "free", "instance_id": None} for i in range(MOST_GPUS)]
        state = {"instances": instances, "gpus": gpus or free, "inventory": inventory or {}}
        if ports_in_use is not None:
            state["ports_in_use"] = ports_in_use
        return {"detail": self.machine.sign_report(state, seq or next(self._seq), self.now, **claims)}


def reported(contract_id: int, status: str = "running", **changes: Any) -> dict[str, Any]:
    said = {
        "contract_id": contract_id,
        "instance_id": contract_id,
        "generation": 1,
        "token": 1,
        "status": status,
        "reason": None,
        "exit_code": None,
        "started_at": None,
        "end_at": 0,
        "disk_used_bytes": None,
    }
    return said | changes


@pytest.fixture
def site(deployed: dict[str, str], wiped_environment: None, monkeypatch: pytest.MonkeyPatch) -> Site:
    for name, value in deployed.items():
        monkeypatch.setenv(name, value)
    _renew_table()
    return Site().open()


@pytest.fixture
def api_key(site: Site) -> str:
    """A key of the site's client."""
    secret = f"key-{site.number}"
    key = principal_key(hashlib.sha256(secret.encode()).hexdigest())
    item = {"pk": key[0], "sk": key[1], "v": 1, "account": site.client.account, "role": site.client.role}
    wiring.store().table.transact([Guarded(key, item)])
    return secret


class Catcher(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record)


@pytest.fixture
def lines() -> Iterator[list[logging.LogRecord]]:
    """What the handlers log."""
    catcher = Catcher()
    logger.addHandler(catcher)
    yield catcher.found
    catcher.found.clear()
    logger.handlers.remove(catcher)


@pytest.fixture
def agents(site: Site) -> Iterator[list[str]]:
    """Systems Manager makes every activation. Whichever it was, these are the machines whose agent has reported."""
    found: list[str] = []
    events = wiring.client("ssm").meta.events

    def create_activation(**_: Any) -> Any:
        return FINE, {"ActivationId": "a" * 36, "ActivationCode": "c" * 20}

    def describe_instance_information(**_: Any) -> Any:
        return FINE, {"InstanceInformationList": [{"InstanceId": each} for each in found]}

    events.register("before-call.ssm.CreateActivation", create_activation)
    events.register("before-call.ssm.DescribeInstanceInformation", describe_instance_information)
    yield found
    events.unregister("before-call.ssm.CreateActivation", create_activation)
    events.unregister("before-call.ssm.DescribeInstanceInformation", describe_instance_information)
