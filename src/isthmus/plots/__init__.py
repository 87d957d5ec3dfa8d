"""Pictures of a fitted model for notebooks: each draws on matplotlib axes and returns them.

What they draw is computed where the report's figures are, so both show the same.
"""

from isthmus.plots.codes import activity, code_map
from isthmus.plots.fits import against_pca, training_curve
from isthmus.plots.generated import interpolation, samples
from isthmus.plots.rows import feature_errors, reconstructions
from isthmus.plots.single_units import directions, filters, traversal

__all__ = [
    "activity",
    "against_pca",
    "code_map",
    "directions",
    "feature_errors",
    "filters",
    "interpolation",
    "reconstructions",
    "samples",
    "training_curve",
    "traversal",
]
