import numpy as np
import pytest

from tlcourse import CourseError, surgery
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
