"""An interrupted computation goes on where it was."""

from __future__ import annotations

import pytest

from goldenlayers.covariance import checkpoint, job
from goldenlayers.passes.moments import KeyMoments
from tests.covariance.check import StopError, assert_equal, sums


class TestResume:
    @pytest.mark.parametrize("kind", ["file", "model"])
    @pytest.mark.parametrize("batch", range(1, 6))
    def test_after_any_batch_the_sums_are_bit_identical(
        self, compute, cache, tmp_path, monkeypatch, batch, kind
    ):
        source = {"text": "model"} if kind == "model" else {}
        expected = sums(compute(cache=tmp_path / "undisturbed", **source))
        add, calls = KeyMoments.add, [0]

        def stopping(self, windows):
            calls[0] += 1
            if calls[0] == batch + 2:  # two calls measure the time
                raise StopError
            add(self, windows)

        with monkeypatch.context() as patch:
            patch.setattr(KeyMoments, "add", stopping)
            with pytest.raises(StopError):
                compute(save_seconds=0.0, **source)
        assert not list(cache.glob("layer-*"))
        monkeypatch.setattr(checkpoint, "SAVE_SHARE", 1.0)
        assert len(list(cache.glob("partial-*"))) == (batch > 1)
        said = []
        found = compute(say=said.append, **source)
        assert any("going on after" in line for line in said) == (batch > 1)
        assert_equal(sums(found), expected)
        assert (found[0].info["tokens_before_resuming"] > 0) == (batch > 1)
        assert not list(cache.glob("partial-*"))

    def test_killed_between_two_layers_the_others_go_on_from_the_sums_of_all(
        self, compute, cache, monkeypatch
    ):
        expected = sums(compute(cache=False))
        save, saved = job.save_moment, []

        def stopping(folder, moment):
            if len(saved) == 2:
                raise StopError
            saved.append(moment.layer)
            return save(folder, moment)

        with monkeypatch.context() as patch:
            patch.setattr(job, "save_moment", stopping)
            patch.setattr(checkpoint, "SAVE_SHARE", float("inf"))
            with pytest.raises(StopError):
                compute(save_seconds=0.0)
        said = []
        compute(layers=[2], resume=False, say=said.append)  # what is not wanted is not taken
        assert not any("going on" in line for line in said)
        next(cache.glob("layer-02*")).unlink()
        found = compute(say=said.append)
        assert found.computed == (2, 3)
        assert found[3].info["tokens_before_resuming"] == found[3].tokens
        assert_equal(sums(found), expected)
        assert not list(cache.glob("partial-*"))

    def stopped(self, compute, monkeypatch, cache):
        """Leave a checkpoint behind, and return it."""
        with monkeypatch.context() as patch:
            patch.setattr(checkpoint.Checkpoint, "remove", lambda self: None)
            patch.setattr(checkpoint, "SAVE_SHARE", float("inf"))
            compute(save_seconds=0.0)
        for path in cache.glob("layer-*"):
            path.unlink()
        (place,) = cache.glob("partial-*")
        return place

    def test_a_damaged_checkpoint_is_left_aside(self, compute, cache, monkeypatch):
        expected = sums(compute(cache=False))
        for damage in ("state", "sums", "missing", "nonsense"):
            place = self.stopped(compute, monkeypatch, cache)
            if damage == "state":
                (place / "state.json").write_text("{")
            elif damage == "nonsense":
                (place / "state.json").write_text("[]")
            elif damage == "missing":
                (place / "2.safetensors").unlink()
            else:
                data = (place / "1.safetensors").read_bytes()
                (place / "1.safetensors").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
            said = []
            assert_equal(sums(compute(say=said.append)), expected)
            assert any("cannot be used" in line for line in said), damage
            for path in cache.glob("layer-*"):
                path.unlink()

    def test_another_batch_size_does_not_go_on(self, compute, cache, monkeypatch):
        self.stopped(compute, monkeypatch, cache)
        said = []
        compute(batch_tokens=40, say=said.append)
        assert not any("going on" in line for line in said)

    def test_not_wanted(self, compute, cache, monkeypatch):
        self.stopped(compute, monkeypatch, cache)
        said = []
        compute(resume=False, say=said.append)
        assert not any("going on" in line for line in said)

    def test_a_full_disk_stops_nothing(self, compute, monkeypatch):
        def full(*args):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(checkpoint, "write_tensors", full)
        said = []
        found = compute(save_seconds=0.0, say=said.append)
        assert found[3].tokens == 150
        assert sum("going on without" in line for line in said) == 1
