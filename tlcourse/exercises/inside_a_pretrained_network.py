"""Checks of exercise 03: what is inside, preprocessing, two kinds of mistake, what is open, batch norm, controls."""

import numpy as np

from tlcourse.exercises import feedback, hints, require

MODULES = {"VGG16": "vgg16", "ResNet50": "resnet50", "InceptionV3": "inception_v3", "DenseNet121": "densenet"}


@hints(
    "A network inside a model is one of its layers. How do you get to the layers inside that one?",
    "Let the function call itself: `if isinstance(layer, keras.Model)`, then `parameters_by_type(layer)`.",
    "For any other layer add `layer.count_params()` under `type(layer).__name__`.",
)
def q1(parameters_by_type):
    import keras

    layers = keras.layers
    parts = [layers.Conv2D(3, 3, trainable=False, name="c1"), layers.Conv2D(3, 1, name="c2")]
    inner = keras.Sequential([keras.Input((4, 4, 2)), *parts], name="inner")
    inputs = keras.Input((4, 4, 2))
    middle = keras.Model(inputs, layers.BatchNormalization(name="norm")(inner(inputs)), name="middle")
    head = [layers.Flatten(name="flat"), layers.Dense(5, name="d1"), layers.Dense(2, name="d2")]
    said = parameters_by_type(keras.Sequential([keras.Input((4, 4, 2)), middle, *head], name="outer"))
    require(isinstance(said, dict), f"a dictionary is asked for, and a {type(said).__name__} came back")
    nested = "a network inside the model was counted as one layer: what is it made of?"
    require(not {"Functional", "Sequential", "Model"} & set(said), nested)
    numbers = all(isinstance(each, int | float | np.number) and np.isfinite(each) for each in said.values())
    require(numbers, "the values are to be numbers of parameters")
    said = {key: int(value) for key, value in said.items() if value}
    require(set(said) != {"Dense"}, "the outer layers alone were counted: what is inside a nested model is left out")
    arrays = {"Conv2D": 4, "BatchNormalization": 4, "Dense": 4}
    require(said != arrays, "these are arrays of weights, and one array holds many parameters")
    last = "of two layers of one type only one was counted: add them up"
    require(said.get("Dense") not in (65, 12), last)
    require(said.get("BatchNormalization") != 6, "moving statistics are numbers that you downloaded, too: count them")
    require(said.get("Conv2D") != 12, "one layer is frozen, and its parameters are parameters all the same")
    right = {"Conv2D": 69, "BatchNormalization": 12, "Dense": 77}
    require(said == right, f"the model that the check made has {sum(right.values())} parameters, and you found {said}")


@hints(
    "`preprocess_input` of the family's own module does all of it. What did it do to its argument in the lesson?",
    "`MODULES[family]` is the module. It overwrites floats, so let it have a copy.",
    '`ready = MODULES[family].preprocess_input(x.astype("float32"))`: `astype` makes a copy by default.',
)
def q2(prepare):
    import keras

    x = np.random.default_rng(2).uniform(0, 255, (2, 3, 3, 3)).astype("float32")
    for family, module in MODULES.items():
        answer = prepare(x, family)
        pair = isinstance(answer, list | tuple) and len(answer) == 2
        same = pair and all(isinstance(a, np.ndarray) and a.shape == x.shape and a.dtype.kind in "uif" for a in answer)
        require(same, "two arrays are asked for, both of the shape of `x`: x itself, and what the network wants")
        own = getattr(keras.applications, module).preprocess_input
        kept, ready = answer

        def close(other):
            return np.allclose(ready, other, atol=0.01)

        require(not close(own(own(x.copy()))), "this is preprocessed twice: `x` was overwritten on the way")
        require(np.array_equal(kept, x), "the caller's pictures were overwritten: `preprocess_input` works in place")
        require(not close(x), f"these are the pictures as they were, and {family} wants other numbers")
        require(not close(x / 255), f"dividing by 255 is not for all: {family} was trained on other numbers")
        require(not close(own(x[..., ::-1].copy())), f"red and blue have changed places before {family} got them")
        require(not close(own(x.copy())[..., ::-1]), f"the channels are not in the order that {family} wants")
        for other, name in MODULES.items():
            if name not in (module, {"vgg16": "resnet50", "resnet50": "vgg16"}.get(module)):
                wrong = getattr(keras.applications, name).preprocess_input(x.copy())
                require(not close(wrong), f"this is what {other} wants, and the family is {family}")
        require(close(own(x.copy())), f"the numbers are not those that {family} was trained on")
    kept, ready = prepare(x.astype("uint8"), "VGG16")
    whole = keras.applications.vgg16.preprocess_input(x.astype("uint8"))
    require(np.allclose(ready, whole, atol=0.01), "with pictures of type uint8 other numbers come out")


@hints(
    "There are three accuracies: right and right, wrong and wrong, and one where the test pictures alone are wrong.",
    'A cost is the accuracy of right and right, minus that of the mistake. "all the way" trains on wrong, too.',
    '"test only" is `best - probe_accuracy(right[0], y_train, wrong[1], y_test)`.',
)
def q3(two_costs):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def accuracy(train, test):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
        return probe.fit(train, y_train).score(test, y_test)

    y_train, y_test, right, wrong = spoiled(3)
    said = two_costs(right, wrong, y_train, y_test)
    keys = isinstance(said, dict) and set(said) == {"all the way", "test only"}
    require(keys, 'a dictionary with "all the way" and "test only" is asked for')
    numbers = all(isinstance(each, int | float | np.number) and np.isfinite(each) for each in said.values())
    require(numbers, "the two costs are to be numbers")
    everywhere, test_only = said["all the way"], said["test only"]
    best, alone = accuracy(right[0], right[1]), accuracy(right[0], wrong[1])
    turned, both = accuracy(wrong[0], right[1]), accuracy(wrong[0], wrong[1])

    def near(a, b):
        return abs(a - b) < 0.004

    points = "a cost is a fraction, 0.1 for ten points, and these are larger than 1"
    require(abs(everywhere) <= 1 and abs(test_only) <= 1, points)
    reached = "these are the accuracies that were reached, and what was lost is asked for"
    require(not (near(everywhere, both) and near(test_only, alone)), reached)
    sign = "the signs are turned round: what is lost counts as a positive cost"
    require(not (near(everywhere, both - best) and near(test_only, alone - best)), sign)
    swapped = near(everywhere, best - alone) and near(test_only, best - both)
    require(not swapped, "the two mistakes have changed places: all the way means that the probe trained on it, too")
    trained = "the mistake is in the training pictures here, and the test pictures are right: that is another mistake"
    require(not near(test_only, best - turned), trained)
    as_well = "all the way: the test pictures are wrong as well, not only the others"
    require(not near(everywhere, best - turned), as_well)
    require(near(everywhere, best - both), "the cost of the mistake all the way is another one")
    require(near(test_only, best - alone), "the cost of the mistake at the test only is another one")


@hints(
    "`model.layers[0]` is the network. `trainable = True` on it opens nothing that was closed by hand inside.",
    "So say it layer by layer: `for layer in model.layers[0].layers`.",
    "In the loop: `layer.trainable = layer.name.startswith(start)`. Then open the head, too, and count.",
)
def q4(open_from):
    import keras

    model = nested(keras, closed=("block2_conv1", "block1_conv1"))
    answer = open_from(model, "block2")
    pair = isinstance(answer, list | tuple) and len(answer) == 2 and isinstance(answer[0], keras.Model)
    require(pair and isinstance(answer[1], int | float | np.number), "the model and a number are to come back")
    after, counted = answer
    names = [layer.name for layer in model.layers]
    require([layer.name for layer in after.layers] == names, "another model came back than the one that came in")
    inside = {layer.name for layer in after.layers[0].layers if layer.trainable_weights}
    shut = [layer.name for layer in after.layers[1:] if layer.weights and not layer.trainable_weights]
    require(not shut, "the new head is closed, and it has everything to learn")
    whole = {"block1_conv1", "block1_conv2", "block2_conv1", "block2_conv2"}
    require(inside, "the whole network is closed: it is one layer of the model, so look for the names inside of it")
    require(inside != whole, "the whole network is open: it is one layer of the model, so close what is inside of it")
    no_op = "block2_conv1 was closed by hand, and still is: `trainable = True` is skipped where it says True already"
    require("block2_conv1" in inside, no_op)
    require(not inside & {"block1_conv1", "block1_conv2"}, f"a layer below is open: {', '.join(sorted(inside))}")
    require(inside == {"block2_conv1", "block2_conv2"}, f"open inside the network: {', '.join(sorted(inside))}")
    up = "nothing would be trained: a model with `trainable = False` trains nothing, whatever its layers say"
    require(counted != 0, up)
    there = sum(weight.numpy().size for weight in after.trainable_weights)
    require(counted == there, f"training would change {there} parameters in this model, and you counted {counted}")


@hints(
    "The lesson tried two remedies. Which of them held the statistics still in Keras 3.15?",
    "Find the layers by `isinstance(layer, layers.BatchNormalization)`, also inside the network, and freeze them.",
    "`for layer in model.layers[0].layers: if isinstance(...): layer.trainable = False`. Then compile, then fit.",
)
def q5(fine_tune):
    import keras

    model, x, y = with_norm(keras, 5)
    after = fine_tune(model, x, y)
    require(isinstance(after, keras.Model), f"the model is to come back, and a {type(after).__name__} did")
    before, now = ({"/".join(w.path.split("/")[-2:]): w.numpy() for w in each.weights} for each in (model, after))
    require(set(before) == set(now), "the model that came back has other weights: train the one that came in")
    moved = {name for name in now if not np.array_equal(before[name], now[name])}
    require(moved, "nothing moved: was the model trained, and with a learning rate above 0?")
    statistics = {name for name in moved if "moving" in name}
    filters = {"filters/kernel", "more/kernel"} & moved
    require(filters or statistics, "the statistics are still, but so is every filter: too much is frozen")
    called = "`training=False` in the call does not hold the statistics when `fit` trains; something else does"
    loose = "the statistics moved: BatchNormalization ran in training mode, and no learning rate holds them"
    outer = "the statistics of one layer are still, those of another moved: look into every level"
    norms = {name.split("/")[0] for name in statistics}
    require(norms != {"scaling"} and norms != {"outside"}, outer)
    rebuilt = [layer.name for layer in after.layers] != [layer.name for layer in model.layers]
    require(not statistics, called if rebuilt else loose)
    require("head/kernel" in moved, "the head did not learn")
    require(len(filters) == 2, "the filters are to learn as well, and some of them did not")


@hints(
    "The controls are all the strategies but one. Ask the same question of each of them.",
    '`claims.judge("", "", table, "pretrained features", control, by=by).verdict`: when is it "holds"?',
    "Keep a control where the *lower end* of the interval is above `by`: `.low > by`.",
)
def q6(beaten):
    table = results()
    said = beaten(table, 0.05)
    names = isinstance(said, list | tuple | np.ndarray) and all(isinstance(each, str) for each in said)
    require(names, "a list of names of strategies is asked for")
    said = set(map(str, said))
    every = set(table["strategy"]) - {"pretrained features"}
    require("pretrained features" not in said, "the features are among the controls, and nothing beats itself")
    require(said <= every, f"some of these are not in the table: {', '.join(sorted(said - every))}")
    require("better yet" not in said, "a control that is better than the features was beaten, you say")
    require("a little worse" not in said, "it is beaten, but by less than was asked for: mind `by`")
    require("much worse once" not in said, "the mean is far behind, its interval is not: one seed alone made it")
    behind = "a control that is behind with every seed is missing: pair by seed, not by place"
    require("worse each time" in said, behind)
    require(said == {"worse each time", "far behind"}, f"beaten were two of the controls, not {sorted(said)}")


def results():
    """A table of features and five controls; the seeds stand in another order for each."""
    import pandas as pd

    features = np.array([0.70, 0.60, 0.65, 0.75, 0.68])
    behind = {
        "pretrained features": 0 * features,
        "far behind": [0.31, 0.29, 0.30, 0.32, 0.28],
        "worse each time": [0.09, 0.10, 0.08, 0.09, 0.10],
        "a little worse": [0.03, 0.025, 0.035, 0.03, 0.03],
        "much worse once": [0.02, 0.03, 0.01, 0.55, 0.02],
        "better yet": [-0.06, -0.05, -0.07, -0.06, -0.05],
    }
    rows = []
    for place, (name, less) in enumerate(behind.items()):
        for seed in np.roll(np.arange(5), place):
            rows.append({"strategy": name, "seed": int(seed), "accuracy": float(features[seed] - less[seed])})
    return pd.DataFrame(rows)


def spoiled(seed, n=600):
    """Labels and features of training and test pictures, right and with a mistake that spoils the best one."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, 2 * n)
    strong, weak = y + rng.normal(0, 0.4, 2 * n), y + rng.normal(0, 0.9, 2 * n)
    right = np.stack([strong, weak], axis=1)
    wrong = np.stack([1 - 0.5 * y + rng.normal(0, 0.3, 2 * n), weak], axis=1)
    return y[:n], y[n:], (right[:n], right[n:]), (wrong[:n], wrong[n:])


def nested(keras, closed):
    """A model whose first layer is a network of two blocks; the layers named in `closed` are frozen."""
    layers = keras.layers
    x = inputs = keras.Input((6, 6, 2))
    for name in ("block1_conv1", "block1_conv2", "block2_conv1", "block2_conv2"):
        x = layers.Conv2D(3, 2, activation="tanh", name=name)(x)
    network = keras.Model(inputs, x, name="network")
    for name in closed:
        network.get_layer(name).trainable = False
    head = [layers.GlobalAveragePooling2D(name="pool"), layers.Dense(3, activation="softmax", name="head")]
    return keras.Sequential([keras.Input((6, 6, 2)), network, *head], name="model")


def with_norm(keras, seed):
    """A model with BatchNormalization inside its network and outside, and 24 pictures and labels for it."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    inputs = keras.Input((6, 6, 2))
    x = layers.Conv2D(4, 3, name="filters")(inputs)
    x = layers.Activation("tanh", name="bend")(layers.BatchNormalization(name="scaling")(x))
    network = keras.Model(inputs, layers.Conv2D(3, 2, name="more")(x), name="network")
    head = [layers.GlobalAveragePooling2D(name="pool"), layers.BatchNormalization(name="outside")]
    head += [layers.Dense(3, activation="softmax", name="head")]
    model = keras.Sequential([keras.Input((6, 6, 2)), network, *head], name="model")
    x = np.random.default_rng(seed).normal(2, 3, (24, 6, 6, 2)).astype("float32")
    return model, x, np.arange(24) % 3


check, hint = feedback(q1, q2, q3, q4, q5, q6)
