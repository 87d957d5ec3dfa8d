"""What all tests share."""

import math
import os
from pathlib import Path

# scikit-learn's array-API check skips itself without this, and SciPy reads it on import.
os.environ.setdefault("SCIPY_ARRAY_API", "1")
# The tests run side by side, one on each core: a second thread would only wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# They compare to the bit what is computed here and there; test_accelerator.py asks for more.
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import pytest

from isthmus.fitting.interrupts import HEARD

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def nothing_heard() -> None:
    """Let no interrupt of an earlier test make that of a later one a second one."""
    HEARD.last = -math.inf


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data beside the checkout; a user's clone has none."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"there is no folder {SHARED_DATA} with real data")
    return SHARED_DATA
