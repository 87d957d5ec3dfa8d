"""Parts of one's own that answer in the wrong shape are refused by name, before the training."""

import re

import numpy as np
import pytest

from isthmus import Autoencoder, VariationalAutoencoder
from isthmus.errors import ParameterError
from isthmus.parts import Code, Corruption, Drawn, Likelihood, Normal, Nothing, part

ROWS = np.random.default_rng(0).normal(size=(20, 6))
SLOTS = (Code, Corruption, Likelihood)


@pytest.fixture(autouse=True)
def _no_new_parts():
    before = [(slot, dict(slot.kinds)) for slot in SLOTS]
    yield
    for slot, kinds in before:
        slot.kinds.clear()
        slot.kinds.update(kinds)


def odd(slot, **methods):
    """Declare a part like a plain one of its slot, but for some methods."""
    plain = {
        Corruption: {"hides": False, "corrupt": lambda self, x, *rest: x},
        Code: {
            "memory": lambda self, n_components: Nothing(),
            "mean": lambda self, head, memory: head,
            "draw": lambda self, head, memory, generator, at=1.0: Drawn(head, head, None),
        },
        Likelihood: {
            "location": True,
            "nll": lambda self, output, x, memory=None: (output - x).square().sum(1),
            "mean": lambda self, output: output,
            "sample": lambda self, output, generator, memory=None: output,
        },
    }[slot]
    return part("odd")(type("Odd", (slot,), {**plain, **methods}))


def fit(kind):
    given = {kind.slot: "odd", "hidden": (4,), "max_epochs": 2, "random_state": 0}
    return Autoencoder(3, **given).fit(ROWS)


@pytest.mark.parametrize("slot", SLOTS)
def test_part_that_writes_what_its_slot_asks_for_is_trained(slot):
    assert fit(odd(slot)).transform(ROWS).shape == (20, 3)


@pytest.mark.parametrize(
    ("slot", "methods", "said"),
    [
        (
            Corruption,
            {"corrupt": lambda self, x, *rest: x[:, :3]},
            "noisy rows of corruption 'odd' should be a tensor of shape (2, 6), that of the rows "
            "without noise; got a tensor of shape (2, 3).",
        ),
        (
            Corruption,
            {"corrupt": lambda self, x, *rest: x.numpy()},
            "noisy rows of corruption 'odd' should be a tensor of shape (2, 6), that of the rows "
            "without noise; got a value of type ndarray.",
        ),
        (
            Corruption,
            {"see": lambda self, x, *rest: x},
            "see of corruption 'odd' should be a Seen(rows, judged); got a tensor of shape (2, 6).",
        ),
        (
            Code,
            {"mean": lambda self, head, memory: head[:, :1]},
            "mean of code 'odd' should be a tensor of shape (2, 3), 3 numbers for each of 2 rows; "
            "got a tensor of shape (2, 1).",
        ),
        (
            Code,
            {"draw": lambda self, head, *rest: head},
            "draw of code 'odd' should be a Drawn(z, mean, divergence, log_q_weight); got a tensor "
            "of shape (2, 3).",
        ),
        (
            Code,
            {"draw": lambda self, head, *rest: Drawn(head[:, :2], head, None)},
            "z of code 'odd' should be a tensor of shape (2, 3), 3 numbers for each draw; got a "
            "tensor of shape (2, 2).",
        ),
        (
            Code,
            {"draw": lambda self, head, *rest: Drawn(head, head[:, :2], None)},
            "drawn mean of code 'odd' should be a tensor of shape (2, 3), 3 numbers for "
            "each of 2 rows; got a tensor of shape (2, 2).",
        ),
        (
            Code,
            {"draw": lambda self, head, *rest: Drawn(head, head, head.square().sum())},
            "divergence of code 'odd' should be a tensor of shape (2,), nats of each draw; got a "
            "tensor of shape ().",
        ),
        (
            Likelihood,
            {"nll": lambda self, output, x, memory=None: (output - x).square()},
            "nll of likelihood 'odd' should be a tensor of shape (2,), summed over the features of "
            "each row; got a tensor of shape (2, 6).",
        ),
        (
            Likelihood,
            {"nll": lambda self, output, x, memory=None: None},
            "nll of likelihood 'odd' should be a tensor of shape (2,), summed over the features of "
            "each row; got None.",
        ),
        (
            Likelihood,
            {"mean": lambda self, output: output[:, :1]},
            "mean of likelihood 'odd' should be a tensor of shape (2, 6), that of the rows; got a "
            "tensor of shape (2, 1).",
        ),
        (
            Likelihood,
            {"sample": lambda self, output, generator, memory=None: output[0]},
            "sample of likelihood 'odd' should be a tensor of shape (2, 6), that of the rows; got "
            "a tensor of shape (6,).",
        ),
    ],
)
def test_part_that_answers_in_another_shape_is_refused(slot, methods, said):
    kind = odd(slot, **methods)
    with pytest.raises(ParameterError, match=f"^{re.escape(said)}$"):
        fit(kind)


def test_trial_draws_from_no_stream_of_the_fit(monkeypatch):
    given = {"max_epochs": 2, "random_state": 0, "likelihood": "normal(std=learned)"}
    tried = VariationalAutoencoder(2, **given).fit(ROWS)
    monkeypatch.setattr("isthmus.fitting.assembly.try_parts", lambda model: None)
    untried = VariationalAutoencoder(2, **given).fit(ROWS)
    np.testing.assert_array_equal(tried.transform(ROWS), untried.transform(ROWS))
    first, second = (
        [{**record, "seconds": 0} for record in model.history_] for model in (tried, untried)
    )
    assert first == second


def test_trial_teaches_no_memory():
    taught = []

    def nll(self, output, x, memory=None):
        taught.append(memory.training)
        return Normal().nll(output, x)

    fit(odd(Likelihood, nll=nll))
    assert taught[0] is False
    assert any(taught)
