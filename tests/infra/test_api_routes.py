"""The HTTP API as it is deployed: who is asked for a key, and by whom a request is answered."""

from typing import Any

from infra.routes import FALLBACK, ROUTES
from tests.infra.synthesis import Synthesized


def _only(made: Synthesized, kind: str) -> dict[str, Any]:
    (found,) = made.resources(kind).values()
    properties: dict[str, Any] = found["Properties"]
    return properties


def test_every_route_is_deployed_and_no_other(prod: Synthesized) -> None:
    deployed = {found["Properties"]["RouteKey"] for found in prod.resources("AWS::ApiGatewayV2::Route").values()}
    assert deployed == {"$default", *(f"{route.method} {route.path}" for route in ROUTES)}


def test_only_routes_without_a_key_go_past_the_authorizer(prod: Synthesized) -> None:
    routes = [found["Properties"] for found in prod.resources("AWS::ApiGatewayV2::Route").values()]
    past = {route["RouteKey"] for route in routes if route["AuthorizationType"] == "NONE"}
    assert past == {
        *("$default", "GET /v1/health", "GET /v1/openapi.json", "GET /docs", "GET /v1/ca.crt", "GET /ca"),
        *("GET /v1/host/install.sh", "GET /v1/host/package"),
        *(
            "POST /v1/host/register",
            "POST /v1/host/key",
            "POST /v1/host/tunnel",
            "POST /v1/host/fetch",
            "POST /v1/host/certificates",
            "POST /v1/host/call",
            "POST /v1/host/reply",
            "POST /v1/host/manifest",
        ),
    }
    assert all("AuthorizerId" in route for route in routes if route["RouteKey"] not in past)


def test_the_authorizer_is_always_asked_and_never_remembered(prod: Synthesized) -> None:
    authorizer = _only(prod, "AWS::ApiGatewayV2::Authorizer")
    assert authorizer["AuthorizerType"] == "REQUEST"
    assert authorizer["IdentitySource"] == []
    assert authorizer["AuthorizerResultTtlInSeconds"] == 0
    assert authorizer["AuthorizerPayloadFormatVersion"] == "2.0"
    assert authorizer["EnableSimpleResponses"] is True


def test_each_function_has_one_integration_with_its_live_alias(prod: Synthesized) -> None:
    integrations = [found["Properties"] for found in prod.resources("AWS::ApiGatewayV2::Integration").values()]
    assert len(integrations) == len({route.function for route in (*ROUTES, FALLBACK)})
    for integration in integrations:
        assert "Live" in integration["IntegrationUri"]["Ref"]
        assert integration["PayloadFormatVersion"] == "2.0"


def test_the_default_stage_is_throttled_and_logged_and_has_no_cors(prod: Synthesized) -> None:
    stage = _only(prod, "AWS::ApiGatewayV2::Stage")
    assert (stage["StageName"], stage["AutoDeploy"]) == ("$default", True)
    assert stage["DefaultRouteSettings"] == {"ThrottlingBurstLimit": 200, "ThrottlingRateLimit": 100}
    assert "CorsConfiguration" not in _only(prod, "AWS::ApiGatewayV2::Api")


def test_access_logs_hold_no_header_and_no_query(prod: Synthesized) -> None:
    logged = _only(prod, "AWS::ApiGatewayV2::Stage")["AccessLogSettings"]["Format"]
    assert "$context.requestId" in logged
    assert "header" not in logged.lower()
    assert "query" not in logged.lower()
