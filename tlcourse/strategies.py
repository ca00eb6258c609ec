"""Ways to get from some labelled pictures to a classifier, behind one interface.

A strategy is a function `train(split, seed)` that takes a `datasets.Split`
and returns something with `predict(x)`: a Keras model that gives one
probability a class, or a scikit-learn classifier that gives labels. The
functions here make such functions; a lesson may as well write its own.
"""

import numpy as np
from sklearn.dummy import DummyClassifier

from tlcourse import surgery
from tlcourse.quiet import keras, tf


def majority():
    """Always the commonest class of the training pictures: the floor of every comparison."""

    def train(split, seed):
        classifier = DummyClassifier(strategy="most_frequent")
        return classifier.fit(np.zeros((len(split.y_train), 1)), split.y_train)

    return train


def scratch(build, epochs, batch_size=32, learning_rate=1e-3):
    """A network trained from random weights on the split alone.

    `build()` returns an uncompiled Keras model that takes the pictures as they are
    (uint8, 0-255) and ends in a softmax. Adam, cross-entropy, a fixed number of epochs.
    """
    fit = _fitter(build, epochs, batch_size, learning_rate)

    def train(split, seed):
        keras.utils.set_random_seed(seed)
        return fit(build(), split.x_train, split.y_train, seed)

    return train


def transfer(source, at, head, epochs, *, copied=True, frozen=True, batch_size=32, learning_rate=1e-3):
    """The lower part of a trained network under a new head.

    source: the trained Keras model; `at`: the name of the last layer that is kept.
    head: `head()` returns the new layers as an unbuilt `keras.Sequential`.
    copied=False draws new lower weights (controls: random features when
    frozen, from scratch when not); frozen=False trains them along with the head.
    A frozen lower part is run once for each split, not once for each epoch: the
    losses are the same, for nothing in it changes.
    """
    shape = surgery.cut(source, at).output.shape[1:]

    def build_head():
        model = head()
        model.build((None, *shape))
        return model

    def join(base, top):
        return keras.Sequential([keras.Input(base.input_shape[1:]), base, top])

    def build():
        return join(surgery.cut(source, at, copied), build_head())

    fit = _fitter(build_head if frozen else build, epochs, batch_size, learning_rate)

    def train(split, seed):
        keras.utils.set_random_seed(seed)
        if not frozen:
            return fit(build(), split.x_train, split.y_train, seed)
        base, top = surgery.cut(source, at, copied), build_head()
        base.trainable = False
        return join(base, fit(top, predict(base, split.x_train), split.y_train, seed))

    return train


def predict(model, x, batch_size=500):
    """What the model says of each picture: float32 (n, ...), without tracing a new graph.

    `keras.Model.predict` compiles first, which costs more than it gains on a few
    thousand pictures.
    """
    parts = [model(x[i : i + batch_size], training=False) for i in range(0, len(x), batch_size)]
    return np.concatenate([keras.ops.convert_to_numpy(part) for part in parts])


def _fitter(build, epochs, batch_size, learning_rate):
    """A function that trains a model made by `build`, and compiles only the first time.

    Compiling and tracing take longer than a short training, so that all the seeds
    are trained in one compiled network: the start weights go in and the trained
    ones come out.
    """
    kept = {}

    def fit(model, x, y, seed):
        if not kept:
            trainer = build()
            trainer.compile(
                keras.optimizers.Adam(learning_rate),
                "sparse_categorical_crossentropy",
                steps_per_execution=16,  # the same steps, with less Python between them
            )
            trainer.optimizer.build(trainer.trainable_variables)
            kept["trainer"] = trainer
            kept["optimizer"] = [variable.numpy() for variable in trainer.optimizer.variables]
        trainer = kept["trainer"]
        _copy(model.variables, trainer.variables)
        _copy(kept["optimizer"], trainer.optimizer.variables)
        trainer.fit(_epochs(x, y, epochs, batch_size, seed), shuffle=False, verbose=0)
        _copy(trainer.variables, model.variables)
        return model

    return fit


def _epochs(x, y, epochs, batch_size, seed):
    """All epochs as one stream of batches, shuffled anew in each: Keras would open a stream an
    epoch, which takes longer than a small epoch itself."""
    pairs = tf.data.Dataset.from_tensor_slices((x, y))
    return pairs.shuffle(len(x), seed=seed).batch(batch_size).repeat(epochs)


def _copy(values, variables):
    for value, variable in zip(values, variables, strict=True):
        variable.assign(value)
