"""The server's other side: a command run as a user would, and what it left."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        status: Its exit status, or minus the signal that ended it.
        seconds: How long it ran.
        text: What it wrote, without colours.
        told: What it held for finished, by kind, in order.
        counts: How often each kind of point was passed; empty if it was to be killed.
    """

    status: int
    seconds: float
    text: str
    told: Mapping[str, list[Any]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


class Runs:
    """A process that runs commands; see `server`."""

    def __init__(self, scratch: Path):
        self._scratch = scratch
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.safety.killing.server"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
                 "MPLBACKEND": "Agg"},
        )  # fmt: skip
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == "ready\n"

    def __call__(
        self,
        argv: Sequence[object],
        folder: Path,
        *,
        kill: Mapping[str, Any] | None = None,
        signals: Sequence[tuple[float, int]] = (),
    ) -> Ended:
        """Run a command whose files, its cache included, lie in a folder.

        Args:
            argv: Its arguments.
            folder: The folder.
            kill: Where it is killed: "kind" and "n", see `points`.
            signals: Sent to it, with the seconds after its start.
        """
        told, counts, log = (self._scratch / name for name in ("told", "counts", "log"))
        for file in (told, counts, log):
            file.unlink(missing_ok=True)
        job = {
            "argv": [str(a) for a in argv], "kill": kill, "folders": [str(folder)],
            "signals": list(signals), "told": str(told), "counts": str(counts), "log": str(log),
            "env": {"GOLDENLAYERS_CACHE": str(folder / "cache")},
        }  # fmt: skip
        server = self._server
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(json.dumps(job) + "\n")
        server.stdin.flush()
        ended = json.loads(server.stdout.readline())
        lines = told.read_text().splitlines() if told.exists() else []
        kinds: dict[str, list[Any]] = {}
        for line in lines:
            kind, what = json.loads(line)
            kinds.setdefault(kind, []).append(what)
        text = log.read_text(errors="replace") if log.exists() else ""
        return Ended(
            ended["status"], ended["seconds"], re.sub(r"\x1b\[[0-9;]*m", "", text), kinds,
            json.loads(counts.read_text()) if counts.exists() else {},
        )  # fmt: skip

    def close(self) -> None:
        """End the server."""
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()
