"""Fits that fail and leave the estimator as it was, and take no notice of where they run."""

import functools
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

import torch

T = TypeVar("T")
P = ParamSpec("P")


def or_unharmed(fit: Callable[Concatenate[T, P], T]) -> Callable[Concatenate[T, P], T]:
    """Let a method that fits give back all that the estimator was where it raises.

    It finds gradients even where its caller, such as a context of torch's, wants none.
    """

    @functools.wraps(fit)
    def fitting(self: T, /, *args: P.args, **kwargs: P.kwargs) -> T:
        before = vars(self).copy()
        try:
            with torch.inference_mode(False), torch.enable_grad():
                return fit(self, *args, **kwargs)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise

    return fitting
