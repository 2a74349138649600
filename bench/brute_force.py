"""The all-layer sweep beside the obvious loop over layers, in one process, with the same results.

    python -m bench.brute_force [--templates short,published] [--facts 1] [--skip 0]
                                [--layers-timed 3] [--model bundled] [--threads 1] [--peak GFLOP/s]

ours  `Sweep`: every layer of a block of facts is trained in one growing batch, then all finished
      edits are scored in one
loop  the obvious way: for each layer, the whole rows through the whole model at every step (the
      loop of bench.edit, all logits), the weight edited, all probes asked, the weight put back

The loop is run at --layers-timed layers of each fact (0: all), spread over the depth, and SCALED to
all by the multiply-adds that it needs there: the steps are known, because ours takes the same. A
layer that cannot carry an edit is left out of the loop, which would waste all its steps on it.
Updates and scores are compared where the loop was run.

Multiply-adds are those that must be done, two operations each: real tokens, no padding; matrices
alone, attention's own products (under 2 %) left out; the head at the positions read (loop: at
all). Ours runs each step's tails forward through the blocks from the site's own up; backward both
go through the blocks above it, and not at all at the last step. Seconds are wall time; the
processor's are given beside, for a machine that is shared; the peak is by those.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from rich.console import Console
from rich.table import Table

from bench.edit import SETTINGS, STEPS, Done, loop
from bench.shapes import Case, cases
from bench.spent import Spent
from bench.sweep_counts import Counts, asked_of, counts
from bench.swept import Swept, agreement
from goldenlayers.editors.fact_rows import FactRows
from goldenlayers.editors.outcome import Outcome
from goldenlayers.editors.protocol import EditRequest
from goldenlayers.editors.rank_one import Solution
from goldenlayers.editors.rome import RROME
from goldenlayers.editors.weights import weight_of
from goldenlayers.facts import Fact
from goldenlayers.locators.find import find
from goldenlayers.metrics.baseline import FactBefore, baseline
from goldenlayers.metrics.predict import Prediction, predict
from goldenlayers.metrics.replies import nll
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import EditSite, find_sites
from goldenlayers.sweep.engine import BATCH_TOKENS, GROWING, Sweep
from goldenlayers.sweep.run import prepared
from goldenlayers.sweep.scoring import layer_outcome


class Kept(RROME):
    """R-ROME whose solutions can be looked at afterwards, and the time that they took."""

    found: ClassVar[dict[tuple[int, ...], list[Solution]]] = {}  # by the bare prompt's row
    spent: ClassVar[Spent] = Spent()

    def solve(
        self, request: EditRequest, facts: Sequence[FactRows], max_tokens: Any = None
    ) -> list[list[Solution]]:
        """Solve as R-ROME does."""
        solve = super().solve
        found = Kept.spent.on(partial(solve, request, facts, max_tokens))
        Kept.found |= {rows.bare.ids: of_fact for rows, of_fact in zip(facts, found, strict=True)}
        return found


def ours(sweep: Sweep, facts: Sequence[Fact], before: Any) -> Swept:
    """Sweep by the growing batch."""
    swept, total = Swept(), Spent()
    Kept.spent, Kept.found = swept.values, {}
    for block in total.on(partial(sweep.blocks, facts, len(sweep.sites))):
        for outcome in total.on(partial(sweep.run, block.facts, baseline=before)):
            swept.outcomes[outcome.fact, outcome.layer] = outcome
    request = EditRequest(sweep.model, sweep.tokenizer, facts, (), sweep.templates, {})
    for fact, rows in zip(facts, sweep.editor.prepare(request), strict=True):
        for site, solution in zip(sweep.sites, Kept.found[rows.bare.ids], strict=True):
            if solution.update is not None:
                left, right = solution.update.left, solution.update.right
                swept.updates[fact.id, site.layer] = left @ right.T
    swept.scoring = total.plus(swept.values, -1.0)
    return swept


def obvious(
    case: Any, fact: Fact, sweep: Sweep, site: EditSite, row: Any, before: FactBefore, into: Swept,
    steps: int = STEPS,
) -> Done:  # fmt: skip
    """Edit one fact at one layer, score it and undo it, the obvious way."""
    depth = len(sweep.sites)
    done = into.values.on(partial(loop, case, fact, site, sweep.templates, depth, steps))
    asked = asked_of(row, before)
    first, *rest = into.scoring.on(partial(ask, case.model, site, done.update, asked))
    fits = first.argmax == row.answer
    outcome = Outcome(fact, (site.layer,), "", "", 0.0, nll(first.log_probs), fits)
    norm = float(done.update.norm())
    into.updates[fact.id, site.layer] = done.update.cpu()
    into.outcomes[fact.id, site.layer] = layer_outcome(outcome, site, before, rest, norm, "loop")
    return done


def ask(model: Any, site: EditSite, update: torch.Tensor, rows: list[Any]) -> list[Prediction]:
    weight = weight_of(model, site.name)
    kept = weight.data
    weight.data = (kept + (update.T if site.transposed else update)).to(kept.dtype)
    try:
        return predict(model, rows)
    finally:
        weight.data = kept


def spread(layers: Sequence[int], n: int) -> list[int]:
    """Return n of the layers, from the middle of each n-th of them; all for 0."""
    if not 0 < n < len(layers):
        return list(layers)
    return [layers[int((i + 0.5) * len(layers) / n)] for i in range(n)]


def machine_peak() -> float:
    """Return GFLOP/s of a large float32 product by the processor's time, the best of ten."""
    a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
    spent = [Spent() for _ in range(10)]
    for each in spent:
        each.on(partial(torch.mm, a, b))
    return 2e-9 * 2048**3 * torch.get_num_threads() / min(each.cpu for each in spent)


def run(case: Case, kind: str, layers_timed: int, given: float | None, console: Console) -> None:
    peak = given or machine_peak()
    sites = find_sites(case.model)
    depth, n = len(sites), len(case.facts)
    settings: dict[str, Any] = dict(SETTINGS)
    editor = Kept(**settings)
    sweep, _ = prepared(
        case.model, case.tokenizer, sites, editor, templates=kind, batch_tokens=BATCH_TOKENS
    )
    sweep.check(case.facts)
    rows = editor.prepare(
        EditRequest(case.model, case.tokenizer, case.facts, sites, sweep.templates, {})
    )
    sweep.run(case.facts[:1], [depth - 2])  # weights are read from disk when first touched
    asking = Spent()
    before = asking.on(
        lambda: baseline(case.model, case.tokenizer, case.facts, generate=False, fluency=False)
    )
    made = ours(sweep, case.facts, before)
    assert all(o.computed == GROWING for o in made.outcomes.values())
    timed, every = Swept(), Swept()  # of the loop: the layers that are run, and all
    sizes = []
    for fact, fact_rows in zip(case.facts, rows, strict=True):
        size = counts(case, sites[0], depth, fact_rows, before.of(fact))
        sizes.append(size)
        steps = {site.layer: made.outcomes[fact.id, site.layer].steps for site in sites}
        edited = [layer for layer in steps if (fact.id, layer) in made.updates]
        values, scoring = size.ours(steps, edited)
        made.value_work += values
        made.scoring_work += scoring
        every.value_work += sum(size.loop(layer, steps[layer]) for layer in edited)
        every.scoring_work += size.loop_scoring() * len(edited)
        for layer in spread(edited, layers_timed):
            with untouched(case.model):
                done = obvious(
                    case, fact, sweep, sites[layer], fact_rows.bare, before.of(fact), timed
                )
            assert done.steps == steps[layer], (fact.id, layer, done.steps, steps[layer])
            timed.value_work += size.loop(layer, done.steps)
            timed.scoring_work += size.loop_scoring()
    every.values = Spent().plus(timed.values, every.value_work / timed.value_work)
    every.scoring = Spent().plus(timed.scoring, every.scoring_work / timed.scoring_work)
    lga = Spent()
    ranking = lga.on(lambda: find(case.model, case.tokenizer, case.facts, "lga", split="all"))
    assert not ranking.skipped, ranking.skipped
    peak = given or max(peak, machine_peak())  # before and after: a shared machine is not steady
    whole = len(timed.updates) == len(made.updates)
    told = "all layers" if whole else "SCALED to all layers"
    console.print(table(case, kind, made, timed, every, told, peak))
    for line in (
        *sizes_told(sizes, [made.outcomes[f.id, s.layer].steps for f in case.facts for s in sites]),
        *ratios(made, timed, every, asking, whole),
        *agreement(made, timed),
        *lga_told(lga, made.both().plus(asking), every.both().plus(asking), n),
    ):
        console.print(f"- {line}", highlight=False, soft_wrap=True)
    console.print()


def table(
    case: Case, kind: str, made: Swept, timed: Swept, every: Swept, told: str, peak: float
) -> Table:
    threads = torch.get_num_threads()
    out = Table(
        title=f"{case.name}: {len(case.facts)} fact(s), {kind} templates, {len(made.outcomes)} "
        f"edits, {threads} thread(s); one product runs at {peak:.0f} GFLOP/s"
    )
    for column in (
        "", "wall s", "processor s", "10^9 multiply-adds", "GFLOP/s", "of peak",
        "of peak by processor",
    ):  # fmt: skip
        out.add_column(column, justify="right" if column else "left")
    paths = (
        ("ours", made),
        (f"loop, {len(timed.updates)} edits run", timed),
        (f"loop, {told}", every),
    )
    for name, swept in paths:
        for part, spent, work in (
            ("values", swept.values, swept.value_work),
            ("scoring", swept.scoring, swept.scoring_work),
            ("both", swept.both(), swept.value_work + swept.scoring_work),
        ):
            rate, own = (2e-9 * work / t for t in (spent.wall, spent.cpu / threads))
            out.add_row(
                f"{name}: {part}", f"{spent.wall:.2f}", f"{spent.cpu:.2f}", f"{work / 1e9:,.1f}",
                f"{rate:.1f}", f"{rate / peak:.0%}", f"{own / peak:.0%}",
                end_section=part == "both",
            )  # fmt: skip
    return out


def sizes_told(sizes: Sequence[Counts], steps: Sequence[int]) -> list[str]:
    n = len(sizes)
    mean = {name: sum(getattr(s, name) for s in sizes) / n for name in vars(sizes[0])}
    return [
        f"a fact's rows have {mean['whole']:.1f} tokens, {mean['tail']:.1f} of them from the "
        f"subject's last on ({mean['padded']:.1f} with padding), {mean['reads']:.1f} positions "
        f"read; its probes {mean['asked']:.1f} tokens, {mean['picks']:.1f} positions read",
        f"{sum(steps)} steps, {sum(steps) / len(steps):.1f} an edit",
    ]


def ratios(made: Swept, timed: Swept, every: Swept, asking: Spent, whole: bool) -> list[str]:
    mine, theirs = made.both().plus(asking), every.both().plus(asking)
    work = every.value_work + every.scoring_work
    least = work / (made.value_work + made.scoring_work)
    alone = timed.both().plus(asking, len(timed.updates) / len(made.updates))
    by_number = alone.wall * len(made.updates) / len(timed.updates) / mine.wall
    scaled = "" if whole else f", SCALED from {len(timed.updates)} edits"
    note = "" if whole else f"; {by_number:.1f} if it were scaled by the number of layers alone"
    return [
        f"loop / ours: {theirs.wall / mine.wall:.1f} by wall time{scaled} "
        f"({theirs.wall:.1f} s / {mine.wall:.1f} s, of which {asking.wall:.1f} s of each ask the "
        f"unedited model), {theirs.cpu / mine.cpu:.1f} by the processor's{note}",
        f"values alone {every.values.wall / made.values.wall:.1f}, scoring alone "
        f"{every.scoring.wall / made.scoring.wall:.1f}; by multiply-adds {least:.1f}",
    ]


def lga_told(lga: Spent, mine: Spent, theirs: Spent, n: int) -> list[str]:
    return [
        f"LGA, {n} fact(s): {lga.wall / n:.2f} s a fact by wall time, {lga.cpu / n:.2f} by the "
        f"processor's; our sweep takes {mine.wall / lga.wall:.0f} times as long "
        f"({mine.cpu / lga.cpu:.0f} by the processor's), the obvious one "
        f"{theirs.wall / lga.wall:.0f} times ({theirs.cpu / lga.cpu:.0f}); the paper: 7 to 12"
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--templates", default="short", help="short, published, or both by a comma")
    parser.add_argument("--facts", type=int, default=1)
    parser.add_argument("--skip", type=int, default=0, help="facts to pass over")
    parser.add_argument("--layers-timed", type=int, default=3, help="of the loop; 0: all")
    parser.add_argument("--model", default="bundled", help="bundled, gpt2 or gemma3")
    parser.add_argument("--threads", type=int, help="as torch has it, if not given")
    parser.add_argument("--peak", type=float, help="GFLOP/s; measured, if not given")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    (case,) = cases([args.model], args.skip + args.facts)
    case.facts = case.facts[args.skip :]
    for kind in args.templates.split(","):
        run(case, kind, args.layers_timed, args.peak, Console(width=140))


if __name__ == "__main__":
    main()
