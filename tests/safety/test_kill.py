"""Killed at any moment, a command loses nothing that it had finished, and ends all the same.

Each command runs undisturbed once. Then it is killed at points that are drawn from a seed, up to
three times in a row on one folder, and at last goes on to its end. After each kill everything in
the folder is looked at; the end must be the undisturbed end, number for number, to the last bit.
"""

from __future__ import annotations

import math
import random
import signal
from collections import Counter
from dataclasses import dataclass

import pytest

from tests.safety.killing.found import final, require_sound
from tests.safety.killing.given import EDITS, SWEEP, write_given

IN_A_ROW = 3


@dataclass(frozen=True)
class Command:
    """A command, and how often it is killed."""

    argv: tuple[object, ...]
    kills: int
    kinds: tuple[str, ...] = ("layer", "statement", "clock", "file", "piece", "bytes")
    resume: tuple[str, ...] = ("--resume",)
    out: tuple[str, ...] = ("--out",)


COMMANDS = {
    "find --method brute-force": Command(SWEEP, 17),
    "find --method verified": Command(
        ("find", "--method", "verified", "--race", "all", "--split", "all", "--limit", 10,
         "--batch-tokens", 150, *EDITS), 9,
    ),
    "compare": Command(
        ("compare", "--proxy", 2, "--test", 3, "--repeats", 2, "--methods",
         "lga,verified,brute-force,middle", *EDITS), 12,
    ),
    "covariance": Command(
        ("covariance", "--tokens", 600, "--length", 24, "--batch-tokens", 48), 18,
        ("layer", "clock", "piece", "file", "piece", "bytes"), (), (),
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return write_given(tmp_path_factory.mktemp("given"))


@pytest.mark.parametrize("name", COMMANDS)
def test_killed_anywhere_it_ends_as_if_it_had_not_been(name, runs, given, tmp_path, capsys):
    command = COMMANDS[name]
    rng = random.Random(f"{name} 1")

    def run(folder, *more, **options):
        folder.mkdir(exist_ok=True)
        source = (
            ("--text", given / "text.txt") if name == "covariance"
            else ("--facts", given / "facts.jsonl")
        )  # fmt: skip
        out = (*command.out, folder / "out") if command.out else ()
        argv = (*command.argv, "--model", given / "model", *source, *out, *more)
        return runs(argv, folder, **options)

    whole = run(tmp_path / "whole")
    assert whole.status == 0, whole.text
    expected = final(tmp_path / "whole")
    largest = max(p.stat().st_size for p in (tmp_path / "whole").rglob("*") if p.is_file())

    def killing(kind):
        if kind == "clock":
            return {"signals": [(rng.uniform(0, whole.seconds), signal.SIGKILL)]}
        most = whole.counts.get(kind, 0)
        n = int(math.exp(rng.uniform(5, math.log(largest)))) if kind == "bytes" else (
            rng.randint(1, most)
        )  # fmt: skip
        return {"kill": {"kind": kind, "n": n}}

    killed, finished, ends = Counter(), 0, 0
    while killed.total() < command.kills:
        folder, told = tmp_path / f"{ends}", {}
        for turn in range(rng.randint(1, IN_A_ROW)):
            kind = command.kinds[(killed.total() + ends) % len(command.kinds)]
            ended = run(folder, *(command.resume if turn else ()), **killing(kind))
            for piece, one in ended.told.items():
                told[piece] = told.get(piece, []) + one
            require_sound(folder, told)
            if ended.status == 0:  # it had ended before that point
                break
            assert ended.status == -(signal.SIGXFSZ if kind == "bytes" else signal.SIGKILL), (
                ended.text
            )
            killed[kind] += 1
        ended = run(folder, *command.resume)
        assert ended.status == 0, ended.text
        before = sum(map(len, told.values()))
        told["moment"] = told.get("moment", []) + ended.told.get("moment", [])
        require_sound(folder, told)
        finished += before
        assert final(folder) == expected
        ends += 1
    with capsys.disabled():
        kinds = ", ".join(f"{n} by {kind}" for kind, n in sorted(killed.items()))
        print(
            f"\n{name}: killed {killed.total()} times ({kinds}); {finished} pieces finished before "
            f"a kill, all kept; completed {ends} of {ends} times, to the last bit as undisturbed"
        )
