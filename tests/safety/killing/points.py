"""Where a command can be killed, and what it says of the pieces that it has finished.

Each kind of point counts what happens in the process. At the n-th it ends by SIGKILL, as by
`kill -9` or an out-of-memory kill: no handler, no `finally`, nothing is flushed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import resource
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from goldenlayers.covariance import checkpoint, compute, job
from goldenlayers.covariance.checkpoint import Checkpoint
from goldenlayers.sweep.store import Store

# Kinds: file, an operation on a file of the run; statement, of SQLite, before or after it;
# layer, a linear layer of the model is run; piece, one has just been finished. Beside these "clock"
# is counted outside, and "bytes" by the kernel.
FILE_EVENTS = {
    "open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "shutil.rmtree",
    "tempfile.mkstemp", "tempfile.mkdtemp", "sqlite3.connect",
}  # fmt: skip


class Points:
    """Counts what happens, and ends the process where that is wanted.

    Args:
        kill: "kind" and "n", or None to count alone; "signal" for another than SIGKILL, and
            "again" to send it once more at the next point of any kind.
        folders: Where files count.
    """

    def __init__(self, kill: Mapping[str, Any] | None, folders: Sequence[str]):
        self.counts: Counter[str] = Counter()
        self._kill = dict(kill or {})
        self._folders = tuple(folders)
        self._again = False

    def passed(self, kind: str) -> None:
        """Count; the wanted one is the last thing that this process does, if it is killed."""
        self.counts[kind] += 1
        if kind == self._kill.get("kind") and self.counts[kind] == self._kill["n"]:
            if self._kill.get("again"):  # at the next thing that happens: while it stops
                self._again = True
            os.kill(os.getpid(), self._kill.get("signal", signal.SIGKILL))
        elif self._again:
            os.kill(os.getpid(), self._kill["signal"])

    def install(self) -> None:
        """Count from now on; for a process that ends soon, as nothing is put back."""
        if self._kill.get("kind") == "bytes":
            # the kernel writes a file up to this length, and kills at the next byte
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (self._kill["n"], resource.RLIM_INFINITY))
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        if self._kill.get("kind") == "full":
            # no file can grow longer, whatever writes it: "File too large"
            resource.setrlimit(resource.RLIMIT_FSIZE, (self._kill["n"], resource.RLIM_INFINITY))
        sys.addaudithook(self._audit)
        connect, passed = sqlite3.connect, self.passed

        class Counting(sqlite3.Connection):
            def execute(self, *args: Any) -> Any:
                return _between(passed, super().execute, *args)

            def executemany(self, *args: Any) -> Any:
                return _between(passed, super().executemany, *args)

        sqlite3.connect = lambda *args, **options: connect(*args, factory=Counting, **options)
        forward = torch.nn.Linear.forward

        def counted(layer: torch.nn.Linear, x: torch.Tensor) -> torch.Tensor:
            passed("layer")
            return forward(layer, x)

        torch.nn.Linear.forward = counted

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event in FILE_EVENTS and any(
            str(a).startswith(self._folders) for a in args if isinstance(a, str | Path)
        ):
            self.passed("file")


def _between(passed: Callable[[str], None], call: Callable[..., Any], *args: Any) -> Any:
    passed("statement")
    made = call(*args)
    passed("statement")
    return made


def tell_what_is_finished(file: str, points: Points) -> None:
    """Write a line for each piece that golden-layers holds for finished, as soon as it does."""
    told = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def tell(kind: str, what: Any) -> None:
        os.write(told, f"{json.dumps([kind, what])}\n".encode())

    add, save, write = Store.add, job.save_moment, Checkpoint._write

    def added(store: Store, outcomes: Any) -> None:
        made = list(outcomes)
        add(store, made)
        for one in made:
            tell("outcome", [one.fact, one.layer, one.nll_after, one.update_norm, one.seconds])
        points.passed("piece")

    def saved(folder: Path, moment: Any) -> Any:
        kept = save(folder, moment)
        digest = hashlib.sha256(Path(kept.path).read_bytes()).hexdigest()
        tell("moment", [str(kept.path), digest])
        points.passed("piece")
        return kept

    def written(checkpoint: Checkpoint, place: Path, moments: Any, batches: int) -> None:
        write(checkpoint, place, moments, batches)
        tell("partial", moments.tokens)
        points.passed("piece")

    Store.add, job.save_moment, Checkpoint._write = added, saved, written


def make_it_quick() -> None:
    """Keep partial sums after each batch, and draw nothing.

    A tiny model's whole text takes less than the seconds between two savings, and a picture as long
    as all the rest of a command.
    """
    checkpoint.SAVE_SHARE = math.inf
    compute.Checkpoint = lambda folder, keys, say, every: Checkpoint(folder, keys, say, 0.0)
    Figure.savefig = lambda figure, path, **options: Path(path).write_bytes(bytes(20_000))
