"""MEMIT, EMMET and AlphaEdit against normal equations in float64, and what must hold of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from goldenlayers.covariance.moment import KeyMoment
from goldenlayers.editors.alphaedit import AlphaEdit
from goldenlayers.editors.edit import Edit
from goldenlayers.editors.memit import EMMET, MEMIT
from goldenlayers.editors.pmet import PMET
from goldenlayers.editors.protocol import EditRequest
from goldenlayers.editors.rome import RROME
from goldenlayers.editors.templates import Templates
from goldenlayers.editors.weights import updates_applied
from goldenlayers.errors import EditError, SettingsError
from goldenlayers.models.content import content_hash
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import find_sites
from goldenlayers.passes.stream import adds_to_stream
from tests import tiny
from tests.editors import reference_batch

PREFIXES = ("", "Blue Kite. ")
VALUE = {"lr": 0.05, "steps": 4, "weight_decay": 0.3, "clamp": 3.0, "kl_factor": 0.5}
ALL = {**VALUE, "stop_loss": 0.0}
FACTS = tiny.FACTS[:3]
ON_STREAM = ("gpt2", "llama", "gptj", "opt", "falcon")


def moment(site, seed=0):
    """Keys of a text that there is not: their second moment, with strong and weak directions."""
    generator = torch.Generator().manual_seed(seed + site.layer)
    scales = torch.logspace(-2, 0.5, site.d_in, dtype=torch.float64)
    keys = torch.randn(4 * site.d_in, site.d_in, generator=generator, dtype=torch.float64) * scales
    return KeyMoment(site.layer, site.name, keys.T @ keys, len(keys))


def run(editor, model, tokenizer, facts, layers, *, earlier=None, templates=PREFIXES):
    sites = [find_sites(model)[n] for n in layers]
    with untouched(model):
        return editor.edit(
            EditRequest(
                model, tokenizer, facts, sites, Templates("own", templates),
                {s.layer: editor.solver(moment(s)) for s in sites}, earlier or {},
            )
        )  # fmt: skip


def described(model, layers):
    return [(s.name, s.block, s.transposed) for s in (find_sites(model)[n] for n in layers)]


def dense(update):
    return update.left @ update.right.T


EDITORS = {
    "memit": (MEMIT(**ALL, lam=7.0), lambda C, R, K: reference_batch.memit(R, K, C, 7.0)),
    "emmet": (EMMET(**ALL, lam=0.3), lambda C, R, K: reference_batch.emmet(R, K, C, 0.3)),
    "alphaedit": (
        AlphaEdit(**ALL, threshold=0.5, l2=2.0),
        lambda C, R, K: reference_batch.alphaedit(R, K, C, 0.5, 2.0),
    ),
}


@pytest.mark.parametrize("kind", EDITORS)
@pytest.mark.parametrize("layers", [(1,), (1, 2)], ids=["one", "window"])
@pytest.mark.parametrize("name", [*ON_STREAM, "gemma3_text", "olmo2"])
def test_updates_equal_the_normal_equations(name, layers, kind):
    editor, closed = EDITORS[kind]
    model, tokenizer = tiny.model(name), tiny.tokenizer(name)
    on_stream = name in ON_STREAM
    facts = [FACTS[0], FACTS[2]] if name == "gemma3_text" else FACTS  # the other is out of reach
    if len(layers) > 1 and (kind == "emmet" or not on_stream):
        with pytest.raises(SettingsError, match="one layer"):
            run(editor, model, tokenizer, facts, layers)
        return
    sites = [find_sites(model)[n] for n in layers]
    ridge = editor.ridge if kind != "alphaedit" else 0.0
    covariances = [moment(s).covariance(ridge) for s in sites]
    expected, deltas = reference_batch.batch(
        model, tokenizer, facts, described(model, layers), PREFIXES,
        lambda i, R, K: closed(covariances[i], R, K),
        value={**VALUE, "stop_loss": 0.0}, on_stream=on_stream,
    )  # fmt: skip
    before = content_hash(model)
    result = run(editor, model, tokenizer, facts, layers)
    assert content_hash(model) == before
    assert float(deltas.norm(dim=0).min()) > 0.01
    tolerance = 1e-5 if name in tiny.FLOAT32_INSIDE else 1e-8
    assert [u.layer for u in result.updates] == list(layers)
    for update, dW in zip(result.updates, expected, strict=True):
        assert update.rank == len(facts)
        scale = float(dW.abs().max())
        torch.testing.assert_close(dense(update), dW, rtol=0, atol=tolerance * scale)
    assert all(o.layers == layers for o in result.outcomes)


def test_a_fact_that_the_layer_cannot_carry_takes_no_part():
    # the window of the attention above is shorter than the way to the answer
    model, tokenizer = tiny.model("gemma3_text"), tiny.tokenizer("gemma3_text")
    result = run(MEMIT(**ALL, lam=7.0), model, tokenizer, FACTS, (1,))
    assert [o.status for o in result.outcomes] == ["not converged", "unreached", "not converged"]
    assert [o.layers for o in result.outcomes] == [(1,), (), (1,)]
    without = run(MEMIT(**ALL, lam=7.0), model, tokenizer, [FACTS[0], FACTS[2]], (1,))
    assert result.updates == without.updates


@pytest.mark.parametrize("name", tiny.MODELS)
def test_who_adds_to_the_stream(name):
    model = tiny.model(name).eval()
    found = [adds_to_stream(model, site) for site in find_sites(model)]
    normed = name.startswith(("gemma2", "gemma3", "olmo2"))
    assert found == [not normed] * len(found)


def test_emmet_with_one_fact_and_no_lambda_is_r_rome():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    site = find_sites(model)[1]
    mine = run(EMMET(**ALL, lam=0.0, ridge=0.1), model, tokenizer, FACTS[:1], (1,), templates=("",))
    # the same residual: the value measured by the stream, as EMMET's is
    values = {}

    class Measured(RROME):
        def v0(self, request, where):
            return "stream"

        def factors(self, request, where, found):
            values["delta"] = found.value.delta
            return super().factors(request, where, replace(found, v0=found.outputs[0]))

    theirs = run(Measured(**ALL), model, tokenizer, FACTS[:1], (1,), templates=("",))
    assert float(values["delta"].norm()) > 0.01
    torch.testing.assert_close(
        dense(mine.updates[0]), dense(theirs.updates[0]), rtol=1e-9, atol=1e-12
    )
    assert site.name == mine.updates[0].name


def test_memit_approaches_it_as_lambda_vanishes():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    exact = run(EMMET(**ALL, lam=0.0), model, tokenizer, FACTS[:1], (1,))
    gaps = []
    for lam in (1.0, 1e-2, 1e-4):
        near = run(MEMIT(**ALL, lam=lam), model, tokenizer, FACTS[:1], (1,))
        gaps.append(float((dense(near.updates[0]) - dense(exact.updates[0])).norm()))
    assert gaps[0] > 10 * gaps[1] > 100 * gaps[2] > 0


@pytest.mark.parametrize(
    ("editor", "name", "lam"),
    [
        (MEMIT, "llama", 15000 / 11008), (MEMIT, "gpt2", 20000 / 6400),
        (PMET, "llama", 15000 / 11008), (PMET, "gpt2", 6000 / 16384),
    ],
)  # fmt: skip
def test_the_published_lambda_is_carried_over_by_the_width(editor, name, lam):
    model, tokenizer = tiny.model(name), tiny.tokenizer(name)
    width = find_sites(model)[1].d_in
    found = run(editor(**ALL), model, tokenizer, FACTS, (1,))
    said = run(editor(**ALL, lam=lam * width), model, tokenizer, FACTS, (1,))
    assert found.updates == said.updates


def test_emmet_without_lambda_writes_every_value():
    model, tokenizer = tiny.model("gpt2"), tiny.tokenizer("gpt2")
    made = run(EMMET(**ALL, lam=0.0), model, tokenizer, FACTS, (1,)).updates[0]
    K = reference_batch.keys_of(model, tokenizer, made.name, FACTS, PREFIXES)
    wanted = made.left  # the residuals of the first layer, unshared
    torch.testing.assert_close(dense(made) @ K, wanted, rtol=1e-7, atol=1e-9)


class TestAlphaEdit:
    layer = 1

    def setup_method(self):
        self.model, self.tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
        self.site = find_sites(self.model)[self.layer]
        self.editor = AlphaEdit(**ALL, threshold=0.5, l2=0.1)

    def edit(self, facts, earlier=None):
        (update,) = run(
            self.editor, self.model, self.tokenizer, facts, (self.layer,), earlier=earlier
        ).updates
        return update

    def test_preserved_keys_are_answered_as_before(self):
        values, vectors = torch.linalg.eigh(moment(self.site).covariance(0.0))
        kept = vectors[:, values >= 0.5]
        dW = dense(self.edit(FACTS))
        assert float(dW.norm()) > 1e-3
        assert float((dW @ kept).abs().max()) < 1e-4 * float(dW.norm())
        assert float((dW @ vectors[:, values < 0.5]).norm()) > 0.99 * float(dW.norm())

    def test_earlier_keys_are_spared(self):
        first = self.edit(FACTS[:2])
        assert first.keys.shape == (self.site.d_in, 2)
        K = reference_batch.keys_of(self.model, self.tokenizer, self.site.name, FACTS[:2], PREFIXES)
        torch.testing.assert_close(first.keys, K, rtol=1e-9, atol=1e-12)
        with updates_applied(self.model, [first]):
            spared = self.edit(FACTS[2:], {self.site.name: first.keys})
            careless = self.edit(FACTS[2:])
            C = moment(self.site).covariance(0.0)
            expected, _ = reference_batch.batch(
                self.model, self.tokenizer, FACTS[2:], described(self.model, (self.layer,)),
                PREFIXES, lambda i, R, k: reference_batch.alphaedit(R, k, C, 0.5, 0.1, K),
                value=ALL,
            )  # fmt: skip
        torch.testing.assert_close(dense(spared), expected[0], rtol=1e-7, atol=1e-10)
        disturbed = [float((dense(u) @ K).norm()) for u in (spared, careless)]
        assert disturbed[0] < disturbed[1]

    def test_as_many_keys_as_features_or_more(self):
        many = torch.randn(self.site.d_in, 2 * self.site.d_in, dtype=torch.float64)
        C = moment(self.site).covariance(0.0)
        made = self.edit(FACTS, {self.site.name: many})
        expected, _ = reference_batch.batch(
            self.model, self.tokenizer, FACTS, described(self.model, (self.layer,)),
            PREFIXES, lambda i, R, k: reference_batch.alphaedit(R, k, C, 0.5, 0.1, many),
            value=ALL,
        )  # fmt: skip
        torch.testing.assert_close(dense(made), expected[0], rtol=1e-7, atol=1e-10)

    def test_the_share_of_free_directions(self):
        values = torch.linalg.eigvalsh(moment(self.site).covariance(0.0))
        for editor, under in (
            (self.editor, 0.5),
            (replace(self.editor, threshold=0.1, relative=True), 0.1 * values.mean()),
        ):
            result = run(editor, self.model, self.tokenizer, FACTS[:1], (self.layer,))
            share = round(float((values < under).double().mean()), 4)
            assert 0 < share < 1
            assert result.outcomes[0].details["free_directions"] == {"1": share}

    def test_no_free_direction(self):
        with pytest.raises(EditError, match="no direction of the keys has an eigenvalue under"):
            run(replace(self.editor, threshold=1e-9), self.model, self.tokenizer, FACTS, (1,))


class TestSameSubject:
    facts = (
        FACTS[0],
        FACTS[1],
        replace(FACTS[0], id="again", target_new="Rivermouth", prompt="The capital of Norland was"),
    )

    def edit(self, editor):
        return run(editor, tiny.model("llama"), tiny.tokenizer("llama"), self.facts, (1,))

    def test_one_value_is_shared(self):
        merged = self.edit(MEMIT(**ALL, lam=1.0))
        assert merged.updates[0].rank == 2
        assert [o.details.get("value_shared_with") for o in merged.outcomes] == [
            ["again"], None, [FACTS[0].id],
        ]  # fmt: skip
        assert [o.fact.id for o in merged.outcomes] == [f.id for f in self.facts]
        # trained on the prompts of both, each counting the same
        losses = [o.steps[0].nll for o in merged.outcomes]
        apart = self.edit(MEMIT(**ALL, lam=1.0, same_subject="apart"))
        alone = [o.steps[0].nll for o in apart.outcomes]
        assert losses[0] == losses[2] == pytest.approx((alone[0] + alone[2]) / 2, abs=1e-9)
        assert losses[1] == pytest.approx(alone[1], abs=1e-12)
        assert apart.updates[0].rank == 3

    def test_equal_keys_cannot_be_answered_apart(self):
        twice = (FACTS[0], replace(FACTS[0], id="again", target_new="Rivermouth"))
        model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
        with pytest.raises(EditError, match="not independent"):
            run(EMMET(**ALL, lam=0.0, same_subject="apart"), model, tokenizer, twice, (1,))


def test_without_a_covariance_it_is_said():
    model, tokenizer = tiny.model("llama"), tiny.tokenizer("llama")
    request = EditRequest(
        model, tokenizer, FACTS, find_sites(model)[1:2], Templates("own", PREFIXES)
    )
    with pytest.raises(SettingsError, match="memit needs the covariance of the keys"):
        MEMIT().edit(request)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MEMIT(lam=-1), "lam -1: expected a number of 0 or more"),
        (lambda: MEMIT(window=0), "window 0: expected a whole number above 0"),
        (lambda: MEMIT(same_subject="both"), "expected merge or apart"),
        (lambda: AlphaEdit(threshold=0), "threshold 0: expected a number above 0"),
        (lambda: AlphaEdit(l2=0), "l2 0: expected a number above 0"),
    ],
)
def test_wrong_settings(make, message):
    with pytest.raises(SettingsError, match=message):
        make()


def test_keys_go_into_the_file_and_come_back(tmp_path):
    from goldenlayers.editors.base import base_of

    model, tokenizer = tiny.model("llama", torch.float32), tiny.tokenizer("llama")
    result = run(AlphaEdit(**ALL, threshold=0.5), model, tokenizer, FACTS, (1, 2))
    edit = Edit("alphaedit", result.updates, result.outcomes, {},
                base_of(model, [u.name for u in result.updates]))  # fmt: skip
    edit.save(tmp_path / "e.safetensors")
    again = Edit.load(tmp_path / "e.safetensors")
    assert again.updates == edit.updates
    assert all(u.keys is not None for u in again.updates)
    edit.save(tmp_path / "adapter", "adapter")  # which has no place for them
    assert all(u.keys is None for u in Edit.load(tmp_path / "adapter").updates)
