"""What the tests of `key_covariance` compare."""

from __future__ import annotations

import torch


def sums(covariances):
    return {layer: moment.sum for layer, moment in covariances.items()}


def assert_equal(first, second):
    assert first.keys() == second.keys()
    for layer, total in first.items():
        assert torch.equal(total, second[layer]), layer


class StopError(Exception):
    """Pulls the plug."""
