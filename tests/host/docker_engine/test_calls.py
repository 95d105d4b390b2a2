"""Commands and logs on real containers: kept apart, bounded in size and time, and readable after the exit."""

from __future__ import annotations

import time

import pytest

from gpulease_host.docker_engine.container_calls import LOG_BYTES, OUTPUT_BYTES
from gpulease_host.engine import EngineError, Order
from tests.host.docker_engine.bench import Bench, wait_until

pytestmark = pytest.mark.docker


@pytest.fixture
def sleeper(bench: Bench) -> Order:
    return bench.run("sh", "-c", "trap exit TERM; sleep 600 & wait")


def test_a_command_has_its_streams_apart_and_its_exit_code(bench: Bench, sleeper: Order) -> None:
    script = "echo out; echo err >&2; exit 3"
    ran = bench.engine.run_command(sleeper.instance_id, ["sh", "-c", script], 5)
    assert ran == {"exit_code": 3, "stdout": "out\n", "stderr": "err\n", "truncated": False}


@pytest.mark.parametrize("text", ["a b", "$(id); rm -rf /", "two\nlines", "ünïcode 🂡", "", "'\""])
def test_arguments_arrive_as_they_were_sent(bench: Bench, sleeper: Order, text: str) -> None:
    ran = bench.engine.run_command(sleeper.instance_id, ["printf", "%s", text], 5)
    assert (ran["exit_code"], ran["stdout"]) == (0, text)


def test_a_command_sees_the_contracts_environment(bench: Bench) -> None:
    order = bench.order()
    bench.start(order, "sleep", "600", env={"TOKEN": "told"})
    assert bench.engine.run_command(order.instance_id, ["sh", "-c", "echo $TOKEN"], 5)["stdout"] == "told\n"


def test_a_command_is_not_the_first_to_die_where_ram_is_scarce(bench: Bench, sleeper: Order) -> None:
    """Docker begins it with the mark that a container has until it was seen within its share."""
    ran = bench.engine.run_command(sleeper.instance_id, ["sh", "-c", "sleep 2; cat /proc/self/oom_score_adj"], 10)
    assert ran["stdout"] == "0\n"


def test_output_is_cut_off_and_said_to_be(bench: Bench, sleeper: Order) -> None:
    ran = bench.engine.run_command(sleeper.instance_id, ["sh", "-c", "yes | head -c 200000"], 10)
    assert (len(ran["stdout"]), ran["truncated"], ran["exit_code"]) == (OUTPUT_BYTES, True, 0)


def test_what_takes_too_long_is_killed_and_what_it_wrote_is_kept(bench: Bench, sleeper: Order) -> None:
    ran = bench.engine.run_command(sleeper.instance_id, ["sh", "-c", "echo begun; exec sleep 300"], 1)
    assert (ran["exit_code"], ran["stdout"]) == (None, "begun\n")
    wait_until(lambda: "sleep 300" not in bench.sh(sleeper, "ps")[1], 5)


def test_a_program_that_is_not_there_is_told(bench: Bench, sleeper: Order) -> None:
    ran = bench.engine.run_command(sleeper.instance_id, ["not-there"], 5)
    assert ran["exit_code"] in (126, 127)
    assert "not-there" in ran["stdout"] + ran["stderr"]


def test_a_container_that_does_not_run_runs_no_command(bench: Bench) -> None:
    order = bench.run("true")
    bench.exited(order)
    with pytest.raises(EngineError, match="could not be run"):
        bench.engine.run_command(order.instance_id, ["true"], 5)


def test_logs_are_read_after_the_exit_with_their_streams(bench: Bench) -> None:
    order = bench.run("sh", "-c", "echo one; sleep 0.05; echo two >&2")
    bench.exited(order)
    read = bench.engine.read_logs(order.instance_id, 10, None, None)
    assert [(each["stream"], each["text"]) for each in read["items"]] == [("stdout", "one"), ("stderr", "two")]
    assert all(each["at"].endswith("Z") for each in read["items"])


def test_a_progress_bar_is_read_as_one_line_and_followed(bench: Bench) -> None:
    order = bench.run(
        "sh", "-c", "echo begun; sleep 0.05; printf ' 0%%\\r 50%%\\r100%%\\n'; head -c 20000 /dev/zero | tr '\\0' x"
    )
    bench.exited(order)
    read = bench.engine.read_logs(order.instance_id, 10, None, None)
    assert [each["text"] for each in read["items"][:2]] == ["begun", " 0%\r 50%\r100%"]
    assert [len(each["text"]) for each in read["items"][2:]] == [16384, 20000 - 16384]
    cursor = bench.engine.read_logs(order.instance_id, 1, None, "0000000001.000000000")["next"]
    followed = bench.engine.read_logs(order.instance_id, 10, None, cursor)
    assert followed["items"] == read["items"][1:]


def test_the_last_lines_are_the_last(bench: Bench) -> None:
    order = bench.run("sh", "-c", "seq 1 50")
    bench.exited(order)
    read = bench.engine.read_logs(order.instance_id, 3, None, None)
    assert [each["text"] for each in read["items"]] == ["48", "49", "50"]


def test_a_log_is_followed_without_a_line_lost_or_twice(bench: Bench) -> None:
    order = bench.run("sh", "-c", "for n in $(seq 1 40); do echo $n; sleep 0.02; done")
    seen: list[str] = []
    cursor = None
    deadline = time.monotonic() + 20
    while len(seen) < 40 and time.monotonic() < deadline:
        read = bench.engine.read_logs(order.instance_id, 1000, None, cursor)
        seen += [each["text"] for each in read["items"]]
        cursor = read["next"] or cursor
    assert seen == [str(number) for number in range(1, 41)]


def test_of_a_large_log_the_last_part_is_read(bench: Bench) -> None:
    order = bench.run("sh", "-c", "for n in $(seq 1 300); do printf '%01000d\\n' $n; done")
    bench.exited(order)
    items = bench.engine.read_logs(order.instance_id, 1000, None, None)["items"]
    assert items[-1]["text"] == f"{300:01000d}"
    assert sum(len(each["text"]) for each in items) <= LOG_BYTES


def test_nothing_is_read_of_what_was_written_before_since(bench: Bench) -> None:
    order = bench.run("sh", "-c", "echo early")
    bench.exited(order)
    assert bench.engine.read_logs(order.instance_id, 10, int(time.time()) + 60, None)["items"] == []


def test_a_container_that_is_gone_has_no_logs(bench: Bench) -> None:
    with pytest.raises(EngineError, match="could not be read"):
        bench.engine.read_logs(1, 10, None, None)
