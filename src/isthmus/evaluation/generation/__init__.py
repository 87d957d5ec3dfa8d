"""Measures of generated samples beside real ones; what they are worth, held-out real ones show.

Each is a function of real samples X and generated ones G, arrays or frames of the same columns, or
of any shape, which is flattened. Distances are Euclidean in the units given: columns of different
units are to be scaled before, and of pictures the codes of a model may say more than the pixels.
"""

from isthmus.evaluation.generation.classifiers import (
    ClassCoverage,
    TwoSampleTest,
    class_coverage,
    two_sample_test,
)
from isthmus.evaluation.generation.neighbours import (
    DensityCoverage,
    PrecisionRecall,
    authenticity,
    density_coverage,
    precision_recall,
)
from isthmus.evaluation.generation.parzen import ParzenWindow, parzen_log_likelihood
from isthmus.evaluation.generation.tables import TableDistances, table_distances

__all__ = [
    "ClassCoverage",
    "DensityCoverage",
    "ParzenWindow",
    "PrecisionRecall",
    "TableDistances",
    "TwoSampleTest",
    "authenticity",
    "class_coverage",
    "density_coverage",
    "parzen_log_likelihood",
    "precision_recall",
    "table_distances",
    "two_sample_test",
]
