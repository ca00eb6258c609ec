import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from tlcourse import CourseError, backbones, datasets, features, strategies, surgery
from tlcourse.quiet import keras

layers = keras.layers


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, name="conv"),
            layers.Flatten(name="flat"),
            layers.Dense(5, name="out"),
        ]
    )


def test_a_cut_copies_the_weights_and_leaves_the_source_alone(model):
    base = surgery.cut(model, "flat")
    assert base.output.shape == (None, 6 * 6 * 4)
    assert np.array_equal(base.get_weights()[0], model.get_weights()[0])
    before = model.get_weights()[0].copy()
    base.set_weights([weight + 1 for weight in base.get_weights()])
    base.trainable = False
    assert np.array_equal(model.get_weights()[0], before)
    assert model.get_layer("conv").trainable


def test_a_cut_without_copying_draws_new_weights(model):
    base = surgery.cut(model, "conv", copied=False)
    assert not np.array_equal(base.get_weights()[0], model.get_weights()[0])


def test_a_cut_is_free_to_train_though_the_source_is_frozen(model):
    lower = keras.Model(model.inputs, model.get_layer("flat").output)
    lower.trainable = False
    assert surgery.trainable_parameters(surgery.cut(model, "flat")) == 4 * 27 + 4
    assert surgery.trainable_parameters(lower) == 0


def test_an_unknown_layer_lists_the_layers(model):
    with pytest.raises(CourseError, match="'pool'.*conv, flat, out"):
        surgery.cut(model, "pool")


def test_the_report_counts_what_would_be_trained_in_nested_models_too(model):
    base = surgery.cut(model, "flat")
    base.trainable = False
    joined = keras.Sequential([keras.Input((8, 8, 3)), base, layers.Dense(2, name="head")])
    table = surgery.report(joined)
    assert list(table.columns) == ["layer", "type", "output", "parameters", "trainable", "batch_norm"]
    rows = table.set_index("layer")
    assert rows.loc[f"{base.name}/conv", ["parameters", "trainable"]].tolist() == [4 * 27 + 4, 0]
    assert rows.loc["head", ["parameters", "trainable"]].tolist() == [145 * 2, 290]
    assert surgery.trainable_parameters(joined) == 290 == table["trainable"].sum()


SIZE = {"InceptionV3": 75}  # the others see 32x32
MADE = {}


def backbone_of(name):
    """A Backbone at a quarter of the width with random weights, batch normalisation's too; one for all tests of this file."""
    if name not in MADE:
        keras.utils.set_random_seed(0)
        size = SIZE.get(name, 32)
        made, rng = backbones.build(name, size, backbones.SHRUNK), np.random.RandomState(1)
        for layer in made.layers:
            if isinstance(layer, layers.BatchNormalization):
                layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
        MADE[name] = backbones.Backbone(name, made, size, backbones.blocks_of(name, made), "none", "Random weights.", None)
    return MADE[name]


@pytest.fixture
def vgg():
    yield backbone_of("VGG16")
    surgery.unfreeze_from(backbone_of("VGG16"), "block1")


@pytest.fixture
def resnet():
    yield backbone_of("ResNet50")
    surgery.unfreeze_from(backbone_of("ResNet50"), "conv1", batch_norm=True)


def pictures(n=4):
    return np.random.RandomState(0).randint(0, 256, (n, 32, 32, 3)).astype("uint8")


def run(model, x):
    return keras.ops.convert_to_numpy(model(x, training=False))


def nested(backbone, classes=3):
    """The backbone in a Sequential with augmentation, in a functional model with a head."""
    inner = keras.Sequential(
        [keras.Input((None, None, 3)), keras.Sequential([layers.RandomFlip(name="flip")], name="augment"), backbone.model],
        name="inner",
    )
    pictures = keras.Input((None, None, 3))
    pooled = layers.GlobalAveragePooling2D(name="pool")(inner(pictures))
    return keras.Model(pictures, layers.Dense(classes, activation="softmax", name="head")(pooled), name="outer")


@pytest.mark.parametrize("name", backbones.NAMES)
def test_every_block_is_a_place_to_split(name):
    """Below and above together give the whole; so nothing reaches past the end of a block."""
    backbone = backbone_of(name)
    x, names = pictures(2), list(backbone.blocks)
    wanted = run(backbone.model, x)
    for block in names if name.startswith("VGG") else [names[0], names[1], names[len(names) // 2], names[-1]]:
        below, upper = surgery.split(backbone, block)
        assert below == (names[names.index(block) - 1] if block != names[0] else None)
        found = run(upper, run(surgery.cut(backbone, below), x) if below else x)
        assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
        of = surgery.block_of(backbone)
        weighty = [layer.name for layer in backbone.model.layers if layer.weights]
        above = {name for name in weighty if names.index(of[name]) >= names.index(block)}
        assert above == {layer.name for layer in upper.layers if layer.weights}


def test_a_split_is_a_copy_open_but_for_batch_norm(resnet):
    surgery.unfreeze_from(resnet, None)
    _, upper = surgery.split(resnet, "conv5")
    norms = [layer for layer in upper.layers if isinstance(layer, layers.BatchNormalization)]
    assert len(norms) == 10 and not any(layer.trainable for layer in norms)
    assert all(layer.trainable for layer in upper.layers if layer not in norms)
    before = resnet.model.get_weights()
    upper.set_weights([weight + 1 for weight in upper.get_weights()])
    assert all(np.array_equal(a, b) for a, b in zip(before, resnet.model.get_weights(), strict=True))
    assert surgery.trainable_parameters(resnet.model) == 0


def test_a_backbone_is_cut_at_a_block(vgg):
    base = surgery.cut(vgg, "block3")
    assert base.layers[-1].name == "block3_pool" and base.output.shape == (None, 4, 4, 64)
    wanted = keras.Model(vgg.model.inputs[0], vgg.model.get_layer("block3_pool").output)
    assert np.array_equal(run(base, pictures()), run(wanted, pictures()))
    assert not np.array_equal(surgery.cut(vgg, "block3", copied=False).get_weights()[0], vgg.model.get_weights()[0])


@pytest.mark.parametrize("act", [surgery.cut, surgery.split, surgery.unfreeze_from])
def test_an_unknown_block_lists_the_blocks(act, vgg):
    for block in ("block6", "block5_conv1", ""):
        with pytest.raises(CourseError, match=f"VGG16 has no block '{block}': choose one of block1, block2, block3, block4, block5."):
            act(vgg, block)
    assert surgery.trainable_parameters(vgg.model) == vgg.model.count_params()


def test_freezing_from_a_block_on_reaches_a_nested_backbone(vgg):
    model, head = nested(vgg), 129 * 3
    of = {"block4": 2 * (9 * 128 * 128 + 128) + 9 * 64 * 128 + 128, "block5": 3 * (9 * 128 * 128 + 128)}
    for block, wanted in (("block5", of["block5"]), ("block4", sum(of.values())), (None, 0), ("block1", vgg.model.count_params())):
        surgery.unfreeze_from(vgg, block)
        assert surgery.trainable_parameters(model) == wanted + head
        table = surgery.report(model, vgg)
        assert table["trainable"].sum() == wanted + head and table["parameters"].sum() == model.count_params()
        opened = set(table.loc[(table["trainable"] > 0) & (table["block"] != ""), "block"])
        assert opened == ({name for name in vgg.blocks if name >= block} if block else set())


def test_fitting_a_nested_model_moves_the_open_blocks_only(vgg):
    model = nested(vgg)
    surgery.unfreeze_from(vgg, "block5")
    before = {layer.name: layer.get_weights()[0] for layer in vgg.model.layers if layer.weights}
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    model.fit(pictures(), np.arange(4) % 3, verbose=0)
    moved = {name for name, kernel in before.items() if not np.array_equal(kernel, vgg.model.get_layer(name).get_weights()[0])}
    assert moved == {"block5_conv1", "block5_conv2", "block5_conv3"}


def test_the_report_of_a_backbone_names_the_blocks_and_the_modes(resnet):
    surgery.unfreeze_from(resnet, "conv5")
    table = surgery.report(resnet)
    assert list(table.columns) == ["layer", "block", "type", "output", "parameters", "trainable", "batch_norm"]
    assert list(dict.fromkeys(table["block"])) == list(resnet.blocks)
    rows = table.set_index("layer")
    assert rows.loc["conv5_block1_1_conv", ["block", "type", "output"]].tolist() == ["conv5", "Conv2D", "1 × 1 × 128"]
    assert rows.loc["pool1_pad", "block"] == "conv2" and rows.loc["conv1_bn", "batch_norm"] == "inference"
    assert set(table.loc[table["type"] == "BatchNormalization", "batch_norm"]) == {"inference"}
    assert set(table.loc[table["type"] != "BatchNormalization", "batch_norm"]) == {""}
    surgery.unfreeze_from(resnet, "conv5", batch_norm=True)
    rows = surgery.report(nested(resnet), resnet).set_index("layer")
    name = f"inner/{resnet.model.name}/"
    assert rows.loc[f"{name}conv5_block3_3_bn", ["batch_norm", "trainable"]].tolist() == ["training", 2 * 512]
    assert rows.loc[f"{name}conv4_block1_1_bn", ["batch_norm", "trainable"]].tolist() == ["inference", 0]
    assert rows.loc["inner/augment/flip", "block"] == rows.loc["head", "block"] == ""


def test_the_report_of_models_of_other_kinds():
    with pytest.raises(CourseError, match="has no weights yet: call it on some pictures"):
        surgery.report(keras.Sequential([layers.Dense(3)], name="new"))
    vectors = keras.Input((5, 4))
    attention = layers.MultiHeadAttention(1, 2, name="attention")(vectors, vectors, return_attention_scores=True)
    table = surgery.report(keras.Model(vectors, attention)).set_index("layer")
    assert table.loc["attention", "output"] == "5 × 4, 1 × 5 × 5"

    class Written(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3, name="dense")

        def call(self, x):
            return self.dense(x)

    written = Written()
    written(np.zeros((1, 4)))
    assert surgery.report(written).loc[0, ["layer", "output", "parameters"]].tolist() == ["dense", "", 15]


def fit(model, backbone):
    """The weights of every batch normalisation before and after two steps on a nested backbone."""
    norms = [layer for layer in backbone.model.layers if isinstance(layer, layers.BatchNormalization)]
    before = {layer.name: layer.get_weights() for layer in norms}
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy", run_eagerly=False)
    model.fit(pictures(8), np.arange(8) % 3, batch_size=4, verbose=0)
    return {
        layer.name: [not np.array_equal(a, b) for a, b in zip(before[layer.name], layer.get_weights(), strict=True)]
        for layer in norms
    }


def test_moving_statistics_do_not_move_unless_asked(resnet):
    model = nested(resnet)
    weights = resnet.model.get_weights()
    surgery.unfreeze_from(resnet, "conv5")
    assert not any(sum(fit(model, resnet).values(), []))
    kernel = resnet.model.get_layer("conv5_block3_3_conv").get_weights()[0]
    resnet.model.set_weights(weights)
    assert not np.array_equal(kernel, resnet.model.get_layer("conv5_block3_3_conv").get_weights()[0])
    surgery.unfreeze_from(resnet, "conv5", batch_norm=True)
    moved = fit(model, resnet)
    resnet.model.set_weights(weights)
    assert all(all(each) for name, each in moved.items() if name.startswith("conv5"))
    assert not any(any(each) for name, each in moved.items() if not name.startswith("conv5"))


def test_a_frozen_batch_norm_stays_in_inference_mode_while_training(resnet):
    surgery.unfreeze_from(resnet, "conv1")
    x = pictures()
    inference, training = run(resnet.model, x), keras.ops.convert_to_numpy(resnet.model(x, training=True))
    assert np.array_equal(inference, training)
    surgery.unfreeze_from(resnet, "conv1", batch_norm=True)
    weights = resnet.model.get_weights()
    assert not np.allclose(inference, keras.ops.convert_to_numpy(resnet.model(x, training=True)))
    resnet.model.set_weights(weights)


def test_freezing_batch_norm_reaches_nested_models(resnet):
    model = nested(resnet)
    surgery.unfreeze_from(resnet, "conv1", batch_norm=True)
    surgery.freeze_batch_norm(model)
    assert set(surgery.report(model)["batch_norm"]) == {"", "inference"}
    assert model.get_layer("head").trainable and resnet.model.get_layer("conv1_conv").trainable


def taught(vgg, at=None, pool=True, classes=3):
    """Pictures, their exact features, and labels that are not quite chance."""
    x = pictures(40)
    found = features.extract(vgg, x, at, pool=pool, precision="float32")
    y = (np.argsort(np.argsort(found.reshape(40, -1)[:, :8].sum(axis=1))) * classes) // 40
    return x, np.array(found), y


def joined_and_loaded(vgg, head, at, tmp_path):
    """The joined model, after it was checked that it is frozen below and is the same when saved and loaded."""
    joined = surgery.attach(vgg, head, at)
    assert not joined.layers[0].trainable and not joined.layers[0].trainable_weights
    joined.save(tmp_path / "joined.keras")
    loaded = keras.saving.load_model(tmp_path / "joined.keras")
    assert np.allclose(run(joined, pictures()), run(loaded, pictures()), atol=1e-6)
    assert run(joined, np.zeros((2, 20, 50, 3), "uint8")).shape == run(joined, pictures(2)).shape
    return joined


@pytest.mark.parametrize("at", [None, "block2"])
@pytest.mark.parametrize("pool", [True, False])
def test_a_joined_keras_head_predicts_what_it_did_on_features(cache, vgg, tmp_path, at, pool):
    x, found, _ = taught(vgg, at, pool)
    pooling = [] if pool else [layers.Conv2D(6, 1, activation="relu"), layers.GlobalAveragePooling2D()]
    head = keras.Sequential(
        [keras.Input(found.shape[1:]), layers.Dropout(0.5), *pooling, layers.Dense(3, activation="softmax")]
    )
    joined = joined_and_loaded(vgg, head, at, tmp_path)
    wanted = run(head, found)
    assert np.allclose(run(joined, x), wanted, atol=1e-5) and np.ptp(wanted) > 0
    assert surgery.trainable_parameters(joined) == surgery.trainable_parameters(head)
    head.set_weights([weight + 1 for weight in head.get_weights()])
    before = vgg.model.get_weights()
    vgg.model.set_weights([weight + 1 for weight in before])
    said = run(joined, x)
    vgg.model.set_weights(before)
    assert np.allclose(said, wanted, atol=1e-5)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "before",
    [
        [],
        [StandardScaler()],
        [StandardScaler(with_mean=False)],
        [StandardScaler(with_std=False)],
        [StandardScaler(with_mean=False), StandardScaler()],
    ],
    ids=["alone", "scaled", "without mean", "without deviation", "twice"],
)
def test_a_joined_logistic_regression_predicts_what_it_did_on_features(cache, vgg, tmp_path, before, classes):
    x, found, y = taught(vgg, classes=classes)
    classifier = make_pipeline(*before, LogisticRegression(max_iter=2000)) if before else LogisticRegression(max_iter=2000)
    classifier.fit(found, np.array(["cat", "dog", "fox"])[y])
    said, wanted = run(joined_and_loaded(vgg, classifier, None, tmp_path), x), classifier.predict_proba(found)
    assert said.shape == (40, classes) and np.allclose(said, wanted, atol=1e-4) and np.ptp(wanted) > 0.01


@pytest.mark.parametrize(
    "steps",
    [
        [DecisionTreeClassifier()],
        [LinearSVC(C=1e-4)],
        [RidgeClassifier()],
        [MinMaxScaler(), LogisticRegression()],
        [PCA(4), LogisticRegression()],
        [StandardScaler(), DecisionTreeClassifier()],
    ],
    ids=lambda steps: "+".join(type(step).__name__ for step in steps),
)
def test_only_a_scaled_logistic_regression_can_be_joined(cache, vgg, steps):
    _, found, y = taught(vgg)
    classifier = make_pipeline(*steps) if len(steps) > 1 else steps[0]
    with pytest.raises(CourseError, match="Only a LogisticRegression, alone or after a StandardScaler"):
        surgery.attach(vgg, classifier.fit(found, y))


def test_heads_that_do_not_fit_are_sentences(cache, vgg):
    dense = keras.Sequential([keras.Input((100,)), layers.Dense(3, activation="softmax")])
    maps = keras.Sequential([keras.Input((None, None, 64)), layers.GlobalAveragePooling2D(), layers.Dense(3)])
    _, found, y = taught(vgg)
    narrow = LogisticRegression().fit(found[:, :5], y)
    large = keras.Sequential([keras.Input((4, 4, 128)), layers.Flatten(), layers.Dense(3)])
    shapes = {dense: r"\(100,\)", maps: r"\(None, None, 64\)", large: r"\(4, 4, 128\)", narrow: r"\(5,\)"}
    for head, shape in shapes.items():
        with pytest.raises(CourseError, match=f"The head takes features of shape {shape}, and VGG16 gives"):
            surgery.attach(vgg, head)
    with pytest.raises(CourseError, match="VGG16 has no block 'block9'"):
        surgery.attach(vgg, dense, "block9")


def test_heads_that_are_not_ready_are_sentences(cache, vgg):
    for head in (LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression()), keras.Sequential([layers.Dense(3)])):
        with pytest.raises(CourseError):
            surgery.attach(vgg, head)


@pytest.mark.parametrize("at", [None, "block2"])
def test_a_linear_probe_can_be_joined(cache, vgg, at):
    x, found, y = taught(vgg, at)
    probe = strategies.linear_probe(vgg, at)(datasets.Split(x, y, x[:0], y[:0]), seed=0)
    assert np.allclose(run(probe.joined(), x), probe.top.predict_proba(found), atol=0.02)
