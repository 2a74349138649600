"""The covariance and its solver against NumPy's explicit matrices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from goldenlayers.covariance.moment import RIDGE, KeyMoment
from goldenlayers.errors import EditError, SettingsError


def moment(tokens=500, width=40, dtype=torch.float32, scale=1.0):
    generator = torch.Generator().manual_seed(3)
    mixing = torch.randn(width, width, generator=generator, dtype=torch.float64)
    keys = scale * torch.randn(tokens, width, generator=generator, dtype=torch.float64) @ mixing
    return KeyMoment(2, "site", (keys.T @ keys).to(dtype), tokens)


def explicit(m, ridge):
    C = m.sum.double().numpy() / m.tokens
    return C + ridge * np.diag(C).mean() * np.eye(len(C))


@pytest.mark.parametrize("tokens", [500, 7])  # 7 tokens cannot fill 40 directions
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("ridge", [RIDGE, 1e-4, 3.0])
def test_solves_as_numpy_does(tokens, dtype, ridge):
    m = moment(tokens, dtype=dtype)
    np.testing.assert_allclose(m.covariance(ridge).numpy(), explicit(m, ridge), rtol=1e-14)
    keys = torch.randn(5, m.width, generator=torch.Generator().manual_seed(4))
    expected = np.linalg.solve(explicit(m, ridge), keys.double().numpy().T).T
    found = m.solver(ridge).solve(keys)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-7, atol=1e-9 * abs(expected).max())
    one = m.solver(ridge).solve(keys[1])
    assert one.shape == (m.width,)
    np.testing.assert_allclose(one.numpy(), expected[1], rtol=1e-7, atol=1e-9 * abs(expected).max())


def test_scale_of_the_keys_does_not_matter():
    k = torch.ones(40)
    plain = moment().solver().solve(k)
    small = moment(scale=1e-6, dtype=torch.float64).solver().solve(k)
    torch.testing.assert_close(small / small.norm(), plain / plain.norm(), rtol=1e-4, atol=1e-6)


def test_the_sum_is_left_alone():
    m = moment()
    before = m.sum.clone()
    m.solver().solve(torch.ones(40))
    m.spectrum()
    assert torch.equal(m.sum, before)


def test_not_positive_definite_says_what_to_do():
    with pytest.raises(EditError, match=r"layer 2: .*7 tokens for 40 features.*larger ridge"):
        moment(7).solver(0.0)
    dead = KeyMoment(2, "site", torch.zeros(4, 4), 9)  # a layer whose keys are all zero
    with pytest.raises(EditError, match="not positive definite"):
        dead.solver()
    assert dead.spectrum().directions == 0
    with pytest.raises(EditError, match="not positive definite"):
        KeyMoment(2, "site", torch.full((4, 4), float("nan")), 9).solver()
    with pytest.raises(EditError, match="no tokens"):
        KeyMoment(2, "site", torch.zeros(4, 4), 0).covariance()


@pytest.mark.parametrize("ridge", [-1.0, float("nan"), float("inf")])
def test_a_ridge_out_of_range_is_an_error(ridge):
    with pytest.raises(SettingsError, match="ridge"):
        moment().solver(ridge)


def test_keys_that_do_not_fit_are_an_error():
    solver = moment().solver()
    for wrong in (torch.ones(39), torch.ones(40, 2), torch.ones(1, 1, 40), torch.tensor(1.0)):
        with pytest.raises(EditError, match="expected"):
            solver.solve(wrong)
    with pytest.raises(EditError, match="not finite"):
        solver.solve(torch.full((40,), float("inf")))
    assert solver.solve(torch.ones(0, 40)).shape == (0, 40)


def test_spectrum_against_a_decomposition():
    spiked = moment(dtype=torch.float64)
    direction = torch.ones(40, dtype=torch.float64)
    spiked = KeyMoment(2, "s", spiked.sum + 1e6 * torch.outer(direction, direction), spiked.tokens)
    for m in (moment(dtype=torch.float64), spiked):
        values = torch.linalg.eigvalsh(m.sum)
        found = m.spectrum()
        assert found.top_share == pytest.approx(float(values[-1] / values.sum()), rel=0.02)
        assert found.directions == pytest.approx(float(values.sum() ** 2 / values.square().sum()))
        C = torch.linalg.eigvalsh(m.covariance(0.1))
        assert float(C[-1] / C[0]) <= found.condition(m.width, 0.1) * 1.02
    assert spiked.mean_square == pytest.approx(float(spiked.sum.diagonal().mean()) / 500)
