"""Known wrong answers of exercise 03, and what their learners are told."""

COUNT = """
def parameters_by_type(model):
    counts = {}
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            inside = NESTED
        else:
            inside = {type(layer).__name__: NUMBER}
        for name, number in inside.items():
            counts[name] = counts.get(name, 0) + number
    return counts
"""
DOWN = "parameters_by_type(layer)"

PREPARE = """
def prepare(x, family):
    return x, READY
"""

COSTS = """
def two_costs(right, wrong, y_train, y_test):
    best = probe_accuracy(right[0], y_train, right[1], y_test)
    everywhere = probe_accuracy(wrong[0], y_train, wrong[1], y_test)
    test_only = probe_accuracy(right[0], y_train, wrong[1], y_test)
    train_only = probe_accuracy(wrong[0], y_train, right[1], y_test)
    return {"all the way": ALL, "test only": TEST}
"""

OPEN = """
def open_from(model, start):
    BODY
    return model, sum(weight.numpy().size for weight in model.trainable_weights)
"""
OWN = """for layer in model.layers[0].layers:
        layer.trainable = layer.name.startswith(start)"""
NO_OP = """model.layers[0].trainable = True
    for layer in model.layers[0].layers:
        if not layer.name.startswith(start):
            layer.trainable = False"""

TUNE = """
def fine_tune(model, x, y):
    BEFORE
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=len(x), verbose=0)
    return model
"""
CALLED = """inputs = keras.Input(model.input_shape[1:])
    outputs = inputs
    for layer in model.layers:
        outputs = layer(outputs, training=False) if layer is model.layers[0] else layer(outputs)
    model = keras.Model(inputs, outputs, name="again")"""
INNER = """for layer in model.layers[0].layers:
        layer.trainable = not isinstance(layer, layers.BatchNormalization)"""
OUTER = INNER.replace("model.layers[0].layers", "model.layers")

BEATEN = """
def beaten(table, by):
    controls = set(table["strategy"]) - {"pretrained features"}
    won = {name: claims.judge("", "", table, "pretrained features", name, by=by) for name in controls}
    return [name for name, claim in won.items() if RULE]
"""


def fill(template, **parts):
    for name, text in parts.items():
        template = template.replace(name, text)
    return template


WRONG = {
    "q1": [
        (fill(COUNT, NESTED="{type(layer).__name__: 1}", NUMBER="layer.count_params()"), "as one layer"),
        (fill(COUNT, NESTED="{}", NUMBER="layer.count_params()"), "the outer layers alone"),
        (fill(COUNT, NESTED=DOWN, NUMBER="sum(w.numpy().size for w in layer.trainable_weights)"), "moving statistics"),
        (fill(COUNT, NESTED=DOWN, NUMBER="layer.count_params() if layer.trainable else 0"), "one layer is frozen"),
        (fill(COUNT, NESTED=DOWN, NUMBER="len(layer.weights)"), "these are arrays"),
        (
            fill(COUNT, NESTED=DOWN, NUMBER="layer.count_params()").replace("counts.get(name, 0) + number", "number"),
            "add them up",
        ),
    ],
    "q2": [
        (fill(PREPARE, READY="MODULES[family].preprocess_input(x)"), "works in place"),
        (fill(PREPARE, READY="x / 255"), "dividing by 255"),
        (fill(PREPARE, READY="applications.vgg16.preprocess_input(x.copy())"), "this is what VGG16 wants"),
        (fill(PREPARE, READY="MODULES[family].preprocess_input(x[..., ::-1].copy())"), "have changed places"),
        (
            fill(PREPARE, READY="MODULES[family].preprocess_input(MODULES[family].preprocess_input(x.copy()))"),
            "preprocessed twice",
        ),
        (fill(PREPARE, READY="x.astype('float32')"), "the pictures as they were"),
        (fill(PREPARE, READY="x.copy()").replace("return x, ", "return "), "two arrays"),
        (
            fill(PREPARE, READY="MODULES[family].preprocess_input(x.copy() if x.dtype != 'uint8' else x / 255)"),
            "of type uint8",
        ),
    ],
    "q3": [
        (fill(COSTS, ALL="best - test_only", TEST="best - everywhere"), "have changed places"),
        (fill(COSTS, ALL="everywhere", TEST="test_only"), "these are the accuracies"),
        (fill(COSTS, ALL="everywhere - best", TEST="test_only - best"), "the signs are turned round"),
        (fill(COSTS, ALL="best - everywhere", TEST="best - train_only"), "in the training pictures here"),
        (fill(COSTS, ALL="best - train_only", TEST="best - test_only"), "the test pictures are wrong as well"),
        (fill(COSTS, ALL="100 * (best - everywhere)", TEST="100 * (best - test_only)"), "0.1 for ten points"),
        (fill(COSTS, ALL="best - everywhere", TEST="everywhere - test_only"), "the test only is another one"),
    ],
    "q4": [
        (fill(OPEN, BODY=NO_OP), "is skipped"),
        (fill(OPEN, BODY=OWN.replace("model.layers[0].layers", "model.layers")), "the new head is closed"),
        (
            fill(OPEN, BODY="model.trainable = False\n    model.trainable = True\n    model.layers[:-4]"),
            "the whole network is open",
        ),
        (fill(OPEN, BODY="model.layers[0].trainable = False"), "the whole network is closed"),
        (fill(OPEN, BODY=OWN.replace("name.startswith(start)", "name >= 'block1_conv2'")), "a layer below is open"),
        (
            fill(OPEN, BODY="model.trainable = False\n    " + OWN + "\n    model.layers[-1].trainable = True"),
            "a model with `trainable = False` trains nothing",
        ),
        (fill(OPEN, BODY=OWN).replace("in model.trainable_weights", "in model.weights"), "would change"),
    ],
    "q5": [
        (fill(TUNE, BEFORE="pass"), "ran in training mode"),
        (fill(TUNE, BEFORE=CALLED), "`training=False` in the call"),
        (fill(TUNE, BEFORE=OUTER + "\n    model.layers[0].trainable = False"), "too much is frozen"),
        (fill(TUNE, BEFORE=INNER), "look into every level"),
        (fill(TUNE, BEFORE=OUTER), "look into every level"),
        (fill(TUNE, BEFORE="pass").replace("    model.fit", "    # model.fit"), "was the model trained"),
        (fill(TUNE, BEFORE="pass").replace("SGD(0.01)", "SGD(0.0)"), "no learning rate holds them"),
    ],
    "q6": [
        (fill(BEATEN, RULE="claim.difference > by"), "one seed alone made it"),
        (fill(BEATEN, RULE="claim.low > 0"), "mind `by`"),
        (fill(BEATEN, RULE="claim.difference > -1"), "better than the features was beaten"),
        (
            """
def beaten(table, by):
    from scipy import stats
    values = {name: rows["accuracy"].to_numpy() for name, rows in table.groupby("strategy")}
    own = values.pop("pretrained features")
    return [name for name, other in values.items() if stats.ttest_rel(own, other).confidence_interval().low > by]
""",
            "pair by seed",
        ),
        ("def beaten(table, by):\n    return ['majority class', 'random features']\n", "are not in the table"),
    ],
}
