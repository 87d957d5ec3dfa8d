"""Training a restricted Boltzmann machine by contrast: rows pull down, samples push up.

Shapes: N rows, B rows of a batch, C chains, D visible units, K hidden units.
"""

import contextlib
import copy
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from isthmus.data.rows import Selection
from isthmus.fitting.fused import FusedSGD
from isthmus.fitting.interrupts import ended_by_interrupt
from isthmus.fitting.keeping import KEEPS_NOTHING, Keeper
from isthmus.fitting.observers import NOTHING_HELD, Epoch, History, Observer
from isthmus.fitting.plan import threads_for, uses_bfloat16
from isthmus.fitting.progress import Lap, Progress
from isthmus.fitting.schedules import Constant, Schedule
from isthmus.fitting.streams import Streams
from isthmus.parts.boltzmann import RestrictedBoltzmann

JUDGED = 500  # rows, of which the reconstruction error is reported
# How much of a larger error sampling makes: times the error at the start, or before a portion of
# rows, and squared units for each visible unit.
WORSE, LEAP, SLIGHT = 1.1, 2.0, 0.01


class ContrastiveOptions(NamedTuple):
    """How a restricted Boltzmann machine is trained."""

    n_epochs: int = 10
    batch_size: int = 100
    learning_rate: float = 0.01
    schedule: Schedule = Constant()
    n_steps: int = 1  # of Gibbs sampling between two updates: the k of CD-k
    persistent: bool = True  # chains that go on from update to update; else from the batch
    n_chains: int = 100  # C, where they are persistent
    offset_rate: float = 0.01  # share of a batch's means in the sliding offsets; 0: they stay
    momentum: float = 0.5
    final_momentum: float = 0.9
    momentum_epochs: int = 5  # epochs before the final momentum
    weight_decay: float = 0.0  # times the weights, subtracted from their gradient
    precision: str = "auto"  # "auto", "float32" or "bfloat16"
    device: str = "cpu"
    keeper: Keeper = KEEPS_NOTHING


class Trained(NamedTuple):
    """What a training came to."""

    history: list[dict[str, Any]]  # a record per epoch
    n_epochs: int  # that made the machine
    reason: str  # "limit", "diverged" or "interrupted"


def train_rbm(
    rbm: RestrictedBoltzmann,
    rows: Selection,
    options: ContrastiveOptions,
    streams: Streams,
    observers: Sequence[Observer] = (),
) -> Trained:
    """Fit `rbm`, in place, to the selected rows; every row is seen once an epoch.

    Ended by the user or by numbers that are not finite, it is left as after its last whole
    epoch; likewise where it ends worse than it began, as after the last epoch that was not. Each
    record holds the mean squared error of ``mean_visible(mean_hidden(v))``, summed
    over units, of up to 500 rows, in the units that the machine sees.
    """
    contrast = Contrast(rbm, options, streams)
    history = History("rbm", observers)
    run = contrast.progress()
    stage = options.keeper.stage(run, [history])
    contrast.go_on(run)
    if not run.weights:
        run.keep_weights()
        run.start = NOTHING_HELD._replace(loss=_bearable(rbm, rows, WORSE))
    reason = "interrupted"
    with _threads(options, rbm), ended_by_interrupt():
        while True:
            if run.reason is None and run.lap is None and run.epoch >= options.n_epochs:
                run.reason = "limit" if run.best_epoch == run.epoch else "diverged"
            if run.reason:
                break
            stage.step()
            rate = contrast.run_epoch(rows, run.begin_epoch(), stage.step)
            run.lap = None
            error = reconstruction_error(rbm, rows)
            if not math.isfinite(error):
                run.reason = "diverged"
                continue
            if error <= run.start.loss:
                run.keep_weights()
            terms, most = {"reconstruction_error": error}, options.n_epochs
            stage.tell(Epoch(run.epoch, most, rate, terms, NOTHING_HELD, True, run.seconds))
        stage.end()
        reason = run.reason
    if reason == "interrupted":
        options.keeper.give_up()
    rbm.load_state_dict(run.weights)
    return Trained(history.records, run.best_epoch, reason)


class Contrast:
    """A machine in training together with its chains, its velocities and its streams.

    ``step = rate * (<(v - mu)(h - lambda)^T>_rows - <(v - mu)(h - lambda)^T>_samples)``

    Samples come from `n_steps` steps of Gibbs sampling, from the batch (CD, Hinton 2002) or from
    where the chains stood (PCD, Tieleman 2008). Offsets follow the means of the rows, and the
    biases with them (Melchior, Fischer & Wiskott 2016, algorithm 1).
    """

    def __init__(
        self, rbm: RestrictedBoltzmann, options: ContrastiveOptions, streams: Streams
    ) -> None:
        self.rbm = rbm
        self.n_epochs = 0
        self._order = streams.generator("order")
        self._draws = streams.generator("gibbs", rbm.weight.device)
        self._ascent = _ascent(rbm)
        self._memory: dict[str, Tensor] = {}
        self.follow(options)

    def follow(self, options: ContrastiveOptions) -> None:
        """Go by these options from now on; as many chains as there are go on."""
        rbm = self.rbm
        reduced = uses_bfloat16(options, rbm.weight.numel())
        self.options = options
        self._quick = rbm.rounded(torch.bfloat16 if reduced else rbm.weight.dtype)
        self._room = _Room(rbm, options, self._quick.weight.dtype)
        self._ascent.param_groups[0]["weight_decay"] = options.weight_decay
        if len(self._memory.get("chains", ())) != options.n_chains:
            # Chains begin as if there were no weights.
            bias = rbm.visible_bias.expand(options.n_chains, -1)
            v = rbm.visible.sample(bias, self._draws)
            self._memory["chains"] = rbm.sample_hidden(v, self._draws)

    @property
    def chains(self) -> Tensor:
        """Hidden states (C, K) from which PCD goes on."""
        return self._memory["chains"]

    def progress(self) -> Progress:
        """Return where the training stands, as its keeper asks for it."""
        return Progress(self.rbm, self._ascent, (self._order, self._draws), self._memory)

    def go_on(self, run: Progress) -> None:
        """Follow a training that was taken to where an earlier process left it."""
        self._quick.weight.copy_(self.rbm.weight)
        self.n_epochs = run.epoch - (run.lap is not None)

    @torch.no_grad()
    def run_epoch(
        self, rows: Selection, lap: Lap | None = None, after_step: Callable[[], None] = lambda: None
    ) -> float:
        """Take one step per batch, the rows in a new order; return the last learning rate.

        The steps of `lap`, which were taken before, are left out.
        """
        options, lap = self.options, lap or Lap(self._order.get_state())
        self._order.set_state(lap.order)
        order = torch.randperm(rows.n_rows, generator=self._order).to(rows.index.device)
        shuffled = rows.at(rows.index[order])
        early = self.n_epochs < options.momentum_epochs
        n_batches = rows.n_batches(options.batch_size)
        for group in self._ascent.param_groups:
            group["momentum"] = options.momentum if early else options.final_momentum
        for v, _ in shuffled.batches(options.batch_size, lap.n_steps):
            at = (self.n_epochs + (lap.n_steps + 0.5) / n_batches) / options.n_epochs
            rate = options.learning_rate * options.schedule.factor(at)
            for group in self._ascent.param_groups:
                group["lr"] = rate
            rbm = self.rbm
            rbm.weight.grad, rbm.visible_bias.grad, rbm.hidden_bias.grad = self.gradients(v)
            self._ascent.step()
            self._quick.weight.copy_(rbm.weight)
            lap.n_steps += 1
            after_step()
        self.n_epochs += 1
        return float(self._ascent.param_groups[0]["lr"])

    def gradients(self, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Estimate the log-likelihood's slope in W, b and c from rows (B, D); move the offsets."""
        rbm, room = self._quick, self._room
        all_v, field = self._contrasted(v)
        all_h = rbm.hidden.mean(field)
        # Rows count 1 / B, samples -1 / C: one product, rounded only once.
        n = len(v)
        shares = v.new_zeros(2, len(all_v))
        shares[0, :n], shares[1, n:] = 1 / n, -1 / (len(all_v) - n)
        means_v, means_h = shares @ all_v, shares @ all_h
        self._recentre(means_v[0], means_h[0])
        left, right = room.left[: len(all_v)], room.right[: len(all_v)]
        torch.mul(all_h.sub_(rbm.hidden_offset), shares.sum(0)[:, None], out=left)
        torch.sub(all_v, rbm.visible_offset, out=right)
        torch.mm(left.T, right, out=room.product)
        return room.slope.copy_(room.product), means_v.sum(0), means_h.sum(0)

    def _contrasted(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """Return rows and below them samples of the machine, (B + C, D), and their hidden fields.

        Samples of persistent chains need no field of the rows, so that all are one product.
        """
        rbm, draws, n = self._quick, self._draws, len(v)
        if not self.options.persistent:
            above = rbm.hidden_field(v)
            all_v = self._above_samples(v, rbm.hidden.sample(above, draws))
            return all_v, torch.cat([above, rbm.hidden_field(all_v[n:])])
        all_v = self._above_samples(v, self.chains)
        field = rbm.hidden_field(all_v)
        self._memory["chains"] = rbm.hidden.sample(field[n:], draws)
        return all_v, field

    def _above_samples(self, v: Tensor, h: Tensor) -> Tensor:
        """Return rows and below them what Gibbs sampling makes of hidden states, (B + C, D)."""
        rbm, draws = self._quick, self._draws
        sampled = rbm.gibbs(rbm.sample_visible(h, draws), self.options.n_steps - 1, draws)
        return torch.cat([v, sampled], out=self._room.v[: len(v) + len(h)])

    def _recentre(self, mean_v: Tensor, mean_h: Tensor) -> None:
        """Move the offsets towards the means of a batch."""
        rbm, rate = self.rbm, self.options.offset_rate
        if rate:
            rbm.recentre(
                torch.lerp(rbm.visible_offset, mean_v, rate),
                torch.lerp(rbm.hidden_offset, mean_h, rate),
            )


def _ascent(rbm: RestrictedBoltzmann) -> FusedSGD:
    """Return what climbs with momentum; only the weights, its first group, decay."""
    biases = (rbm.visible_bias, rbm.hidden_bias)
    return FusedSGD([rbm.weight], 1.0, momentum=0.5, maximize=True, undecayed=biases)


def _threads(
    options: ContrastiveOptions, rbm: RestrictedBoltzmann
) -> contextlib.AbstractContextManager[None]:
    # Up; down and up again for each step of Gibbs sampling; the slope, of rows and of samples.
    return threads_for(options, rbm.weight.numel(), passes=3 + 2 * options.n_steps)


class _Room:
    """Memory kept from step to step: new memory of this size costs as much as the products."""

    def __init__(
        self, rbm: RestrictedBoltzmann, options: ContrastiveOptions, dtype: torch.dtype
    ) -> None:
        n_hidden, n_visible = rbm.weight.shape
        most = options.batch_size + 1  # an odd row joins a pair
        n_rows = most + max(most, options.n_chains)
        self.v = rbm.weight.new_empty(n_rows, n_visible)
        self.left = rbm.weight.new_empty(n_rows, n_hidden, dtype=dtype)
        self.right = torch.empty_like(self.v, dtype=dtype)
        self.product = torch.empty_like(rbm.weight, dtype=dtype)
        self.slope = self.product if dtype is rbm.weight.dtype else torch.empty_like(rbm.weight)


class Session:
    """A machine in training in the user's own portions of rows, a pass at a time.

    A pass leaves it as it is and makes another, so that a pass that was interrupted, at whatever
    point, never was.
    """

    def __init__(
        self,
        rbm: RestrictedBoltzmann,
        options: ContrastiveOptions,
        streams: Streams,
        epoch: int = 0,
        history: Sequence[dict[str, Any]] = (),
    ) -> None:
        self.epoch = epoch  # that made the machine
        self.history = list(history)
        self._contrast = Contrast(rbm, options._replace(schedule=Constant()), streams)

    @property
    def rbm(self) -> RestrictedBoltzmann:
        """The machine as the last pass left it."""
        return self._contrast.rbm

    def serves(self, options: ContrastiveOptions) -> bool:
        """Whether the machine is where the options want it."""
        return self._contrast.options.device == options.device

    def run(self, rows: Selection, options: ContrastiveOptions) -> "Session | None":
        """Pass once over the rows, at a rate that does not move; None if the error leaps."""
        began, after = time.perf_counter(), copy.copy(self)
        after._contrast = contrast = copy.deepcopy(self._contrast)
        contrast.follow(options._replace(schedule=Constant()))
        most = _bearable(after.rbm, rows, LEAP)
        with _threads(contrast.options, after.rbm):
            rate = contrast.run_epoch(rows)
        error = reconstruction_error(after.rbm, rows)
        if not error <= most:  # NaN is not, either
            return None
        after.epoch += 1
        record = {
            "stage": "partial fit",
            "epoch": after.epoch,
            "reconstruction_error": error,
            "learning_rate": rate,
            "seconds": time.perf_counter() - began,
        }
        after.history = [*self.history, record]
        return after


@torch.no_grad()
def reconstruction_error(rbm: RestrictedBoltzmann, rows: Selection) -> float:
    """Return the mean squared error of rows that lie evenly over the selection, at most 500."""
    stride = -(-rows.n_rows // JUDGED)
    v = rows.rows.take(rows.index[::stride])
    rebuilt = rbm.mean_visible(rbm.mean_hidden(v))
    return float((v - rebuilt).square().sum(1).mean())


def _bearable(rbm: RestrictedBoltzmann, rows: Selection, times: float) -> float:
    """Return the error up to which a machine is no worse than it is now."""
    return times * reconstruction_error(rbm, rows) + SLIGHT * rows.rows.n_features
