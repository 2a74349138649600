"""Train a small model that knows the facts of an invented world.

    python tools/worlds/train.py --shape gpt2 --seed 1 --out out/worlds/gpt2-1

A claim about how layers should be chosen needs more models than one, whose facts are known to the
last, with rephrasings that the model has never read. The world (a few thousand people, places and
works), the text, the tokenizer and the model follow from the seed, but for rounding, which differs
between machines. --out becomes a folder that golden-layers takes as a --model, with facts.jsonl for
--facts and training.json, which says what was trained and which share of the facts the model knows:
its most likely tokens after the prompt are the answer, and after the held-out rephrasings.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

sys.path.insert(0, str(Path(__file__).parent))
from text import facts, sentences, statements
from world import Size, make_world

from goldenlayers.facts import Fact
from goldenlayers.metrics.predict import predict
from goldenlayers.models.text import encode_pairs
from shapes import CONTEXT, SHAPES, make_model

# A sentence's tokens at the start of a text, and behind another sentence.
Told = tuple[list[int], list[int]]

VOCABULARY, END = 2048, 0
BATCH = 32  # rows of CONTEXT tokens
LR, WARMUP, DECAY, CLIP = 3e-3, 0.05, 0.1, 1.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--shape", choices=sorted(SHAPES), required=True)
    parser.add_argument("--seed", type=int, required=True, help="of the world and of the model")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=12, help="how often the text is read")
    parser.add_argument("--people", type=int, default=Size.people)
    parser.add_argument("--works", type=int, default=Size.works)
    args = parser.parse_args()
    if (args.out / "training.json").exists():
        parser.error(f"{args.out} holds a model already; choose another folder")
    train(args.shape, args.seed, args.out, Size(args.people, args.works), args.epochs)


def train(shape: str, seed: int, out: Path, size: Size, epochs: int) -> dict[str, Any]:
    """Make the world, train the model, ask it, and write the folder."""
    console, start = Console(), time.perf_counter()
    world = make_world(seed, size)
    stated = statements(world, seed)
    text = sentences(world, stated)
    wanted = facts(world, stated, seed)
    tokenizer = make_tokenizer(text)
    torch.manual_seed(seed)
    model = make_model(shape, len(tokenizer))
    told = list(
        zip(*(tokenizer([f"{gap}{s}" for s in text]).input_ids for gap in ("", " ")), strict=True)
    )
    losses = fit(model, told, seed, epochs, console)
    report = {
        "shape": shape,
        "seed": seed,
        "size": asdict(size),
        "facts": len(wanted),
        "sentences": len(text),
        "epochs": epochs,
        "parameters": sum(p.numel() for p in model.parameters()),
        "loss_by_epoch": losses,
        "known": known(model, tokenizer, wanted),
        "seconds": round(time.perf_counter() - start),
    }
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    lines = [json.dumps(fact.to_record()) for fact in wanted]
    (out / "facts.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (out / "training.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    console.print_json(json.dumps(report | {"loss_by_epoch": losses[-1:]}))
    return report


def make_tokenizer(text: list[str]) -> PreTrainedTokenizerFast:
    """Return GPT-2's kind of tokenizer, trained on the text."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # with and without the space in front: prompts begin a text, sentences follow one another
    tok.train_from_iterator([f for s in text for f in (s, f" {s}")], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tok, eos_token="<|end|>")


def fit(model: Any, told: list[Told], seed: int, epochs: int, console: Console) -> list[float]:
    """Train on all sentences, in a new order each epoch; return the mean loss of each, nats.

    The loss ends near the logarithm of the number of sentences over their mean length: which one
    comes next cannot be known.
    """
    rng = Random(f"order {seed}")
    steps = epochs * len(packed(told, Random(0)))
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    adam = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}],
        lr=LR, betas=(0.9, 0.98),
    )  # fmt: skip
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: _rate(step, steps))
    model.train()
    losses: list[float] = []
    start = time.perf_counter()
    for epoch in track(range(epochs), description="epochs", console=console):
        total, n = 0.0, 0
        for rows in packed(told, rng):  # (BATCH, CONTEXT)
            loss = model(input_ids=rows, labels=rows).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            adam.step()
            schedule.step()
            adam.zero_grad()
            total, n = total + float(loss.detach()), n + 1
        losses.append(round(total / n, 4))
        left = (time.perf_counter() - start) / (epoch + 1) * (epochs - epoch - 1)
        console.print(f"epoch {epoch + 1}: loss {losses[-1]}, about {left / 60:.0f} min more")
    model.eval()
    return losses


def packed(told: list[Told], rng: Random) -> list[Tensor]:
    """Return the sentences in a new order, one behind another, as (BATCH, CONTEXT) rows.

    A row begins where a sentence does, as a prompt does, and ends with end-of-text where no other
    fits. The rows that are left over when the last batch is full are not read in this epoch.
    """
    rows: list[list[int]] = []
    for first, later in rng.sample(told, len(told)):
        if not rows or len(rows[-1]) + len(later) > CONTEXT:
            rows.append([*first])
        else:
            rows[-1] += later
    rows = [row + [END] * (CONTEXT - len(row)) for row in rows]
    whole = torch.tensor(rows[: max(1, len(rows) // BATCH) * BATCH])
    return list(whole.split(BATCH))


def _rate(step: int, steps: int) -> float:
    """Return the learning rate's factor: up, then down along a cosine."""
    warm = max(1, round(WARMUP * steps))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))


def known(model: Any, tokenizer: Any, wanted: list[Fact]) -> dict[str, float]:
    """Return the share of facts that the model knows, after their prompt and rephrasings."""
    shares = {}
    for name, asked in (
        ("prompt", [(f.prompt, f.target_old) for f in wanted]),
        ("rephrase", [(p, f.target_old) for f in wanted for p in f.rephrase_prompts]),
    ):
        rows = encode_pairs(tokenizer, asked)
        said = predict(model, rows)
        right = sum(s.argmax == tuple(r.answer) for s, r in zip(said, rows, strict=True))
        shares[name] = round(right / len(rows), 4)
    return shares


if __name__ == "__main__":
    main()
