"""Pictures through a frozen network, once: what comes out is kept on disk and found by content."""

import contextlib
import hashlib
import os

import numpy as np

from tlcourse import CourseError, backbones, progress, settings, storage
from tlcourse.quiet import keras

FORMAT = 1  # of the key; another number makes every kept file unfindable
LIMIT = 2 * 2**30  # bytes of kept features; the longest unused go first


def extract(backbone, x, at=None, pool=True, label=None):
    """What a frozen Backbone makes of pictures, up to and including a block.

    x: RGB pictures (n, h, w, 3), 0-255. at: the name of a block; default the last. pool: average over the
        positions. label: show progress under that name.
    Returns float32 (n, channels), or (n, h', w', channels) with pool=False. What was computed
    once, with the same pictures, weights and options, is read from the cache.
    Raises CourseError for pictures of another kind and for an unknown block.
    """
    backbones.check_pictures(x)
    x = np.asarray(x)
    at = at or list(backbone.blocks)[-1]
    backbones.check_block(backbone.blocks, at, backbone.name)
    output = backbone.model.get_layer(backbone.blocks[at]).output
    if pool:
        output = keras.layers.GlobalAveragePooling2D()(output)
    model = keras.Model(backbone.model.inputs[0], output)
    path = settings.cache() / "features" / f"{_key(model, x, backbone, at, pool)}.npz"
    try:
        kept = storage.read_npz(path)["features"]
        with contextlib.suppress(OSError):  # a shared cache may be read-only
            os.utime(path)
        return kept
    except (storage.Damaged, KeyError):
        pass  # not there, or not whole: computed again
    found = predict(model, x, _batch_size(backbone.size), label)
    try:
        storage.write_npz(path, features=found)
        _trim(path.parent)
    except CourseError as error:
        print(f"{error} The features are used all the same.")
    return found


def predict(model, x, batch_size=500, label=None):
    """What a Keras model says of each picture: float32 (n, ...), without tracing a new graph.

    `keras.Model.predict` compiles first, which costs more than it gains on a few
    thousand pictures.
    """
    starts = range(0, len(x), batch_size)
    starts = progress.track(starts, label) if label else starts
    parts = [model(x[i : i + batch_size], training=False) for i in starts]
    return np.concatenate([keras.ops.convert_to_numpy(part) for part in parts])


def _batch_size(size):
    """As many pictures as 250 of 64x64 have pixels: about 0.3 GB in the widest layer of a whole VGG16."""
    return max(4, int(250 * (64 / size) ** 2))


def _key(model, x, backbone, at, pool):
    digest = hashlib.sha256(repr((FORMAT, backbone.name, backbone.size, at, pool, x.dtype.str, x.shape)).encode())
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight))
    digest.update(np.ascontiguousarray(x))
    return digest.hexdigest()[:32]


def _trim(folder):
    files = []
    for path in folder.glob("*.npz"):
        with contextlib.suppress(OSError):  # another process may trim at the same time
            files.append((path.stat().st_mtime, path.stat().st_size, path))
    files.sort()
    excess = sum(size for _, size, _ in files) - LIMIT
    for _, size, path in files[:-1]:  # never what was just written
        if excess <= 0:
            return
        excess -= size
        with contextlib.suppress(OSError):
            path.unlink()
