"""Makes fixture.json beside this file: features, labels, and what scikit-learn finds in them.

    python tests/linear_probe/make_fixture.py

Made with Python 3.11.7, numpy 2.4.6 and scikit-learn 1.9.1. The same versions give the same file.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, top_k_accuracy_score

WIDTH = 8


def split(random, centres, labels, spread):
    """Unit rows about their classes' centres, as short as JSON can hold them."""
    rows = centres[labels] + spread * random.normal(size=(len(labels), WIDTH))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows.round(4)


def case(seed, classes, c, spread, train=100, test=100):
    """One problem; the first of the classes are common and the last are rare."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(max(classes) + 1, WIDTH))
    weights = np.arange(len(classes), 0, -1.0)
    weights /= weights.sum()
    y_train = np.concatenate([classes, random.choice(classes, train - len(classes), p=weights)])
    y_test = random.choice(classes, test, p=weights)
    x_train = split(random, centres, y_train, spread)
    x_test = split(random, centres, y_test, spread)
    model = LogisticRegression(C=c, tol=1e-8, max_iter=10_000).fit(x_train, y_train)
    scores = model.decision_function(x_test)
    if len(classes) > 5:
        top5 = top_k_accuracy_score(y_test, scores, k=5, labels=model.classes_)
    else:
        top5 = 1.0
    return {
        "C": c,
        "train": {"features": x_train.tolist(), "labels": y_train.tolist()},
        "test": {"features": x_test.tolist(), "labels": y_test.tolist()},
        "scikit_learn": {
            "top1": model.score(x_test, y_test),
            "top5": top5,
            "mean_per_class_recall": balanced_accuracy_score(y_test, model.predict(x_test)),
            "predictions": model.predict(x_test).tolist(),
        },
    }


def main():
    many = list(range(9))
    cases = [
        case(1, many, 1.0, 0.9),
        case(2, many, 100.0, 0.9),
        case(3, many, 0.05, 0.6),
        case(4, [1, 4, 6], 10.0, 1.0),
        case(5, [0, 1], 0.3, 1.5),
    ]
    for found in cases:
        print({name: found["scikit_learn"][name] for name in ("top1", "top5", "mean_per_class_recall")})
    text = json.dumps({"cases": cases}, separators=(",", ":"))
    Path(__file__).with_name("fixture.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
