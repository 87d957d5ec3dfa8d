"""The model: parts assembled into one torch module, and its objective.

Shapes: B rows, D features, K code units, S draws of a row. "Scaled" rows are `Scaling`'s, "user's"
rows are not.
"""

from functools import reduce
from operator import add
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from isthmus.data.rows import Selection
from isthmus.data.scaling import Scaling
from isthmus.fitting.importance import weigh
from isthmus.fitting.learner import Learner, Objective, Randomness
from isthmus.fitting.memory import rows_at_once
from isthmus.fitting.start import NoPretraining, Pretraining
from isthmus.parts.corruption import Clean
from isthmus.parts.halves import Around, Halves, Through, around
from isthmus.parts.likelihood import nll_of
from isthmus.parts.networks.layers import exact
from isthmus.parts.networks.network import Network, Stage
from isthmus.parts.passes import Pass, Seen
from isthmus.parts.slots import Code, Corruption, Likelihood, Penalty
from isthmus.parts.variational import repeat_rows


class Parts(NamedTuple):
    """What fills the slots."""

    network: Network
    corruption: Corruption
    code: Code
    likelihood: Likelihood
    penalties: tuple[Penalty, ...]
    pretraining: Pretraining = NoPretraining()

    needs_target: bool = False  # clean rows, or second shots, beside the noisy ones
    n_labels: int = 0  # L: classes that the decoder is told beside the code

    @property
    def starts_as_pca(self) -> bool:
        """Whether the first model is the PCA already."""
        wants = self.network.wants_pca(self.code, self.likelihood)
        return wants and not self.pretraining.trains and not self.n_labels

    @property
    def solved(self) -> bool:
        """Whether nothing can be better on the training rows than that PCA."""
        clean = isinstance(self.corruption, Clean) and not self.penalties
        even = self.likelihood.isotropic
        return self.starts_as_pca and self.network.linear and clean and even

    @property
    def hides(self) -> bool:
        """Whether something keeps a wide code from copying its input."""
        fillings: tuple[Network | Corruption | Code | Pretraining | Penalty, ...]
        fillings = (
            self.network,
            self.corruption,
            self.code,
            self.pretraining,
            *self.penalties,
        )
        return any(filling.hides for filling in fillings)


class Model(Learner):
    """The autoencoder that is trained, saved and exported; its scaling belongs to it."""

    shares: Tensor  # (L,) of the labels among the training rows, where there are any

    def __init__(
        self,
        parts: Parts,
        n_components: int,
        scaling: Scaling,
        halves: Halves,
        memory: nn.Module,
        shape: tuple[int, ...] = (),
        *,
        padded: bool = False,
    ) -> None:
        super().__init__()
        self.parts = parts
        self.n_components = n_components
        self.shape = shape  # of a row; () is flat
        self.padded = padded  # whether NaN in a row stands for nothing
        self.scaling = scaling
        self.encoder = halves.encoder
        self.decoder = halves.decoder
        self.memory = memory  # the code's
        self.spread = parts.likelihood.memory(len(scaling.offset))  # what the likelihood learns
        if parts.n_labels:
            self.register_buffer(
                "shares", torch.full((parts.n_labels,), 1 / parts.n_labels, dtype=torch.float32)
            )

    # What users call; rows in the user's units -------------------------------------------

    def encode(self, x: Tensor) -> Tensor:
        """User's rows (B, D) to their deterministic codes (B, K)."""
        return self.code_of(self.scaling(x))

    def decode(self, z: Tensor) -> Tensor:
        """Codes (B, K), then labels (B, L) if any, to expected rows in the user's units (B, D)."""
        return self._expected(self.decoder(z))

    def reconstruct(self, x: Tensor) -> Tensor:
        """Encode and decode user's rows, (B, D); what is padding stays so."""
        rebuilt = self._expected(self.output_of(self.scaling(x)))
        return torch.where(x.isnan(), x, rebuilt) if self.padded else rebuilt

    def redraw(self, pictures: Tensor) -> Tensor:
        """Rebuild pictures (B, C, h, w) of any size, as networks with skips can, in float32."""
        offset, scale = self.scaling.of_channels(pictures.shape[1])
        output = self.output_of((pictures - offset) / scale)
        mean = self.parts.likelihood.mean(output).view_as(pictures)
        return mean * scale + offset if self.parts.likelihood.location else mean

    def log_likelihood(self, x: Tensor) -> Tensor:
        """Return log p(x | its deterministic code) of user's rows, nats in user's units, (B,)."""
        output = self.output_of(self.scaling(x))
        if self.parts.likelihood.location:
            return -self._nll(output, self.scaling(x)) - self.log_volume(x)
        return -self.parts.likelihood.nll(output, x, self.spread)

    def log_volume(self, x: Tensor) -> Tensor:
        """Return what turns log densities of scaled rows into the user's, nats, () or (B,).

        Nothing, where the likelihood predicts the user's values.
        """
        if not self.parts.likelihood.location:
            return torch.zeros((), dtype=x.dtype, device=x.device)
        if not self.padded:
            return self.scaling.log_volume()
        each = torch.log(self.scaling.scale).expand(self.scaling.offset.shape)
        return (each * ~x.isnan()).sum(1)

    def sample_rows(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """Draw user's rows (B, D) from p(x | codes)."""
        likelihood = self.parts.likelihood
        drawn = likelihood.sample(self.decoder(z), generator, self.spread)
        return self.scaling.inverse(drawn) if likelihood.location else drawn

    # What the loop calls; rows scaled ----------------------------------------------------

    @property
    def noisy(self) -> bool:
        """Whether held-out rows are corrupted, or their codes drawn."""
        corruption = self.parts.corruption
        return corruption.hides or corruption.redraws or self.parts.code.random

    @property
    def bears_copies(self) -> bool:
        """Whether held-out rows come to the same beside copies of themselves."""
        parts = self.parts
        return parts.network.rows_apart and parts.code.bears_copies and not parts.penalties

    @property
    def steep(self) -> bool:
        """Where codes are drawn, or errors go back through many steps."""
        return self.parts.code.random or self.parts.network.sequences

    @property
    def n_draws(self) -> int:
        """S: outputs of a row, at the end of the training."""
        return self.parts.code.n_draws

    def code_of(self, x: Tensor) -> Tensor:
        """Scaled rows (B, D) to their deterministic codes (B, K)."""
        return self._mean(self.head_of(x))

    def head_of(self, x: Tensor) -> Tensor:
        """Scaled rows (B, D) to what their codes are made of, (B, H)."""
        return self._down(x).head

    def output_of(self, x: Tensor) -> Tensor:
        """Scaled rows (B, D) to natural parameters, by way of their codes, (B, O)."""
        head, beside = self._down(x)
        z = self._mean(head)
        if self.parts.n_labels:  # the label under which the row is likeliest
            z = torch.cat([z, self.likeliest(z, x)], 1)
        output: Tensor = self.decoder(z, *beside)
        return output

    def predicted(self, x: Tensor) -> Tensor:
        """Scaled rows (B, D) in the units that the likelihood predicts."""
        likelihood = self.parts.likelihood
        if likelihood.location:
            return x
        # Scaling and back must not leave the domain by a rounding error.
        return self.scaling.inverse(x).clamp(likelihood.low, likelihood.high)

    def nats(self, z: Tensor, predicted: Tensor) -> Tensor:
        """Return -log p(x | codes) of rows as they are predicted (B, D), (B,).

        Where the decoder is told labels, ``p(x | z) = sum_l share_l p(x | z, l)``.
        """
        if not self.parts.n_labels:
            return self._nll(self.decoder(z), predicted)
        return -(self.shares.log() - self.nats_by_label(z, predicted)).logsumexp(1)

    def nats_by_label(self, z: Tensor, predicted: Tensor) -> Tensor:
        """Return -log p(x | codes, label) of rows as they are predicted (B, D), (B, L)."""
        labels = torch.eye(self.parts.n_labels, dtype=z.dtype, device=z.device)
        told = (torch.cat([z, label.expand(z.shape[0], -1)], 1) for label in labels)
        return torch.stack([self._nll(self.decoder(each), predicted) for each in told], 1)

    @torch.no_grad()
    def acquaint(self, rows: Selection, generator: torch.Generator) -> None:
        """Let the likelihood learn what it can of scaled rows, as the model rebuilds them now.

        Of codes that are drawn in training, the draws; of others, the codes.
        """
        code = self.eval().parts.code
        for x, target in rows.batches(rows_at_once(self.n_products)):
            predicted = self.predicted(target[:, : x.shape[1]])
            if code.random and not self.parts.n_labels:
                head, beside = self._down(x)
                z = code.draw(head, self.memory, generator).z
                output = self.decoder(z, *beside)
                predicted = repeat_rows(predicted, len(z) // len(x))
            else:
                output = self.output_of(x)
            self.parts.likelihood.nll(output, predicted, self.spread.train())

    def stages(self) -> list[Stage]:
        """Return the layers that can be trained one after the other; they share the weights."""
        halves = Halves(self.encoder, self.decoder)
        parts = self.parts
        return parts.network.stages(halves, parts.code, self.memory, parts.likelihood)

    def see(self, x: Tensor, generator: torch.Generator) -> Seen:
        """Corrupt scaled rows (B, D); what is padding stays so."""
        seen = self.parts.corruption.see(x, self.scaling, generator, self.shape)
        return Seen(torch.where(x.isnan(), x, seen.rows)) if self.padded else seen

    def forward(
        self,
        x: Tensor,
        target: Tensor,
        randomness: Randomness,
        at: float = 1.0,
        through: Through | None = None,
    ) -> Objective:
        """Return the objective of scaled rows `x` whose clean originals are `target`, (B, D).

        ``at`` is the time of the training, 0 to 1; the weights of the penalties depend on it.
        ``through`` goes another way to what the halves would give.
        """
        encoder, decoder = through or (self._down, self.decoder)
        target, labels = target[:, : x.shape[1]], target[:, x.shape[1] :]
        seen, judged = self.see(x, randomness.corruption)
        target = seen if self.parts.corruption.redraws else target
        head, beside = around(encoder(seen))
        head = head.float()
        with exact(x):
            code = self.parts.code.draw(head, self.memory, randomness.code, at)
        predicted = self.predicted(target)

        def judge(z: Tensor) -> tuple[Tensor, Tensor]:
            """Decode draws, (B S, K), to natural parameters and nats."""
            n_draws = len(z) // len(x)
            told = torch.cat([z, repeat_rows(labels, n_draws)], 1) if self.parts.n_labels else z
            output = decoder(told, *beside).float()
            return output, self._nll(output, repeat_rows(predicted, n_draws), judged)

        repeats = self.training and self._repeats
        code, output, rows, terms = weigh(code, judge, len(x), randomness.code, repeats=repeats)
        halves = Halves(self.encoder, self.decoder)
        passed = Pass(
            x=target,
            seen=seen,
            head=head,
            code=code,
            output=output,
            encode=self.code_of,
            mean=self._mean,
            elementwise=self.parts.code.elementwise,
            nll=lambda outputs: self._judge_alone(outputs, predicted, judged),
        )
        for penalty in self.parts.penalties:
            with exact(x):
                term = penalty.term(halves, passed, randomness.penalty, at)
                terms[penalty.name] = terms.get(penalty.name, 0.0) + term
        if self.parts.code.random and not self.training:  # judged by what `reconstruct` gives
            mean = torch.cat([code.mean, labels], 1) if self.parts.n_labels else code.mean
            output = decoder(mean, *beside).float()
        return Objective(rows, terms, reduce(add, terms.values()), output)

    @property
    def _repeats(self) -> bool:
        """Whether decoding a code again, beside others, gives the same nats."""
        network, likelihood = self.parts.network, self.parts.likelihood
        return network.rows_apart and not (network.hides or likelihood.learns)

    def _down(self, x: Tensor) -> Around:
        """Scaled rows (B, D) to the head, and to what goes around the code."""
        fills = self.padded and not self.parts.network.sequences
        return around(self.encoder(x.nan_to_num(0) if fills else x))

    def likeliest(self, z: Tensor, x: Tensor) -> Tensor:
        """Return the label of scaled rows that is likeliest given their codes, (B, L)."""
        best = (self.shares.log() - self.nats_by_label(z, self.predicted(x))).argmax(1)
        return functional.one_hot(best, self.parts.n_labels).to(z)

    def _expected(self, output: Tensor) -> Tensor:
        """Natural parameters to expected rows in the user's units, (B, D)."""
        mean = self.parts.likelihood.mean(output)
        return self.scaling.inverse(mean) if self.parts.likelihood.location else mean

    def _mean(self, head: Tensor) -> Tensor:
        return self.parts.code.mean(head, self.memory)

    def errors(self, output: Tensor, target: Tensor) -> Tensor:
        """Return each row's squared error, scaled units, summed over features, (B,)."""
        mean = self.parts.likelihood.mean(output)
        scaled = mean if self.parts.likelihood.location else self.scaling(mean)
        target = target[:, : scaled.shape[1]]  # labels may follow
        return self.judged((scaled - target).square()).sum(1)

    def judged(self, values: Tensor) -> Tensor:
        """Return values (B, D) with zeros where a row is padding."""
        return values.nan_to_num(0) if self.padded else values

    def _judge_alone(self, output: Tensor, x: Tensor, judged: Tensor | None) -> Tensor:
        """Return what `_nll` does, of outputs from which the likelihood is not to learn."""
        learning = self.spread.training
        self.spread.eval()
        nats = self._nll(output, x, judged)
        self.spread.train(learning)
        return nats

    def _nll(self, output: Tensor, x: Tensor, judged: Tensor | None = None) -> Tensor:
        """Return the nats of rows as they are predicted, (B,), of what is judged of them."""
        if self.padded and not self.parts.likelihood.learns:
            return nll_of(self.parts.likelihood, output, x.nan_to_num(0), ~x.isnan())
        if judged is not None:
            judged = repeat_rows(judged, len(x) // len(judged))
            share = judged.float().mean(1).clamp(min=1 / x.shape[1])
            return nll_of(self.parts.likelihood, output, x, judged) / share
        return self.parts.likelihood.nll(output, x, self.spread)
