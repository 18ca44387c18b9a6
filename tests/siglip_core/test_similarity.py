import warnings

import numpy as np
import pytest

from siglip_core import SiglipError
from siglip_core.similarity import cosine, cosine_block, logit, probability

RNG = np.random.default_rng(0)
X = RNG.normal(size=(7, 48))
Y = RNG.normal(size=(5, 48))


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_block_equals_float64_formula() -> None:
    block = cosine_block(X.astype(np.float32), Y.astype(np.float32))
    assert block.dtype == np.float32
    np.testing.assert_allclose(block, unit(X) @ unit(Y).T, atol=1e-6)


def test_pairs_are_the_blocks_diagonal() -> None:
    x, y = X[:5].astype(np.float32), Y.astype(np.float32)
    np.testing.assert_allclose(cosine(x, y), np.diag(cosine_block(x, y)), atol=1e-6)


def test_float16_vectors_are_computed_in_float32() -> None:
    stored = unit(X).astype(np.float16)
    exact = unit(stored.astype(np.float64)) @ unit(stored.astype(np.float64)).T
    np.testing.assert_allclose(cosine_block(stored, stored), exact, atol=1e-6)
    np.testing.assert_allclose(cosine(stored, stored), 1.0, atol=1e-6)
    assert cosine(stored, stored).max() <= 1.0


def test_zero_vector_has_no_cosine() -> None:
    x = np.zeros((1, 48), np.float32)
    assert np.isnan(cosine(x, x)).all()


def test_logit_and_probability() -> None:
    logits = logit(np.array([[0.1, 0.2]]), logit_scale=117.330765, logit_bias=-12.932437)
    np.testing.assert_allclose(logits, [[-1.1993605, 10.533716]], rtol=1e-5)
    assert logits.dtype == np.float32
    x = np.linspace(-30, 30, 13)
    np.testing.assert_allclose(probability(x), 1 / (1 + np.exp(-x)), rtol=1e-6)


def test_probability_is_right_in_both_tails() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(probability(np.array([-80.0, 0, 1000, -1000])), [1.8e-35, 0.5, 1, 0], rtol=0.01)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X, Y, "cosine_block"),
        (X[0], Y[0], r"\[N, D\]"),
        (X.astype(int), X.astype(int), "int64"),
    ],
)
def test_wrong_shapes_are_refused(x: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(SiglipError, match=message):
        cosine(x, y)


def test_vectors_of_different_models() -> None:
    with pytest.raises(SiglipError, match="48 and 40"):
        cosine_block(X, Y[:, :40])
