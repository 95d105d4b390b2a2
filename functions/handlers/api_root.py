"""What has no key: health, and the answer to routes that do not exist."""

from http import HTTPStatus

from aws_lambda_powertools.event_handler import Response

from handlers.gateway import answer, entry_point, make_app

app = make_app()
handler = entry_point(app)


@app.get("/v1/health")
def health() -> Response[str]:
    return answer(HTTPStatus.OK, {"status": "ok"})
