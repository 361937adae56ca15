"""Fits the map from cosine and background to confidence, and says how well it holds on questions and sets it was not fitted on.

usage: fit_confidence.py HITS.jsonl...     (each: `nearlite eval ... --hits HITS.jsonl` over one judged collection)
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


def fit(x, y):
    """Logistic regression by Newton's method, hardly regularized: [offset, level, background]."""
    x = np.c_[np.ones(len(x)), x]
    weights = np.zeros(x.shape[1])
    for _ in range(20):
        p = 1 / (1 + np.exp(-x @ weights))
        gradient = x.T @ (p - y) + 1e-3 * np.r_[0, weights[1:]]
        weights -= np.linalg.solve((x * (p * (1 - p))[:, None]).T @ x + 1e-3 * np.eye(len(weights)), gradient)
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


def main():
    sets = {file: read(file) for file in sys.argv[1:]}
    if not sets:
        sys.exit(__doc__)
    joined = [np.concatenate([answered[i] for answered, _ in sets.values()]) for i in range(2)]
    shipped = fit(*joined)
    print("offset %.2f, level %.2f, background %.2f" % tuple(shipped))
    for name, (answered, unanswerable) in sets.items():
        x, y, questions = answered
        print(f"{name}: {len(y)} hits, {y.mean():.3f} relevant")
        print(f"  fitted on all: error {calibration_error(confidence(shipped, x), y):.3f}{claimed(shipped, unanswerable)}")
        order = {question: i for i, question in enumerate(dict.fromkeys(questions))}
        fold = np.array([order[question] % FOLDS for question in questions])
        others = [answered for other, (answered, _) in sets.items() if other != name]
        held_out = np.zeros(len(y))
        for k in range(FOLDS):
            weights = fit(np.concatenate([x[fold != k]] + [other[0] for other in others]),
                          np.concatenate([y[fold != k]] + [other[1] for other in others]))
            held_out[fold == k] = confidence(weights, x[fold == k])
        print(f"  on questions it was not fitted on: error {calibration_error(held_out, y):.3f}")
        if others:
            weights = fit(np.concatenate([other[0] for other in others]), np.concatenate([other[1] for other in others]))
            print(f"  fitted on the other sets: error {calibration_error(confidence(weights, x), y):.3f}{claimed(weights, unanswerable)}")


if __name__ == "__main__":
    main()
