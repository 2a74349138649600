"""Mutate the files of a folder one at a time, and read each: it works, or is refused in words."""

from __future__ import annotations

import random
import shutil

from goldenlayers.errors import GoldenLayersError
from tests.safety.mutate import mutated
from tests.safety.watch import SECONDS, Said, at_most, kept_inside

LONGEST = 2000  # characters of a message


def files_of(folder):
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix not in (".png", ".svg"))


def attack(folder, read, seed, count, only=lambda path: True):
    """Mutate a file, read, put it back, so many times; return how many were refused.

    Args:
        folder: With the sound files; nothing outside it may be changed.
        read: Reads what is in it: raises one of our errors, or returns what a command said.
        seed: Of the mutations.
        count: How many.
        only: Which files are mutated.
    """
    rng = random.Random(seed)
    files = files_of(folder)
    damaged = [path for path in files if only(path)]
    refused = 0
    for n in range(count):
        path = rng.choice(damaged)
        whole = path.read_bytes()
        path.write_bytes(mutated(path, rng))
        told = ""
        try:
            with at_most(SECONDS), kept_inside(folder):
                said = read()
            if isinstance(said, Said):
                assert said.status in (0, 1, 2), said
                told = said.err if said.status == 2 else ""
                refused += said.status == 2
        except GoldenLayersError as error:
            refused += 1
            told = str(error)
        except BaseException as error:
            keep = folder.parent / "failed"
            keep.mkdir(exist_ok=True)
            shutil.copy(path, keep / path.name)
            raise AssertionError(
                f"{seed}, mutation {n} of {path.name}, kept in {keep}: {type(error).__name__}: "
                f"{str(error)[:500]}"
            ) from error
        assert len(told) < LONGEST, f"mutation {n} of {path.name}: {told[:300]} … {len(told)}"
        path.write_bytes(whole)
        for extra in set(files_of(folder)) - set(files):
            extra.unlink()  # SQLite's journal, what a command wrote
    return refused


def report(capsys, what, count, refused):
    """Print a line of the corpus's counts; a corpus of which nothing is refused is none."""
    with capsys.disabled():
        print(f"\n{what}: {count} mutated files, {refused} refused in words, none did harm")
    assert refused
