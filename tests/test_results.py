"""Results of several files: together or not at all."""

from __future__ import annotations

import json
import math
import os
import signal
import threading
import time

import pytest

from goldenlayers.errors import ResultError
from goldenlayers.files import OLD, write_whole
from goldenlayers.results import put_together, require_own, strict


def fill(folder, **files):
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def tree(folder):
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_files_and_folders_are_merged(tmp_path):
    out = tmp_path / "a" / "b"
    with put_together(out) as stage:
        fill(stage, index_json="1", sub__x_txt="1")
        assert not out.exists()
    assert tree(tmp_path) == {"a/b/index.json": "1", "a/b/sub/x.txt": "1"}
    fill(out, mine_txt="kept", sub__mine_txt="kept", old_txt="goes")
    with put_together(out, ["old.txt", "none.txt"]) as stage:
        fill(stage, index_json="2", sub__x_txt="2")
    assert tree(out) == {
        "index.json": "2", "sub/x.txt": "2", "sub/mine.txt": "kept", "mine.txt": "kept",
    }  # fmt: skip
    assert out.stat().st_mode & 0o777 == 0o777 & ~_umask()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_nothing_after_an_exception(tmp_path, error):
    def stopped(out):
        with put_together(out) as stage:
            fill(stage, index_json="new")
            raise error

    with pytest.raises(error):
        stopped(tmp_path / "new" / "folder")
    assert list(tmp_path.iterdir()) == []
    fill(tmp_path, index_json="old")
    with pytest.raises(error):
        stopped(tmp_path)
    assert tree(tmp_path) == {"index.json": "old"}


def test_no_index_where_the_rest_could_not_be_put(tmp_path):
    fill(tmp_path, index_json="old", sub="a file where a folder shall be")
    with (
        pytest.raises(ResultError, match="cannot be written"),
        put_together(tmp_path) as stage,
    ):
        fill(stage, index_json="new", sub__x_txt="new")
    assert tree(tmp_path) == {"sub": "a file where a folder shall be"}


def test_a_disk_that_is_full(tmp_path):
    with (
        pytest.raises(ResultError, match="out: cannot be written: No space left"),
        put_together(tmp_path / "out"),
    ):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_waits_for_the_renames(tmp_path, monkeypatch):
    from goldenlayers import results

    place, before = results._place, signal.getsignal(signal.SIGINT)

    def interrupted(part, target):
        os.kill(os.getpid(), signal.SIGINT)
        place(part, target)

    monkeypatch.setattr(results, "_place", interrupted)
    with put_together(tmp_path / "out") as stage:
        fill(stage, a_txt="1", b_txt="2", index_json="3")
    assert tree(tmp_path / "out") == {"a.txt": "1", "b.txt": "2", "index.json": "3"}
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread(tmp_path):
    def work():
        with put_together(tmp_path / "out") as stage:
            fill(stage, a_txt="1")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert tree(tmp_path / "out") == {"a.txt": "1"}


def test_what_is_ours(tmp_path):
    file = tmp_path / "index.json"
    require_own(file, "golden-layers x")
    file.write_text(json.dumps({"format": "golden-layers x"}))
    require_own(file, "golden-layers x")
    for text in ("{}", "[]", "", "{", '{"format": "golden-layers y"}'):
        file.write_text(text)
        with pytest.raises(ResultError, match="golden-layers did not write it as its"):
            require_own(file, "golden-layers x")


def test_strict():
    value = {"a": [1, 2.5, math.nan], 3: (math.inf, "nan", None, True)}
    assert strict(value) == {"a": [1, 2.5, None], "3": [None, "nan", None, True]}
    json.dumps(strict(value), allow_nan=False)


def test_what_killed_processes_left_half_written_is_taken_out_a_day_later(tmp_path):
    for name, age in (("old", 2 * OLD), ("new", 0.0)):
        fill(tmp_path, **{f".partial-golden-layers-{name}__a_txt": "half"})
        (tmp_path / f".partial-golden-layers-{name}.csv").write_text("half")
        (tmp_path / f".partial-{name}").write_text("somebody else's")
        for path in [*tmp_path.rglob(f"*{name}/*"), *tmp_path.glob(f"*{name}*")]:
            os.utime(path, (time.time() - age,) * 2)
    # a folder is as old as the newest file in it
    os.utime(tmp_path / ".partial-golden-layers-new", (0, 0))
    with put_together(tmp_path) as stage:
        fill(stage, index_json="1")
    left = {"index.json", ".partial-new", ".partial-old", ".partial-golden-layers-new.csv",
            ".partial-golden-layers-new"}  # fmt: skip
    assert {p.name for p in tmp_path.iterdir()} == left
    write_whole(tmp_path / "x.txt", lambda part: part.write_text("1"))
    assert {p.name for p in tmp_path.iterdir()} == left | {"x.txt"}
