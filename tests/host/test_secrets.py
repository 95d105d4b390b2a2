"""What a client sent in confidence reaches the container and nothing else."""

from __future__ import annotations

import json

from gpulease_host.engine import EngineError
from gpulease_host.permission import Granted
from tests.host.orders import order
from tests.host.rig import Rig

BODY = {"env": {"TOKEN": "hush-1"}, "entrypoint": None, "args": ["hush-2"], "onstart": "hush-3", "login": None}


def everything_kept(rig: Rig) -> str:
    files = [path.read_text() for path in rig.folder.iterdir()]
    return "\n".join([*files, rig.log.getvalue(), json.dumps(rig.state()), repr(rig.daemon.ledger.view())])


def test_secrets_reach_the_engine_and_no_journal_log_or_report(rig: Rig) -> None:
    rig.api.secrets = json.dumps(BODY).encode()
    rig.give(order())
    rig.pass_time(15)
    assert rig.engine.secrets[11].env == {"TOKEN": "hush-1"}
    assert rig.engine.secrets[11].args == ["hush-2"]
    assert "hush" not in everything_kept(rig)
    assert "hush" not in repr(Granted(rig.engine.secrets[11]))


def test_secrets_that_cannot_be_opened_fail_the_start(rig: Rig) -> None:
    rig.api.secrets = b'{"env": {"TOKEN": ["hush-1"]}}'
    rig.give(order())
    assert rig.instance()["status"] == "failed"
    assert rig.engine.starts() == []
    assert "hush" not in everything_kept(rig)


def test_secrets_are_fetched_anew_for_each_start(rig: Rig) -> None:
    rig.give(order())
    rig.give(order(generation=2, desired="stopped"))
    rig.give(order(generation=3, token=2))
    assert [each.generation for each in rig.api.fetched] == [1, 3]


def test_a_failed_start_keeps_no_secret(rig: Rig) -> None:
    rig.api.secrets = json.dumps(BODY).encode()
    rig.engine.start_error = EngineError("The engine said no.")
    rig.give(order())
    assert "hush" not in everything_kept(rig)


def test_what_docker_quotes_of_a_command_is_told_to_nobody(rig: Rig) -> None:
    quoted = 'exec: "hush-2": executable file not found; TOKEN is hush-1, and "no" was tried'
    rig.api.secrets = json.dumps({**BODY, "entrypoint": ["no"]}).encode()
    rig.engine.start_error = EngineError(quoted)
    rig.give(order())
    assert rig.instance()["reason"] == 'exec: "…": executable file not found; TOKEN is …, and "…" was tried'
    assert "hush" not in everything_kept(rig)


def test_a_secret_of_many_lines_is_hidden_also_as_docker_escapes_it(rig: Rig) -> None:
    rig.api.secrets = json.dumps({**BODY, "args": ['a "b"\nc']}).encode()
    rig.engine.start_error = EngineError('exec: "a \\"b\\"\\nc": no such file')
    rig.give(order())
    assert rig.instance()["reason"] == 'exec: "…": no such file'
