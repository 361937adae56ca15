"""Fits the map from cosine and background to confidence, and says how well it holds on questions and collections it was not fitted on.

Every file counts the same, however many questions it has.
usage: fit_confidence.py FILE[,FILE...]...     (each FILE: `nearlite eval ... --hits FILE` over judged questions; commas join the files of one collection: its
questions asked of its own store, of several stores, ...)
"""

import json
import sys

import numpy as np

FOLDS = 5


def read(file):
    """[level, background] by hit, relevant or not, question; and the same of unanswerable questions."""
    parts = {False: [], True: []}
    with open(file, encoding="utf-8") as lines:
        for line in lines:
            hit = json.loads(line)
            if hit["background"] is None or hit["exact"]:
                continue
            parts[hit["query"].startswith("unanswerable:")].append(hit)
    return [(np.array([[hit["level"], hit["background"]] for hit in hits]).reshape(-1, 2),
             np.array([float(hit["relevant"]) for hit in hits]), np.array([hit["query"] for hit in hits])) for hits in parts.values()]


def fit(parts):
    """Logistic regression by Newton's method, hardly regularized, of [(x, y, questions), ...]: [offset, level, background]."""
    parts = [part for part in parts if len(part[1])]
    x = np.concatenate([np.c_[np.ones(len(part[0])), part[0]] for part in parts])
    y = np.concatenate([part[1] for part in parts])
    share = np.concatenate([np.full(len(part[1]), len(y) / len(parts) / len(part[1])) for part in parts])
    weights = np.zeros(x.shape[1])
    for _ in range(20):
        p = 1 / (1 + np.exp(-x @ weights))
        gradient = x.T @ (share * (p - y)) + 1e-3 * np.r_[0, weights[1:]]
        weights -= np.linalg.solve((x * (share * p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(len(weights)), gradient)
    return weights


def confidence(weights, x):
    return 1 / (1 + np.exp(-(np.c_[np.ones(len(x)), x] @ weights)))


def calibration_error(p, y):
    bins = np.minimum((p * 10).astype(int), 9)
    return sum((bins == i).mean() * abs(p[bins == i].mean() - y[bins == i].mean()) for i in range(10) if (bins == i).any())


def claimed(weights, unanswerable):
    x, _, questions = unanswerable
    if not len(x):
        return ""
    best = {}
    for question, p in zip(questions, confidence(weights, x)):
        best[question] = max(p, best.get(question, 0))
    return f", unanswerable above 0.5: {np.mean([p > 0.5 for p in best.values()]):.3f}"


def folds(part, names):
    """The same fold for a question in every file of its collection."""
    return np.array([names[question] % FOLDS for question in part[2]])


def without(part, keep):
    return tuple(each[keep] for each in part)


def main():
    collections = [[(file, *read(file)) for file in argument.split(",")] for argument in sys.argv[1:]]
    if not collections:
        sys.exit(__doc__)
    shipped = fit([answered for files in collections for _, answered, _ in files])
    print("offset %.2f, level %.2f, background %.2f" % tuple(shipped))
    for files in collections:
        names = {question: i for i, question in enumerate(dict.fromkeys(question for _, answered, _ in files for question in answered[2]))}
        others = [answered for other in collections if other is not files for _, answered, _ in other]
        held_out = [fit([without(answered, folds(answered, names) != k) for _, answered, _ in files] + others) for k in range(FOLDS)]
        for file, answered, unanswerable in files:
            x, y, _ = answered
            print(f"{file}: {len(y)} hits, {y.mean():.3f} relevant")
            print(f"  fitted on all: error {calibration_error(confidence(shipped, x), y):.3f}{claimed(shipped, unanswerable)}")
            fold = folds(answered, names)
            p = np.choose(fold, [confidence(weights, x) for weights in held_out])
            print(f"  on questions it was not fitted on: error {calibration_error(p, y):.3f}")
            if others:
                weights = fit(others)
                print(f"  fitted on the other collections: error {calibration_error(confidence(weights, x), y):.3f}{claimed(weights, unanswerable)}")


if __name__ == "__main__":
    main()
