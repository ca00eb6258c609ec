"""Known wrong answers to the exercise on fine-tuning, and what their learner must be told."""

COMPILE = 'model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")'
FIT = "model.fit(x, y, batch_size=8, verbose=0)"
FREEZE = "base.trainable = False"
OPEN = '[setattr(layer, "trainable", layer.name.startswith("block5")) for layer in base.layers]'
CLOSE_BELOW = "[setattr(layer, 'trainable', False) for layer in base.layers if 'block5' not in layer.name]"


def phases(first, second):
    return f"""
def head_then_top(model, x, y):
    base = model.get_layer("base")
    {"; ".join(first)}
    after = weights_of(model)
    {"; ".join(second)}
    return after, weights_of(model)
"""


def halves(cut="base.layers[place - 1].output", freeze="lower", upper="keras.Model(cut, base.outputs[0])"):
    return f"""
def cut_in_two(base, block):
    place = [layer.name.startswith(block) for layer in base.layers].index(True)
    cut = {cut}
    lower = keras.Model(base.inputs[0], cut)
    {freeze}.trainable = False
    return lower, {upper}
"""


VIEWS = "[lower(augment(x, training=True), training=False) for _ in range(views)]"


def views(activations=VIEWS, labels="np.tile(y, views)", validation="lower(x_val, training=False)"):
    return f"""
def run_views(lower, augment, x, y, x_val, views):
    activations = {activations}
    return np.concatenate(activations), {labels}, np.asarray({validation})
"""


def steps(body):
    return f"""
def one_step(model, x, y, factors):
    class Slower(keras.optimizers.Adam):
        def update_step(self, gradient, variable, learning_rate):
            factor = next((factors[block] for block in factors if block in variable.name), 1.0)
            {body}

    model.compile(Slower(1e-3), "sparse_categorical_crossentropy")
    model.train_on_batch(x, y)
    return model
"""


def chosen(by='means["validation"].idxmax()', values='rows["test"]', result="interval(values)"):
    return f"""
def choose(table):
    means = table.groupby("strategy")[["training", "validation", "test"]].mean()
    name = {by}
    rows = table[table["strategy"] == name]
    values = {values}
    return name, *{result}
"""


def around_mean(half):
    return chosen(result=f"(values.mean(), values.mean() - {half}, values.mean() + {half})")


WRONG = {
    "q1": [
        (phases([COMPILE, FIT], [OPEN, COMPILE, FIT]), "the base moved already in the first phase"),
        (phases(["model.trainable = False", COMPILE, FIT], [OPEN, COMPILE, FIT]), "nothing was trained"),
        (phases([FREEZE, COMPILE, FIT], [OPEN, FIT]), "goes on with the training step that it was compiled with"),
        (phases([FREEZE, COMPILE, FIT], [CLOSE_BELOW, COMPILE, FIT]), "still switched off one by one"),
        (phases([FREEZE, COMPILE, FIT], ["base.trainable = True", COMPILE, FIT]), "opens all of its blocks"),
        (
            phases([FREEZE, COMPILE, FIT], ['base.get_layer("block5_conv1").trainable = True', COMPILE, FIT]),
            "only a part of block5 was open",
        ),
        (
            phases([FREEZE, COMPILE, FIT], [OPEN, "model.layers[-1].trainable = False", COMPILE, FIT]),
            "the head stood still in the second phase",
        ),
    ],
    "q2": [
        (halves(upper="keras.models.clone_model(keras.Model(cut, base.outputs[0]))"), "new random weights"),
        (halves(cut="base.layers[place - 2].output"), "before its pooling: to keep a picture would take 4 times"),
        (halves(cut="base.layers[place].output"), "`lower` contains layers of block5"),
        (halves(freeze="head = keras.layers.Flatten(); head"), "`lower` would be trained"),
        (halves(freeze="base"), "and only it, should train"),
        (
            halves(upper='keras.Sequential([keras.Input(cut.shape[1:]), *base.layers[place:-1]], name="upper")'),
            "a layer without weights is lost",
        ),
        (halves(upper="keras.Sequential(base.layers[place:])"), "`upper` has no input yet"),
    ],
    "q3": [
        (views(labels="np.repeat(y, views)"), "the labels are not in the order of the activations"),
        (views("[lower(augment(x, training=False)) for _ in range(views)]"), "no view differs from its picture"),
        (views("[lower(augment(x, training=True))] * views"), "it was augmented once, and the result repeated"),
        (views("[augment.layers[0](lower(x), training=True) for _ in range(views)]"), "the activations were augmented"),
        (views("[lower(augment(x), training=True) for _ in range(views)]"), "its dropout was on"),
        (views(validation="lower(augment(x_val, training=True))"), "the validation pictures were changed"),
    ],
    "q4": [
        (steps("super().update_step(gradient * factor, variable, learning_rate)"), "does not make a smaller step"),
        (
            steps("super().update_step(gradient, variable, learning_rate * factors.get(variable.name, 1.0))"),
            "no weight was found under the name of its block",
        ),
        (
            steps("super().update_step(gradient, variable, learning_rate * min(factors.values()))"),
            "a factor is for the weights of its own block",
        ),
        (
            steps("if factor == 1: super().update_step(gradient, variable, learning_rate)"),
            "slower does not mean frozen",
        ),
        (
            steps("super().update_step(gradient, variable, learning_rate * (0.1 if factor < 1 else 1))"),
            "its factor is 0.5",
        ),
    ],
    "q5": [
        (chosen('means["test"].idxmax()'), "the test pictures have chosen"),
        (chosen('means["training"].idxmax()'), "you chose by training accuracy"),
        (chosen('table["strategy"][table["validation"].idxmax()]'), "the luckiest seed"),
        (chosen(values='rows["validation"]'), "the accuracy that you chose by"),
        (chosen(result="interval([values.max(), values.max()])"), "you report the best seed"),
        (around_mean("1.96 * values.std()"), "the spread of single seeds"),
        (around_mean("1.96 * values.sem()"), "1.96 is for many seeds"),
    ],
}
