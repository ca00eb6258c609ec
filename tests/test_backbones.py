"""Pretrained networks: what they compute, what they read, and what they refuse."""

import functools
import hashlib
import json
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest
from conftest import SHARED
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tlcourse import CourseError, backbones, datasets, downloads, features
from tlcourse.quiet import keras

SIZE = {"VGG16": 32, "VGG19": 32, "ResNet50": 32, "InceptionV3": 75, "MobileNetV2": 32}  # the smallest each takes
WIDTHS = {
    "VGG16": [64, 128, 256, 512, 512],
    "VGG19": [64, 128, 256, 512, 512],
    "ResNet50": [64, 256, 512, 1024, 2048],
    "InceptionV3": [192, 256, 288, 288, 768, 768, 768, 768, 768, 1280, 2048, 2048],
    "MobileNetV2": [32, 16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320, 1280],
}
families = pytest.mark.parametrize("name", backbones.NAMES)
layouts = pytest.mark.parametrize("layout", ["keras3", "applications"])
real = pytest.mark.skipif(not SHARED.is_dir(), reason="the real weights are not on this machine")
MADE = {}


def small(name):
    """A network at a quarter of the width with weights that were drawn, batch normalisation's too."""
    if name not in MADE:
        keras.utils.set_random_seed(0)
        MADE[name] = drawn(backbones.build(name, SIZE[name], backbones.SHRUNK))
    return MADE[name]


def drawn(model):
    rng = np.random.RandomState(1)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return model


def write(model, path, layout, dtype="float16"):
    """A weights file of a model: Keras 3's own, or as tools/pretrain.py and keras.applications lay it out."""
    if layout == "keras3":
        model.save_weights(path)
        return path
    with h5py.File(path, "w") as file:
        layers = [layer for layer in model.layers if layer.weights]
        file.attrs["layer_names"] = [layer.name.encode() for layer in layers]
        for layer in layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, weight in zip(names, layer.get_weights(), strict=True):
                packed = {"compression": "gzip"} if dtype == "float16" else {}
                group.create_dataset(name, data=weight.astype(dtype), **packed)
    return path


def pictures(n=3, height=40, width=56):
    return np.random.RandomState(0).randint(0, 256, (n, height, width, 3)).astype("uint8")


def run(model, x, **options):
    return keras.ops.convert_to_numpy(model(x, **options))


def close(a, b, within=1e-5):
    return np.abs(a - b).max() <= within * np.abs(a).max()


def refused(name, weights, **options):
    """The sentence with which a file is refused, before a single weight is set."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(CourseError) as caught:
        patch.setattr(keras.layers.Layer, "set_weights", lambda *args: pytest.fail("half-loaded"))
        backbones.load(name, weights, **options)
    said = str(caught.value)
    assert "\n" not in said
    return said


# What they compute


@families
def test_a_backbone_is_the_network_of_keras_with_its_own_preprocessing(name):
    backbone = backbones.load(name, None, size=75)
    module = getattr(keras.applications, backbones._FAMILIES[name][0])
    theirs = getattr(module, name)(include_top=False, weights=None, input_shape=(75, 75, 3))
    drawn(backbone.model)
    for layer, same in backbones._stable_names(theirs).items():
        if theirs.get_layer(layer).weights:
            theirs.get_layer(layer).set_weights(backbone.model.get_layer(same).get_weights())
    x = pictures()
    resized = keras.ops.image.resize(x.astype("float32"), (75, 75))
    wanted = run(theirs, module.preprocess_input(np.array(resized)), training=False)
    assert close(wanted, run(backbone.model, x)) and np.abs(wanted).max() > 0
    assert backbone.size == 75 and backbone.trained_on is None
    assert list(backbone.widths.values()) == WIDTHS[name]
    assert f"{name}, {theirs.count_params():,} parameters" in repr(backbone) and repr(backbone).endswith(f"({WIDTHS[name][-1]})")


@families
def test_pictures_of_any_size_and_number_type_and_a_batch_of_one(name):
    model, x = small(name), pictures()
    found = run(model, x)
    assert close(found[:1], run(model, x[:1])) and close(found, run(model, x.astype("float32")))
    assert run(model, pictures(1, 90, 31)).shape == (1, *found.shape[1:])


@families
def test_without_being_told_a_backbone_is_in_inference_mode(name):
    """Keras's Resizing layer would break this: see backbones._application."""
    x = pictures()
    assert np.array_equal(run(small(name), x), run(small(name), x, training=False))


@families
def test_a_model_is_saved_and_loaded_with_safe_mode_on(name, tmp_path):
    small(name).save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert np.array_equal(run(small(name), pictures()), run(again, pictures()))
    assert [layer.name for layer in again.layers] == [layer.name for layer in small(name).layers]


def test_layer_names_do_not_depend_on_what_was_built_before():
    first, second = small("InceptionV3"), backbones.build("InceptionV3", 75, backbones.SHRUNK)
    keras.utils.clear_session()  # as in a fresh process
    theirs = keras.applications.InceptionV3(include_top=False, weights=None, input_shape=(75, 75, 3))
    assert all(name == stable for name, stable in backbones._stable_names(theirs).items())
    names = [{layer.name for layer in model.layers if layer.weights} for model in (first, second, theirs)]
    assert names[0] == names[1] == names[2]
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]
    assert {"conv2d", "conv2d_93", "batch_normalization", "max_pooling2d_1", "mixed10"} <= {layer.name for layer in first.layers}


@families
def test_blocks_in_order(name):
    blocks, model = backbones.blocks_of(name, small(name)), small(name)
    order = [layer.name for layer in model.layers]
    ends = [order.index(layer) for layer in blocks.values()]
    assert ends == sorted(ends) and ends[-1] == len(order) - 1
    assert [model.get_layer(layer).output.shape[-1] * backbones.SHRUNK for layer in blocks.values()] == WIDTHS[name]


def test_block_names_are_those_of_the_lessons():
    assert list(backbones.blocks_of("VGG16", small("VGG16"))) == [f"block{i}" for i in range(1, 6)]
    assert list(backbones.blocks_of("ResNet50", small("ResNet50"))) == [f"conv{i}" for i in range(1, 6)]
    assert list(backbones.blocks_of("InceptionV3", small("InceptionV3"))) == ["stem", *(f"mixed{i}" for i in range(11))]
    mobile = ["Conv1", "expanded_conv", *(f"block_{i}" for i in range(1, 17)), "out"]
    assert list(backbones.blocks_of("MobileNetV2", small("MobileNetV2"))) == mobile


def test_random_weights_are_drawn_anew_and_by_seed():
    backbone = backbones.load("VGG16", None, size=32, until="block2")
    kernel = backbone.model.get_weights()[0].copy()
    kernels = [backbones.untrained(backbone, seed).model.get_weights()[0] for seed in (0, 1, 0)]
    assert np.array_equal(kernels[0], kernels[2]) and not np.array_equal(kernels[0], kernels[1])
    assert np.array_equal(backbone.model.get_weights()[0], kernel)
    again = backbones.untrained(backbone)
    assert (again.size, list(again.blocks), again.trained_on) == (32, ["block1", "block2"], None)


@pytest.mark.parametrize(
    "name, options, said",
    [
        ("VGG", {}, "Unknown backbone 'VGG': choose one of VGG16, VGG19, ResNet50, InceptionV3, MobileNetV2."),
        ("MobileNetV2", {"weights": "mini"}, "MobileNetV2 has no mini: choose one of VGG16, .*or weights='imagenet'."),
        ("VGG16", {"size": 31}, "VGG16 cannot see pictures at 31×31: choose a whole number of at least 32 as size."),
        ("InceptionV3", {"size": 74}, "74×74.*at least 75"),
        ("ResNet50", {"size": 64.5}, "64.5×64.5.*whole number"),
        ("ResNet50", {"size": "64"}, "whole number"),
        ("VGG16", {"size": -64}, "at least 32"),
        ("VGG16", {"size": 32, "until": "block6"}, "VGG16 has no block 'block6': choose one of block1, .*block5."),
        ("VGG16", {"weights": "imagenet1k"}, "no weights file imagenet1k.*'mini', 'imagenet' or None"),
    ],
)
def test_mistakes_are_one_sentence(name, options, said):
    with pytest.raises(CourseError, match=said) as caught:
        backbones.load(name, **{"weights": None} | options)
    assert "\n" not in str(caught.value)


# Files


@layouts
@families
def test_a_file_brings_every_weight_to_its_layer(name, layout, tmp_path):
    path = write(small(name), tmp_path / "some.weights.h5", layout)
    backbone = backbones.load(name, path, size=SIZE[name])
    assert backbone.weights == str(path) and "some.weights.h5" in backbone.source and backbone.trained_on is None
    for ours, wanted in zip(backbone.model.layers, small(name).layers, strict=True):
        for a, b in zip(ours.get_weights(), wanted.get_weights(), strict=True):
            assert np.array_equal(a, b if layout == "keras3" else b.astype("float16"))


@pytest.mark.parametrize("name, layout", [("VGG16", "applications"), ("MobileNetV2", "keras3")])
def test_a_file_at_full_width(name, layout, tmp_path):
    model = drawn(backbones.build(name, 32))
    path = write(model, tmp_path / "whole.weights.h5", layout, "float32")
    assert np.array_equal(run(model, pictures()), run(backbones.load(name, path, size=32).model, pictures()))


def test_a_file_says_its_width_and_the_width_the_size(tmp_path):
    quarter = write(small("VGG16"), tmp_path / "quarter.h5", "applications")
    assert backbones.load("VGG16", quarter).size == 64
    whole = write(drawn(backbones.build("MobileNetV2", 32)), tmp_path / "whole.weights.h5", "keras3")
    assert backbones.load("MobileNetV2", whole).size == 224


@layouts
def test_a_network_may_end_earlier_and_so_may_its_file(layout, tmp_path):
    model = small("VGG16")
    ends = keras.Model(model.inputs[0], model.get_layer("block3_pool").output)
    path = write(ends, tmp_path / "lower.weights.h5", layout, "float32")
    lower = backbones.load("VGG16", path, size=32, until="block3")
    assert list(lower.widths.items()) == [("block1", 16), ("block2", 32), ("block3", 64)]
    assert np.array_equal(run(lower.model, pictures()), run(ends, pictures()))
    assert list(backbones.load("VGG16", path, size=32, until="block2").blocks) == ["block1", "block2"]
    whole = write(model, tmp_path / "whole.weights.h5", layout, "float32")
    assert np.array_equal(run(backbones.load("VGG16", whole, size=32, until="block3").model, pictures()), run(ends, pictures()))
    for options in ({}, {"until": "block4"}):
        assert "does not fit VGG16: it has no weights for the layer 'block4_conv1'" in refused("VGG16", path, **options)
    assert "no block 'block9': choose one of block1" in refused("VGG16", path, until="block9")


@pytest.mark.parametrize(
    "file, into, layout, differs",
    [
        ("VGG19", "VGG16", "applications", "it has weights for 'block3_conv4', a layer that the network lacks"),
        ("VGG19", "VGG16", "keras3", r"the layer 'block4_conv1' has weights \[\(3, 3, 64, 64\), .* and \[\(3, 3, 64, 128\)"),
        ("VGG16", "VGG19", "applications", "it has no weights for the layer 'block3_conv4'"),
        ("VGG16", "VGG19", "keras3", r"the layer 'block3_conv4' has weights \[\(3, 3, 64, 128\)"),
        ("MobileNetV2", "VGG16", "applications", "it has no weights for the layer 'block1_conv1'"),
        ("MobileNetV2", "VGG16", "keras3", r"the layer 'block1_conv1' has weights \[\(3, 3, 3, 8\)\] there"),
    ],
)
def test_another_networks_file_is_refused_by_its_first_layer_that_differs(file, into, layout, differs, tmp_path):
    path = write(small(file), tmp_path / "other.weights.h5", layout)
    said = refused(into, path)
    assert said.startswith(f"{path} does not fit {into}: ") and re.search(differs, said), said


def other_file(kind, folder):
    path = folder / "file.weights.h5"
    if kind == "text":
        path.write_text("layer,weight\n" * 100)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "nothing in it":
        h5py.File(path, "w").close()
    elif kind == "a model":
        small("VGG16").save(folder / "model.keras")
        path.write_bytes((folder / "model.keras").read_bytes())
    elif kind == "pickled strings":
        write(small("VGG16"), path, "applications")
        with h5py.File(path, "r+") as file:
            del file["block2_conv1/block2_conv1/kernel:0"]
            file["block2_conv1/block2_conv1/kernel:0"] = "a kernel"
    else:
        write(small("VGG16"), path, kind)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    return path


@pytest.mark.parametrize("kind", ["text", "empty", "nothing in it", "a model", "pickled strings", "keras3", "applications"])
def test_what_is_no_weights_file_is_refused(kind, tmp_path):
    path = other_file(kind, tmp_path)
    said = refused("VGG16", path)
    assert said.startswith(f"{path} cannot be read as Keras weights (") and "damaged or another kind of file" in said


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert f"no weights file {tmp_path / 'no.h5'}" in refused("VGG16", tmp_path / "no.h5")
    assert f"no weights file {tmp_path}" in refused("VGG16", tmp_path)


@layouts
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_numbers_are_refused(layout, value, tmp_path):
    model = keras.models.clone_model(small("VGG16"))
    bias = model.get_layer("block2_conv1").bias
    bias.assign(np.full(bias.shape, value))
    path = write(model, tmp_path / "nan.weights.h5", layout)
    assert "some weights of the layer 'block2_conv1' are not finite numbers" in refused("VGG16", path)


@layouts
def test_flipped_bytes_are_never_a_traceback(layout, tmp_path):
    """Some are beyond notice without a card: in numbers that are not compressed, or in what says where they lie."""
    model = keras.Model(small("VGG16").inputs[0], small("VGG16").get_layer("block3_pool").output)
    path = write(model, tmp_path / "sound.weights.h5", layout)
    sound, rng = path.read_bytes(), np.random.RandomState(0)
    refusals = 0
    damaged = tmp_path / "damaged.weights.h5"
    for position in rng.permutation(len(sound) - 8)[:200]:
        damaged.write_bytes(sound[:position] + rng.bytes(8) + sound[position + 8 :])
        try:
            found = backbones._read(damaged, model)
            backbones._compare("VGG16", model.layers, found, damaged, exactly=True)
        except CourseError as error:
            assert "\n" not in str(error) and str(damaged) in str(error)
            refusals += 1
    assert refusals >= (100 if layout == "applications" else 3)
    middle = len(sound) // 2
    damaged.write_bytes(sound[:middle] + bytes(byte ^ 255 for byte in sound[middle : middle + 64]) + sound[middle + 64 :])
    if layout == "applications":
        assert "cannot be read as Keras weights" in refused("VGG16", damaged, until="block3")


def test_a_card_beside_a_file_vouches_for_it(tmp_path, capsys):
    path, card = write(small("VGG16"), tmp_path / "mine.h5", "applications"), tmp_path / "mine.json"
    facts = {"source": "My own.", "trained_on": "drawn10", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    card.write_text(json.dumps(facts))
    backbone = backbones.load("VGG16", path)
    assert (backbone.source, backbone.trained_on) == ("My own.", "drawn10")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert "mine.h5 is not the file that mine.json describes (its checksum is wrong)" in refused("VGG16", path)
    for text in ("{", "[]", "3", '{"source": "My own."}', "\x00"):
        card.write_text(text)
        assert "mine.json is not the card of the weights beside it" in refused("VGG16", path)


# ImageNet, from TLCOURSE_HOME, from Keras's own folder, or from nowhere


@pytest.fixture
def official(home, monkeypatch):
    """official(name, model) puts the file of keras.applications of that name into TLCOURSE_HOME."""
    monkeypatch.setattr(downloads, "_download", lambda *args: pytest.fail("fetched"))

    def put(name, model, checksum=True, folder=home):
        path = downloads.place(name, folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        write(model, path, "applications", "float32")
        md5 = hashlib.md5(path.read_bytes()).hexdigest() if checksum else None
        monkeypatch.setitem(downloads.ADDRESSES, name, (downloads.ADDRESSES[name][0], md5))
        return path

    return put


def test_imagenet_weights_are_read_from_home(official):
    keras.utils.set_random_seed(5)
    theirs = drawn(keras.applications.InceptionV3(include_top=False, weights=None, input_shape=(75, 75, 3)))
    assert theirs.layers[1].name != "conv2d"  # the running numbers of this process
    path = official("InceptionV3", theirs)
    assert backbones.weights_file("InceptionV3") == path
    backbone = backbones.load("InceptionV3", size=75)  # the full profile's default
    resized = keras.ops.image.resize(pictures().astype("float32"), (75, 75))
    assert close(run(theirs, np.array(resized) / 127.5 - 1, training=False), run(backbone.model, pictures()))
    assert (backbone.weights, backbone.trained_on) == ("imagenet", "imagenet")


def test_imagenet_weights_that_are_missing_or_damaged_at_home_are_named_and_left_alone(official, home):
    assert f"TLCOURSE_HOME has no models/{downloads.place('VGG16').name}" in refused("VGG16", "imagenet")
    path = official("MobileNetV2", small("MobileNetV2"), checksum=True)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    said = refused("MobileNetV2", "imagenet")
    assert f"{path} is damaged (its checksum is wrong)" in said and f"tlcourse fetch MobileNetV2 --to {home}" in said
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "model, said",
    [
        ("VGG16", "does not fit MobileNetV2: it has no weights for the layer 'Conv1'"),
        ("MobileNetV2", "does not fit MobileNetV2: the layer 'Conv1' has weights"),  # at a quarter of the width
        (None, "cannot be read as Keras weights"),
    ],
)
def test_a_wrong_file_without_a_published_checksum_is_refused_too(official, model, said):
    path = official("MobileNetV2", small(model or "VGG16"), checksum=False)
    if model is None:
        path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(CourseError, match=said) as caught:
        backbones.load("MobileNetV2", "imagenet", size=32)
    assert "\n" not in str(caught.value)


def test_what_keras_has_fetched_before_is_not_fetched_again(official, cache, tmp_path, monkeypatch):
    monkeypatch.delenv("TLCOURSE_HOME")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    model = drawn(backbones.build("MobileNetV2", 32))
    path = official("MobileNetV2", model, folder=tmp_path / "keras")
    assert path.parent == tmp_path / "keras" / "models"
    assert np.array_equal(run(model, pictures()), run(backbones.load("MobileNetV2", "imagenet", size=32).model, pictures()))


def test_a_damaged_file_in_the_cache_is_fetched_again(official, cache, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("TLCOURSE_HOME")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "nowhere"))
    model = drawn(backbones.build("MobileNetV2", 32))
    path = official("MobileNetV2", model, folder=cache / "data")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"!")
    monkeypatch.setattr(downloads, "_download", lambda name, to: to.write_bytes(whole) and to)
    assert np.array_equal(run(model, pictures()), run(backbones.load("MobileNetV2", "imagenet", size=32).model, pictures()))
    assert capsys.readouterr().out.count("is damaged; it is kept as") == 1


# Real weights


@real
def test_real_mobilenet_at_128_computes_what_keras_computes():
    path = SHARED / "mobilenet_v2_imagenet_notop.weights.h5"
    backbone = backbones.load("MobileNetV2", path, size=128)
    theirs = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(128, 128, 3))
    theirs.load_weights(path)
    x = np.random.RandomState(0).randint(0, 256, (4, 128, 128, 3)).astype("uint8")
    assert close(run(theirs, x / np.float32(127.5) - 1, training=False), run(backbone.model, x))
    assert (backbone.size, backbone.trained_on, len(backbone.blocks)) == (128, None, 19)


@real
def test_real_vgg16_knows_more_of_photographs_than_random_weights(tmp_path, home, cache):
    """With all 5,000 test pictures 60.4 % was seen at 64×64, and 35.8 % with random weights."""
    subprocess.run([sys.executable, SHARED / "unpack.py", home, "cifar10"], check=True, stdout=subprocess.DEVNULL)
    data = datasets.load("cifar10")
    path = SHARED / "vgg16_block1to3_imagenet.weights.h5"
    backbone = backbones.load("VGG16", path, size=64, until="block3", target=data)
    split = datasets.sample(data, 1000)
    x_test, y_test = data.x_test[::10], data.y_test[::10]
    accuracies = [probe(each, split.x_train, split.y_train, x_test, y_test) for each in (backbone, backbones.untrained(backbone))]
    assert accuracies[0] > 0.55 and accuracies[1] < 0.45, accuracies


def probe(backbone, x, y, x_test, y_test, at=None):
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    return classifier.fit(features.extract(backbone, x, at), y).score(features.extract(backbone, x_test, at), y_test)


# The minis of the wheel

SHIPPED = sorted(path.stem.removesuffix("_mini") for path in backbones.SHIPPED.glob("*.h5"))
minis = pytest.mark.parametrize("name", SHIPPED)


def dataset(name):
    x, y = np.zeros((1, 8, 8, 3), "uint8"), np.zeros(1, int)
    return datasets.Dataset(name, x, y, x, y, ("a",), "Nothing.")


def test_there_are_minis_small_enough_for_a_wheel():
    assert SHIPPED and set(SHIPPED) <= set(backbones.MINIS)
    assert sum(path.stat().st_size for path in backbones.SHIPPED.iterdir()) < 16e6


@functools.cache
def mini(name):
    return backbones.load(name)  # the sample profile's default


@minis
def test_a_card_tells_what_a_mini_is(name):
    card = backbones.card(name)
    assert hashlib.sha256((backbones.SHIPPED / f"{name}_mini.h5").read_bytes()).hexdigest() == card["sha256"]
    backbone = mini(name)
    assert (backbone.weights, backbone.trained_on, card["trained_on"]) == ("mini", "cifar100", "cifar100")
    assert (backbone.size, backbone.source) == (card["size"], card["source"]) == (backbones.mini_size(name), card["source"])
    assert backbone.model.count_params() == card["parameters"]
    assert backbones.weights_file(name) == backbones.SHIPPED / f"{name}_mini.h5"
    assert card["recipe"] == "tools/pretrain.py" and 0.3 < card["test_accuracy"] < 1
    if "log" in card:
        assert card["epochs"] == len(card["log"]) - 1
    assert list(backbone.blocks) == list(backbones.blocks_of(name, small(name)))


@minis
def test_a_target_seen_in_pretraining_is_warned_of(name, capsys):
    assert backbones.warn_if_seen(mini(name), dataset("cifar100"))
    assert f"the weights of {name} were trained on cifar100" in capsys.readouterr().out
    assert not any(backbones.warn_if_seen(mini(name), dataset(other)) for other in ("cifar10", "drawn10", "mnist"))
    if name == SHIPPED[-1]:
        for target in ("cifar100", "cifar10", "drawn10"):
            lower = backbones.load(name, "mini", until=list(mini(name).blocks)[0], target=dataset(target))
            assert ("no transfer" in capsys.readouterr().out) == (target == "cifar100")
        assert not backbones.warn_if_seen(backbones.untrained(lower), dataset("cifar100"))
    assert capsys.readouterr().out == ""


@functools.cache
def digits():
    return datasets.load("mnist")


@minis
def test_a_mini_knows_more_than_random_weights(name, cache):
    data = digits()
    split = datasets.sample(data, 200)
    x, x_test = (np.repeat(part, 3, axis=-1) for part in (split.x_train, data.x_test[:300]))
    at = list(mini(name).blocks)[-2]
    found, control = (
        probe(each, x, split.y_train, x_test, data.y_test[:300], at) for each in (mini(name), backbones.untrained(mini(name)))
    )
    assert found > control + 0.03, (found, control)


def test_a_card_that_cannot_be_had_is_a_sentence(monkeypatch, tmp_path):
    for name in ("MobileNetV2", "VGG", ""):
        with pytest.raises(CourseError, match=f"'{name}' has no mini: choose one of VGG16, VGG19, ResNet50, InceptionV3"):
            backbones.card(name)
    monkeypatch.setattr(backbones, "SHIPPED", tmp_path)
    with pytest.raises(CourseError, match="no card .*VGG16_mini.json"):
        backbones.card("VGG16")
    assert "VGG16_mini.h5" in refused("VGG16", "mini")


# Pictures as they should be, and as they should not


GOOD = pictures(4, 10, 12)
GREY = GOOD[..., 0]
BAD = {
    "scaled": ((GOOD / 255).astype("float32"), "use x \\* 255", lambda x: x * 255),
    "scaled float64": (GOOD / 255, "from 0.* to 1: use x \\* 255", lambda x: x * 255),
    "grey": (GREY, r"grey \(4, 10, 12\)", lambda x: np.repeat(x[..., None], 3, axis=-1)),
    "grey with a channel": (GREY[..., None], "grey", lambda x: np.repeat(x, 3, axis=-1)),
    "RGBA": (np.concatenate([GOOD, GOOD[..., :1]], -1), "RGBA", lambda x: x[..., :3]),
    "channels first": (np.moveaxis(GOOD, -1, 1), r"channels first \(4, 3, 10, 12\)", lambda x: np.moveaxis(x, 1, -1)),
    "one picture": (GOOD[0], r"one picture \(10, 12, 3\): use x\[None\]", lambda x: x[None]),
    "scaled between -1 and 1": (GOOD / 127.5 - 1, "from -1 to 1: .*as they were before", lambda x: GOOD),
    "negative": (GOOD.astype(int) - 300, "from -300", lambda x: GOOD),
    "NaN": (np.where(GOOD > 250, np.nan, GOOD), "not finite.*nan_to_num", np.nan_to_num),
    "more than 255": (GOOD.astype("uint16") * 257, "up to 6.55e\\+04: scale", lambda x: x / 65535 * 255),
    "yes and no": (GOOD > 100, "of type bool: convert", lambda x: x.astype("uint8") * 255),
    "strings": (GOOD.astype(str), "of type <U3: convert", lambda x: x.astype("uint8")),
    "objects": (GOOD.astype(object), "of type object: convert", lambda x: x.astype("uint8")),
    "empty": (GOOD[:0], r"empty array \(0, 10, 12, 3\)", lambda x: GOOD),
    "of different sizes": ([GOOD[0], GOOD[1, :5]], "different sizes", lambda x: np.stack([x[0][:5], x[1]])),
    "flat": (GOOD.reshape(4, -1), r"an array \(4, 360\): reshape", lambda x: x.reshape(4, 10, 12, 3)),
    "two channels": (GOOD[..., :2], "2 channels", lambda x: np.concatenate([x, x[..., :1]], -1)),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_pictures_of_another_kind_are_refused_with_a_conversion_that_works(kind):
    x, said, convert = BAD[kind]
    with pytest.raises(CourseError, match=said) as caught:
        backbones.check_pictures(x)
    assert str(caught.value).startswith("RGB pictures (n, height, width, 3) with values from 0 to 255 are expected, and")
    assert "\n" not in str(caught.value)
    backbones.check_pictures(convert(x))


def test_conversions_follow_each_other_until_the_pictures_are_right():
    """One grey picture with a channel: a batch first, then three channels; one of RGBA likewise."""
    namespace = {"np": np}
    for x in (GREY[0, ..., None], np.moveaxis(GREY[..., None], -1, 1), np.dstack([GOOD[0], GREY[0]]) / 255):
        namespace["x"] = x
        for _ in range(4):
            try:
                backbones.check_pictures(namespace["x"])
                break
            except CourseError as error:
                namespace["x"] = eval(str(error).rpartition("use ")[2].rstrip(".").removesuffix(" for a batch of one"), namespace)
        assert namespace["x"].shape[-1] == 3 and namespace["x"].shape[1:3] == (10, 12)


@pytest.mark.parametrize("x", [GOOD, GOOD.astype("float32"), GOOD.astype(int), list(GOOD), GOOD[:1], np.zeros((2, 8, 8, 3))])
def test_good_pictures_pass(x):
    assert backbones.check_pictures(x) is None
