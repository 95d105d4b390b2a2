"""A missing setting is named; nothing is guessed."""

import pytest

from rental.adapters.settings import HostSettings, MissingSettingError, QueueSettings, TermsSettings, from_env


def test_settings_are_read_from_variables_of_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"CELL": "3", "GRACE_S": "10", "PROVISION_TIMEOUT_S": "60"}.items():
        monkeypatch.setenv(name, value)
    assert from_env(TermsSettings) == TermsSettings(cell=3, grace_s=10, provision_timeout_s=60)


@pytest.mark.parametrize(("text", "allowed"), [("true", True), ("false", False), ("1", False), ("", False)])
def test_only_true_is_true(monkeypatch: pytest.MonkeyPatch, text: str, allowed: bool) -> None:
    variables = {"CELL": "0", "ALLOW_SIMULATED_GPUS": text, "STAGE": "local", "HOST_ROLE_NAME": "role"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert from_env(HostSettings).allow_simulated_gpus is allowed


def test_the_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("URGENT_QUEUE_URL", "https://queue")
    with pytest.raises(MissingSettingError, match="NORMAL_QUEUE_URL"):
        from_env(QueueSettings)
