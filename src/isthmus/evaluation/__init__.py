"""Floor 5: metrics, baselines and pictures that judge a fitted model."""
