"""Floor 5: metrics, baselines and pictures that judge a fitted model."""

from isthmus.evaluation.metrics import psnr

__all__ = ["psnr"]
