"""Pretrained networks that take pictures as they are, and know their own parts.

A backbone's model does its own resizing and its family's own preprocessing, so that no
caller can get it wrong. Preprocessing travels with the weights.
"""

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from tlcourse import CourseError, downloads, settings
from tlcourse.quiet import keras

# name -> (module of keras.applications, side of its pictures in pixels: mini, ImageNet)
_FAMILIES = {
    "VGG16": ("vgg16", 64, 224),
    "VGG19": ("vgg19", 64, 224),
    "ResNet50": ("resnet50", 64, 224),
    "InceptionV3": ("inception_v3", 75, 299),
    "MobileNetV2": ("mobilenet_v2", 64, 224),
}
NAMES = tuple(_FAMILIES)
MINIS = ("VGG16", "VGG19", "ResNet50", "InceptionV3")
SHRUNK = 4  # a mini has its family's layers, each with a quarter of the filters
SHIPPED = Path(__file__).parent / "weights"  # the minis, each with a card
# Layers that Keras numbers by how many it has made before, in this process.
_NUMBERED = re.compile(r"(conv2d|batch_normalization|activation|max_pooling2d|average_pooling2d|concatenate)(?:_(\d+))?")


@dataclass(frozen=True, eq=False)
class Backbone:
    """A network without its top, with what one must know to use it.

    model: a Keras model, pictures (n, h, w, 3), RGB, 0-255, uint8 or float, of any height
        and width -> (n, h', w', c). It resizes them to `size` x `size` pixels and scales them itself.
    blocks: {block: the layer that ends it}, from the pictures to the output.
    weights: "mini", "imagenet", "none" or the path of a file. source: where they come from.
    trained_on: the data set that the weights were trained on, by its name in
        `datasets` or "imagenet"; None for random weights and where no card says.
    """

    name: str
    model: keras.Model
    size: int
    blocks: dict
    weights: str
    source: str
    trained_on: str | None

    @property
    def widths(self):
        """{block: channels there}, the number of features that pooling gives."""
        return {block: self.model.get_layer(layer).output.shape[-1] for block, layer in self.blocks.items()}

    def __repr__(self):
        parts = ", ".join(f"{block} ({width})" for block, width in self.widths.items())
        return (
            f"{self.name}, {self.model.count_params():,} parameters, pictures seen at {self.size}×{self.size}\n"
            f"{self.source}\nblocks (features): {parts}"
        )


def load(name, weights="default", *, size=None, until=None, target=None):
    """The network of that name without its top, as a Backbone that takes 0-255 RGB pictures of any size.

    name: "VGG16", "VGG19" (Simonyan and Zisserman, 2014), "ResNet50" (He et al., 2015),
        "InceptionV3" (Szegedy et al., 2015) or "MobileNetV2" (Sandler et al., 2018).
    weights: "mini", a quarter of the width with the same layer names, pretrained by this project
        on CIFAR-100 (not for MobileNetV2); "imagenet", those of keras.applications, read from
        TLCOURSE_HOME or fetched once; None, random ones at full width; or the path of an HDF5 file, at either
        width. The default is "mini" in the sample profile and "imagenet" in the full one.
    size: the side in pixels that pictures are resized to; default 64 (InceptionV3: 75) for
        minis, and what the family was trained with (224, InceptionV3: 299) for the others.
    until: the name of a block: the network ends with it, and a file may end with it too.
    target: the Dataset that it will be used on; a warning is printed if the weights have seen it.

    Raises CourseError for an unknown name, block or kind of weights, a size that the network cannot take, and a
    file that is missing, damaged or made for another network; then nothing is loaded.
    """
    if name not in _FAMILIES:
        raise CourseError(f"Unknown backbone {name!r}: choose one of {', '.join(NAMES)}.")
    weights = settings.pick("mini", "imagenet") if weights == "default" else weights
    if weights == "mini" and name not in MINIS:
        raise CourseError(f"{name} has no mini: choose one of {', '.join(MINIS)}, or weights='imagenet'.")
    kind = "none" if weights is None else str(weights)
    if kind == "imagenet":
        model = _of_keras(name, size or _FAMILIES[name][2])
        card = {"source": "ImageNet (ILSVRC-2012, 1,000 classes), from keras.applications.", "trained_on": "imagenet"}
    elif kind == "none":
        model, card = build(name, size or _FAMILIES[name][2]), {"source": "Random weights.", "trained_on": None}
    else:
        path = SHIPPED / f"{name}_mini.h5" if kind == "mini" else Path(kind).expanduser()
        model, card = _of_file(name, size, path, until)
    blocks = blocks_of(name, model)
    if until:
        check_block(blocks, until, name)
        model = keras.Model(model.inputs[0], model.get_layer(blocks[until]).output, name=name)
        blocks = dict(list(blocks.items())[: list(blocks).index(until) + 1])
    backbone = Backbone(name, model, _size(model), blocks, kind, card["source"], card["trained_on"])
    if target is not None:
        warn_if_seen(backbone, target)
    return backbone


def build(name, size, shrunk=1):
    """The Keras model of a backbone with random weights; each layer has 1/`shrunk` of its filters.

    Layer names are those of keras.applications in a fresh process, whatever was built before.
    """
    return _clone(_application(name, size, None), shrunk)


def untrained(backbone, seed=0):
    """The same network with new random weights: the control "random features". `seed` decides them."""
    keras.utils.set_random_seed(int(seed))
    model = keras.models.clone_model(backbone.model)
    return replace(backbone, model=model, weights="none", source="Random weights.", trained_on=None)


def mini_size(name):
    """The side in pixels of the pictures that the mini of that name was trained with."""
    return _FAMILIES[name][1]


def weights_file(name):
    """The path of the HDF5 file with the weights of that name in the profile in force, without the top.

    Raises CourseError for an unknown name, and where the file is missing and cannot be fetched.
    """
    if settings.profile() == "sample":
        card(name)
        return SHIPPED / f"{name}_mini.h5"
    return _imagenet_file(name)


def card(name):
    """What is known of a mini, as a dict: its source, recipe, epochs, accuracies and checksum.

    Raises CourseError for a name without a mini.
    """
    if name not in MINIS:
        raise CourseError(f"{name!r} has no mini: choose one of {', '.join(MINIS)}.")
    return _card(SHIPPED / f"{name}_mini.json")


def warn_if_seen(backbone, data):
    """Print a warning, and return True, if the weights of a Backbone were trained on a Dataset."""
    seen = backbone.trained_on is not None and backbone.trained_on == data.name
    if seen:
        print(
            f"Warning: the weights of {backbone.name} were trained on {data.name}. What they give on a "
            "target seen in pretraining is no transfer: choose another data set, or other weights."
        )
    return seen


def check_pictures(x):
    """Raise CourseError, saying how to convert, unless x is a batch of pictures as every backbone takes them.

    That is an array (n, h, w, 3), RGB, 0-255, uint8 or float.
    """
    wanted = "RGB pictures (n, height, width, 3) with values from 0 to 255 are expected"
    try:
        x = np.asarray(x)
    except ValueError:
        raise CourseError(f"{wanted}, and these have different sizes: resize them to one size.") from None
    if x.dtype == object and x.ndim < 4:
        raise CourseError(f"{wanted}, and these are separate objects: give one array of numbers, such as np.stack(x).")
    if not x.size:
        raise CourseError(f"{wanted}, and this is an empty array {x.shape}: give at least one picture.")
    if x.ndim == 3 and x.shape[-1] in (1, 3, 4):
        raise CourseError(f"{wanted}, and this is one picture {x.shape}: use x[None] for a batch of one.")
    if x.ndim == 3 or (x.ndim == 4 and x.shape[-1] == 1):
        how = "np.repeat(x, 3, axis=-1)" if x.ndim == 4 else "np.repeat(x[..., None], 3, axis=-1)"
        raise CourseError(f"{wanted}, and these are grey {x.shape}: use {how}.")
    if x.ndim != 4:
        raise CourseError(f"{wanted}, and this is an array {x.shape}: reshape it.")
    if x.shape[-1] == 4:
        raise CourseError(f"{wanted}, and these have four channels {x.shape} (RGBA): use x[..., :3].")
    if x.shape[-1] != 3 and x.shape[1] in (1, 3):
        raise CourseError(f"{wanted}, and these have the channels first {x.shape}: use np.moveaxis(x, 1, -1).")
    if x.shape[-1] != 3:
        raise CourseError(f"{wanted}, and these have {x.shape[-1]} channels {x.shape}: choose three.")
    if x.dtype == np.uint8:
        return
    if x.dtype.kind not in "uif":
        raise CourseError(f"{wanted}, and these are of type {x.dtype}: convert them to uint8.")
    low, high = x.min(), x.max()
    if not np.isfinite([low, high]).all():
        raise CourseError(f"{wanted}, and some values are not finite numbers: use np.nan_to_num(x) or repair them.")
    if low < 0:
        raise CourseError(
            f"{wanted}, and these go from {low:.3g} to {high:.3g}: a backbone does its family's "
            "preprocessing itself, so give it the pictures as they were before."
        )
    if 0 < high <= 1 and x.dtype.kind == "f":  # pictures that are black all over are what they should be
        raise CourseError(f"{wanted}, and these go from {low:.3g} to {high:.3g}: use x * 255.")
    if high > 255:
        raise CourseError(f"{wanted}, and these go up to {high:.3g}: scale them to 0-255.")


def check_block(blocks, block, name):
    """Raise CourseError, listing the blocks, unless `block` is one of them."""
    if block not in blocks:
        raise CourseError(f"{name} has no block {block!r}: choose one of {', '.join(blocks)}.")


def _size(model):
    """The side that a backbone's model resizes pictures to, read off the tensor behind the resizing."""
    return model.layers[1].input.shape[1]


def _application(name, size, weights):
    least = 75 if name == "InceptionV3" else 32
    if not isinstance(size, (int, np.integer)) or size < least:
        raise CourseError(f"{name} cannot see pictures at {size}×{size}: choose a whole number of at least {least} as size.")
    module = getattr(keras.applications, _FAMILIES[name][0])
    pictures = keras.Input((None, None, 3), name="pictures")
    # Not layers.Resizing: called without `training`, it puts every layer after it into training mode (Keras 3.15).
    resized = keras.ops.image.resize(pictures, (int(size), int(size)))
    return getattr(module, name)(
        include_top=False, weights=weights, input_tensor=module.preprocess_input(resized), name=name
    )


def _clone(model, shrunk=1):
    names = _stable_names(model)

    def copy(layer):
        config = layer.get_config() | {"name": names.get(layer.name, layer.name)}
        if shrunk > 1 and type(layer) is keras.layers.Conv2D:
            config["filters"] //= shrunk
        return type(layer).from_config(config)

    single = keras.Model(model.inputs[0], model.output, name=model.name)  # one input, not a list of one
    return keras.models.clone_model(single, clone_function=copy)


def _stable_names(model):
    """{name: name with Keras's running numbers counted from this model's first layer}."""
    names, numbered = {layer.name: layer.name for layer in model.layers}, {}
    for name in names:
        if found := _NUMBERED.fullmatch(name):
            numbered.setdefault(found[1], []).append((int(found[2] or 0), name))
    for base, found in numbered.items():
        for index, (_, name) in enumerate(sorted(found)):
            names[name] = f"{base}_{index}" if index else base
    return names


def _imagenet_file(name):
    """Where the weights of keras.applications are: fetched, if need be and if TLCOURSE_HOME is not set."""
    path, home = downloads.find(name), settings.home()
    if path is not None and downloads.sound(name, path):
        return path
    if home is None:
        return downloads.fetch(name)
    if path:
        wrong = f"{path} is damaged (its checksum is wrong)"
    else:
        wrong = f"TLCOURSE_HOME has no {downloads.place(name).relative_to(home)}"
    raise CourseError(
        f"The weights of {name} are missing: {wrong}; put the file there, or run "
        f"`tlcourse fetch {name} --to {home}` where there is a network."
    )


def _of_keras(name, size):
    path, model = _imagenet_file(name), build(name, size)
    try:
        original = _application(name, size, str(path))
    except Exception:  # what h5py and Keras raise depends on the damage; only files without a checksum come here
        _compare(name, model.layers, _read(path, model), path, exactly=True)
        raise CourseError(f"{path} does not fit {name}: delete it and run `tlcourse fetch {name}`.") from None
    names = _stable_names(original)
    for layer in original.layers:
        model.get_layer(names[layer.name]).set_weights(layer.get_weights())
    return model


def _of_file(name, size, path, until):
    """The model with the weights of an HDF5 file, in Keras 3's layout or in that of keras.applications."""
    if not path.is_file():
        raise CourseError(f"There is no weights file {path}: check the path, or choose 'mini', 'imagenet' or None.")
    card_file = path.with_suffix(".json")
    card = {"source": f"Weights from {path.name}.", "trained_on": None}
    if card_file.is_file():
        card = _card(card_file)
        if hashlib.sha256(path.read_bytes()).hexdigest() != card["sha256"]:
            raise CourseError(f"{path} is not the file that {card_file.name} describes (its checksum is wrong): get it anew.")
    model = build(name, size or mini_size(name), SHRUNK)
    found = _read(path, model)
    first = next(layer for layer in model.layers if layer.weights)
    if first.name not in found or found[first.name][0].shape[-1:] != (first.filters,):
        model = build(name, size or _FAMILIES[name][2])
    wanted = model.layers
    if until:
        blocks = blocks_of(name, model)
        check_block(blocks, until, name)
        wanted = wanted[: wanted.index(model.get_layer(blocks[until])) + 1]
    _compare(name, wanted, found, path, exactly=not until)
    for layer in wanted:
        layer.set_weights(found.get(layer.name, []))
    return model, card


def _card(path):
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(card, dict) and {"source", "trained_on", "sha256"} <= set(card):
            return card
    except FileNotFoundError:
        raise CourseError(f"There is no card {path}: install the course again.") from None
    except (OSError, ValueError):
        pass
    raise CourseError(f"{path} is not the card of the weights beside it: get it anew, or move it away.")


def _read(path, model):
    """{layer: its weights} of an HDF5 file. Raises CourseError when it cannot be read."""
    try:
        with h5py.File(path) as file:
            if "layer_names" in file.attrs:
                groups = {_text(name): file[name] for name in file.attrs["layer_names"]}
                found = {
                    name: [np.asarray(group[weight], "float32") for weight in group.attrs["weight_names"]]
                    for name, group in groups.items()
                }
            else:
                keys = _keras3_keys(model)
                found = {
                    keys.get(key, key): [np.asarray(group["vars"][str(i)], "float32") for i in range(len(group["vars"]))]
                    for key, group in file["layers"].items()
                }
    except Exception as error:  # a flipped byte can make h5py fail in many ways
        reason = str(error).strip('"').partition("(")[0].strip() or type(error).__name__
        raise CourseError(f"{path} cannot be read as Keras weights ({reason}): it is damaged or another kind of file.") from None
    return {name: weights for name, weights in found.items() if weights}


def _text(name):
    return name.decode() if isinstance(name, bytes) else name


def _keras3_keys(model):
    """{key in a `.weights.h5` file: layer}: Keras 3 writes classes with running numbers, not names."""
    counts, keys = {}, {}
    for layer in model.layers:
        snake = re.sub(r"(?<=.)(?=[A-Z][a-z])|(?<=[a-z])(?=[A-Z])", "_", type(layer).__name__).lower()
        count = counts[snake] = counts.get(snake, -1) + 1
        keys[f"{snake}_{count}" if count else snake] = layer.name
    return keys


def _compare(name, layers, found, path, exactly):
    wanted = {layer.name: [tuple(weight.shape) for weight in layer.weights] for layer in layers if layer.weights}
    for layer, shapes in wanted.items():
        if layer not in found:
            raise CourseError(f"{path} does not fit {name}: it has no weights for the layer {layer!r}.")
        have = [weight.shape for weight in found[layer]]
        if have != shapes:
            raise CourseError(
                f"{path} does not fit {name}: the layer {layer!r} has weights {have} there and {shapes} in the network."
            )
        if not all(np.isfinite(weight).all() for weight in found[layer]):
            raise CourseError(f"{path} is damaged: some weights of the layer {layer!r} are not finite numbers; get it anew.")
    extra = [layer for layer in found if layer not in wanted]
    if exactly and extra:
        raise CourseError(f"{path} does not fit {name}: it has weights for {extra[0]!r}, a layer that the network lacks.")


def blocks_of(name, model):
    layers = [layer.name for layer in model.layers]
    patterns = {
        "VGG": r"(block\d)_pool",
        "ResNet50": r"(conv1)_relu|(conv\d)_block\d_out",
        "InceptionV3": r"(max_pooling2d_1)|(mixed\d+)",
        "MobileNetV2": r"(Conv1)_relu|(expanded_conv)_project_BN|(block_\d+)_(?:add|project_BN)|(out)_relu",
    }
    pattern = next(pattern for family, pattern in patterns.items() if name.startswith(family))
    blocks = {}
    for layer in layers:
        if found := re.fullmatch(pattern, layer):
            block = next(group for group in found.groups() if group)
            blocks[{"max_pooling2d_1": "stem"}.get(block, block)] = layer
    return blocks
