"""General ability by the tasks of lm-eval, an optional package (github.com/EleutherAI)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goldenlayers.errors import SettingsError
from goldenlayers.extras import need
from goldenlayers.models.guard import untouched


def ask_tasks(
    model: Any,
    tokenizer: Any,
    tasks: Sequence[str],
    *,
    limit: int | None = None,
    include_path: str | None = None,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Let lm-eval ask a model as it stands, for example with an edit applied.

    Args:
        model: A causal language model of transformers; returned as it came.
        tokenizer: Its tokenizer.
        tasks: Names of tasks.
        limit: Documents of each task; None for all.
        include_path: Folder with task files of your own.
        seed: Of the few-shot examples and all else that is random.

    Returns:
        By task, its metrics and their standard errors, by lm-eval's names.

    Raises:
        SettingsError: If lm-eval is missing, a task is unknown, or its data cannot be had.
    """
    need(
        "lm_eval", "lm-eval", "tasks of lm-eval need",
        "leave lm_eval out: perplexity and agreement need nothing",
    )  # fmt: skip
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=include_path)
    unknown = [t for t in tasks if t not in manager.all_tasks]
    if unknown:
        raise SettingsError(
            f"lm_eval: no task is called {unknown[0]!r}; `lm-eval ls tasks` lists them, and "
            "lm_eval_path names a folder with your own"
        )
    with untouched(model):
        try:
            found = simple_evaluate(
                model=HFLM(pretrained=model, tokenizer=tokenizer, batch_size=8),
                tasks=list(tasks), limit=limit, task_manager=manager, bootstrap_iters=0,
                random_seed=seed, numpy_random_seed=seed, torch_random_seed=seed,
                fewshot_random_seed=seed, log_samples=False,
            )  # fmt: skip
        except (OSError, ConnectionError, ValueError) as error:
            raise SettingsError(f"lm_eval: {' '.join(str(error).split())[:300]}") from error
    return {
        task: {name: float(v) for name, v in values.items() if isinstance(v, int | float)}
        for task, values in found["results"].items()
    }
