"""Checks of exercise 02: shapes agree, what compile fixes, the last two layers, one sigmoid, pairs, switches."""

import numpy as np

from tlcourse.exercises import feedback, hints, require


@hints(
    "Two steps: a border on each side of the height and the width, and grey three times along the last axis.",
    "`np.pad` takes (before, after) for each of the four axes; `np.repeat` copies along one axis.",
    "`np.pad(digits, ((0, 0), (2, 2), (2, 2), (0, 0)))` puts the border; repeat that on axis 3.",
)
def q1(to_pictures):
    digits = np.random.default_rng(1).integers(20, 256, (3, 28, 28, 1)).astype("uint8")
    made = to_pictures(digits)
    require(isinstance(made, np.ndarray), f"an array is asked for, and a {type(made).__name__} came back")
    require(made.shape != (3, 32, 32, 1), "there is still one channel, and the network takes three")
    require(made.shape[1:3] != (28, 28), "the sides are still 28 long: the border is missing")
    require(made.shape == (3, 32, 32, 3), f"of three digits an array {made.shape} was made, not (3, 32, 32, 3)")
    require(not 0 < made.max() <= 1, "the values were divided by 255: the network scales inside, it takes 0 to 255")
    strips = np.resize(digits.reshape(3, -1), (3, 32, 32, 3))
    require(not np.array_equal(made, strips), "the digit was reshaped, not framed: its rows run into each other")
    require((made == made[..., :1]).all(), "the three channels differ: grey is the same number three times")
    middle, frame = made[:, 2:30, 2:30], made.copy()
    frame[:, 2:30, 2:30] = 0
    places = [made[:, i : i + 28, j : j + 28, :1] for i in range(5) for j in range(5)]
    found = any(np.array_equal(place, digits) for place in places)
    moved = "the digit is whole, but not in the middle: the border is not two pixels on every side"
    require(np.array_equal(middle[..., :1], digits) or not found, moved)
    require(found, "the pixels of the digits have changed: nothing is resized or mixed here, each keeps its value")
    require(not frame.any(), "the border is not black, and the background of a digit is 0")
    require(made.dtype == np.uint8, f"pictures are uint8 until they are in a model, and these are {made.dtype}")


@hints(
    "Go through the steps one by one with `for` and `if`; at each `fit`, keep the weights from before it.",
    "`[w.copy() for w in base.get_weights()]` keeps the weights; `np.array_equal` compares them.",
    "At a `fit`: keep, `model.fit(x4, y4, verbose=0)`, compare. What the last comparison said is the answer.",
)
def q2(moves):
    def say(steps):
        said = moves(steps.split())
        require(isinstance(said, bool | np.bool_), f"True or False is asked for, not {said!r:.40}")
        return said

    require(say("compile fit"), "an open base does move: did you keep its weights from before the fit, as copies?")
    flag = "you went by `trainable`, or by a rule: {}, yet the weights say something else, so look at them"
    require(say("compile fit freeze fit"), flag.format("the base is frozen at the last fit"))
    last = "only the last fit counts: the weights are compared with those from before an earlier one"
    require(not say("compile fit freeze compile fit"), last)
    require(not say("compile freeze fit"), flag.format("the freezing came after the compiling"))


@hints(
    "An Activation is a layer, too, but it has no weights. Which layers of `model.layers` have some?",
    "`[layer for layer in model.layers if layer.weights]`: all of these but the last two are to be frozen.",
    "The model has trained before, so after `trainable = False` it needs `compile` once more, and then `fit`.",
)
def q3(narrow):
    import keras

    keras.utils.set_random_seed(3)
    parts = [keras.Input((5,))]
    for number, units in enumerate((6, 5, 4, 3), 1):
        activation = "softmax" if number == 4 else "tanh"
        parts += [keras.layers.Dense(units, name=f"dense{number}")]
        parts += [keras.layers.Activation(activation, name=f"activation{number}")]
    model = keras.Sequential(parts, name="old_style")
    x = np.random.default_rng(3).normal(size=(48, 5)).astype("float32")
    answer = narrow(model, x, np.arange(48) % 3)
    ok = isinstance(answer, list | tuple) and len(answer) == 2 and isinstance(answer[1], keras.Model)
    require(ok, "the function is to return `halfway, model`, as the last line had it")
    halfway, after = answer
    names = [layer.name for layer in model.layers]
    same = [layer.name for layer in after.layers] == names and len(list(halfway)) == len(after.weights) == 8
    require(same, "the model that came back has other layers: train the one that came in")
    old, new = (list(zip(w[::2], w[1::2])) for w in (halfway, after.get_weights()))
    moved = {n for n, (a, b) in enumerate(zip(old, new), 1) if not all(map(np.array_equal, a, b))}
    shut = not after.get_layer("dense1").trainable_weights
    require(moved, "nothing moved in the second epoch: is everything frozen, or was there no second `fit`?")
    late = "the frozen layers moved all the same: the model had trained before, and nobody told it to look again"
    require(not (shut and {1, 2} & moved), late)
    require(len(moved) < 4, "every layer moved in the second epoch: none of them was frozen")
    require(moved != {4}, "one layer alone learns: you counted the activations, which have no weights")
    require(moved == {3, 4}, f"of the four dense layers, number {sorted(moved)} moved: it should be the last two")


@hints(
    "One number a picture, between 0 and 1: how many units is that, and which activation gives it?",
    "`base.trainable = False`, then `keras.Sequential([base, ...])` with a last Dense of one unit.",
    'The last layer is `layers.Dense(1, activation="sigmoid")`, the loss is "binary_crossentropy".',
)
def q4(smile_model):
    import keras

    base = small_base(keras, 4)
    model = smile_model(base)
    require(isinstance(model, keras.Model), f"a Keras model is asked for, and a {type(model).__name__} came back")
    x = np.random.default_rng(4).integers(0, 256, (32, 8, 8, 3)).astype("uint8")
    y = (np.arange(32) % 2)[:, None].astype("float32")
    try:
        said = keras.ops.convert_to_numpy(model(x))
    except Exception:  # what Keras raises depends on the layer
        require(False, "the model does not take pictures as the base does: the base is to be its first part")
    two = "two numbers a picture come out: right for two softmax units, but one probability is asked for"
    require(said.shape != (32, 2), two)
    require(said.shape == (32, 1), f"of 32 pictures the model makes an array {said.shape}, not (32, 1)")
    require(np.ptp(said) > 0 or said[0, 0] != 1, "one unit with a softmax always says 1, whatever the picture is")
    require(np.ptp(said) > 0, "every picture gets the same number: does the base still see the picture?")

    def holds(weights):  # each weight of the base, somewhere among these
        return [any(np.array_equal(w, v) for v in weights) for w in base.get_weights()]

    require(all(holds(model.get_weights())), "the weights of the base are lost: put the base itself into the model")
    opened = any(holds([w.numpy() for w in model.trainable_weights]))
    require(not opened, "the base is still open: training would change what it learned on the source")
    require(model.trainable_weights, "nothing can learn: the new layers are frozen, too")
    require(model.compiled, "the model is not compiled, or not with a loss that is given by its name")
    p = np.linspace(0.05, 0.95, 32)[::-1, None].astype("float32")
    try:
        loss = float(model.compute_loss(y=y, y_pred=p))
    except Exception:  # what Keras raises depends on the loss
        require(False, "the loss cannot take one probability a picture: it is one for several classes")

    def cross(p):  # the cross-entropy of yes or no, by hand
        return -np.mean(np.log(np.where(y == 1, p, 1 - p)))

    for weight in model.trainable_weights:  # as far as a long training might take them
        weight.assign(30 * weight)
    wide = keras.ops.convert_to_numpy(model(x))
    require(0 <= wide.min() and wide.max() <= 1, "the numbers can leave 0 to 1: a probability needs its activation")
    twice = "the loss was told to take numbers from before a sigmoid (`from_logits`), and the model gives probabilities"
    require(abs(loss - cross(1 / (1 + np.exp(-p)))) > 1e-3, twice)
    require(abs(loss) > 1e-6, "this loss is 0 whatever one unit says, so nothing would be learned")
    require(abs(loss - cross(p)) < 1e-3, "the loss is not the cross-entropy of yes or no")


@hints(
    "Line up the accuracies by seed first; then take the five differences, and forget the accuracies.",
    'One way: `rows.set_index("seed")["accuracy"]` for each side. pandas subtracts by index.',
    "Half the width is t times s / √n: s with `ddof=1`, t from `stats.t.ppf(0.975, n - 1)`.",
)
def q5(paired):
    table = seeds({"new": [0.62, 0.70, 0.55, 0.66, 0.59], "old": [0.60, 0.66, 0.54, 0.61, 0.57], "else": [0.9] * 5})
    new, old = (table[table["strategy"] == name] for name in ("new", "old"))
    answer = paired(table, "new", "old")
    three = isinstance(answer, list | tuple | np.ndarray) and len(answer) == 3
    require(three, "three numbers are asked for: the mean, the lower and the upper end")
    numbers = all(isinstance(each, int | float | np.number) and np.isfinite(each) for each in answer)
    require(numbers, f"these are not three numbers: {answer}")
    mean, low, high = map(float, answer)
    by_seed = new.set_index("seed")["accuracy"] - old.set_index("seed")["accuracy"]
    by_row = new["accuracy"].to_numpy() - old["accuracy"].to_numpy()
    d, n = by_seed.to_numpy(), 5
    error, t = d.std(ddof=1) / n**0.5, 2.7764
    require(abs(mean) < 1, "the accuracies are fractions, and these differences are in points")
    require(abs(mean + d.mean()) > 1e-6, "the sign is the wrong way round: `better` is ahead, so it is above 0")
    require(abs(mean - d.mean()) < 1e-6, "the mean difference is another one: are other strategies in it?")
    half = (high - low) / 2
    require(half >= 0 and abs(low + high - 2 * mean) < 1e-6, "the mean is not in the middle between low and high")
    both = (new["accuracy"].var() / n + old["accuracy"].var() / n) ** 0.5
    known = {
        t * by_row.std(ddof=1) / n**0.5: "rows were paired as they stand in the table, not by their seed",
        1.96 * error: "1.96 is for large samples: with five seeds the spread itself is uncertain",
        t * d.std(ddof=1): "this is where single differences lie: that of their mean is narrower",
        t * d.std() / n**0.5: "the spread was divided by n: with the mean taken from the data itself it is n - 1",
        error: "this is one standard error on each side, about 63 % with five seeds, not 95 %",
        2.1318 * error: "5 % are left out on each side here, which makes 90 %",
    }
    for factor in (t, 2.3060, 1.96):
        known[factor * both] = "the two were taken as strangers: the same seed made both trainings, so subtract first"
    for wrong, because in known.items():
        require(abs(half - wrong) > 2e-5, because)
    require(abs(half - t * error) < 2e-5, f"the interval has the half width {half:.4f}, which no usual formula gives")


@hints(
    "A copied network stands there; the question is only whether its layers are frozen. Which rows answer that?",
    'Compare "copied, frozen" with "copied, free" at that size: both are copied, one switch differs.',
    'The whole interval above 0: one answer; below 0: the other; else it is "too close to call".',
)
def q6(advice):
    import pandas as pd

    def table(frozen, free, scratch, random=0.2):
        base = np.array([0.50, 0.60, 0.55, 0.45, 0.40])
        parts = {"copied, frozen": frozen, "copied, free": free, "from scratch": scratch, "random, frozen": random}
        return seeds({name: base + np.asarray(part) for name, part in parts.items()}).assign(size=100)

    def say(rows):
        said = advice(rows, 100)
        words = ("freeze", "fine-tune", "too close to call")
        require(isinstance(said, str) and said in words, f"one of {words} is asked for, not {said!r:.40}")
        return said

    small, noisy = np.array([0.01, -0.01, 0.005, -0.005, 0]), np.array([0.15, -0.10, 0.02, 0.12, -0.09])
    ahead, behind = table(0.05 + small, 0, 0.2), table(-0.05 + small, 0, -0.2)
    said = say(behind), say(ahead)
    if said == ("freeze", "fine-tune"):
        require(say(table(0.05 + small, 0, -0.2)) == "freeze", "the two answers are the wrong way round")
        require(False, "you asked whether copying pays against scratch, which turns two switches; one is in question")
    seen = "the seeds go up and down together, and the differences hardly do: pair the rows by seed"
    require(said != ("too close to call", "too close to call"), seen)
    require("too close to call" not in said, "a whole interval below 0 is an answer as well as one above 0")
    same = f"the same advice, {said[0]!r}, comes where frozen is ahead and where free is"
    require(said == ("fine-tune", "freeze"), same)
    open_ = "where the interval has 0 inside, other seeds might turn the answer round: that is too close to call"
    unsure = say(table(0.02 + noisy, 0, -0.2)), say(table(noisy - 0.06, 0, 0.2))
    require(unsure == ("too close to call", "too close to call"), open_)
    both = advice(pd.concat([behind.assign(size=1000), ahead], ignore_index=True), 100)
    require(both == "freeze", "the rows of another size were used, too")


def seeds(accuracies):
    """A table with a row for each strategy and seed; the seeds stand in another order for each strategy."""
    import pandas as pd

    rows = []
    for place, (name, values) in enumerate(accuracies.items()):
        order = np.roll(np.arange(len(values)), place)
        rows += [{"strategy": name, "seed": int(i), "accuracy": float(values[i])} for i in order]
    return pd.DataFrame(rows)


def small_base(keras, seed):
    """A network from pictures (8, 8, 3) to six features, as a source would leave it."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((8, 8, 3))
    flat = keras.layers.Flatten(name="flat")(keras.layers.Rescaling(1 / 255, name="scale")(inputs))
    # A bias of zeros could not be told from the bias of a new layer.
    six = keras.layers.Dense(6, activation="tanh", bias_initializer="random_normal", name="six")(flat)
    return keras.Model(inputs, six, name="source")


check, hint = feedback(q1, q2, q3, q4, q5, q6)
