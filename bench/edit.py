"""One R-ROME edit beside the obvious whole-model loop, in one process, with the same result.

    python -m bench.edit [--facts 4] [--rounds 2] [--cases bundled,gpt2,gemma3] [--layers 4,15]
                         [--templates published]

ours  `goldenlayers.edit`: what stands before the subject's last token is computed once, every step
      runs the positions from there on through the layers from the site up
loop  the obvious way: every step runs the whole rows through the whole model, all logits, weights
      frozen, backward to delta; keys and outputs from passes of their own, as ROME's code has them

Rounds are interleaved, the median over rounds of the sum over facts is quoted. Both take the same
steps; the updates are compared (largest difference over the largest entry of the update). Tokens
are those computed per edit, padding not counted; "x layers" counts each token once per block run.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from bench.lga import machine_rate, wide
from bench.shapes import Case, cases
from goldenlayers.editors.run import edit
from goldenlayers.editors.templates import Templates, make_templates
from goldenlayers.facts import Fact
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import EditSite, find_sites
from goldenlayers.models.subject import SubjectRow, subject_rows

STEPS, LR, DECAY, CLAMP, KL = 20, 0.5, 0.001, 4.0, 0.0625
SETTINGS = {"steps": STEPS, "lr": LR, "weight_decay": DECAY, "clamp": CLAMP, "kl_factor": KL}


@dataclass
class Done:
    """One edit: the update, and what was computed for it."""

    update: torch.Tensor
    steps: int
    tokens: int
    token_layers: int


def ours(case: Case, fact: Fact, site: EditSite, templates: Templates, depth: int) -> Done:
    result = edit(case.model, case.tokenizer, fact, site.layer, templates=templates, **SETTINGS)
    outcome, update = result.outcomes[0], result.updates[0]
    assert outcome.details["computed"] == "prefix reuse", outcome.details["computed"]
    tokens, n = outcome.details["tokens"], len(outcome.steps)
    bare = len(
        subject_rows(case.tokenizer, [""], fact.prompt, fact.subject, fact.target_new)[0].ids
    )
    whole = tokens["clean_pass"] + bare - 1  # the look at the edited model is one more pass
    return Done(
        update.left @ update.right.T,
        n,
        whole + n * tokens["each_step"],
        whole * depth + n * tokens["each_step"] * (depth - site.layer),
    )


def loop(
    case: Any, fact: Fact, site: EditSite, templates: Templates, depth: int, most: int = STEPS
) -> Done:
    rows = subject_rows(
        case.tokenizer, templates.prefixes, fact.prompt, fact.subject, fact.target_new
    )
    kl = subject_rows(case.tokenizer, [""], f"{fact.subject} is a", fact.subject, None)
    n = len(rows)
    ids = padded([*(r.ids[:-1] for r in rows), kl[0].ids], case.model.device)
    at = [r.subject for r in (*rows, *kl)]
    tokens = sum(len(r.ids) - 1 for r in rows) + len(kl[0].ids)
    with untouched(case.model):
        keys, outputs = look(case.model, site, ids[:n], at[:n])  # u's pass
        _, bare = look(case.model, site, ids[:1], at[:1])  # v0's pass
        delta, steps = train(case.model, site, rows, kl, ids, at, bare[0], most)
        key, o = keys.mean(0), outputs.mean(0)
    passes = (steps + 1) * tokens + len(rows[0].ids) - 1
    return Done(torch.outer(bare[0] + delta - o, key) / (key @ key), steps, passes, passes * depth)


def train(
    model: Any, site: EditSite, rows: list[SubjectRow], kl: list[SubjectRow],
    ids: torch.Tensor, at: list[int], v0: torch.Tensor, most: int,
) -> tuple[torch.Tensor, int]:  # fmt: skip
    n = len(rows)
    delta = torch.zeros_like(v0, requires_grad=True)
    adam = torch.optim.Adam([delta], lr=LR)
    clean = None

    def add(module: Any, args: Any, output: torch.Tensor) -> torch.Tensor:
        out = output.clone()
        out[torch.arange(len(ids)), at] += delta.to(out)
        return out

    handle = model.get_submodule(site.name).register_forward_hook(add)
    try:
        for step in range(most):
            logits = model(input_ids=ids, use_cache=False).logits
            logp = wide(logits).log_softmax(-1)
            nll = torch.stack([
                -logp[r, row.n_prompt - 1 : len(row.ids) - 1]
                .gather(1, torch.tensor(row.answer, device=ids.device)[:, None]).mean()
                for r, row in enumerate(rows)
            ]).mean()  # fmt: skip
            now = logp[n, len(kl[0].ids) - 1]
            clean = now.detach() if clean is None else clean
            loss = nll + KL * (now.exp() * (now - clean)).sum()
            loss = loss + DECAY * delta.norm() / v0.norm() ** 2
            if loss < 0.05 or step == most - 1:
                break
            adam.zero_grad()
            loss.backward()
            adam.step()
            with torch.no_grad():
                if delta.norm() > CLAMP * v0.norm():
                    delta.mul_(CLAMP * v0.norm() / delta.norm())
    finally:
        handle.remove()
    return delta.detach(), step + 1


@torch.no_grad()
def look(
    model: Any, site: EditSite, ids: torch.Tensor, at: list[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    seen = {}

    def look(module: Any, args: Any, output: torch.Tensor) -> None:
        rows = torch.arange(len(ids))
        seen["keys"], seen["outputs"] = args[0][rows, at], output[rows, at]

    handle = model.get_submodule(site.name).register_forward_hook(look)
    try:
        model(input_ids=ids, use_cache=False)
    finally:
        handle.remove()
    return wide(seen["keys"]), wide(seen["outputs"])


def padded(rows: list[tuple[int, ...]], device: torch.device) -> torch.Tensor:
    T = max(map(len, rows))
    return torch.tensor([[*r, *([r[-1]] * (T - len(r)))] for r in rows], device=device)


def run(case: Case, layer: int, kind: str, rounds: int, rate: float) -> list[str]:
    sites = find_sites(case.model)
    site, depth = sites[layer], len(sites)
    templates = make_templates(case.model, case.tokenizer, kind)
    paths = {"ours": ours, "loop": loop}
    made: dict[str, list[Done]] = {}
    seconds: dict[str, list[float]] = {name: [] for name in paths}
    for path in paths.values():
        path(case, case.facts[0], site, templates, depth)  # a warm-up
    for _ in range(rounds):
        for name, path in paths.items():
            start = time.perf_counter()
            made[name] = [path(case, fact, site, templates, depth) for fact in case.facts]
            seconds[name].append(time.perf_counter() - start)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    error = max(
        float((a.update - b.update).abs().max() / b.update.abs().max())
        for a, b in zip(made["ours"], made["loop"], strict=True)
    )
    same_steps = all(a.steps == b.steps for a, b in zip(made["ours"], made["loop"], strict=True))
    n = len(case.facts)
    mean = {name: (sum(d.tokens for d in done) / n, sum(d.token_layers for d in done) / n)
            for name, done in made.items()}  # fmt: skip
    # forward, and backward through activations: 2 operations per weight and token each; the clean
    # pass has no backward, which the figure neglects
    weights = sum(p.numel() for p in case.model.get_submodule(site.block).parameters())
    must = 4.0 * weights * sum(d.token_layers for d in made["ours"])
    return [
        case.name,
        str(layer),
        str(sum(d.steps for d in made["ours"])) if same_steps else "DIFFERENT",
        f"{median['ours'] / n:.2f}",
        f"{median['loop'] / n:.2f}",
        f"{median['loop'] / median['ours']:.1f}",
        " / ".join(f"{mean[name][0]:,.0f}" for name in paths),
        " / ".join(f"{mean[name][1]:,.0f}" for name in paths),
        f"{error:.1e}",
        f"{must / median['ours'] / rate:.0%}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--facts", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--cases", default="bundled,gpt2,gemma3")
    parser.add_argument("--layers", default="4,15", help="those that a model lacks are left out")
    parser.add_argument("--templates", default="published")
    args = parser.parse_args()
    rate = machine_rate()
    table = Table(
        title=f"R-ROME, {args.facts} bundled facts, {args.templates} templates; "
        f"one product runs at {rate / 1e9:.0f} GFLOP/s"
    )
    for column in (
        "model", "layer", "steps", "ours s/edit", "loop s/edit", "loop/ours",
        "tokens ours / loop", "tokens x layers ours / loop", "error", "of float32 rate",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    for case in cases(args.cases.split(","), args.facts):
        depth = len(find_sites(case.model))
        for layer in (int(n) for n in args.layers.split(",")):
            if layer < depth - 1:
                table.add_row(*run(case, layer, args.templates, args.rounds, rate))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
