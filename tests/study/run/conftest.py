"""The small study, run once for all tests that look at it."""

from __future__ import annotations

import pytest

from tests.study.run import studies


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Return the folder of a finished study, and its settings; nobody may write there."""
    folder = tmp_path_factory.mktemp("study")
    study = studies.settings(folder)
    lines = []
    out = studies.run(folder / "run", study, say=lines.append)
    return out, study, lines
