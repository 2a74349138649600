"""Second moments are kept by content, and checked when they are read."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from goldenlayers.covariance import store
from goldenlayers.covariance.compute import key_covariance
from goldenlayers.covariance.key import model_key
from goldenlayers.errors import ResultError, SettingsError
from goldenlayers.passes.moments import KeyMoments
from tests import tiny
from tests.covariance.check import assert_equal, sums
from tests.covariance.conftest import SMALL


class TestCache:
    def test_what_is_there_is_read(self, compute, monkeypatch):
        first = compute(layers=[1, 3])
        assert first.computed == (1, 3)
        assert first[3].path.name.startswith("layer-03-")
        estimates = []
        more = compute(layers="0-3", before=estimates.append)
        assert more.computed == (0, 2)  # the missing ones alone
        assert estimates[0].layers == (0, 2)
        monkeypatch.setattr(KeyMoments, "add", None)  # any pass would fail
        again = compute(before=estimates.append)
        assert again.computed == ()
        assert again.estimate is None
        assert len(estimates) == 1
        assert_equal(sums(again), sums(more))
        assert_equal(sums(compute(layers=[1, 3])), sums(first))
        with pytest.raises(KeyError):
            first[0]

    @pytest.mark.parametrize(
        "change", [{"length": 13}, {"tokens": 140}, {"dtype": "float64"}, {"text": "model"}]
    )
    def test_another_setting_is_another_entry(self, compute, change):
        compute()
        other = compute(**change)
        assert other.computed == (0, 1, 2, 3)
        assert compute().computed == ()

    def test_another_seed_is_another_entry(self, compute):
        compute(text="model")
        assert compute(text="model", seed=1).computed == (0, 1, 2, 3)

    def test_a_changed_text_is_noticed(self, compute, text):
        compute()
        text.write_text(text.read_text().replace("Norland", "Norlans", 1))
        assert compute().computed == (0, 1, 2, 3)

    def test_a_changed_weight_is_noticed(self, compute, llama):
        compute()
        weight = llama.model.layers[3].mlp.up_proj.weight
        with torch.no_grad():
            kept = weight[0, 0].clone()
            weight[0, 0] += 1e-3
            assert compute().computed == (0, 1, 2, 3)
            weight[0, 0] = kept
        assert compute().computed == ()

    def test_a_changed_configuration_is_noticed(self, compute):
        compute()
        model = tiny.model("llama", torch.float32)
        model.config.rms_norm_eps *= 2
        assert compute(model).computed == (0, 1, 2, 3)

    def test_another_dtype_of_the_model_is_noticed(self, compute):
        compute()
        assert compute(tiny.model("llama", torch.bfloat16)).computed == (0, 1, 2, 3)

    def test_another_tokenizer_is_noticed_and_its_last_use_is_not(
        self, compute, llama, text, cache
    ):
        compute()
        tokenizer = tiny.metaspace_bpe()
        tokenizer.pad_token = tokenizer.eos_token
        try:
            tokenizer(["a", "a b c"], padding=True, truncation=True, max_length=2)
            assert compute().computed == ()
        finally:
            tokenizer.pad_token = None
        other = key_covariance(llama, tiny.byte_level_bpe(), text=text, cache=cache, **SMALL)
        assert other.computed == (0, 1, 2, 3)

    def test_a_tokenizer_is_known_by_content_and_not_by_its_last_use(self, llama):
        tokenizer = copy.deepcopy(tiny.metaspace_bpe())
        before = model_key(llama, tokenizer)["tokenizer"]
        tokenizer.backend_tokenizer.enable_truncation(3)
        tokenizer.backend_tokenizer.enable_padding()
        assert model_key(llama, tokenizer)["tokenizer"] == before
        tokenizer.add_tokens(["zyx"])
        assert model_key(llama, tokenizer)["tokenizer"] != before

    def test_damage_is_noticed_and_repaired(self, compute):
        found = compute()
        path, good = found[2].path, found[2].sum.clone()
        data = path.read_bytes()
        damage = {
            "damaged": bytes([*data[:-3], data[-3] ^ 1, *data[-2:]]),
            "cannot be read": data[:-5],
            "cannot be": b"",
        }
        for message, damaged in damage.items():
            path.write_bytes(damaged)
            with pytest.raises(ResultError, match=message):
                found[2]
            said = []
            again = compute(say=said.append)
            assert again.computed == (2,)
            assert any("computing it anew" in line for line in said)
            assert torch.equal(again[2].sum, good)
            assert path.read_bytes() != damaged
        path.unlink()
        with pytest.raises(ResultError, match="cannot be read"):
            found[2]

    @pytest.mark.parametrize("part", ["key", "tokens", "sum", "asymmetric", "nan", "dtype"])
    def test_a_file_that_is_not_what_its_name_says(self, compute, part):
        found = compute()
        path = found[1].path
        total = load_file(path)["sum"]
        record = store.read_tensors(path)[1]
        if part == "key":
            record["key"] = json.dumps(dict(found[2].key))
        elif part == "tokens":
            record["tokens"] = "0"
        elif part == "sum":
            total = total[:5, :5].contiguous()
        elif part == "asymmetric":
            total[0, 1] += 1
        elif part == "nan":
            total[3, 3] = float("nan")
        else:
            total = total.half()
        save_file({"sum": total}, path, {**record, "sha256": store.tensor_hash(total)})
        with pytest.raises(ResultError):
            found[1]
        assert compute().computed == (1,)

    def test_in_memory_alone(self, compute, cache):
        found = compute(cache=False)
        assert not cache.exists()
        assert found.folder is None
        assert_equal(sums(found), sums(compute()))

    def test_the_users_cache_is_the_default(self, compute, tmp_path, monkeypatch):
        monkeypatch.setenv("GOLDENLAYERS_CACHE", str(tmp_path / "mine"))
        found = compute(cache=None)
        assert found[0].path.parent == tmp_path / "mine" / "covariance"

    def test_a_folder_that_cannot_be_written(self, compute, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(SettingsError, match="GOLDENLAYERS_CACHE"):
            compute(cache=tmp_path / "file" / "below")

    def test_a_disk_that_is_too_small(self, compute, monkeypatch):
        usage = type("Usage", (), {"free": 100})
        monkeypatch.setattr("goldenlayers.covariance.job.shutil.disk_usage", lambda path: usage)
        with pytest.raises(SettingsError, match=r"take 37 kB, 0 kB are free"):
            compute()
