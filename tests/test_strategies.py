import numpy as np
import pytest

from tlcourse import CourseError, backbones, datasets, experiments, features, strategies, surgery
from tlcourse.quiet import keras

layers = keras.layers


def network():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu"),
            layers.Flatten(name="features"),
            layers.Dropout(0.2),
            layers.Dense(3, activation="softmax"),
        ]
    )


def head():
    return keras.Sequential([layers.Dense(6, activation="relu"), layers.Dense(3, activation="softmax")])


@pytest.fixture
def split():
    rng = np.random.RandomState(0)
    x, y = rng.randint(0, 256, (60, 8, 8, 3)).astype("uint8"), np.arange(60) % 3
    return datasets.Split(x, y, x[:0], y[:0])


@pytest.fixture
def source():
    keras.utils.set_random_seed(1)
    return network()


def same(a, b):
    return all(np.allclose(x, y, atol=1e-6) for x, y in zip(a.get_weights(), b.get_weights(), strict=True))


def ordinary(model, split, seed, epochs, frozen=False):
    """What the strategies promise to equal: compile and fit, as everybody writes it."""
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    model.fit(strategies._epochs([split.x_train], split.y_train, epochs, 32, seed), shuffle=False, verbose=0)
    return model


def test_every_epoch_has_every_picture_once_in_another_order():
    stream = strategies._epochs([np.arange(50)], np.arange(50), 3, 20, seed=0)
    batches = [x.numpy() for x, _ in stream]
    assert [len(batch) for batch in batches] == [20, 20, 10] * 3
    orders = np.concatenate(batches).reshape(3, 50)
    assert (np.sort(orders) == np.arange(50)).all()
    assert len({order.tobytes() for order in orders}) == 3


def test_scratch_equals_an_ordinary_fit_for_every_seed(split):
    train = strategies.scratch(network, epochs=3)
    for seed in (0, 1, 0):
        keras.utils.set_random_seed(seed)
        wanted = ordinary(network(), split, seed, epochs=3)
        assert same(train(split, seed), wanted)


def test_models_of_two_seeds_do_not_share_weights(split):
    train = strategies.scratch(network, epochs=1)
    first = train(split, 0)
    before = [weight.copy() for weight in first.get_weights()]
    assert not same(first, train(split, 1))
    assert all(np.array_equal(a, b) for a, b in zip(before, first.get_weights()))


@pytest.mark.parametrize("copied", [True, False])
def test_frozen_transfer_equals_training_the_whole_frozen_model(source, split, copied):
    model = strategies.transfer(source, "features", head, epochs=3, copied=copied)(split, 7)
    keras.utils.set_random_seed(7)
    base, top = surgery.cut(source, "features", copied), head()
    top.build((None, *base.output.shape[1:]))
    base.trainable = False
    wanted = ordinary(keras.Sequential([keras.Input((8, 8, 3)), base, top]), split, 7, epochs=3)
    assert same(model, wanted)
    assert np.allclose(features.predict(model, split.x_train), wanted.predict(split.x_train, verbose=0), atol=1e-5)


def test_the_four_corners_do_what_they_say(source, split):
    start = source.layers[1].get_weights()[0]
    seen = {}
    for copied in (True, False):
        for frozen in (True, False):
            train = strategies.transfer(source, "features", head, 2, copied=copied, frozen=frozen)
            model = train(split, 0)
            kernel = model.get_weights()[0]
            seen[copied, frozen] = np.array_equal(kernel, start), surgery.trainable_parameters(model)
    parameters = surgery.trainable_parameters(network()) - (144 * 3 + 3)
    top = (144 * 6 + 6) + (6 * 3 + 3)
    assert seen == {
        (True, True): (True, top),
        (True, False): (False, top + parameters),
        (False, True): (False, top),
        (False, False): (False, top + parameters),
    }
    assert np.array_equal(source.layers[1].get_weights()[0], start)


def test_majority_says_the_commonest_class(split):
    y = np.where(np.arange(60) < 25, 2, split.y_train % 2)
    model = strategies.majority()(datasets.Split(split.x_train, y, split.x_val, split.y_val), 0)
    assert (model.predict(np.zeros((4, 1))) == 2).all()


def random_mini(name):
    model = backbones.build(name, 32, backbones.SHRUNK)
    return backbones.Backbone(name, model, 32, backbones.blocks_of(name, model), "none", "Random weights.", None)


@pytest.fixture(scope="module")
def backbone():
    """VGG16 at a quarter of the width with random weights, seeing 32x32."""
    keras.utils.set_random_seed(3)
    return random_mini("VGG16")


@pytest.fixture
def pictures():
    rng = np.random.RandomState(0)
    x, y = rng.randint(0, 256, (50, 32, 32, 3)).astype("uint8"), np.arange(50) % 3
    return datasets.Split(x[:40], y[:40], x[40:], y[40:])


def small_head():
    return keras.Sequential([layers.GlobalAveragePooling2D(), layers.Dense(3, activation="softmax")])


def losses_of(model, x, y, steps=6):
    """The losses of some steps on fixed batches, by Keras's own training step."""
    return [float(model.train_on_batch(x[8 * i : 8 * i + 8], y[8 * i : 8 * i + 8])) for i in list(range(5)) * 2][:steps]


@pytest.mark.parametrize("block", ["block2", "block5"])
def test_training_on_a_prefix_that_ran_once_gives_the_losses_of_the_ordinary_frozen_model(cache, backbone, pictures, block):
    """Step by step to 1e-5, with dropout off and the same start."""
    keras.utils.set_random_seed(0)
    below, upper = surgery.split(backbone, block)
    head = strategies._built(small_head, backbone)
    whole = keras.Sequential([keras.Input((None, None, 3)), surgery.cut(backbone, below), *surgery_copy(upper, head)])
    whole.layers[0].trainable = False
    prefixed = keras.Sequential([keras.Input(upper.input_shape[1:]), upper, head])
    for model in (whole, prefixed):
        model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "sparse_categorical_crossentropy")
    ordinary = losses_of(whole, pictures.x_train, pictures.y_train)
    fast = losses_of(prefixed, features.extract(backbone, pictures.x_train, below, pool=False, precision="float32"), pictures.y_train)
    assert np.abs(np.array(ordinary) - fast).max() < 1e-5
    assert ordinary[0] != ordinary[-1]


def surgery_copy(*models):
    copies = [keras.models.clone_model(model) for model in models]
    for model, copy in zip(models, copies, strict=True):
        copy.set_weights(model.get_weights())
    return copies


def test_fine_tuning_trains_from_its_block_on_and_leaves_the_backbone_alone(cache, backbone, pictures):
    before = [weight.copy() for weight in backbone.model.get_weights()]
    found = strategies.fine_tune(backbone, small_head, "block5", epochs=1)(pictures, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, backbone.model.get_weights(), strict=True))
    assert found.at == "block4" and found.parameters == 3 * (9 * 128 * 128 + 128) + 129 * 3
    moved = found.top.get_layer("upper").get_layer("block5_conv1").get_weights()[0]
    assert not np.array_equal(moved, backbone.model.get_layer("block5_conv1").get_weights()[0])


def test_head_alone_and_everything(cache, backbone, pictures):
    head = strategies.fine_tune(backbone, small_head, None, epochs=1)(pictures, seed=0)
    assert head.at == "block5" and head.parameters == 129 * 3
    everything = strategies.fine_tune(backbone, small_head, "block1", epochs=1)(pictures, seed=0)
    assert everything.at is None and everything.parameters == backbone.model.count_params() + 129 * 3
    for found in (head, everything):
        assert set(found.predict(pictures.x_val)) <= {0, 1, 2}
        said = features.predict(found.joined(), pictures.x_val.astype("float32")).argmax(axis=1)
        assert (said == found.predict(pictures.x_val)).all()


def test_from_scratch_every_seed_has_weights_of_its_own(cache, backbone, pictures):
    train = strategies.fine_tune(backbone, small_head, "block1", epochs=1, copied=False, learning_rate=1e-9)
    kernels = [train(pictures, seed).top.get_layer("upper").get_layer("block1_conv1").get_weights()[0] for seed in (0, 1, 0)]
    assert np.allclose(kernels[0], kernels[2], atol=1e-6) and not np.allclose(kernels[0], kernels[1], atol=1e-2)


def test_lp_ft_starts_from_a_trained_head(cache, backbone, pictures):
    still = {"learning_rate": 1e-9, "epochs": 1}
    plain = strategies.fine_tune(backbone, small_head, "block5", **still)(pictures, seed=0)
    probed = strategies.fine_tune(backbone, small_head, "block5", probe_epochs=5, **still)(pictures, seed=0)
    alone = strategies.fine_tune(backbone, small_head, None, epochs=5)(pictures, seed=0)
    kernels = [found.top.layers[-1].get_weights()[0] for found in (plain, probed, alone)]
    assert np.allclose(kernels[1], kernels[2], atol=1e-5) and not np.allclose(kernels[0], kernels[1], atol=1e-4)


def test_a_block_with_rate_zero_stands_still_and_the_others_move(cache, backbone, pictures):
    train = strategies.fine_tune(backbone, small_head, "block4", epochs=1, rates={"block4": 0.0, "block5": 0.5})
    upper = train(pictures, seed=0).top.get_layer("upper")

    def moved(layer):
        return np.abs(upper.get_layer(layer).get_weights()[0] - backbone.model.get_layer(layer).get_weights()[0]).max()

    assert moved("block4_conv1") == 0 and moved("block5_conv1") > 1e-5
    with pytest.raises(CourseError, match="'block9'.*block1, block2"):
        strategies.fine_tune(backbone, small_head, "block4", epochs=1, rates={"block9": 0.1})(pictures, seed=0)


def test_half_the_rate_makes_half_the_step(cache, backbone, pictures):
    def step(rate):
        sgd = {"optimizer": keras.optimizers.SGD, "learning_rate": 1e-3, "batch_size": 40, "rates": {"block5": rate}}
        upper = strategies.fine_tune(backbone, small_head, "block5", epochs=1, **sgd)(pictures, 0).top.get_layer("upper")
        return upper.get_layer("block5_conv3").get_weights()[0] - backbone.model.get_layer("block5_conv3").get_weights()[0]

    whole, half = step(1.0), step(0.5)
    assert np.abs(whole).max() > 0
    assert np.allclose(half, whole / 2, atol=1e-3 * np.abs(whole).max())


def test_patience_stops_and_keeps_the_best_weights(cache, backbone, pictures):
    train = strategies.fine_tune(backbone, small_head, None, epochs=30, patience=2, learning_rate=0.3)
    found = train(pictures, seed=0)
    losses = found.history["val_loss"]
    assert len(losses) < 30 and int(np.argmin(losses)) == len(losses) - 3
    x = features.extract(backbone, pictures.x_val, pool=False)
    said = features.predict(found.top, x)[np.arange(10), pictures.y_val]
    assert -np.log(np.clip(said, 1e-7, 1)).mean() == pytest.approx(min(losses), rel=1e-3)
    with pytest.raises(CourseError, match="validation=0.2"):
        train(datasets.Split(pictures.x_train, pictures.y_train, pictures.x_val[:0], pictures.y_val[:0]), seed=0)


def test_augmentation_changes_training_pictures_only_and_the_same_seed_gives_the_same_views(pictures):
    def augment():
        return keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomTranslation(0.1, 0.1)])

    def views(seed):
        keras.utils.set_random_seed(seed)
        return strategies._views(pictures.x_train, augment, 3)

    first, again, other = views(0), views(0), views(1)
    assert len(first) == 3 and first[0].dtype == np.uint8 and first[0].shape == pictures.x_train.shape
    assert not np.array_equal(first[0], first[1]) and not np.array_equal(first[0], pictures.x_train)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_epochs_take_turns_with_the_views():
    stream = strategies._epochs([np.zeros(30), np.ones(30)], np.zeros(30), 3, 20, seed=0)
    assert [float(x.numpy().mean()) for x, _ in stream] == [0, 0, 1, 1, 0, 0]


def test_batch_norm_stays_as_it_was_unless_asked_for(cache, pictures):
    keras.utils.set_random_seed(0)
    resnet = random_mini("ResNet50")
    for asked in (False, True):
        train = strategies.fine_tune(resnet, small_head, "conv5", epochs=1, batch_norm=asked)
        after = train(pictures, seed=0).top.get_layer("upper").get_layer("conv5_block3_2_bn")
        before = resnet.model.get_layer("conv5_block3_2_bn")
        same = [np.array_equal(a, b) for a, b in zip(before.get_weights(), after.get_weights(), strict=True)]
        assert same == [not asked] * 4


def test_a_linear_probe_is_logistic_regression_on_features(cache, backbone, pictures):
    found = strategies.linear_probe(backbone, "block3")(pictures, seed=0)
    assert found.parameters == 64 * 3 + 3
    assert experiments.accuracy(found, pictures.x_train, pictures.y_train) > 0.6
