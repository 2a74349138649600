"""Workers of a Ray cluster do the items; what a lost worker had in hand is done again.

The driver alone decides which worker does what, and keeps the results: an item that was done twice,
because its worker was thought lost, is kept once.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from goldenlayers.cluster.engine import Task
from goldenlayers.cluster.worker import Failed, Worker
from goldenlayers.errors import ClusterError, SettingsError
from goldenlayers.extras import need
from goldenlayers.progress import Say

ray = need("ray", "ray", "a cluster needs", "leave out --cluster")

TELL_SECONDS = 30.0  # without a worker
START_SECONDS = 600.0  # for one to start; a large model travels over the network first
TRIES = 3  # an item that three workers died of is not given to a fourth


@dataclass
class RayEngine:
    """Does items on the workers of a Ray cluster that is connected to.

    Attributes:
        model: Ray's references to the parcel and the weights.
        workers: How many workers there shall be.
        cpus: CPU cores of each, and threads of its computations.
        gpus: GPUs of each.
        say: Called with a line when something is worth knowing.
    """

    model: tuple[Any, Any]
    workers: int
    cpus: int
    gpus: int
    say: Say
    _idle: list[Any] = field(default_factory=list)
    _starting: dict[Any, Any] = field(default_factory=dict)  # worker by reference of its answer
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def width(self) -> int:
        """How many workers there shall be."""
        return self.workers

    def start(self) -> None:
        """Start the workers, and wait for the first."""
        self._hire()
        while not self._idle:
            self._wait({})

    def run(self, task: Task, items: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """Yield position and result of every item as they are done.

        Raises:
            ClusterError: If no worker can be had, or an item is lost again and again.
        """
        if not items:
            return
        number, handed = next(self._numbers), ray.put(task)
        waiting = deque(range(len(items)))
        tries = [0] * len(items)
        busy: dict[Any, tuple[Any, int]] = {}  # worker and item by reference of the result
        holding: set[Any] = set()
        try:
            while waiting or busy:
                while self._idle and waiting:
                    worker, i = self._idle.pop(), waiting.popleft()
                    if worker not in holding:
                        worker.hold.remote(number, handed)
                        holding.add(worker)
                    tries[i] += 1
                    busy[worker.do.remote(number, items[i])] = worker, i
                done = self._wait(busy)
                if done is None:
                    continue
                worker, i = busy.pop(done)
                try:
                    result = ray.get(done)
                except ray.exceptions.RayError as error:
                    self._lost(worker, error)
                    if tries[i] >= TRIES:
                        raise ClusterError(
                            f"{TRIES} workers were lost over the same piece of work (the last: "
                            f"{_first_line(error)}); it may need more memory than a worker has: "
                            "fewer workers on a machine, or a lower --batch-tokens"
                        ) from None
                    waiting.appendleft(i)
                    continue
                self._idle.append(worker)
                if isinstance(result, Failed):
                    raise result.error
                yield i, result
        finally:
            for worker, _ in busy.values():  # cut short: what it is at would keep it
                ray.kill(worker)
            if busy:
                self._hire()

    def close(self) -> None:
        """Let all workers go."""
        for worker in (*self._idle, *self._starting.values()):
            ray.kill(worker)
        self._idle, self._starting = [], {}
        self.workers = 0

    def _hire(self, busy: int = 0) -> None:
        resources = {"num_cpus": self.cpus, "num_gpus": self.gpus}
        actor = ray.remote(Worker).options(**resources, max_restarts=0)
        for _ in range(self.workers - len(self._idle) - len(self._starting) - busy):
            worker = actor.remote(*self.model, self.cpus, self.gpus)
            self._starting[worker.where.remote()] = worker

    def _wait(self, busy: dict[Any, Any]) -> Any:
        """Wait until a result is there, and return its reference; None if a worker came or went."""
        self._hire(len(busy))
        asked = [*busy, *self._starting]
        alone = not busy and not self._idle
        done, _ = ray.wait(asked, num_returns=1, timeout=TELL_SECONDS if alone else None)
        if not done:
            self.say(
                f"waiting for a worker with {self.cpus} CPU cores and {self.gpus} GPUs; the "
                f"cluster has free: {_resources()}"
            )
            done, _ = ray.wait(asked, num_returns=1, timeout=START_SECONDS)
        if not done:
            raise ClusterError(
                f"no worker started in {START_SECONDS:.0f} s; each needs {self.cpus} CPU cores and "
                f"{self.gpus} GPUs, and the cluster has free: {_resources()}"
            )
        if done[0] in busy:
            return done[0]
        worker = self._starting.pop(done[0])
        try:
            ray.get(done[0])
        except ray.exceptions.RayTaskError as error:  # its own constructor failed: so would others
            raise ClusterError(f"a worker cannot start: {_first_line(error)}") from None
        except ray.exceptions.ActorDiedError as error:
            if "creation task" in str(error):
                raise ClusterError(f"a worker cannot start: {_last_line(error)}") from None
            self._lost(worker, error)
        except ray.exceptions.RayError as error:
            self._lost(worker, error)
        else:
            self._idle.append(worker)
        return None

    def _lost(self, worker: Any, error: Exception) -> None:
        ray.kill(worker)  # if it was only out of reach, it shall not go on
        self.say(f"a worker was lost ({_first_line(error)}); its piece of work is done again")


def require_workers(workers: int | None, cpus: int, gpus: int, there: dict[str, float]) -> int:
    """Return how many workers a cluster shall have: as asked, or as many as fit.

    Raises:
        SettingsError: If not one fits, or fewer than asked.
    """
    fit = int(there.get("CPU", 0)) // cpus
    if gpus:
        fit = min(fit, int(there.get("GPU", 0)) // gpus)
    if fit < (workers or 1):
        raise SettingsError(
            f"{workers or 1} workers with {cpus} CPU cores and {gpus} GPUs each do not fit the "
            f"cluster, which has {there.get('CPU', 0):g} CPU cores and {there.get('GPU', 0):g} "
            f"GPUs: {fit} do"
        )
    return workers or fit


def _resources() -> str:
    free = ray.available_resources()
    return f"{free.get('CPU', 0):g} CPU cores, {free.get('GPU', 0):g} GPUs"


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1][:300]
