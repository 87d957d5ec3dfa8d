"""Put an autoencoder where PCA stood, in a pipeline that classifies handwritten digits.

python examples/where_pca_stood.py
"""

from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from isthmus import Autoencoder, datasets

X, y = datasets.digits()
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

for reducer in (PCA(6, random_state=0), Autoencoder(6, random_state=0)):
    pipeline = make_pipeline(reducer, LogisticRegression(max_iter=5000))
    pipeline.fit(X_train, y_train)
    rebuilt = reducer.inverse_transform(reducer.transform(X_test))
    error = ((rebuilt - X_test) ** 2).sum(axis=1).mean()
    accuracy = pipeline.score(X_test, y_test)
    print(f"{type(reducer).__name__:12s} 6 numbers a digit: squared error {error:.2f}, ", end="")
    print(f"accuracy of a linear classifier on them {accuracy:.1%}")
