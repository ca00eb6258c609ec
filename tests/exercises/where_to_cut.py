"""Known wrong answers to exercise 07, and what is to be said of them."""

from textwrap import dedent

WRONG = {}


def wrong(question, source, because):
    WRONG.setdefault(question, []).append((dedent(source), because))


def variants(question, source, good, *changes):
    for change, because in changes:
        wrong(question, dedent(source).format(**good | change), because)


variants(
    "q1",
    """
    def lower_blocks(n):
        model = keras.Sequential([keras.Input((32, 32, 3))])
        for block in range(1, {last} + 1):
            convolutions, filters = BLOCKS[block]
            for number in range({first}, {convolutions} + {first}):
                model.add(layers.Conv2D(filters, 3, padding="{padding}", activation={activation},
                                        name=f"block{{block}}_conv{{number}}"))
            {pool}
        with h5py.File(FILE) as weights:
            for layer in model.layers:
                if layer.weights:
                    {load}
        {then}
        return model
    """,
    {
        "last": "n", "first": 1, "convolutions": "convolutions", "padding": "same", "activation": '"relu"',
        "pool": "model.add(layers.MaxPooling2D())", "then": "",
        "load": 'layer.set_weights([weights[layer.name][name][()] for name in weights[layer.name].attrs["weight_names"]])',
    },
    ({"load": "pass"}, "is not that of the file: shapes fit for random weights too"),
    ({"load": "layer.kernel.assign(weights[layer.name][layer.name]['kernel:0'][()])",
      "then": "[layer.bias.assign(layer.bias + 1) for layer in model.layers if layer.weights]"}, "a layer has two arrays"),
    ({"first": 0, "load": "pass"}, "is no name of VGG19's first 2 blocks"),
    ({"convolutions": "2"}, "blocks have different numbers of convolutions"),
    ({"last": "5"}, "build only what you keep"),
    ({"padding": "valid"}, "see to padding and pooling"),
    ({"activation": "None"}, "a ReLU is missing"),
    ({"pool": "pass"}, "a block ends with its pooling"),
    ({"pool": "model.add(layers.AveragePooling2D(2))"}, "the right numbers sit in the wrong network"),
    ({"then": "model = keras.Sequential([keras.Input((32, 32, 3)), layers.Rescaling(1 / 255), *model.layers])"},
     "the right numbers sit in the wrong network"),
)

variants(
    "q2",
    """
    def arrived(model):
        found = {{}}
        with h5py.File(FILE) as weights:
            for layer in model.layers:
                if {which}:
                    if layer.name not in weights:
                        found[layer.name] = {unknown}
                        continue
                    group = weights[layer.name]
                    stored = [group[name][()] for name in group.attrs["weight_names"]]
                    found[layer.name] = all({same} for a, b in zip(stored, layer.get_weights()){some})
        return found
    """,
    {"which": "layer.weights", "unknown": "False", "same": "np.array_equal(a, b)", "some": ""},
    ({"same": "a.shape == b.shape"}, "do not look at shapes alone"),
    ({"some": " if a.ndim == 4"}, "its bias has not"),
    ({"same": "np.isclose(a.astype('float32').sum(), b.sum(), rtol=1e-3)"}, "in another order"),
    ({"same": "np.allclose(a, b, rtol=0.1)"}, "nearly is not loaded"),
    ({"same": "any(np.array_equal(a, weights[n][n][k][()]) and np.array_equal(b, weights[m][m][k][()]) "
              "for n in [layer.name] for m in weights for k in weights[m][m])"}, "ask the file by name"),
    ({"unknown": "True"}, "the file knows no layer 'head'"),
    ({"which": "True"}, "has no weights"),
    ({"which": "layer.weights and layer.name in weights"}, "is not in your dict"),
)

variants(
    "q3",
    """
    def after_every_block(model, ends):
        {before}
        pooled = [layers.{pool}()(model.get_layer(end).output) for end in {order}]
        made = keras.Model(model.inputs[0], {joined})
        {frozen}
        return made
    """,
    {
        "before": "", "pool": "GlobalAveragePooling2D", "order": "ends", "joined": "layers.Concatenate()(pooled)",
        "frozen": "made.trainable = False",
    },
    ({"frozen": ""}, "it is not frozen"),
    ({"frozen": "made.layers[0].trainable = False"}, "it is not frozen"),
    ({"before": "model = keras.models.clone_model(model)"}, "a clone draws its own"),
    ({"pool": "Flatten"}, "the positions are laid side by side"),
    ({"pool": "GlobalMaxPooling2D"}, "the largest value of each channel"),
    ({"order": "[layer.name for layer in model.layers if layer.name in ends]"}, "in the order of the network"),
    ({"order": "ends[::-1]"}, "in the reverse order"),
    ({"joined": "pooled"}, "one output is asked for"),
    ({"joined": "pooled[-1]"}, "the output for 5 pictures has the shape"),
)

variants(
    "q4",
    """
    def surely_adds(curves, target, by):
        rows = curves[curves["target"] == {target}]
        found = []
        for block in rows["block"].unique():
            own = rows[rows["block"] == block]{order}
            a = own[own["strategy"] == "pretrained"]["accuracy"].to_numpy()
            b = own[own["strategy"] == "random weights"]["accuracy"].to_numpy()
            if {sure}:
                found.append(block)
        return found
    """,
    {"target": "target", "order": '.sort_values("seed")', "sure": "interval(a - b)[1] > by"},
    ({"sure": "interval(a)[1] > by"}, "at the pretrained network alone"),
    ({"sure": "interval(np.abs(a - b))[1] > by"}, "taken something away"),
    ({"sure": "(a - b).mean() > by"}, "the mean is above `by` and its interval is not"),
    ({"sure": "interval(a - b)[1] > 0"}, "is not yet that it adds more than `by`"),
    ({"sure": "(a - b).mean() - 1.96 * (a - b).std(ddof=1) / 5 ** 0.5 > by"}, "Student's t asks for more"),
    ({"sure": "interval(a)[1] > interval(b)[2] + by"}, "the block 'paired' is missing"),
    ({"order": ""}, "the block 'paired' is missing"),
    ({"sure": "interval(a - b)[1] > by and a.mean() > 0.3"}, "the block 'low' is missing"),
    ({"target": "'leaves'"}, "of the target that is asked for"),
    ({"sure": "found.append"}, "does not belong there"),
)

variants(
    "q5",
    """
    def fields(maps, side):
        n, h, w, c = maps.shape
        {side}
        parts = maps.reshape(n, side, h // side, side, w // side, c)
        return {result}
    """,
    {"side": "side = min(side, h)", "result": "parts.mean(axis=(2, 4)).reshape(n, -1)"},
    ({"result": "maps.reshape(n, side * side, -1, c).mean(axis=2).reshape(n, -1)"}, "these are stripes"),
    ({"result": "parts.max(axis=(2, 4)).reshape(n, -1)"}, "the largest value of each field"),
    ({"result": "parts.sum(axis=(2, 4)).reshape(n, -1)"}, "the sum of each field"),
    ({"result": "parts[:, :, 0, :, 0].reshape(n, -1)"}, "one place is picked"),
    ({"result": "parts.mean(axis=(2, 4))"}, "one row of numbers a picture"),
    ({"result": "parts.mean(axis=(2, 4, 5)).reshape(n, -1)"}, "for side 2 the shape is (6, 4)"),
    ({"result": "parts.mean(axis=(1, 3)).reshape(n, -1)"}, "for side 2 the shape is"),
    ({"side": ""}, "your code stopped with ValueError"),
)

variants(
    "q6",
    """
    def optimism(right, n, repeats, seed):
        rng, found = np.random.default_rng(seed), []
        for _ in range(repeats):
            order = rng.permutation(right.shape[1])
            few, rest = order[:n], {rest}
            best = right[:, {judges}].mean(axis=1).argmax()
            found.append({found})
        return {result}
    """,
    {
        "rest": "order[n:]", "judges": "few", "found": "right[best, few].mean() - right[best, rest].mean()",
        "result": "np.mean(found)",
    },
    ({"rest": "order[:n]"}, "it comes out as nothing"),
    ({"judges": "order"}, "it comes out as nothing"),
    ({"rest": "order"}, "are still among them"),
    ({"found": "right[best, few].mean() - right[:, rest].mean()"}, "compared with the average cut"),
    ({"found": "right[best, rest].mean() - right[best, few].mean()"}, "upside down"),
    ({"result": "100 * np.mean(found)"}, "accuracies are fractions here"),
    ({"result": "found"}, "one finite number"),
)
