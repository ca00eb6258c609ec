"""Strategies, repeated over sizes and seeds: one tidy table."""

import itertools
import time

import numpy as np
import pandas as pd

from tlcourse import CourseError, datasets, features, progress, surgery
from tlcourse.quiet import keras


def compare(ways, data, sizes, seeds, validation=0.0, label="Training"):
    """Train every strategy on the same pictures, for each size and seed, and score it on the test set.

    ways: {name: strategy}, see `tlcourse.strategies`. data: a `datasets.Dataset`.
    sizes: numbers of labelled pictures in all. seeds: integers; a seed decides the
    pictures and the start weights, so that rows of one seed and size are paired.
    validation: the fraction of the pictures that strategies get for validation.

    Returns a DataFrame with a row a training: strategy, target, size, seed,
    accuracy (fraction of the test set), training_accuracy (fraction of the pictures it was
    trained on), seconds (of training), parameters (trained).
    """
    if not ways or not len(seeds) or not len(sizes):
        raise CourseError("compare needs at least one strategy, one size and one seed.")
    splits = {}
    runs = list(itertools.product(sizes, seeds, ways))
    rows = []
    for size, seed, name in progress.track(runs, label):
        if (size, seed) not in splits:
            splits = {(size, seed): datasets.sample(data, size, seed, validation)}
        start = time.perf_counter()
        model = ways[name](splits[size, seed], seed)
        seconds = time.perf_counter() - start
        split = splits[size, seed]
        rows.append(
            {
                "strategy": name,
                "target": data.name,
                "size": size,
                "seed": seed,
                "accuracy": accuracy(model, data.x_test, data.y_test),
                "training_accuracy": accuracy(model, split.x_train, split.y_train),
                "seconds": seconds,
                "parameters": surgery.trainable_parameters(model),
            }
        )
    return pd.DataFrame(rows)


def accuracy(model, x, y):
    """The fraction of pictures x, uint8 (n, h, w, c), whose label in y, int (n,), is predicted.

    A Keras model with one output says label 1 above 0.5, one with more says the largest;
    any other classifier's `predict` gives the labels.
    """
    if isinstance(model, keras.Model):
        said = features.predict(model, x)
        predicted = said[:, 0] > 0.5 if said.shape[1] == 1 else said.argmax(axis=1)
    else:
        predicted = model.predict(x)
    return float(np.mean(predicted == y))
