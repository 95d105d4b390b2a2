"""JupyterLab in images with and without a Python of their own: over HTTPS, for the token's holder, with a kernel."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from local.images import BUSYBOX
from tests.host.docker_engine.bench import client_of, wait_until
from tests.host.launch import rootfs
from tests.host.launch.conftest import TOKEN, OpenPlace, Place
from tests.host.launch.notebook import KernelSession
from tests.host.notary import Notary

pytestmark = pytest.mark.docker


@pytest.fixture(scope="session")
def debian(docker_host: str) -> str:
    changes = ["ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "WORKDIR /srv", "USER nobody"]
    return rootfs.ensure(client_of(docker_host), "gpulease/test-debian-work:1", rootfs.debian, changes)


def hold_to_a_kernel(kernel: KernelSession) -> None:
    outcome = kernel.run("print('out'); import sys; print('err', file=sys.stderr); 40 + 2")
    assert (outcome.status, outcome.stdout, outcome.stderr) == ("ok", "out\n", "err\n")
    assert outcome.result["text/plain"] == "42"
    failed = kernel.run("def f():\n    return 1 / 0\nf()")
    assert (failed.status, failed.error["ename"]) == ("error", "ZeroDivisionError")
    assert "f()" in "".join(failed.error["traceback"])
    assert kernel.run("import os; os.environ['A']").result["text/plain"] == "'b c'"
    assert "split" in "".join(kernel.complete("word = 'x'\nword.spl") or kernel.complete("str.spl"))
    asked = kernel.submit("input('name? ')")
    assert kernel.outcome(asked, typed="Ada").result["text/plain"] == "'Ada'"
    asked = kernel.submit("import time\nprint('begun', flush=True)\nwhile True: time.sleep(0.05)")
    time.sleep(1)
    kernel.interrupt()
    assert kernel.outcome(asked).error["ename"] == "KeyboardInterrupt"
    assert kernel.run("!echo from a shell").stdout.strip() == "from a shell"
    assert kernel.run("1 + 1").result["text/plain"] == "2"


def test_an_image_without_python_gets_the_toolkits(open_place: OpenPlace) -> None:
    place = open_place(BUSYBOX, "jupyter", env={"A": "b c"})
    notebook = place.notebook
    assert notebook.get("/api/contents")[0] == 200
    assert notebook.get("/api/contents", token="")[0] == 403
    assert notebook.get("/api/contents", token="wrong")[0] == 403
    status, page = notebook.get("/lab")
    assert status == 200
    assert b"JupyterLab" in page
    with notebook.kernel() as kernel:
        hold_to_a_kernel(kernel)
        assert kernel.run("import sys; sys.prefix").result["text/plain"] == "'/.gl/python'"
    assert place.visitor.said("echo $A") == "b c"


@pytest.mark.slow
def test_a_terminal_is_the_sessions_shell(open_place: OpenPlace) -> None:
    place = open_place(BUSYBOX, "jupyter", env={"A": "b c"})
    status, body = place.notebook.ask("POST", "/api/terminals")
    assert status == 200
    socket = place.notebook.socket(f"/terminals/websocket/{json.loads(body)['name']}")
    socket.send(json.dumps(["stdin", 'echo "<$A|$SHELL|$OPENSSL_CONF>"\r']))
    heard = ""
    while "<b c|/bin/sh|>" not in heard:
        kind, *rest = json.loads(socket.receive())
        heard += rest[0] if kind == "stdout" else ""
    socket.close()


@pytest.mark.slow
def test_the_token_is_in_no_command_line_no_log_and_nothing_that_docker_tells(open_place: OpenPlace) -> None:
    place = open_place(BUSYBOX, "jupyter")
    with place.notebook.kernel() as kernel:
        kernel.run("1")
    command_lines = b"".join(_read(pid, "cmdline") for pid in place.bench.pids(place.order))
    environments = b"".join(_read(pid, "environ") for pid in place.bench.pids(place.order))
    told = json.dumps(place.bench.client.inspect_container(f"gpulease-{place.order.instance_id}"))
    key = place.files.inside.joinpath("tls.key").read_text().splitlines()[1]
    for text in (command_lines.decode(), environments.decode("utf-8", "replace"), told, place.log):
        assert TOKEN not in text
        assert key not in text
    assert b"jupyter_main" in command_lines


@pytest.mark.slow
def test_a_renewed_certificate_is_used_and_kernels_live_on(open_place: OpenPlace) -> None:
    place = open_place(BUSYBOX, "jupyter")
    before = place.notebook
    with before.kernel() as kernel:
        kernel.run("kept = 7")
        place.files.set_tls(Notary().files(place.order.instance_id))
        assert place.notebook.certificate != before.certificate
        assert place.notebook.get("/api/status")[0] == 200
        assert kernel.run("kept").result["text/plain"] == "7"
        kernel.notebook = place.notebook


@pytest.mark.slow
def test_jupyter_that_dies_is_started_again(open_place: OpenPlace) -> None:
    place = open_place(BUSYBOX, "jupyter")
    place.visitor.said("kill -9 $(ps | grep '[j]upyter_main' | awk '{print $1}')")
    wait_until(lambda: "jupyter ended with -9 and is started again" in place.log, 20)
    wait_until(lambda: place.bench.engine.why_not_reached(place.order) is None, 30)


def test_the_kernel_runs_in_the_images_own_python(open_place: OpenPlace, debian: str) -> None:
    place = open_place(debian, "jupyter", env={"A": "b c"})
    with place.notebook.kernel() as kernel:
        hold_to_a_kernel(kernel)
        own = kernel.run("import sys, os; sys.prefix, sys.version_info[:3], os.getcwd(), os.getuid()").result
        version = place.visitor.said("python3 -c 'import sys; print(sys.version_info[:3])'")
        assert own["text/plain"] == f"('/usr', {version}, '/srv', 0)"
        assert kernel.run("import ipykernel").error["ename"] == "ModuleNotFoundError"
        _hold_to_the_bridge(place, kernel)


def _hold_to_the_bridge(place: Place, kernel: KernelSession) -> None:
    """What only it can get wrong: rich values, output from below Python, magics, a Python that ends."""
    html = kernel.run("class Table:\n    def _repr_html_(self): return '<b>t</b>'\nTable()")
    assert html.result["text/html"] == "<b>t</b>"
    assert kernel.run("display(3)").shown == [{"text/plain": "3"}]
    assert kernel.run("import os; os.write(1, 'ü\\n'.encode()); None").stdout == "ü\n"
    assert kernel.run("%cd /tmp\nimport os; os.getcwd()").result["text/plain"] == "'/tmp'"
    assert "ipykernel" in kernel.run("%timeit 1").error["evalue"]
    assert (
        kernel.run("import pickle\nclass P: pass\ntype(pickle.loads(pickle.dumps(P()))).__name__").result["text/plain"]
        == "'P'"
    )
    assert kernel.run("import os; os._exit(3)").error["ename"] == "KernelError"
    assert place.notebook.ask("POST", f"/api/kernels/{kernel.kernel_id}/restart")[0] == 200


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
