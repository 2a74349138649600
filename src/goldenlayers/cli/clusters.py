"""Options of commands whose work can be done by many machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from goldenlayers.cli.editing import given
from goldenlayers.errors import SettingsError

if TYPE_CHECKING:
    from goldenlayers.cluster.settings import Cluster

PANEL = "Many machines"

Address = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="local|ADDRESS",
        help="Let workers of a Ray cluster do the work: local starts one on this machine; auto, "
        "host:port or ray://host:port is one that runs. See docs/cluster.md.",
        rich_help_panel=PANEL,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        help="How many workers; as many as fit where nothing is said. The result is the same.",
        rich_help_panel=PANEL,
    ),
]
GPUs = Annotated[
    int, typer.Option("--gpus-per-worker", help="GPUs of each worker.", rich_help_panel=PANEL)
]
CPUs = Annotated[
    int, typer.Option("--cpus-per-worker", help="CPU cores of each worker.", rich_help_panel=PANEL)
]


def cluster_of(ctx: typer.Context) -> Cluster | None:
    """Return the cluster that a command's options name; None for this process.

    Raises:
        SettingsError: If workers are described and no cluster is named, or Ray is not installed.
    """
    cut = {k: ctx.params[k] for k in ("workers", "gpus_per_worker", "cpus_per_worker")}
    address = ctx.params["cluster"]
    if address is None:
        if told := given(ctx, cut):
            name = f"--{told[0].replace('_', '-')}"
            raise SettingsError(f"{name} has no effect without --cluster (local, or an address)")
        return None
    from goldenlayers.cluster.settings import Cluster, require_ray

    require_ray()  # before a model is loaded
    return Cluster(address, **cut)
