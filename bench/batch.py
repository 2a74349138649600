"""The values of a batch of facts, trained side by side, beside the obvious loop over the facts.

    python -m bench.batch [--facts 100] [--loop-facts 20] [--rounds 2] [--cases bundled,gpt2,gemma3]
                          [--other-facts 20] [--layers 8] [--templates short]
                          [--tokens 256,512,1024,2048,4096]

What MEMIT and its kin (`BatchEditor`) do before they solve for weights: one delta per fact.

together    ours: the facts side by side in runs of `RUN_TOKENS`, what stands before the subject's
            last token computed once, every step from there on and from the edited layer up
one by one  ours, but one fact after another
loop        the obvious way: one fact after another, every step runs the whole rows through the
            whole model (the loop of bench.edit): all logits, weights frozen, backward to delta

All take the same steps; facts of one subject stay apart. Templates, rows and the loop's v0 are made
beforehand and not timed (MEMIT's code notes v0 in its first step). Rounds are interleaved, medians
quoted; the facts are the first of both splits. Together trains all --facts, the others the first
--loop-facts, over which deltas and steps are compared. Nothing is scaled: seconds per fact, and as
the first facts may need more than the mean, ratios "same facts": of seconds per multiply-add that
ours needs for the facts that a path was given.

Tokens are those computed per fact, padding not counted; "x layers" counts each once per block run.
Multiply-adds are those that a path must do: real tokens through the matrices of blocks and head
(without attention's own products), forward, and but for the last step backward above the site. "Of
the rate": two operations each, over the time and the rate of one large float32 product.

--tokens tries other values of `RUN_TOKENS`.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from unittest import mock

import torch
from rich.console import Console
from rich.table import Table

from bench.edit import SETTINGS, look, padded, train
from bench.lga import machine_rate
from bench.shapes import Case, cases
from bench.spent import Spent
from goldenlayers.editors import fact_runs
from goldenlayers.editors.batch import APART
from goldenlayers.editors.fact_rows import FactRows
from goldenlayers.editors.fact_runs import in_runs, longest_tail
from goldenlayers.editors.fact_value import PREFIX_REUSE, FactValue
from goldenlayers.editors.memit import MEMIT
from goldenlayers.editors.protocol import EditRequest
from goldenlayers.editors.templates import make_templates
from goldenlayers.facts import Fact
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import EditSite, find_sites
from goldenlayers.models.subject import subject_rows


@dataclass(frozen=True)
class Delta:
    """What a path made of a fact."""

    delta: torch.Tensor
    steps: int


@dataclass
class Bench:
    """A model, facts to train at one layer of it, and how."""

    case: Case
    sites: list[EditSite]
    layer: int
    kind: str

    def __post_init__(self) -> None:
        case, site = self.case, self.sites[self.layer]
        settings: dict[str, Any] = {**SETTINGS, "same_subject": APART}
        self.editor = MEMIT(**settings)
        self.templates = make_templates(case.model, case.tokenizer, self.kind)
        self.request = EditRequest(case.model, case.tokenizer, case.facts, [site], self.templates)
        self.rows = self.editor.prepare(self.request)
        self.v0 = self.editor.v0(self.request, site)
        block = case.model.get_submodule(site.block)
        self._block = sum(p.numel() for p in block.parameters() if p.dim() > 1)
        self._head = case.model.get_output_embeddings().weight.numel()

    def together(self, rows: Sequence[FactRows]) -> list[Delta]:
        """Train as the editor does."""
        return [_delta(found) for found in self.editor._values(self.request, rows)]

    def one_by_one(self, rows: Sequence[FactRows]) -> list[Delta]:
        """Train one after another."""
        return [_delta(self.editor._values(self.request, [one])[0]) for one in rows]

    def fed(self, fact: Fact) -> tuple[Any, ...]:
        """Return what the obvious loop is given: rows, the KL prompt, ids, subjects and v0."""
        rows_of = partial(subject_rows, self.case.tokenizer)
        rows = rows_of(self.templates.prefixes, fact.prompt, fact.subject, fact.target_new)
        kl = rows_of([""], f"{fact.subject} is a", fact.subject, None)
        ids = padded([*(r.ids[:-1] for r in rows), kl[0].ids])
        at = [r.subject for r in (*rows, *kl)]
        site = self.sites[self.layer]
        where = replace(site, name=site.block) if self.v0 == "stream" else site
        return rows, kl, ids, at, look(self.case.model, where, ids[:1], at[:1])[1][0]

    def loop(self, fed: Sequence[tuple[Any, ...]]) -> list[Delta]:
        """Train the obvious way."""
        site = self.sites[self.layer]
        return [Delta(*train(self.case.model, site, *given)) for given in fed]

    def work(self, path: str, rows: Sequence[FactRows], made: Sequence[Delta]) -> list[int]:
        """Return tokens, tokens x layers and multiply-adds that a path must compute for facts."""
        total, depth, above = [0, 0, 0], len(self.sites), len(self.sites) - self.layer - 1
        for one, n in zip(rows, (d.steps for d in made), strict=True):
            # what is run and read once, then at each step, and the blocks of a step
            whole, read = sum(len(row.ids) for row in one.fed), len(one.reads.rows)
            if path == "loop":
                once, tail, read, blocks = 0, whole, whole, depth
            else:
                once, tail, blocks = whole, sum(tails(one)), above + 1
            block, head = tail * self._block, read * self._head
            adds = n * (blocks * block + head) + (n - 1) * (above * block + head)
            adds += once * depth * self._block + (head if once else 0)
            layers = once * depth + n * tail * blocks
            total = [a + b for a, b in zip(total, (once + n * tail, layers, adds), strict=True)]
        return total


def _delta(found: Any) -> Delta:
    assert isinstance(found, FactValue), found
    assert found.computed == PREFIX_REUSE, found.computed
    return Delta(found.value.delta, len(found.value.steps))


def tails(rows: FactRows) -> list[int]:
    return [len(row.ids) - row.subject for row in rows.fed]


def run_tokens(n: int) -> Any:
    return mock.patch.object(fact_runs, "RUN_TOKENS", n)


def rounds_of(works: dict[Any, Any], rounds: int) -> tuple[dict[Any, Any], dict[Any, Spent]]:
    """Do each work in turn, so many times; return what each made last, and its median time."""
    made: dict[Any, Any] = {}
    seconds: dict[Any, list[Spent]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            seconds[name].append(Spent())
            made[name] = seconds[name][-1].on(work)
    mid = statistics.median
    return made, {
        k: Spent(mid(s.wall for s in v), mid(s.cpu for s in v)) for k, v in seconds.items()
    }


def agreement(a: Sequence[Delta], b: Sequence[Delta]) -> str:
    pairs = [(x.delta, y.delta) for x, y in zip(a, b, strict=True)]
    error = max(float((x - y).abs().max() / y.abs().max()) for x, y in pairs)
    cosine = min(float(torch.cosine_similarity(x.double(), y.double(), dim=0)) for x, y in pairs)
    differ = [n for n, (x, y) in enumerate(zip(a, b, strict=True)) if x.steps != y.steps]
    steps = f"steps DIFFER at facts {differ}" if differ else "steps are equal"
    return (
        f"deltas differ by {error:.1e} of their largest entry, cosine 1 - {1 - cosine:.1e} at the "
        f"least; {steps}"
    )


def compare(bench: Bench, n_loop: int, rounds: int, console: Console) -> list[Delta]:
    rows, few, n_loop = bench.rows, bench.rows[:n_loop], min(n_loop, len(bench.rows))
    fed = [bench.fed(fact) for fact in bench.case.facts[:n_loop]]
    works = {
        "together": partial(bench.together, rows),
        "one by one": partial(bench.one_by_one, few),
        "loop": partial(bench.loop, fed),
    }
    bench.one_by_one(few[:1])  # a warm-up: weights are read from disk when first touched
    rate = machine_rate()
    made, spent = rounds_of(works, rounds)
    rate = max(rate, machine_rate())  # before and after: a shared machine is not steady
    table = Table(
        title=f"{bench.case.name}, layer {bench.layer} of {len(bench.sites)}, {bench.kind} "
        f"templates, {torch.get_num_threads()} thread(s); one product at {rate / 1e9:.0f} GFLOP/s"
    )
    for column in (
        "per fact", "facts", "steps", "wall s", "processor s", "/ together",
        "/ together, same facts", "tokens", "tokens x layers", "10^9 multiply-adds", "of the rate",
    ):  # fmt: skip
        table.add_column(column, justify="left" if column == "per fact" else "right")
    # multiply-adds that ours needs for the facts that a path was given
    needed = {p: bench.work("together", rows[: len(made[p])], made[p])[2] for p in works}
    by_need = {p: spent[p].wall / needed[p] for p in works}
    for path in works:
        n = len(made[path])
        tokens, layers, adds = bench.work(path, rows[:n], made[path])
        wall = spent[path].wall / n
        table.add_row(
            path, str(n), f"{sum(d.steps for d in made[path]) / n:.1f}", f"{wall:.3f}",
            f"{spent[path].cpu / n:.3f}", f"{wall / spent['together'].wall * len(rows):.2f}",
            f"{by_need[path] / by_need['together']:.2f}", f"{tokens / n:,.0f}",
            f"{layers / n:,.0f}", f"{adds / n / 1e9:.2f}",
            f"{2 * adds / spent[path].wall / rate:.0%}",
        )  # fmt: skip
    console.print(table)
    first = made["together"][:n_loop]
    most = bench.work("loop", few, made["loop"])[2] / needed["loop"]
    for line in (
        f"loop / together at equal rates, by multiply-adds: {most:.1f} on the first {n_loop}",
        f"together and loop, {n_loop} facts: {agreement(first, made['loop'])}",
        f"together and one by one: {agreement(first, made['one by one'])}",
        f"together: {filled(rows, made['together'])}",
    ):
        console.print(f"- {line}", highlight=False, soft_wrap=True)
    return list(made["together"])


def filled(rows: Sequence[FactRows], made: Sequence[Delta]) -> str:
    """Tell how the runs are filled."""
    real = computed = steps = 0
    for run in in_runs(rows, longest_tail):
        width = longest_tail(rows[run[-1]])
        real += sum(made[i].steps * sum(tails(rows[i])) for i in run)
        computed += sum(made[i].steps * len(rows[i].fed) * width for i in run)
        steps += max(made[i].steps for i in run)
    return f"{steps} steps of {computed / steps:,.0f} tokens, {1 - real / computed:.0%} padding"


def try_tokens(
    bench: Bench, made: Sequence[Delta], tokens: Sequence[str], rounds: int, console: Console
) -> None:
    def together(n: int) -> list[Delta]:
        with run_tokens(n):
            return bench.together(bench.rows)

    _, spent = rounds_of({n: partial(together, n) for n in map(int, tokens)}, rounds)
    table = Table(title=f"{bench.case.name}, layer {bench.layer}: wall s a fact by RUN_TOKENS")
    for column in ("tokens", "s a fact", "runs"):
        table.add_column(column, justify="right")
    for n, took in spent.items():
        with run_tokens(n):
            table.add_row(str(n), f"{took.wall / len(made):.3f}", filled(bench.rows, made))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--facts", type=int, default=100)
    parser.add_argument("--loop-facts", type=int, default=20)
    parser.add_argument("--other-facts", type=int, default=20, help="of models but the bundled")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--cases", default="bundled,gpt2,gemma3")
    parser.add_argument("--layers", default="8", help="those that a model lacks are left out")
    parser.add_argument("--templates", default="short", choices=("short", "published", "bare"))
    parser.add_argument("--tokens", default="", help="values of RUN_TOKENS, by commas")
    args = parser.parse_args()
    console = Console(width=170)
    for case in cases(args.cases.split(","), args.facts, "all"):
        if case.name != "bundled":
            case = replace(case, facts=case.facts[: args.other_facts])
        sites = find_sites(case.model)
        for layer in (int(n) for n in args.layers.split(",")):
            if layer < len(sites) - 1:
                with untouched(case.model):
                    bench = Bench(case, sites, layer, args.templates)
                    made = compare(bench, args.loop_facts, args.rounds, console)
                    if args.tokens:
                        try_tokens(bench, made, args.tokens.split(","), args.rounds, console)


if __name__ == "__main__":
    main()
