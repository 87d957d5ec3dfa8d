"""What an estimator is given, as rows to train on, rows to judge by, and their scaling."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from isthmus.data.crops import Crops, Picture, fit_crop_scaling, n_covering
from isthmus.data.rows import Selection, fit_scaling, moments, select
from isthmus.data.scaling import Scaling
from isthmus.data.tiles import to_light
from isthmus.errors import DataError, ParameterError, caution
from isthmus.estimators import inputs
from isthmus.estimators.arrays import refusing, unwrapped
from isthmus.estimators.inputs import Floats
from isthmus.estimators.planning import plan_for
from isthmus.estimators.samples import check_colours
from isthmus.fitting.model import Parts
from isthmus.fitting.pairs import (
    check_padded,
    check_shape,
    check_steps,
    check_together,
    check_width,
)
from isthmus.fitting.pca import width_of
from isthmus.fitting.plan import Plan
from isthmus.fitting.streams import Streams

if TYPE_CHECKING:
    from isthmus.estimators.base import BaseAutoencoder

N_JUDGED = 512  # crops of the pictures that are held out
WORTH_JUDGING = 10  # pictures; of fewer, none is held out


class Gathered(NamedTuple):
    """What `fit` needs besides the parts."""

    rows: Selection
    judge: Selection | None  # None: a share of `rows`
    fraction: float  # that share
    scaling: Scaling
    plan: Plan
    mean: Floats  # (D,) of the rows


def gather(
    estimator: "BaseAutoencoder",
    parts: Parts,
    streams: Streams,
    X: Any,
    target: Any,
    validation: Any,
) -> Gathered:
    """Check what `fit` was given; pictures that are larger than the network's crops are cropped.

    Raises
    ------
    ParameterError, DataError
        As `fit`.
    """
    check_together(parts, paired=target is not None)
    crop = parts.network.crop
    with refusing(X, "X"):
        crops = crop is not None and larger(X, crop)
    if crops:
        return _gather_crops(estimator, parts, streams, X, target, validation)
    return _gather_rows(estimator, parts, X, target, validation)


def _warn_of_loud_noise(parts: Parts, values: inputs.Array) -> None:
    """Say so where the noise put on pictures is larger than all that they hold."""
    std, low, high = getattr(parts.corruption, "std", 0.0), values.min(), values.max()
    if std > high - low > 0:
        caution(
            f"The noise's std={std:g} is in the units of X, whose pixels run from {low:.3g} to "
            f"{high:.3g}, and leaves nothing of them to see: if it is meant in levels of 255, "
            f"write std={std:g}/255.",
        )


def larger(X: Any, side: int) -> bool:
    """Return whether X holds pictures of different sizes, or of more pixels than a crop."""
    if isinstance(X, list | tuple):
        shapes = {np.shape(picture) for picture in X if np.ndim(picture) > 1}
        return len(shapes) > 1 or any(max(shape[-2:]) > side for shape in shapes)
    shape = np.shape(X)
    return len(shape) > 2 and max(shape[-2:]) > side


def _gather_rows(
    estimator: "BaseAutoencoder", parts: Parts, X: Any, target: Any, validation: Any
) -> Gathered:
    array = inputs.check_rows(estimator, X, reset=True, at_least=2)
    check_shape(parts, estimator.sample_shape_)
    check_padded(parts, array)
    check_width(parts, estimator.n_components, array.shape[1])
    clean = array
    if target is None:
        inputs.check_domain(array, parts.likelihood, "X")
    else:
        clean = inputs.further(estimator, target, parts.likelihood, "target")
        inputs.check_paired(array, clean, "target", "X")
    if parts.network.crop is not None:
        _warn_of_loud_noise(parts, clean)
    scaling, plan = scale(estimator, parts, clean), plan_for(estimator, len(array))
    check_steps(parts, plan)
    judge = None
    if validation is not None:
        paired = target is not None
        held_out = inputs.held_out(estimator, validation, parts.likelihood, paired=paired)
        judge = select(*held_out, scaling, plan.device)
    rows = select(array, clean, scaling, plan.device)
    mean = mean_of(parts, array, scaling, estimator.sample_shape_)
    return Gathered(rows, judge, estimator.validation_fraction, scaling, plan, mean)


def scale(estimator: "BaseAutoencoder", parts: Parts, array: inputs.Array) -> Scaling:
    """Scale by the rows; where pictures of any size may follow, all pixels alike.

    Likewise all steps of sequences.
    """
    shape = estimator.sample_shape_
    if parts.network.sequences and len(shape) == 2:
        scaling = fit_scaling(estimator.scaling, _steps(array, shape))
        scale = scaling.scale if scaling.scale.ndim == 0 else scaling.scale.repeat(shape[0])
        return Scaling(scaling.offset.repeat(shape[0]), scale)
    pooled = (1, *shape)[-3] if parts.network.skips and len(shape) > 1 else None
    return fit_scaling(estimator.scaling, array, pooled)


def width_for(estimator: "BaseAutoencoder", parts: Parts, rows: Selection, streams: Streams) -> int:
    """Return how wide the code is to be; a share of the variance is that of the rows' PCA."""
    given = estimator.n_components
    if given >= 1:
        return int(given)
    if parts.network.skips:
        raise ParameterError(
            f"n_components={given} is a share of PCA's variance, and network "
            f"{str(parts.network)!r} sends its input around the code: write a whole number."
        )
    return width_of(rows.unlabelled, given, streams.generator("pca"))


def mean_of(parts: Parts, array: inputs.Array, scaling: Scaling, shape: tuple[int, ...]) -> Floats:
    """Return the mean row (D,); of sequences that of all steps."""
    if not (parts.network.sequences and len(shape) == 2):
        mean = moments(array)[0]
    elif scaling.changes:
        mean = scaling.offset
    else:
        mean = moments(_steps(array, shape))[0].repeat(shape[0])
    return np.asarray(mean)


def _steps(array: inputs.Array, shape: tuple[int, ...]) -> inputs.Array:
    """Return all steps of sequences, without padding, as rows (steps, F)."""
    steps = array.reshape(-1, shape[1])
    return steps[~np.isnan(steps[:, 0])]


# Crops -----------------------------------------------------------------------------------


def _gather_crops(
    estimator: "BaseAutoencoder",
    parts: Parts,
    streams: Streams,
    X: Any,
    target: Any,
    validation: Any,
) -> Gathered:
    side = parts.network.crop or 0
    pairs = _check_pairs(X, X if target is None else target, side, ("X", "target"), parts)
    _warn_of_loud_noise(parts, np.concatenate([_ends(each) for each in pairs.clean]))
    shape = (len(pairs.clean[0]), side, side)
    if hasattr(estimator, "feature_names_in_"):  # of an earlier fit
        del estimator.feature_names_in_
    estimator.n_features_in_ = shape[0] * side**2
    estimator.sample_shape_ = estimator._given_shape = shape
    estimator._feature_dtypes, estimator.n_samples_seen_ = None, len(pairs.clean)
    estimator._reading = inputs.Reading.of(estimator)
    scaling = fit_crop_scaling(estimator.scaling, pairs.clean, side)
    plan, judge = plan_for(estimator, n_covering(pairs.clean, side)), None
    check_steps(parts, plan)
    if validation is not None:
        noisy, clean = inputs.pair_of(validation, paired=target is not None)
        one = noisy is clean
        names = ("validation",) * 2 if one else ("validation[0]", "validation[1]")
        held = _check_pairs(noisy, clean, side, names, parts)
        _check_channels(held.clean[0], shape[0], "X", names[1])
        judge = _judge(held, scaling, streams, plan)
    else:
        held, pairs = _divide(pairs, estimator.validation_fraction, streams)
        judge = _judge(held, scaling, streams, plan) if held.clean else None
    rows = _selection(pairs, scaling, streams.generator("order"), plan)
    return Gathered(rows, judge, 0.0, scaling, plan, scaling.offset.numpy())


class Pairs(NamedTuple):
    """Pictures (C, h, w), and the clean ones; the same objects where none are given."""

    noisy: list[Picture]
    clean: list[Picture]
    side: int  # of the crops

    def at(self, chosen: Sequence[int]) -> "Pairs":
        """Return some of them."""
        noisy, clean = ([each[i] for i in chosen] for each in (self.noisy, self.clean))
        return Pairs(noisy, noisy if self.clean is self.noisy else clean, self.side)


def _check_pairs(noisy: Any, clean: Any, side: int, names: tuple[str, str], parts: Parts) -> Pairs:
    first = check_pictures(noisy, side, names[0])
    second = first if clean is noisy else check_pictures(clean, side, names[1])
    for picture in second[:1]:
        _check_channels(picture, len(first[0]), *names)
    if [each.shape for each in first] != [each.shape for each in second]:
        raise DataError(
            f"The pictures of {names[0]} and of {names[1]} differ in number or size: give one of "
            f"the same size for each, in the same order."
        )
    for picture in second:
        name = names[0] if clean is noisy else names[1]
        inputs.check_domain(_ends(picture), parts.likelihood, name)
    return Pairs(first, second, side)


def _ends(picture: Picture) -> Floats:
    """Return the least and the greatest light (2,) in a picture."""
    return to_light(np.array([picture.min(), picture.max()]))


def _check_channels(picture: Picture, n_channels: int, partner: str, name: str) -> None:
    """Refuse pictures of more or fewer channels than those of a partner have."""
    if len(picture) != n_channels:
        raise DataError(
            f"{name} has pictures of {len(picture)} channel(s) and {partner} of {n_channels}: give "
            f"pictures of as many channels."
        )


def check_pictures(X: Any, side: int, name: str) -> list[Picture]:
    """Return pictures (C, h, w), none of them smaller than a crop, mirrored out where they are.

    Raises
    ------
    DataError
        If one is no picture, has other channels than the first or is not finite.
    """
    pictures = [_check_picture(each, f"{name}[{i}]") for i, each in enumerate(X)]
    for i, picture in enumerate(pictures):
        if len(picture) != len(pictures[0]):
            raise DataError(
                f"{name}[{i}] has {len(picture)} channel(s) and {name}[0] has {len(pictures[0])}: "
                f"give pictures of as many channels."
            )
    return [_mirrored_out(picture, side) for picture in pictures]


def _check_picture(given: Any, name: str) -> Picture:
    with refusing(given, name):
        picture = np.asarray(unwrapped(given, name))
    if picture.ndim not in (2, 3) or picture.size == 0 or picture.dtype.kind not in "uif":
        raise DataError(
            f"{name} is no picture but {picture.dtype} of shape {picture.shape}: give numbers of "
            f"shape (height, width) or (channels, height, width)."
        )
    check_colours(picture.shape, name)
    picture = picture if picture.ndim == 3 else picture[None]
    if not np.isfinite(picture.sum(dtype=np.float64)):
        raise DataError(f"{name} has pixels that are NaN or infinite: leave that picture out.")
    return picture


def _mirrored_out(picture: Picture, side: int) -> Picture:
    missing = [max(0, side - length) for length in picture.shape[1:]]
    if not any(missing):
        return picture
    return np.pad(picture, [(0, 0), (0, missing[0]), (0, missing[1])], mode="symmetric")


def _divide(pairs: Pairs, fraction: float, streams: Streams) -> tuple[Pairs, Pairs]:
    """Return the pictures that are held out, and the rest."""
    n_pictures = len(pairs.clean)
    order = torch.randperm(n_pictures, generator=streams.generator("split")).tolist()
    few = n_pictures < WORTH_JUDGING or fraction == 0
    n_held = 0 if few else min(max(1, round(fraction * n_pictures)), n_pictures - 1)
    return pairs.at(sorted(order[:n_held])), pairs.at(sorted(order[n_held:]))


def _selection(pairs: Pairs, scaling: Scaling, generator: torch.Generator, plan: Plan) -> Selection:
    """Return as many crops as cover the pictures; others at each epoch."""
    rows = Crops(pairs.noisy, pairs.side, scaling, plan.device)
    same = pairs.clean is pairs.noisy
    target = rows if same else Crops(pairs.clean, pairs.side, scaling, plan.device)
    n_rows = max(2, n_covering(pairs.clean, pairs.side))
    index = torch.randint(len(rows), (n_rows,), generator=generator)
    return Selection(rows, target, index, drawn_from=len(rows))


def _judge(pairs: Pairs, scaling: Scaling, streams: Streams, plan: Plan) -> Selection:
    """Return crops that stay the same at each epoch."""
    crops = _selection(pairs, scaling, streams.generator("split"), plan)
    return dataclasses.replace(crops.at(crops.index[:N_JUDGED]), drawn_from=None)
