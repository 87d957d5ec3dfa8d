"""Floor 4: the estimators that users hold. Importing this is cheap."""

# Every public estimator and the file that declares it: the package exports what stands here,
# `save` and `load` know it, the command line offers it.
ESTIMATORS = {
    "Autoencoder": "isthmus.estimators.autoencoder",
    "DenoisingAutoencoder": "isthmus.estimators.denoising",
    "SparseAutoencoder": "isthmus.estimators.sparse",
    "ContractiveAutoencoder": "isthmus.estimators.contractive",
    "StackedAutoencoder": "isthmus.estimators.stacked",
    "VariationalAutoencoder": "isthmus.estimators.variational",
    "OutlierDetector": "isthmus.estimators.outliers",
    "AutoencoderClassifier": "isthmus.estimators.classifier",
    "BernoulliRBM": "isthmus.estimators.rbm",
    "GaussianRBM": "isthmus.estimators.rbm",
}
