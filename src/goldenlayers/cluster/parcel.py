"""A model in two parts: its structure as bytes, and its weights as arrays that are shared.

Workers on one machine look at the same arrays in Ray's object store, so that a model lies in memory
once however many of them run; a machine gets them over the network once, and needs no model files.
The arrays cannot be written to, and nothing here writes to weights: an edit puts another tensor in
their place (`goldenlayers.editors.weights`).
"""

from __future__ import annotations

import io
import pickle
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from goldenlayers.errors import ModelError
from goldenlayers.extras import need

# what NumPy has no name for travels under an integer type of the same width
BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class Entry:
    """What is known of one tensor beside its numbers.

    Attributes:
        dtype: Its dtype.
        parameter: Whether it is a parameter of the model.
    """

    dtype: torch.dtype
    parameter: bool


@dataclass(frozen=True)
class Parcel:
    """A model and its tokenizer without the weights.

    Attributes:
        structure: Both, pickled; each tensor is a number there.
        entries: By that number.
    """

    structure: bytes
    entries: tuple[Entry, ...]


def pack(model: Any, tokenizer: Any) -> tuple[Parcel, list[np.ndarray[Any, Any]]]:
    """Take a model apart.

    Returns:
        The parcel, and the weights and buffers in its order, each with its own shape.

    Raises:
        ModelError: If the model cannot travel: quantised, on the meta device, or with parts that
            cannot be pickled.
    """
    # Ray brings it, and so do its own pickles; what has no name in a module goes by value
    pickler: Any = need("ray.cloudpickle", "ray", "a cluster needs", "leave out --cluster").Pickler
    found: dict[int, int] = {}
    tensors: list[Tensor] = []

    class Pickler(pickler):  # type: ignore[misc]  # known when Ray is there
        def persistent_id(self, thing: Any) -> int | None:
            if not isinstance(thing, Tensor):
                return None
            if type(thing) not in (Tensor, nn.Parameter):
                raise ModelError(
                    f"its weights are {type(thing).__name__}; workers of a cluster take plain "
                    "weights, so load it without --quantize"
                )
            if thing.is_meta:
                raise ModelError(
                    "a part of it is on the meta device; load the whole model (without "
                    "--device-map) for a cluster"
                )
            if id(thing) not in found:
                found[id(thing)] = len(tensors)
                tensors.append(thing)
            return found[id(thing)]

    out = io.BytesIO()
    try:
        Pickler(out).dump((model, tokenizer))
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{type(model).__name__} cannot be sent to workers: {type(error).__name__}: {error}"
        ) from error
    entries = tuple(Entry(t.dtype, isinstance(t, nn.Parameter)) for t in tensors)
    return Parcel(out.getvalue(), entries), [_array(t) for t in tensors]


def unpack(parcel: Parcel, arrays: list[np.ndarray[Any, Any]]) -> tuple[Any, Any]:
    """Put a model together; its weights are the arrays' memory.

    The parcel must come from this cluster's own driver: it is a pickle.

    Returns:
        Model and tokenizer, the model frozen and in evaluation mode.
    """
    made: dict[int, Tensor] = {}

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, number: Any) -> Tensor:
            if number not in made:  # tied weights are one tensor
                made[number] = _tensor(arrays[number], parcel.entries[number])
            return made[number]

    model, tokenizer = Unpickler(io.BytesIO(parcel.structure)).load()
    model.eval().requires_grad_(False)
    return model, tokenizer


def _array(tensor: Tensor) -> np.ndarray[Any, Any]:
    plain = tensor.detach().cpu().contiguous()
    return plain.view(BITS[plain.element_size()]).numpy()


def _tensor(array: np.ndarray[Any, Any], entry: Entry) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*")
        bits = torch.from_numpy(array)
    plain = bits.view(entry.dtype)
    return nn.Parameter(plain, requires_grad=False) if entry.parameter else plain
