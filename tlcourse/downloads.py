"""The files of the full profile: where they come from, and bringing them here once.

Bytes arrive in a `.part` file that the next call goes on with, and only a file
whose checksum is right takes its name. Keras's own loaders then read it.
"""

import hashlib
import http.client
import io
import os
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tlcourse import CourseError, settings, storage

_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/"
_NOTOP = "_weights_tf_dim_ordering_tf_kernels_notop.h5"

# name -> (address, checksum: the ones in Keras's own loaders, or None where none is published)
ADDRESSES = {
    "mnist": (
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
        "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
    ),
    "cifar10": (
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    ),
    "cifar100": (
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
    ),
    # Pinned to a commit; every file in a zip carries a CRC-32, and the pictures are counted.
    "smiles": (
        "https://github.com/hromi/SMILEsmileD/archive/6afac66f50061948eed7da5a351cecd9c4a99fe3.zip",
        None,
    ),
    "VGG16": (f"{_KERAS}vgg16/vgg16{_NOTOP}", "6d6bbae143d832006294945121d1f1fc"),
    "VGG19": (f"{_KERAS}vgg19/vgg19{_NOTOP}", "253f8cb515780f3b799900260a226db6"),
    "ResNet50": (f"{_KERAS}resnet/resnet50{_NOTOP}", "4d473c1dd8becc155b73f8504c6f6626"),
    "InceptionV3": (f"{_KERAS}inception_v3/inception_v3{_NOTOP}", "bcbd6486424b2319ff4ef7d526e38f63"),
    "MobileNetV2": (
        f"{_KERAS}mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
        None,
    ),
}
DATASETS = ("mnist", "cifar10", "cifar100", "smiles")
NAMES = tuple(ADDRESSES)
LESSONS = tuple(name for name in NAMES if name != "cifar100")  # which only tools/pretrain.py reads


def place(name, folder=None):
    """The path of `name` in `folder` (default: the full profile's data folder), there or not.

    Data sets are `<name>.npz`; weights lie under `models/` with the name Keras gives them.
    Raises CourseError for an unknown name, listing the valid ones.
    """
    if name not in ADDRESSES:
        raise CourseError(f"Nothing is called {name!r}: choose from {', '.join(NAMES)}.")
    folder = Path(folder) if folder else settings.data()
    if name in DATASETS:
        return folder / f"{name}.npz"
    return folder / "models" / _filename(ADDRESSES[name][0])


def find(name):
    """The path of `name` where the course looks for it, or None if it is not there.

    Without TLCOURSE_HOME, weights are also found where keras.applications keeps them.
    """
    places = [place(name)]
    if name not in DATASETS and not settings.home():
        places.append(_keras_home() / "models" / places[0].name)
    return next((path for path in places if path.is_file()), None)


def fetch(name, to=None):
    """Bring one data set or weights file, and return its path; a second call fetches nothing.

    `to` is the folder (default: the full profile's data folder). Raises CourseError,
    in one sentence, when the name is unknown, the folder cannot be written, or
    the network fails; what had arrived is kept and the next call goes on with it.
    """
    path = place(name, to)
    if path.is_file():
        if sound(name, path):
            return path
        aside = storage.set_aside(path)
        print(f"{path} is damaged; it is kept as {aside.name if aside else path.name} and fetched again.")
    _try_writing(path.parent)  # before minutes are spent on bytes that have no place
    if name not in DATASETS:
        return _download(name, path)
    arrays = {"mnist": _read_mnist, "cifar10": _read_cifar10, "cifar100": _read_cifar100, "smiles": _read_smiles}[name]()
    storage.write_npz(path, **arrays)
    return path


def sound(name, path):
    """Whether the file at `path` can be read as the data set, or has the checksum of the weights, of that name."""
    if name not in DATASETS:
        return _checksum_ok(path, ADDRESSES[name][1])
    try:
        storage.read_npz(path)
        return True
    except storage.Damaged:
        return False


def _try_writing(folder):
    with storage.atomic(folder / ".writable"):
        pass
    (folder / ".writable").unlink()


def _read_mnist():
    from tlcourse.quiet import keras

    _download("mnist", _keras_home() / "datasets" / "mnist.npz")
    return _as_arrays(keras.datasets.mnist.load_data())


def _read_cifar10():
    from tlcourse.quiet import keras

    # The name under which Keras's loader looks for the archive before it downloads.
    _download("cifar10", _keras_home() / "datasets" / "cifar-10-batches-py-target_archive")
    return _as_arrays(keras.datasets.cifar10.load_data())


def _read_cifar100():
    from tlcourse.quiet import keras

    _download("cifar100", _keras_home() / "datasets" / "cifar-100-python-target_archive")
    return _as_arrays(keras.datasets.cifar100.load_data())


def _read_smiles():
    """SMILEsmileD (Hromada et al., 2010): 3,690 smiling and 9,475 other faces, 64x64 grey."""
    from PIL import Image

    archive = _download("smiles", settings.cache() / "downloads" / "smiles.zip")
    pictures, labels = [], []
    try:
        with zipfile.ZipFile(archive) as file:
            for name in sorted(file.namelist()):
                if name.endswith(".jpg"):
                    with Image.open(io.BytesIO(file.read(name))) as picture:
                        pictures.append(np.asarray(picture.convert("L")))
                    labels.append("/positives/" in name)
    except (zipfile.BadZipFile, OSError):
        archive.unlink()
        raise CourseError("The smiles archive arrived damaged: run `tlcourse fetch smiles` again.") from None
    archive.unlink()
    return {"x_train": np.stack(pictures), "y_train": np.array(labels, "uint8")}


def _as_arrays(splits):
    (x_train, y_train), (x_test, y_test) = splits
    return {"x_train": x_train, "y_train": y_train.ravel(), "x_test": x_test, "y_test": y_test.ravel()}


def _keras_home():
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")


def _filename(address):
    return address.rsplit("/", 1)[1]


def _download(name, path):
    """Bring ADDRESSES[name] to `path`, going on where an earlier try stopped."""
    address, checksum = ADDRESSES[name]
    if path.is_file() and _checksum_ok(path, checksum):
        return path
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _stream(address, part, name)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise CourseError(
            f"{name} could not be fetched ({getattr(error, 'reason', error)}): run `tlcourse fetch {name}` "
            "again where there is a network (it goes on where it stopped), or set TLCOURSE_HOME to a "
            f"folder that has {_shared_name(name)}."
        ) from None
    except OSError as error:
        raise CourseError(
            f"{path} cannot be written ({error.strerror or error}): free some space there or choose another folder."
        ) from None
    if not _checksum_ok(part, checksum):
        part.unlink()
        raise CourseError(f"{name} arrived with a wrong checksum and was thrown away: run `tlcourse fetch {name}` again.")
    os.replace(part, path)
    return path


def _shared_name(name):
    return f"{name}.npz" if name in DATASETS else f"models/{_filename(ADDRESSES[name][0])}"


def _stream(address, part, label):
    """Append to `part` what is missing of `address`, showing the bytes as they come."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        if have and error.code == 416:  # nothing is missing: it was cut off after the last byte
            return
        raise
    with response:
        have = have if response.status == 206 else 0  # a server without ranges starts again
        missing = response.headers.get("Content-Length")
        total = have + int(missing) if missing else None
        with (
            open(part, "ab" if have else "wb") as file,
            tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=label, disable=None) as bar,
        ):
            while block := response.read(1 << 16):
                file.write(block)
                bar.update(len(block))
    if total is not None and part.stat().st_size < total:
        raise http.client.IncompleteRead(b"", total - part.stat().st_size)


def _checksum_ok(path, checksum):
    if checksum is None:
        return True
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5" if len(checksum) == 32 else "sha256").hexdigest() == checksum
