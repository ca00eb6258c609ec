"""Measure how hard the drawn pictures are: the table in the docstring of tlcourse/drawings.py.

    uv run python tools/measure_drawings.py [--sizes 100 1000 4000] [--seeds 2] [--epochs 15] [--skip-faces] [--skip-objects]
"""

import argparse
import time

import numpy as np
from sklearn.linear_model import LogisticRegression

from tlcourse import drawings
from tlcourse.quiet import keras

layers = keras.layers


def logistic(train, test, C):
    """The test accuracy of a logistic regression on raw pixels."""
    flat = [pictures.reshape(len(pictures), -1) / np.float32(255) for pictures in (train[0], test[0])]
    model = LogisticRegression(C=C, max_iter=300).fit(flat[0], train[1])
    return model.score(flat[1], test[1])


def lesson_network(shape, classes):
    """The network of lesson 01."""
    return keras.Sequential([
        keras.Input(shape), layers.Rescaling(1 / 255),
        layers.Conv2D(32, 3, activation="relu"), layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(), layers.Dropout(0.25), layers.Flatten(),
        layers.Dense(128, activation="relu"), layers.Dense(classes, activation="softmax")])


def face_network(shape, classes):
    """A small network for the faces: three times convolution and pooling."""
    blocks = [layer for filters in (16, 32, 64)
              for layer in (layers.Conv2D(filters, 3, activation="relu"), layers.MaxPooling2D())]
    return keras.Sequential([
        keras.Input(shape), layers.Rescaling(1 / 255), *blocks, layers.Dropout(0.25), layers.Flatten(),
        layers.Dense(64, activation="relu"), layers.Dense(classes, activation="softmax")])


def convnet(build, train, test, epochs, seed):
    """The test accuracy after `epochs` epochs of Adam(1e-3), batch 32."""
    keras.utils.set_random_seed(seed)
    model = build(train[0].shape[1:], int(train[1].max()) + 1)
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*train, batch_size=32, epochs=epochs, verbose=0)
    return model.evaluate(*test, verbose=0)[1]


def report(name, values, start):
    numbers = " ".join(f"{value:.3f}" for value in values)
    print(f"{name:<46} {np.mean(values):6.1%}   [{numbers}]   {time.time() - start:5.1f} s", flush=True)


def measure(what, draw, build, args):
    test = draw(2000, seed=2)
    for C in (1.0, 0.1, 0.01):
        start = time.time()
        report(f"{what}: logistic regression C={C:g}, n=1000", [logistic(draw(1000, seed=1), test, C)], start)
    for n in args.sizes:
        start = time.time()
        train = draw(n, seed=1)
        report(f"{what}: convnet, n={n}, {args.epochs} epochs",
               [convnet(build, train, test, args.epochs, seed) for seed in range(args.seeds)], start)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--sizes", type=int, nargs="*", default=[100, 1000, 4000])
    parser.add_argument("--skip-faces", action="store_true")
    parser.add_argument("--skip-objects", action="store_true")
    args = parser.parse_args()
    if not args.skip_objects:
        measure("objects", drawings.objects, lesson_network, args)
    if not args.skip_faces:
        measure("faces", drawings.faces, face_network, args)
