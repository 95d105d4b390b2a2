"""`gpulease-host daemon`: the daemon on real parts, until SIGTERM or SIGINT."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import time
import uuid
from typing import NoReturn

from gpulease_host.api import Api, MachineAuth, Signer
from gpulease_host.daemon import Parts, open_daemon
from gpulease_host.engine import OpenEngine
from gpulease_host.event_bus import EventBus, open_client
from gpulease_host.key_ring import KeyRing
from gpulease_host.log import Log
from gpulease_host.settings import HostConfig, Settings, lock_folder
from gpulease_host.threads import end_on_fault
from gpulease_host.trusted_clock import TrustedClock
from gpulease_host.world import read_run_id


def run_daemon(settings: Settings, open_engine: OpenEngine) -> NoReturn:
    """Raises SettingsError, MachineKeyError or EngineError when there is nothing to run."""
    config = HostConfig.load(settings.config_path)
    keys = KeyRing.open(settings.key_path)
    clock = TrustedClock()

    def open_api(key: Signer) -> Api:
        return Api(config.api_url, MachineAuth(key, config.host_id, clock), clock.hear)

    raise_limit_of_open_files()
    with lock_folder(settings.pid_path):
        log = Log(sys.stderr, time.time)
        end_on_fault(log)
        serve(
            Parts(
                settings=settings,
                host_id=config.host_id,
                keys=keys,
                engine=open_engine(config.host_id, config.simulate_gpus),
                api=open_api(keys),
                open_key_api=open_api,
                sink=EventBus(config.event_bus_name, settings.credentials, lambda: open_client(config.region, clock)),
                read_run=lambda: read_run_id(settings.docker_socket),
                boot_id=str(uuid.uuid4()),
                log=log,
                clock=clock,
            )
        )


def raise_limit_of_open_files() -> None:
    """Of this process and those that it begins: what tenants nest, and who knocks at their ports, takes some."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def serve(parts: Parts) -> NoReturn:
    """Run until told to end. A worker in the middle of something is cut off, as by a crash: it goes on next time."""
    told = threading.Event()
    daemon = open_daemon(parts)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: told.set())
    daemon.start()
    told.wait()
    daemon.stop()
    sys.stderr.flush()
    os._exit(0)
