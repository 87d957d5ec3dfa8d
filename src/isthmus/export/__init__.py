"""Floor 5: fitted models as files that other programs run."""
