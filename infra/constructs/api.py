"""The HTTP API: the routes of `routes.py`, an authorizer that always runs, access logs, a throttle for all together."""

import json
from collections.abc import Mapping

from aws_cdk import ArnFormat, Duration, Stack
from aws_cdk import aws_apigatewayv2 as apigw
from aws_cdk import aws_lambda as lambda_
from aws_cdk.aws_apigatewayv2_authorizers import HttpLambdaAuthorizer, HttpLambdaResponseType
from aws_cdk.aws_apigatewayv2_integrations import HttpLambdaIntegration
from constructs import Construct

from infra.config import Stage
from infra.constructs.logs import log_group
from infra.routes import FALLBACK, ROUTES, Route

# What an operator searches by. No header and no query: a key may stand in either.
LOGGED = {
    "request_id": "$context.requestId",
    "at": "$context.requestTimeEpoch",
    "ip": "$context.identity.sourceIp",
    "route": "$context.routeKey",
    "path": "$context.path",
    "status": "$context.status",
    "latency_ms": "$context.responseLatency",
    "integration_status": "$context.integrationStatus",
    "integration_error": "$context.integrationErrorMessage",
    "authorizer_error": "$context.authorizer.error",
}


class RentalApi(apigw.HttpApi):
    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage) -> None:
        super().__init__(scope, construct_id, create_default_stage=False, description="GPULease")
        self._publish(stage)

    def serve(self, functions: Mapping[str, lambda_.IFunction], authorizer: lambda_.IFunction) -> None:
        """Add the routes, once there are functions."""
        asked = _always_asked(authorizer)
        integrations = {
            name: HttpLambdaIntegration(name, functions[name], scope_permission_to_route=False)
            for name in dict.fromkeys(route.function for route in (*ROUTES, FALLBACK))
        }
        for route in (*ROUTES, FALLBACK):
            self._route(route, integrations[route.function], asked)

    def _route(self, route: Route, integration: HttpLambdaIntegration, authorizer: HttpLambdaAuthorizer) -> None:
        """`$default` is a route key of its own; any other is a method and a path."""
        key = (
            apigw.HttpRouteKey.DEFAULT
            if route is FALLBACK
            else apigw.HttpRouteKey.with_(route.path, apigw.HttpMethod[route.method])
        )
        apigw.HttpRoute(
            self,
            f"{route.method} {route.path}",
            http_api=self,
            route_key=key,
            integration=integration,
            authorizer=authorizer if route.authorized else None,
        )

    def _publish(self, stage: Stage) -> None:
        self.access_logs = log_group(self, "AccessLogs", stage=stage)
        apigw.CfnStage(
            self,
            "Published",
            api_id=self.api_id,
            stage_name="$default",
            auto_deploy=True,
            default_route_settings=apigw.CfnStage.RouteSettingsProperty(
                throttling_rate_limit=stage.throttle_rate_per_s, throttling_burst_limit=stage.throttle_burst
            ),
            access_log_settings=apigw.CfnStage.AccessLogSettingsProperty(
                destination_arn=Stack.of(self).format_arn(
                    service="logs",
                    resource="log-group",
                    resource_name=self.access_logs.log_group_name,
                    arn_format=ArnFormat.COLON_RESOURCE_NAME,
                ),
                format=json.dumps(LOGGED),
            ),
        )


def _always_asked(function: lambda_.IFunction) -> HttpLambdaAuthorizer:
    """No identity source and no cache: a request without a key reaches it too, and gets its 401 from us."""
    return HttpLambdaAuthorizer(
        "Authorizer",
        function,
        response_types=[HttpLambdaResponseType.SIMPLE],
        identity_source=[],
        results_cache_ttl=Duration.seconds(0),
    )
