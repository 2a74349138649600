"""The command that has workers is killed: nothing is lost, and they end too."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil

from tests.safety.killing.found import final, rows_of
from tests.safety.killing.given import SWEEP, write_given

WORKERS = ("--cluster", "local", "--workers", "2")


def test_killed_with_its_workers_it_ends_as_if_it_had_not_been(tmp_path):
    given = write_given(tmp_path)
    inputs = ("--model", given / "model", "--facts", given / "facts.jsonl", "--out", "out")

    def started(folder, *more):
        folder.mkdir(exist_ok=True)
        env = os.environ | {"GOLDENLAYERS_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1",
                            "HF_HUB_OFFLINE": "1", "RAY_worker_niceness": "0"}  # fmt: skip
        return subprocess.Popen(
            [sys.executable, "-m", "goldenlayers.cli.main", *map(str, (*SWEEP, *inputs, *more))],
            cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def ended(process):
        said = process.communicate(timeout=240)[0]
        assert process.returncode == 0, said

    ended(started(tmp_path / "whole"))
    expected = final(tmp_path / "whole")
    assert len(expected["rows"]) == 6 * 3

    folder, store = tmp_path / "killed", tmp_path / "killed" / "out" / "sweep.sqlite"
    driver = started(folder, *WORKERS)
    until = time.monotonic() + 240
    while len(rows_of(store)) < 5:
        assert driver.poll() is None, driver.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.02)
    others = psutil.Process(driver.pid).children(recursive=True)
    assert others
    driver.kill()
    driver.communicate()
    finished = rows_of(store)
    assert len(finished) < len(expected["rows"])  # else it was not killed in the middle
    assert psutil.wait_procs(others, timeout=90)[1] == []
    ended(started(folder, *WORKERS, "--resume"))
    assert finished.items() <= rows_of(store).items()
    assert final(folder) == expected
