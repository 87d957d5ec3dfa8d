"""Autoencoders that you can put where PCA stood."""
