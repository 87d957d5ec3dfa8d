import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import printed_by

from isthmus.data.rows import Rows, Selection, fit_scaling, select
from isthmus.data.scaling import SCALINGS

N, D = 60, 7
each_scaling = pytest.mark.parametrize("name", SCALINGS)


@pytest.fixture(scope="module")
def grey():
    """Return small whole numbers, which every type holds."""
    return np.random.default_rng(0).integers(0, 120, (N, D))


def memory_mapped(X, path, dtype=np.float32):
    np.save(path, X.astype(dtype))
    return np.load(path, mmap_mode="r")


def read_only(X):
    locked = X.astype(np.float32)
    locked.flags.writeable = False
    return locked


def sliced(X, dtype=np.float32):
    wide = np.full((2 * N, 3 * D), -1, dtype)
    wide[::2, 1::3] = X
    return wide[::2, 1::3]


LAYOUTS = {
    "float64": lambda X, _: X.astype(np.float64),
    "float32": lambda X, _: X.astype(np.float32),
    "float16": lambda X, _: X.astype(np.float16),
    "uint8": lambda X, _: X.astype(np.uint8),
    "int8": lambda X, _: X.astype(np.int8),
    "int16": lambda X, _: X.astype(np.int16),
    "uint16": lambda X, _: X.astype(np.uint16),
    "int32": lambda X, _: X.astype(np.int32),
    "int64": lambda X, _: X.astype(np.int64),
    "Fortran order": lambda X, _: np.asfortranarray(X.astype(np.float32)),
    "Fortran order, float64": lambda X, _: np.asfortranarray(X.astype(np.float64)),
    "sliced": lambda X, _: sliced(X),
    "sliced, float64": lambda X, _: sliced(X, np.float64),
    "backwards": lambda X, _: X[::-1].astype(np.float32)[::-1],
    "backwards, uint8": lambda X, _: X[:, ::-1].astype(np.uint8)[:, ::-1],
    "big-endian": lambda X, _: X.astype(">f4"),
    "big-endian, float64": lambda X, _: X.astype(">f8"),
    "big-endian, whole": lambda X, _: X.astype(">i2"),
    "read-only": lambda X, _: read_only(X),
    "memory-mapped": lambda X, path: memory_mapped(X, path / "x.npy"),
    "memory-mapped, float64": lambda X, path: memory_mapped(X, path / "x.npy", np.float64),
    "memory-mapped, uint8": lambda X, path: memory_mapped(X, path / "x.npy", np.uint8),
}


def everything(rows):
    return rows.take(torch.arange(len(rows)))


# Scaled rows -----------------------------------------------------------------------------


@each_scaling
@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_are_the_scaled_rows_whatever_the_array_lies_like(name, layout, grey, tmp_path):
    values = LAYOUTS[layout](grey, tmp_path)
    scaling = fit_scaling(name, values)
    taken = everything(Rows(values, scaling))
    assert taken.dtype == torch.float32
    mean, variance = grey.mean(axis=0), grey.var(axis=0)
    scale = {"none": 1, "isotropic": np.sqrt(variance.mean()), "standard": np.sqrt(variance)}[name]
    expected = (grey - (0 if name == "none" else mean)) / scale
    np.testing.assert_allclose(taken.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_rows_of_truth_values_are_zeros_and_ones():
    values = np.random.default_rng(0).integers(0, 2, (N, D)).astype(bool)
    taken = everything(Rows(values, fit_scaling("none", values)))
    np.testing.assert_array_equal(taken.numpy(), values.astype(np.float32))


def test_rows_do_not_change_the_array(grey):
    values = grey.astype(np.float32)
    before = values.copy()
    rows = Rows(values, fit_scaling("standard", values))
    everything(rows).add_(1)
    np.testing.assert_array_equal(values, before)


def test_rows_know_how_many_and_how_wide_they_are(grey):
    rows = Rows(grey, fit_scaling("none", grey))
    assert (len(rows), rows.n_features) == (N, D)


@pytest.mark.parametrize("name", ["isotropic", "standard"])
def test_rows_of_large_offset_keep_their_digits(name):
    draw = np.random.default_rng(0)
    stamps = 1.7e9 + draw.standard_normal((500, 2))
    exact = stamps - 1.7e9
    spread = exact.std(axis=0) if name == "standard" else np.sqrt(exact.var(axis=0).mean())
    taken = everything(Rows(stamps, fit_scaling(name, stamps)))
    np.testing.assert_allclose(
        taken.numpy(), (exact - exact.mean(axis=0)) / spread, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("name", ["isotropic", "standard"])
@pytest.mark.parametrize("offset", [1e3, 1e5, 1e6])
def test_rows_of_float32_are_scaled_as_if_they_were_float64(name, offset):
    """The values are what they are; the mean that is taken off must not be rounded to them."""
    values = (offset + np.random.default_rng(0).standard_normal((500, 2))).astype(np.float32)
    scaling = fit_scaling(name, values)
    expected = scaling(torch.from_numpy(values.astype(np.float64)))
    taken = everything(Rows(values, scaling)).double()
    torch.testing.assert_close(taken, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.int32, np.uint32, np.int64, np.uint64])
def test_rows_of_whole_numbers_too_large_for_float32_keep_their_digits(dtype):
    values = (1_700_000_000 + np.arange(500)[:, None] * np.array([1, 3])).astype(dtype)
    taken = everything(Rows(values, fit_scaling("standard", values)))
    expected = (values - values.mean(axis=0)) / values.std(axis=0)
    np.testing.assert_allclose(taken.numpy(), expected, rtol=1e-5, atol=1e-6)


# Without a copy --------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["float32", "uint8", "int16", "float16", "read-only"])
def test_rows_lie_where_the_array_lies(layout, grey, tmp_path):
    values = LAYOUTS[layout](grey, tmp_path)
    rows = Rows(values, fit_scaling("standard", values))
    assert rows._storage.data_ptr() == values.ctypes.data


def test_rows_that_are_consecutive_of_a_larger_array_lie_where_it_lies(grey):
    values = grey.astype(np.float32)
    rows = Rows(values[10:40], fit_scaling("standard", values))
    assert rows._storage.data_ptr() == values[10:].ctypes.data
    assert len(rows) == 30


def test_rows_of_a_memory_map_stay_on_the_disk(grey, tmp_path):
    values = memory_mapped(grey, tmp_path / "x.npy")
    rows = Rows(values, fit_scaling("standard", values))
    assert rows._storage.data_ptr() == values.ctypes.data


def test_rows_see_what_is_written_into_the_array_later(grey):
    values = grey.astype(np.float32)
    rows = Rows(values, fit_scaling("none", values))
    values[3, 2] = 1000
    assert rows.take(torch.tensor([3]))[0, 2] == 1000


# Batches ---------------------------------------------------------------------------------


def selection_of(n, noise=False):
    values = np.arange(n, dtype=np.float32)[:, None]
    clean = values + 0.5 if noise else values
    return select(values, clean, fit_scaling("none", values), "cpu")


@settings(deadline=None, database=None)
@given(n=st.integers(1, 300), size=st.integers(1, 310))
def test_batches_hold_every_row_once(n, size):
    batches = [x for x, _ in selection_of(n).batches(size)]
    np.testing.assert_array_equal(torch.cat(batches)[:, 0].numpy(), np.arange(n))


@settings(deadline=None, database=None)
@given(n=st.integers(1, 300), size=st.integers(1, 310))
def test_batches_are_as_few_and_as_equal_as_their_size_allows(n, size):
    lengths = [len(x) for x, _ in selection_of(n).batches(size)]
    alone = size == 2 and n > 1 and n % 2  # the odd row, which goes with a pair
    assert len(lengths) == -(-n // size) - alone
    assert max(lengths) <= size + alone
    assert max(lengths) - min(lengths) <= 1
    assert min(lengths) > 1 or size == 1 or n == 1


def test_batches_follow_the_order_they_are_given():
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    batches = [x for x, _ in selection_of(50).at(order).batches(8)]
    assert torch.equal(torch.cat(batches)[:, 0].long(), order)


def test_batches_pair_each_row_with_its_clean_one():
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    for x, target in selection_of(50, noise=True).at(order).batches(8):
        assert torch.equal(target, x + 0.5)


def test_batches_do_not_take_rows_twice_where_nothing_clean_is_given():
    for x, target in selection_of(50).batches(8):
        assert target is x


def test_selection_of_no_rows_is_empty():
    nothing = selection_of(5).at(torch.empty(0, dtype=torch.long))
    assert nothing.n_rows == 0
    assert sum(len(x) for x, _ in nothing.batches(8)) == 0


def test_selection_selects_all_rows_at_first():
    selection = selection_of(5)
    assert isinstance(selection, Selection)
    assert selection.n_rows == 5
    assert selection.target is selection.rows
    assert selection_of(5, noise=True).target is not selection.rows


def test_looking_for_copies_takes_no_more_memory_the_more_rows_there_are():
    """800 MB of zeros, which the system keeps as one page, are looked through by the portion."""
    code = (
        "import numpy as np\n"
        "from isthmus.data.rows import fit_scaling, select\n"
        "rows = np.zeros((400_000, 500), np.float32)\n"
        "chosen = select(rows, rows, fit_scaling('standard', np.eye(500)), 'cpu')\n"
        "before = peak(); print(len(chosen.copies().firsts), peak() - before)"
    )
    n_different, n_bytes = map(int, printed_by(code).split())
    assert n_different == 1
    assert n_bytes < 200e6


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int16])
def test_order_of_the_bytes_changes_nothing(dtype):
    values = (10 * np.random.default_rng(0).normal(size=(30, 4))).astype(dtype)
    swapped = values.astype(values.dtype.newbyteorder(">"))
    scaling = fit_scaling("standard", values)
    first, second = (Rows(each, scaling).take(torch.arange(30)) for each in (values, swapped))
    assert torch.equal(first, second)
