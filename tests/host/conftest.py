"""A registered host folder, and a daemon on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpulease_host.journal import Journal
from tests.host.orders import HOST_ID
from tests.host.rig import Rig


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Journal.create(tmp_path / "journal", HOST_ID)
    return tmp_path


@pytest.fixture
def rig(folder: Path) -> Rig:
    return Rig(folder).boot()
