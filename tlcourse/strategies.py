"""Ways to get from some labelled pictures to a classifier, behind one interface.

A strategy is a function `train(split, seed)` that takes a `datasets.Split`
and returns something with `predict(x)`: a Keras model that gives one
probability a class, or a scikit-learn classifier that gives labels. The
functions here make such functions; a lesson may as well write its own.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tlcourse import CourseError, backbones, features, surgery
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
    fit = _fitter(build, epochs, batch_size, lambda _: keras.optimizers.Adam(learning_rate))

    def train(split, seed):
        keras.utils.set_random_seed(seed)
        model = build()
        fit(model, [split.x_train], split.y_train, seed)
        return model

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

    fit = _fitter(build_head if frozen else build, epochs, batch_size, lambda _: keras.optimizers.Adam(learning_rate))

    def train(split, seed):
        keras.utils.set_random_seed(seed)
        if not frozen:
            model = build()
            fit(model, [split.x_train], split.y_train, seed)
            return model
        base, top = surgery.cut(source, at, copied), build_head()
        base.trainable = False
        fit(top, [features.predict(base, split.x_train)], split.y_train, seed)
        return join(base, top)

    return train


@dataclass(frozen=True, eq=False)
class OnBackbone:
    """A classifier that was trained on the activations of a frozen part of a Backbone.

    at: the block where that part ends; None: there is none, and `top` takes pictures.
    top: a scikit-learn classifier on pooled features, or a Keras model on activations.
    history: losses and accuracies by epoch, where there were validation pictures.
    parameters: how many were trained.
    """

    backbone: backbones.Backbone
    at: str | None
    top: Any
    parameters: int
    history: dict = field(default_factory=dict)

    def predict(self, x):
        """The labels, int (n,), of RGB pictures x (n, h, w, 3), 0-255."""
        if not isinstance(self.top, keras.Model):
            return self.top.predict(features.extract(self.backbone, x, self.at, show=False))
        inputs = _exact(self.backbone, x, self.at) if self.at else x
        return features.predict(self.top, inputs).argmax(axis=1)

    def joined(self):
        """Backbone and head as one Keras model, pictures -> probabilities; see `surgery.attach`."""
        return surgery.attach(self.backbone, self.top, self.at) if self.at else self.top


def linear_probe(backbone, at=None, c=0.01):
    """Logistic regression on the pooled features of a frozen Backbone, from its block `at` (default: the last).

    Features are standardised; c is the inverse strength of the L2 penalty, as in scikit-learn.
    """
    at = at or list(backbone.blocks)[-1]

    def train(split, seed):
        if len(np.unique(split.y_train)) < 2:
            raise CourseError("A linear probe needs training pictures of at least two classes: add some of another.")
        classifier = _logistic(c).fit(features.extract(backbone, split.x_train, at, show=False), split.y_train)
        weights = classifier[-1]
        return OnBackbone(backbone, at, classifier, weights.coef_.size + weights.intercept_.size)

    return train


def earlier_probe(backbone, c=0.01):
    """`linear_probe` on the block below the last whose features do best in cross-validation on the training pictures.

    The test pictures have no say in it, and the chosen probe is trained on all training pictures. Raises CourseError
    for a Backbone with a single block, and for pictures that `cross_validated` refuses.
    """
    earlier = list(backbone.blocks)[:-1]
    if not earlier:
        raise CourseError(f"{backbone.name} has no earlier block than {list(backbone.blocks)[-1]}: take linear_probe.")

    def train(split, seed):
        found = {at: cross_validated(features.extract(backbone, split.x_train, at, show=False), split.y_train, seed, c)
                 for at in earlier}  # fmt: skip
        best = max(reversed(earlier), key=lambda at: found[at].mean())
        return linear_probe(backbone, best, c)(split, seed)

    return train


def cross_validated(x, y, seed=0, c=0.01, folds=5):
    """The balanced accuracy of a linear probe in each fold of a cross-validation, float (folds,).

    x: features, float (n, d); y: labels, int (n,). Folds are stratified, shuffled by `seed`, and as many as the
    smallest class has pictures, if these are fewer. Raises CourseError for less than two classes, and for a class with
    one picture.
    """
    counts = np.unique(y, return_counts=True)[1]
    if len(counts) < 2 or counts.min() < 2:
        raise CourseError("Cross-validation needs at least two classes with at least two pictures each: add some.")
    parts = StratifiedKFold(min(folds, counts.min()), shuffle=True, random_state=seed)
    return cross_val_score(_logistic(c, "balanced"), x, y, cv=parts, scoring="balanced_accuracy")


def _logistic(c, class_weight=None):
    # The same optimum as with scikit-learn's default solver, in a fifth of the time where a thousand pictures have ten classes.
    classifier = LogisticRegression(C=c, solver="newton-cg", max_iter=2000, class_weight=class_weight)
    return make_pipeline(StandardScaler(), classifier)


def fine_tune(
    backbone, head, block, epochs, *, copied=True, probe_epochs=0, learning_rate=1e-3, rates=None,
    augment=None, views=4, patience=None, batch_size=32, batch_norm=False, optimizer=keras.optimizers.Adam,
):  # fmt: skip
    """A Backbone under a new head, trained from one block on; what lies below is frozen and run once.

    head: `head()` returns the new layers, an unbuilt `keras.Sequential` that takes the backbone's output
        (n, h, w, c) and ends in a softmax over the classes.
    block: the first block that is trained; None trains the head alone, the first one everything.
    copied=False starts from random weights (with the first block: from scratch).
    probe_epochs: train the head alone so long before, at 1e-3 (LP-FT; Kumar et al., 2022).
    learning_rate: of the head and the open blocks; rates: {block: factor} slows some of them down or speeds
        them up. optimizer: `optimizer(learning_rate)` returns one.
    augment: `augment()` returns a `keras.Sequential` of random layers for pictures 0-255. `views` augmented versions
        of every training picture are made once, and the epochs take turns in using them; validation pictures stay as they are.
    patience: stop after so many epochs without a better validation loss, and keep the best weights. It needs a
        split with validation pictures.
    batch_norm: train BatchNormalization in the open blocks too; otherwise it stays in inference mode.
    """
    if block is not None:
        backbones.check_block(backbone.blocks, block, backbone.name)
    last = list(backbone.blocks)[-1]

    def parts(source):
        top = _built(head, source)  # first, so that a seed gives every strategy the same head
        if block is None:
            return last, keras.Sequential([keras.Input(source.model.output.shape[1:]), top])
        below, upper = surgery.split(source, block)
        if batch_norm:
            for layer in upper.layers:
                layer.trainable = True
        return below, keras.Sequential([keras.Input(upper.input_shape[1:]), upper, top])

    def prepare(top):
        made = optimizer(learning_rate)
        return _with_rates(made, top, rates or {}, surgery.block_of(backbone)) if rates else made

    fit = _fitter(lambda: parts(backbone)[1], epochs, batch_size, prepare, patience)
    fit_head = _fitter(lambda: _built(head, backbone), probe_epochs, batch_size, lambda _: keras.optimizers.Adam(1e-3))

    def train(split, seed):
        if patience and not len(split.x_val):
            raise CourseError("patience needs validation pictures: make the split, or call compare, with validation=0.2.")
        keras.utils.set_random_seed(seed)
        source = backbone if copied else backbones.untrained(backbone, seed)
        below, top = parts(source)

        def inputs(x):
            return _exact(source, x, below) if below else x

        if probe_epochs:
            fit_head(top.layers[-1], [_exact(source, split.x_train)], split.y_train, seed)
        seen = [inputs(x) for x in _views(split.x_train, augment, views)]
        validation = (inputs(split.x_val), split.y_val) if patience else None
        history = fit(top, seen, split.y_train, seed, validation)
        return OnBackbone(source, below, top, surgery.trainable_parameters(top), history)

    return train


def _exact(backbone, x, at=None):
    """Activations as the network itself would hand them on, so that losses are those of the whole network."""
    return features.extract(backbone, x, at, pool=False, precision="float32", show=False)


def _built(head, backbone):
    model = head()
    model.build((None, *backbone.model.output.shape[1:]))
    return model


def _views(x, augment, views):
    """`views` augmented versions of pictures uint8 (n, h, w, c); x alone without augmentation."""
    if augment is None:
        return [x]
    layers = augment()
    made = []
    for _ in range(views):
        parts = [layers(x[i : i + 500].astype("float32"), training=True) for i in range(0, len(x), 500)]
        values = np.concatenate([keras.ops.convert_to_numpy(part) for part in parts])
        made.append(np.clip(np.rint(values), 0, 255).astype("uint8"))
    return made


def _with_rates(optimizer, model, rates, block_of):
    """The optimizer with the learning rate of each block's weights multiplied by the block's factor."""
    unknown = set(rates) - set(block_of.values())
    if unknown:
        blocks = ", ".join(dict.fromkeys(block_of.values()))
        raise CourseError(f"rates names {unknown.pop()!r}, which is no block: choose from {blocks}.")
    upper = model.layers[0]
    factors = {
        id(weight.value): rates.get(block_of.get(layer.name), 1.0) for layer in upper.layers for weight in layer.weights
    }

    class WithRates(type(optimizer)):
        def update_step(self, gradient, variable, learning_rate):
            super().update_step(gradient, variable, learning_rate * factors.get(id(variable), 1.0))

    return WithRates.from_config(optimizer.get_config())


def _fitter(build, epochs, batch_size, optimizer, patience=None):
    """A function that trains a model made by `build`, and compiles only the first time.

    Compiling and tracing take longer than a short training, so that all the seeds
    are trained in one compiled network: the start weights go in and the trained
    ones come out. optimizer: `optimizer(model)` makes one.
    """

    def fit(model, views, y, seed, validation=None):
        kept = fit.kept
        if not kept:
            trainer = build()
            trainer.compile(
                optimizer(trainer),
                "sparse_categorical_crossentropy",
                metrics=["accuracy"] if patience else None,
                steps_per_execution=1 if patience else 16,  # the same steps, with less Python between them
            )
            trainer.optimizer.build(trainer.trainable_variables)
            kept["trainer"] = trainer
            kept["optimizer"] = [variable.numpy() for variable in trainer.optimizer.variables]
        trainer = kept["trainer"]
        _copy(model.variables, trainer.variables)
        _copy(kept["optimizer"], trainer.optimizer.variables)
        stream, options = _epochs(views, y, epochs, batch_size, seed), {}
        if patience:
            best = keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True)
            options = {
                "epochs": epochs,
                "steps_per_epoch": -(-len(y) // batch_size),
                "validation_data": validation,
                "validation_batch_size": 500,
                "callbacks": [best],
            }
        history = trainer.fit(stream, shuffle=False, verbose=0, **options).history
        _copy(trainer.variables, model.variables)
        return history if patience else {}

    fit.kept = {}  # not a variable around `fit`: a strategy is the same before and after its first training
    return fit


def _epochs(views, y, epochs, batch_size, seed):
    """All epochs as one stream of batches, shuffled anew in each: Keras would open a stream an
    epoch, which takes longer than a small epoch itself. Epochs use the views of the pictures in turn."""
    stream = None
    for view in views[:epochs]:
        pairs = tf.data.Dataset.from_tensor_slices((view, y)).shuffle(len(y), seed=seed).batch(batch_size)
        stream = stream.concatenate(pairs) if stream else pairs
    steps = -(-len(y) // batch_size)
    return stream.repeat().take(epochs * steps)


def _copy(values, variables):
    for value, variable in zip(values, variables, strict=True):
        variable.assign(value)
