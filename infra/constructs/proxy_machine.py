"""One proxy: a machine that is replaced rather than changed, behind an address that stays.

Nothing on it is worth keeping, and nobody can log in: no key, no agent, no port of an administrator. When anything that
it starts from changes, a new one is made, and gets the address once it says that it is set up; then the old one goes.
"""

import hashlib
import json
import shlex
from dataclasses import dataclass

from aws_cdk import CfnCreationPolicy, CfnResourceSignal, Fn, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3_assets as s3_assets
from constructs import Construct

from infra.config import TUNNEL_PORT, TUNNEL_USER, Proxy, ProxyMachines
from infra.paths import PROXY_MACHINE

DEBIAN = "{{{{resolve:ssm:/aws/service/debian/release/12/latest/{architecture}}}}}"
"""Read by CloudFormation, when it makes or replaces a machine."""
ARCHITECTURES = {ec2.InstanceArchitecture.ARM_64: "arm64", ec2.InstanceArchitecture.X86_64: "amd64"}
ROOT_VOLUME = "/dev/xvda"
STATE = "/var/lib/gpulease-proxy"
SET_UP_WITHIN = "PT15M"


@dataclass(frozen=True, kw_only=True)
class Kit:
    """What all machines share."""

    proxy: Proxy
    zone: str
    machines: ProxyMachines
    api_url: str
    package: s3_assets.Asset
    secret_arn: str
    profile: iam.InstanceProfile
    group: ec2.SecurityGroup


class ProxyMachine(Construct):
    def __init__(self, scope: Construct, construct_id: str, *, kit: Kit, subnet: ec2.ISubnet, allocation: str) -> None:
        super().__init__(scope, construct_id)
        settings = _settings(Stack.of(self), kit)
        starts_from = [_script(settings), kit.machines.instance_type, kit.machines.image, subnet.subnet_id]
        digest = hashlib.sha256(json.dumps(Stack.of(self).resolve(starts_from), sort_keys=True).encode())
        self.instance = self._make(f"Machine{digest.hexdigest()[:12]}", settings, kit, subnet)
        self.address = ec2.CfnEIPAssociation(self, "Address", allocation_id=allocation, instance_id=self.instance.ref)

    def come_after(self, other: "ProxyMachine") -> None:
        """Until the other has its address; so not all proxies are away at once."""
        self.instance.add_resource_dependency(other.address)

    def _make(self, name: str, settings: dict[str, str], kit: Kit, subnet: ec2.ISubnet) -> ec2.CfnInstance:
        instance = ec2.CfnInstance(
            self,
            name,
            image_id=kit.machines.image or _debian(kit.machines.instance_type),
            instance_type=kit.machines.instance_type,
            iam_instance_profile=kit.profile.instance_profile_name,
            security_group_ids=[kit.group.security_group_id],
            subnet_id=subnet.subnet_id,
            # One hop: the machine itself, and nothing that it forwards.
            metadata_options=ec2.CfnInstance.MetadataOptionsProperty(
                http_tokens="required", http_put_response_hop_limit=1
            ),
            block_device_mappings=[
                ec2.CfnInstance.BlockDeviceMappingProperty(
                    device_name=ROOT_VOLUME,
                    ebs=ec2.CfnInstance.EbsProperty(encrypted=True, volume_type="gp3", delete_on_termination=True),
                )
            ],
            propagate_tags_to_volume_on_creation=True,
        )
        own_name = Stack.of(self).get_logical_id(instance)
        instance.user_data = Fn.base64(_script({**settings, "RESOURCE": own_name}))
        instance.cfn_options.creation_policy = CfnCreationPolicy(
            resource_signal=CfnResourceSignal(count=1, timeout=SET_UP_WITHIN)
        )
        instance.node.add_dependency(subnet)  # with its way out: all that it installs comes over that
        return instance


def _settings(stack: Stack, kit: Kit) -> dict[str, str]:
    """What the script is given, but for the name of its own machine."""
    config = {
        "api_url": kit.api_url,
        "api_key_file": f"{STATE}/api_key",
        "state": STATE,
        "zone": kit.zone,
        "user": TUNNEL_USER,
        "tunnel_port": TUNNEL_PORT,
        "https_port": kit.proxy.https_port,
        "tls_certificate": f"{STATE}/tls.crt",
        "tls_key": f"{STATE}/tls.key",
    }
    return {
        "REGION": stack.region,
        "PACKAGE": kit.package.s3_object_url,
        "SECRET": kit.secret_arn,
        "CONFIG": json.dumps(config),
        "HOST_KEY": kit.machines.host_key,
        "RESERVED_PORTS": f"{TUNNEL_PORT},{kit.proxy.https_port},{kit.proxy.first_port}-{kit.proxy.last_port}",
        "UNPRIVILEGED_FROM": str(min(kit.proxy.https_port, 1024)),
        "STACK": stack.stack_name,
    }


def _script(settings: dict[str, str]) -> str:
    first_line, rest = PROXY_MACHINE.read_text().split("\n", 1)
    return "\n".join([first_line, *(f"{name}={shlex.quote(value)}" for name, value in settings.items()), rest])


def _debian(instance_type: str) -> str:
    return DEBIAN.format(architecture=ARCHITECTURES[ec2.InstanceType(instance_type).architecture])
