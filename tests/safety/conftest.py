"""One process that runs commands, for all tests that kill, stop or starve them."""

from __future__ import annotations

import pytest

from tests.safety.killing.runs import Runs


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    server = Runs(tmp_path_factory.mktemp("server"))
    yield server
    server.close()
