"""Seconds of some work, by the wall and by the processor: on a shared machine they differ."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass
class Spent:
    """Seconds of some stretches of work."""

    wall: float = 0.0
    cpu: float = 0.0

    def on(self, work: Callable[[], T]) -> T:
        """Do the work, and add what it takes."""
        wall, cpu = time.perf_counter(), time.process_time()
        done = work()
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu
        return done

    def plus(self, other: Spent, times: float = 1.0) -> Spent:
        """Return the sum with so many times the other."""
        return Spent(self.wall + times * other.wall, self.cpu + times * other.cpu)
