"""Where the sources of the deployed artifacts lie, independent of the directory synthesis is started in."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FUNCTIONS = ROOT / "functions"
HOST = ROOT / "host"
PROXY = ROOT / "proxy"
PROXY_MACHINE = ROOT / "infra" / "proxy_machine.sh"
REQUIREMENTS = FUNCTIONS / "requirements.txt"
CONSTRAINTS = ROOT / "constraints.txt"
STATE_MACHINE = ROOT / "statemachines" / "contract.asl.json"
LAYER = ROOT / "build" / "layer"
LAYER_PLACEHOLDER = ROOT / "infra" / "layer_placeholder"
