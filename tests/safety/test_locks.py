"""What the two commands install: pinned, with hashes, all of it; and its audit."""

from __future__ import annotations

import http.server
import re
import threading
import tomllib
from contextlib import contextmanager
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.scripts import tool

ROOT = Path(__file__).parents[2]
# Only PyPI's torch needs them, and constraints.txt is for both builds.
GPU = ("nvidia-", "cuda-", "triton")
# uv's names for packages of other platforms, which no machine here has
ELSEWHERE = ("httpx2-jsfetch",)


def pins(name):
    """Return the versions of a lock or of the constraints, by name."""
    text = (ROOT / name).read_text(encoding="utf-8")
    found = re.findall(r"^([\w.-]+)==([\w.+]+)", text, re.MULTILINE)
    return {canonicalize_name(n): version for n, version in found}


def requirements(extra):
    """Yield what an extra of pyproject.toml asks for, and the library itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for text in (*project["dependencies"], *project["optional-dependencies"][extra]):
        one = Requirement(text)
        if one.name == project["name"]:
            for inner in one.extras:
                yield from requirements(inner)
        else:
            yield one


@pytest.mark.parametrize("build", ["torch.lock", "torch-cpu.lock"])
def test_everything_that_is_asked_for_is_locked(build):
    locked = pins("locks/packages.lock") | pins(f"locks/{build}")
    asked = {canonicalize_name(r.name): r for r in requirements("dev")}
    assert len(asked) > 25
    for name, requirement in asked.items():
        assert requirement.specifier.contains(locked[name]), f"{requirement}, locked {locked[name]}"


def test_the_locks_agree_with_the_constraints():
    locked = pins("locks/packages.lock") | pins("locks/torch.lock")
    own = {n: v for n, v in locked.items() if not n.startswith(GPU) and n not in ELSEWHERE}
    assert own == pins("constraints.txt")
    assert pins("locks/torch-cpu.lock")["torch"] == f"{own['torch']}+cpu"
    assert pins("locks/torch-cpu.lock")["setuptools"] == own["setuptools"]


@pytest.mark.parametrize("name", ["packages.lock", "torch.lock", "torch-cpu.lock", "audit.lock"])
def test_everything_has_a_hash(name):
    text = (ROOT / "locks" / name).read_text(encoding="utf-8")
    blocks = tool("locks/make.py").blocks(text)
    assert {canonicalize_name(n) for n in blocks} == set(pins(f"locks/{name}"))
    for name, block in blocks.items():
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", block), name
    # nothing that is not a requirement: an option could name another index
    rest = text
    for block in blocks.values():
        rest = rest.replace(block, "")
    assert [line for line in rest.splitlines() if not line.startswith("#")] == []


def test_the_commands_install_by_hash_alone():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (hashed,) = re.findall(r"^HASHED := (.*)$", makefile, re.MULTILINE)
    assert "--require-hashes" in hashed
    assert "--no-deps" in hashed
    branch = makefile[makefile.index("ifeq ($(LOCKED),yes)") : makefile.index("\nelse\n")]
    lines = [line.strip() for line in branch.splitlines()[1:]]
    assert [line for line in lines if "$(HASHED)" not in line] == [
        "$(PIP) install --quiet --no-deps --no-build-isolation --editable ."
    ]


@contextmanager
def service(status, body):
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/pypi/pip/24.0/json"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [(404, b"", "it answers 404"), (200, b"{}", "says nothing"), (200, b"<html>", "Expecting")],
)
def test_no_service_is_said_and_is_no_failure(status, body, reason, monkeypatch, capsys):
    audit = tool("locks/audit.py")
    monkeypatch.setattr(audit, "audit", lambda folder: pytest.fail("nobody to ask"))
    with service(status, body) as url:
        monkeypatch.setattr(audit, "SERVICE", url)
        assert audit.main() == 0
    said = capsys.readouterr().out
    assert said.startswith("NOT AUDITED: ")
    assert reason in said


def test_a_vulnerability_fails(monkeypatch, capsys):
    audit = tool("locks/audit.py")
    ran = []

    class Done:
        returncode = 1  # pip-audit's, where there is one

    def run(command, **_):
        ran.append([str(part) for part in command])
        return Done

    monkeypatch.setattr(audit.subprocess, "run", run)
    with service(200, b'{"vulnerabilities": []}') as url:
        monkeypatch.setattr(audit, "SERVICE", url)
        assert audit.main() == 1
    assert "NOT AUDITED" not in capsys.readouterr().out
    venv, install, audited = ran
    assert "venv" in venv
    assert "--require-hashes" in install
    assert "--strict" in audited
    assert [Path(part).name for part in audited if part.endswith(".lock")] == list(audit.AUDITED)
