"""The classifier that stands on an autoencoder's code.

Shapes: N rows, D features, K code units, C classes.
"""

from __future__ import annotations  # help texts name the types, and do not unfold them

import contextlib
import copy
import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

import torch
from numpy.typing import ArrayLike
from pydantic import Field
from scipy.special import log_softmax, softmax
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    clone,
)
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from isthmus.data.rows import moments
from isthmus.data.scaling import Scaling, is_uneven
from isthmus.estimators import answers, inputs, saving
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.base import BaseAutoencoder
from isthmus.estimators.boltzmann import BaseRBM
from isthmus.estimators.classifier_checks import check_batches, check_crops, check_pairs
from isthmus.estimators.diagnosis import diagnose_classifier
from isthmus.estimators.diagnosis.finding import Finding
from isthmus.estimators.inputs import Array, Floats
from isthmus.estimators.labels import Labels, check_labels, labels_facts, labels_from
from isthmus.estimators.lessons import lesson_of
from isthmus.estimators.parameters import PartLike, Training, check, estimator, meaning
from isthmus.estimators.planning import plan_for, warn
from isthmus.estimators.resuming import CheckpointLike, keeping
from isthmus.estimators.saving import NESTED, Learned, copied, filled
from isthmus.estimators.transformer import SavedTransformer
from isthmus.estimators.unharmed import or_unharmed
from isthmus.estimators.watching import guarded, watching
from isthmus.fitting.assembly import settle
from isthmus.fitting.classifier import (
    Classifier,
    Head,
    fine_tune,
    teach_head,
)
from isthmus.fitting.observers import History, Observer
from isthmus.fitting.plan import Plan
from isthmus.fitting.pretraining import identity
from isthmus.fitting.streams import Streams
from isthmus.parts.corruption import Clean
from isthmus.parts.slots import Corruption

WIDEST_DEFAULT = 64  # units of the code where no autoencoder is given
HEAD_ALONE = 5.0  # times the usual learning rate, which a convex problem bears


class Fitted:
    """What a fit leaves behind; beside the parameters, which a dataclass collects."""

    classes_: Array
    autoencoder_: BaseAutoencoder | BaseRBM
    model_: Classifier
    history_: list[dict[str, Any]]
    n_iter_: int
    n_samples_seen_: int | None
    stopped_by_: str
    parameters_: dict[str, Any]


@estimator
class AutoencoderClassifier(
    ClassifierMixin,
    SavedTransformer,
    Fitted,
    Training,
    BaseEstimator,
):
    """A softmax on the code of an autoencoder that has seen all rows, labelled or not.

    ``p(class | x) = softmax(V z + c)``, z the deterministic code of x;
    ``minimise mean_x -log p(class of x | x) + weight_l2 |V|^2``

    First the autoencoder is fitted to all rows without their labels, then the head, and with
    ``fine_tune`` the encoder too, to the rows that have one. A row has none where `y` is -1, None
    or NaN; only where the labels are -1 and 1 alone, these are two classes.

    Of each class a share of the labelled rows is held out to stop by; of classes with few rows
    none, and where that leaves no row the training goes to its end.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    classes_ : ndarray (C,)
        The labels, sorted.
    autoencoder_ : estimator
        The autoencoder as it was before the labels were looked at.
    model_ : Classifier
        The torch module: scaling, encoder, code, head.
    history_ : list of dict
        A record per epoch: the autoencoder's stages, then "classifier".
    n_iter_ : int
        Epochs that made the classifier.
    n_samples_seen_ : int or None
        Rows of training, labelled or not; None if an old file did not say.
    stopped_by_ : str
        "patience", "limit", "interrupted" or "diverged".
    parameters_ : dict
        The parameters as they were when the classifier was fitted.

    Examples
    --------
    >>> from isthmus import AutoencoderClassifier, StackedAutoencoder, datasets
    >>> X, y = datasets.digits()
    >>> stack = StackedAutoencoder(30, hidden=(100,), max_epochs=5, random_state=0)
    >>> model = AutoencoderClassifier(stack, max_epochs=10, random_state=0).fit(X, y)
    >>> model.predict_proba(X).shape
    (1797, 10)

    References
    ----------
    Hinton, G., Osindero, S. & Teh, Y. (2006). A fast learning algorithm for deep belief nets.
    Vincent, P. et al. (2010). Stacked denoising autoencoders. Section 3.5.
    """

    autoencoder: Annotated[
        Any,
        "estimator or None",
        meaning(
            "An estimator of this library with a code; None: Autoencoder(64) or narrower, with "
            "scaling='standard' where one feature varies 100 times as much as the middle one."
        ),
    ] = dataclasses.field(default=None, kw_only=False)
    learning_rate: Annotated[
        Annotated[float, Field(gt=0, allow_inf_nan=False)] | Literal["auto"],
        meaning("Size of a step; 'auto': the optimiser's usual one, 5 times it for a head alone."),
    ] = "auto"
    fine_tune: Annotated[
        bool, meaning("Whether the encoder is trained with the head, or stays as it is.")
    ] = True
    corruption: Annotated[
        PartLike, meaning("Noise on the rows while encoder and head are trained together.")
    ] = "clean"
    dropout: Annotated[
        Annotated[float, Field(ge=0, lt=1)],
        meaning("Share of the code's units that are silenced at each step, before the head."),
    ] = 0.0
    weight_l2: Annotated[
        Annotated[float, Field(ge=0, allow_inf_nan=False)] | Literal["auto"],
        meaning(
            "Weight of the sum of the head's squared weights in the loss; 'auto' is 1 / (2 N) of N "
            "labelled rows, a normal prior of variance 1."
        ),
    ] = "auto"

    # Fitting -----------------------------------------------------------------------------

    @or_unharmed
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        checkpoint: CheckpointLike = None,
        observers: Sequence[Observer] = (),
    ) -> Self:
        """Fit the autoencoder to the rows of `X` (N, D), and the classifier to the labels `y`.

        Parameters
        ----------
        checkpoint : path or Checkpoint, optional
            A folder in which the fit is kept while it lasts, that of the autoencoder too. If it
            was ended, the same call, or `isthmus.resume`, goes on from there and gives the same
            classifier bit for bit.
        observers : list of observers, optional
            They are told of every epoch of both; see `isthmus.observers`.

        Raises
        ------
        ParameterError
            If a parameter is unknown, out of range or at odds with another.
        DataError
            If the rows are not what the autoencoder takes, or `y` has not one label for each row
            or fewer than two classes.
        FileError
            If `checkpoint` is another fit's, or in use.
        """
        check(self)
        check_pairs(self)
        array = inputs.check_rows(self, X, reset=True, at_least=2)
        check_crops(self)
        labels = check_labels(y, len(array), type(self).__name__)
        watchers = guarded(observers)
        given = {"X": X, "y": y}
        with contextlib.ExitStack() as stack:
            keeper = stack.enter_context(keeping(self, checkpoint, given))
            plan = self._plan(int((labels.numbers >= 0).sum()))._replace(keeper=keeper)
            streams = keeper.streams(self.random_state)
            bare = self._autoencoder(array, streams)
            autoencoder = bare.fit(X, checkpoint=keeper, observers=watchers)
            encoder = autoencoder._encoder()
            scaling = copy.deepcopy(encoder.scaling)  # exact: training rounds the encoder's
            check_batches(self, encoder, plan)
            history = History("classifier", stack.enter_context(watching(self, watchers)))
            fraction = self.validation_fraction
            lesson = lesson_of(array, labels, scaling, fraction, plan, streams, [history])
            teach = fine_tune if self.fine_tune else teach_head
            classifier, outcome = teach(encoder, self._head(labels), lesson)
        self.classes_, self.autoencoder_ = labels.classes, autoencoder
        self.model_ = settle(classifier, scaling)
        self.history_ = autoencoder.history_ + history.records
        self.n_iter_, self.stopped_by_ = outcome.best_epoch, outcome.reason
        self.parameters_ = copied(self)
        warn(self.stopped_by_, self.n_iter_, history.records, self.learning_rate)
        return self

    # Using -------------------------------------------------------------------------------

    def predict(self, X: ArrayLike) -> Array:
        """Return the likeliest class of each row, (N,)."""
        places = self._scores(X).argmax(axis=1)
        return self.classes_[places]

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Return the probability of each class, in the order of `classes_`, (N, C)."""
        return softmax(self._scores(X), axis=1)

    def predict_log_proba(self, X: ArrayLike) -> Floats:
        """Return the logarithm of `predict_proba`, nats, (N, C)."""
        return log_softmax(self._scores(X), axis=1)

    def decision_function(self, X: ArrayLike) -> Floats:
        """Return log-probabilities up to a constant for each row, (N, C).

        Of two classes the log odds of the second, (N,).
        """
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def transform(self, X: ArrayLike) -> Floats:
        """Encode rows (N, D) to the codes (N, K) that the head stands on."""
        check_is_fitted(self, "model_")
        return self._map(X, self.model_.encode, self._n_features_out)

    def diagnose(self, X: ArrayLike) -> list[Finding]:
        """Say in plain words what is wrong with the fit, judged on `X`, and what to change.

        After the classifier, the autoencoder that it began with.
        """
        check_is_fitted(self, "model_")
        codes = self._map(X, self.model_.encode, self._n_features_out)
        return diagnose_classifier(self, codes, self.autoencoder_.diagnose(X))

    @property
    def _n_features_out(self) -> int:
        return self.model_.head.in_features

    # How it is done ----------------------------------------------------------------------

    def _plan(self, n_rows: int) -> Plan:
        """Return how the training on so many labelled rows runs."""
        plan = plan_for(self, n_rows)
        fast = self.learning_rate == "auto" and not (self.fine_tune or plan.optimizer.whole)
        return plan._replace(rate=HEAD_ALONE * plan.rate) if fast else plan

    def _autoencoder(self, array: Array, streams: Streams) -> BaseAutoencoder | BaseRBM:
        """Return the autoencoder to fit; one without a seed of its own gets one of ours."""
        given = self.autoencoder
        built = self._default(array) if given is None else clone(given)
        if built.random_state is None:
            built.set_params(random_state=streams.child("autoencoder").seed("init"))
        return built

    def _default(self, array: Array) -> Autoencoder:
        variance = moments(array)[1].numpy()
        return Autoencoder(
            min(WIDEST_DEFAULT, array.shape[1]),
            scaling="standard" if is_uneven(variance) else "isotropic",
            precision=self.precision,
            device=self.device,
            verbose=self.verbose,
        )

    def _head(self, labels: Labels) -> Head:
        n_rows, weight = int((labels.numbers >= 0).sum()), self.weight_l2
        weight_l2 = 1 / (2 * n_rows) if weight == "auto" else float(weight)
        corruption = Corruption.of(self.corruption)
        return Head(len(labels.classes), corruption, float(self.dropout), weight_l2)

    def _scores(self, X: ArrayLike) -> Floats:
        """Return float64 scores, (N, C)."""
        check_is_fitted(self, "model_")
        return self._map(X, self.model_.scores, len(self.classes_), exact=True)

    def _map(self, X: ArrayLike, function: Any, width: int, *, exact: bool = False) -> Floats:
        """Apply a function of the model to rows of `X`, chunk by chunk, (N, width)."""
        rows = inputs.check_rows(self, X, reset=False)
        device = self.model_.scaling.offset.device
        return answers.in_chunks(function, rows, device, width, exact=exact)

    def _learned(self) -> Learned:
        """Return what is saved besides the parameters."""
        autoencoder, tensors = saving.written(self.autoencoder_)
        facts = {
            "n_iter": self.n_iter_,
            "stopped_by": self.stopped_by_,
            "history": self.history_,
            **labels_facts(self.classes_),
            "autoencoder": autoencoder,
        }
        own = self.model_.state_dict()
        return facts, {**own, **{NESTED + name: tensor for name, tensor in tensors.items()}}

    def _relearn(self, facts: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Take over what was saved."""
        theirs = {name for name in tensors if name.startswith(NESTED)}
        nested = {name.removeprefix(NESTED): tensors.pop(name) for name in theirs}
        self.autoencoder_ = saving.rebuilt(facts["autoencoder"], nested)
        self.classes_ = labels_from(facts["classes"], facts["classes_dtype"])
        encoder = self.autoencoder_._encoder()
        codes = identity(torch.empty(0, encoder.n_components))
        scaling = Scaling(tensors["scaling.offset"], tensors["scaling.scale"])
        head = Head(len(self.classes_), Clean(), 0.0, 0.0)
        model = filled(lambda: Classifier(encoder, codes, head).float(), tensors)
        self.model_ = settle(model, scaling)
        self.history_, self.n_iter_ = facts["history"], facts["n_iter"]
        self.stopped_by_ = facts["stopped_by"]
        self.parameters_ = copied(self)
