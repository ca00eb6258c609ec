"""Cutting networks, joining heads to them, and seeing what is trainable."""

import pandas as pd

from tlcourse import CourseError
from tlcourse.quiet import keras


def cut(model, at, copied=True):
    """A new network: `model` from its input up to and including the layer named `at`.

    Its weights are copies of the model's or, with copied=False, newly drawn ones (the
    control "random features"); training it never changes `model`. All of it is trainable,
    whatever is frozen in `model`. Raises CourseError for an unknown layer, listing the layers.
    """
    names = [layer.name for layer in model.layers]
    if at not in names:
        raise CourseError(f"{model.name} has no layer {at!r}: choose one of {', '.join(names)}.")
    lower = keras.Model(model.inputs[0], model.get_layer(at).output, name="base")
    base = keras.models.clone_model(lower)
    for layer in base.layers:  # a clone's own switch does not reach layers that were cloned frozen
        layer.trainable = True
    if copied:
        base.set_weights(lower.get_weights())
    return base


def report(model):
    """What a model is made of: a table with layer, type, output shape, parameters, trainable.

    "trainable" counts the parameters that training would change now; nested models
    are listed by their own layers, as "outer/inner".
    """
    rows = [
        {
            "layer": name,
            "type": type(layer).__name__,
            "output": " × ".join(str(size) for size in layer.output.shape[1:]),
            "parameters": layer.count_params(),
            "trainable": _count(layer.trainable_weights),
        }
        for name, layer in _leaves(model)
    ]
    return pd.DataFrame(rows)


def trainable_parameters(model):
    """How many parameters training would change; 0 for what is not a Keras model."""
    return _count(getattr(model, "trainable_weights", []))


def _count(weights):
    return sum(int(weight.numpy().size) for weight in weights)


def _leaves(model, prefix=""):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer, f"{prefix}{layer.name}/")
        elif not isinstance(layer, keras.layers.InputLayer):
            yield prefix + layer.name, layer
