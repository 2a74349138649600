"""`golden-layers covariance`: the second moments of the keys."""

from __future__ import annotations

import inspect
import json

import pytest
import torch

from goldenlayers.cli import covariance
from goldenlayers.cli.covariance import _bytes
from goldenlayers.covariance.store import read_tensors
from tests import tiny

SMALL = ("--length", 16, "--tokens", 120)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "prose.txt"
    path.write_text("\n".join(tiny.CORPUS[:14]))
    return path


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache" / "covariance"  # where GOLDENLAYERS_CACHE of conftest.py leads


def test_table_and_files(cli, llama, text, folder):
    result = cli("covariance", "--model", llama, "--text", text, "--layers", "1,3", *SMALL)
    assert result.status == 0, result.err
    files = sorted(folder.iterdir())
    assert [path.name[:8] for path in files] == ["layer-01", "layer-03"]
    shown = "".join(result.out.split())
    assert all(path.name in shown for path in files)
    assert "2 computed, 0 found on disk" in result.out
    assert "2 layers, 120 tokens, one pass: about" in result.err
    again = cli("covariance", "--model", llama, "--text", text, *SMALL)
    assert "2 computed, 2 found on disk" in again.out
    assert "2 layers, 120 tokens" in again.err


def test_json(cli, gpt2, folder):
    arguments = ("--json", "--seed", 3, "--sum-dtype", "float64", "--ridge", 0.5)
    result = cli("covariance", "--model", gpt2, *SMALL, *arguments)
    rows = json.loads(result.out)
    assert [row["layer"] for row in rows] == [0, 1, 2, 3]
    for row in rows:
        assert (row["tokens"], row["width"], row["computed"]) == (120, 128, True)
        assert 0 < row["top_share"] <= 1 <= row["directions"] <= 128
        assert row["condition"] == pytest.approx(1 + row["top_share"] * 128 / 0.5)
        tensors, record = read_tensors(folder / row["file"].rpartition("/")[2])
        assert tensors["sum"].shape == (128, 128)
        assert json.loads(record["key"])["text"] == {"kind": "model", "seed": 3}
        assert json.loads(record["key"])["dtype"] == "float64"


def test_what_alphaedit_may_use(cli, llama, text, folder):
    given = ("covariance", "--model", llama, "--text", text, "--layers", "1", *SMALL)
    plain = json.loads(cli(*given, "--json").out)
    assert "free" not in plain[0]
    tensors, _ = read_tensors(folder / plain[0]["file"].rpartition("/")[2])
    values = torch.linalg.eigvalsh(tensors["sum"].double() / plain[0]["tokens"])
    middle = float(values.median()) + 1e-12
    expected = float((values < middle).double().mean())
    assert 0.3 < expected < 0.7
    (row,) = json.loads(cli(*given, "--json", "--free", middle).out)
    assert row["free"] == expected
    of_mean = middle / float(values.mean())
    (row,) = json.loads(cli(*given, "--json", "--free", of_mean, "--relative").out)
    assert row["free"] == pytest.approx(expected, abs=1.1 / len(values))
    assert f"{expected:.1%}" in cli(*given, "--free", middle).out
    assert cli(*given, "--free", "0").message == "--free 0.0: expected a number above 0"
    assert cli(*given, "--relative").message == "--relative has no effect without --free"


def test_estimate_computes_nothing(cli, llama, text, folder):
    arguments = ("covariance", "--model", llama, "--text", text, *SMALL, "--estimate")
    result = cli(*arguments)
    assert (result.status, result.out) == (0, "")
    assert "4 layers, 120 tokens, one pass: about" in result.err
    assert not list(folder.glob("layer-*"))
    cost = json.loads(cli(*arguments, "--json").out)
    assert cost["layers"] == [0, 1, 2, 3]
    assert cost["disk_bytes"] == 4 * 48 * 48 * 4
    cli(*arguments[:-1])
    assert "nothing would be computed" in cli(*arguments).err


def test_several_passes(cli, llama, text):
    result = cli("covariance", "--model", llama, "--text", text, *SMALL, "--max-memory", "20 kB")
    assert "2 passes" in result.err
    assert "4 computed" in result.out


def test_stopped(cli, llama, text, monkeypatch):
    def stop(*args, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr("goldenlayers.covariance.compute.key_covariance", stop)
    result = cli("covariance", "--model", llama, "--text", text)
    assert result.status == 130
    assert "what was kept so far is used" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--text", "none.txt"), "No such file"),
        (("--text", "hub:x:y:z:w"), "expected hub:owner/name"),
        (("--max-memory", "much"), "expected a size such as 4GB"),
        (("--ridge", "-1"), "--ridge -1.0"),
        (("--seed", "-1"), "seed -1"),
        (("--layers", "7"), "layer 7 does not exist"),
        (("--sum-dtype", "half"), "dtype 'half'"),
        (("--tokens", "0"), "tokens 0"),
    ],
)
def test_mistakes(cli, llama, text, arguments, message):
    assert message in cli("covariance", "--model", llama, *arguments).message


def test_help_teaches(cli):
    shown = " ".join(cli("covariance", "--help").out.split())
    assert "mean of k k^T over running text" in shown
    assert "golden-layers covariance --estimate" in shown


@pytest.mark.parametrize(
    ("text", "count"), [("4GB", 4 * 10**9), ("500 mb", 5 * 10**8), ("1.5kB", 1500), ("7", 7)]
)
def test_sizes(text, count):
    assert _bytes(text) == count


def test_the_default_ridge_is_the_solvers():
    from goldenlayers.covariance.moment import RIDGE

    assert inspect.signature(covariance.command).parameters["ridge"].default == RIDGE
