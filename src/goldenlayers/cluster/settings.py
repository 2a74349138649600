"""Which cluster, and how its workers are cut: what a user says, and the engine that follows."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from goldenlayers.cluster.engine import Engine, Here
from goldenlayers.errors import SettingsError
from goldenlayers.extras import need
from goldenlayers.progress import Say, quiet

LOCAL = "local"
ANSWER_SECONDS = 10.0


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster whose workers do the work.

    Results do not depend on the number of workers. They do, in their last bits, on the cores of a
    worker, as they would on the threads of a single process.

    Attributes:
        address: "local" starts one on this machine and ends it afterwards; "auto", "host:port" or
            "ray://host:port" is one that runs.
        workers: How many; None for as many as fit.
        gpus_per_worker: GPUs of each worker, 0 for the CPU; several hold one model together.
        cpus_per_worker: CPU cores of each worker.
    """

    address: str = LOCAL
    workers: int | None = None
    gpus_per_worker: int = 0
    cpus_per_worker: int = 1

    def __post_init__(self) -> None:
        if not self.address.strip():
            raise SettingsError("cluster: expected local, auto, host:port or ray://host:port")
        for name, value, least in (
            ("workers", self.workers, 1),
            ("gpus_per_worker", self.gpus_per_worker, 0),
            ("cpus_per_worker", self.cpus_per_worker, 1),
        ):
            if value is not None and value < least:
                raise SettingsError(f"{name} {value}: expected {least} or more")


def require_ray() -> Any:
    """Return Ray.

    Raises:
        SettingsError: If it is not installed.
    """
    return need("ray", "ray", "a cluster needs", "leave out --cluster")


@contextmanager
def engine_of(
    cluster: Cluster | Engine | None, model: Any, tokenizer: Any, say: Say = quiet
) -> Iterator[Engine]:
    """Yield who does the work on a model: the cluster's workers, or this process for None.

    An engine that runs already, with the same model, is yielded as it is and stays.

    Raises:
        SettingsError: If Ray is not installed, the cluster cannot be reached, or the workers do not
            fit it.
        ModelError: If the model cannot be sent to workers.
        ClusterError: If no worker starts.
    """
    if cluster is None:
        yield Here(model, tokenizer)
        return
    if not isinstance(cluster, Cluster):
        yield cluster
        return
    ray = require_ray()
    from goldenlayers.cluster.parcel import pack
    from goldenlayers.cluster.ray_engine import RayEngine, require_workers

    parcel, arrays = pack(model, tokenizer)
    with _connected(ray, cluster):
        there = ray.cluster_resources()
        cpus, gpus = cluster.cpus_per_worker, cluster.gpus_per_worker
        workers = require_workers(cluster.workers, cpus, gpus, there)
        shared = ray.put(parcel), ray.put(arrays)
        engine = RayEngine(shared, workers, cpus, gpus, say)
        machines = sum(node["Alive"] for node in ray.nodes())
        try:
            engine.start()
            say(
                f"{workers} worker{'s' * (workers != 1)} on {machines} machine"
                f"{'s' * (machines != 1)}, {cpus} CPU core{'s' * (cpus != 1)} and {gpus} GPUs each"
            )
            yield engine
        finally:
            engine.close()


@contextmanager
def _connected(ray: Any, cluster: Cluster) -> Iterator[None]:
    """Connect to the cluster, and end the connection (and a local cluster) that was made here."""
    if ray.is_initialized():  # by the caller: it stays
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing about the user is sent
    quietly = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if cluster.address == LOCAL:
            cores = None if cluster.workers is None else cluster.workers * cluster.cpus_per_worker
            ray.init("local", num_cpus=cores, include_dashboard=False, **quietly)
        else:
            _require_answer(cluster.address)
            ray.init(cluster.address, **quietly)
    except (OSError, ValueError, RuntimeError) as error:
        raise SettingsError(
            f"cluster {cluster.address!r}: cannot be used: {error}; ray status shows whether one "
            "runs there, and --cluster local starts one here"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _require_answer(address: str) -> None:
    """See that something listens at host:port: Ray itself would try for minutes.

    Raises:
        OSError: If nothing does.
        ValueError: If the port is no number.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
