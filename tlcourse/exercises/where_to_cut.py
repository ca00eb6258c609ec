"""Exercise 07: part of a network with its weights, a curve with its control, and what a probe can read."""

from numbers import Real

import numpy as np
import pandas as pd

from tlcourse.exercises import feedback, hints, require

BLOCKS = {1: (2, 16), 2: (2, 32), 3: (4, 64), 4: (4, 128), 5: (4, 128)}
BY = 0.05


@hints(
    'Three kinds of line: `Conv2D(filters, 3, padding="same", activation="relu", name=...)`, `MaxPooling2D(name=...)` '
    "after each block, and before all `keras.Input((32, 32, 3))`.",
    "Load when the network stands: in `with h5py.File(FILE) as weights:`, for each layer that has weights, "
    "`group = weights[layer.name]`.",
    '`layer.set_weights([group[name][()] for name in group.attrs["weight_names"]])`',
)
def q1(lower_blocks):
    keras, stored = _keras(), _stored()
    for n, side in ((2, 8), (1, 16), (3, 4)):
        model = lower_blocks(n)
        require(isinstance(model, keras.Model), f"a Keras model is asked for, and this is a {type(model).__name__}")
        wanted = [f"block{block}_conv{k + 1}" for block in range(1, n + 1) for k in range(BLOCKS[block][0])]
        found = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
        missing, more = [name for name in wanted if name not in found], [name for name in found if name not in wanted]
        require(not (missing and more), f"the file is asked by name, and {_first(more)!r} is no name of VGG19's first {n} blocks")
        require(not missing, f"with n = {n}, the layer {_first(missing)!r} is missing: blocks have different numbers of convolutions")
        require(not more, f"with n = {n} there is no need for {_first(more)!r}: build only what you keep")
        for name in wanted:
            own = found[name]
            require([each.shape for each in own] == [each.shape for each in stored[name]],
                    f"the weights of {name} are {[each.shape for each in own]}, and those in the file "
                    f"{[each.shape for each in stored[name]]}")  # fmt: skip
            require(np.array_equal(own[0], stored[name][0]), f"the kernel of {name} is not that of the file: shapes fit for "
                    "random weights too")  # fmt: skip
            require(np.array_equal(own[1], stored[name][1]), f"the bias of {name} is not that of the file: a layer has two arrays")
        x = np.random.default_rng(n).normal(0, 60, (4, 32, 32, 3)).astype("float32")
        out, expected = keras.ops.convert_to_numpy(model(x)), _network(n)(x).numpy()
        require(out.ndim != 4 or out.shape[1] <= side, "a block ends with its pooling, which halves height and width")
        require(out.shape == expected.shape, f"the weights are right, and the output for 32×32 pictures is {out.shape[1:]} instead "
                f"of {expected.shape[1:]}: see to padding and pooling")  # fmt: skip
        require(out.min() >= 0, "the weights are right, and there are negative outputs: a ReLU is missing")
        require(np.allclose(out, expected, rtol=1e-2, atol=1e-2 * np.abs(expected).max()),
                "the right numbers sit in the wrong network: something else than these convolutions, ReLUs and maximum "
                "pooling happens to a picture")  # fmt: skip


@hints(
    "Two arrays are the same when each number is. A layer has several arrays, and the file may not know the layer at all.",
    "`layer.name in weights` says whether the file has a layer of that name.",
    '`stored = [group[name][()] for name in group.attrs["weight_names"]]`, and then '
    "`all(np.array_equal(a, b) for a, b in zip(stored, layer.get_weights(), strict=True))`.",
)
def q2(arrived):
    model = _network(3, head=True)
    stored, rng = _stored(), np.random.default_rng(2)
    kernel, bias = stored["block1_conv2"]
    model.get_layer("block1_conv2").set_weights([rng.normal(0, 0.1, kernel.shape), bias])
    kernel, bias = stored["block2_conv1"]
    model.get_layer("block2_conv1").set_weights([kernel, bias + 0.5])
    model.get_layer("block2_conv2").set_weights([each[..., ::-1] for each in stored["block2_conv2"]])
    model.get_layer("block3_conv2").set_weights(stored["block3_conv3"])
    kernel, bias = stored["block3_conv4"]
    model.get_layer("block3_conv4").set_weights([kernel.astype("float32") * 1.01, bias])
    answer = arrived(model)
    require(isinstance(answer, dict), f"a dict {{layer: True or False}} is asked for, and this is a {type(answer).__name__}")
    wanted = [layer.name for layer in model.layers if layer.weights]
    missing = [name for name in wanted if name not in answer]
    require(not missing, f"{_first(missing)!r} has weights and is not in your dict")
    more = [name for name in answer if name not in wanted]
    require(not more, f"{_first(more)!r} has no weights, so that there is nothing that could arrive")
    require(not answer["head"], "the file knows no layer 'head', so nothing can have arrived there")
    require(not answer["block1_conv2"], "the kernel of block1_conv2 is still random, and you say it has arrived: do not look at "
            "shapes alone")  # fmt: skip
    require(not answer["block2_conv1"], "the kernel of block2_conv1 has arrived, and its bias has not: compare all the arrays")
    require(not answer["block2_conv2"], "in block2_conv2 the numbers are those of the file in another order: compare them one by one")
    require(not answer["block3_conv2"], "block3_conv2 holds the numbers of block3_conv3, whose shapes are the same: ask the file by name")
    require(not answer["block3_conv4"], "block3_conv4 is nearly what the file says, and nearly is not loaded: compare exactly")
    right = ("block1_conv1", "block3_conv1", "block3_conv3")
    require(all(answer[name] for name in right), "a layer that holds exactly the numbers of the file is said not to have arrived")


@hints(
    "`model.get_layer(name).output` is what a layer gives. A `keras.Model` may end there, and in several places at once.",
    "`layers.GlobalAveragePooling2D()(model.get_layer(name).output)` for each name, and "
    "`layers.Concatenate()` puts the list side by side.",
    "`made = keras.Model(model.inputs[0], joined)`, `made.trainable = False`, `return made`.",
)
def q3(after_every_block):
    keras = _keras()
    model, ends = _tiny(keras, seed=3), ["end_c", "a", "z"]
    made = after_every_block(model, ends)
    require(isinstance(made, keras.Model), f"a Keras model is asked for, and this is a {type(made).__name__}")
    x = np.random.default_rng(3).normal(size=(5, 12, 12, 3)).astype("float32")
    maps = [keras.Model(model.inputs[0], model.get_layer(end).output)(x).numpy() for end in ends]
    parts = [each.mean(axis=(1, 2)) for each in maps]
    out = keras.ops.convert_to_numpy(made(x)) if len(made.outputs) == 1 else None
    require(out is not None, "one output is asked for, with the columns of all the blocks side by side")
    flat = sum(each[0].size for each in maps)
    require(out.shape != (5, flat), "the positions are laid side by side, too: average every channel over them")
    expected = np.concatenate(parts, axis=1)
    require(out.shape == expected.shape, f"the output for 5 pictures has the shape {out.shape}, instead of {expected.shape}")
    for wrong, because in (
        (np.concatenate([each.max(axis=(1, 2)) for each in maps], axis=1), "that is the largest value of each channel, not its average"),
        (np.concatenate([parts[i] for i in (1, 0, 2)], axis=1), "the columns stand in the order of the network, not in that of `ends`"),
        (np.concatenate([parts[i] for i in (1, 2, 0)], axis=1), "the columns stand in another order than the names in `ends`"),
        (np.concatenate(parts[::-1], axis=1), "the columns stand in the reverse order of the names in `ends`"),
    ):  # fmt: skip
        require(not np.allclose(out, wrong, atol=1e-4), because)
    originals = [each for each in model.get_weights() if each.ndim == 4]
    kept = [each for each in made.get_weights() if each.ndim == 4]
    require(any(np.array_equal(a, b) for a in originals for b in kept),
            "the new network has other weights than the given one: a clone draws its own, and knows nothing")  # fmt: skip
    require(np.allclose(out, expected, atol=1e-4), "the weights are right, and the values are not the averages of the named layers")
    require(not made.trainable_weights, f"it is not frozen: training would change {len(made.trainable_weights)} of its weights")


@hints(
    "What pretraining adds is pretrained *minus* random weights, at each seed. How sure is that, over the seeds?",
    'Rows of the target, then `pivot(index="seed", columns=["block", "strategy"], values="accuracy")`.',
    '`_, low, _ = interval(wide[block, "pretrained"] - wide[block, "random weights"])`, and the block is in the list if `low > by`.',
)
def q4(surely_adds):
    answer = surely_adds(_curves(), "leaves", BY)
    require(isinstance(answer, list | tuple) and all(isinstance(name, str) for name in answer), "a list of names of blocks is asked for")
    unknown = [name for name in answer if name not in _GAINS]
    require(not unknown, f"{_first(unknown)!r} is no block of that table")
    for block, because in (
        ("known anyway", "you look at the pretrained network alone: where random weights reach the same, pretraining has added nothing"),
        ("worse", "pretraining has taken something away there: what it adds is pretrained minus random weights"),
        ("scattered", "the mean is above `by` and its interval is not: with other seeds it may be nothing"),
        ("little", "that pretraining surely adds something is not yet that it adds more than `by`"),
        ("few seeds", "with five seeds 1.96 standard errors are too few: Student's t asks for more"),
    ):
        require(block not in answer, f"{block!r} does not belong there: {because}")
    require("paired" in answer, "the block 'paired' is missing: the same seed means the same pictures for both networks, and "
            "with each of them pretraining adds about the same")  # fmt: skip
    require("low" in answer, "the block 'low' is missing: accuracy is low there, and yet nearly all of it comes from pretraining")
    other = surely_adds(_curves(), "stones", BY)
    require(isinstance(other, list | tuple) and list(other) == ["little"], "of the target 'stones' other blocks hold: look at the "
            "rows of the target that is asked for")  # fmt: skip


@hints(
    "Cut height and width into `side` parts each: an array (n, side, h / side, side, w / side, c), and average over "
    "the places within a part.",
    "`maps.reshape(n, side, h // side, side, w // side, c).mean(axis=(2, 4))` has the shape (n, side, side, c).",
    "Begin with `side = min(side, h)`, and end with `.reshape(n, -1)`.",
)
def q5(fields):
    rng = np.random.default_rng(5)
    maps = rng.normal(size=(6, 8, 8, 3)).astype("float32")
    for side in (2, 4, 1, 8):
        out = fields(maps, side)
        require(isinstance(out, np.ndarray), f"an array is asked for, and this is a {type(out).__name__}")
        size = 8 // side
        cells = [(slice(None), slice(i * size, (i + 1) * size), slice(j * size, (j + 1) * size))
                 for i in range(side) for j in range(side)]  # fmt: skip
        expected = np.concatenate([maps[cell].mean(axis=(1, 2)) for cell in cells], axis=1)
        require(out.ndim == 2, f"one row of numbers a picture is asked for, (n, side·side·c), and this has the shape {out.shape}")
        require(out.shape == expected.shape, f"for side {side} the shape is {out.shape}, instead of {expected.shape}")
        if _same_columns(out, expected):
            continue
        bands = maps.reshape(6, side * side, -1, 3).mean(axis=2).reshape(6, -1)
        for wrong, because in (
            (np.concatenate([maps[cell].max(axis=(1, 2)) for cell in cells], axis=1),
             "that is the largest value of each field, not its average"),
            (maps[:, ::size, ::size].reshape(6, -1), "one place is picked from each field, and the others are thrown away"),
            (bands, "these are stripes: rows run into each other when height and width are not cut separately"),
            (np.concatenate([maps[cell].sum(axis=(1, 2)) for cell in cells], axis=1), "that is the sum of each field, not its average"),
        ):  # fmt: skip
            require(not _same_columns(out, wrong), because)
        require(False, f"for side {side} the values are not the averages of {side}×{side} fields, for each channel of its own")
    small = fields(maps[:, :2, :2], 4)
    require(isinstance(small, np.ndarray) and small.shape == (6, 12) and _same_columns(small, maps[:, :2, :2].reshape(6, -1)),
            "maps of 2×2 have no 4×4 fields: then each place is a field")  # fmt: skip


@hints(
    "Draw which pictures are the few. The rest is everything else: nobody chose by them.",
    "`order = rng.permutation(right.shape[1])`, then `few, rest = order[:n], order[n:]`, and "
    "`best = right[:, few].mean(axis=1).argmax()`.",
    "`right[best, few].mean() - right[best, rest].mean()` is one draw. Return the mean of `repeats` of them.",
)
def q6(optimism):
    rng = np.random.default_rng(6)
    same = rng.random((12, 150)) < 0.7
    unlike = rng.random((6, 400)) < np.array([0.55, 0.6, 0.65, 0.7, 0.75, 0.95])[:, None]
    for right, n in ((same, 50), (unlike, 40)):
        value = optimism(right, n, 600, 0)
        require(isinstance(value, Real) and not isinstance(value, bool) and np.isfinite(value), "one finite number is asked for")
        require(abs(value) <= 1, "accuracies are fractions here: 0.02 is two points")
        expected, on_all, above_mean = _draws(right, n)
        if abs(value - expected) < 0.012:
            continue
        for wrong, because in (
            (0.0, "it comes out as nothing: the few alone are to choose, and the other pictures alone to say how good that was"),
            (-expected, "it is upside down: what the few pictures say minus what the others say"),
            (on_all, "the rest is to be the *other* pictures: those that chose the cut are still among them"),
            (above_mean, "the chosen cut is compared with the average cut, and may well be better than that"),
        ):
            require(abs(value - wrong) > 0.012, because)
        require(False, f"for {len(right)} cuts and {n} pictures it should be near {expected:.3f}, and this is {value:.3f}")


def _first(names):
    return next(iter(names), "")


def _keras():
    from tlcourse.quiet import keras

    return keras


def _stored():
    """{layer: [kernel, bias]} of the mini VGG19's file."""
    import h5py

    from tlcourse import backbones

    with h5py.File(backbones.SHIPPED / "VGG19_mini.h5") as file:
        return {name: [group[each][()] for each in group.attrs["weight_names"]] for name, group in file.items()
                if "weight_names" in group.attrs}  # fmt: skip


def _network(n, head=False):
    keras, stored = _keras(), _stored()
    model = keras.Sequential([keras.Input((32, 32, 3))], name="reference")
    for block in range(1, n + 1):
        convolutions, filters = BLOCKS[block]
        for k in range(1, convolutions + 1):
            model.add(keras.layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"block{block}_conv{k}"))
        model.add(keras.layers.MaxPooling2D(name=f"block{block}_pool"))
    if head:
        model.add(keras.layers.GlobalAveragePooling2D(name="average"))
        model.add(keras.layers.Dense(10, name="head"))
    for layer in model.layers:
        if layer.name in stored:
            layer.set_weights(stored[layer.name])
    return model


def _tiny(keras, seed):
    """Three blocks of different widths; their names are in another order than the blocks."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    x = first = keras.Input((12, 12, 3), name="pictures")
    for name, filters in (("a", 4), ("end_c", 6), ("z", 5)):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", bias_initializer="random_normal", name=f"conv_{name}")(x)
        x = layers.BatchNormalization(name=f"norm_{name}")(x)
        x = layers.AveragePooling2D(2, name=name)(x) if name != "z" else layers.ReLU(name=name)(x)
    return keras.Model(first, x, name=f"tiny_{seed}")


# {block: (accuracy with random weights by seed, what pretraining adds by seed)}
_SWING = np.array([-0.2, 0.15, 0.0, -0.1, 0.15])
_GAINS = {
    "known anyway": (0.90 + _SWING / 20, [0.001, -0.002, 0.002, 0.0, 0.001]),
    "scattered": (0.50 + _SWING / 5, [0.16, 0.02, 0.14, 0.0, 0.1]),
    "paired": (0.50 + _SWING, [0.071, 0.069, 0.072, 0.068, 0.07]),
    "low": (0.04 + _SWING / 20, [0.13, 0.132, 0.129, 0.131, 0.128]),
    "little": (0.60 + _SWING / 20, [0.021, 0.019, 0.022, 0.018, 0.02]),
    "worse": (0.70 + _SWING / 20, [-0.11, -0.108, -0.112, -0.109, -0.111]),
    "few seeds": (0.40 + _SWING / 20, [0.07, 0.094, 0.046, 0.087, 0.053]),
}


def _curves():
    rows = []
    for block, (random, added) in _GAINS.items():
        for seed in range(5):
            of_stones = 0.3 if block == "little" else 0.0
            rows += [("leaves", "random weights", block, seed, random[seed]),
                     ("leaves", "pretrained", block, seed, random[seed] + added[seed]),
                     ("stones", "random weights", block, seed, 0.5 + seed / 100),
                     ("stones", "pretrained", block, seed, 0.5 + seed / 100 + of_stones + (-1) ** seed / 1000)]  # fmt: skip
    order = np.random.default_rng(4).permutation(len(rows))
    return pd.DataFrame([rows[place] for place in order], columns=["target", "strategy", "block", "seed", "accuracy"])


def _same_columns(a, b):
    """Are the columns the same, in whatever order?"""
    return a.shape == b.shape and np.allclose(a[:, a[0].argsort()], b[:, b[0].argsort()], atol=1e-4)


def _draws(right, n, repeats=1500):
    """The optimism, and what it would be with each of two mistakes."""
    rng, found = np.random.default_rng(60), []
    for _ in range(repeats):
        order = rng.permutation(right.shape[1])
        on_few, on_rest = right[:, order[:n]].mean(axis=1), right[:, order[n:]].mean(axis=1)
        best = on_few.argmax()
        found.append((on_few[best] - on_rest[best], on_few[best] - right[best].mean(), on_few[best] - on_rest.mean()))
    return np.mean(found, axis=0)


check, hint = feedback(q1, q2, q3, q4, q5, q6)
