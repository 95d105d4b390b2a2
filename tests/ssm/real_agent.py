"""The real amazon-ssm-agent in the stand-in's place, where its binaries are given as SSM_AGENT_DIR. Needs root."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from tests.ssm.endpoint import AgentProcess, wait_until
from tests.ssm.world import REGION

CONFIG = Path("/etc/amazon/ssm/amazon-ssm-agent.json")
STATE = Path("/var/lib/amazon/ssm")


class RealAgentProcess(AgentProcess):
    """amazon-ssm-agent, configured for the endpoint and for polling."""

    def start(self) -> None:
        """Write its configuration, register it once, start it. Returns when it polls."""
        if not self.instance_id:
            self._configure()
            self._register()
        polls = self.endpoint.targets.count("GetMessages")
        self.process = subprocess.Popen(
            [self._binary()], env=self._environment(), stderr=self._log(), stdout=self._log()
        )
        wait_until(lambda: self.endpoint.targets.count("GetMessages") > polls, 60)

    def _configure(self) -> None:
        shutil.rmtree(STATE, ignore_errors=True)
        CONFIG.parent.mkdir(parents=True, exist_ok=True)
        configuration = {
            "Ssm": {"Endpoint": self.endpoint.url},
            "Mds": {"Endpoint": self.endpoint.url},
            "Agent": {"Region": REGION},
            "Identity": {"ConsumptionOrder": ["OnPrem"]},
        }
        CONFIG.write_text(json.dumps(configuration))

    def _register(self) -> None:
        made = self.endpoint.client().create_activation(IamRole="HostRole")
        arguments = ["-register", "-y", "-code", made["ActivationCode"], "-id", made["ActivationId"], "-region", REGION]
        subprocess.run([self._binary(), *arguments], check=True, env=self._environment(), timeout=60)
        listed = self.endpoint.client().describe_instance_information()["InstanceInformationList"]
        self.instance_id = listed[-1]["InstanceId"]

    def _binary(self) -> str:
        return str(Path(os.environ["SSM_AGENT_DIR"]) / "amazon-ssm-agent")

    def _environment(self) -> dict[str, str]:
        shared = str(self.folder / "credentials")
        return {**os.environ, "AWS_SHARED_CREDENTIALS_FILE": shared, "PATH": os.environ.get("PATH", os.defpath)}
