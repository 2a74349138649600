"""Ways to choose a layer at the sizes that the paper times, beside the obvious way.

    python -m bench.paper_scale [--shape gpt2-xl,llama2-7b,gemma3-12b] [--scale 1] [--facts 100]
        [--tokens 10,20,40,80] [--paths lga,cma,sweep,loop,covariance] [--json FILE] [--device auto]

LGA       `find` as a user calls it, whole; beside it its passes alone, and the floor: one forward
          and activation-only backward over the same batches
CMA       causal tracing with its defaults (10 draws, windows of 10 layers), of the model's own
          answers
growing   brute force as `find --method brute-force` does it: R-ROME at every layer side by side
obvious   brute force as it is published: every step runs the whole rows through the whole model,
          the weight is edited, the questions are asked, the weight is put back

Weights are random, at the published configurations or, with --scale, at a share of their width,
depth and vocabulary: speed and memory, never quality. Rows have exactly --tokens tokens, two of
them the answer's; the subject ends in the middle. CMA and brute force are timed on some facts and
SCALED to all by their number (--cma-facts, --sweep-facts; 0 for all), the obvious loop on a few
layers of one fact (--loop-layers; 0 for all); the table says so. What is measured is kept in --json
as it is made, and not measured again. "Of the rate": operations that must be done, 2 for each
weight and token, over time, as a share of one large product in the same dtype, measured here.
Seconds are by the wall beside a GPU; on the CPU they are the processor's, a thread.
"""

from __future__ import annotations

import argparse
import gc
import json
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from bench import paper_paths
from bench.device_agreement import agreement_of_devices
from bench.on_device import described, matrix_rate
from bench.paper_shapes import SHAPES, PaperCase, build, facts_of
from bench.paper_targets import targets, told_of
from goldenlayers.versions import versions

PATHS = ("lga", "cma", "sweep", "loop", "covariance")
Result = dict[str, Any]


def measure(case: PaperCase, tokens: int, args: argparse.Namespace, keep: Measurements) -> None:
    """Measure what is wanted and missing at one length of rows."""
    case.facts = facts_of(case, args.facts, tokens, args.seed)
    paths = args.paths.split(",")
    if "lga" in paths and not keep.has(case, tokens, "LGA"):
        keep.add(case, tokens, paper_paths.lga(case, args.rounds, args.check))
    if "cma" in paths and not keep.has(case, tokens, "CMA"):
        keep.add(case, tokens, [paper_paths.cma(case, args.cma_facts, args.check)])
    last = "brute force, obvious loop" if "loop" in paths else "brute force, growing batch"
    if {"sweep", "loop"} & set(paths) and not keep.has(case, tokens, last):
        layers = args.loop_layers if "loop" in paths else -1
        made = paper_paths.brute_force(case, args.sweep_facts, layers, args.steps)
        keep.add(case, tokens, made)


class Measurements:
    """Results by what was measured, in a file if there is one.

    Args:
        path: The file; None keeps nothing.
        setting: What has a say beside shape, scale and tokens.
        say: Called with a line.
    """

    def __init__(self, path: Path | None, setting: Result, say: Any):
        self._path, self._setting, self._say = path, setting, say
        self.results: list[Result] = []
        if path is not None and path.exists():
            self.results = json.loads(path.read_text(encoding="utf-8"))["results"]

    def mine(self, case: PaperCase, tokens: int | None = None) -> list[Result]:
        """Return what was measured of a model, with these settings."""
        which = {**self._setting, "model": case.name}
        return [
            r
            for r in self.results
            if r["of"] == which and (tokens is None or r["tokens"] == tokens)
        ]

    def has(self, case: PaperCase, tokens: int, path: str) -> bool:
        """Return whether something was measured already."""
        return any(r["path"] == path for r in self.mine(case, tokens))

    def add(self, case: PaperCase, tokens: int, made: list[paper_paths.Measured]) -> None:
        """Keep what was measured."""
        for one in made:
            of = {**self._setting, "model": case.name}
            self.results = [
                r
                for r in self.results
                if (r["of"], r["tokens"], r["path"]) != (of, tokens, one.path)
            ]
            self.results.append({"of": of, "tokens": tokens, **one.to_dict()})
            scaled = f" ({one.scaled})" if one.scaled else ""
            self._say(f"  {case.name}, {tokens} tokens: {one.path}: {one.seconds:.2f} s{scaled}")
        if self._path is not None:
            whole = {"versions": versions(), "results": self.results}
            part = self._path.with_suffix(".part")
            part.write_text(json.dumps(whole, indent=1), encoding="utf-8")
            part.replace(self._path)


def table(case: PaperCase, results: list[Result], rate: float, where: str) -> Table:
    """Return what was measured of a model as a table."""
    model = sum(p.numel() * p.element_size() for p in case.model.parameters())
    dtype = str(case.model.dtype).removeprefix("torch.")
    out = Table(
        title=f"{case.name}, {dtype}, random weights of {model / 2**30:.2f} GiB, on {where}; one "
        f"product runs at {rate / 1e12:.2f} TFLOP/s"
    )
    for column in (
        "tokens", "way", "facts", "seconds", "LGA is faster by", "peak GiB above the model",
        "of the rate", "against the plain way",
    ):  # fmt: skip
        out.add_column(column, justify="left" if column in ("way", "against the plain way")
                       else "right")  # fmt: skip
    ours = {r["tokens"]: r["seconds"] for r in results if r["path"] == "LGA"}
    for r in results:
        own = ours.get(r["tokens"])
        compared = own and r["path"] in ("CMA", *(p for p in BRUTE))
        out.add_row(
            str(r["tokens"]) if r["of_facts"] else f"{r['more']['tokens']:,} in all",
            r["path"] + (f", {r['scaled']}" if r["scaled"] else ""),
            str(r["of_facts"] or "-"),
            f"{r['seconds']:.3g}",
            f"{r['seconds'] / own:,.1f}" if compared else "",
            f"{r['peak_bytes'] / 2**30:.2f}" if r["peak_bytes"] else "",
            f"{r['operations'] / r['seconds'] / rate:.0%}" if r["operations"] else "",
            r["agrees"],
        )
    return out


BRUTE = ("brute force, growing batch", "brute force, obvious loop")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--shape", default="gpt2-xl", help=f"of {', '.join(SHAPES)}; or all")
    parser.add_argument("--scale", type=float, default=1.0, help="share of width, depth, words")
    parser.add_argument("--facts", type=int, default=100)
    parser.add_argument("--tokens", default="10,20,40,80")
    parser.add_argument("--paths", default="lga,cma,sweep,loop,covariance")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto", help="auto: as published, float32 on the CPU")
    parser.add_argument("--rounds", type=int, default=3, help="of LGA and the floor")
    parser.add_argument("--steps", type=int, default=20, help="of a value's training")
    parser.add_argument("--cma-facts", type=int, default=5)
    parser.add_argument("--sweep-facts", type=int, default=5)
    parser.add_argument("--loop-layers", type=int, default=3)
    parser.add_argument("--check", type=int, default=2, help="facts compared with the plain way")
    parser.add_argument("--covariance-tokens", type=int, default=16_384)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file that keeps what is measured")
    args = parser.parse_args()
    console = Console(width=170)
    on = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(on if args.device == "auto" else args.device)
    dtype = None if args.dtype == "auto" else getattr(torch, args.dtype)
    names = list(SHAPES) if args.shape == "all" else args.shape.split(",")
    setting = {"device": described(device), "facts": args.facts, "dtype": args.dtype,
               "steps": args.steps, "seed": args.seed}  # fmt: skip
    keep = Measurements(
        args.json, setting, lambda line: console.print(f"  {line}", highlight=False)
    )
    measured: dict[str, list[Result]] = {}
    for shape in names:
        case = build(shape, args.scale, device, dtype, args.seed)
        rate = matrix_rate(device, case.model.dtype)
        lengths = [int(n) for n in args.tokens.split(",")]
        for tokens in lengths:
            measure(case, tokens, args, keep)
        if "covariance" in args.paths.split(",") and not keep.has(case, 0, "second moments"):
            keep.add(case, 0, [paper_paths.covariance(case, args.covariance_tokens)])
        found = [r for r in keep.mine(case) if r["tokens"] in (0, *lengths)]
        measured[shape] = sorted(found, key=lambda r: (r["tokens"] == 0, r["tokens"]))
        console.print(table(case, measured[shape], rate, described(device)))
        for line in told_of(measured[shape]):
            console.print(f"- {line}", highlight=False, soft_wrap=True)
        del case  # before the next one is made
        gc.collect()
    full = args.scale == 1 and device.type == "cuda"
    goals = Table(title="Goals at the published size, on a GPU")
    for column in ("goal", "measured"):
        goals.add_column(column)
    for goal, told in targets(measured if full else {}, device.type):
        goals.add_row(goal, told)
    console.print(goals)
    for line in agreement_of_devices(names):
        console.print(f"- {line}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
