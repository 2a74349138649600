"""The built wheel, installed and tried in an environment that has nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.wheel


def run(*command, cwd, **kwargs):
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(c) for c in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env=env,
        **kwargs,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    wheels = list(out.glob("*.whl"))
    assert len(wheels) == 1
    return wheels[0]


def test_what_is_in_the_wheel(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "goldenlayers/facts/bundled.jsonl" in names
    assert "goldenlayers/py.typed" in names
    assert any(n.endswith("licenses/LICENSE") for n in names)
    assert not any(n.startswith(("tests", "bench", "tools")) for n in names)


@pytest.mark.bundled
def test_the_wheel_works_in_a_clean_environment(wheel, tmp_path):
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", venv, cwd=tmp_path)
    python = venv / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt"]
    run(*pip, "torch", cwd=tmp_path)
    run(*pip, wheel, cwd=tmp_path)
    run(python, "-m", "pip", "check", cwd=tmp_path)
    command = venv / "bin" / "golden-layers"
    facts = json.loads(run(command, "facts", "--json", cwd=tmp_path))
    assert facts["facts"] >= 160
    out = run(command, "find", "--limit", "6", "--layers", "4-12", "--out", "result", cwd=tmp_path)
    assert "golden layer:" in out
    assert (tmp_path / "result" / "scores.png").is_file()
    # pandas is an extra: without it only the data frames are missing
    installed = run(python, "-m", "pip", "list", cwd=tmp_path)
    assert "pandas" not in installed
