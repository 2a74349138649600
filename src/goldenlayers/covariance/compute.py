"""`key_covariance`: the second moments of the keys of all layers, in one pass over a text."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch

from goldenlayers.cluster.engine import Engine, Here
from goldenlayers.cluster.settings import Cluster, engine_of
from goldenlayers.covariance.checkpoint import SAVE_SECONDS, Checkpoint
from goldenlayers.covariance.covariances import Covariances
from goldenlayers.covariance.estimate import Estimate, groups_that_fit
from goldenlayers.covariance.job import Job
from goldenlayers.covariance.key import FORMAT, model_key, moment_key
from goldenlayers.covariance.moment import KeyMoment
from goldenlayers.covariance.source import TextRequest
from goldenlayers.covariance.store import (
    covariance_folder,
    load_moment,
    moment_path,
    other_formats,
)
from goldenlayers.covariance.texts import TextSource, text_source
from goldenlayers.covariance.windows import beginning
from goldenlayers.errors import ResultError, SettingsError
from goldenlayers.models.causal import require_causal
from goldenlayers.models.chat import plain
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import choose_layers, context_length, find_sites
from goldenlayers.passes.room import shortage_told
from goldenlayers.progress import Progress, silent

TOKENS_PER_FEATURE = 5
# Short windows show more texts for the same tokens, and cost less to sample.
LENGTH = 128
BATCH_TOKENS = 2048
DTYPES = ("float32", "float64")

Say = Callable[[str], None]


def key_covariance(
    model: Any,
    tokenizer: Any,
    layers: str | Sequence[int] | None = None,
    *,
    site: str | None = None,
    text: str | Path | TextSource = "model",
    tokens: int | None = None,
    length: int = LENGTH,
    dtype: str = "float32",
    seed: int = 0,
    batch_tokens: int = BATCH_TOKENS,
    max_memory: int | None = None,
    cache: Path | str | Literal[False] | None = None,
    resume: bool = True,
    save_seconds: float = SAVE_SECONDS,
    cluster: Cluster | Engine | None = None,
    say: Say = lambda line: None,
    progress: Progress = silent,
    before: Callable[[Estimate], None] = lambda estimate: None,
) -> Covariances:
    """Return the second moment of the keys, sum of k k^T over a text, at every wanted layer.

    What is on disk already is not computed again; all missing layers are computed together. It is
    kept by content: the model's weights as they are now (an edited model is another model),
    configuration, tokenizer, edit site, text, tokens, length and dtype. The model is returned
    exactly as it came.

    Args:
        model: A causal language model of transformers.
        tokenizer: Its tokenizer.
        layers: None for all, numbers, or text such as "4,8" or "5-20".
        site: Qualified name of the edit site with "{}" for the layer, if structure does not tell.
        text: "model" (text that the model samples itself, seeded), a text file, a .jsonl file with
            "text" on each line, "hub:owner/name[/config][:split[:field]]", or a `TextSource`.
        tokens: Tokens to sum over; by default 5 times the key width, which suffices with the ridge
            of `KeyMoment` (arXiv 2506.04226 found 10 times enough with a smaller one).
        length: Most tokens in a window; also bounded by the model's context.
        dtype: Dtype of the sums, "float32" or "float64".
        seed: Seed of the text that the model samples.
        batch_tokens: Tokens in a forward pass, padding counted; fewer where memory runs out.
        max_memory: Most bytes that sums may take; by default 0.8 of what is free. Where the sums of
            all layers do not fit, several passes over groups of layers are made.
        cache: Folder to keep the sums in; None for golden-layers' cache, False to keep nothing.
        resume: Go on from the partial sums of an interrupted call, bit for bit as if it had not
            been interrupted.
        save_seconds: Least seconds between two savings of partial sums.
        cluster: Workers that add up parts of the text; None for this process, whose sums differ in
            the last bits.
        say: Called with a line when something is worth knowing.
        progress: Called with stage, tokens (or documents) done and their total.
        before: Called with the estimate of time and memory before the computation starts, if there
            is anything to compute; what it raises stops the call.

    Returns:
        A mapping from layer to `KeyMoment`.

    Raises:
        SettingsError: If a setting is out of range, the text cannot be read, or memory or disk do
            not suffice.
        SiteError: If the edit sites cannot be found.
        ModelError: If the model is not causal, a key is not finite, or the tokenizer is not its
            own.
        ResultError: If a result cannot be written.
        MemoryShortError: If memory does not suffice for one window.

    Example:
        >>> covariances = goldenlayers.key_covariance(model, tokenizer, layers="4-8")
        >>> u = covariances[8].solver().solve(k)
    """
    started = time.perf_counter()
    if dtype not in DTYPES:
        raise SettingsError(f"dtype {dtype!r}: expected one of {', '.join(DTYPES)}")
    for name, value in (("tokens", tokens), ("batch_tokens", batch_tokens)):
        if value is not None and value < 1:
            raise SettingsError(f"{name} {value}: expected 1 or more")
    sites = choose_layers(find_sites(model, site), layers)
    source = text_source(text, seed)
    tokenizer = plain(tokenizer)  # the text is running text, not messages of a user
    begin = beginning(tokenizer)
    length = _window(model, length, begin, say)
    if tokens is None:
        tokens = TOKENS_PER_FEATURE * max(s.d_in for s in sites)
    folder = None if cache is False else covariance_folder(None if cache is None else Path(cache))
    identity = source.identity()
    which = model_key(model, tokenizer)
    keys = {s.layer: moment_key(which, s, identity, tokens, length, dtype) for s in sites}
    missing = [s for s in sites if not _on_disk(folder, keys[s.layer], say)]
    result = Covariances(keys, folder)
    if missing and folder is not None:
        _tell_of_other_formats(folder, [keys[s.layer] for s in missing], say)
    if missing:
        held: dict[int, KeyMoment] = {}
        with untouched(model), torch.no_grad(), shortage_told("the second moments"):
            require_causal(model, finite=True)
            request = TextRequest(
                model=model,
                tokenizer=tokenizer,
                model_key=which,
                length=length,
                tokens=tokens,
                begin=begin,
                folder=folder,
                progress=lambda done, total: progress("text", done, total),
            )
            job = Job(request, source, keys, getattr(torch, dtype), batch_tokens, say, progress)
            passes = groups_that_fit(model, missing, job.dtype, max_memory)
            estimate = job.estimate(passes)
            say(str(estimate))
            before(estimate)
            with engine_of(cluster, model, tokenizer, say) as engine:
                if not isinstance(engine, Here):
                    job = replace(job, engine=engine)
                for number, group in enumerate(passes):
                    part = Checkpoint(folder, job.partial_keys(group), say, save_seconds)
                    held |= job.run(group, part, resume, f"{number + 1}/{len(passes)}")
        computed = tuple(s.layer for s in missing)
        result = replace(
            result,
            held={} if folder else held,
            computed=computed,
            estimate=estimate,
        )
    return replace(result, seconds=time.perf_counter() - started)


def _window(model: Any, length: int, begin: Sequence[int], say: Say) -> int:
    """Return the length of a window that the model can take."""
    bound = context_length(model)
    if bound is not None and length > bound:
        say(f"windows of {bound:,} tokens instead of {length:,}: the model's context is no longer")
        length = bound
    if length <= len(begin):
        raise SettingsError(
            f"length {length}: expected at least {len(begin) + 1} tokens, so that a window has "
            "text in it"
        )
    return length


def _tell_of_other_formats(folder: Path, keys: Sequence[Mapping[str, Any]], say: Say) -> None:
    """Say why what another version has computed is computed again."""
    others = other_formats(folder, keys)
    if others:
        formats = ", ".join(sorted({str(one) for one in others.values()}))
        which = "layer" if len(others) == 1 else "layers"
        say(
            f"{folder}: {which} {', '.join(map(str, others))} of format {formats}, this "
            f"golden-layers reads {FORMAT}; computing anew (the older files may be deleted)"
        )


def _on_disk(folder: Path | None, key: Mapping[str, Any], say: Say) -> bool:
    """Return whether a sound second moment is there; say so if one is not sound."""
    if folder is None or not moment_path(folder, key).exists():
        return False
    try:
        load_moment(folder, key)
    except ResultError as error:
        say(f"{error}; computing it anew")
        return False
    return True
