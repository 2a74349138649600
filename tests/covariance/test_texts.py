"""Sources of text: what they read, and what they say when they cannot."""

from __future__ import annotations

import copy
import json
import sys
import types
from pathlib import Path

import huggingface_hub
import pytest
import torch

from goldenlayers.covariance import texts
from goldenlayers.covariance.sampled import GROUP, ModelText
from goldenlayers.covariance.source import TextRequest
from goldenlayers.covariance.texts import HubText, TextFile, text_source
from goldenlayers.errors import ModelError, SettingsError
from goldenlayers.models.guard import untouched
from tests import tiny


def request(tokenizer=None, *, length=8, tokens=100, model=None, folder=None, begin=()):
    return TextRequest(
        model, tokenizer or tiny.byte_level_bpe(), {"weights": "w"}, length, tokens, begin, folder
    )


def text_of(source, **settings):
    tokenizer = tiny.byte_level_bpe()
    return "".join(tokenizer.decode(w) for w in source.windows(request(tokenizer, **settings)))


def test_a_text_file_is_read_whole(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    content = "The maker of Süd-Öland\n\nis  the violin. " * 40 + "x" * 900 + " end\n"
    path.write_text(content, encoding="utf-8-sig")
    for piece in (7, 100, 1 << 16):
        monkeypatch.setattr(texts, "PIECE", piece)
        assert text_of(TextFile(path)) == content
    monkeypatch.setattr(texts, "PIECE", 100)
    assert max(map(len, TextFile(path)._pieces())) < 1200  # a stream, not the whole file


def test_a_text_file_is_known_by_its_bytes(tmp_path):
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_text("one")
    second.write_text("one")
    assert TextFile(first).identity() == TextFile(second).identity()
    second.write_text("two")
    assert TextFile(first).identity() != TextFile(second).identity()
    lines = tmp_path / "a.jsonl"
    lines.write_text("one")  # the same bytes, read otherwise
    assert TextFile(first).identity() != TextFile(lines).identity()


def test_json_lines(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one two"}\n\n{"text": ""}\n{"text": "\\ud800 three", "n": 1}')
    assert text_of(TextFile(path)) == "one two? three"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: no field 'text'"),
        ('{"text": 3}', "line 2: no field 'text'"),
        ('{"Text": "x"}', "line 2: no field 'text'"),
        ("[" * 100_000, "line 2: not JSON"),
    ],
)
def test_bad_json_lines_are_named(tmp_path, line, message):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "x"}\n' + line)
    with pytest.raises(SettingsError, match=message):
        text_of(TextFile(path))


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(SettingsError, match="No such file"):
        text_source(str(tmp_path / "none.txt")).identity()
    with pytest.raises(SettingsError, match="directory"):
        text_source(tmp_path).identity()
    for name in ("a.txt", "a.jsonl"):
        (tmp_path / name).write_bytes(b"\xff\xfe\x00\x01")
        with pytest.raises(SettingsError, match="not UTF-8"):
            text_of(TextFile(tmp_path / name))


def test_what_a_text_means(tmp_path):
    assert text_source("model", 3) == ModelText(3)
    assert text_source("hub:a/b") == HubText("a/b")
    assert text_source("hub:a/b/c:test:body") == HubText("a/b", "c", "test", "body")
    assert text_source("x.txt") == TextFile(Path("x.txt"))
    source = TextFile(tmp_path)
    assert text_source(source) is source
    for wrong in ("", "hub:", "hub:a/b:", "hub:a/b:c:d:e", "hub:a//b", "hub:a/b/c/d", 3, None):
        with pytest.raises(SettingsError):
            text_source(wrong)


class TestHub:
    @pytest.fixture
    def hub(self, monkeypatch):
        asked = {}

        def load_dataset(name, config, **options):
            asked.update(options, name=name, config=config)
            return iter([{"text": "one"}, {"text": " two"}, {"text": None}])

        module = types.SimpleNamespace(load_dataset=load_dataset)
        monkeypatch.setitem(sys.modules, "datasets", module)
        info = types.SimpleNamespace(sha="abc")
        monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda self, name: info)
        return asked

    def test_is_streamed_at_its_commit(self, hub):
        source = text_source("hub:owner/name/part:test:text")
        assert source.identity() == {
            "kind": "hub",
            "name": "owner/name",
            "config": "part",
            "split": "test",
            "field": "text",
            "revision": "abc",
        }
        windows = source.windows(request())
        tokenizer = tiny.byte_level_bpe()
        assert [tokenizer.decode(next(windows)) for _ in range(2)] == ["one", " two"]
        assert hub == {
            "name": "owner/name",
            "config": "part",
            "split": "test",
            "streaming": True,
            "revision": "abc",
        }
        with pytest.raises(SettingsError, match="no text in field 'text'; its fields are text"):
            next(windows)

    def test_a_hub_that_fails(self, hub, monkeypatch):
        def fail(self, name):
            raise OSError("no route to host")

        monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", fail)
        with pytest.raises(SettingsError, match=r"'a/b' of the hub cannot be read: no route"):
            text_source("hub:a/b").identity()

    def test_without_the_package(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "datasets", None)
        with pytest.raises(SettingsError, match=r"golden-layers\[datasets\]"):
            text_source("hub:a/b").identity()


class TestModelText:
    def windows(self, model, tokenizer, *, seed=0, tokens=100, begin=(1,), folder=None):
        wanted = request(
            tokenizer, model=model, tokens=tokens, begin=begin, folder=folder, length=8
        )
        with untouched(model):
            return list(ModelText(seed).windows(wanted))

    @pytest.mark.parametrize("name", ["llama", "gpt2", "opt", "gemma3_text"])
    def test_is_seeded_and_without_special_tokens(self, name):
        model, tokenizer = tiny.model(name, torch.float32), tiny.tokenizer(name)
        rows = self.windows(model, tokenizer)
        assert len(rows) == 13  # the least that holds 100 tokens
        assert all(len(row) == 8 and row[0] == 1 for row in rows)
        later = {token for row in rows for token in row[1:]}
        assert not later & set(tokenizer.all_special_ids)
        assert max(later) < len(tokenizer)
        assert len(set(rows)) == 13
        assert rows == self.windows(model, tokenizer)
        assert rows != self.windows(model, tokenizer, seed=1)

    def test_groups_differ(self):
        model, tokenizer = tiny.model("llama", torch.float32), tiny.tokenizer("llama")
        rows = self.windows(model, tokenizer, tokens=8 * GROUP * 2)
        assert len(rows) == 2 * GROUP
        assert len(set(rows)) == 2 * GROUP
        assert self.windows(model, tokenizer, tokens=8 * GROUP) == rows[:GROUP]

    def test_is_kept_and_checked(self, tmp_path, monkeypatch):
        model, tokenizer = tiny.model("llama", torch.float32), tiny.tokenizer("llama")
        rows = self.windows(model, tokenizer, folder=tmp_path)
        (path,) = tmp_path.glob("text-*.safetensors")

        def fail(*args, **settings):
            raise AssertionError("sampled again")

        with monkeypatch.context() as patch:
            patch.setattr("goldenlayers.covariance.sampled.sample", fail)
            assert self.windows(model, tokenizer, folder=tmp_path) == rows
            with pytest.raises(AssertionError, match="sampled again"):
                self.windows(model, tokenizer, folder=tmp_path, seed=1)
        data = bytearray(path.read_bytes())
        for damaged in (bytes([*data[:-1], data[-1] ^ 1]), b"", data[:-9]):
            path.write_bytes(damaged)
            assert self.windows(model, tokenizer, folder=tmp_path) == rows
            assert path.read_bytes() == data

    def test_without_a_beginning_token_it_starts_from_end_of_text(self):
        model, tokenizer = tiny.model("gpt2", torch.float32), tiny.byte_level_bpe()
        rows = self.windows(model, tokenizer, begin=())
        assert {row[0] for row in rows} == {tokenizer.eos_token_id}

    def test_nothing_to_start_with(self):
        model, tokenizer = tiny.model("gpt2", torch.float32), copy.deepcopy(tiny.byte_level_bpe())
        tokenizer.eos_token = None
        model.config.bos_token_id = model.config.eos_token_id = None
        with pytest.raises(ModelError, match="give a text file"):
            self.windows(model, tokenizer, begin=())

    def test_probabilities_that_are_not_finite(self):
        model, tokenizer = tiny.model("llama", torch.float32), tiny.tokenizer("llama")
        with torch.no_grad():
            model.lm_head.weight.fill_(float("nan"))
        with pytest.raises(ModelError, match="probabilities are not finite"):
            self.windows(model, tokenizer)

    def test_a_negative_seed(self):
        with pytest.raises(SettingsError, match="seed -1"):
            ModelText(-1).identity()


def test_every_source_is_ready_for_json(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    for source in (ModelText(1), TextFile(tmp_path / "a.txt")):
        assert json.loads(json.dumps(source.identity())) == source.identity()
