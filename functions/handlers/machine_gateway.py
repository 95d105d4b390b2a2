"""What every entry point for machines shares: who signed a request, and a line for each that is refused."""

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver

from handlers.gateway import make_app, raw_body
from handlers.refusals import log_refusal
from rental.adapters import wiring
from rental.adapters.machine_tokens import claimed_host_id, verify_request
from rental.adapters.system import SystemClock
from rental.domain.errors import RentalError, UnauthenticatedError
from rental.domain.host import Host
from rental.domain.ids import HostId
from rental.domain.refusal import Why


def make_machine_app() -> APIGatewayHttpResolver:
    """A resolver that counts each refusal, with the host that the request claims to be from and its path."""

    def count_refusal(error: RentalError) -> None:
        log_refusal(error, path=app.current_event.path, host_id=_claimed_host_id(app))

    app = make_app(count_refusal)
    return app


def signer(app: APIGatewayHttpResolver) -> Host:
    """The host that signed this request; raises UnauthenticatedError."""
    token = _machine_token(app)
    host_id = HostId(claimed_host_id(token))
    host = wiring.store().read_host(host_id)
    verify_request(token, host, app.current_event.path, raw_body(app), SystemClock().now())
    assert host is not None  # else nothing verifies
    return host


def _machine_token(app: APIGatewayHttpResolver) -> str:
    scheme, _, token = app.current_event.headers.get("authorization", "").partition(" ")
    if scheme != "Machine":
        raise UnauthenticatedError("Send a machine token: Authorization: Machine <token>.", why=Why.NO_TOKEN)
    return str(token)


def _claimed_host_id(app: APIGatewayHttpResolver) -> int | None:
    try:
        return claimed_host_id(_machine_token(app))
    except UnauthenticatedError:
        return None
