import numpy as np
import pytest

from tlcourse import CourseError, datasets, experiments
from tlcourse.quiet import keras


@pytest.fixture
def data():
    rng = np.random.RandomState(0)
    x, y = rng.randint(0, 256, (120, 4, 4, 1)).astype("uint8"), np.arange(120) % 3
    return datasets.Dataset("noise", x[:90], y[:90], x[90:], y[90:], ("a", "b", "c"), "random")


class Always:
    def __init__(self, label):
        self.label = label

    def predict(self, x):
        return np.full(len(x), self.label)


def test_the_table_is_tidy_and_paired(data):
    seen = []

    def way(split, seed):
        seen.append((len(split.x_train), len(split.x_val), seed, split.x_train.tobytes()))
        return Always(1)

    table = experiments.compare({"one": way, "two": way}, data, sizes=[30, 60], seeds=[4, 5], validation=0.2)
    assert list(table.columns) == [
        "strategy", "target", "size", "seed", "accuracy", "training_accuracy", "seconds", "parameters",
    ]  # fmt: skip
    assert len(table) == 8 and (table["accuracy"] == 1 / 3).all() and (table["parameters"] == 0).all()
    assert seen[0] == seen[1] and seen[0][:3] == (24, 6, 4)
    assert len(set(seen)) == 4


def test_accuracy_of_one_output_of_many_and_of_labels(data):
    def constant(*logits):
        model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(len(logits))])
        model.set_weights([np.zeros((16, len(logits))), np.array(logits)])
        return model

    y = data.y_test
    assert experiments.accuracy(constant(0.0, 0.0, 9.0), data.x_test, y) == np.mean(y == 2)
    assert experiments.accuracy(constant(0.9), data.x_test, y) == np.mean(y == 1)
    assert experiments.accuracy(constant(0.1), data.x_test, y) == np.mean(y == 0)
    assert experiments.accuracy(Always(0), data.x_test, y) == np.mean(y == 0)


def test_nothing_to_compare_is_a_sentence(data):
    with pytest.raises(CourseError, match="at least one strategy"):
        experiments.compare({}, data, [30], [0])
