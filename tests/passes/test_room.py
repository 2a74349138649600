"""Batches that memory does not bear: smaller ones follow, and nothing is lost."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from goldenlayers.errors import MemoryShortError, SettingsError
from goldenlayers.models.guard import untouched
from goldenlayers.models.sites import find_sites
from goldenlayers.models.text import encode_pairs
from goldenlayers.passes import batch_tokens
from goldenlayers.passes.batch_tokens import MOST, require_bound, room_for, token_bytes
from goldenlayers.passes.batches import pair_batches
from goldenlayers.passes.dots import gradient_dots
from goldenlayers.passes.memory import free_memory, ran_out
from goldenlayers.passes.room import Room, in_order, in_pieces, shortage_told
from tests import tiny
from tests.short_memory import ERRORS


@pytest.mark.parametrize("kind", ERRORS)
def test_running_out_is_recognised(kind):
    assert ran_out(ERRORS[kind]())


@pytest.mark.parametrize(
    "said",
    [
        "unable to mmap 4096 bytes from file </m.safetensors>: Cannot allocate memory (12)",
        "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: not enough memory: you "
        "tried to allocate 4096 bytes.",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_what_accelerate_does_not_list_is_recognised_too(said):
    assert ran_out(RuntimeError(said))


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes cannot be multiplied"), ValueError("memory"), KeyError("x")]
)
def test_other_errors_go_through(error):
    assert not ran_out(error)

    def fail(group):
        raise error

    with pytest.raises(type(error)):
        list(in_pieces([5, 5], Room(10), fail))
    with pytest.raises(type(error)), shortage_told("x"):
        raise error


class Device:
    """Bears so many tokens at once, of items that cost `costs`."""

    def __init__(self, costs, most, kind="gpu"):
        self.costs, self.most, self.kind = costs, most, kind
        self.asked = []

    def run(self, group):
        self.asked.append(list(group))
        if len(group) * max(self.costs[i] for i in group) > self.most:
            raise ERRORS[self.kind]()
        return [i * i for i in group]


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("most", [1000, 60, 30, 7])
def test_every_item_once_and_what_is_done_is_not_done_again(kind, most):
    costs = [3, 7, 5, 1, 2, 7, 4, 6, 3, 2, 1, 5]
    device, said = Device(costs, most, kind), []
    found = {}
    for group, squares in in_pieces(costs, Room(84, said.append), device.run):
        assert not found.keys() & set(group)
        found |= dict(zip(group, squares, strict=True))
    assert found == {i: i * i for i in range(12)}
    worked = [g for g in device.asked if len(g) * max(costs[i] for i in g) <= most]
    assert sorted(i for g in worked for i in g) == list(range(12))
    assert len(said) == len(device.asked) - len(worked)
    assert bool(said) == (most < 84)
    assert all("memory ran out with" in line and "going on with" in line for line in said)


def test_the_bound_is_remembered():
    room = Room(100)
    device = Device([10] * 20, 30)
    list(in_pieces([10] * 20, room, device.run, parted=in_order))
    assert room.tokens == 25
    device.asked.clear()
    list(in_pieces([10] * 4, room, device.run, parted=in_order))
    assert device.asked == [[0, 1], [2, 3]]


def test_a_bound_that_no_batch_reaches_shrinks_from_what_was_run():
    room = Room(1_000_000)
    list(in_pieces([10] * 8, room, Device([10] * 8, 40).run, parted=in_order))
    assert room.tokens == 40
    free = Room(None)
    list(in_pieces([10] * 8, free, Device([10] * 8, 40).run, parted=in_order))
    assert free.tokens == 40


def test_nothing_smaller_is_an_error_of_ours():
    with pytest.raises(
        MemoryShortError,
        match=r"one fact alone, 9 tokens together \(CUDA out of memory.*--dtype bfloat16",
    ) as caught:
        list(in_pieces([4, 9], Room(50), Device([4, 9], 5).run, item="fact"))
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)
    with (
        pytest.raises(MemoryShortError, match=r"tracing \(MemoryError\)"),
        shortage_told("tracing"),
    ):
        raise MemoryError


def test_what_the_failed_work_held_is_let_go():
    class Held:
        pass

    kept = []

    def work():
        held = Held()
        kept.append(weakref.ref(held))
        raise torch.OutOfMemoryError("CUDA out of memory.")

    gc.disable()  # the room itself must see to it
    try:
        assert Room(8).attempt(work, 8) is None
        assert kept[0]() is None
    finally:
        gc.enable()


def test_a_part_that_has_nothing_smaller_may_fit_where_the_whole_is_smaller():
    def work():
        raise MemoryShortError("one value alone")

    assert Room(8).attempt(work, 8) is None
    with pytest.raises(MemoryShortError, match=r"^one value alone$"):
        Room(8).attempt(work, 8, least="one fact alone")


def test_the_cpu_keeps_its_defaults_and_what_is_given_stands():
    model = tiny.model("llama")
    assert room_for(model, None, 512).tokens == 512
    assert room_for(model, 40, 512).tokens == 40
    for wrong in (0, -1):
        with pytest.raises(SettingsError, match=f"batch_tokens {wrong}: expected 1 or more"):
            require_bound(wrong)
    require_bound(None)


class OnGPU:
    """A model whose weights say that they lie on a GPU."""

    class Weight:
        device = torch.device("cuda:0")

    def parameters(self):
        return iter([self.Weight()])


@pytest.mark.parametrize(("free", "expected"), [(80e9, 6400), (8e9, 640), (1.0, 1), (1e15, MOST)])
def test_a_gpu_is_filled_as_far_as_its_free_memory_goes(monkeypatch, free, expected):
    monkeypatch.setattr(batch_tokens, "free_memory", lambda device: int(free))
    monkeypatch.setattr(batch_tokens, "token_bytes", lambda model: 1e7)
    assert batch_tokens.tokens_that_fit(OnGPU(), 512) == expected


def test_free_memory_is_there():
    assert free_memory(torch.device("cpu")) > 1e6


@pytest.mark.parametrize("name", tiny.MODELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_estimate_covers_what_a_pass_keeps(name, dtype):
    """All that autograd saves for the backward pass, each tensor's storage once."""
    model, tokenizer = tiny.model(name, dtype), tiny.tokenizer(name)
    facts = [*tiny.FACTS, *tiny.FACTS]
    old = encode_pairs(tokenizer, [(f.prompt, f.target_old) for f in facts])
    new = encode_pairs(tokenizer, [(f.prompt, f.target_new) for f in facts])
    (batch,) = pair_batches(old, new, max_tokens=10_000)[:1]
    modules = dict(model.named_modules())
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept, alive = {}, []

    def keep(x):
        alive.append(x)  # so that no address is given out twice
        kept[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with untouched(model), torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        gradient_dots(model, [[modules[s.name]] for s in find_sites(model)], batch)
    tokens = batch.input_ids.numel()
    measured = sum(size for place, size in kept.items() if place not in weights) / tokens
    assert 0.2 * token_bytes(model) < measured < token_bytes(model)
