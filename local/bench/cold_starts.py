"""Cold starts as CPU time: a fresh process up to its first answer, over that of a bare DynamoDB client, taking turns.

CPU time and not time, because a machine has other work too; in a fresh process with AWS stubbed at the socket, because
everything else of a cold start is AWS's own and the same for every function.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from infra.host_package import build_host_package
from local.bench.aws_stub import TABLE, AwsStub
from local.bench.figures import Figure
from local.bench.first_answers import FIRST_ANSWERS, FirstAnswer
from local.bench.rented import AUTHORITY_KEY, CONTRACT, ZONE, Rented, make_rented
from local.supervise import ROOT

TURNS = 7
SCRIPT = ROOT / "local" / "bench" / "answer_once.py"
BARE_CALLS = ("GetItem",)


class WrongAnswerError(Exception):
    """A function did not handle its event, so its time says nothing."""


def figures(turns: int = TURNS) -> list[Figure]:
    """The least of each over the least of the bare client: what a run takes more than that is the machine's doing.

    The first turn, which compiles bytecode, does not count.
    """
    print(f"Cold starts, {turns} turns of {len(FIRST_ANSWERS)} functions …")
    rented = make_rented()
    bare: list[float] = []
    spent: dict[FirstAnswer, list[float]] = {each: [] for each in FIRST_ANSWERS}
    with AwsStub(rented.items, rented.presences, build_host_package().body) as stub:
        for _ in range(turns + 1):
            bare.append(bare_client_s(stub))
            for each, found in spent.items():
                found.append(first_answer_s(each, rented, stub))
    bare_s = min(bare[1:])
    print(f"A bare DynamoDB client takes {bare_s:.3f} s of CPU time.")
    return [
        Figure(f"cold start of {each.function}, {each.what}", min(found[1:]) / bare_s, each.target)
        for each, found in spent.items()
    ]


def bare_client_s(stub: AwsStub) -> float:
    key = {"pk": {"S": f"C#{CONTRACT}"}, "sk": {"S": "C"}}
    event = {"TableName": TABLE, "Key": key, "ConsistentRead": True}
    return _run("bare_client", SCRIPT.parent, event, stub, BARE_CALLS)


def first_answer_s(each: FirstAnswer, rented: Rented, stub: AwsStub) -> float:
    return _run(f"handlers.{each.function}", ROOT / "functions", each.event(rented), stub, each.calls)


def _run(module: str, path: Path, event: Any, stub: AwsStub, calls: tuple[str, ...]) -> float:
    stub.calls.clear()
    command = [sys.executable, "-P", str(SCRIPT), module]
    done = subprocess.run(
        command, input=json.dumps(event), env=_environment(path, stub), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise WrongAnswerError(f"{module}: {done.stderr}")
    said = json.loads(done.stdout.splitlines()[-1])
    answer = said["answer"]
    if _refuses(answer) or tuple(stub.calls) != calls:
        raise WrongAnswerError(f"{module} called {stub.calls}, not {calls}, and answered {answer}\n{done.stdout}")
    return float(said["cpu_s"])


def _refuses(answer: Any) -> bool:
    """Whether the answer of a handler, of whatever kind, says that the event was not handled."""
    if not isinstance(answer, dict):
        return False
    return bool(answer.get("batchItemFailures")) or answer.get("statusCode", 200) >= 400 or answer.get("context") == {}


def _environment(path: Path, stub: AwsStub) -> dict[str, str]:
    queue = f"{stub.url}/000000000000"
    return {
        "PYTHONPATH": str(path),
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_SESSION_TOKEN": "bench",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": stub.url,
        "POWERTOOLS_SERVICE_NAME": "gpulease",
        "POWERTOOLS_LOG_LEVEL": "INFO",
        "STAGE": "dev",
        "TABLE_NAME": TABLE,
        "LIVENESS_TABLE_NAME": "liveness",
        "URGENT_QUEUE_URL": f"{queue}/urgent",
        "NORMAL_QUEUE_URL": f"{queue}/normal",
        "STATE_MACHINE_ARN": "arn:aws:states:us-east-1:000000000000:stateMachine:life",
        "COMMAND_DOCUMENT_NAME": "Command",
        "HOST_ROLE_NAME": "host",
        "EVENT_BUS_NAME": "bus",
        "API_URL": "https://api.example.com",
        "AUTHORITY_KEY_ID": AUTHORITY_KEY,
        "ZONE": ZONE,
        "HOST_PACKAGE_BUCKET": "assets",
        "HOST_PACKAGE_KEY": "package.whl",
        "CELL": "0",
        "GRACE_S": "172800",
        "PROVISION_TIMEOUT_S": "600",
        "ALLOW_SIMULATED_GPUS": "true",
        "PROXY": "none",
        "TOKEN_KEY_ARN": "key",
    }
