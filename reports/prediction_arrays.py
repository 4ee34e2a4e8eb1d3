"""Rows of the `predictions` table as arrays. Shapes: N = rows, L = labels."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def has_label(predictions: pd.DataFrame, num_labels: int) -> NDArray[np.bool_]:
    """(N, L). Rows of earlier versions have a clip's first label alone."""
    found = np.zeros((len(predictions), num_labels), dtype=np.bool_)
    for line, (first, labels) in enumerate(zip(predictions["label"], predictions["labels"], strict=True)):
        found[line, [first] if labels is None else [first, *labels]] = True
    return found


def probabilities(predictions: pd.DataFrame) -> NDArray[np.float64]:
    """(N, L)."""
    return np.stack(predictions["probabilities"].tolist()).astype(np.float64)
