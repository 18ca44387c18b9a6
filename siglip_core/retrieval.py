"""Measures how well embeddings find their match: recall@k and the area under the ROC curve. Uses numpy only."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from siglip_core.errors import SiglipError


def recall_at_k(similarity_NN: NDArray[Any], k: int) -> float:
    """Share of queries (rows) whose own item (the column of the same number) is among the k most similar, 0 to 1.

    Ties count against the own item, so a model that gives everything the same vector has a recall of 0.

    Raises:
        SiglipError: the matrix is not square, is empty or contains NaN, or k is below 1.
    """
    similarity_NN = np.asarray(similarity_NN)
    if similarity_NN.ndim != 2 or similarity_NN.shape[0] != similarity_NN.shape[1] or similarity_NN.size == 0:
        raise SiglipError(f"similarities must be [N, N] with N >= 1, not {list(similarity_NN.shape)}")
    if k < 1 or np.isnan(similarity_NN).any():
        raise SiglipError(f"recall@{k} needs k >= 1 and no NaN among the similarities")
    rank_N = (similarity_NN >= similarity_NN.diagonal()[:, None]).sum(axis=1)
    return float((rank_N <= k).mean())


def roc_auc(matched_N: NDArray[Any], mismatched_M: NDArray[Any]) -> float:
    """Probability that a matched pair scores above a mismatched one, 0 to 1. Equal scores count half.

    Raises SiglipError if either array is empty or contains NaN.
    """
    matched_N, mismatched_M = np.ravel(matched_N), np.sort(np.ravel(mismatched_M))
    if not matched_N.size or not mismatched_M.size or np.isnan(matched_N).any() or np.isnan(mismatched_M).any():
        raise SiglipError("ROC AUC needs at least one matched and one mismatched score, none of them NaN")
    below_N = np.searchsorted(mismatched_M, matched_N, side="left")
    up_to_N = np.searchsorted(mismatched_M, matched_N, side="right")
    return float((below_N + up_to_N).mean() / 2 / mismatched_M.size)
