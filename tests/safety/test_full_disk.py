"""A disk that is full, or closed: a clear line, nothing half-written taken for whole, and on again.

The kernel refuses every byte beyond a file's bound, whatever writes it: Python, SQLite in C,
safetensors in Rust. With root's rights a disk of a few kilobytes is mounted as well.
"""

from __future__ import annotations

import dataclasses
import shutil
import subprocess

import pytest

from goldenlayers.disk import reason
from tests.safety.killing.found import final, require_sound
from tests.study.test_compare import SPLIT

FACTS = [dataclasses.replace(f, id=f.id.replace(".", "-")) for f in SPLIT]
EDITS = ("--layers", "0-2", "--steps", 2, "--lr", 0.3, "--clamp", 3)
SWEEP = ("find", "--method", "brute-force", "--limit", 4, "--batch-tokens", 150, *EDITS)
# what is run, and the lengths in bytes that no file can exceed: at the first write, and later ones
COMMANDS = {
    "find --method brute-force": (SWEEP, (9000, 17_000)),
    "find --method lga": (("find", "--method", "lga"), (9000,)),
    "compare": (
        ("compare", "--proxy", 2, "--test", 2, "--repeats", 1, "--methods", "lga,middle", *EDITS),
        (17_000,),
    ),
    "covariance": (("covariance", "--tokens", 200, "--length", 20), (1000, 3000)),
    "edit": (
        ("edit", "--limit", 1, "--layer", 1, "--format", "delta,adapter,model", "--no-fluency",
         *EDITS[2:]), (300, 9000),
    ),
    "evaluate --sequential": (
        ("evaluate", "--limit", 2, "--layers", 1, "--sequential", "--no-fluency", *EDITS[2:]),
        (3000,),
    ),
}  # fmt: skip
RESUME = {"find --method brute-force", "compare", "evaluate --sequential"}


@pytest.fixture
def run(runs, llama, write_facts, tmp_path):
    facts = write_facts(FACTS, "split.jsonl")

    def run(name, folder, *more, **options):
        argv, _ = COMMANDS[name]
        if name != "covariance":
            argv = (*argv, "--facts", facts, "--out", folder / "out")
        folder.mkdir(exist_ok=True)
        return runs((*argv, "--model", llama, *more), folder, **options)

    return run


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_that_cannot_grow_is_named_and_the_command_goes_on_later(
    name, run, tmp_path, capsys
):
    whole = run(name, tmp_path / "whole")
    done = 1 if name == "edit" else 0  # the tiny model's fact does not take
    assert whole.status == done, whole.text
    sizes = COMMANDS[name][1]
    for size in sizes:
        folder = tmp_path / str(size)
        ended = run(name, folder, kill={"kind": "full", "n": size})
        assert ended.status == 2, ended.text
        (said,) = [line for line in ended.text.splitlines() if line.startswith("error: ")]
        assert str(folder) in said
        assert "free some space" in said or "disk I/O error" in said, said
        assert "Traceback" not in ended.text
        require_sound(folder, ended.told)
        again = run(name, folder, *(["--resume"] if name in RESUME else []))
        assert again.status == done, again.text
        assert final(folder) == final(tmp_path / "whole")
    with capsys.disabled():
        print(f"\n{name}: {len(sizes)} full disks told and gone on from, to the last bit")


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 32 kB; only root can mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a disk can be mounted by root alone")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_small_disk_fills_up_in_the_middle_of_a_sweep(run, small_disk, tmp_path):
    """What was finished before is copied to a larger disk, and goes on there."""
    name = "find --method brute-force"
    more = ("--limit", 12, "--split", "all", "--layers", "0-3", "--steps", 1)
    assert run(name, tmp_path / "whole", *more).status == 0
    ended = run(name, small_disk, *more)
    assert ended.status == 2, ended.text
    assert "cannot be written: database or disk is full; free some space" in ended.text
    assert "--resume goes on from there" in ended.text
    assert ended.told["outcome"]
    require_sound(small_disk, ended.told)
    shutil.copytree(small_disk, tmp_path / "larger")
    assert run(name, tmp_path / "larger", *more, "--resume").status == 0
    require_sound(tmp_path / "larger", ended.told)
    assert final(tmp_path / "larger") == final(tmp_path / "whole")


@pytest.mark.parametrize("name", ["find --method brute-force", "compare", "edit"])
def test_a_disk_that_is_read_only_is_refused_before_the_model_is_loaded(
    name, runs, small_disk, write_facts
):
    facts = write_facts(FACTS, "split.jsonl")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    argv, _ = COMMANDS[name]
    model = ("--model", "/no/such/model")
    ended = runs((*argv, *model, "--facts", facts, "--out", small_disk / "out"), small_disk)
    assert ended.status == 2
    assert f"{small_disk} cannot be written; choose another folder" in ended.text


@pytest.mark.parametrize(
    ("error", "what"),
    [(OSError(28, "No space left on device"), "free some space"),
     (OSError(122, "Disk quota exceeded"), "free some space"),
     (OSError(30, "Read-only file system"), "that you may write to"),
     (OSError(13, "Permission denied"), "that you may write to"),
     (Exception("attempt to write a readonly database"), "that you may write to")],
)  # fmt: skip
def test_what_to_do_depends_on_what_the_system_says(error, what):
    assert what in reason(error)


def test_an_error_that_nothing_is_known_of_is_told_as_it_is():
    assert reason(OSError("x")) == "x"
