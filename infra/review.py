"""What cdk-nag's AwsSolutions pack finds here and we answer for: each finding with the reason it stands.

Applied by the tests and by whoever reviews a deployment, not at each synthesis. A finding without a reason fails the
tests. The reasons for `*` come from the grants themselves.
"""

from collections.abc import Iterable

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks, NagPackSuppression, NagSuppressions, RegexAppliesTo

from infra.constructs.api import RentalApi
from infra.constructs.function import ServiceFunction
from infra.constructs.grants import TRACING
from infra.entrypoints import EntryPoint, On
from infra.routes import FALLBACK, ROUTES
from infra.stacks.host import HostStack
from infra.stacks.proxy import ProxyStack
from infra.stacks.service import ServiceStack

ANY = "Resource::*"
RUNTIME = "3.13 is the runtime the layer's wheels are built for; it is supported, and raised together with them"
PLAIN_HTTP = "the local cloud is plain HTTP, on the loopback address alone; no other stage leaves TLS out"
PATTERNS = {
    On.EXECUTIONS: (
        "/^Resource::arn:.*:execution:.*:\\*$/",
        "every contract's run is an execution of its own, and of this one machine",
    ),
    On.OUR_NODES: (
        "/^Resource::arn:.*:managed-instance/\\*$/",
        "hosts join and leave; a condition on the stage's tag bounds which of them are meant",
    ),
    On.ANY_NODE: (
        "/^Resource::arn:.*:managed-instance/\\*$/",
        "a node has no id before the activation that tags it",
    ),
}


def review(app: cdk.App) -> None:
    """Let the checks run when the application is synthesized, with our answers in place."""
    for stack in app.node.children:
        if isinstance(stack, ServiceStack):
            _answer_for_functions(stack)
            _answer_for_routes(stack)
            _answer_for_machine(stack)
            if not stack.stage.enforce_tls:
                _answer(stack, [NagPackSuppression(id="AwsSolutions-SQS4", reason=PLAIN_HTTP)])
        if isinstance(stack, HostStack):
            _answer(stack.role, [_wildcard(ANY, "the agent's calls name no resource; each acts on the calling node")])
        if isinstance(stack, ProxyStack):
            _answer_for_proxies(stack)
    cdk.Aspects.of(app).add(AwsSolutionsChecks())


def _answer_for_functions(stack: ServiceStack) -> None:
    for child in stack.node.children:
        if isinstance(child, ServiceFunction):
            _answer(child.role, list(_wildcards(child.entry)))
            _answer(child.function, [NagPackSuppression(id="AwsSolutions-L1", reason=RUNTIME)])
            if child.dead_letters is not None:
                final = "it is itself where undeliverable events end, by the rule's target and the function's failures"
                _answer(child.dead_letters, [NagPackSuppression(id="AwsSolutions-SQS3", reason=final)])


def _wildcards(entry: EntryPoint) -> Iterable[NagPackSuppression]:
    reasons = [grant.reason for grant in (*entry.grants, TRACING) if grant.on is On.EVERYTHING]
    yield _wildcard(ANY, "; ".join(reasons))
    for on in dict.fromkeys(grant.on for grant in entry.grants if grant.on in PATTERNS):
        pattern, reason = PATTERNS[on]
        yield NagPackSuppression(id="AwsSolutions-IAM5", reason=reason, applies_to=[RegexAppliesTo(regex=pattern)])


def _answer_for_routes(stack: ServiceStack) -> None:
    open_to_all = (
        "health, description, installer, host program and 404 say nothing that needs a key; "
        "hosts sign requests with their machine key"
    )
    api = next(child for child in stack.node.children if isinstance(child, RentalApi))
    for route in (*ROUTES, FALLBACK):
        if not route.authorized:
            child = api.node.find_child(f"{route.method} {route.path}".replace("/", "--"))
            _answer(child, [NagPackSuppression(id="AwsSolutions-APIG4", reason=open_to_all)])


def _answer_for_machine(stack: ServiceStack) -> None:
    reason = "X-Ray and the delivery of Step Functions' logs define no resources to name"
    _answer(stack.node.find_child("ContractRole"), [_wildcard(ANY, reason)])


def _answer_for_proxies(stack: ProxyStack) -> None:
    answers = (
        (stack.secret, "SMG4", "its parts come from the team, a certificate authority and this service's API"),
        (stack.network, "VPC7", "it would record who works on which machine; nothing but proxies is in this network"),
        (stack.group, "EC23", "clients and hosts are anywhere; what listens asks for a key, a certificate or a token"),
    )
    for construct, rule, reason in answers:
        _answer(construct, [NagPackSuppression(id=f"AwsSolutions-{rule}", reason=reason)])
    for machine in stack.machines:
        idle = "the status checks, which come each minute anyway, are all that is read of its metrics"
        replaced = "it holds nothing, and an update that replaces it has to be able to end it"
        reasons = {"EC28": idle, "EC29": replaced}
        found = [NagPackSuppression(id=f"AwsSolutions-{rule}", reason=reason) for rule, reason in reasons.items()]
        _answer(machine.instance, found)


def _wildcard(resource: str, reason: str) -> NagPackSuppression:
    return NagPackSuppression(id="AwsSolutions-IAM5", reason=reason, applies_to=[resource])


def _answer(construct: object, suppressions: list[NagPackSuppression]) -> None:
    NagSuppressions.add_resource_suppressions(construct, suppressions, apply_to_children=True)
