"""Cutting networks, joining heads to them, and seeing and changing what is trainable."""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from tlcourse import CourseError, backbones
from tlcourse.quiet import keras


def cut(model, at, copied=True):
    """A new network: `model` from its input up to and including `at`.

    model: a Keras model, `at` the name of a layer; or a Backbone, `at` the name of a block.
    Its weights are copies of the model's or, with copied=False, newly drawn ones (the
    control "random features"); training it never changes `model`. All of it is trainable,
    whatever is frozen in `model`. Raises CourseError for an unknown layer or block, listing them.
    """
    if isinstance(model, backbones.Backbone):
        backbones.check_block(model.blocks, at, model.name)
        model, at = model.model, model.blocks[at]
    names = [layer.name for layer in model.layers]
    if at not in names:
        raise CourseError(f"{model.name} has no layer {at!r}: choose one of {', '.join(names)}.")
    return _copy(keras.Model(model.inputs[0], model.get_layer(at).output, name="base"), copied)


def split(backbone, block):
    """A Backbone in two: (the name of the block below `block`, a network from `block` on).

    The network takes that block's activations, or pictures where `block` is the first and the name None. It
    is a copy, all of it trainable but for BatchNormalization. Raises CourseError for
    an unknown block, listing the blocks.
    """
    backbones.check_block(backbone.blocks, block, backbone.name)
    model, names = backbone.model, list(backbone.blocks)
    below = names[names.index(block) - 1] if block != names[0] else None
    start = model.get_layer(backbone.blocks[below]).output if below else model.inputs[0]
    upper = _copy(keras.Model(start, model.output, name="upper"))
    freeze_batch_norm(upper)
    return below, upper


def unfreeze_from(backbone, block, batch_norm=False):
    """Freeze a Backbone but for `block` and the blocks above it; block=None freezes all of it.

    It works in place, also where the backbone is nested in other models, which must be compiled
    afterwards. BatchNormalization stays frozen, and so in inference mode, in the
    open blocks too: its moving statistics do not move, its scale and shift are not trained;
    batch_norm=True opens it. Raises CourseError for an unknown block, listing the blocks.
    """
    if block is not None:
        backbones.check_block(backbone.blocks, block, backbone.name)
    backbone.model.trainable = True
    of, order = block_of(backbone), list(backbone.blocks)
    for layer in backbone.model.layers:
        layer.trainable = block is not None and order.index(of[layer.name]) >= order.index(block)
    if not batch_norm:
        freeze_batch_norm(backbone.model)


def freeze_batch_norm(model):
    """Freeze a model's BatchNormalization layers, nested ones too: they stay in inference mode when it trains."""
    for _, layer in _leaves(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def report(model, backbone=None):
    """What a model is made of, as a table: layer, block, type, output, parameters, trainable, batch_norm.

    model: a Keras model, or a Backbone. backbone: the one that `model` contains, if it does; it names
    the blocks. "trainable" counts the parameters that training would change now; "batch_norm" is the
    mode ("inference" or "training") that a BatchNormalization would have then; nested
    models are listed by their own layers, as "outer/inner". Raises CourseError for a model that is not built.
    """
    if isinstance(model, backbones.Backbone):
        model, backbone = model.model, model
    if not model.built:
        raise CourseError(f"{model.name} has no weights yet: call it on some pictures, or give it a keras.Input, first.")
    blocks, inside = (block_of(backbone), backbone.model.layers) if backbone else ({}, [])
    rows = [
        {
            "layer": name,
            "block": blocks[layer.name] if layer in inside else "",
            "type": type(layer).__name__,
            "output": _output(layer),
            "parameters": layer.count_params(),
            "trainable": _count(layer.trainable_weights),
            "batch_norm": _mode(layer),
        }
        for name, layer in _leaves(model)
    ]
    table = pd.DataFrame(rows)
    return table if backbone else table.drop(columns="block")


def attach(backbone, head, at=None):
    """A frozen Backbone and a head that was trained on its features, as one Keras model: pictures -> probabilities.

    head: a Keras model that takes what `features.extract` gives, pooled or not; or a classifier of scikit-learn,
        a LogisticRegression alone or after a StandardScaler, which becomes a Dense layer with a softmax.
    at: the block that the features come from; default the last.
    The model takes pictures (n, h, w, 3), RGB, 0-255, of any size, has its own weights, and saves and loads
    as `.keras`. Raises CourseError for an unknown block and a head that does not fit.
    """
    base = cut(backbone, at or list(backbone.blocks)[-1])
    base.trainable = False
    gives, layers = base.output.shape[1:], [base]
    try:
        wanted = head.input_shape[1:] if isinstance(head, keras.Model) else (head.n_features_in_,)
    except AttributeError:
        raise CourseError("The head has not been trained: build a Keras model, or fit a classifier, first.") from None
    if len(wanted) not in (1, 3) or any(a not in (None, b) for a, b in zip(wanted[::-1], gives[::-1])):
        raise CourseError(f"The head takes features of shape {wanted}, and {backbone.name} gives {gives} there.")
    if len(wanted) == 1:
        layers.append(keras.layers.GlobalAveragePooling2D(name="pool"))
    if isinstance(head, keras.Model):
        copied = keras.models.clone_model(head)
        copied.set_weights(head.get_weights())
        return keras.Sequential([keras.Input((None, None, 3)), *layers, copied])
    kernel, bias = _softmax_weights(head)
    dense = keras.layers.Dense(len(bias), activation="softmax", name="predictions")
    model = keras.Sequential([keras.Input((None, None, 3)), *layers, dense])
    dense.set_weights([kernel, bias])
    return model


def _softmax_weights(classifier):
    """(kernel (d, k), bias (k,)) of the Dense layer that says what a fitted logistic regression says."""
    *before, last = getattr(classifier, "named_steps", {"": classifier}).values()
    if not isinstance(last, LogisticRegression) or any(not isinstance(step, StandardScaler) for step in before):
        raise CourseError("Only a LogisticRegression, alone or after a StandardScaler, can become a Keras layer.")
    kernel, bias = last.coef_.T, last.intercept_
    for step in reversed(before):
        kernel = kernel / step.scale_[:, None] if step.with_std else kernel
        bias = bias - step.mean_ @ kernel if step.with_mean else bias
    if kernel.shape[1] == 1:  # two classes: a sigmoid of z is a softmax of (0, z)
        kernel, bias = np.hstack([0 * kernel, kernel]), np.array([0.0, bias[0]])
    return kernel, bias


def trainable_parameters(model):
    """How many parameters training would change, or changed; 0 for a classifier that does not say."""
    counted = getattr(model, "parameters", None)
    return _count(getattr(model, "trainable_weights", [])) if counted is None else counted


def _copy(model, copied=True):
    made = keras.models.clone_model(model)
    for layer in made.layers:  # a clone's own switch does not reach layers that were cloned frozen
        layer.trainable = True
    return copy_weights(model, made) if copied else made


def copy_weights(model, clone):
    """Give a clone of a Keras model the model's weights, layer by layer, and return the clone."""
    for layer in model.layers:  # by name, for a clone may list its layers in another order
        if layer.weights:
            clone.get_layer(layer.name).set_weights(layer.get_weights())
    return clone


def block_of(backbone):
    """{layer: its block} of a Backbone. Blocks end where it narrows to one layer, so the order in depth decides."""
    ends, found = {layer: block for block, layer in backbone.blocks.items()}, {}
    waiting = []
    for layer in backbone.model.layers:
        waiting.append(layer.name)
        if layer.name in ends:
            found |= dict.fromkeys(waiting, ends[layer.name])
            waiting = []
    return found | dict.fromkeys(waiting, list(backbone.blocks)[-1])


def _output(layer):
    try:
        outputs = layer.output
    except AttributeError:  # called inside a model that is written as a class
        return ""
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return ", ".join(" × ".join(str(size) for size in output.shape[1:]) for output in outputs)


def _mode(layer):
    if not isinstance(layer, keras.layers.BatchNormalization):
        return ""
    return "training" if layer.trainable else "inference"


def _count(weights):
    return sum(int(weight.numpy().size) for weight in weights)


def _leaves(model, prefix=""):
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer, f"{prefix}{layer.name}/")
        elif not isinstance(layer, keras.layers.InputLayer):
            yield prefix + layer.name, layer
