"""Machines for proxies: who can reach them, what they may do, what their script makes of a fresh Debian."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from infra.config import TUNNEL_PORT, choose_stage
from infra.paths import PROXY, PROXY_MACHINE
from proxy.settings import Settings
from tests.infra.permissions import render, statements
from tests.infra.synthesis import PROXIED, Resource, Synthesized, synthesize

SHELLCHECK = Path(sys.executable).with_name("shellcheck")
API_URL = "https://api.example.com"
ADDRESSES = ["198.51.100.1", "198.51.100.2"]
MOVED = ("/etc/", "/opt/", "/var/lib/gpulease-proxy")
PROGRAMS = ("apt-get", "systemctl", "useradd", "sysctl", "chmod", "cloud-init", "aws")


def machines(made: Synthesized) -> dict[str, Resource]:
    return made.resources("AWS::EC2::Instance")


def user_data(machine: Resource) -> str:
    return render(machine["Properties"]["UserData"]["Fn::Base64"])


def test_there_is_no_such_stack_unless_asked_for(prod: Synthesized, local: Synthesized) -> None:
    for made in (prod, local):
        assert not {found["Type"] for _, found in made.all_resources() if "EC2" in found["Type"]}
        assert not list(made.folder.glob("*Proxy*"))


def test_the_other_stacks_do_not_know_whether_it_is_there(prod: Synthesized, proxied: Synthesized) -> None:
    """So it comes and goes while they stay; only what the functions are told of the proxies differs."""
    for name in ("Data", "Host", "Service"):
        assert prod.templates[name].get("Outputs") == proxied.templates[name].get("Outputs")
        assert lasting(prod, name) == lasting(proxied, name)


def lasting(made: Synthesized, stack: str) -> set[str]:
    """All but versions of functions, which are named after what the function is told."""
    resources = made.templates[stack]["Resources"].items()
    return {name for name, found in resources if found["Type"] != "AWS::Lambda::Version"}


def test_hosts_are_told_of_every_machine_beside_other_proxies() -> None:
    elsewhere = {"address": "203.0.113.9", "port": 22, "user": "x", "host_key": f"ssh-ed25519 {'B' * 68}"}
    ends = json.loads(choose_stage({**PROXIED, "tunnel_ends": json.dumps([elsewhere])}).all_tunnel_ends())
    assert [end["address"] for end in ends] == ["203.0.113.9", *ADDRESSES]
    assert ends[1] == {
        "address": "198.51.100.1",
        "port": TUNNEL_PORT,
        "user": "gpulease-proxy",
        "host_key": f"ssh-ed25519 {'A' * 68}",
    }


def test_the_function_that_hosts_ask_is_told(proxied: Synthesized) -> None:
    functions = [found["Properties"] for found in proxied.resources("AWS::Lambda::Function").values()]
    (told,) = [each for each in functions if "TUNNEL_ENDS" in each["Environment"]["Variables"]]
    ends = json.loads(told["Environment"]["Variables"]["TUNNEL_ENDS"])
    assert [end["address"] for end in ends] == ADDRESSES


def test_every_address_has_a_machine_and_they_are_replaced_one_after_another(proxied: Synthesized) -> None:
    addresses = proxied.resources("AWS::EC2::EIPAssociation")
    allocations = [found["Properties"]["AllocationId"] for found in addresses.values()]
    assert allocations == ["eipalloc-0000000a", "eipalloc-0000000b"]
    behind = [render(found["Properties"]["InstanceId"]) for found in addresses.values()]
    assert len(set(behind)) == 2
    first, second = machines(proxied).values()
    assert next(iter(addresses)) in second["DependsOn"]
    assert not set(addresses) & set(first["DependsOn"])


def test_a_machine_is_one_only_once_it_says_so_itself(proxied: Synthesized) -> None:
    for name, machine in machines(proxied).items():
        assert machine["CreationPolicy"]["ResourceSignal"] == {"Count": 1, "Timeout": "PT15M"}
        assert f"\nRESOURCE={name}\n" in user_data(machine)


def test_a_machine_starts_when_there_is_a_way_out(proxied: Synthesized) -> None:
    routes = set(proxied.resources("AWS::EC2::Route"))
    assert all(routes & set(machine["DependsOn"]) for machine in machines(proxied).values())


def test_what_a_machine_starts_from_names_it(proxied: Synthesized, tmp_path: Path) -> None:
    """CloudFormation does not run user data again on a machine that is there: it has to be another one."""
    machine = json.loads(PROXIED["proxy_machines"])
    for number, change in enumerate(
        ({"zone": "other.example.com"}, {"proxy_machines": json.dumps(machine | {"instance_type": "t4g.micro"})})
    ):
        other = synthesize(tmp_path / str(number), {**PROXIED, **change})
        assert not set(machines(proxied)) & set(machines(other))


def test_metadata_wants_a_session_the_disk_is_encrypted_and_nobody_has_a_key(proxied: Synthesized) -> None:
    for machine in machines(proxied).values():
        properties = machine["Properties"]
        assert properties["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
        assert all(each["Ebs"]["Encrypted"] for each in properties["BlockDeviceMappings"])
        assert "KeyName" not in properties
        assert len(user_data(machine)) < 16_384


def test_what_can_be_reached_is_tunnels_numbers_and_jupyterlab(proxied: Synthesized) -> None:
    (group,) = (found["Properties"] for found in proxied.resources("AWS::EC2::SecurityGroup").values())
    reached = [(each["IpProtocol"], each["FromPort"], each["ToPort"]) for each in group["SecurityGroupIngress"]]
    assert reached == [("tcp", 2222, 2222), ("tcp", 30_000, 49_999), ("tcp", 443, 443)]
    assert {(each["FromPort"], each["ToPort"]) for each in group["SecurityGroupEgress"]} == {(80, 80), (443, 443)}


def test_a_machine_reads_the_program_and_one_secret_and_says_that_it_is_there(proxied: Synthesized) -> None:
    taken = {
        name
        for name, role in proxied.resources("AWS::IAM::Role").items()
        if role["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]["Service"] == "ec2.amazonaws.com"
    }
    (role,) = taken
    own = proxied.templates["Proxy"]["Resources"][role]["Properties"]
    assert "ManagedPolicyArns" not in own
    allowed = {each["Action"]: render(each["Resource"]) for each in own["Policies"][0]["PolicyDocument"]["Statement"]}
    assert set(allowed) == {"s3:GetObject", "secretsmanager:GetSecretValue", "cloudformation:SignalResource"}
    assert re.search(r"/[0-9a-f]{64}\.zip$", allowed["s3:GetObject"])
    assert allowed["secretsmanager:GetSecretValue"] == "{Secret}"
    assert allowed["cloudformation:SignalResource"] == "{StackId}"
    assert not [each for name, each in statements(proxied) if name == role and each["Resource"] == "*"]


def test_the_secret_is_empty_so_none_stands_in_a_template(proxied: Synthesized) -> None:
    (secret,) = proxied.resources("AWS::SecretsManager::Secret").values()
    assert not {"SecretString", "GenerateSecretString"} & set(secret["Properties"])


@pytest.mark.parametrize(
    ("chosen", "image"),
    [
        ({}, "{{resolve:ssm:/aws/service/debian/release/12/latest/arm64}}"),
        ({"instance_type": "t3.small"}, "{{resolve:ssm:/aws/service/debian/release/12/latest/amd64}}"),
        ({"image": "ami-0123456789abcdef0"}, "ami-0123456789abcdef0"),
    ],
)
def test_the_image_fits_the_processor_or_is_the_one_that_was_given(
    tmp_path: Path, chosen: dict[str, str], image: str
) -> None:
    settings = json.dumps(json.loads(PROXIED["proxy_machines"]) | chosen)
    made = synthesize(tmp_path, {**PROXIED, "proxy_machines": settings})
    assert {machine["Properties"]["ImageId"] for machine in machines(made).values()} == {image}


def test_the_program_is_all_of_the_proxy_and_nothing_else(proxied: Synthesized) -> None:
    (program,) = [path for path in proxied.folder.glob("asset.*") if (path / "sshd_config.py").exists()]
    found = {path.relative_to(program) for path in program.rglob("*")}
    assert found == {path.relative_to(PROXY) for path in PROXY.rglob("*.py")}


def test_the_script_is_clean() -> None:
    done = subprocess.run([SHELLCHECK, "--shell=bash", PROXY_MACHINE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


class PaperMachine:
    """The user data of the first machine, its folders moved into the test's, with programs that only note."""

    def __init__(self, made: Synthesized, folder: Path) -> None:
        self.root, self.calls, programs = folder / "root", folder / "calls", folder / "bin"
        for each in ("etc/sysctl.d", "etc/systemd/system", "opt", "var/lib/gpulease-proxy"):
            (self.root / each).mkdir(parents=True)
        programs.mkdir()
        shutil.make_archive(str(folder / "program"), "zip", PROXY)
        for name in PROGRAMS:
            note = f'#!/bin/bash\necho "{name} $*" >> {self.calls}\n'
            fetch = f'[[ "$*" != "s3 cp"* ]] || cp {folder / "program.zip"} "${{@: -1}}"\n' if name == "aws" else ""
            (programs / name).write_text(note + fetch)
            (programs / name).chmod(0o755)
        script = user_data(next(iter(machines(made).values())))
        script = script.replace("{GpuLease-prod-Service-ApiUrl}", API_URL)
        for path in MOVED:
            script = re.sub(rf"(?<![\w/{{]){path}", f"{self.root}{path}", script)
        environment = {"PATH": f"{programs}:{os.environ['PATH']}"}
        self.done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)

    def read(self, path: str) -> str:
        return (self.root / path).read_text()


@pytest.fixture
def machine(proxied: Synthesized, tmp_path: Path) -> PaperMachine:
    made = PaperMachine(proxied, tmp_path)
    assert made.done.returncode == 0, made.done.stderr
    return made


def test_the_proxy_can_read_what_the_script_writes(machine: PaperMachine) -> None:
    settings = Settings.load(machine.root / "etc/gpulease-proxy.json")
    assert settings.api_url == API_URL
    assert settings.zone == "gpu.example.com"
    assert settings.tunnel_port == TUNNEL_PORT
    assert settings.user == "gpulease-proxy"
    assert settings.serves_jupyter
    assert (settings.public_address, settings.loopback_address, settings.https_port) == ("0.0.0.0", "127.0.0.1", 443)


def test_the_program_lies_where_the_unit_starts_it(machine: PaperMachine) -> None:
    assert machine.read("opt/gpulease/proxy/sshd_config.py") == (PROXY / "sshd_config.py").read_text()
    unit = machine.read("etc/systemd/system/gpulease-proxy.service")
    assert f"PYTHONPATH={machine.root}/opt/gpulease " in unit
    assert "\nRestart=always\n" in unit
    assert "\nUser=gpulease-proxy\n" in unit


def test_no_connection_of_the_machines_own_takes_a_tenants_number(machine: PaperMachine) -> None:
    kernel = machine.read("etc/sysctl.d/60-gpulease-proxy.conf")
    assert "net.ipv4.ip_local_reserved_ports = 2222,443,30000-49999\n" in kernel
    assert "net.ipv4.ip_unprivileged_port_start = 443\n" in kernel


def test_the_secret_is_handed_to_the_program_that_knows_its_form(machine: PaperMachine) -> None:
    taking = machine.read("opt/gpulease/take-secret")
    assert "--secret-id '{Secret}' --query SecretString" in taking
    assert (
        f"python3 -m proxy.secret_files --config {machine.root}/etc/gpulease-proxy.json --host-key 'ssh-ed25519"
        in taking
    )
    assert machine.read("opt/gpulease/take-secret").startswith("#!/bin/bash\n")


def test_the_last_word_is_that_the_machine_is_set_up(machine: PaperMachine) -> None:
    calls = machine.calls.read_text().splitlines()
    assert "systemctl disable --now ssh.service nginx.service" in calls
    started, _, said = calls[-3:]
    assert started == "systemctl enable --now --no-block gpulease-proxy.service gpulease-proxy-secret.timer"
    assert re.fullmatch(
        r"aws cloudformation signal-resource .* --stack-name GpuLease-prod-Proxy .* --status SUCCESS", said
    )
