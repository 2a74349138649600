"""Prompts as a user's messages: against `apply_chat_template`, and against decoding token by token.

Three templates of the kinds in use (ChatML with a default system prompt, LLaMA 2's, Gemma's), each
on three kinds of tokenizer.
"""

from __future__ import annotations

import copy
import hashlib
import json

import pytest
from tokenizers import AddedToken

import goldenlayers
from goldenlayers.covariance.key import model_kind
from goldenlayers.errors import FactError, ModelError
from goldenlayers.models.chat import ChatTokenizer, chat_tokenizer, plain
from goldenlayers.models.subject import subject_rows
from goldenlayers.models.text import encode_pairs, encode_prompts, written
from goldenlayers.passes.greedy import TokenFilter
from tests import tiny
from tests.models.chats import (
    CHATML,
    GEMMA,
    SPECIAL,
    by_decoding,
    every_pair,
    raw,
    rendered,
    squeezed,
    user,
)


@every_pair
def test_prompts_are_what_transformers_makes_of_them(kind, template):
    tokenizer = raw(kind, template)
    chat = chat_tokenizer(tokenizer)
    prompts = [f"  {f.prompt} \n" for f in tiny.FACTS]
    for prompt, ids in zip(prompts, encode_prompts(chat, prompts), strict=True):
        expected = rendered(tokenizer, user(prompt.strip()), generate=True)
        if template == "qwen3":  # the rest is the think block, see the next test
            assert ids[: len(expected)] == expected
            assert len(ids) > len(expected)
        else:
            assert ids == expected
        assert ids.count(tokenizer.bos_token_id) == (
            tokenizer.bos_token_id is not None and template in ("llama2", "gemma")
        )
        assert all(tokenizer.convert_tokens_to_ids(t) in ids for t in SPECIAL[template])


@every_pair
def test_pairs_are_what_transformers_makes_of_them_up_to_the_answer(kind, template):
    tokenizer = raw(kind, template)
    chat = chat_tokenizer(tokenizer)
    pairs = [(f.prompt, a) for f in tiny.FACTS for a in (f.target_new, f.target_old)]
    rows = encode_pairs(chat, [(f" {p}\n", f" {a} ") for p, a in pairs])
    for (prompt, answer), row in zip(pairs, rows, strict=True):
        reply = {"role": "assistant", "content": answer}
        assert rendered(tokenizer, user(prompt), reply)[: len(row.ids)] == row.ids
        assert row.ids[: row.n_prompt] == encode_prompts(chat, [prompt])[0]
        assert squeezed(tokenizer.decode(row.answer)) == squeezed(answer)
        before = squeezed(tokenizer.decode(row.ids[: row.n_prompt]))
        assert before == squeezed(written(chat, prompt, None).text)


@every_pair
@pytest.mark.parametrize("prefix", ["", "Norland is old. ", " In fact, "])
def test_the_subject_is_found_in_the_users_text_alone(kind, template, prefix):
    tokenizer = raw(kind, template)
    chat = chat_tokenizer(tokenizer)
    for prompt in ("The capital of Norland is", "Norland borders on", "They went to Norland "):
        for answer in ("Bergstad", None):
            (row,) = subject_rows(chat, [prefix], prompt, "Norland", answer)
            upto = f"{chat.head}{prefix}{prompt[: prompt.rindex('Norland')]}Norland"
            assert row.subject == by_decoding(tokenizer, row.ids, upto)
            # the prefix stands in the message: nothing else changes
            message = f"{prefix}{prompt}"
            if answer is None:
                assert row.ids == encode_prompts(chat, [message])[0]
            else:
                (pair,) = encode_pairs(chat, [(message, answer)])
                assert (row.ids, row.n_prompt) == (pair.ids, pair.n_prompt)


def test_occurrences_are_counted_in_the_users_text_alone():
    chat = chat_tokenizer(raw("byte_level_bpe", "chatml"))
    prompt = "Norland is north. Norland is"
    assert "Norland" in chat.head
    for occurrence, at in (("first", 0), ("last", prompt.rindex("Norland"))):
        (row,) = subject_rows(chat, ["Norland: "], prompt, "Norland", "old", occurrence=occurrence)
        upto = f"{chat.head}Norland: {prompt[:at]}Norland"
        assert row.subject == by_decoding(chat, row.ids, upto)
    with pytest.raises(FactError, match="subject 'Norland' is not in the prompt 'It is cold'"):
        subject_rows(chat, ["Norland: "], "It is cold", "Norland", "old")
    with pytest.raises(FactError, match="subject 'user' is not in the prompt"):
        subject_rows(chat, [""], "It is cold", "user", None)  # a word of the template


def test_where_the_parts_stand():
    chat = chat_tokenizer(raw("byte_level_bpe", "llama2"))
    assert (chat.head, chat.joint, chat.opening) == ("[INST] ", " [/INST] ", " [/INST]")
    whole = written(chat, " Who is it? ", " Ann ", "Well. ")
    assert whole.text == "[INST] Well. Who is it? [/INST] Ann"
    assert whole.prompt == "Who is it?"
    assert whole.text[whole.before :] == " Ann"
    alone = written(chat, "Who is it?", None, "Well. ")
    assert alone.text == whole.text[: whole.before]
    assert alone.before == len(alone.text)


def test_a_think_block_is_there_with_and_without_an_answer():
    chat = chat_tokenizer(raw("byte_level_bpe", "qwen3"))
    block = "<think>\n\n</think>\n\n"
    assert written(chat, "Who?", None).text.endswith(f"<|im_start|>assistant\n{block}")
    assert written(chat, "Who?", "Ann").text.endswith(f"{block}Ann")


def test_a_special_token_that_swallows_the_space_is_not_the_answers():
    tokenizer = raw("byte_level_bpe", "llama2")
    tokenizer.add_special_tokens({"extra_special_tokens": [AddedToken("[/INST]", rstrip=True)]})
    chat = chat_tokenizer(tokenizer)
    (row,) = encode_pairs(chat, [("Who is it?", "Ann")])
    assert tokenizer.decode(row.answer) == "Ann"
    assert row.ids[: row.n_prompt] == encode_prompts(chat, ["Who is it?"])[0]


def test_a_template_that_refuses_answers_gives_its_generation_prompt():
    refuses = CHATML.replace(
        "{% for m in messages %}",
        "{% for m in messages %}{% if m.role == 'assistant' %}"
        "{{ raise_exception('no answers') }}{% endif %}",
    )
    hides = CHATML.replace("m.content", "(m.content if m.role != 'assistant' else '...')")
    whole = chat_tokenizer(raw("byte_level_bpe", "chatml"))
    for template in (refuses, hides):
        chat = chat_tokenizer(raw("byte_level_bpe", template))
        assert (chat.head, chat.joint) == (whole.head, whole.joint)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (None, "has no chat template, expected one .* leave out --chat, or use a chat-tuned"),
        (CHATML.replace("m.content", "'hello'"), "user's text 0 times as it is, expected once"),
        (CHATML.replace("m.content", "(m.content | upper)"), "0 times as it is"),
        (CHATML.replace("m.content", "(m.content + m.content)"), "2 times as it is"),
        ("{{ raise_exception('never') }}", "cannot be rendered: .*never; leave out --chat"),
        ("{{ messages[", "cannot be rendered: TemplateSyntaxError"),
        (
            CHATML.replace("m.content", "('Q: ' if ' ' in m.content else '') + m.content"),
            "writes other text around 'The capital of France is'",
        ),
        ({"tool_use": CHATML}, r"templates \['tool_use'\], expected one named 'default'"),
    ],
)
def test_templates_that_cannot_be_used(template, message):
    with pytest.raises(ModelError, match=message):
        chat_tokenizer(raw("byte_level_bpe", template))


@every_pair
def test_a_special_token_in_the_message_is_refused(kind, template):
    tokenizer = raw(kind, template)
    chat = chat_tokenizer(tokenizer)
    for token in [tokenizer.eos_token, *SPECIAL[template]]:
        with pytest.raises(FactError, match="is a special token") as caught:
            encode_prompts(chat, ["Who is it?", f"Who{token} is it?"])
        assert repr(token) in str(caught.value)
        with pytest.raises(FactError, match="is a special token"):
            subject_rows(chat, ["", f"Hm{token} "], "Norland is", "Norland", "old")
        assert encode_prompts(tokenizer, [f"Who{token} is it?"])  # running text may have it
    with pytest.raises(FactError, match="is blank"):
        encode_prompts(chat, [" \n"])


def test_the_wrapper_is_the_tokenizer_otherwise(tmp_path):
    tokenizer = raw("metaspace_bpe", "llama2")
    chat = chat_tokenizer(tokenizer)
    model = tiny.model("llama")
    assert chat_tokenizer(chat) is chat
    assert plain(chat) is tokenizer
    assert plain(tokenizer) is tokenizer
    assert chat.is_fast
    assert len(chat) == len(tokenizer)
    assert chat.backend_tokenizer is tokenizer.backend_tokenizer
    assert chat("Norland is")["input_ids"] == tokenizer("Norland is")["input_ids"]
    assert chat.decode([5, 6]) == tokenizer.decode([5, 6])
    assert chat.all_special_ids == tokenizer.all_special_ids
    assert chat.convert_tokens_to_ids("<s>") == 1
    assert model_kind(model, chat) == model_kind(model, tokenizer)
    assert TokenFilter(chat, model).ends(tokenizer.eos_token_id)
    assert copy.copy(chat).wrapped is tokenizer
    assert not hasattr(chat, "no_such_thing")
    chat.save_pretrained(tmp_path)
    loaded = chat_tokenizer(type(tokenizer).from_pretrained(tmp_path))
    assert loaded.rendering_sha256 == chat.rendering_sha256
    assert encode_prompts(loaded, ["Norland is"]) == encode_prompts(chat, ["Norland is"])


def test_the_hash_is_that_of_what_stands_around_a_message():
    single = raw("byte_level_bpe", "gemma")
    several = raw("byte_level_bpe", "gemma")
    several.chat_template = {"default": GEMMA, "tool_use": CHATML}
    first = chat_tokenizer(single)
    expected = hashlib.sha256(json.dumps([first.head, first.joint]).encode()).hexdigest()
    for tokenizer in (single, several):
        chat = chat_tokenizer(tokenizer)
        assert chat.rendering_sha256 == expected
        assert chat.head.endswith("<start_of_turn>user\n")


def test_slow_tokenizers_are_named_as_they_are():
    class Slow:
        is_fast = False

    chat = ChatTokenizer(Slow(), "", " ", "", "", ())
    with pytest.raises(ModelError, match="the tokenizer Slow is not a fast one"):
        encode_pairs(chat, [("a", "b")])


@pytest.mark.bundled
def test_the_bundled_models_template(bundled):
    tokenizer = bundled.tokenizer
    chat = chat_tokenizer(tokenizer)
    facts = goldenlayers.bundled_facts().split("proxy")
    for fact, ids in zip(facts, encode_prompts(chat, [f.prompt for f in facts]), strict=True):
        assert ids == rendered(tokenizer, user(fact.prompt.strip()), generate=True)
        (row,) = subject_rows(chat, [""], fact.prompt, fact.subject, fact.target_old)
        reply = {"role": "assistant", "content": fact.target_old.strip()}
        assert rendered(tokenizer, user(fact.prompt.strip()), reply)[: len(row.ids)] == row.ids
        assert row.ids[: row.n_prompt] == ids
    # its system prompt says "Hugging Face" and "AI assistant" too
    prompt = "Hugging Face is a company from"
    (row,) = subject_rows(chat, [""], prompt, "Hugging Face", "Paris")
    assert row.subject == by_decoding(tokenizer, row.ids, f"{chat.head}Hugging Face")
