"""Proxies, for whoever has none elsewhere: a small network of their own, one machine for each address, one secret.

Left out unless the stage has `proxy_machines`. The addresses are given, so the functions know them without this stack,
and it may go and come back: but for open sessions and for the secret, which goes with it and has to be filled again.
"""

from aws_cdk import CfnOutput, Fn, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as s3_assets
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.config import TUNNEL_PORT, Proxy, ProxyMachines
from infra.constructs.proxy_machine import Kit, ProxyMachine
from infra.paths import PROXY
from infra.stacks.service import ServiceStack

NOT_CODE = ["**/__pycache__", "**/*.pyc"]
HTTP, HTTPS = 80, 443


class ProxyStack(Stack):
    def __init__(
        self, scope: Construct, construct_id: str, *, proxy: Proxy, machines: ProxyMachines, service: ServiceStack
    ) -> None:
        super().__init__(scope, construct_id)
        self.add_stack_dependency(service)
        self.network = self._make_network()
        self.group = self._make_group(proxy)
        self.secret = self._make_secret()
        package = s3_assets.Asset(self, "Package", path=str(PROXY), exclude=NOT_CODE)
        kit = Kit(
            proxy=proxy,
            zone=service.stage.zone,
            machines=machines,
            # By name: an export that comes and goes with this stack would keep the other from being updated.
            api_url=Fn.import_value(service.api_url_export),
            package=package,
            secret_arn=self.secret.ref,
            profile=iam.InstanceProfile(self, "Profile", role=self._make_role(package)),
            group=self.group,
        )
        self.machines = self._make_machines(kit)
        made = zip(machines.elastic_ips, self.machines, strict=True)
        shown = [f"{address}={machine.instance.ref}" for address, machine in made]
        CfnOutput(self, "ProxyMachines", value=Fn.join(" ", shown))
        CfnOutput(self, "ProxySecretArn", value=self.secret.ref)

    def _make_network(self) -> ec2.Vpc:
        """All of it is public: there is nothing behind a proxy but tunnels that hosts make."""
        return ec2.Vpc(
            self,
            "Network",
            ip_addresses=ec2.IpAddresses.cidr("10.0.0.0/24"),
            max_azs=2,
            nat_gateways=0,
            subnet_configuration=[ec2.SubnetConfiguration(name="Public", subnet_type=ec2.SubnetType.PUBLIC)],
        )

    def _make_group(self, proxy: Proxy) -> ec2.SecurityGroup:
        group = ec2.SecurityGroup(
            self, "Group", vpc=self.network, description="Clients and hosts of proxies", allow_all_outbound=False
        )
        anybody = ec2.Peer.any_ipv4()
        group.add_ingress_rule(anybody, ec2.Port.tcp(TUNNEL_PORT), "Hosts: their tunnels")
        group.add_ingress_rule(anybody, ec2.Port.tcp_range(proxy.first_port, proxy.last_port), "Clients: ssh")
        group.add_ingress_rule(anybody, ec2.Port.tcp(proxy.https_port), "Clients: JupyterLab")
        group.add_egress_rule(anybody, ec2.Port.tcp(HTTPS), "The service, AWS and Debian")
        group.add_egress_rule(anybody, ec2.Port.tcp(HTTP), "Debian, whose packages are signed")
        return group

    def _make_secret(self) -> secretsmanager.CfnSecret:
        """Empty: what it holds is the team's, and must not stand in a template."""
        parts = "api_key, host_key, tls_certificate and tls_key"
        return secretsmanager.CfnSecret(self, "Secret", description=f"JSON of {parts}, which all proxies read")

    def _make_role(self, package: s3_assets.Asset) -> iam.Role:
        allowed = (
            ("s3:GetObject", package.bucket.arn_for_objects(package.s3_object_key)),
            ("secretsmanager:GetSecretValue", self.secret.ref),
            ("cloudformation:SignalResource", self.stack_id),
        )
        statements = [iam.PolicyStatement(actions=[action], resources=[resource]) for action, resource in allowed]
        return iam.Role(
            self,
            "MachineRole",
            assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
            inline_policies={"proxy": iam.PolicyDocument(statements=statements)},
        )

    def _make_machines(self, kit: Kit) -> list[ProxyMachine]:
        subnets = self.network.public_subnets
        made: list[ProxyMachine] = []
        # Named after its address: taking one away renames no other.
        for number, allocation in enumerate(kit.machines.elastic_ips.values()):
            name = f"Proxy{allocation.removeprefix('eipalloc-')}"
            subnet = subnets[number % len(subnets)]
            made.append(ProxyMachine(self, name, kit=kit, subnet=subnet, allocation=allocation))
            if number:
                made[number].come_after(made[number - 1])
        return made
