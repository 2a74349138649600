"""The commands on quantised weights: only what is edited keeps the checkpoint's numbers."""

from __future__ import annotations

import pytest
import torch

from goldenlayers.editors.edit import Edit
from goldenlayers.models import load
from tests import tiny

BARE = ("--templates", "bare", "--steps", 3)


@pytest.fixture
def plain(monkeypatch):
    """The layers whose edit site was not quantised, a list for each model that is loaded."""
    seen: list[list[int]] = []
    real = load.load_model

    def watched(*args, **options):
        loaded = real(*args, **options)
        sites = [block.mlp.down_proj.weight for block in loaded.model.model.layers]
        seen.append([n for n, weight in enumerate(sites) if weight.is_floating_point()])
        return loaded

    monkeypatch.setattr(load, "load_model", watched)
    return seen


@pytest.fixture
def quantized(cli, llama, facts_file, tmp_path):
    def run(command, *options, status=0):
        shared = ("--model", llama, "--facts", facts_file, "--quantize", "8bit")
        result = cli(command, *shared, *options)
        assert result.status == status, result.err
        assert "cast from" not in result.err
        return result

    return run


def test_find_then_edit_then_score(quantized, plain, llama, tmp_path):
    quantized("find", "--limit", 3, "--out", tmp_path / "edits", "--steps", 1)
    assert plain.pop() == [0, 1, 2, 3]  # real edits need the weights that are edited
    quantized("find", "--limit", 3, "--method", "lga", "--out", tmp_path / "found")
    assert plain.pop() == []
    ranking = tmp_path / "found"
    # 1: three steps are too few for the fact to take
    quantized("edit", "--ranking", ranking, "--limit", 1, "--no-fluency", *BARE,
              "--out", tmp_path / "edit", status=1)  # fmt: skip
    (layer,) = plain.pop()
    file = tmp_path / "edit" / "edit.safetensors"
    edit = Edit.load(file)
    assert edit.layers == (layer,)
    quantized("evaluate", "--edit", file, "--limit", 1, "--no-fluency", "--out", tmp_path / "e")
    assert plain.pop() == [layer]
    # it is an edit of the checkpoint
    weight = tiny.model("llama", torch.float32).model.layers[layer].mlp.down_proj.weight
    assert next(iter(edit.base.weights.values())).proves(weight)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("edit", "--layer", 2, "--limit", 1, "--no-fluency"), [2]),
        (("edit", "--limit", 1, "--no-fluency"), [0, 1, 2, 3]),
        (("evaluate", "--layers", "1,3", "--limit", 1, "--no-fluency"), [1, 3]),
        (("evaluate", "--limit", 1, "--no-fluency"), []),
        (("find", "--method", "brute-force", "--layers", "0,2", "--limit", 1), [0, 2]),
    ],
)
def test_what_keeps_its_numbers(quantized, plain, options, expected, tmp_path):
    command, *rest = options
    edits = () if command == "evaluate" and "--layers" not in rest else BARE
    status = 1 if command == "edit" else 0
    quantized(command, *rest, *edits, "--out", tmp_path / "out", status=status)
    assert plain[0] == expected
