"""The small study, run once for all tests that look at it, whichever process they run in."""

from __future__ import annotations

import json
import os

import pytest
from filelock import FileLock

from tests.study.run import studies


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Return the folder of a finished study, its settings and what was said; nobody writes there.

    The processes of one test run (pytest-xdist) share it: who comes first makes it.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # of this run alone: it has a number of its own
    folder = shared / "small-study"
    folder.mkdir(exist_ok=True)
    said = folder / "said.json"
    with FileLock(folder / "lock"):
        study = studies.settings(folder)
        if not said.exists():
            lines = []
            studies.run(folder / "run", study, say=lines.append)
            said.write_text(json.dumps(lines))
    return folder / "run", study, json.loads(said.read_text())
