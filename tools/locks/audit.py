"""Ask PyPI's advisories whether anything that locks/ lists has a known vulnerability.

pip-audit does it, itself installed by hash into an environment that is thrown away. Where the
service cannot be reached, as where only a mirror of the packages is, that is said and nothing
fails: an audit that did not happen is no clean one.

    python tools/locks/audit.py        # status 1 if there is a vulnerability
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

LOCKS = Path(__file__).parents[2] / "locks"
# PyPI does not know torch's build without GPU libraries; its own build of the version is audited
AUDITED = ("packages.lock", "torch.lock")
# it says which vulnerabilities a release has; a mirror of the files alone does not have it
SERVICE = "https://pypi.org/pypi/pip/24.0/json"
PATIENCE = 20.0  # seconds


def main() -> int:
    """Audit, and return the status."""
    reason = unreachable(SERVICE)
    if reason is not None:
        print(
            f"NOT AUDITED: PyPI's advisories cannot be reached from here ({reason}). Nothing is "
            "known about vulnerabilities of the pinned packages; run `make audit` elsewhere."
        )
        return 0
    with tempfile.TemporaryDirectory() as folder:
        return audit(Path(folder))


def unreachable(url: str) -> str | None:
    """Return why the service does not answer; None if it does."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            told = json.load(answer)
    except urllib.error.HTTPError as error:
        return f"it answers {error.code}"
    except (OSError, ValueError) as error:
        return str(error)[:200] or type(error).__name__
    there = isinstance(told, dict) and "vulnerabilities" in told
    return None if there else "what answers says nothing of vulnerabilities"


def audit(folder: Path) -> int:
    """Run pip-audit on the locks; return its status."""
    subprocess.run([sys.executable, "-m", "venv", folder / "audit"], check=True)
    python = folder / "audit" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
    subprocess.run([*install, "--requirement", LOCKS / "audit.lock"], check=True)
    return subprocess.run([python, *arguments()], check=False).returncode


def arguments() -> list[str]:
    """Return what is run: no package may be passed over in silence, none is installed."""
    files = [part for name in AUDITED for part in ("--requirement", str(LOCKS / name))]
    return ["-m", "pip_audit", "--strict", "--disable-pip", "--require-hashes", *files]


if __name__ == "__main__":
    sys.exit(main())
