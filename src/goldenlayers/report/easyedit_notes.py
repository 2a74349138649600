"""What is said beside a settings file for EasyEdit, in the file and on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from goldenlayers._version import __version__
from goldenlayers.models.sites import text_config
from goldenlayers.report.table import RUNNERS_UP
from goldenlayers.versions import versions

if TYPE_CHECKING:
    from goldenlayers.locators.ranking import LayerRanking
    from goldenlayers.models.sites import EditSite

# EasyEdit takes its way of loading a model from the first of these words in model_name. The plain
# way (AutoModelForCausalLM and AutoTokenizer) is that of the last one; with none of them it stops.
LOADERS = ("t5", "gpt-3.5", "gpt", "llama", "baichuan", "chatglm", "internlm", "qwen", "mistral")
PLAIN = LOADERS[-1]


def origin(ranking: LayerRanking, alg_name: str, model: Any, layer: int) -> Iterator[str]:
    """Yield where a layer comes from and how far to trust it.

    Args:
        ranking: The ranking.
        alg_name: What EasyEdit calls the editor.
        model: The model that was ranked.
        layer: The layer of the file.
    """
    facts = ranking.facts
    yield (
        f"EasyEdit's settings for {alg_name}, by golden-layers {__version__}. "
        "Layers are numbered from 0."
    )
    chosen = (
        f"layer {ranking.golden} is the golden one of the {len(ranking.layers)} layers scored, by "
        f"the method {ranking.method!r}, on {facts.get('used', len(ranking.answers))} facts "
        f"({str(facts.get('source', 'in memory'))!r})"
    )
    if layer == ranking.golden:
        yield f"{chosen[0].upper()}{chosen[1:]}."
    else:
        yield f"Layer {layer} was asked for by hand; {chosen}."
    runners = [n for n in ranking.order if n != layer][:RUNNERS_UP]
    stability = ranking[layer].stability if layer in [s.layer for s in ranking.layers] else None
    if isinstance(stability, float | int):
        weak = max(s.stability or 0.0 for s in ranking.layers) < 0.5
        yield (
            f"Layer {layer} wins {stability:.0%} of the resamples of these facts (selection "
            f"stability; not the probability of being golden). Others in order: "
            f"{', '.join(map(str, runners)) or 'none'}."
            + (" No layer wins half of them: treat the next ones as equals." if weak else "")
        )
    else:
        yield f"How stable the choice of layer {layer} is was not measured."
    yield (
        f"Ranked model: {str(ranking.model.get('name'))!r}, {type(model).__name__}; names of "
        f"modules as in transformers {versions()['transformers']}. "
        "The other values are the published ones."
    )


def cautions(model: Any, name: str, site: EditSite, layers: int) -> Iterator[str]:
    """Yield what may keep EasyEdit from using a file, and what to do.

    Args:
        model: The model.
        name: What the file calls it.
        site: The edit site of the file.
        layers: How many layers the model has.
    """
    kind = str(text_config(model).model_type)
    word = next((w for w in LOADERS if w in name.lower()), None)
    if word is None or word in ("t5", "gpt-3.5") or (word == "gpt" and "gpt" not in kind):
        yield (
            f"EasyEdit goes by the words {', '.join(LOADERS)} in model_name, and here "
            + (f"takes the model for a {word}" if word else "stops with NotImplementedError")
            + f". A folder with {PLAIN!r} in its path and none of the words before it is loaded "
            "plainly, whatever the model; name it with --model-name."
        )
    if not any(hasattr(model.config, field) for field in ("n_embd", "hidden_size")):
        yield (
            f"EasyEdit reads config.hidden_size, which {type(model.config).__name__} keeps in its "
            "text_config; it stops with AttributeError unless you set it."
        )
    if site.name.rpartition(".")[0] == site.block:
        yield (
            "The MLP has no module of its own, so mlp_module_tmp is the edit site. EasyEdit needs "
            "its output as (batch, tokens, width); where the model joins batch and tokens before "
            "it, as OPT does, EasyEdit stops with IndexError."
        )
    if site.layer == layers - 1:
        yield (
            "This is the last layer: nothing after it reads what an edit writes at the subject, so "
            "an edit there does next to nothing unless the prompt ends with the subject."
        )
