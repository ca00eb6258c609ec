"""The checks of the exercise on fine-tuning: which weights moved, where the cut is, what was chosen."""

import warnings

import numpy as np

from tlcourse.claims import interval
from tlcourse.exercises import feedback, hints, require
from tlcourse.exercises.given import trainings


@hints(
    "Each phase is: set `trainable`, compile, fit. What the first phase froze stays frozen until you open it.",
    "`base.trainable = False` switches off every layer inside, one by one. Later go through `base.layers` and "
    "say for each layer, open or not, whether it trains.",
    'In the second phase: `layer.trainable = layer.name.startswith("block5")` for every layer of the base; '
    "then compile again, then fit again. Call `weights_of(model)` after each fit.",
)
def q1(head_then_top):
    model = with_head(small_vgg(), classes=3)
    before = weights_of(model)
    answer = head_then_top(model, pictures(16), np.arange(16) % 3)
    _require_several(answer, 2, "what `weights_of(model)` gives after the first phase, and after the second")
    fits = all(isinstance(each, dict) and set(each) == set(before) for each in answer)
    require(fits, "the two results of `weights_of(model)` should be returned as they are")
    first, second, block5 = moved(before, answer[0]), moved(*answer), {"block5_conv1", "block5_conv2"}
    require(first, "nothing was trained in the first phase: the head should learn while the base stands still")
    require("predictions" in first, "the head stood still in the first phase: only the base is to be frozen")
    require(first == {"predictions"}, "the base moved already in the first phase: it was not frozen when training began")
    require(
        second & block5,
        "block5 stood still in the second phase: either its layers are still switched off one by one from the first "
        "phase, or the model goes on with the training step that it was compiled with",
    )
    below = ", ".join(sorted(second - block5 - {"predictions"}))
    require(not below, f"{below} moved too in the second phase: opening the base opens all of its blocks")
    require(block5 <= second, "only a part of block5 was open: it has several layers")
    require("predictions" in second, "the head stood still in the second phase: it should go on learning")


@hints(
    "`keras.Model(start, end)` makes a model of what lies between two tensors of another model; it shares the layers, "
    "so it has their weights.",
    "The cut is the output of the last layer before `block`. In which place of `base.layers` is the first layer "
    "whose name starts with `block`?",
    "With `cut = base.layers[place - 1].output`: `lower = keras.Model(base.inputs[0], cut)` and "
    "`upper = keras.Model(cut, base.outputs[0])`; then freeze one of them.",
)
def q2(cut_in_two):
    from tlcourse.quiet import keras

    base, x = small_vgg(), pictures(4)
    answer = cut_in_two(base, "block5")
    _require_several(answer, 2, "`lower` and `upper`")
    require(all(isinstance(each, keras.Model) for each in answer), "`lower` and `upper` should be Keras models")
    lower, upper = answer
    for name, model in (("lower", lower), ("upper", upper)):
        require(model.built, f"`{name}` has no input yet: begin it with a tensor of `base`, or with a `keras.Input`")
    names = [weight.path.split("/")[-2] for weight in lower.weights]
    require(not any("block5" in name for name in names), "`lower` contains layers of block5, which is to be trained")
    below = run(keras.Model(base.inputs[0], base.get_layer("block4_pool").output), x)
    kept, more = run(lower, x), "the cut is inside block4, before its pooling: to keep a picture would take"
    require(kept.size <= below.size, f"{more} {kept.size // below.size} times as many numbers")
    require(_close(kept, below), "`lower` does not give what `base` has at the end of block4")
    require(upper.input_shape[1:] == kept.shape[1:], "`upper` does not take what `lower` gives: the shapes differ")
    whole, joined = run(base, x), run(upper, below)
    require(joined.shape == whole.shape, "`upper` gives another shape than `base`: a layer without weights is lost")
    require(_close(joined, whole), "`upper` has new random weights, so it does not go on where `lower` ends")
    require(not lower.trainable_weights, "`lower` would be trained: what is run once has to be frozen")
    require(len(upper.trainable_weights) == len(upper.weights) == 4, "all of block5, and only it, should train in `upper`")


@hints(
    "What has to be augmented: pictures or activations? And which pictures?",
    "`augment(x, training=True)` gives other pictures each time that you call it. The frozen part has to be "
    "in inference mode: `training=False`.",
    "Make a list of `lower(augment(x, training=True), training=False)`, `views` times, and `np.concatenate` it. "
    "The labels then come as y, y, y, ...: is that `np.repeat` or `np.tile`?",
)
def q3(run_views):
    views, n, rng = 3, 12, np.random.default_rng(2)
    lower, x, y, x_val = small_lower(), pictures(n, seed=1), rng.permutation(np.arange(n) % 4), pictures(5, seed=3)
    answer = run_views(lower, flipper(), x, y, x_val, views)
    _require_several(answer, 3, "activations, labels, and the activations of the validation pictures")
    found, labels, found_val = map(np.asarray, answer)
    straight, flipped = run(lower, x), run(lower, x[:, :, ::-1])
    wanted = (views * n, *straight.shape[1:])
    require(found.shape == wanted, f"the activations are {found.shape}: {n} pictures in {views} views give {wanted}")
    require(labels.shape == (views * n,), f"{views * n} activations need {views * n} labels, one each")
    is_straight, is_flipped = same_rows(found, straight), same_rows(found, flipped)
    either = is_straight | is_flipped
    if not either.any(axis=1).all():
        turned = same_rows(found, straight[:, :, ::-1])
        require((found == 0).mean() < 0.2, "`lower` ran in training mode: its dropout was on, and set activations to zero")
        require(
            not (is_straight | turned).any(axis=1).all(),
            "the activations were augmented: a flip after the convolution is another thing than a flipped picture",
        )
        require(False, "some rows are not what `lower` gives for a picture or for an augmented picture")
    require(is_flipped.any(), "no view differs from its picture: random layers change pictures only in training mode")
    require((either.sum(axis=0) == views).all(), f"each picture should come in {views} views, no more and no less")
    mixed = is_straight.any(axis=0) & is_flipped.any(axis=0)
    require(mixed.any(), "all views of a picture are the same: it was augmented once, and the result repeated")
    own = np.array_equal(labels, y[either.argmax(axis=1)])
    require(own, "the labels are not in the order of the activations: some landed on the view of another picture")
    require(
        _close(found_val, run(lower, x_val)),
        "the validation pictures were changed: they stand for the world, and go through `lower` once, as they are",
    )


@hints(
    "Lesson 04 has an optimizer of its own for this: `SlowerBelow`, with a method `update_step`.",
    "What reaches `update_step` is the gradient, the weight and the learning rate. Adam divides the gradient "
    "by its own size. Which of the three decides how far a weight moves?",
    "Inside `update_step`: start with `factor = 1.0`; for each `block` of `factors`, take its factor if "
    "`block in variable.name`; then `super().update_step(gradient, variable, learning_rate * factor)`.",
)
def q4(one_step):
    factors = {"block4": 0.1, "block2": 0.5}
    far = _distances(one_step, factors)
    require(any(far.values()), "nothing moved: the model that is returned should have made one training step")
    slow = {layer: factors[layer[:6]] for layer in far if layer[:6] in factors}
    still = ", ".join(layer for layer in slow if far[layer] == 0)
    require(not still, f"{still} stood still: slower does not mean frozen")
    if all(abs(far[layer] - 1) < 0.05 for layer in slow):
        # Where Adam gets hardly any gradient at all, it does get slower: a wrong name stays at full speed.
        named = _distances(one_step, {"block4": 1e-6})["block4_conv1"] < 0.95
        require(not named, "the slower blocks moved as far as the others: Adam divides each gradient by its own size, "
                "so a smaller gradient does not make a smaller step")  # fmt: skip
        require(False, "the slower blocks moved as far as the others: no weight was found under the name of its block")
    for layer in sorted(far, key=slow.__contains__):
        moved_by, wanted = f"{layer} moved {far[layer]:.2g} times as far as with Adam(1e-3)", slow.get(layer, 1)
        why = f"its factor is {wanted}" if layer in slow else "a factor is for the weights of its own block"
        require(abs(far[layer] / wanted - 1) < 0.05, f"{moved_by}: {why}")


def _distances(one_step, factors):
    """{layer: the longest way that one of its biases went, in learning rates}. Biases start at 0, where floats are fine."""
    model = with_head(small_vgg(seed=4), classes=3)
    before = weights_of(model)
    after = one_step(model, pictures(16, seed=5), np.arange(16) % 3, factors)
    require(hasattr(after, "layers"), "the trained model is to be returned")
    after = weights_of(after)
    require(set(after) == set(before), "the model that is returned has other layers than the one that came")
    return {key[:-5]: float(np.abs(after[key]).max()) / 1e-3 for key in before if key.endswith("/bias")}


@hints(
    "Three columns, three roles: one to learn, one to choose, one to report.",
    'Group by strategy and average before you choose: `table.groupby("strategy")[...].mean()`. One good seed is luck.',
    'Choose with `.idxmax()` on the mean of "validation". Then hand the "test" values of that strategy, all seeds, to '
    "`interval`.",
)
def q5(choose):
    for seed in range(2):
        table = trainings(seed)
        answer = choose(table)
        _require_several(answer, 4, "the name of the way, then mean, low and high")
        name, means = answer[0], table.groupby("strategy")[["training", "validation", "test"]].mean()
        require(name in list(means.index), f"there is no way named {name!r} in the table")
        for known, because in (
            (means["test"].idxmax(), "the test pictures have chosen: their accuracy is then no longer one on new pictures"),
            (means["training"].idxmax(), "you chose by training accuracy, which says how well a network remembers"),
            (table["strategy"][table["validation"].idxmax()], "you chose the luckiest seed: average over the seeds first"),
        ):
            require(name != known, because)
        require(name == means["validation"].idxmax(), f"{name} does not have the best mean on the validation pictures")
        _judge_numbers(answer[1:], table[table["strategy"] == name])


def _judge_numbers(answer, rows):
    require(all(isinstance(each, int | float) or np.ndim(each) == 0 and np.isreal(each) for each in answer),
            "mean, low and high have to be numbers")  # fmt: skip
    got, values = np.array(answer, dtype=float), rows["test"]
    half, spread = (got[2] - got[1]) / 2, values.std()
    require(got[0] <= 1, "accuracies are fractions here, 0.75 and not 75")
    require(
        not np.isclose(got[0], rows["validation"].mean(), atol=1e-4),
        "you report the accuracy that you chose by: the winner of a choice looks better than it is",
    )
    require(not np.isclose(got[0], values.max(), atol=1e-4), "you report the best seed: the next will not be so lucky")
    require(np.isclose(got[0], values.mean(), atol=1e-4), "the mean is not that of the test accuracies of the chosen way")
    require(
        not np.isclose(half, [spread, 1.96 * spread], rtol=1e-2).any(),
        "your interval is the spread of single seeds: the mean of several is known better than one of them",
    )
    require(
        not np.isclose(half, 1.96 * values.sem(), rtol=1e-2),
        "1.96 is for many seeds: with so few, Student's t makes the interval wider",
    )
    require(np.allclose(got, interval(values), atol=1e-4), "low and high are not the ends of the 95 % interval of the mean")


def small_vgg(convolutions=(1, 1, 1, 1, 2), filters=4, seed=0):
    """A Keras model "base": a tiny VGG with the layer names of the real one and its own preprocessing."""
    from tlcourse.quiet import keras

    keras.utils.set_random_seed(seed)
    inputs = keras.Input((32, 32, 3), name="pictures")
    x = keras.layers.Rescaling(1 / 255, name="scale")(inputs)
    for block, count in enumerate(convolutions, start=1):
        for number in range(1, count + 1):
            name = f"block{block}_conv{number}"
            x = keras.layers.Conv2D(filters, 3, padding="same", activation="elu", name=name)(x)
        x = keras.layers.MaxPooling2D(name=f"block{block}_pool")(x)
    return keras.Model(inputs, x, name="base")


def with_head(base, classes):
    """`base` under a head whose only weights are those of the layer "predictions"."""
    from tlcourse.quiet import keras

    pool = keras.layers.GlobalAveragePooling2D(name="pool")
    predictions = keras.layers.Dense(classes, activation="softmax", name="predictions")
    return keras.Sequential([keras.Input((32, 32, 3), name="input"), base, pool, predictions], name="network")


def small_lower():
    """A lower part that ends in dropout; its convolution tells left from right."""
    from tlcourse.quiet import keras

    keras.utils.set_random_seed(7)
    conv = keras.layers.Conv2D(2, 5, strides=9, padding="same", name="conv")
    dropout, scale = keras.layers.Dropout(0.5, name="dropout"), keras.layers.Rescaling(1 / 255, name="scale")
    return keras.Sequential([keras.Input((32, 32, 3), name="input"), scale, conv, dropout], name="lower")


def flipper(seed=0):
    """Random flips, left to right."""
    from tlcourse.quiet import keras

    flip = keras.layers.RandomFlip("horizontal", seed=seed, name="flip")
    return keras.Sequential([keras.Input((32, 32, 3), name="input"), flip], name="augment")


def pictures(n, seed=0):
    """Noise: uint8 (n, 32, 32, 3)."""
    return np.random.default_rng(seed).integers(0, 256, (n, 32, 32, 3)).astype("uint8")


def weights_of(model):
    """A copy of each weight: {"block1_conv1/kernel": array, ...}."""
    return {"/".join(weight.path.split("/")[-2:]): weight.numpy() for weight in model.weights}


def moved(before, after):
    """The layers of which a weight differs between two results of `weights_of`."""
    return {key.split("/")[0] for key in before if not np.array_equal(before[key], after[key])}


def run(model, x):
    """What a model says, as an array. Keras warns of a list of one input that gets an array, which is harmless."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(model(x, training=False))


def same_rows(a, b):
    """bool (len(a), len(b)): which rows are the same but for rounding."""
    return np.abs(a.reshape(len(a), 1, -1) - b.reshape(1, len(b), -1)).max(axis=2) < 1e-3


def _close(a, b):
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-3, atol=1e-4)


def _require_several(answer, count, what):
    require(isinstance(answer, list | tuple) and len(answer) == count, f"{count} things are to be returned: {what}")


check, hint = feedback(q1, q2, q3, q4, q5)
