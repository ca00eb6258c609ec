"""Known wrong answers of exercise 02, and what their learners are told."""

MOVES = """
def moves(steps):
    model = tiny()
    base = model.get_layer("base")
    first = [weight.copy() for weight in base.get_weights()]
    for number, step in enumerate(steps):
        if step == "compile":
            model.compile("adam", "sparse_categorical_crossentropy")
            since, counts = number, base.trainable
        elif step == "fit":
            model.fit(x4, y4, verbose=0)
        else:
            base.trainable = step == "unfreeze"
    return RESULT
"""

NARROW = """
def narrow(model, x, y):
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, verbose=0)
    halfway = [weight.copy() for weight in model.get_weights()]
    for layer in LAYERS:
        layer.trainable = False
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, verbose=0)
    return halfway, model
"""

SMILE = """
def smile_model(base):
    base.trainable = False
    model = keras.Sequential([base, layers.Dense(16, activation="relu"), layers.Dense(LAST)])
    model.compile("adam", LOSS)
    return model
"""

PAIRED = """
def paired(table, better, than):
    by_seed = table.pivot(index="seed", columns="strategy", values="accuracy")
    d = by_seed[better] - by_seed[than]
    n = len(d)
    half = HALF
    return d.mean(), d.mean() - half, d.mean() + half
"""

ADVICE = """
def advice(table, size):
    claim = claims.judge("", "", table, BETTER, THAN, size=size)
    if claim.low > 0:
        return "freeze"
    return "fine-tune" if claim.high < 0 else "too close to call"
"""


def to_pictures(line):
    return f"def to_pictures(digits):\n    return {line}\n"


def fill(template, **parts):
    for name, text in parts.items():
        template = template.replace(name, text)
    return template


FRAME = "((0, 0), (2, 2), (2, 2), (0, 0))"
CORNERS = {"BETTER": '"copied, frozen"', "THAN": '"copied, free"'}

WRONG = {
    "q1": [
        (to_pictures("np.resize(digits.reshape(len(digits), -1), (len(digits), 32, 32, 3))"), "reshaped, not framed"),
        (to_pictures(f"np.repeat(np.pad(digits, {FRAME}), 3, axis=3) / 255"), "divided by 255"),
        (to_pictures(f"np.pad(digits, {FRAME})"), "still one channel"),
        (to_pictures("np.repeat(np.pad(digits, ((0, 0), (0, 4), (0, 4), (0, 0))), 3, axis=3)"), "not in the middle"),
        (
            to_pictures(
                "np.round(keras.ops.convert_to_numpy(keras.ops.image.resize("
                "np.repeat(digits, 3, axis=3), (32, 32)))).astype('uint8')"
            ),
            "pixels of the digits have changed",
        ),
        (to_pictures(f"np.repeat(np.pad(digits, {FRAME}, constant_values=255), 3, axis=3)"), "not black"),
        (to_pictures(f"np.repeat(np.pad(digits, {FRAME}), 3, axis=3).astype('float32')"), "these are float32"),
        (to_pictures("np.repeat(digits, 3, axis=3)"), "the border is missing"),
    ],
    "q2": [
        (fill(MOVES, RESULT="base.trainable"), "you went by `trainable`"),
        (fill(MOVES, RESULT="counts"), "the freezing came after the compiling"),
        (
            fill(MOVES, RESULT="any(not np.array_equal(a, b) for a, b in zip(first, base.get_weights()))"),
            "only the last fit counts",
        ),
        (fill(MOVES, RESULT="False"), "did you keep its weights from before"),
        (fill(MOVES, RESULT="None"), "True or False is asked for"),
    ],
    "q3": [
        (fill(NARROW, LAYERS="model.layers[:-2]"), "you counted the activations"),
        (
            fill(NARROW, LAYERS="[each for each in model.layers if each.weights][:-2]").replace(
                'False\n    model.compile("adam", "sparse_categorical_crossentropy")', "False"
            ),
            "nobody told it to look again",
        ),
        (fill(NARROW, LAYERS="[]"), "none of them was frozen"),
        (fill(NARROW, LAYERS="[each for each in model.layers if each.weights][-2:]"), "it should be the last two"),
        (fill(NARROW, LAYERS="model.layers"), "nothing moved in the second epoch"),
    ],
    "q4": [
        (fill(SMILE, LAST='1, activation="softmax"', LOSS='"binary_crossentropy"'), "always says 1"),
        (fill(SMILE, LAST='2, activation="softmax"', LOSS='"sparse_categorical_crossentropy"'), "two softmax units"),
        (fill(SMILE, LAST="1", LOSS='"binary_crossentropy"'), "can leave 0 to 1"),
        (
            fill(SMILE, LAST='1, activation="sigmoid"', LOSS="keras.losses.BinaryCrossentropy(from_logits=True)"),
            "from before a sigmoid",
        ),
        (
            fill(SMILE, LAST='1, activation="sigmoid"', LOSS='"binary_crossentropy"').replace("= False", "= True"),
            "the base is still open",
        ),
        (fill(SMILE, LAST='1, activation="sigmoid"', LOSS='"mean_squared_error"'), "not the cross-entropy"),
        (fill(SMILE, LAST='1, activation="sigmoid"', LOSS='"categorical_crossentropy"'), "0 whatever one unit says"),
        (fill(SMILE, LAST='1, activation="sigmoid"', LOSS='"sparse_categorical_crossentropy"'), "for several classes"),
        (
            fill(SMILE, LAST='1, activation="sigmoid"', LOSS='"binary_crossentropy"').replace(
                "[base,", "[keras.models.clone_model(base),"
            ),
            "weights of the base are lost",
        ),
        (
            fill(SMILE, LAST='1, activation="sigmoid"', LOSS='"binary_crossentropy"').replace(
                "    return", "    model.trainable = False\n    return"
            ),
            "nothing can learn",
        ),
        (
            fill(SMILE, LAST='1, activation="sigmoid"', LOSS='""').replace('    model.compile("adam", "")\n', ""),
            "not compiled",
        ),
    ],
    "q5": [
        (fill(PAIRED, HALF="1.96 * d.std(ddof=1) / np.sqrt(n)"), "1.96 is for large samples"),
        (fill(PAIRED, HALF="stats.t.ppf(0.975, n - 1) * d.std(ddof=1)"), "where single differences lie"),
        (fill(PAIRED, HALF="stats.t.ppf(0.975, n - 1) * d.std(ddof=0) / np.sqrt(n)"), "it is n - 1"),
        (fill(PAIRED, HALF="stats.t.ppf(0.95, n - 1) * d.std(ddof=1) / np.sqrt(n)"), "makes 90 %"),
        (
            fill(PAIRED, HALF="stats.t.ppf(0.975, n - 1) * np.sqrt((by_seed[better].var() + by_seed[than].var()) / n)"),
            "taken as strangers",
        ),
        (
            fill(PAIRED, HALF="stats.t.ppf(0.975, n - 1) * d.std(ddof=1) / np.sqrt(n)").replace(
                "by_seed[better] - by_seed[than]", "by_seed[than] - by_seed[better]"
            ),
            "the wrong way round",
        ),
        (
            """
def paired(table, better, than):
    new, old = (table.loc[table["strategy"] == name, "accuracy"].to_numpy() for name in (better, than))
    low, high = stats.ttest_rel(new, old).confidence_interval(0.95)
    return np.mean(new - old), low, high
""",
            "not by their seed",
        ),
    ],
    "q6": [
        (fill(ADVICE, BETTER='"copied, frozen"', THAN='"from scratch"'), "which turns two switches"),
        (fill(ADVICE, BETTER='"copied, free"', THAN='"copied, frozen"'), "the wrong way round"),
        (fill(ADVICE, **CORNERS, **{"claim.low": "claim.difference", "claim.high": "claim.difference"}), "too close"),
        (fill(ADVICE, **CORNERS, **{'"fine-tune" if claim.high < 0 else ': ""}), "a whole interval below 0"),
        (
            """
def advice(table, size):
    rows = table[table["size"] == size]
    frozen, free = (rows.loc[rows["strategy"] == f"copied, {name}", "accuracy"] for name in ("frozen", "free"))
    low, high = stats.ttest_ind(frozen, free).confidence_interval(0.95)
    return "freeze" if low > 0 else "fine-tune" if high < 0 else "too close to call"
""",
            "pair the rows by seed",
        ),
        (
            """
def advice(table, size):
    by_seed = table.pivot_table(index="seed", columns="strategy", values="accuracy")
    low, high = stats.ttest_rel(by_seed["copied, frozen"], by_seed["copied, free"]).confidence_interval(0.95)
    return "freeze" if low > 0 else "fine-tune" if high < 0 else "too close to call"
""",
            "another size",
        ),
    ],
}
