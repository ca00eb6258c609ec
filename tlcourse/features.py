"""Pictures through a frozen network, once: what comes out is kept on disk and found by content."""

import contextlib
import functools
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import xxhash

from tlcourse import CourseError, backbones, datasets, progress, settings, surgery
from tlcourse.quiet import keras, tf

try:
    import fcntl
except ImportError:  # Windows: two processes that want the same features both compute them
    fcntl = None

FORMAT = 2  # of the key and the file; another number makes every kept file unfindable
PRECISIONS = ("auto", "float32", "bfloat16")
IN_MEMORY = 2**30  # bytes of features that are held in memory where the disk does not take them
SUFFIX = ".features"


def extract(backbone, pictures, at=None, pool=True, precision="auto", show=True):
    """What a frozen Backbone makes of pictures, up to and including a block.

    pictures: RGB pictures 0-255 as an array (n, h, w, 3), which may be memory-mapped; a `datasets.Dataset` of such;
        or a folder, whose pictures of any size are taken in the order of `datasets.Folder(folder).files`.
    at: the name of a block; default the last. pool: average over the positions.
    precision: "float32"; "bfloat16", which computes with 8 bits of mantissa and is up to five times faster where the
        processor has it; or "auto", which chooses (see `precision_of`). Measured as relative norm, bfloat16 is
        about 1 % off with VGG, ResNet50 and InceptionV3, and 14 % with MobileNetV2, for which "auto" never takes it.
    show: show the progress of what takes longer than two seconds.

    Returns float32 (n, channels), or (n, h', w', channels) with pool=False: an array over a file of the cache, read
    when it is looked at, and yours to change. For a Dataset, a Dataset with features in place of the pictures.

    What was computed once, of the same pictures with the same weights and options, is read from the cache. A call
    that is interrupted or killed goes on from there the next time, and a damaged part of a file is
    computed anew. Memory beyond the features themselves does not grow with n.

    Raises CourseError for pictures of another kind, an unknown block or precision, a network
    without weights, and a disk that cannot hold features beyond 1 GiB.
    """
    at = at or list(backbone.blocks)[-1]
    backbones.check_block(backbone.blocks, at, backbone.name)
    precision = precision_of(backbone, precision)
    if isinstance(pictures, datasets.Dataset):
        backbones.warn_if_seen(backbone, pictures)
        train, test = (extract(backbone, x, at, pool, precision, show) for x in (pictures.x_train, pictures.x_test))
        return replace(pictures, x_train=train, x_test=test)
    if not backbone.model.weights:
        raise CourseError(f"{backbone.name} has no weights: call its model on a picture first, or load another backbone.")
    if isinstance(pictures, (str, Path)):
        x = datasets.Folder(pictures, backbone.size)
    else:
        backbones.check_pictures(pictures)
        x = np.asarray(pictures)

    weights = _digest_of_weights(backbone, at)
    shape = _shape(backbone, at, pool)
    rows = _batch_size(backbone.size, x.shape)
    key = xxhash.xxh3_128(repr((FORMAT, backbone.name, backbone.size, at, pool, precision, weights, rows, x.shape)).encode())
    _digest(x, rows, key)
    label = f"{backbone.name} up to {at}, {precision}"
    file, reason = _open(settings.cache() / "features" / f"{key.hexdigest()}{SUFFIX}", (len(x), *shape), rows)
    missing = file.missing() if file else range(0, len(x), rows)
    with contextlib.ExitStack() as stack:
        if file:
            stack.enter_context(file)
        if missing:
            run = _network(backbone, at, pool, precision, weights, x, rows)
            done = len(x) - sum(min(rows, len(x) - start) for start in missing)
            advance = stack.enter_context(progress.counted(len(x), label, "pictures", done, show, resumes=bool(file)))
            if not file:
                return _in_memory(x, run, shape, rows, advance, reason)
            _fill(file, missing, x, run, advance)
        return file.values()


def precision_of(backbone, precision="auto"):
    """The precision, "float32" or "bfloat16", that `extract` computes in on this machine.

    "auto" is bfloat16 where the machine has it and the network gains: VGG at any width, ResNet50 and InceptionV3
    at full width. Measured on two cores with AMX: 5.4 times (VGG16), 1.3 (ResNet50), 2.0 (InceptionV3),
    1.0 (the minis of the last two) and 0.7 (MobileNetV2) as fast as float32.
    """
    if precision not in PRECISIONS:
        raise CourseError(f"Unknown precision {precision!r}: choose one of {', '.join(PRECISIONS)}.")
    if precision != "auto":
        return precision
    dense = backbone.name.startswith("VGG") or (
        backbone.name in ("ResNet50", "InceptionV3") and list(backbone.widths.values())[-1] >= 1024
    )
    return "bfloat16" if dense and settings.fast_bfloat16() else "float32"


def predict(model, x, batch_size=500, label=None):
    """What a Keras model says of each picture: float32 (n, ...), without tracing a new graph.

    `keras.Model.predict` compiles first, which costs more than it gains on a few
    thousand pictures and a small model.
    """
    starts = range(0, len(x), batch_size)
    starts = progress.track(starts, label) if label else starts
    parts = [model(x[i : i + batch_size], training=False) for i in starts]
    return np.concatenate([keras.ops.convert_to_numpy(part) for part in parts])


def kept():
    """(files, bytes) of the features in the cache."""
    found = _files(settings.cache() / "features")
    return len(found), sum(size for _, size, _ in found)


def clear():
    """Delete the features in the cache, and return how many bytes that frees."""
    _, size = kept()
    _trim(settings.cache() / "features", 0)
    return size - kept()[1]


class _File:
    """Features on disk: float32 values, a part of `rows` pictures after the other, then a mark for every part.

    A mark is the hash of its part's values, so that whatever is missing, half-written or damaged is
    seen for what it is, and no order of writing matters. A process locks a mark while it computes the
    part; the lock goes with the process, however it ends.
    """

    def __init__(self, path, shape, rows):
        self.path, self.shape, self.rows = path, shape, rows
        self.per_row = 4 * math.prod(shape[1:])
        self.end = shape[0] * self.per_row
        self.size = self.end + 8 * -(-shape[0] // rows)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
        except OSError:
            if not path.is_file():
                raise
            self.handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))  # a shared cache
            if os.fstat(self.handle).st_size != self.size or self.missing():
                os.close(self.handle)
                raise
        try:
            if os.fstat(self.handle).st_size != self.size:
                os.ftruncate(self.handle, self.size)
        except OSError:
            os.close(self.handle)
            raise

    def __enter__(self):
        return self

    def __exit__(self, *error):
        os.close(self.handle)

    def values(self):
        """All of it, as an array over the file; changes stay in memory."""
        with contextlib.suppress(OSError):  # a shared cache may be read-only
            os.utime(self.path)
        with open(self.handle, "rb", closefd=False) as file:  # not the path: another process may have trimmed it
            return np.asarray(np.memmap(file, "<f4", "c", shape=self.shape))

    def missing(self):
        """The first pictures of the parts that are not there."""
        return [start for start in range(0, self.shape[0], self.rows) if not self.has(start)]

    def has(self, start):
        mark, size = self._read(8, self._mark(start)), min(self.rows, self.shape[0] - start) * self.per_row
        return any(mark) and mark == _mark_of(self._read(size, start * self.per_row))

    def write(self, start, values):
        data = np.ascontiguousarray(values, "<f4").data.cast("B")
        self._write(data, start * self.per_row)
        self._write(_mark_of(data), self._mark(start))

    @contextlib.contextmanager
    def lock(self, start, wait):
        """Yield whether the part is this process's; with wait=True, when whoever has it has ended."""
        if fcntl is None:
            yield True
            return
        where = (8, self._mark(start))
        try:
            fcntl.lockf(self.handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), *where)
        except (BlockingIOError, PermissionError):
            yield False
            return
        except OSError:  # a file system without locks
            yield True
            return
        try:
            yield True
        finally:
            fcntl.lockf(self.handle, fcntl.LOCK_UN, *where)

    def _mark(self, start):
        return self.end + 8 * (start // self.rows)

    def _read(self, size, where):
        os.lseek(self.handle, where, os.SEEK_SET)
        with open(self.handle, "rb", buffering=0, closefd=False) as file:
            return file.read(size)

    def _write(self, data, where):
        os.lseek(self.handle, where, os.SEEK_SET)
        while len(data):
            data = data[os.write(self.handle, data) :]


def _mark_of(data):
    return (xxhash.xxh3_64_intdigest(data) or 1).to_bytes(8, "little")  # 0 is what an unwritten mark reads


def _open(path, shape, rows):
    """(the _File, None), or (None, why there is none)."""
    needed, limit = 4 * math.prod(shape), settings.cache_limit()
    try:
        folder = path.parent if path.parent.is_dir() else path.parent.parent
        if not path.is_file():
            _trim(path.parent, limit - needed)
            free = shutil.disk_usage(folder).free
            if free < needed + 2**24:
                return None, f"{folder} has {free / 1e6:,.0f} MB free, and the features take {needed / 1e6:,.0f} MB"
        return _File(path, shape, rows), None
    except OSError as error:
        return None, f"{path.parent} cannot be written ({error.strerror or error})"


def _fill(file, missing, x, run, advance):
    """Compute what is missing: first what nobody works on, then what others have left undone."""
    waiting = list(missing)
    for wait in (False, True):
        for start in waiting[:]:
            with file.lock(start, wait) as mine:
                if not mine:
                    continue
                batch = slice(start, min(start + file.rows, len(x)))
                if not file.has(start):
                    found = run(x[batch])
                    try:
                        file.write(start, found)
                    except OSError as error:
                        raise CourseError(
                            f"{file.path.parent} takes no more features ({error.strerror or error}): free some space, or set "
                            "TLCOURSE_CACHE to another folder; what is done stays, and the same call goes on from there."
                        ) from None
                waiting.remove(start)
                advance(batch.stop - start)


def _in_memory(x, run, shape, rows, advance, reason):
    needed = 4 * len(x) * math.prod(shape)
    if needed > IN_MEMORY:
        raise CourseError(f"{reason}: free some space, or set TLCOURSE_CACHE to another folder.")
    print(f"{reason}: the features are kept in memory, for this time only.")
    found = np.empty((len(x), *shape), "float32")
    for start in range(0, len(x), rows):
        values = run(x[start : start + rows])
        found[start : start + rows] = values
        advance(len(values))
    return found


def _network(backbone, at, pool, precision, weights, x, rows):
    """`run(pictures)` -> float32 array, compiled where there is more than a batch of pictures."""
    if len(x) <= rows:
        model = _cut(backbone, at, pool, precision)
        return lambda x: keras.ops.convert_to_numpy(keras.ops.cast(model(x, training=False), "float32"))
    compiled = _compiled(backbone, at, pool, precision, weights, x.shape[1:], x.dtype)
    return lambda x: compiled(x).numpy()


@functools.lru_cache(maxsize=4)
def _compiled(backbone, at, pool, precision, weights, shape, dtype):
    """The cut network as one graph for batches of any length. `weights`, their digest, is there for the lru_cache."""
    model = _cut(backbone, at, pool, precision)
    signature = [tf.TensorSpec((None, *shape), dtype)]  # `tf`, for keras.ops has no compiler of its own
    return tf.function(lambda x: tf.cast(model(x, training=False), "float32"), input_signature=signature)


def _cut(backbone, at, pool, precision):
    output = backbone.model.get_layer(backbone.blocks[at]).output
    if pool:
        output = keras.layers.GlobalAveragePooling2D(dtype="float32", name="pool")(output)
    model = keras.Model(backbone.model.inputs[0], output)
    if precision == "float32":
        return model

    def in_bfloat16(layer):
        # The preprocessing is operations, not layers, and stays in float32: 8 bits do not hold 256 greys less a mean.
        kept = layer.name == "pool" or isinstance(layer, keras.layers.InputLayer) or not isinstance(layer, keras.layers.Layer)
        return type(layer).from_config(layer.get_config() | ({} if kept else {"dtype": "mixed_bfloat16"}))

    return surgery.copy_weights(model, keras.models.clone_model(model, clone_function=in_bfloat16))


def _shape(backbone, at, pool):
    shape = backbone.model.get_layer(backbone.blocks[at]).output.shape[1:]
    return shape[-1:] if pool else shape


def _batch_size(size, shape):
    """As many pictures as 250 of 64x64 have pixels, inside or as they come: about 0.3 GB in the
    widest layer of a whole VGG16."""
    pixels = max(size * size, shape[1] * shape[2] // 4)
    return max(4, 250 * 64 * 64 // pixels)


def _digest_of_weights(backbone, at):
    """What the weights up to and including a block are, in 32 letters."""
    blocks, digest = list(backbone.blocks), xxhash.xxh3_128()
    used, of = set(blocks[: blocks.index(at) + 1]), surgery.block_of(backbone)
    for layer in backbone.model.layers:
        if of[layer.name] in used:
            for weight in layer.get_weights():
                digest.update(np.ascontiguousarray(weight))
    return digest.hexdigest()


def _digest(x, rows, digest):
    if isinstance(x, datasets.Folder):
        return x.digest(digest)
    digest.update(x.dtype.str.encode())
    for start in range(0, len(x), rows):
        digest.update(np.ascontiguousarray(x[start : start + rows]))


def _files(folder):
    """(last use, bytes, path) of the kept files, the longest unused first."""
    found = []
    for path in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(OSError):  # another process may trim at the same time
            found.append((path.stat().st_mtime, path.stat().st_size, path))
    return sorted(found)


def _trim(folder, limit):
    """Delete the longest unused files until the others take `limit` bytes or less."""
    files = _files(folder)
    excess = sum(size for _, size, _ in files) - limit
    for _, size, path in files:
        if excess <= 0:
            return
        excess -= size
        with contextlib.suppress(OSError):
            path.unlink()
