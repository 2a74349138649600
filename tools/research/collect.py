"""What the study of choosers looks at, cell by cell: the truth, and what choosers may see.

    python tools/research/collect.py NAME... [--published ../shared/data] [--worlds out/worlds]
                                     [--out out/research] [--keep docs/research/cells]

For each fact of a cell: its scores after an edit at every layer (brute force, kept in
NAME/sweep.sqlite; started again it goes on), and per layer the numbers that choosers are made of:
those of LGA, of causal tracing, and the first-order effects of the edit. And how long `staged`
takes on the first half of the facts, its edits made anew, beside brute force's edits of the same.
All of it in NAME.npz, arrays of numbers and texts without pickle. A confirmation cell is refused
without --open.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parent))
from cells import CELLS, CONFIRMATION, Cell

import goldenlayers as gl
from goldenlayers.errors import LocatorError
from goldenlayers.facts import Fact
from goldenlayers.files import write_whole
from goldenlayers.locators.effects import FactEffects, fact_effects
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import choose_layers, find_sites
from goldenlayers.sweep.engine import BATCH_TOKENS
from goldenlayers.sweep.objective import LayerScores
from goldenlayers.sweep.run import fill, prepared, store_for

EFFECTS = ("transfer", "bound", "overlap")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="+", choices=sorted(CELLS), metavar="NAME")
    parser.add_argument("--published", type=Path, default=Path("../shared/data"))
    parser.add_argument("--worlds", type=Path, default=Path("out/worlds"))
    parser.add_argument("--out", type=Path, default=Path("out/research"))
    parser.add_argument("--keep", type=Path, help="copy NAME.npz there too")
    parser.add_argument("--open", action="store_true", help="run confirmation cells")
    args = parser.parse_args()
    closed = [n for n in args.names if CELLS[n].role == CONFIRMATION]
    if closed and not args.open:
        parser.error(f"{', '.join(closed)}: confirmation cells are opened once, with --open")
    for name in args.names:
        collect(CELLS[name], args.published, args.worlds, args.out, args.keep)


def collect(cell: Cell, published: Path, worlds: Path, out: Path, keep: Path | None) -> None:
    """Compute what is missing of a cell, and write its arrays."""
    console = Console()
    facts = cell.read_facts(published, worlds)
    loaded = gl.load_model(cell.model_path(worlds))
    model, tokenizer = loaded.model, loaded.tokenizer
    console.print(f"{cell.name}: {len(facts)} facts, {cell.editor}")

    def say(line: str) -> None:
        console.print(f"  {line}", highlight=False)

    sites = choose_layers(find_sites(model), cell.layers)
    layers = [s.layer for s in sites]
    with untouched(model):
        sweep, kind = prepared(
            model, tokenizer, sites, cell.editor, covariance=cell.covariance,
            settings=cell.settings, batch_tokens=BATCH_TOKENS, say=say,
        )  # fmt: skip
        with store_for(out / cell.name / "sweep.sqlite", kind, facts, resume=True) as store:
            fill(sweep, facts, layers, store, say=say)
            truth = LayerScores.of(store.outcomes, [f.id for f in facts], layers)
            seconds = {f.id: sum(store.outcomes[f.id, n].seconds for n in layers) for f in facts}
        effects = fact_effects(model, tokenizer, sites, facts)
    arrays: dict[str, Any] = {
        "facts": np.array([f.id for f in facts]),
        "layers": np.array(layers),
        "architecture": np.array(loaded.identity.architecture),
        "parameters": np.array(loaded.identity.parameters),
        "sweep_seconds": np.array(sum(seconds.values())),
        **staged_arrays(cell, model, tokenizer, facts[: len(facts) // 2], seconds),
        **{f"truth_{name}": values for name, values in truth.values.items()},
        **effect_arrays(effects, len(layers)),
        **ranking_arrays(model, tokenizer, facts, "lga", layers=cell.layers),
        **ranking_arrays(model, tokenizer, facts, "cma", layers=cell.layers, traced="own"),
    }
    small = {
        name: x.astype(np.float32) if x.dtype == np.float64 and x.ndim else x
        for name, x in arrays.items()
    }
    path = out / f"{cell.name}.npz"
    for place in (path, *([keep / path.name] if keep else [])):
        place.parent.mkdir(parents=True, exist_ok=True)
        write_whole(place, lambda to: _write(to, small))
    say(f"written: {path}")


def staged_arrays(
    cell: Cell, model: Any, tokenizer: Any, facts: list[Fact], seconds: dict[str, float]
) -> dict[str, Any]:
    """Return what `staged` takes on some facts, and brute force on the same."""
    start = time.perf_counter()
    ranking = gl.find(
        model, tokenizer, facts, method="staged", layers=cell.layers, split="all",
        editor=cell.editor, editor_settings=cell.settings, covariance=cell.covariance, lga=None,
        most_edits=None,
    )  # fmt: skip
    return {
        "staged_seconds": np.array(time.perf_counter() - start),
        "staged_edit_seconds": np.array(ranking.details["edit_seconds"]),
        "staged_edits": np.array(ranking.details["edits"]),
        "staged_layer": np.array(ranking.golden),
        "staged_sweep_seconds": np.array(sum(seconds[f.id] for f in facts)),
    }


def effect_arrays(effects: list[FactEffects], n_layers: int) -> dict[str, Any]:
    """Return the effects as arrays (N, L), NaN where a fact has no such probes."""
    nothing = np.full(n_layers, np.nan)
    names = list(dict.fromkeys(name for e in effects for name in e.transfer))
    return {
        "new_loss": np.array([e.loss for e in effects]),
        "need": np.stack([e.need for e in effects]),
        **{
            f"{effect}_{name}": np.stack([getattr(e, effect).get(name, nothing) for e in effects])
            for effect in EFFECTS
            for name in names
        },
    }


def ranking_arrays(
    model: Any, tokenizer: Any, facts: list[Fact], method: str, **settings: Any
) -> dict[str, Any]:
    """Return what a method says of each fact, (N, L), NaN for facts that it did not use."""
    try:
        ranking = gl.find(model, tokenizer, facts, method=method, split="all", **settings)
    except LocatorError:
        return {}
    place = {f.id: i for i, f in enumerate(facts)}
    rows = [place[a.id] for a in ranking.answers]
    out = {}
    for name, values in ranking.fact_scores.items():
        whole = np.full((len(facts), len(ranking.layers)), np.nan)
        whole[rows] = values
        out[f"{method}_{name}"] = whole
    return out | {f"{method}_seconds": np.array(sum(ranking.seconds.values()))}


def _write(path: Path, arrays: dict[str, Any]) -> None:
    with path.open("wb") as file:  # a name would get another suffix
        np.savez_compressed(file, **arrays)


if __name__ == "__main__":
    main()
