"""Features: right, kept on disk, and found again by content."""

import os
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest

from tlcourse import CourseError, backbones, features, storage
from tlcourse.quiet import keras


@pytest.fixture(scope="module")
def backbone():
    """The lower two blocks of VGG16 at a quarter of the width, with random weights, seeing 32x32."""
    keras.utils.set_random_seed(0)
    model = backbones.build("VGG16", 32, backbones.SHRUNK)
    model = keras.Model(model.inputs[0], model.get_layer("block2_pool").output)
    blocks = {"block1": "block1_pool", "block2": "block2_pool"}
    return backbones.Backbone("VGG16", model, 32, blocks, "none", "Random weights.", None)


@pytest.fixture
def x():
    return np.random.RandomState(0).randint(0, 256, (7, 20, 24, 3)).astype("uint8")


@pytest.fixture
def runs(monkeypatch):
    """How many pictures went through a network since this test began."""
    counted, predict = [], features.predict

    def counting(model, x, *args, **kwargs):
        counted.append(len(x))
        return predict(model, x, *args, **kwargs)

    monkeypatch.setattr(features, "predict", counting)
    return counted


def kept(cache):
    return sorted((cache / "features").glob("*.npz"))


def plain(backbone, x, layer="block2_pool"):
    model = keras.Model(backbone.model.inputs[0], backbone.model.get_layer(layer).output)
    return keras.ops.convert_to_numpy(model(x, training=False))


def close(a, b):
    return a.shape == b.shape and np.abs(a - b).max() <= 1e-5 * np.abs(b).max()


def test_features_are_what_the_network_gives(cache, backbone, x):
    maps = features.extract(backbone, x, pool=False)
    assert maps.shape == (7, 8, 8, 32) and maps.dtype == np.float32
    assert close(maps, plain(backbone, x))
    pooled = features.extract(backbone, x)
    assert pooled.shape == (7, 32) and pooled.dtype == np.float32 and close(pooled, maps.mean((1, 2)))
    lower = features.extract(backbone, x, "block1")
    assert lower.shape == (7, 16) and close(lower, plain(backbone, x, "block1_pool").mean((1, 2)))
    assert np.array_equal(features.extract(backbone, x, at="block2"), pooled)


def test_they_come_in_batches_in_order(cache, backbone, x, monkeypatch):
    monkeypatch.setattr(features, "_batch_size", lambda size: 3)
    assert close(features.extract(backbone, x, pool=False), plain(backbone, x))
    assert close(features.extract(backbone, x[:1], pool=False), plain(backbone, x[:1]))


def test_batches_are_smaller_where_pictures_are_larger():
    assert features._batch_size(64) == 250 and features._batch_size(224) == 20 and features._batch_size(2000) == 4


def test_a_list_of_pictures_will_do(cache, backbone, x):
    assert np.array_equal(features.extract(backbone, list(x)), features.extract(backbone, x))


def test_dropout_and_batch_norm_are_in_inference_mode(cache, x):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5, name="end"),
        ]
    )
    made = backbones.Backbone("toy", model, 32, {"block1": "end"}, "none", "", None)
    assert close(features.extract(made, x, pool=False), keras.ops.convert_to_numpy(model(x, training=False)))


def test_the_second_time_nothing_runs(cache, backbone, x, runs):
    first = features.extract(backbone, x)
    again = features.extract(backbone, x.copy())
    assert np.array_equal(first, again) and runs == [7] and len(kept(cache)) == 1


def test_a_network_is_known_by_its_weights_not_by_the_object(cache, backbone, x, runs):
    first = features.extract(backbone, x)
    copy = keras.models.clone_model(backbone.model)
    copy.set_weights(backbone.model.get_weights())
    assert np.array_equal(features.extract(replace(backbone, model=copy), x), first) and runs == [7]


def test_whatever_changes_the_features_is_another_key(cache, backbone, x, runs):
    found = [features.extract(backbone, x)]
    other = x.copy()
    other[3, 10, 10, 1] ^= 1
    found += [features.extract(backbone, other), features.extract(backbone, x[::-1]), features.extract(backbone, x[:6])]
    found += [features.extract(backbone, x.reshape(7, 24, 20, 3))]  # the same bytes
    found += [features.extract(backbone, x, "block1"), features.extract(backbone, x, pool=False)]
    found += [features.extract(backbones.untrained(backbone), x)]
    weights = [weight.copy() for weight in backbone.model.get_weights()]
    weights[0][0, 0, 0, 0] += 1e-3
    nudged = keras.models.clone_model(backbone.model)
    nudged.set_weights(weights)
    found += [features.extract(replace(backbone, model=nudged), x)]
    assert len(runs) == len(kept(cache)) == len(found) == 9
    larger = backbones.build("VGG16", 40, backbones.SHRUNK)
    larger = keras.Model(larger.inputs[0], larger.get_layer("block2_pool").output)
    larger.set_weights(backbone.model.get_weights())
    features.extract(replace(backbone, model=larger, size=40), x)
    assert len(runs) == 10
    assert [len(each) for each in found] == [7, 7, 7, 6, 7, 7, 7, 7, 7]
    assert not any(np.array_equal(found[0], each) for each in found[1:])


def test_weights_above_the_block_do_not_matter(cache, backbone, x, runs):
    features.extract(backbone, x, "block1")
    weights = backbone.model.get_weights()
    changed = keras.models.clone_model(backbone.model)
    changed.set_weights([*weights[:-1], weights[-1] + 1])
    features.extract(replace(backbone, model=changed), x, "block1")
    assert runs == [7]


def test_any_flipped_byte_in_a_kept_file_is_noticed(cache, backbone, x, runs):
    first = features.extract(backbone, x)
    (path,) = kept(cache)
    sound, rng = path.read_bytes(), np.random.RandomState(0)
    positions = [*rng.randint(0, len(sound), 30), *range(0, 60, 4), *range(len(sound) - 60, len(sound), 4)]
    for position in positions:
        path.write_bytes(sound[:position] + bytes([sound[position] ^ 255]) + sound[position + 1 :])
        again = features.extract(backbone, x)
        assert np.array_equal(first, again), position
    path.write_bytes(sound[: len(sound) // 2])
    assert np.array_equal(first, features.extract(backbone, x))
    path.write_bytes(b"")
    assert np.array_equal(first, features.extract(backbone, x))
    storage.write_npz(path, others=first)
    assert np.array_equal(first, features.extract(backbone, x))
    assert len(runs) > 30
    count = len(runs)
    features.extract(backbone, x)
    assert len(runs) == count


def test_a_cache_that_cannot_be_written_is_said_and_the_features_are_right(cache, backbone, x, capsys):
    cache.mkdir()
    (cache / "features").write_text("a file where the folder should be")
    assert close(features.extract(backbone, x, pool=False), plain(backbone, x))
    said = capsys.readouterr().out
    assert "cannot be written" in said and said.endswith("The features are used all the same.\n") and said.count("\n") == 1


def test_a_full_disk_is_said_and_leaves_nothing_half_written(cache, backbone, x, capsys, monkeypatch):
    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert close(features.extract(backbone, x, pool=False), plain(backbone, x))
    assert "No space left on device" in capsys.readouterr().out
    assert list((cache / "features").iterdir()) == []


def test_a_shared_cache_that_can_only_be_read_is_used(cache, backbone, x, runs, monkeypatch, capsys):
    first = features.extract(backbone, x)

    def forbidden(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "utime", forbidden)
    assert np.array_equal(features.extract(backbone, x), first)
    assert runs == [7] and capsys.readouterr().out == ""


def fill(folder, ages, size=1000):
    folder.mkdir(parents=True, exist_ok=True)
    for name, age in ages.items():
        (folder / f"{name}.npz").write_bytes(bytes(size))
        os.utime(folder / f"{name}.npz", (1e9 - age, 1e9 - age))


def test_beyond_the_limit_the_longest_unused_go_first(cache, monkeypatch):
    fill(cache / "features", {"a": 5, "b": 50, "c": 1, "d": 20})
    monkeypatch.setattr(features, "LIMIT", 4000)
    features._trim(cache / "features")
    assert len(kept(cache)) == 4
    monkeypatch.setattr(features, "LIMIT", 2500)
    features._trim(cache / "features")
    assert [path.stem for path in kept(cache)] == ["a", "c"]
    monkeypatch.setattr(features, "LIMIT", 10)
    features._trim(cache / "features")
    assert [path.stem for path in kept(cache)] == ["c"]


def test_what_is_written_stays_and_what_is_read_counts_as_used(cache, backbone, x, monkeypatch, runs):
    features.extract(backbone, x)
    (mine,) = kept(cache)
    os.utime(mine, (1e8, 1e8))
    fill(cache / "features", {"old": 100})
    features.extract(backbone, x)  # read: used now, so that "old" is the oldest
    monkeypatch.setattr(features, "LIMIT", mine.stat().st_size * 2 + 500)
    features.extract(backbone, x[:6])
    assert mine in kept(cache) and "old" not in [path.stem for path in kept(cache)]
    monkeypatch.setattr(features, "LIMIT", 1)
    features.extract(backbone, x[:5])
    assert len(kept(cache)) == 1
    count = len(runs)
    features.extract(backbone, x[:5])
    assert len(runs) == count


def test_a_file_that_another_process_trims_meanwhile_does_no_harm(cache, monkeypatch):
    fill(cache / "features", {"a": 5, "b": 50, "c": 1})
    monkeypatch.setattr(features, "LIMIT", 10)
    (cache / "features" / "gone.npz").symlink_to(cache / "nowhere")  # listed, and not there when it is looked at
    features._trim(cache / "features")
    assert [path.stem for path in kept(cache)] == ["c", "gone"]


def test_two_threads_at_once(cache, backbone, x, capsys):
    found, start = [None] * 4, threading.Barrier(4)

    def extract(i):
        start.wait()
        found[i] = features.extract(backbone, x, pool=False)

    threads = [threading.Thread(target=extract, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(close(each, plain(backbone, x)) for each in found)
    assert len(kept(cache)) == 1 and len(list((cache / "features").iterdir())) == 1
    assert capsys.readouterr().out == ""


def test_two_processes_at_once(cache, monkeypatch):
    """Both write the same names and trim, again and again; every reading is whole or nothing."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    code = (
        "import sys, types; import numpy as np\n"
        "sys.modules['tlcourse.quiet'] = types.SimpleNamespace(keras=types.SimpleNamespace(Model=object), tf=None)\n"
        "from tlcourse import features, settings, storage\n"
        "features.LIMIT = 30_000; folder = settings.cache() / 'features'; rng = np.random.RandomState()\n"
        "for i in range(400):\n"
        "    n = rng.randint(8); path = folder / f'{n}.npz'\n"
        "    try: assert (storage.read_npz(path)['features'] == n).all()\n"
        "    except storage.Damaged as error: assert 'No such file' in str(error), error\n"
        "    storage.write_npz(path, features=np.full(1000, n)); features._trim(folder)\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=100)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert 1 <= len(kept(cache)) <= 4 and len(list((cache / "features").iterdir())) == len(kept(cache))


def test_mistakes_are_sentences(cache, backbone, x):
    with pytest.raises(CourseError, match="VGG16 has no block 'block3': choose one of block1, block2"):
        features.extract(backbone, x, "block3")
    with pytest.raises(CourseError, match=r"use x \* 255"):
        features.extract(backbone, x / 255)
    with pytest.raises(CourseError, match="at least one picture"):
        features.extract(backbone, x[:0])
    assert not kept(cache)
