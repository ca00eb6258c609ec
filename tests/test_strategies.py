import numpy as np
import pytest

from tlcourse import datasets, strategies, surgery
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
    model.fit(strategies._epochs(split.x_train, split.y_train, epochs, 32, seed), shuffle=False, verbose=0)
    return model


def test_every_epoch_has_every_picture_once_in_another_order():
    stream = strategies._epochs(np.arange(50), np.arange(50), 3, 20, seed=0)
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
    assert np.allclose(strategies.predict(model, split.x_train), wanted.predict(split.x_train, verbose=0), atol=1e-5)


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
