"""Fingerprints: what tells one model from another."""

from __future__ import annotations

import hashlib

import pytest
import torch

from goldenlayers.editors.base import base_of, digest, fingerprint
from goldenlayers.editors.samples import SAMPLES, positions, sample
from goldenlayers.errors import SiteError
from tests import tiny

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_a_fingerprint_holds(dtype):
    weight = torch.randn(7, 13, generator=torch.Generator().manual_seed(0)).to(dtype)
    known = fingerprint(weight)
    raw = b"".join(bytes(row.view(torch.uint8).tolist()) for row in weight)
    assert known.sha256 == digest(weight) == hashlib.sha256(raw).hexdigest()
    assert (known.dtype, known.shape) == (str(dtype).removeprefix("torch."), (7, 13))
    assert known.sample == tuple(float(weight.flatten()[i]) for i in positions(7 * 13))
    # the layout in memory is not the weight's business
    strided = torch.empty(13, 7, dtype=dtype).T.copy_(weight)
    assert not strided.is_contiguous()
    assert fingerprint(strided) == known
    assert known.fits(strided)


def test_positions_are_always_the_same_and_spread():
    # an edit from an older version must find the same numbers
    assert positions(1000)[:5].tolist() == [0, 761, 522, 283, 44]
    for shape in ((576, 1536), (4096, 14336), (3072, 768)):
        where = positions(shape[0] * shape[1])
        assert len(set(where.tolist())) == SAMPLES
        assert len(set((where // shape[1]).tolist())) > SAMPLES / 2  # rows
        assert len(set((where % shape[1]).tolist())) > SAMPLES / 2  # columns
    assert sample(torch.ones(1, 1)).tolist() == [1.0] * SAMPLES


@pytest.mark.parametrize("a", DTYPES)
@pytest.mark.parametrize("b", DTYPES)
def test_agreement_across_dtypes(a, b):
    weight = torch.randn(40, 50, generator=torch.Generator().manual_seed(0)) * 0.02
    one, other = weight.to(a), weight.to(b)
    assert fingerprint(one).agrees(fingerprint(other))
    assert fingerprint(one).fits(other)
    tuned = (weight * 1.03).to(b)
    assert not fingerprint(one).agrees(fingerprint(tuned))
    assert not fingerprint(one).fits(tuned)
    assert not fingerprint(one).fits(other.T.contiguous())
    assert not fingerprint(one).agrees(fingerprint(other.T.contiguous()))


def test_one_bit_in_the_same_dtype():
    weight = torch.randn(40, 50)
    known = fingerprint(weight)
    untouched = weight.clone()
    free = next(i for i in range(2000) if i not in set(positions(2000).tolist()))
    weight.view(-1)[free] = torch.nextafter(weight.view(-1)[free], torch.tensor(9.0))
    assert not known.fits(weight)
    assert known.fits(untouched)


@pytest.mark.parametrize("made", DTYPES)
def test_proof_to_the_last_bit_across_dtypes(made):
    plain = torch.randn(40, 50, generator=torch.Generator().manual_seed(0))
    weight = plain.to(made)
    known = fingerprint(weight)
    for dtype in DTYPES:
        # what was rounded on the way is no proof, what was widened is
        assert known.proves(weight.to(dtype)) is torch.equal(weight.to(dtype).to(made), weight)
        assert not known.proves((weight * 1.1).to(dtype))
        assert not known.proves(weight.T.contiguous().to(dtype))
    # narrowed without a loss is one too
    assert fingerprint(plain.bfloat16().float()).proves(plain.bfloat16())
    assert not fingerprint(plain).proves(plain.bfloat16())


def test_no_such_site():
    with pytest.raises(SiteError, match="has no module 'nothing'"):
        base_of(tiny.model("llama"), ["nothing"])
