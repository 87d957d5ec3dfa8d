"""Codes: which units stay, what is learned for use, and what gradients see."""

import numpy as np
import pytest
import torch

from isthmus import Autoencoder, load
from isthmus.errors import ParameterError
from isthmus.parts import BatchTopK, Code, Plain, TopK, WinnerTakeAll

B, K = 12, 10


def heads(n=B, seed=0, width=K):
    return torch.randn(n, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def drawn(code, head, memory=None):
    memory = memory or code.memory(head.shape[1])
    return code.draw(head, memory, torch.Generator())


small = pytest.mark.parametrize(
    "code",
    [Code.of(name if "topk" not in name else f"{name}(k=3)") for name in Code.kinds],
    ids=str,
)


@small
def test_code_keeps_to_its_range_and_its_facts(code):
    head, memory = heads(width=K * code.head_per_unit), code.memory(K)
    for z in (drawn(code, head, memory).z, code.mean(head, memory)):
        assert z.shape == (B, K)
        assert code.low <= z.min() <= z.max() <= code.high
    if isinstance(code, Plain):
        assert torch.equal(drawn(code, head).z, head)
    if code.elementwise:
        other = head.clone()
        other[:, 1:] = heads(seed=1)[:, 1:]
        assert torch.equal(code.mean(head, memory)[:, 0], code.mean(other, memory)[:, 0])


@small
def test_code_in_use_depends_on_no_other_row(code):
    memory = code.memory(K)
    width = K * code.head_per_unit
    for seed in range(5):
        drawn(code, heads(seed=seed, width=width), memory)
    memory.eval()
    last = heads(seed=9, width=width)
    whole = code.mean(last, memory)
    alone = torch.cat([code.mean(row[None], memory) for row in last])
    torch.testing.assert_close(whole, alone, rtol=1e-14, atol=0)


@pytest.mark.parametrize("k", [1, 3, K])
def test_topk_keeps_the_k_largest_of_each_row(k):
    head = heads()
    z = drawn(TopK(k), head).z.numpy()
    for row, kept in zip(head.numpy(), z, strict=True):
        largest = np.sort(row)[::-1][:k]
        np.testing.assert_array_equal(np.sort(kept[kept != 0])[::-1], largest)
        np.testing.assert_array_equal(kept[kept != 0], row[kept != 0])


def test_topk_of_even_heads_keeps_k():
    assert (drawn(TopK(3), torch.ones(2, K)).z != 0).sum(1).tolist() == [3, 3]


@pytest.mark.parametrize("code", [TopK(K), BatchTopK(K)], ids=str)
def test_topk_of_all_units_is_the_plain_code(code):
    assert torch.equal(drawn(code, heads()).z, heads())
    X = np.random.default_rng(0).standard_normal((60, 5))
    options = {"hidden": (6,), "network": "dense(linear_path=none)", "random_state": 0}
    models = [
        Autoencoder(K, code=one, max_epochs=3, corruption="gaussian", **options).fit(X)
        for one in (code, Plain())
    ]
    first, second = (model.model_.state_dict() for model in models)
    for name, weight in second.items():
        assert torch.equal(weight, first[name]), name


def test_topk_in_use_keeps_alpha_times_k():
    z = TopK(2, alpha=1.5).mean(heads(), TopK(2).memory(K))
    assert (z != 0).sum(1).tolist() == [3] * B
    assert (TopK(8, alpha=5).mean(heads(), TopK(8).memory(K)) == heads()).all()


def test_batch_topk_keeps_b_times_k_of_the_batch():
    head = heads()
    z = drawn(BatchTopK(3), head).z
    kept = np.sort(head.numpy().ravel())[::-1][: 3 * B]
    np.testing.assert_array_equal(np.sort(z[z != 0].numpy())[::-1], kept)
    assert len(set((z != 0).sum(1).tolist())) > 1  # rows share


def test_batch_topk_in_use_keeps_k_on_average():
    code, memory = BatchTopK(3), BatchTopK(3).memory(K)
    for seed in range(300):
        drawn(code, heads(seed=seed), memory)
    in_use = code.mean(heads(5000, seed=999), memory)
    # The least of what a batch keeps lies half a gap above the threshold of the population.
    assert (in_use != 0).sum(1).double().mean().item() == pytest.approx(3, rel=0.03)


def test_thresholds_are_the_average_of_the_first_batches():
    code, memory = BatchTopK(3), BatchTopK(3).memory(K)
    least = []
    for seed in range(20):
        z = drawn(code, heads(seed=seed), memory).z
        least.append(z[z != 0].min().item())
    assert memory.values.item() == pytest.approx(np.mean(least), rel=1e-5)


@pytest.mark.parametrize("code", [BatchTopK(3), WinnerTakeAll()], ids=str)
def test_thresholds_are_learned_in_training_only(code):
    memory = code.memory(K).eval()
    drawn(code, heads(), memory)
    assert memory.n_batches == 0
    assert (memory.values == 0).all()


@pytest.mark.parametrize("fraction", [0.01, 0.25, 1.0])
def test_winner_take_all_lets_each_unit_win_its_share(fraction):
    head = heads()
    z = drawn(WinnerTakeAll(fraction), head).z.numpy()
    n = max(1, round(fraction * B))
    for unit, kept in zip(np.maximum(head.numpy(), 0).T, z.T, strict=True):
        np.testing.assert_array_equal(
            np.sort(kept[kept > 0]), np.sort(np.sort(unit)[::-1][:n][np.sort(unit)[::-1][:n] > 0])
        )


def test_winner_take_all_in_use_wins_about_its_share_or_all():
    code, memory = WinnerTakeAll(0.25), WinnerTakeAll().memory(K)
    for seed in range(300):
        drawn(code, heads(100, seed=seed), memory)
    new = heads(5000, seed=999)
    shares = (code.mean(new, memory) != 0).double().mean(0)
    assert shares.numpy() == pytest.approx(np.full(K, 0.25), abs=0.02)
    assert torch.equal(WinnerTakeAll(0.25, "rectified").mean(new, memory), torch.relu(new))


@pytest.mark.parametrize("code", [TopK(3), BatchTopK(3), WinnerTakeAll(0.25)], ids=str)
def test_gradients_reach_what_is_kept_and_nothing_else(code):
    head = heads().requires_grad_()
    z = drawn(code, head).z
    z.sum().backward()
    assert torch.equal(head.grad, (z != 0).to(head))


@pytest.mark.parametrize("code", ["batch_topk(k=2)", "winner_take_all(fraction=0.2)"])
def test_what_a_code_learned_is_saved(code, tmp_path):
    X = np.random.default_rng(0).standard_normal((60, 5))
    model = Autoencoder(6, code=code, max_epochs=3, random_state=0).fit(X)
    assert (model.model_.memory.values != 0).any()
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").transform(X), model.transform(X))


@pytest.mark.parametrize("code", [TopK(9), BatchTopK(9)], ids=str)
def test_fewer_units_than_are_kept_are_refused(code):
    with pytest.raises(ParameterError) as error:
        code.memory(8)
    assert str(error.value) == (
        f"code={str(code)!r} keeps 9 units, and n_components=8 is fewer: lower k, or raise "
        f"n_components."
    )


def test_batch_that_keeps_nothing_teaches_batch_topk_nothing():
    code = BatchTopK(2)
    memory = code.memory(K)
    drawn(code, torch.zeros(4, K), memory)
    assert memory.values == 0
    assert memory.n_batches == 0
    drawn(code, heads(), memory)
    assert memory.values.isfinite()
    assert memory.n_batches == 1


@pytest.mark.parametrize("name", ["topk(k=3)", "batch_topk(k=3)", "winner_take_all", "rectified"])
def test_codes_that_are_drawn_near_others_are_projected_to_possible_ones(name):
    code = Code.of(name)
    memory = code.memory(K)
    drawn(code, heads(), memory)
    z = code.project(torch.rand(20, K) - (name == "rectified") / 2, memory.eval())
    assert torch.equal(code.mean(z, memory), z)
    assert (z == 0).any()
