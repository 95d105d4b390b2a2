"""The state machine as it is deployed, with the stage's values in it."""

import json

from infra.config import STAGES, choose_stage
from infra.constructs.contract_machine import definition
from infra.paths import STATE_MACHINE
from tests.infra.synthesis import Synthesized


def test_the_definition_on_disk_is_production_s_own() -> None:
    assert json.loads(definition(STAGES["prod"])) == json.loads(STATE_MACHINE.read_text())


def test_the_provision_timeout_is_literal_and_the_stage_s() -> None:
    stage = choose_stage({"stage": "local", "provision_timeout_s": "60"})
    machine = json.loads(definition(stage))
    assert machine["States"]["provision"]["TimeoutSeconds"] == 60
    machine["States"]["provision"]["TimeoutSeconds"] = 900
    assert machine == json.loads(STATE_MACHINE.read_text())


def test_the_machine_runs_the_step_function_s_live_alias_and_logs_no_token(prod: Synthesized) -> None:
    (found,) = prod.resources("AWS::StepFunctions::StateMachine").values()
    machine = found["Properties"]
    (substituted,) = machine["DefinitionSubstitutions"].values()
    assert substituted["Ref"].startswith("StepLive")
    assert machine["LoggingConfiguration"]["IncludeExecutionData"] is False
    assert machine["TracingConfiguration"] == {"Enabled": True}
