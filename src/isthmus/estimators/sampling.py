"""New samples from a fitted autoencoder, and ways between and around the ones there are.

Shapes: N rows, D features, K code units, M kept codes.
"""

import copy
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from isthmus.data.rows import Selection
from isthmus.errors import DataError, ParameterError, did_you_mean
from isthmus.estimators import inputs
from isthmus.estimators.arrays import refusing, unwrapped
from isthmus.estimators.conditions import drawn_labels, told
from isthmus.estimators.densities import DENSITIES
from isthmus.estimators.inputs import Floats
from isthmus.estimators.using import apply
from isthmus.fitting.chains import gibbs, walkback
from isthmus.fitting.memory import halving, rows_at_once
from isthmus.fitting.model import Model
from isthmus.fitting.streams import RandomState, Streams

MOST_CODES, MOST_NUMBERS = 10_000, 500_000  # that are kept
SHARE = 0.95  # of the kept codes, between whose ends a traversal goes

Method = Literal["auto", "prior", "gaussian", "mixture", "kde", "walkback", "gibbs"]


class Sampling:
    """The methods of a fitted autoencoder that make new samples.

    Attributes
    ----------
    codes_ : ndarray (M, K), float32
        Codes of training rows, 10,000 at the most: where codes lie.
    """

    model_: Model
    codes_: Floats
    classes_: Any  # of a conditional model
    _given_shape: tuple[int, ...]
    _reading: inputs.Reading
    inverse_transform: Callable[..., Floats]

    def sample(
        self,
        n_samples: int = 1,
        method: Method = "auto",
        *,
        y: Any = None,
        n_steps: int = 100,
        expected: bool = True,
        return_labels: bool = False,
        random_state: RandomState = None,
    ) -> Any:
        """Make new samples (n_samples, D), or of the shape of X's; on request (samples, labels).

        Parameters
        ----------
        method : where their codes come from
            "prior": what the training held codes to (variational). "gaussian",
            "mixture" (ten Gaussians) and "kde": a density fitted to the codes of training rows.
            "walkback": a Markov chain that adds the training's noise and takes it off, in turns
            (Bengio et al. 2013). "gibbs": a chain between the last two layers of a deep belief
            net. "auto": the prior, else the mixture.
        y : a label, or (n_samples,), of a conditional model; None draws them as often as they were
            among the training rows.
        n_steps : steps of a chain, from codes of training rows.
        expected : the expected sample given the code; False draws from the likelihood.
        return_labels : whether to return what each sample of a conditional model was drawn for too,
            (n_samples,).
        random_state : the same number, the same samples.

        Raises
        ------
        ParameterError
            If the method is unknown or cannot serve this model, or it has no labels to return.
        """
        self._check_decodes("sample")
        if return_labels and not self.model_.parts.n_labels:
            raise ParameterError(
                "return_labels=True needs a model of labels, and this one was fitted without: "
                "leave it out, or fit a VariationalAutoencoder(conditional=True)."
            )
        inputs.check_count("n_samples", n_samples, 1)
        inputs.check_count("n_steps", n_steps, 1)
        code = self.model_.parts.code
        if method == "auto":
            method = "prior" if code.prior else "mixture"
        streams, model = Streams(random_state), self.model_
        generator = streams.generator("code", model.scaling.offset.device)
        labels = drawn_labels(self, n_samples, streams) if y is None else y
        if method in CHAINS:
            start = self._tensor(told(self, self._drawn_codes(n_samples, streams), labels))
            z = self._in_light(CHAINS[method], start.float(), n_steps, generator)
        elif method in DENSITIES:
            drawn = DENSITIES[method](self._kept(), n_samples, streams.seed("init") % 2**32)
            with torch.no_grad():
                z = code.project(self._tensor(drawn), model.memory)
        elif method == "prior":
            z = self._prior(n_samples, generator)
        else:
            known = ["auto", "prior", *DENSITIES, *CHAINS]
            raise ParameterError(
                f"method={method!r} is unknown{did_you_mean(str(method), known)} "
                f"(known: {', '.join(known)})."
            )
        codes = told(self, z.double().cpu().numpy(), labels)
        samples = self._decoded(codes, None if expected else generator)
        if not return_labels:
            return samples
        return samples, self.classes_[codes[:, model.n_components :].argmax(1)]

    def interpolate(
        self,
        a: ArrayLike,
        b: ArrayLike,
        n_steps: int = 8,
        *,
        path: Literal["straight", "sphere"] = "straight",
        y: Any = None,
    ) -> Floats:
        """Return the samples on the way from one sample to another, (n_steps, D).

        Parameters
        ----------
        y : the label of all, of a conditional model.
        a, b : (D,), or of the shape of X's
        path : "straight" from code to code, or along the "sphere" (at an even turn, the length
            changing evenly), where codes of many units lie (White 2016).
        """
        self._check_decodes("interpolate")
        inputs.check_count("n_steps", n_steps, 2)
        if path not in ("straight", "sphere"):
            raise ParameterError(f"path={path!r} is unknown: write 'straight' or 'sphere'.")
        first, last = (self._code(each, name) for each, name in ((a, "a"), (b, "b")))
        share = np.linspace(0, 1, n_steps)[:, None]
        way = sphere(first, last, share) if path == "sphere" else first + share * (last - first)
        return self.inverse_transform(way, y)

    def traverse(
        self,
        x: ArrayLike,
        unit: int,
        values: ArrayLike | None = None,
        *,
        n_steps: int = 9,
        y: Any = None,
    ) -> Floats:
        """Return a sample with one unit of its code moved, (n_steps, D).

        Parameters
        ----------
        x : (D,), or of the shape of X's
        unit : which, from 0
        y : the label, of a conditional model
        values : of the unit; None: evenly over the middle 95 % of what training rows have.
        """
        self._check_decodes("traverse")
        inputs.check_count("unit", unit, 0)
        code = self._code(x, "x")
        if unit >= len(code):
            raise ParameterError(
                f"unit={unit} is not there: the code has the units 0 to {len(code) - 1}."
            )
        if values is None:
            inputs.check_count("n_steps", n_steps, 2)
            low, high = np.quantile(self._kept()[:, unit], [(1 - SHARE) / 2, (1 + SHARE) / 2])
            values = np.linspace(low, high, n_steps)
        with refusing(values, "values"):
            moved = np.asarray(unwrapped(values, "values"), dtype=np.float64).ravel()
        codes = np.repeat(code[None], len(moved), axis=0)
        codes[:, unit] = moved
        return self.inverse_transform(codes, y)

    # How it is done ----------------------------------------------------------------------

    def _keep_codes(self, rows: Selection, streams: Streams) -> Floats:
        """Return codes of rows drawn at random, in float32; none with skips."""
        if self.model_.parts.network.skips:
            return np.empty((0, self.model_.n_components), np.float32)
        model = copy.deepcopy(self.model_).float()  # as exact as they are kept, and twice as fast
        most = max(1, min(MOST_CODES, MOST_NUMBERS // model.n_components))
        order = torch.randperm(rows.n_rows, generator=streams.generator("kept"))
        chosen = order[:most].sort().values.to(rows.index.device)
        few = rows.at(rows.index[chosen])

        def codes(size: int) -> list[Tensor]:
            return [model.code_of(x) for x, _ in few.batches(size)]

        at_once = rows_at_once(model.n_products)
        with torch.no_grad():
            kept: Floats = torch.cat(halving(codes, at_once)[0]).cpu().numpy()
        return kept

    def _check_decodes(self, verb: str) -> None:
        check_is_fitted(self, "model_")
        network = self.model_.parts.network
        if network.skips:
            raise ParameterError(
                f"network {str(network)!r} leads part of its input around the code, so that codes "
                f"alone cannot be decoded, and {verb} has nothing to go by: fit with skip=False."
            )

    def _kept(self) -> Floats:
        """Return the kept codes, in float64."""
        if len(self.codes_) == 0:
            raise ParameterError(
                "The model keeps no codes of training rows, since it was saved by an earlier "
                "version: fit it again, or write method='prior' if it is variational."
            )
        return self.codes_.astype(np.float64)

    def _drawn_codes(self, n: int, streams: Streams) -> Floats:
        kept = self._kept()
        index = torch.randint(len(kept), (n,), generator=streams.generator("kept"))
        drawn: Floats = kept[index.numpy()]
        return drawn

    def _prior(self, n: int, generator: torch.Generator) -> Tensor:
        code = self.model_.parts.code
        if not code.prior:
            raise ParameterError(
                f"method='prior' needs codes that the training held to a prior, and those of "
                f"code {str(code)!r} are not: write method='mixture', or fit a "
                f"VariationalAutoencoder."
            )
        z = self._tensor(np.empty((n, self.model_.n_components)))
        drawn: Tensor = self.model_.memory.draw(z, generator)  # type: ignore[operator]
        return drawn

    def _tensor(self, codes: inputs.Array) -> Tensor:
        return torch.from_numpy(codes).to(self.model_.scaling.offset.device)

    def _in_light(self, chain: Callable[..., Tensor], *given: Any) -> Tensor:
        """Run a chain on a copy of the model in float32."""
        with torch.no_grad():
            return chain(copy.deepcopy(self.model_).float(), *given)

    def _decoded(self, codes: inputs.Array, generator: torch.Generator | None) -> Floats:
        """Return the expected samples of codes (N, K + L), or draws."""
        z = self._tensor(codes)
        with torch.no_grad():
            if generator is None:
                rows = self.model_.decode(z)
            else:
                rows = self.model_.sample_rows(z, generator)
        return rows.cpu().numpy().reshape(len(rows), *self._given_shape)

    def _code(self, x: ArrayLike, name: str) -> Floats:
        """Return the code (K,) of a single sample."""
        with refusing(x, name):
            sample = np.asarray(unwrapped(x, name))
        sequence = self._reading.pads and sample.ndim == 2
        if not sequence and sample.shape != self._given_shape:
            raise DataError(
                f"{name} has the shape {sample.shape}, and a sample of X {self._given_shape}: give "
                f"a single one, such as X[0]."
            )
        # Not by transform: one sample of a frame bears no names, and codes may be asked for as one.
        rows: Any = [sample] if sequence else sample[None]
        row = inputs.check_rows(self, rows, reset=False, name=name)
        return apply(self.model_, Model.encode, row, self.model_.n_components, exact=True)[0]


CHAINS: dict[str, Callable[[Model, Tensor, int, torch.Generator], Tensor]] = {
    "walkback": walkback,
    "gibbs": gibbs,
}


def sphere(a: Floats, b: Floats, share: Floats) -> Floats:
    """Return codes from a to b (K,) at shares (n, 1) of the turn between them, (n, K)."""
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    if min(lengths) == 0:
        return a + share * (b - a)
    u, v = a / lengths[0], b / lengths[1]
    turn = np.arccos(np.clip(u @ v, -1, 1))
    if np.sin(turn) < 1e-6:
        return a + share * (b - a)
    direction = (np.sin((1 - share) * turn) * u + np.sin(share * turn) * v) / np.sin(turn)
    way: Floats = direction * (lengths[0] + share * (lengths[1] - lengths[0]))
    return way
