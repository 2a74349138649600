"""The adapter to lm-eval, on a task that lies beside the test: no download."""

from __future__ import annotations

import json

import pytest
import torch

import goldenlayers as gl
from goldenlayers.errors import SettingsError
from goldenlayers.metrics.lm_eval import ask_tasks
from goldenlayers.models.content import content_hash
from tests import tiny

QUESTIONS = [
    {"prompt": f.prompt, "choices": [f.target_new, f.target_old], "answer": i % 2}
    for i, f in enumerate(tiny.FACTS)
]


@pytest.fixture
def task(tmp_path):
    """Return a folder with a task of two choices per question."""
    data = tmp_path / "questions.jsonl"
    data.write_text("".join(f"{json.dumps(q)}\n" for q in QUESTIONS), encoding="utf-8")
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "tiny.yaml").write_text(
        f"""
task: tiny_facts
dataset_path: json
dataset_kwargs:
  data_files: {{test: {data}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{prompt}}}}"
doc_to_target: answer
doc_to_choice: "{{{{choices}}}}"
metric_list:
  - metric: acc
""",
        encoding="utf-8",
    )
    return folder


def by_hand(model, tokenizer):
    """Return the share of questions whose right answer is the likelier of the two."""
    right = 0
    for question in QUESTIONS:
        sums = []
        for choice in question["choices"]:
            head = tokenizer(question["prompt"])["input_ids"]
            whole = tokenizer(f"{question['prompt']} {choice}")["input_ids"]
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([whole])).logits[0].log_softmax(-1)
            sums.append(sum(float(logits[t - 1, whole[t]]) for t in range(len(head), len(whole))))
        right += sums.index(max(sums)) == question["answer"]
    return right / len(QUESTIONS)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_task_of_ones_own(task, name, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    model, tokenizer = tiny.model(name, torch.float32), tiny.tokenizer(name)
    before = content_hash(model)
    found = ask_tasks(model, tokenizer, ["tiny_facts"], include_path=str(task))
    assert found["tiny_facts"]["acc,none"] == pytest.approx(by_hand(model, tokenizer))
    assert content_hash(model) == before
    fact = tiny.FACTS[0]
    edit = gl.edit(model, tokenizer, fact, layer=1, steps=10)
    with edit.applied(model):
        after = ask_tasks(model, tokenizer, ["tiny_facts"], include_path=str(task))
        assert after["tiny_facts"]["acc,none"] == pytest.approx(by_hand(model, tokenizer))


def test_an_unknown_task_is_named(task):
    with pytest.raises(SettingsError, match="no task is called 'nonsense'"):
        ask_tasks(tiny.model("llama"), tiny.tokenizer("llama"), ["nonsense"])
