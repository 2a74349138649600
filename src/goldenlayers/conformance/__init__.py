"""Does everything that golden-layers does hold on this model? Each fast path beside a slow one."""

from goldenlayers.conformance.result import FAILS, FALLS_BACK, HOLDS, SKIPPED, Check, Conformance
from goldenlayers.conformance.run import CHECKS, check_model

__all__ = [
    "CHECKS",
    "FAILS",
    "FALLS_BACK",
    "HOLDS",
    "SKIPPED",
    "Check",
    "Conformance",
    "check_model",
]
