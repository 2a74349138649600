"""What families of models do otherwise, and the two functions that every pass meets it with.

No pass asks which family it has before it. These are the differences there are, and where each is
met; `golden-layers check` shows whether that is enough for a model.

| what is different | who | where it is met |
| --- | --- | --- |
| a site sees (rows * T, d) instead of (rows, T, d) | OPT | `by_row`, `like` |
| a module returns a tuple, whose first part is meant | attention, older blocks | `by_row`, `like` |
| the block adds to a site's output in place | Falcon | whoever keeps an output picks or clones it |
| the MLP's module returns the residual too | Bloom, MPT | the site is taken, `models.landmarks` |
| the weight is stored transposed | GPT-2 | `EditSite.transposed` |
| a norm stands behind the MLP | Gemma-2 and -3, OLMo-2 | values are added at the site, before it |
| attention and MLP side by side | GPT-J, GPT-NeoX, Falcon, Phi | nothing: only the site counts |
| masks have rows times heads in front | Bloom's ALiBi | `passes.growing` cuts them so |
| caches of sliding windows drop positions | Gemma, Mistral | `passes.rows` makes plain caches |
| attention is rounded to float32 | GPT-J, Bloom | tolerances of the checks |
| left padding cannot be told | Bloom | `metrics.decode.pads_left` |
| a state instead of keys and values | Mamba | `passes.next_input`; prefix reuse falls back |
"""

from __future__ import annotations

from typing import Any

from torch import Tensor


def by_row(output: Any, rows: int) -> Tensor:
    """Return what goes into a module, or comes out of it, as (rows, T, d).

    Args:
        output: A tensor (rows, T, d) or (rows * T, d), or a tuple that begins with one.
        rows: Rows in the batch.
    """
    out: Tensor = output[0] if isinstance(output, tuple) else output
    return out.reshape(rows, -1, out.shape[-1])


def like(new: Tensor, output: Any) -> Any:
    """Return (rows, T, d) in the form in which the module gave it."""
    if isinstance(output, tuple):
        return (new.reshape(output[0].shape), *output[1:])
    return new.reshape(output.shape)
