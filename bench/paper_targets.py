"""The goals for the published sizes, each with what was measured, or that nothing was."""

from __future__ import annotations

from typing import Any

Results = dict[str, list[dict[str, Any]]]
LOOP, GROWING = "brute force, obvious loop", "brute force, growing batch"
PASSES, FLOOR = "LGA's passes alone", "one forward and backward"
ROOM = 80e9 * 0.8  # bytes: fits into 80 GB with room to spare


def targets(measured: Results, device: str) -> list[tuple[str, str]]:
    """Return each goal and what became of it.

    Args:
        measured: Results by shape; none where the published size was not run on a GPU.
        device: Kind of device that was there.
    """
    xl = measured.get("gpt2-xl", [])
    goals = [
        (
            "GPT-2 XL: LGA at least 100 times as fast as the obvious loop",
            ratio(xl, LOOP, "LGA", 100),
        ),
        ("GPT-2 XL: LGA at least 10 times as fast as CMA", ratio(xl, "CMA", "LGA", 10)),
        (
            "GPT-2 XL: LGA for 100 facts of 20 tokens in seconds (under 10)",
            under(of(xl, "LGA", 20), 10, 100),
        ),
        (
            "GPT-2 XL: LGA's passes within 1.5 times one forward and activation-only backward",
            bound([r["more"]["over_floor"] for r in xl if "over_floor" in r["more"]], 1.5),
        ),
        (
            "GPT-2 XL: brute force in a growing batch at least 20 times as fast as the loop",
            ratio(xl, LOOP, GROWING, 20),
        ),
        (
            "GPT-2 XL: second moments of 48 layers within memory",
            passes([r for r in xl if r["path"] == "second moments"]),
        ),
        *(
            (f"{name}: LGA for 100 facts in 80 GB in bfloat16", fits(measured.get(shape, [])))
            for shape, name in (("llama2-7b", "LLaMA2-7B"), ("gemma3-12b", "Gemma3-12B"))
        ),
    ]
    why = "unmeasured: no GPU" if device != "cuda" else "unmeasured here"
    return [(goal, told or why) for goal, told in goals]


def of(results: list[dict[str, Any]], path: str, tokens: int) -> list[dict[str, Any]]:
    """Return the results of a path at a length of rows."""
    return [r for r in results if r["path"] == path and r["tokens"] == tokens]


def ratios(results: list[dict[str, Any]], slow: str, fast: str) -> dict[int, float]:
    """Return how many times as fast, by length."""
    return {
        a["tokens"]: a["seconds"] / b["seconds"]
        for a in results
        if a["path"] == slow
        for b in of(results, fast, a["tokens"])
    }


def in_words(found: dict[int, float], places: int = 0) -> str:
    """Say ratios by length."""
    return ", ".join(f"{x:,.{places}f} at {n} tokens" for n, x in sorted(found.items()))


def ratio(results: list[dict[str, Any]], slow: str, fast: str, goal: float) -> str:
    """Say how many times as fast, at each length, and whether the goal is met at all."""
    found = ratios(results, slow, fast)
    return f"{verdict(min(found.values()) >= goal)}: {in_words(found)}" if found else ""


def told_of(results: list[dict[str, Any]]) -> list[str]:
    """Return the ratios of what was measured, judged by no goal."""
    pairs = (
        ("CMA over LGA", "CMA", "LGA"),
        ("obvious loop over LGA", LOOP, "LGA"),
        ("obvious loop over growing batch", LOOP, GROWING),
        ("LGA's passes over one forward and backward", PASSES, FLOOR),
    )
    found = ((name, ratios(results, slow, fast)) for name, slow, fast in pairs)
    return [f"{name}: {in_words(each, 2)}" for name, each in found if each]


def under(results: list[dict[str, Any]], goal: float, facts: int) -> str:
    """Say whether the facts were scored in so many seconds."""
    found = [r["seconds"] for r in results if r["of_facts"] == facts]
    return f"{verdict(found[0] < goal)}: {found[0]:.2f} s" if found else ""


def bound(found: list[float], goal: float) -> str:
    """Say whether all are within a bound."""
    return f"{verdict(max(found) <= goal)}: at most {max(found):.2f}" if found else ""


def fits(results: list[dict[str, Any]]) -> str:
    """Say how much memory LGA took at most, the model's weights beside."""
    found = [r["peak_bytes"] + r["more"]["model_bytes"] for r in results if r["path"] == "LGA"]
    return f"{verdict(max(found) < ROOM)}: {max(found) / 1e9:.1f} GB" if found else ""


def passes(results: list[dict[str, Any]]) -> str:
    """Say what the second moments took."""
    if not results:
        return ""
    r = results[0]
    return f"met: {r['peak_bytes'] / 1e9:.1f} GB above the model, {r['more']['passes']} pass(es)"


def verdict(met: bool) -> str:
    """Say it."""
    return "met" if met else "missed"
