"""The scripts of the study of choosers."""

from __future__ import annotations

import pytest

from tests.scripts import tool


@pytest.fixture(scope="package")
def tools():
    return {"collect": tool("research/collect.py"), "judge": tool("research/judge.py"),
            "verdict": tool("research/verdict.py")}  # fmt: skip
