"""Chat templates for tests, and what transformers makes of them."""

from __future__ import annotations

import copy

import pytest

from goldenlayers.models.chat import chat_tokenizer
from tests import tiny

SYSTEM = "You speak of Norland."  # the subject of the first fact stands here too
CHATML = (
    "{% for m in messages %}{% if loop.first and m.role != 'system' %}"
    "{{ '<|im_start|>system\n" + SYSTEM + "<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# takes no space before the answer away, and writes none after the generation prompt
LLAMA2 = (
    "{% for m in messages %}{% if m.role == 'user' %}"
    "{{ (bos_token or '') + '[INST] ' + m.content.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
GEMMA = (
    "{{ bos_token or '' }}{% for m in messages %}"
    "{% set role = 'model' if m.role == 'assistant' else m.role %}"
    "{{ '<start_of_turn>' + role + '\n' + m.content | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
# a reply starts with an empty think block, which the generation prompt leaves to the model
QWEN3 = CHATML.replace(
    "m.role + '\n' + m.content",
    "m.role + '\n' + ('<think>\n\n</think>\n\n' if m.role == 'assistant' else '') + m.content",
)
TEMPLATES = {"chatml": CHATML, "llama2": LLAMA2, "gemma": GEMMA, "qwen3": QWEN3}
SPECIAL = {
    "chatml": ["<|im_start|>", "<|im_end|>"],
    "llama2": [],
    "gemma": ["<start_of_turn>", "<end_of_turn>"],
    "qwen3": ["<|im_start|>", "<|im_end|>"],
}
NAMES = [(kind, template) for kind in tiny.TOKENIZERS for template in TEMPLATES]
models = pytest.mark.parametrize(
    ("name", "template"), [("qwen2", "chatml"), ("llama", "llama2"), ("gemma2", "gemma")]
)
KNOWN = set("".join(tiny.CORPUS))
every_pair = pytest.mark.parametrize(("kind", "template"), NAMES)


def raw(kind, template):
    """A tokenizer with that chat template, and special tokens to go with it."""
    tokenizer = copy.deepcopy(tiny.TOKENIZERS[kind]())
    named = isinstance(template, str) and template in TEMPLATES
    special = SPECIAL[template] if named else []
    tokenizer.add_special_tokens({"extra_special_tokens": special})
    tokenizer.chat_template = TEMPLATES[template] if named else template
    return tokenizer


def chat_model(name, template):
    """A tiny model, and its family's kind of tokenizer with that chat template."""
    kind = next(k for k, made in tiny.TOKENIZERS.items() if made() is tiny.tokenizer(name))
    return tiny.model(name), chat_tokenizer(raw(kind, template))


def user(text):
    return {"role": "user", "content": text}


def rendered(tokenizer, *messages, generate=False):
    """What transformers makes of the messages, in token ids."""
    return tuple(
        tokenizer.apply_chat_template(
            list(messages), tokenize=True, add_generation_prompt=generate, return_dict=False
        )
    )


def squeezed(text):
    """A text without what the tokenizers of the tests cannot give back: only letters they know."""
    return "".join(c for c in text.replace("<unk>", "") if c in KNOWN and not c.isspace())


def by_decoding(tokenizer, ids, text):
    """The position of the token that completes `text`, by decoding more and more tokens."""
    wanted = squeezed(text)
    return next(
        i for i in range(len(ids)) if squeezed(tokenizer.decode(ids[: i + 1])).startswith(wanted)
    )
