"""One process that runs commands, for all tests that kill, stop or starve them."""

from __future__ import annotations

import pytest

# the command line on tiny models in folders, in this process
from tests.cli.conftest import cli, facts_file, llama, save_model, write_facts  # noqa: F401
from tests.editors.files.saved import adapter, delta, edit  # noqa: F401
from tests.safety.killing.runs import Runs


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    server = Runs(tmp_path_factory.mktemp("server"))
    yield server
    server.close()
