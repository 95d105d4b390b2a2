"""One step of a contract's execution. The machine keeps time and flow; the rules are here below."""

from collections.abc import Callable
from functools import cache
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from handlers.logs import logger
from rental.adapters import wiring
from rental.domain.errors import RentalError
from rental.domain.ids import ContractId
from rental.ports import Tasks
from rental.service.life import Life


@cache
def life() -> Life:
    return Life(wiring.ledger(), wiring.tasks())


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any] | None:
    return take_step(life(), wiring.tasks(), event)


def take_step(life: Life, tasks: Tasks, event: dict[str, Any]) -> dict[str, Any] | None:
    """What every released machine calls by these names, with these fields, and reads this answer of."""
    contract_id, run, step = ContractId(event["contract_id"]), event["run"], event["step"]
    logger.info("step", extra={"step": step, "contract_id": contract_id, "run": run})
    match step:
        case "route":
            return life.route(contract_id, run).__dict__
        case "expire":
            return life.expire(contract_id, run).__dict__
        case "abandon":
            return life.abandon(contract_id, run, event.get("reason")).__dict__
        case "provision":
            _wait(life.provision, tasks, contract_id, run, event["task_token"])
        case "delete":
            _wait(life.delete, tasks, contract_id, run, event["task_token"])
        case _:
            raise ValueError(f"there is no step {step!r}")
    return None


def _wait(
    step: Callable[[ContractId, int, str], None], tasks: Tasks, contract_id: ContractId, run: int, token: str
) -> None:
    """A step that waits must fail its task itself: its caller looks at nothing but the token."""
    try:
        step(contract_id, run, token)
    except (RentalError, ClientError, BotoCoreError) as error:
        logger.error("step failed", extra={"contract_id": contract_id, "why": str(error)})
        tasks.fail(token, "StepFailed", f"{type(error).__name__}: {error}")
