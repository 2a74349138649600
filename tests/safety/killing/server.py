"""Runs the command line again and again, each time in a process of its own that starts at once.

Python with torch takes seconds to start. This process has done so, has one thread, and forks: the
child is a whole process, with its own memory, files and signals, and can be killed like any other.

A job is a line of JSON on standard input, its end a line of JSON on standard output.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import matplotlib.pyplot  # noqa: F401  what a command would import late is here before the fork
import torch
import transformers.models.llama.modeling_llama  # noqa: F401

from goldenlayers.cli.main import main as command_line
from goldenlayers.covariance import compute  # noqa: F401
from goldenlayers.locators import find, registry  # noqa: F401
from goldenlayers.models import load  # noqa: F401
from goldenlayers.report import comparison_plot, comparison_table, plot, summary  # noqa: F401
from goldenlayers.study import compare  # noqa: F401
from tests.safety.killing.points import Points, make_it_quick, tell_what_is_finished


def child(job: dict[str, Any]) -> int:
    """Run the command line; return its status."""
    os.dup2(os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.dup2(1, 2)
    os.environ |= job["env"]
    sys.argv = ["golden-layers", *job["argv"]]
    points = Points(job["kill"], job["folders"])
    make_it_quick()
    tell_what_is_finished(job["told"], points)
    points.install()
    try:
        command_line()
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    except BaseException:  # what a user would see as a traceback
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    if job["kill"] is None:
        Path(job["counts"]).write_text(json.dumps(points.counts))
    return status


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Fork, wait, and say how it ended: a status, or minus the signal."""
    start = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os._exit(child(job))
    signals = iter(job.get("signals", ()))  # (seconds, signal), by the clock
    due = next(signals, None)
    while True:
        done, status = os.waitpid(pid, os.WNOHANG if due else 0)
        if done:
            break
        if due and time.monotonic() - start >= due[0]:
            os.kill(pid, due[1])
            due = next(signals, None)
        time.sleep(0.001)
    return {
        "status": os.waitstatus_to_exitcode(status),
        "seconds": time.monotonic() - start,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C of the tests is not for the server
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)
