"""`golden-layers edit`: before and after, what is written, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import transformers as tf
from safetensors.torch import load_file

from goldenlayers.editors.edit import Edit
from goldenlayers.facts import LocalityProbe
from goldenlayers.metrics.evaluation import Evaluation
from tests import tiny

FACTS = [
    replace(
        f,
        rephrase_prompts=(f"They say that {f.prompt}",),
        locality={"same_relation": (LocalityProbe("The capital of Vell is", "Rivermouth"),)},
    )
    for f in tiny.FACTS[:3]
]
QUICK = ("--templates", "bare", "--no-fluency")
ONE = ("--subject", "Norland", "--prompt", "They went to Norland", "--new", "game")
TAKES = (*ONE, "--layer", 2, "--lr", 0.5, "--clamp", 20, "--kl-factor", 0, *QUICK)


@pytest.fixture(scope="session")
def sharp(save_model):
    """A model whose output layer can say anything with certainty, so that edits can take."""
    model = tiny.model("llama", torch.float32)
    with torch.no_grad():
        model.lm_head.weight.mul_(4)
    return save_model(model)


@pytest.fixture
def edit(cli, llama, tmp_path):
    """Run `edit` on a tiny model; return what was printed and report.json."""

    def edit(*options, model=llama, out="out", status=1):
        folder = tmp_path / out
        result = cli("edit", "--model", model, "--out", folder, *options)
        assert result.status == status, result.err
        return result, json.loads(
            (folder / "report.json").read_text(encoding="utf-8"), parse_constant=pytest.fail
        )

    return edit


@pytest.fixture
def refuse(cli, llama, tmp_path):
    """Run `edit`, which must refuse; return its message."""

    def refuse(*options, **what):
        inputs = {"model": llama, "out": tmp_path / "out"} | what
        given = [x for name, value in inputs.items() for x in (f"--{name}", value)]
        message = cli("edit", *given, *options).message
        assert not (tmp_path / "out").exists()
        assert not list(tmp_path.glob(".partial-*"))
        return message

    return refuse


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_a_fact_that_takes(edit, sharp, tmp_path):
    result, report = edit(*TAKES, "--format", "delta,adapter,model", model=sharp, status=0)
    (outcome,) = report["outcomes"]
    assert outcome["status"] == "converged"
    assert outcome["nll_after"] < 0.6931 < outcome["nll_before"]
    assert "They went to Norland → game  converged: " in result.out
    assert "1 of 1 fact took  r-rome at layer 2 (chosen by: given), rank 1" in result.out
    (fact,) = report["facts"]
    best = fact["next_tokens"]["after"][0]
    assert (best["token"].strip(), best["probability"] > 0.5) == ("game", True)
    assert fact["continuations"][0]["after"].startswith("game")
    assert f"{best['probability']:.1%}" in result.out
    assert report["scores"]["scores"]["rewrite"]["after"] == 1.0
    out = tmp_path / "out"
    assert names(out) == ["adapter", "edit.safetensors", "evaluation", "model", "report.json"]
    assert all(str(out / name) in result.out for name in names(out))
    assert f"golden-layers apply {out / 'edit.safetensors'} --model {sharp} " in result.out
    made = Edit.load(out / "edit.safetensors")
    assert Edit.load(out / "adapter").updates == Edit.load(out / "model").updates == made.updates
    # what was written is what was shown
    model = tf.AutoModelForCausalLM.from_pretrained(out / "model")
    ids = tiny.tokenizer("llama")("They went to Norland", return_tensors="pt").input_ids
    with torch.no_grad():
        shares = model(ids).logits[0, -1].softmax(-1)
    assert float(shares.max()) == pytest.approx(best["probability"], rel=1e-3)
    assert Evaluation.load(out / "evaluation").summary() == report["scores"]


def test_facts_that_do_not_take_are_reported_as_such(edit, write_facts, tmp_path):
    facts = write_facts(FACTS)
    result, report = edit("--facts", facts, "--layer", 1, "--steps", 2, *QUICK)
    assert [o["status"] for o in report["outcomes"]] == ["not converged"] * 3
    for outcome in report["outcomes"]:
        assert outcome["reason"] in result.out
        assert outcome["loss"] == outcome["losses"][-1]
        assert outcome["steps"] == 2
    assert "after 2 steps the new answer still costs" in result.out
    assert "0 of 3 facts took" in result.out
    assert report["rank"] == Edit.load(tmp_path / "out" / "edit.safetensors").rank == 3
    assert report["source"] == str(facts)
    assert report["scores"]["scores"]["locality"]["standard_error"] is not None
    for fact in FACTS:
        assert f"They say that {fact.prompt}"[:20] in result.out


def test_a_layer_that_cannot_carry_the_edit(edit, tmp_path):
    fact = ("--subject", "Norland", "--prompt", "The capital of Norland is", "--new", "Bergstad")
    edit(*fact, "--layer", 1, *QUICK)
    assert "edit.safetensors" in names(tmp_path / "out")
    result, report = edit(*fact, "--layer", 3, "--format", "delta,adapter", *QUICK)
    assert report["outcomes"][0]["status"] == "unreached"
    assert "layer 3 cannot carry the edit" in result.out
    assert "no edit was written" in result.out
    assert (report["rank"], report["files"][0]) == (0, "evaluation/evaluation.json")
    assert names(tmp_path / "out") == ["evaluation", "report.json"]  # no edit of the run before


def test_json_is_all_that_standard_output_gets(edit):
    result, report = edit(*ONE, "--layer", 1, "--json", *QUICK)
    files = report.pop("files")
    assert json.loads(result.out, parse_constant=pytest.fail) == report
    assert all(name in result.err for name in files)


@pytest.mark.parametrize("width", [80, 200])
def test_tables_fit_the_terminal(edit, write_facts, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    facts = write_facts(FACTS)
    result, _ = edit("--facts", facts, "--layer", 1, *QUICK)
    lines = result.out.splitlines()
    rows = [i for i, line in enumerate(lines) if line.startswith(("score ", "rewrite ", "nll"))]
    assert "facts" in lines[rows[0]]
    assert "…" not in "".join(lines[i] for i in rows)
    assert all(len(lines[i]) <= width for i in rows)


def test_markup_and_odd_letters(edit):
    for subject in ("[bold]", "[/nope]", "Sü\"d's", "日本", "a\\[b]"):
        prompt = f"People in {subject} speak"
        result, report = edit(
            "--subject", subject, "--prompt", prompt, "--new", "[red]ö[/]", "--layer", 1,
            "--steps", 1, *QUICK,
        )  # fmt: skip
        assert f"{prompt} → [red]ö[/]  not converged" in result.out
        assert report["facts"][0]["prompt"] == prompt


def test_the_golden_layer(edit, write_facts, cli, llama, tmp_path):
    marked = [replace(f, split="proxy" if i else "test") for i, f in enumerate(tiny.FACTS)]
    facts = write_facts(marked)
    result, report = edit("--facts", facts, "--steps", 1, *QUICK)
    assert [o["id"] for o in report["outcomes"]] == ["1"]  # the test fact; the others chose
    kept = tmp_path / "out" / "ranking"
    golden = json.loads((kept / "ranking.json").read_text(encoding="utf-8"))["golden"]
    assert report["layers"] == [golden]
    chosen_by = f"lga on 6 facts of {facts}"
    assert report["settings"]["layer_chosen_by"] == chosen_by
    assert chosen_by in result.out
    assert f"golden layer {golden} by LGA on 6 facts" in result.err
    _, again = edit("--facts", facts, "--steps", 1, "--ranking", kept, *QUICK, out="again")
    assert again["layers"] == [golden]
    assert again["settings"]["layer_chosen_by"] == chosen_by
    assert "ranking" not in names(tmp_path / "again")
    _, bundled = edit(*ONE, "--steps", 1, *QUICK, out="bundled")
    assert bundled["settings"]["layer_chosen_by"].endswith(" facts of bundled")


def test_rankings_that_do_not_fit(refuse, cli, llama, gpt2, facts_file, tmp_path):
    ranking = tmp_path / "ranking"
    find = ("find", "--facts", facts_file, "--method", "lga", "--out", ranking)
    assert cli(*find, "--model", gpt2).status == 0
    options = ("--facts", facts_file, "--ranking", ranking, *QUICK)
    message = refuse(*options)
    assert message.startswith("the ranking is of another model, ")
    assert message.endswith("(golden-layers find), or name the layer itself")
    assert cli(*find, "--model", llama).status == 0
    file = ranking / "ranking.json"
    good = json.loads(file.read_text(encoding="utf-8"))
    for change, expected in (
        ({"golden": 9}, "golden layer 9 is none of the layers scored"),
        ({"golden": "1"}, "'golden' is '1'; expected int"),
        ({"layers": 5}, f"{file}: damaged"),
        ({"format": "x"}, "not a ranking"),
    ):
        file.write_text(json.dumps(good | change), encoding="utf-8")
        assert expected in refuse(*options)
    file.write_text("{", encoding="utf-8")
    assert "not readable as JSON" in refuse(*options)
    assert "no such file" in refuse("--facts", facts_file, "--ranking", tmp_path / "none")


WRONG = {
    ("--layer", "9"): "layer 9 does not exist; the model has layers 0 to 3",
    (
        "--layer",
        "-1",
    ): "--layer '-1': expected a layer's number, from 0, a window such as 4-8, or auto",
    ("--layer", "1.0"): "expected a layer's number",
    ("--layer", "9" * 5000): "expected a layer's number",
    ("--layer", "²"): "expected a layer's number",
    ("--layer", "1", "--ranking", "x"): "--layer and --ranking both name a layer",
    ("--editor", "mend"): "editor 'mend' is unknown; expected one of r-rome, rome",
    ("--templates", "long"): "--templates 'long': expected one of published, short, bare",
    ("--lr", "nan"): "lr nan: expected a number above 0",
    ("--lr", "0"): "lr 0.0: expected a number above 0",
    ("--steps", "0"): "steps 0",
    ("--clamp", "inf"): "clamp inf",
    ("--kl-factor", "-1"): "kl_factor -1.0: expected a number of 0 or more",
    ("--weight-decay", "nan"): "weight_decay nan",
    ("--value-from", "x"): "value_from 'x': expected prompt or mean",
    ("--seed", "-1"): "--seed -1: expected 0 or more",
    ("--covariance", "/no/such"): "covariance '/no/such': no such file",
    ("--covariance", "hub:x/y/z/w"): "expected hub:owner/name",
    ("--format", "pickle"): "--format 'pickle': expected delta, adapter or model",
    ("--format", ","): "--format ',': expected delta, adapter or model",
    ("--format", "delta;adapter"): "expected delta, adapter or model, several with commas",
    ("--limit", "0"): "limit 0: expected 1 or more",
    ("--split", "train"): "split 'train' is unknown",
    ("--split", "proxy"): "none of the 1 facts is in split 'proxy'",
    ("--dtype", "int4"): "dtype 'int4' is unknown",
    ("--site", "nope.{}"): "no module of LlamaForCausalLM has such a name",
    ("--facts", "x.jsonl"): "--facts and --subject: give one of them",
}


OF_THE_MODEL = ("--site", "--dtype")  # and layers that are numbers


@pytest.mark.parametrize("options", WRONG, ids=lambda o: " ".join(o)[:30])
def test_wrong_settings(refuse, options):
    layer = [] if "--layer" in options else ["--layer", "1"]
    # all but a few are refused before the model loads
    needs_model = options[0] in OF_THE_MODEL or options == ("--layer", "9")
    more = {} if needs_model else {"model": "/no/such/model"}
    assert WRONG[options] in refuse(*ONE, *layer, *options, **more)


def test_wrong_facts(refuse, write_facts, tmp_path):
    def fact(**given):
        return [x for name, value in given.items() for x in (f"--{name}", value)]

    at = ("--layer", "1")
    assert "--subject, --prompt, --new missing" in refuse(*at)
    assert "--prompt, --new missing: give one fact by" in refuse("--subject", "x", *at)
    alone = refuse(*fact(subject="Norland", prompt="It is", new="x"), *at)
    assert "the subject 'Norland' is not in the prompt 'It is'" in alone
    assert "field 'target_new' is empty" in refuse(*fact(subject="a", prompt="a", new=" "), *at)
    assert "'rephrase_prompts[0]' is empty" in refuse(*ONE, "--rephrase", " ", *at)
    assert "--facts and --rephrase: give one" in refuse("--facts", "x", "--rephrase", "y", *at)
    bad = write_facts([FACTS[0], {"id": "x"}, FACTS[0]])
    assert refuse("--facts", bad, *at).startswith(f"{bad}:2: field 'subject' is missing")
    twice = write_facts([FACTS[0], FACTS[0]])
    assert "field 'id': '1' was used before" in refuse("--facts", twice, *at)
    long = replace(FACTS[0], id="long", prompt="so " * 150 + FACTS[0].prompt)
    message = refuse("--facts", write_facts([*FACTS[1:], long]), *at)
    assert message.startswith("fact 'long': ")
    assert "the model's context is 128; shorten the prompt" in message


def test_bad_records_set_aside_are_counted(edit, write_facts):
    facts = write_facts([FACTS[0], {"id": "x"}, "{", FACTS[1]])
    options = ("--layer", 1, "--steps", 1, "--skip-bad", *QUICK)
    result, report = edit("--facts", facts, *options)
    assert len(report["outcomes"]) == 2
    assert "bad records set aside: 2" in result.out
    _, report = edit("--facts", facts, "--limit", 1, *options)
    assert [o["id"] for o in report["outcomes"]] == ["1"]


def test_places_that_are_taken(refuse, cli, llama, tmp_path):
    file = tmp_path / "file"
    file.write_text("kept")
    options = (*ONE, "--layer", "1", *QUICK)
    assert refuse(*options, out=file) == f"--out {file}: {file} is a file; expected a folder"
    folder = tmp_path / "mine"
    (folder / "adapter").mkdir(parents=True)
    (folder / "adapter" / "config").write_text("kept")
    message = refuse(*options, "--format", "adapter", out=folder, model="/no/such/model")
    assert "golden-layers did not write it" in message
    (folder / "edit.safetensors").write_text("kept")
    assert "is no edit that golden-layers wrote" in refuse(*options, out=folder)
    assert names(folder) == ["adapter", "edit.safetensors"]


@pytest.mark.parametrize("where", ["edit", "look", "evaluate", "save"])
def test_stopped_nothing_is_written(cli, llama, tmp_path, monkeypatch, where):
    import goldenlayers.editors.rome
    import goldenlayers.metrics.evaluate
    import goldenlayers.report.before_after

    target, name = {
        "edit": (goldenlayers.editors.rome.RROME, "edit"),
        "look": (goldenlayers.report.before_after, "_look"),
        "evaluate": (goldenlayers.metrics.evaluate, "_ask"),
        "save": (Evaluation, "save"),
    }[where]

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(target, name, stop)
    result = cli(
        "edit", "--model", llama, *ONE, "--layer", 1, "--out", tmp_path / "out",
        "--format", "delta,adapter,model", *QUICK,
    )  # fmt: skip
    assert (result.status, result.out) == (130, "")
    assert result.err.strip() == "stopped, no result was written"
    assert "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == []


def test_stopped_while_it_tells(cli, llama, tmp_path, monkeypatch):
    from goldenlayers.report.edit_report import EditReport

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(EditReport, "show", stop)
    result = cli("edit", "--model", llama, *ONE, "--layer", 1, "--out", tmp_path / "out", *QUICK)
    assert result.status == 130
    assert "no result was written" not in result.err
    assert (tmp_path / "out" / "report.json").exists()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_dtypes(edit, request, write_facts, tmp_path, name, dtype):
    folder = request.getfixturevalue(name)
    facts = write_facts(FACTS[:1])
    _, report = edit(
        "--facts", facts, "--layer", 1, "--dtype", dtype, "--format", "delta,model",
        "--editor", "rome", *QUICK, model=folder,
    )  # fmt: skip
    assert report["model"]["dtype"] == dtype
    tensors = load_file(tmp_path / "out" / "model" / "model.safetensors")
    assert {str(t.dtype) for t in tensors.values()} == {f"torch.{dtype}"}


def test_the_model_folder_is_left_alone(edit, llama):
    def stat(folder):
        return {p.name: (p.stat().st_mtime_ns, p.stat().st_size) for p in folder.iterdir()}

    before = stat(llama)
    edit(*ONE, "--layer", 1, "--format", "model", *QUICK)
    assert stat(llama) == before


def test_help(cli):
    result = cli("edit", "--help")
    assert result.status == 0
    options = "model subject prompt new rephrase facts split limit skip-bad layer ranking site"
    options += " editor templates covariance lr steps weight-decay clamp kl-factor value-from seed"
    options += " device dtype format out fluency json"
    assert [o for o in options.split() if f"--{o}" not in result.out] == []
    assert "Try:" in result.out
