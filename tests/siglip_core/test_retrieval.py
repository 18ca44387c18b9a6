"""recall@k and ROC AUC against counts made by hand."""

import numpy as np
import pytest

from siglip_core.errors import SiglipError
from siglip_core.retrieval import recall_at_k, roc_auc


def test_recall_counts_the_queries_whose_own_item_is_among_the_first():
    similarity = np.array([[0.9, 0.1, 0.2, 0.3], [0.8, 0.5, 0.1, 0.0], [0.7, 0.6, 0.5, 0.4], [0.1, 0.2, 0.3, 0.4]])
    assert [recall_at_k(similarity, k) for k in (1, 2, 3)] == [0.5, 0.75, 1.0]


def test_a_model_with_one_vector_for_everything_recalls_nothing():
    assert recall_at_k(np.ones((10, 10)), 5) == 0.0


def test_auc_equals_the_share_of_ordered_pairs():
    rng = np.random.default_rng(0)
    matched, mismatched = rng.integers(0, 10, 50), rng.integers(0, 8, 70)
    pairs = [(a > b) + (a == b) / 2 for a in matched for b in mismatched]
    assert roc_auc(matched, mismatched) == pytest.approx(np.mean(pairs), abs=1e-12)
    assert roc_auc(np.array([2.0]), np.array([1.0])) == 1.0
    assert roc_auc(np.zeros(3), np.zeros(4)) == 0.5


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(SiglipError, match=r"\[2, 3\]"):
        recall_at_k(np.ones((2, 3)), 1)
    with pytest.raises(SiglipError, match="no NaN"):
        recall_at_k(np.full((3, 3), np.nan), 1)
    with pytest.raises(SiglipError, match="recall@0"):
        recall_at_k(np.eye(3), 0)
    with pytest.raises(SiglipError, match="at least one"):
        roc_auc(np.array([]), np.array([1.0]))
    with pytest.raises(SiglipError, match="NaN"):
        roc_auc(np.array([np.nan]), np.array([1.0]))
