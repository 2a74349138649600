"""Files from others are data: damaged or hostile ones are refused in words, at once.

Each kind of file that golden-layers reads is mutated from a seed. Reading one either works or ends
in one of our named errors: no other exception, no hang, nothing written outside its own folder.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from contextlib import contextmanager

import pytest
import torch

import goldenlayers as gl
from goldenlayers.errors import GoldenLayersError
from goldenlayers.facts.read import read_facts
from goldenlayers.report.figures.document import read_document
from goldenlayers.study import transfer
from goldenlayers.study import unfinished as module
from goldenlayers.study.run.folder import INDEX
from goldenlayers.study.run.read import read_study
from goldenlayers.study.sequence import edit_sequence
from goldenlayers.study.unfinished import Unfinished
from goldenlayers.sweep.outcome import LayerOutcome
from goldenlayers.sweep.store import Store
from tests import tiny
from tests.safety.mutate import mutated
from tests.study.run import studies
from tests.study.run.conftest import made  # noqa: F401

EACH = 240  # mutations of a kind
SECONDS = 5


def _edit():
    model, tokenizer = tiny.model("llama", torch.float32), tiny.tokenizer("llama")
    return gl.edit(model, tokenizer, tiny.FACTS[:2], layer=1, steps=3), model, tokenizer


def delta(folder):
    edit, *_ = _edit()
    edit.save(folder / "edit.safetensors")
    return lambda: gl.Edit.load(folder / "edit.safetensors")


def adapter(folder):
    edit, *_ = _edit()
    edit.save(folder / "adapter", format="adapter")
    return lambda: gl.Edit.load(folder / "adapter")


def ranking(folder):
    _, model, tokenizer = _edit()
    gl.find(model, tokenizer, tiny.FACTS).save(folder)
    return lambda: gl.LayerRanking.load(folder)


def evaluation(folder):
    edit, model, tokenizer = _edit()
    found = gl.evaluate(model, tokenizer, tiny.FACTS[:2], edit=edit, fluency=False)
    found.save(folder)
    return lambda: gl.Evaluation.load(folder)


def own_facts(folder):
    path = studies.facts_file(folder / "facts.jsonl")
    return lambda: read_facts(path)


def csv_facts(folder):
    lines = ["id,subject,prompt,target_new,target_old,split"]
    lines += [
        f'{f.id},"{f.subject}","{f.prompt}",{f.target_new},{f.target_old},' for f in tiny.FACTS
    ]
    (folder / "facts.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return lambda: read_facts(folder / "facts.csv", skip_bad=True)


def store(folder):
    path = folder / "sweep.sqlite"
    identity = {"model": "m", "facts": {"count": 1}, "settings": {"lr": 0.5}}
    with Store(path, identity) as first:
        first.add(
            LayerOutcome("f", n, "converged", "well", 3.0, 0.1, True, 5, 1.0, {"rewrite": 1.0}, 0.1,
                         "growing batch") for n in range(20)
        )  # fmt: skip

    def read():
        with Store(path, identity, resume=True) as again:
            return len(again.outcomes)

    return read


def settings(folder):
    path = folder / "study.yaml"
    path.write_text(
        "models: [{model: a, default_layer: 3}]\ndata: [{facts: b, half: a, split: 0.5}]\n"
        "editors: [{editor: memit, settings: {window: 3}}]\nproxy: [2, 4]\ntiming: false\n"
        "sensitivity: {fence: [1, 2], templates: [bare]}\nlocators: [lga, cma]\n"
    )
    return lambda: read_study(path)


def unfinished(folder):
    _, model, tokenizer = _edit()
    edit_sequence(
        model,
        tokenizer,
        tiny.FACTS[:2],
        layer=1,
        every=1,
        unfinished=folder,
        fluency=False,
        steps=2,
    )
    state = (folder / "state.json").read_text()
    key = json.loads(state)["identity"]

    def read():
        real, module.key_hash = module.key_hash, lambda identity: key
        try:
            return Unfinished(folder, {}, resume=True)
        finally:
            module.key_hash = real

    return read


KINDS = {
    "delta": delta, "adapter": adapter, "ranking": ranking, "evaluation": evaluation,
    "own facts": own_facts, "csv facts": csv_facts, "store": store, "settings": settings,
    "unfinished": unfinished,
}  # fmt: skip


@contextmanager
def at_most(seconds):
    def late(*_):
        raise TimeoutError(f"still reading after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def files_of(folder):
    return sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix not in (".png", ".svg"))


def attack(sound, read, rng, count, outside):
    """Mutate one file of a folder at a time, read, and put it back; return what was refused."""
    files = files_of(sound)
    refused = 0
    for n in range(count):
        path = rng.choice(files)
        whole = path.read_bytes()
        path.write_bytes(mutated(path, rng))
        start, told = time.perf_counter(), ""
        try:
            with at_most(SECONDS):
                read()
        except GoldenLayersError as error:
            refused += 1
            told = str(error)
        except BaseException as error:
            keep = outside.parent / "failed"
            keep.mkdir(exist_ok=True)
            shutil.copy(path, keep / path.name)
            raise AssertionError(
                f"mutation {n} of {path.name}: {type(error).__name__}: {str(error)[:300]}"
            ) from error
        assert time.perf_counter() - start < SECONDS
        assert len(told) < 2000, f"mutation {n} of {path.name}: a message of {len(told)} letters"
        path.write_bytes(whole)
        for extra in set(files_of(sound)) - set(files):
            extra.unlink()  # SQLite's journal
    return refused


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_refused_in_words(kind, tmp_path, capsys):
    folder = tmp_path / "sound"
    folder.mkdir()
    read = KINDS[kind](folder)
    read()  # the sound one is read
    before = {p for p in tmp_path.rglob("*") if folder not in p.parents and p != folder}
    refused = attack(folder, read, random.Random(f"{kind} 1"), EACH, tmp_path / "x")
    with capsys.disabled():
        print(f"\n{kind}: {EACH} mutated files, {refused} refused in words, none did harm")
    assert refused > EACH // 10
    assert {p for p in tmp_path.rglob("*") if folder not in p.parents and p != folder} == before


def test_a_damaged_study_is_refused_in_words(made, tmp_path, capsys):  # noqa: F811
    folder = tmp_path / "study"
    shutil.copytree(made[0], folder, ignore=shutil.ignore_patterns("sweeps", "*.png"))

    def read():
        return read_document(folder)

    read()
    assert (folder / INDEX).is_file()
    refused = attack(folder, read, random.Random("study 1"), EACH // 4, tmp_path / "x")
    with capsys.disabled():
        print(f"\nstudy: {EACH // 4} mutated files, {refused} refused in words, none did harm")


def test_a_damaged_comparison_is_refused_in_words(made, tmp_path, capsys):  # noqa: F811
    (one, two) = sorted((made[0] / "comparisons" / "llama").glob("*/r-rome/proxy-0004"))
    folder = tmp_path / "pair"
    shutil.copytree(one, folder / "one")
    shutil.copytree(two, folder / "two")

    def read():
        return transfer.transfer({"one": folder / "one", "two": folder / "two"})

    read()
    refused = attack(folder, read, random.Random("pair 1"), EACH, tmp_path / "x")
    with capsys.disabled():
        print(f"\ncomparison: {EACH} mutated files, {refused} refused in words, none did harm")
