"""The checks hold under the oldest transformers that pyproject.toml allows, too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.version import Version

ROOT = Path(__file__).parents[2]
# what goes with a transformers of that age, and is left to pip
FREE = ("transformers", "tokenizers", "huggingface_hub", "hf-xet", "httpx", "httpcore", "typer")


def oldest() -> str:
    """The lower bound of transformers, as a whole version."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (bound,) = re.findall(r'"transformers>=([0-9.]+),', text)
    return ".".join((*bound.split("."), "0", "0")[:3])


@pytest.mark.wheel
@pytest.mark.timeout(1200)
def test_the_checks_under_the_oldest_transformers(tmp_path):
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    kept = [p for p in pins if re.split(r"[=<>]", p)[0].casefold() not in FREE]
    (tmp_path / "constraints.txt").write_text("\n".join(kept), encoding="utf-8")
    place = tmp_path / "old"
    subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "--quiet", "--target", str(place),
            "--constraint", str(tmp_path / "constraints.txt"), f"transformers=={oldest()}",
        ],
        check=True,
    )  # fmt: skip
    paths = os.pathsep.join((str(place), str(ROOT / "src"), str(ROOT)))
    environment = os.environ | {"PYTHONPATH": paths}
    said = subprocess.run(
        [sys.executable, "-c", "import transformers; print(transformers.__version__)"],
        env=environment, check=True, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert Version(said.stdout.strip()) == Version(oldest())
    tests = ["tests/conformance/test_families.py", "-m", "not bundled"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        env=environment, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-3000:]
    assert re.search(r"\d+ passed", run.stdout)
