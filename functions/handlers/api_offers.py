"""/v1/offers: what can be rented now."""

from functools import cache
from http import HTTPStatus

from aws_lambda_powertools.event_handler import Response

from handlers.gateway import answer, caller, entry_point, make_app, paging, path_id
from rental.adapters import wiring
from rental.adapters.system import SystemClock
from rental.api.present import present_offer
from rental.domain.ids import OfferId
from rental.service.offers import Offers

app = make_app()
handler = entry_point(app)


@cache
def offers() -> Offers:
    return Offers(wiring.store(), SystemClock(), wiring.proxy())


@app.get("/v1/offers")
def list_offers() -> Response[str]:
    caller(app, "client", "host")
    cursor, _ = paging(app)
    page = offers().list_offers(cursor)
    return answer(HTTPStatus.OK, {"items": [present_offer(each) for each in page.items], "next": page.next})


@app.get("/v1/offers/<offer_id>")
def show_offer(**_: str) -> Response[str]:
    caller(app, "client", "host")
    return answer(HTTPStatus.OK, present_offer(offers().show_offer(OfferId(path_id(app, "offer_id")))))
