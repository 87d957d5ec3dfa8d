"""Floor 5: measures, baselines, what a fitted model is worth, and the pages that show it."""

from isthmus.evaluation import generation, metrics
from isthmus.evaluation.metrics import psnr

__all__ = ["generation", "metrics", "psnr"]
