"""`golden-layers study`: the paper's protocol on your models and data, by one file of settings."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from goldenlayers.cli import clusters, console, options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goldenlayers.study.run.run import Planned
    from goldenlayers.study.run.settings import ModelSpec


def command(
    ctx: typer.Context,
    settings: Annotated[
        Path, typer.Argument(metavar="STUDY.yaml", help="What is studied; see below.")
    ],
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            help="Say what there is to do and how long it takes, and end.",
            rich_help_panel=options.HOW,
        ),
    ] = False,
    cluster: clusters.Address = None,
    workers: clusters.Workers = None,
    gpus_per_worker: clusters.GPUs = 0,
    cpus_per_worker: clusters.CPUs = 1,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the study; the name of the settings file if not given. A study that is "
            "there goes on where it was.",
            rich_help_panel=options.RESULT,
        ),
    ] = None,
) -> None:
    r"""Repeat the paper's study: every model, data set and editor, every way to choose a layer.

    One file says what is studied. What is not there yet is done, piece by piece; how long it will
    take is measured on one fact of each data set and said first. Everything is kept in one folder
    at once: after Ctrl-C, or whatever stopped it, the same command goes on. With other settings it
    does what these lack. Then golden-layers report makes figures, tables and a page of it.

    A file of settings, with everything that is needed:

      models: \[bundled]

      data: \[bundled]

    And with more; all fields are in docs/study.md:

      models: \[bundled, {model: ./my-model, default_layer: 5}]

      data: \[bundled, {facts: zsre.json, half: a, sample: 60, split: 30, test: 30}]

      editors: \[r-rome, memit]

      locators: \[lga, cma, brute-force, middle]

      proxy: \[5, 10]

    Try:

      golden-layers study study.yaml --plan

      golden-layers study study.yaml --out my-study

      golden-layers report my-study
    """
    with console.working("starting"):
        from goldenlayers.report.plan_table import plan_table
        from goldenlayers.study.run.read import read_study
        from goldenlayers.study.run.run import run_study

    study = read_study(settings)
    on = clusters.cluster_of(ctx)
    out = out if out is not None else Path(settings.stem)
    options.check_out(out)

    def show(model: ModelSpec, planned: Sequence[Planned]) -> None:
        console.table(plan_table(model, planned), console.err)

    with console.StageProgress() as progress:
        folder = run_study(
            study, out, plan_only=plan, command=shlex.join(["golden-layers", *sys.argv[1:]]),
            show=show, cluster=on, say=console.say, progress=progress,
        )  # fmt: skip
    if plan:
        console.say("nothing was run but what the pace is measured by; without --plan it is done")
    else:
        console.say(f"kept in {folder}; golden-layers report {folder} makes figures of it")
