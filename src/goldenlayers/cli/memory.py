"""Memory that does not suffice: what to lower."""

from __future__ import annotations

LOWER = {
    "find": "--batch-tokens, or name fewer --layers",
    "compare": "the number of --layers, or --repeats",
    "covariance": "--batch-tokens or --max-memory, or name fewer --layers",
    "edit": "--batch, or edit fewer facts at a time",
    "evaluate": "--batch, or the number of --layers",
}
KEPT = {"find", "compare", "evaluate"}


def explain(error: BaseException, command: str) -> str:
    """Return what to tell the user.

    Args:
        error: One that `goldenlayers.passes.memory.ran_out` knows.
        command: The subcommand that ran.
    """
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    said = f" ({first[:200]})" if first else ""
    lower = f"lower {LOWER[command]}; or take" if command in LOWER else "take"
    return (
        f"the memory does not suffice{said}: {lower} a narrower --dtype (bfloat16), a smaller "
        f"model, or --device cpu{kept(command)}"
    )


def kept(command: str) -> str:
    """Return what to add to a message about memory where a command keeps finished edits."""
    return "; finished edits are kept, where there is a --resume" if command in KEPT else ""
