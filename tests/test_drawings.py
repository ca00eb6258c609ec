"""The drawn pictures: the same bytes everywhere, balanced, varied, and neither trivial nor hopeless."""

import ast
import hashlib
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tlcourse import CourseError, drawings

OBJECTS_SHA256 = "54ccf7358444f4c2691073c9801eed6e81baa5432d64062c170febc3526ee01f"
FACES_SHA256 = "289d5ef66d799b49e5b60da46f400b528c00068d8f011d00f330b3e62f546c3b"

# Their last bit differs between processors or NumPy builds, or depends on the order of adding up.
FORBIDDEN = set(
    "sin cos tan arctan arctan2 exp exp2 expm1 log log2 log10 log1p power float_power tanh cbrt hypot"
    " dot matmul einsum tensordot inner vdot mean sum std var average cumsum linalg fft normal randn"
    " standard_normal default_rng".split())

DRAW = {"objects": (drawings.objects, (32, 32, 3), 10), "faces": (drawings.faces, (64, 64, 1), 2)}


@pytest.fixture(scope="module")
def train():
    return drawings.objects(1000, seed=1)


@pytest.fixture(scope="module")
def test():
    return drawings.objects(1000, seed=2)


def sha256(x, y):
    return hashlib.sha256(x.tobytes() + y.astype("<i8").tobytes()).hexdigest()


def test_class_names():
    assert drawings.OBJECTS == ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
                                "truck")
    assert drawings.FACES == ("not smiling", "smiling")


def test_bytes_are_the_same_everywhere():
    assert sha256(*drawings.objects(60, seed=0)) == OBJECTS_SHA256
    assert sha256(*drawings.faces(20, seed=0)) == FACES_SHA256


@pytest.mark.parametrize("kind", DRAW)
@pytest.mark.parametrize("n", [0, 1, 7, 85])
def test_shapes_dtypes_and_balance(kind, n):
    draw, shape, classes = DRAW[kind]
    x, y = draw(n, seed=3)
    assert x.shape == (n, *shape) and x.dtype == np.uint8
    assert y.shape == (n,) and y.dtype == np.int64
    counts = np.bincount(y, minlength=classes)
    assert len(counts) == classes and counts.max() - counts.min() <= 1


@pytest.mark.parametrize("kind", DRAW)
def test_pictures_are_well_exposed_and_shuffled(kind):
    draw, _, classes = DRAW[kind]
    x, y = draw(200, seed=4)
    assert x.min() < 20 and x.max() > 235 and 80 < x.mean() < 170
    spread = x.reshape(len(x), -1).std(axis=1)
    assert (spread > 8).mean() > 0.98
    rounds = y.reshape(-1, classes)
    assert len(np.unique(rounds, axis=0)) > 1


@pytest.mark.parametrize("kind", DRAW)
def test_seeds_differ_and_prefixes_agree(kind):
    draw = DRAW[kind][0]
    x, y = draw(90, seed=5)
    assert not np.array_equal(x, draw(90, seed=6)[0])
    first_x, first_y = draw(33, seed=5)
    assert np.array_equal(first_x, x[:33]) and np.array_equal(first_y, y[:33])


def test_a_prefix_agrees_across_chunks(train):
    x, y = drawings.objects(700, seed=1)
    assert np.array_equal(x, train[0][:700]) and np.array_equal(y, train[1][:700])


@pytest.mark.parametrize("kind", DRAW)
def test_pictures_of_a_class_vary(kind):
    draw, _, classes = DRAW[kind]
    x, y = draw(20 * classes, seed=8)
    for label in range(classes):
        pictures = x[y == label].astype(float)
        assert len(np.unique(pictures.reshape(20, -1), axis=0)) == 20
        assert pictures.std(axis=0).mean() > 25


@pytest.mark.parametrize("draw", [drawings.objects, drawings.faces])
@pytest.mark.parametrize("n", [-1, 2.0, "3", None, True])
def test_a_bad_number_is_refused(draw, n):
    with pytest.raises(CourseError, match="whole number"):
        draw(n)


def test_numpy_integers_are_welcome():
    assert len(drawings.objects(np.int32(3))[1]) == 3


def test_every_view_belongs_to_a_class_and_shares_add_up():
    for name in drawings.OBJECTS:
        assert abs(sum(view[1] for view in drawings.VIEWS if view[0] == name) - 1) < 1e-9
    assert {view[0] for view in drawings.VIEWS} == set(drawings.OBJECTS)


@pytest.mark.filterwarnings("ignore:lbfgs failed")
def test_raw_pixels_are_hard_for_a_linear_model(train, test):
    flat = [x.reshape(len(x), -1) / np.float32(255) for x in (train[0], test[0])]
    # 40 iterations and C=0.1: near the best accuracy, in a few seconds.
    score = LogisticRegression(C=0.1, max_iter=40).fit(flat[0], train[1]).score(flat[1], test[1])
    assert 0.15 < score < 0.45


def test_the_mean_colour_does_not_give_the_class_away(train, test):
    colour = [x.reshape(len(x), -1, 3).mean(axis=1) / 255 for x in (train[0], test[0])]
    score = LogisticRegression(C=10, max_iter=500).fit(colour[0], train[1]).score(colour[1], test[1])
    assert score < 0.30


def test_brightness_does_not_give_the_smile_away():
    (x, y), (new_x, new_y) = drawings.faces(300, seed=1), drawings.faces(300, seed=2)
    light = [pictures.reshape(300, -1).mean(axis=1, keepdims=True) / 255 for pictures in (x, new_x)]
    assert LogisticRegression().fit(light[0], y).score(light[1], new_y) < 0.62


def test_only_exactly_rounded_operations():
    tree = ast.parse(Path(drawings.__file__).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            assert node.attr not in FORBIDDEN, f"line {node.lineno}: {node.attr}"
        if isinstance(node, ast.Name):
            assert node.id != "sum", f"line {node.lineno}: sum"
        assert not isinstance(node, ast.MatMult)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
            # A power of whole numbers is exact.
            assert all(isinstance(side, ast.Constant) and isinstance(side.value, int)
                       for side in (node.left, node.right)), f"line {node.lineno}: **"
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names]
            assert names in (["numpy"], ["CourseError"])
