"""Features: right, kept on disk, found again by content, and never half-read."""

import inspect
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tlcourse import CourseError, backbones, datasets, drawings, features, progress, settings
from tlcourse.quiet import keras

forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked and killed")


def random_vgg(size=32, blocks=2):
    """The lower blocks of VGG16 at a quarter of the width, with random weights."""
    keras.utils.set_random_seed(0)
    model = backbones.build("VGG16", size, backbones.SHRUNK)
    ends = {f"block{i}": f"block{i}_pool" for i in range(1, blocks + 1)}
    model = keras.Model(model.inputs[0], model.get_layer(f"block{blocks}_pool").output)
    return backbones.Backbone("VGG16", model, size, ends, "none", "Random weights.", None)


@pytest.fixture(scope="module")
def backbone():
    return random_vgg()


@pytest.fixture
def x():
    return np.random.RandomState(0).randint(0, 256, (7, 20, 24, 3)).astype("uint8")


@pytest.fixture
def runs(monkeypatch):
    """How many pictures went through a network in each run since this test began."""
    counted, network = [], features._network

    def counting(*args):
        run = network(*args)

        def wrapped(x):
            counted.append(len(x))
            return run(x)

        return wrapped

    monkeypatch.setattr(features, "_network", counting)
    return counted


@pytest.fixture
def threes(monkeypatch):
    """Parts of three pictures."""
    monkeypatch.setattr(features, "_batch_size", lambda size, shape: 3)


def kept(cache):
    return sorted((cache / "features").glob("*.features"))


def plain(backbone, x, layer="block2_pool"):
    model = keras.Model(backbone.model.inputs[0], backbone.model.get_layer(layer).output)
    return keras.ops.convert_to_numpy(model(np.asarray(x), training=False))


def close(a, b):
    return a.shape == b.shape and np.abs(a - b).max() <= 1e-5 * np.abs(b).max()


def with_weights(backbone, weights):
    model = keras.models.clone_model(backbone.model)
    model.set_weights(weights)
    return replace(backbone, model=model)


# What comes out.


def test_features_are_what_the_network_gives(cache, backbone, x):
    maps = features.extract(backbone, x, pool=False)
    assert maps.shape == (7, 8, 8, 32) and maps.dtype == np.float32 and type(maps) is np.ndarray
    pooled = features.extract(backbone, x)
    assert pooled.shape == (7, 32) and pooled.dtype == np.float32
    assert np.array_equal(features.extract(backbone, x, at="block2"), pooled)
    maps = features.extract(backbone, x, pool=False, precision="float32")
    assert close(maps, plain(backbone, x))
    assert close(features.extract(backbone, x, precision="float32"), maps.mean((1, 2)))
    lower = features.extract(backbone, x, "block1", precision="float32")
    assert lower.shape == (7, 16) and close(lower, plain(backbone, x, "block1_pool").mean((1, 2)))


def test_they_come_in_batches_in_order(cache, backbone, x, threes, runs):
    assert close(features.extract(backbone, x, pool=False, precision="float32"), plain(backbone, x))
    assert runs == [3, 3, 1]
    assert close(features.extract(backbone, x[:1], pool=False, precision="float32"), plain(backbone, x[:1]))


def test_batches_are_smaller_where_pictures_are_larger():
    def rows(size, side):
        return features._batch_size(size, (1000, side, side, 3))

    assert [rows(64, 64), rows(224, 32), rows(64, 400), rows(2000, 32)] == [250, 20, 25, 4]


def test_a_list_of_pictures_will_do(cache, backbone, x):
    assert np.array_equal(features.extract(backbone, list(x)), features.extract(backbone, x))


def test_a_memory_mapped_file_will_do(cache, backbone, x, threes, tmp_path):
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert np.array_equal(features.extract(backbone, mapped), features.extract(backbone, x))


@pytest.mark.parametrize("dtype", ["int64", "uint16", "float16", "float64", ">f4", ">i2"])
def test_pictures_may_be_numbers_of_any_kind(cache, backbone, x, threes, dtype):
    assert close(features.extract(backbone, x.astype(dtype), precision="float32"), plain(backbone, x).mean((1, 2)))


def test_dropout_and_batch_norm_are_in_inference_mode(cache, x, threes):
    keras.utils.set_random_seed(0)
    pictures = keras.Input((None, None, 3))
    found = keras.layers.Conv2D(4, 3)(keras.ops.image.resize(pictures, (32, 32)))
    found = keras.layers.Dropout(0.5, name="end")(keras.layers.BatchNormalization()(found))
    made = backbones.Backbone("toy", keras.Model(pictures, found), 32, {"block1": "end"}, "none", "", None)
    wanted = keras.ops.convert_to_numpy(made.model(x, training=False))
    for some in (x, x[:2]):  # compiled, and not
        assert close(features.extract(made, some, pool=False), wanted[: len(some)])


def test_a_data_set_becomes_a_data_set_of_features(cache, backbone, capsys):
    pictures = np.random.RandomState(0).randint(0, 256, (30, 20, 24, 3)).astype("uint8")
    y = np.arange(30) % 2
    data = datasets.Dataset("toy", pictures[:20], y[:20], pictures[20:], y[20:], ("a", "b"), "Made up.")
    found = features.extract(backbone, data)
    assert isinstance(found, datasets.Dataset) and "32 features" in repr(found) and capsys.readouterr().out == ""
    assert np.array_equal(found.x_train, features.extract(backbone, pictures[:20]))
    assert np.array_equal(found.x_test, features.extract(backbone, pictures[20:]))
    assert np.array_equal(found.y_train, y[:20]) and np.array_equal(found.y_test, y[20:]) and found.classes == ("a", "b")
    split, of_pictures = datasets.sample(found, 10, seed=1), datasets.sample(data, 10, seed=1)
    assert np.array_equal(split.y_train, of_pictures.y_train)
    assert np.array_equal(split.x_train, features.extract(backbone, data).x_train[index_of(of_pictures.x_train, pictures)])
    maps = features.extract(backbone, data, "block1", pool=False)
    assert maps.x_test.shape == (10, 16, 16, 16) and data.x_train.dtype == np.uint8
    features.extract(replace(backbone, trained_on="toy"), data)
    assert "the weights of VGG16 were trained on toy" in capsys.readouterr().out


def index_of(some, pictures):
    where = {picture.tobytes(): i for i, picture in enumerate(pictures)}
    return [where[picture.tobytes()] for picture in some]


@pytest.fixture
def folder(tmp_path):
    """Pictures of all kinds: the folder, and what each looks like, in the order of the names."""
    made, rng = tmp_path / "pictures", np.random.RandomState(0)
    (made / "d").mkdir(parents=True)
    a, b, c, e = (rng.randint(0, 256, shape).astype("uint8") for shape in [(40, 50, 3), (30, 20, 4), (25, 35), (32, 32, 3)])
    Image.fromarray(a).save(made / "a.PNG")
    Image.fromarray(b).save(made / "b.png")
    Image.fromarray(c).save(made / "c.png")
    Image.fromarray(e).save(made / "d" / "inside.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    Image.fromarray(a).resize((16, 12)).save(made / "e.jpg", exif=exif)
    with Image.open(made / "e.jpg") as image:
        lying = np.asarray(image)
    (made / ".hidden.png").write_bytes(b"not for us")
    (made / "notes.txt").write_text("no picture")
    return made, [a, b[..., :3], np.repeat(c[..., None], 3, axis=-1), e, np.rot90(lying, -1)]


def test_a_folder_gives_what_each_picture_would_on_its_own(cache, backbone, folder, runs, threes):
    path, pictures = folder
    wanted = np.concatenate([plain(backbone, picture[None]) for picture in pictures])
    assert pictures[4].shape == (16, 12, 3)
    found = features.extract(backbone, path, pool=False, precision="float32")
    assert close(found, wanted)
    assert np.array_equal(features.extract(backbone, str(path), pool=False, precision="float32"), found)
    assert [file.name for file in datasets.Folder(path).files] == ["a.PNG", "b.png", "c.png", "inside.png", "e.jpg"]
    assert runs == [3, 2]


def test_a_folder_is_known_by_what_is_in_it(cache, backbone, folder, runs):
    path, _ = folder
    first = features.extract(backbone, path)
    shutil.copytree(path, path.parent / "elsewhere")
    (path.parent / "elsewhere" / "b.png").rename(path.parent / "elsewhere" / "bb.png")
    assert np.array_equal(features.extract(backbone, path.parent / "elsewhere"), first) and runs == [5]
    Image.new("RGB", (8, 8), "red").save(path / "b.png")
    assert not np.array_equal(features.extract(backbone, path), first) and runs == [5, 5]
    (path / "c.png").unlink()
    assert features.extract(backbone, path).shape == (4, 32)


def test_what_comes_back_is_yours_to_change(cache, backbone, x, threes):
    first = features.extract(backbone, x)
    wanted = first.copy()
    first[:] = -1
    first += 5
    assert np.array_equal(features.extract(backbone, x), wanted) and (first == 4).all()


# Precision.


@pytest.fixture(scope="module")
def drawn():
    return drawings.objects(24, seed=5)[0]


@pytest.mark.parametrize("name", ["VGG16", "ResNet50"])
def test_bfloat16_is_off_by_a_percent_or_two_and_kept_apart(cache, drawn, name):
    made = backbones.load(name)
    for pool in (True, False):
        exact = features.extract(made, drawn, pool=pool, precision="float32")
        found = features.extract(made, drawn, pool=pool, precision="bfloat16")
        assert found.dtype == np.float32 and found.shape == exact.shape
        assert 0 < np.linalg.norm(found - exact) < 0.02 * np.linalg.norm(exact)
    assert len(kept(cache)) == 4
    assert close(exact, keras.ops.convert_to_numpy(made.model(drawn, training=False)))


def test_auto_is_bfloat16_where_machine_and_network_gain(cache, backbone, x, monkeypatch):
    def network(name, width):
        return SimpleNamespace(name=name, widths={"first": 8, "last": width})

    wide = [network("ResNet50", 2048), network("InceptionV3", 2048)]
    vgg = [network("VGG16", 128), network("VGG19", 512)]
    others = [network("ResNet50", 512), network("InceptionV3", 512), network("MobileNetV2", 1280)]
    monkeypatch.setattr(settings, "fast_bfloat16", lambda: True)
    assert {features.precision_of(each) for each in vgg + wide} == {"bfloat16"}
    assert {features.precision_of(each) for each in others} == {"float32"}
    assert [features.precision_of(wide[0], each) for each in ("float32", "bfloat16")] == ["float32", "bfloat16"]
    fast = features.extract(backbone, x)
    assert np.array_equal(fast, features.extract(backbone, x, precision="bfloat16"))
    monkeypatch.setattr(settings, "fast_bfloat16", lambda: False)
    assert {features.precision_of(each) for each in vgg + wide + others} == {"float32"}
    assert features.precision_of(others[0], "bfloat16") == "bfloat16"
    slow = features.extract(backbone, x)
    assert np.array_equal(slow, features.extract(backbone, x, precision="float32")) and len(kept(cache)) == 2


@pytest.mark.parametrize("precision", ["float16", "", None])
def test_an_unknown_precision_lists_the_known_ones(cache, backbone, x, precision):
    with pytest.raises(CourseError, match="Unknown precision.*auto, float32, bfloat16"):
        features.extract(backbone, x, precision=precision)


# Found by content.


def test_the_second_time_nothing_runs(cache, backbone, x, runs):
    first = features.extract(backbone, x)
    again = features.extract(backbone, x.copy())
    assert np.array_equal(first, again) and runs == [7] and len(kept(cache)) == 1


def test_a_network_is_known_by_its_weights_not_by_the_object(cache, backbone, x, runs):
    first = features.extract(backbone, x)
    assert np.array_equal(features.extract(with_weights(backbone, backbone.model.get_weights()), x), first) and runs == [7]


def test_whatever_changes_the_features_is_another_key(cache, backbone, x, runs):
    found = [features.extract(backbone, x, precision="float32")]
    other = x.copy()
    other[3, 10, 10, 1] ^= 1
    weights = backbone.model.get_weights()
    weights[0][0, 0, 0, 0] += 1e-3
    larger = random_vgg(size=40)
    larger.model.set_weights(backbone.model.get_weights())
    sources = [backbones.untrained(backbone, seed=1), with_weights(backbone, weights), larger]
    for pictures in (other, x[::-1], x[:6], x.reshape(7, 24, 20, 3), (x // 2).astype("float32")):
        found.append(features.extract(backbone, pictures, precision="float32"))
    for options in ({"at": "block1"}, {"pool": False}):
        found.append(features.extract(backbone, x, precision="float32", **options))
    found += [features.extract(source, x, precision="float32") for source in sources]
    found.append(features.extract(backbone, x, precision="bfloat16"))
    assert len(runs) == len(kept(cache)) == len(found) == 12
    assert not any(np.array_equal(found[0], each) for each in found[1:])


def test_weights_above_the_block_do_not_matter(cache, backbone, x, runs):
    features.extract(backbone, x, "block1")
    weights = backbone.model.get_weights()
    changed = with_weights(backbone, [*weights[:-1], weights[-1] + 1])
    features.extract(changed, x, "block1")
    assert runs == [7]
    features.extract(changed, x), features.extract(backbone, x)
    assert runs == [7, 7, 7]


def test_weights_that_change_under_a_compiled_network_are_noticed(cache, x, threes):
    made = random_vgg(blocks=1)
    before = features.extract(made, x, precision="float32")
    made.model.set_weights([weight + 0.01 for weight in made.model.get_weights()])
    after = features.extract(made, x, precision="float32")
    assert not np.array_equal(before, after) and close(after, plain(made, x, "block1_pool").mean((1, 2)))


# Never half-read.


def test_any_flipped_byte_is_noticed_and_only_its_part_runs_again(cache, backbone, x, runs, threes):
    first = features.extract(backbone, x).copy()
    (path,) = kept(cache)
    sound, rng = path.read_bytes(), np.random.RandomState(0)
    values = 7 * 32 * 4
    assert len(sound) == values + 3 * 8
    for position in [*rng.randint(0, values, 20), 0, 3 * 128 - 1, 3 * 128, 6 * 128, values - 1, *range(values, len(sound), 5)]:
        runs.clear()
        path.write_bytes(sound[:position] + bytes([sound[position] ^ 255]) + sound[position + 1 :])
        assert np.array_equal(features.extract(backbone, x), first), position
        part = position // (3 * 128) if position < values else (position - values) // 8
        assert runs == [[3, 3, 1][part]], position
        assert path.read_bytes() == sound


@pytest.mark.parametrize(
    "damage, again",
    [
        (lambda sound: sound[: len(sound) // 2], 7),
        (lambda sound: sound[:-1], 1),
        (lambda sound: b"", 7),
        (lambda sound: b"PK" + bytes(100), 7),
        (lambda sound: bytes(len(sound)), 7),
        (lambda sound: sound + b"more", 0),
        (lambda sound: sound[::-1], 7),
    ],
)
def test_a_file_of_another_length_or_with_other_contents_is_put_right(cache, backbone, x, runs, threes, damage, again):
    first = features.extract(backbone, x).copy()
    (path,) = kept(cache)
    sound = path.read_bytes()
    runs.clear()
    path.write_bytes(damage(sound))
    assert np.array_equal(features.extract(backbone, x), first)
    assert sum(runs) == again and path.read_bytes() == sound


def test_a_part_of_zeros_is_a_part(cache, x, runs, threes):
    made = random_vgg(blocks=1)
    made.model.set_weights([0 * weight for weight in made.model.get_weights()])
    assert not features.extract(made, x).any() and sum(runs) == 7
    assert not features.extract(made, x).any() and sum(runs) == 7


# Broken off, and going on.


def test_an_interrupted_call_goes_on_where_it_was(cache, backbone, monkeypatch, runs, threes):
    x = np.random.RandomState(1).randint(0, 256, (20, 20, 24, 3)).astype("uint8")
    wanted = features.extract(backbone, x).copy()
    features.clear()
    runs.clear()
    network = features._network

    def impatient(*args):
        run = network(*args)

        def interrupted(x):
            if len(runs) in (2, 5):
                runs.append(0)
                raise KeyboardInterrupt
            return run(x)

        return interrupted

    monkeypatch.setattr(features, "_network", impatient)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            features.extract(backbone, x)
    assert np.array_equal(features.extract(backbone, x), wanted)
    assert runs == [3, 3, 0, 3, 3, 0, 3, 3, 2]


def made_up(batch):
    """A stand-in for a network."""
    return np.sin(batch * np.arange(1.0, 201)).astype("float32")


def started(path, log, parts, pause):
    """A process that makes features of `parts` parts of three pictures and logs each that it begins; its number."""
    child = os.fork()
    if child:
        return child

    def run(batch):
        with open(log, "a") as file:
            file.write(f"{int(batch[0, 0])}\n")
        time.sleep(pause)
        return made_up(batch)

    status = 1
    try:
        x = np.arange(3.0 * parts)[:, None]
        file, _ = features._open(Path(path), (len(x), 200), 3)
        with file:
            features._fill(file, file.missing(), x, run, lambda n: None)
            status = 0 if np.array_equal(file.values(), made_up(x)) else 2
    finally:
        os._exit(status)


def begun(log):
    """The parts that a process has begun, by the number of their first picture."""
    return [int(line) for line in Path(log).read_text().split()] if Path(log).exists() else []


def missing(path, parts):
    with features._File(Path(path), (3 * parts, 200), 3) as file:
        return file.missing()


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def without_tensorflow(function, *args):
    """What a function of this file returns in a process of its own, which may fork, for TensorFlow is not there."""
    code = (
        "import json, os, random, signal, sys, time, types; from pathlib import Path; import numpy as np\n"
        "sys.modules['tlcourse.quiet'] = types.SimpleNamespace(keras=types.SimpleNamespace(Model=object), tf=None)\n"
        "from tlcourse import features\n"
    )
    code += "".join(inspect.getsource(each) for each in (made_up, started, begun, missing, until, function))
    code += f"print(json.dumps({function.__name__}(*{args!r})))"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def killed_again_and_again(folder, kills, parts):
    """A process is killed at random moments, some of them in a write, for it writes in small pieces."""
    path, log = Path(folder, "killed.features"), Path(folder, "log")
    chance, done, write = random.Random(0), [], features._File._write

    def in_pieces(file, data, where):
        step = -(-len(data) // 6)
        for i in range(0, len(data), step):
            write(file, data[i : i + step], where + i)
            time.sleep(0.003)

    features._File._write = in_pieces
    while len(done) < kills:
        before = len(begun(log))
        child = started(path, log, parts, pause=0.01)
        until(lambda: len(begun(log)) > before)
        time.sleep(chance.uniform(0, 0.15))
        os.kill(child, signal.SIGKILL)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL
        done.append(parts - len(missing(path, parts)))
    features._File._write = write
    assert os.waitpid(started(path, log, parts, pause=0), 0)[1] == 0
    other = Path(folder, "undisturbed.features")
    assert os.waitpid(started(other, Path(folder, "other"), parts, pause=0), 0)[1] == 0
    return done, begun(log), path.read_bytes() == other.read_bytes()


@forking
def test_ten_kills_at_random_moments_lose_one_part_each_at_most(cache, tmp_path):
    parts = 120
    done, began, same = without_tensorflow(killed_again_and_again, str(tmp_path), 10, parts)
    assert same and done == sorted(done) and 0 < done[-1] < parts
    assert set(began) == set(range(0, 3 * parts, 3)) and len(began) <= parts + 10


def killed_in_a_write(folder, moments):
    """A process is killed when it has written so many bytes; what is done then, and whether it ends well."""
    found, write = [], features._File._write
    for moment in moments:
        path, log, left = Path(folder, f"{moment}.features"), Path(folder, "log"), [moment]

        def dying(file, data, where):
            write(file, data[: left[0]], where)
            left[0] -= len(data)
            if left[0] <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

        features._File._write = dying
        assert os.waitpid(started(path, log, 4, pause=0), 0)[1] == signal.SIGKILL
        features._File._write = write
        done = 4 - len(missing(path, 4))
        found.append((done, os.waitpid(started(path, log, 4, pause=0), 0)[1]))
    return found


@forking
def test_wherever_a_write_is_broken_off_nothing_half_written_is_taken_for_whole(cache, tmp_path):
    part = 3 * 200 * 4
    moments = [1, part // 2, part - 1, part, part + 1, part + 7, part + 8, part + 9, 2 * part + 12, 2 * part + 16]
    found = without_tensorflow(killed_in_a_write, str(tmp_path), moments)
    assert found == [[moment // (part + 8), 0] for moment in moments]


def two_at_once(folder, parts):
    logs = [Path(folder, "0"), Path(folder, "1")]
    children = [started(Path(folder, "both.features"), log, parts, pause=0.02) for log in logs]
    return [os.waitpid(child, 0)[1] for child in children], [begun(log) for log in logs]


@forking
def test_two_processes_share_the_work_and_both_are_right(cache, tmp_path):
    statuses, began = without_tensorflow(two_at_once, str(tmp_path), 40)
    assert statuses == [0, 0] and sorted(sum(began, [])) == list(range(0, 120, 3))
    assert min(map(len, began)) >= 5


def one_is_killed(folder, parts):
    path, logs = Path(folder, "both.features"), [Path(folder, "0"), Path(folder, "1")]
    first = started(path, logs[0], parts, pause=100)
    until(lambda: begun(logs[0]))
    second = started(path, logs[1], parts, pause=0)
    until(lambda: missing(path, parts) == begun(logs[0]))
    time.sleep(0.3)
    waits = os.waitpid(second, os.WNOHANG) == (0, 0)
    os.kill(first, signal.SIGKILL)
    return waits, os.waitpid(first, 0)[1], os.waitpid(second, 0)[1], [begun(log) for log in logs]


@forking
def test_a_process_that_waits_for_anothers_part_makes_it_when_the_other_is_killed(cache, tmp_path):
    waits, killed, status, (first, second) = without_tensorflow(one_is_killed, str(tmp_path), 20)
    assert waits and killed == signal.SIGKILL and status == 0
    assert first == [0] and second == [*range(3, 60, 3), 0]


def test_four_threads_at_once(cache, backbone, x, capsys, threes):
    found, start = [None] * 4, threading.Barrier(4)

    def extract(i):
        start.wait()
        found[i] = features.extract(backbone, x, pool=False, precision="float32")

    threads = [threading.Thread(target=extract, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(close(each, plain(backbone, x)) for each in found)
    assert len(kept(cache)) == 1 and len(list((cache / "features").iterdir())) == 1
    assert capsys.readouterr().out == ""


def test_a_file_that_is_deleted_while_it_is_made_or_used_does_no_harm(cache, backbone, x, monkeypatch, threes):
    network = features._network

    def deleting(*args):
        run = network(*args)
        return lambda x: (features.clear(), run(x))[1]

    monkeypatch.setattr(features, "_network", deleting)
    found = features.extract(backbone, x, pool=False, precision="float32")
    assert not kept(cache) and close(found, plain(backbone, x))


# Disks.


def one_sentence(text):
    return text.count("\n") <= 1 and text.rstrip("\n").endswith(".") and ". " not in text


def test_where_there_is_no_space_the_features_are_made_in_memory(cache, backbone, x, monkeypatch, capsys, threes, runs):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=10**6))
    found = features.extract(backbone, x, pool=False, precision="float32")
    said = capsys.readouterr().out
    assert one_sentence(said) and "1 MB free" in said and "kept in memory" in said
    assert close(found, plain(backbone, x)) and found.dtype == np.float32 and runs == [3, 3, 1] and not kept(cache)
    found += 1


@pytest.mark.parametrize("free", [10**6, 10**12])
def test_only_what_is_on_disk_is_said_to_go_on(cache, backbone, x, monkeypatch, threes, free):
    shown, now, network = [], iter(range(0, 1000, 3)), features._network

    def interrupted(*args):
        run = network(*args)

        def run_two_batches(x):
            if len(x) < 3:
                raise KeyboardInterrupt
            return run(x)

        return run_two_batches

    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(now)))
    monkeypatch.setattr(progress, "_in_notebook", lambda: True)
    monkeypatch.setattr(progress, "_line", lambda: shown.append)
    monkeypatch.setattr(features, "_network", interrupted)
    with pytest.raises(KeyboardInterrupt):
        features.extract(backbone, x)
    assert "stopped after 6 of 7 pictures" in shown[-1] and ("goes on" in shown[-1]) == (free > 10**6)


def test_where_neither_disk_nor_memory_has_the_space_nothing_is_made(cache, backbone, x, monkeypatch, capsys, runs):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=10**6))
    monkeypatch.setattr(features, "IN_MEMORY", 10)
    with pytest.raises(CourseError, match="1 MB free.*free some space, or set TLCOURSE_CACHE to another folder") as error:
        features.extract(backbone, x)
    assert one_sentence(str(error.value)) and not runs and capsys.readouterr().out == "" and not kept(cache)


def test_a_disk_that_fills_up_meanwhile_is_said_and_the_call_goes_on_from_there(cache, backbone, x, monkeypatch, threes, runs):
    write, left = features._File._write, [3]  # values, mark, values

    def full(file, data, where):
        if not left[0]:
            raise OSError(28, "No space left on device")
        left[0] -= 1
        write(file, data, where)

    with monkeypatch.context() as patched:
        patched.setattr(features._File, "_write", full)
        with pytest.raises(CourseError, match="No space left on device.*the same call goes on from there") as error:
            features.extract(backbone, x, pool=False, precision="float32")
    assert one_sentence(str(error.value)) and runs == [3, 3]
    assert close(features.extract(backbone, x, pool=False, precision="float32"), plain(backbone, x))
    assert runs == [3, 3, 3, 1]


def test_a_cache_that_cannot_be_written_is_said_and_the_features_are_right(cache, backbone, x, capsys):
    cache.mkdir()
    (cache / "features").write_text("a file where the folder should be")
    assert close(features.extract(backbone, x, pool=False, precision="float32"), plain(backbone, x))
    said = capsys.readouterr().out
    assert one_sentence(said) and "cannot be written" in said and "kept in memory" in said
    assert features.kept() == (0, 0) and features.clear() == 0


@pytest.fixture
def read_only(monkeypatch):
    """A function that makes the kept files such as can only be read, as root can read and write everything."""

    def forbidden(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    def opened(path, flags, *args, opened=os.open, **kwargs):
        return forbidden() if str(path).endswith(".features") and flags & os.O_RDWR else opened(path, flags, *args, **kwargs)

    def close():
        monkeypatch.setattr(os, "open", opened)
        monkeypatch.setattr(os, "utime", forbidden)

    return close


def test_a_shared_cache_that_can_only_be_read_is_used(cache, backbone, x, runs, threes, capsys, read_only):
    first = features.extract(backbone, x)
    read_only()
    again = features.extract(backbone, x)
    assert np.array_equal(first, again) and runs == [3, 3, 1] and capsys.readouterr().out == ""
    again += 1
    assert np.array_equal(features.extract(backbone, x), first)


@pytest.mark.parametrize("damage", ["a part is missing", "the end is missing", "it is empty", "it is not there"])
def test_a_shared_cache_that_can_only_be_read_and_is_not_complete(cache, backbone, x, threes, capsys, read_only, damage):
    first = features.extract(backbone, x).copy()
    (path,) = kept(cache)
    sound = path.read_bytes()
    left = {
        "a part is missing": sound[:400] + bytes(200) + sound[600:],
        "the end is missing": sound[:500],
        "it is empty": b"",
        "it is not there": None,
    }[damage]
    path.unlink() if left is None else path.write_bytes(left)
    read_only()
    assert np.array_equal(features.extract(backbone, x), first)
    said = capsys.readouterr().out
    assert one_sentence(said) and "cannot be written" in said and "kept in memory" in said
    assert left is None or path.read_bytes() == left


# Trimming.


def fill(folder, ages, size=1000):
    folder.mkdir(parents=True, exist_ok=True)
    for name, age in ages.items():
        (folder / f"{name}.features").write_bytes(bytes(size))
        os.utime(folder / f"{name}.features", (1e9 - age, 1e9 - age))


def names(cache):
    return [path.stem for path in kept(cache)]


def test_beyond_the_limit_the_longest_unused_go_first(cache):
    folder = cache / "features"
    fill(folder, {"a": 5, "b": 50, "c": 1, "d": 20})
    (folder / "notes.txt").write_text("not ours")
    features._trim(folder, 4000)
    assert names(cache) == ["a", "b", "c", "d"]
    features._trim(folder, 2500)
    assert names(cache) == ["a", "c"]
    features._trim(folder, -10)  # what is to come is larger than the cache
    assert names(cache) == [] and (folder / "notes.txt").exists()


def test_what_is_made_stays_and_what_is_read_counts_as_used(cache, backbone, x, monkeypatch, runs):
    features.extract(backbone, x)
    (mine,) = kept(cache)
    os.utime(mine, (1e8, 1e8))
    fill(cache / "features", {"old": 100})
    features.extract(backbone, x)  # read: used now, so that "old" is the oldest
    monkeypatch.setenv("TLCOURSE_CACHE_GB", str((mine.stat().st_size * 2 + 500) / 1e9))
    features.extract(backbone, x[:6])
    assert mine in kept(cache) and "old" not in names(cache) and len(kept(cache)) == 2
    monkeypatch.setenv("TLCOURSE_CACHE_GB", "1e-9")
    features.extract(backbone, x[:5])
    assert len(kept(cache)) == 1
    features.extract(backbone, x[:5])
    assert runs == [7, 6, 5]


def test_by_default_two_gigabytes_are_kept(cache, backbone, x, monkeypatch):
    monkeypatch.delenv("TLCOURSE_CACHE_GB", raising=False)
    fill(cache / "features", {"old": 100, "new": 1})
    os.truncate(cache / "features" / "new.features", 2 * 10**9 - 1500)  # with a hole in it
    features.extract(backbone, x)
    assert "new" in names(cache) and "old" not in names(cache) and len(kept(cache)) == 2


def test_a_limit_that_is_no_number_is_a_sentence(cache, backbone, x, monkeypatch):
    monkeypatch.setenv("TLCOURSE_CACHE_GB", "much")
    for _ in range(2):
        with pytest.raises(CourseError, match="TLCOURSE_CACHE_GB is 'much': set it to a number of gigabytes above 0"):
            features.extract(backbone, x)
        assert not kept(cache)


def test_what_is_kept_can_be_counted_and_deleted(cache, backbone, x, runs):
    assert features.kept() == (0, 0) and features.clear() == 0
    fill(cache / "features", {"a": 1, "b": 2})
    (cache / "mnist5k.npz").write_text("digits")
    features.extract(backbone, x)
    assert features.kept() == (3, 2000 + 7 * 32 * 4 + 8)
    assert features.clear() == 2000 + 7 * 32 * 4 + 8
    assert features.kept() == (0, 0) and (cache / "mnist5k.npz").exists()
    features.extract(backbone, x)
    assert runs == [7, 7]


def test_a_file_that_another_process_trims_meanwhile_does_no_harm(cache):
    fill(cache / "features", {"a": 5, "b": 50, "c": 1})
    (cache / "features" / "gone.features").symlink_to(cache / "nowhere")  # listed, and not there when it is looked at
    features._trim(cache / "features", 1000)
    assert names(cache) == ["c", "gone"] and features.kept() == (1, 1000)


# Memory.


def peak_memory(count):
    """The most bytes that this process has held when features of so many large pictures are made."""
    made = random_vgg(blocks=1)
    one = np.random.RandomState(0).randint(0, 256, (200, 200, 3)).astype("uint8")
    found = features.extract(made, np.broadcast_to(one, (count, *one.shape)))
    assert found.shape == (count, 16) and np.array_equal(found[0], found[-1])
    # Not ru_maxrss, which a child takes over from its parent.
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_number_of_pictures(cache):
    code = "import numpy as np; from tlcourse import backbones, features; from tlcourse.quiet import keras\n"
    code += inspect.getsource(random_vgg) + inspect.getsource(peak_memory)
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    peaks = []
    for count in (2_000, 20_000):  # 0.24 and 2.4 GB, would anybody hold them
        command = [sys.executable, "-c", f"{code}print(peak_memory({count}))"]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, env=env, check=True).stdout))
    assert peaks[1] - peaks[0] < 200e6, peaks


# Mistakes.


def test_one_picture_will_do(cache, backbone, x, runs):
    first = features.extract(backbone, x[:1], pool=False, precision="float32")
    assert close(first, plain(backbone, x[:1]))
    assert np.array_equal(features.extract(backbone, x[:1], pool=False, precision="float32"), first) and runs == [1]


def spoiled(x, value):
    x = x.astype("float32")
    x[3, 4, 5, 1] = value
    return x


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda x: x[:0], "at least one picture"),
        (lambda x: [x[0], x[1, :10]], "different sizes"),
        (lambda x: x.astype(object), "of type object: convert"),
        (lambda x: None, "separate objects"),
        (lambda x: spoiled(x, np.nan), "not finite"),
        (lambda x: spoiled(x, np.inf), "not finite"),
        (lambda x: spoiled(x, -1), "preprocessing itself"),
        (lambda x: x * 2.0, "scale them to 0-255"),
        (lambda x: x / 255, r"use x \* 255"),
        (lambda x: x.astype(complex), "complex128"),
        (lambda x: x.astype(str), "of type <U"),
        (lambda x: x > 100, "of type bool"),
        (lambda x: np.moveaxis(x, -1, 1), "channels first"),
        (lambda x: x[0], r"use x\[None\]"),
        (lambda x: x[..., :1], "grey"),
        (lambda x: x[..., 0], "grey"),
        (lambda x: x[..., [0, 1, 2, 2]], "RGBA"),
        (lambda x: 3, "reshape it"),
    ],
)
def test_what_are_no_pictures_is_a_sentence(cache, backbone, x, change, said):
    with pytest.raises(CourseError, match=said):
        features.extract(backbone, change(x))
    assert not kept(cache)


def test_other_mistakes_are_sentences(cache, backbone, x):
    with pytest.raises(CourseError, match="VGG16 has no block 'block3': choose one of block1, block2"):
        features.extract(backbone, x, "block3")
    bare = keras.Sequential([keras.Input((None, None, 3)), keras.layers.AveragePooling2D(2, name="end")], name="bare")
    with pytest.raises(CourseError, match="bare has no weights"):
        features.extract(backbones.Backbone("bare", bare, 32, {"block1": "end"}, "none", "", None), x)
    assert not kept(cache)


def test_folders_that_are_no_use_are_sentences(cache, backbone, folder, tmp_path):
    path, _ = folder
    for wrong in (tmp_path / "nowhere", path / "a.PNG"):
        with pytest.raises(CourseError, match=f"{wrong.name} is not a folder of pictures"):
            features.extract(backbone, wrong)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("")
    with pytest.raises(CourseError, match="empty has no pictures"):
        features.extract(backbone, str(tmp_path / "empty"))
    assert not kept(cache)


def test_a_broken_picture_is_named_and_the_rest_goes_on_when_it_is_gone(cache, backbone, folder):
    path, pictures = folder
    whole = (path / "e.jpg").read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"no picture at all"):
        (path / "e.jpg").write_bytes(broken)
        with pytest.raises(CourseError, match="e.jpg cannot be read as a picture.*repair it or take it out"):
            features.extract(backbone, path)
    (path / "e.jpg").unlink()
    assert features.extract(backbone, path).shape == (4, 32)
