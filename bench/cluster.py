"""A sweep by two workers of one core each beside the same sweep by one, with the same results.

    python -m bench.cluster [--facts 8] [--layers 0,6,12,18,24] [--workers 2] [--model bundled]

Both are workers of a Ray cluster that runs on this machine, so that what a cluster costs (pieces
and outcomes on their way) is in both; starting it and loading the model is in neither, and is
printed beside. The pieces are the same, one after another or two at a time. What is lost against
the number of workers: the last piece, at which the others wait, and the memory that they share.
"""

from __future__ import annotations

import argparse
import dataclasses
import time

from rich.console import Console
from rich.table import Table

from bench.spent import Spent
from goldenlayers.cluster.settings import Cluster, engine_of
from goldenlayers.facts.bundled import bundled_facts
from goldenlayers.models.load import load_model
from goldenlayers.models.sites import choose_layers, find_sites
from goldenlayers.sweep.pieces import pieces_of
from goldenlayers.sweep.run import fill, prepared, store_for


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--facts", type=int, default=8)
    parser.add_argument("--layers", default="0,6,12,18,24")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--batch-tokens", type=int, default=512)
    args = parser.parse_args()
    loaded = load_model(args.model)
    facts = list(bundled_facts())[: args.facts]
    sites = choose_layers(find_sites(loaded.model), args.layers)
    layers = [site.layer for site in sites]
    sweep, identity = prepared(
        loaded.model, loaded.tokenizer, sites, "r-rome", batch_tokens=args.batch_tokens
    )
    pieces = pieces_of(sweep, facts, layers, {})
    found, rows = [], []
    for workers in (1, args.workers):
        begun = time.perf_counter()
        with (
            engine_of(Cluster(workers=workers), loaded.model, loaded.tokenizer) as engine,
            store_for(None, identity, facts, False) as store,
        ):
            # the last worker may still be starting: each does a first piece that is not counted
            list(engine.run(_Wait(), range(4 * workers)))
            started = time.perf_counter() - begun
            spent = Spent()
            spent.on(lambda e=engine, s=store: fill(sweep, facts, layers, s, engine=e))
            found.append(
                {k: dataclasses.replace(o, seconds=0.0) for k, o in store.outcomes.items()}
            )
        rows.append((workers, started, spent.wall))
    assert found[0] == found[1], "the outcomes differ"
    table = Table(title=f"{len(facts)} facts, {len(layers)} layers, {len(pieces)} pieces")
    for name in ("workers of one core", "start, s", "sweep, s", "speed-up"):
        table.add_column(name, justify="right")
    for workers, started, wall in rows:
        table.add_row(str(workers), f"{started:.1f}", f"{wall:.1f}", f"{rows[0][2] / wall:.2f}")
    Console().print(table)
    Console().print("outcomes: the same, to the last bit")


@dataclasses.dataclass(frozen=True)
class _Wait:
    """A task of a second, so that no worker can take all."""

    def __call__(self, model: object, tokenizer: object, item: object) -> None:
        time.sleep(1.0)


if __name__ == "__main__":
    main()
