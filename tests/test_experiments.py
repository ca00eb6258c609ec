import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tlcourse import CourseError, backbones, datasets, experiments, strategies
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


NOTES = {"trained": []}  # not a global list that `note` names: it would change what a way is


def note(label, seed):
    sys.modules[__name__].NOTES["trained"].append((label, seed))


def counted(label):
    """A way that says always the same label, and notes that it was trained."""
    return lambda split, seed: (note(label, seed), Always(label))[1]


@pytest.fixture
def notes():
    NOTES["trained"].clear()
    return NOTES["trained"]


def test_several_targets_and_ways_that_depend_on_them_seeds_outermost(data, notes):
    other = replace(data, name="other")
    asked = []

    def ways(target, size):
        asked.append((target.name, size))
        return {f"{target.name} {size}": counted(0)}

    table = experiments.compare(ways, [data, other], [30, 60], [0, 1])
    assert asked == [("noise", 30), ("noise", 60), ("other", 30), ("other", 60)]
    assert list(table["seed"]) == [0] * 4 + [1] * 4
    assert list(table["strategy"][:4]) == ["noise 30", "noise 60", "other 30", "other 60"]
    with pytest.raises(CourseError, match="same name"):
        experiments.compare(ways, [data, data], [30], [0])


def test_a_file_keeps_the_rows_and_the_same_call_trains_nothing(data, notes, tmp_path):
    file, ways = tmp_path / "deep" / "table.csv", {"one": counted(1), "two": counted(2)}
    first = experiments.compare(ways, data, [30], [0, 1], file=file)
    assert len(notes) == 4
    again = experiments.compare(dict(reversed(ways.items())), data, [30], np.arange(2), file=file)
    assert len(notes) == 4
    pd.testing.assert_frame_equal(again.sort_values(["seed", "strategy"], ignore_index=True), first)
    experiments.compare(ways, data, [30], [0, 1, 2], file=file)
    assert notes[4:] == [(1, 2), (2, 2)]


def test_an_interrupted_comparison_goes_on_where_it_was(data, notes, tmp_path):
    def fragile(split, seed):
        note(0, seed)
        if sum(map(len, sys.modules[__name__].NOTES.values())) == 3:
            raise KeyboardInterrupt
        return Always(0)

    with pytest.raises(KeyboardInterrupt):
        experiments.compare({"one": fragile}, data, [30], range(5), file=tmp_path / "t.csv")
    table = experiments.compare({"one": fragile}, data, [30], range(5), file=tmp_path / "t.csv")
    assert [seed for _, seed in notes] == [0, 1, 2, 2, 3, 4] and len(table) == 5


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_torn_last_line_is_measured_again_and_nothing_else(data, notes, tmp_path, cut):
    file, ways = tmp_path / "t.csv", {"one": counted(1)}
    first = experiments.compare(ways, data, [30], range(3), file=file)
    whole = file.read_bytes()
    file.write_bytes(whole[:-cut])
    again = experiments.compare(ways, data, [30], range(3), file=file)
    assert len(notes) == 3 + (cut > 1)  # without its line feed alone a row is whole
    pd.testing.assert_frame_equal(again.drop(columns="seconds"), first.drop(columns="seconds"))
    assert len(experiments.compare(ways, data, [30], range(3), file=file)) == 3 and len(notes) == 3 + (cut > 1)


def test_other_pictures_settings_and_code_are_measured_anew(data, notes, tmp_path):
    file = tmp_path / "t.csv"
    experiments.compare({"one": counted(1)}, data, [30], [0], file=file)
    for ways, target, options in (
        ({"one": counted(2)}, data, {}),
        ({"one": lambda split, seed: (note(1, seed), Always(2 - 1))[1]}, data, {}),
        ({"one": counted(1)}, replace(data, x_test=data.x_test[::-1]), {}),
        ({"one": counted(1)}, data, {"validation": 0.2}),
    ):
        before = len(notes)
        experiments.compare(ways, target, [30], [0], file=file, **options)
        assert len(notes) == before + 1
        experiments.compare(ways, target, [30], [0], file=file, **options)
        assert len(notes) == before + 1


def test_strategies_are_told_apart_by_what_they_do():
    backbone = backbones.load("VGG16", "mini", size=32, until="block2")
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3, name="c"), keras.layers.Flatten(name="f")])

    def head(units=3):
        return lambda: keras.Sequential([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(units)])

    def made():
        return [
            strategies.majority(), strategies.linear_probe(backbone), strategies.linear_probe(backbone, c=1.0),
            strategies.linear_probe(backbone, "block1"), strategies.linear_probe(backbones.untrained(backbone)),
            strategies.earlier_probe(backbone), strategies.fine_tune(backbone, head(), "block2", 1),
            strategies.fine_tune(backbone, head(), "block2", 2), strategies.fine_tune(backbone, head(4), "block2", 1),
            strategies.fine_tune(backbone, head(), None, 1), strategies.scratch(head(), 1),
            strategies.transfer(model, "c", head(), 1),
        ]  # fmt: skip

    hashes = [experiments._hash(way) for way in made()]
    assert len(set(hashes)) == len(hashes)
    assert [experiments._hash(way) for way in made()] == hashes, "made again, with other running numbers inside Keras"
    code = "import sys; sys.path.append('tests'); import test_experiments as t; print(t.hash_of_one())"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1],
                         env=os.environ | {"PYTHONHASHSEED": "7"})  # fmt: skip
    assert run.stdout.strip() == hash_of_one()


def hash_of_one():
    backbone = backbones.load("VGG16", "mini", size=32, until="block2")
    return experiments._hash([strategies.linear_probe(backbone), strategies.earlier_probe(backbone), {1, "a"}])


def test_a_trained_strategy_is_still_the_same_one(data):
    def build():
        return keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")])

    way = strategies.scratch(build, 1)
    before = experiments._hash(way)
    way(datasets.sample(data, 30), 0)
    assert experiments._hash(way) == before


def test_a_file_of_another_kind_is_left_alone(data, notes, tmp_path):
    for content in (b"a,b\n1,2\n", b"\xff\xfe\x00binary"):
        (tmp_path / "other.csv").write_bytes(content)
        with pytest.raises(CourseError, match="no file of experiments.compare"):
            experiments.compare({"one": counted(1)}, data, [30], [0], file=tmp_path / "other.csv")
        assert (tmp_path / "other.csv").read_bytes() == content and not notes


def test_a_file_that_cannot_be_written_is_said_before_anything_is_trained(data, notes, tmp_path):
    (tmp_path / "folder").mkdir()
    for file in (tmp_path / "folder", Path("/proc/none/t.csv")):
        with pytest.raises(CourseError, match="cannot be written"):
            experiments.compare({"one": counted(1)}, data, [30], [0], file=file)
    assert not notes


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_sentence(monkeypatch):
    with pytest.raises(CourseError, match="No space left.*goes on from there"):
        experiments._append("/dev/full", ["x" * 10])
