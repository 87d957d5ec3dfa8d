"""What autoencoders, Boltzmann machines and classifiers share: they encode, and can be saved."""

from pathlib import Path
from typing import Any

from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from isthmus.estimators import saving
from isthmus.estimators.card import card
from isthmus.estimators.summary import card as notebook_card


class SavedTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """A transformer of float32 and float64 rows that `isthmus.load` can read again."""

    def save(self, path: str | Path) -> None:
        """Save to a folder that `isthmus.load` reads; a model that is there is replaced.

        ``model.safetensors`` and ``config.json`` are checked by their SHA-256 when they are read;
        nothing in them can run code. ``README.md`` says to people what the model is.

        Raises
        ------
        FileError
            If the folder cannot be written, or holds something else than a model.
        """
        check_is_fitted(self, "model_")
        saving.save(self, Path(path), card(self))

    def _html_repr(self) -> str:
        """Return what notebooks show: a card of the fit, where there is one, and the diagram."""
        diagram: str = super()._html_repr()
        return notebook_card(self) + diagram if hasattr(self, "model_") else diagram

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
