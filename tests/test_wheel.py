"""The built wheel, tried in an environment that has what it requires and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from email import message_from_bytes
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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
    assert "goldenlayers/locators/measured.json" in names
    assert "goldenlayers/py.typed" in names
    assert any(n.endswith("licenses/LICENSE") for n in names)
    assert not any(n.startswith(("tests", "bench", "tools")) for n in names)


def required(wheel: Path) -> dict[str, Distribution]:
    """Return what the wheel requires, and what that requires, as installed here; no extras."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        asked = message_from_bytes(archive.read(name)).get_all("Requires-Dist", [])
    todo, found = [(line, "") for line in asked], {}
    while todo:
        line, extra = todo.pop()
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        one = distribution(requirement.name)
        assert requirement.specifier.contains(one.version, prereleases=True), line
        key = canonicalize_name(requirement.name)
        for wanted in ("", *requirement.extras):
            if (key, wanted) not in found:
                found[key, wanted] = one
                todo += [(more, wanted) for more in one.requires or ()]
    return {key: one for (key, _), one in found.items()}


def link(one: Distribution, site: Path) -> None:
    """Make a distribution that is installed here appear in another environment."""
    inside = [path for path in one.files or () if path.parts[0] not in ("..", "__pycache__")]
    for name in {path.parts[0] for path in inside}:
        place = site / name
        if not place.exists():
            place.symlink_to(Path(str(one.locate_file(name))))
    # a namespace that several distributions share would have only the first one's modules
    assert [p for p in inside if p.suffix == ".py" and not (site / p).exists()] == []


@pytest.mark.bundled
def test_the_wheel_works_with_what_it_requires_and_nothing_else(wheel, tmp_path):
    venv = tmp_path / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", venv, cwd=tmp_path)
    python = venv / "bin" / "python"
    (site,) = venv.glob("lib/python*/site-packages")
    # unpacking torch once more would take minutes
    for one in (distribution("pip"), *required(wheel).values()):
        link(one, site)
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", wheel, cwd=tmp_path)
    run(python, "-m", "pip", "check", cwd=tmp_path)
    installed = json.loads(run(python, "-m", "pip", "list", "--format", "json", cwd=tmp_path))
    names = {canonicalize_name(one["name"]) for one in installed}
    assert "pytest" not in names  # nothing of what stands around us
    assert "torch" in names
    # pandas is an extra: without it only the data frames are missing
    assert "pandas" not in names
    command = venv / "bin" / "golden-layers"
    facts = json.loads(run(command, "facts", "--json", cwd=tmp_path))
    assert facts["facts"] >= 160
    out = run(command, "find", "--limit", "4", "--layers", "4-8", "--out", "result", cwd=tmp_path)
    assert "golden layer:" in out
    assert (tmp_path / "result" / "scores.png").is_file()
