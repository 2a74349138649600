"""Make locks/: every package of the two commands, with the hashes of its files.

The versions are those of constraints.txt, for the extra `dev` of pyproject.toml; the hashes are
what the package index lists for them, for all platforms, as `uv pip compile` finds them. Nothing
is installed. torch has files of its own, because there are two builds of one version:

- locks/torch-cpu.lock: the build without GPU libraries, whose version ends in "+cpu". PyPI does
  not have it, so its hash is that of the file that pip finds here, for this Python.
- locks/torch.lock: PyPI's build, and the GPU libraries that it needs on Linux.

    python tools/locks/make.py            # writes the files
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "locks"
UV = "uv==0.13.9"
AUDIT = "pip-audit==2.10.1"
# needed to build the three packages that are published as source alone, so it is there first
FIRST = ("torch", "setuptools")
GPU = ("nvidia-", "cuda-", "triton")
HEAD = "# Made by `make lock` from pyproject.toml and constraints.txt; not to be edited.\n"


def main() -> None:
    """Write the files of locks/."""
    LOCKS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        python = _python(Path(folder))
        every = _compiled(
            python, ["--extra", "dev", "--constraint", "constraints.txt"], "pyproject.toml"
        )
        tools = Path(folder) / "audit.in"
        tools.write_text(f"{AUDIT}\n", encoding="utf-8")
        audit = _compiled(python, [], str(tools))
        cpu = _cpu_build(python, every["torch"], Path(folder))
    gpu = [name for name in every if name.startswith(GPU)]
    _write("packages.lock", (every[n] for n in every if n not in (*FIRST, *gpu)))
    _write("torch.lock", (every[n] for n in every if n in (*FIRST, *gpu)))
    _write("torch-cpu.lock", (cpu, every["setuptools"]))
    _write("audit.lock", audit.values())


def blocks(text: str) -> dict[str, str]:
    """Return the requirements of a lock by name, each with its hashes."""
    found = re.findall(
        r"^(?P<all>(?P<name>[\w.-]+)(?:\[[^]]*\])?==.*\n(?:    --hash=.*\n)*)", text, re.M
    )
    return {name: block for block, name in found}


def _python(folder: Path) -> str:
    subprocess.run([sys.executable, "-m", "venv", folder / "uv"], check=True)
    python = str(folder / "uv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", UV], check=True)
    return python


def _compiled(python: str, options: list[str], source: str) -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest = project["requires-python"].removeprefix(">=")
    done = subprocess.run(
        [
            python, "-m", "uv", "pip", "compile", "--quiet", "--no-config", "--universal",
            "--python-version", oldest, "--generate-hashes", "--no-header", "--no-annotate",
            *options, source,
        ],
        check=True, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    return blocks(done.stdout)


def _cpu_build(python: str, torch: str, folder: Path) -> str:
    """Return the requirement of torch's build without GPU libraries."""
    version = re.match(r"torch==([\w.]+)", torch)[1]
    command = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    subprocess.run([*command, f"torch=={version}+cpu"], check=True)
    (wheel,) = folder.glob("torch-*.whl")
    with wheel.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"torch=={version}+cpu \\\n    --hash=sha256:{digest}\n"


def _write(name: str, requirements: Iterable[str]) -> None:
    (LOCKS / name).write_text(HEAD + "".join(requirements), encoding="utf-8")


if __name__ == "__main__":
    main()
