"""Learning-rate schedules: the factor on the learning rate at each step, as parts."""

import math
from abc import abstractmethod
from typing import Annotated, ClassVar

from pydantic import Field

from isthmus.parts.part import Part, part, with_fields

Warmup = Annotated[float, Field(ge=0, lt=1, description="share of the steps that rise to 1")]


@with_fields
class Schedule(Part):
    """How the learning rate moves over the fit; `at` runs from 0 (first step) to 1 (last)."""

    slot = "schedule"
    start: ClassVar[float] = 0.0  # the factor from which the warm-up rises
    warmup: Warmup = 0.0

    @abstractmethod
    def fall(self, at: float) -> float:
        """Return the factor once warm, `at` counted from there."""

    def factor(self, at: float) -> float:
        """Return the factor on the learning rate, 0 to 1."""
        if at < self.warmup:
            return self.start + (1 - self.start) * at / self.warmup
        return self.fall((at - self.warmup) / (1 - self.warmup))


@part("constant")
class Constant(Schedule):
    """``1``, after the warm-up."""

    def fall(self, at: float) -> float:
        return 1.0


@part("linear")
class Linear(Schedule):
    """``1 - at``: straight down to zero."""

    def fall(self, at: float) -> float:
        return 1.0 - at


@part("cosine")
class Cosine(Schedule):
    """``(1 + cos(pi at)) / 2`` (Loshchilov & Hutter 2017)."""

    def fall(self, at: float) -> float:
        return (1.0 + math.cos(math.pi * at)) / 2


@part("one_cycle")
class OneCycle(Schedule):
    """Up from 1/25, then down along a cosine to zero (Smith & Topin 2018)."""

    warmup = 0.25
    start = 1 / 25

    def fall(self, at: float) -> float:
        return (1.0 + math.cos(math.pi * at)) / 2
