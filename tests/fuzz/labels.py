"""What users hand over as labels, beside the whole numbers that they stand for."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import scipy.sparse as sp
import torch

REFUSED = None
PLAIN = np.tile([0, 1, 2], 4)
KNOWN = np.where(np.arange(12) < 9, PLAIN, -1)  # the last three have none
NAMES = np.array(["ant", "bee", "cat"])[PLAIN]


class Labels(NamedTuple):
    """Labels of twelve rows, and the plain whole numbers of their classes."""

    value: Any
    plain: np.ndarray | None


def unknown(values: Any, nothing: Any) -> np.ndarray:
    return np.array([*values[:9], *[nothing] * 3], dtype=object)


LABELS = {
    "whole numbers": Labels(PLAIN, PLAIN),
    "bytes of numbers": Labels(PLAIN.astype(np.int8), PLAIN),
    "other end first": Labels(PLAIN.astype(">i4"), PLAIN),
    "whole floats": Labels(PLAIN.astype(np.float16), PLAIN),
    "far apart": Labels(PLAIN * 2**60, PLAIN),
    "truth values": Labels(PLAIN > 0, (PLAIN > 0).astype(int)),
    "words": Labels(NAMES, PLAIN),
    "words as objects": Labels(NAMES.astype(object), PLAIN),
    "list": Labels(PLAIN.tolist(), PLAIN),
    "upside down": Labels(PLAIN[::-1].copy()[::-1], PLAIN),
    "series": Labels(pd.Series(PLAIN), PLAIN),
    "categories": Labels(pd.Series(NAMES).astype("category"), PLAIN),
    "frame": Labels(pd.DataFrame({"y": PLAIN}), PLAIN),
    "polars": Labels(pl.Series(NAMES), PLAIN),
    "tensor": Labels(torch.from_numpy(PLAIN), PLAIN),
    "masked nowhere": Labels(np.ma.masked_array(PLAIN), PLAIN),
    "partly -1": Labels(KNOWN, KNOWN),
    "partly NaN": Labels(np.where(KNOWN < 0, np.nan, KNOWN), KNOWN),
    "partly None": Labels(unknown(NAMES, None), KNOWN),
    "partly NA": Labels(pd.Series(PLAIN).astype("Int64").where(KNOWN >= 0), KNOWN),
    "partly null": Labels(pl.Series(unknown(NAMES, None).tolist()), KNOWN),
    "partly masked": Labels(np.ma.masked_array(PLAIN, KNOWN < 0), KNOWN),
    "words partly masked": Labels(np.ma.masked_array(NAMES, KNOWN < 0), KNOWN),
    "enormous": Labels([10**400] * 6 + [1] * 6, np.repeat([1, 0], 6)),
    "nothing": Labels(None, REFUSED),
    "too few": Labels(PLAIN[:-1], REFUSED),
    "one class": Labels(np.ones(12), REFUSED),
    "no label": Labels(np.full(12, -1), REFUSED),
    "fractions": Labels(PLAIN / 2, REFUSED),
    "infinity": Labels(np.where(PLAIN, np.inf, 1.0), REFUSED),
    "bytes": Labels(NAMES.astype(bytes), REFUSED),
    "dates": Labels(PLAIN.astype("M8[D]"), REFUSED),
    "complex": Labels(PLAIN + 1j, REFUSED),
    "words and numbers": Labels(unknown(NAMES, 3), REFUSED),
    "lists": Labels(unknown([[]] * 12, []), REFUSED),
    "several columns": Labels(np.zeros((12, 2)), REFUSED),
    "sparse": Labels(sp.csr_array(PLAIN[:, None]), REFUSED),
    "scalar": Labels(3, REFUSED),
    "text": Labels("y", REFUSED),
    "dictionary": Labels({"y": 1}, REFUSED),
    "generator": Labels((label for label in PLAIN), REFUSED),
    "structured": Labels(np.zeros(12, [("a", "i4")]), REFUSED),
}
