"""The checks of the exercise on bottleneck features: memory, batches, names, mix-ups, seeds. No Keras needed."""

import numpy as np
from scipy import stats

from tlcourse.claims import FAILS, HOLDS, OPEN, interval
from tlcourse.exercises import feedback, hints, require
from tlcourse.exercises.given import photographs, seeds_table
from tlcourse.wire import AnswerError


@hints(
    "How many numbers has one picture, and how many bytes has one number?",
    "`np.dtype(dtype).itemsize` gives the bytes of one number; `np.prod(shape)` how many numbers a shape holds.",
    "n times the numbers of a picture times the bytes of a number, divided by 1e9.",
)
def q1(gigabytes):
    try:
        huge = gigabytes(10**11, (200, 200, 3), "float32")
    except AnswerError as error:
        require("Memory" not in str(error.kind), "the array was made in order to measure it: multiply, do not allocate")
        raise
    for got, n, shape, dtype in (
        (huge, 10**11, (200, 200, 3), "float32"),
        *((gigabytes(*case), *case) for case in (
            (50_000, (200, 200, 3), "float32"), (50_000, (32, 32, 3), "uint8"), (1000, (7, 7, 2048), "float16"),
        )),
    ):  # fmt: skip
        require(isinstance(got, int | float | np.number), "a number is to be returned")
        numbers, size = n * np.prod(shape, dtype=float), np.dtype(dtype).itemsize
        what = f"{n:,} x {shape} {dtype}"
        require(size == 4 or not _near(got, numbers * 4 / 1e9), f"{what}: not every number takes 4 bytes")
        require(size == 8 or not _near(got, numbers * 8 / 1e9), f"{what}: not every number takes 8 bytes")
        require(size == 1 or not _near(got, numbers / 1e9), f"{what}: the numbers were counted, not their bytes")
        require(not _near(got, numbers * size / 2**30), "a gigabyte is 1e9 bytes here; 2**30 bytes are a gibibyte")
        require(_near(got, numbers * size / 1e9), f"{what} do not take {got:.6g} GB")


@hints(
    "`range(0, len(pictures), 50)` gives the first picture of every batch. What do you do with the last one?",
    "Each batch: through the network as it stands when nothing trains, then the mean over the two axes of the positions.",
    "Collect `network(pictures[i : i + 50], training=False).mean(axis=(1, 2))` in a list, then `np.concatenate`.",
)
def q2(extract, network):
    for n in (120, 37):
        pictures = photographs(n, seed=n)
        got, blocks = extract(pictures), [network(pictures[i : i + 40], False) for i in range(0, n, 40)]
        wanted = np.concatenate(blocks).mean(axis=(1, 2))
        require(isinstance(got, np.ndarray), "an array is to be returned, not a list of batches")
        lost = f"{n} pictures went in and features of {len(got)} came out: what about a batch that is not full?"
        require(got.ndim == 0 or len(got) == n, lost)
        require(got.size < wanted.size * 4, "every position was kept: average over them, or it takes four times the memory")
        shapes = f"the features are {got.shape} and should be {wanted.shape}"
        require(got.shape == wanted.shape, f"{shapes}: one number a channel")
        empty = int((got == 0).all(axis=1).sum())
        require(not empty, f"{empty} rows are all zeros: what about a batch that is not full?")
        largest = np.concatenate(blocks).max(axis=(1, 2))
        require(not np.allclose(got, largest, atol=1e-4), "the largest number was taken of each channel, not the average")
        require(
            np.allclose(got, wanted, atol=1e-4) or np.allclose(got[:1], extract(pictures[:1]), atol=1e-4),
            "the features of a picture change with the pictures in its batch: normalised as in training",
        )
        require(np.allclose(got, wanted, atol=1e-4), "the features are not the averages of what the network gives, in order")
        require(got.dtype == np.float32, f"features of {got.dtype} take another amount of memory than float32")


@hints(
    "Everything that decides the features has to decide the name. Which of the five did you leave out, or only in part?",
    "`hashlib.sha256()` takes bytes, as often as you like: `digest.update(array.tobytes())`. Bytes do not know the "
    "shape of their array, nor where one piece ends and the next begins.",
    "Besides the bytes of each array, update with `repr((block, size, precision, pictures.shape)).encode()`; "
    "`digest.hexdigest()` is the name.",
)
def q3(name_of):
    rng = np.random.default_rng(3)
    pictures, weights = photographs(200, seed=3), [rng.normal(size=(48, 12)), rng.normal(size=12)]
    case = {"pictures": pictures, "weights": weights, "block": "conv1", "size": 16, "precision": "float32"}
    name = name_of(**case)
    require(isinstance(name, str) and 0 < len(name) <= 200, "a name is to be returned: text of at most 200 characters")
    plain = all(letter.isalnum() or letter in "-_." for letter in name)
    require(plain, f"{name[:30]!r}... is no good name for a file: letters, digits, `-`, `_` and `.` only")
    require(name == name_of(**case), "the same content gets another name the second time, and is never found again")
    middle, end = pictures.copy(), [weights[0], weights[1].copy()]
    middle[100, 4, 4, 1] ^= 1
    end[1][-1] = np.nextafter(end[1][-1], 9)
    for because, other in (
        ("one pixel in the middle changed, and the name did not: a printed array leaves out its middle, and an "
         "average hides much", {"pictures": middle}),
        ("two pictures changed places, and the name did not: order is a part of the content", {"pictures": pictures[::-1]}),
        ("the last weight changed a very little, and the name did not: a printed number is rounded", {"weights": end}),
        ("another block, and the same name", {"block": "conv2"}),
        ("another size, and the same name", {"size": 64}),
        ("another precision, and the same name", {"precision": "bfloat16"}),
        ("block 'conv1' at size 16 and block 'conv11' at size 6 get the same name: mark where one piece ends",
         {"block": "conv11", "size": 6}),
        ("800 pictures of 4×4 have the name of 200 pictures of 8×8: the same bytes, another shape",
         {"pictures": pictures.reshape(800, 4, 4, 3)}),
    ):  # fmt: skip
        require(name_of(**case | other) != name, because)


@hints(
    "Run the pictures through the network now. What do you compare, and how exactly?",
    "Compare row by row, with the given tolerance. If rows differ: is each row of `kept` somewhere among the fresh ones?",
    "`np.linalg.norm(kept[:, None] - now[None], axis=2)` is the distance of every kept row to every fresh one. "
    "After that, try `training=True`.",
)
def q4(diagnose, network):
    for kind, pictures, kept in mixups(network, seed=4):
        truth, said = kind.partition(":")[0], diagnose(pictures, kept)
        known = isinstance(said, str) and said in ("right", "another order", "training mode", "another network")
        require(known, f"one of the four texts is to be returned, not {str(said)[:40]!r}")
        why = {
            "right:exact": f"fresh features of the same network were called {said!r}",
            "right:rounded": f"features that are only rounded were called {said!r}: bfloat16 is no other network",
            "another order:two": f"two pictures changed places and it was called {said!r}: look at every row, one by one",
            "another order:all": f"shuffled features were called {said!r}: each row is there, but not in its place",
            "another order:rounded": f"features that are shuffled and rounded were called {said!r}: compare within 2 %",
            "training mode": f"features that were normalised by their own batch were called {said!r}",
            "another network": f"features from other weights were called {said!r}: that rows fit well is not enough",
        }[kind]
        require(said == truth, why)


@hints(
    "One seed, one pair: both heads saw the same pictures under it.",
    '`pivot(index="seed", columns="strategy", values="accuracy")` puts the two values of a seed into one row.',
    "`interval(rows[better] - rows[than])` gives mean, low and high; then compare low and high with `by`.",
)
def q5(paired):
    for seed, gap, by in ((5, 0.012, 0.0), (6, 0.012, 0.012), (7, 0.003, 0.02), (8, -0.012, 0.0)):
        table = seeds_table(seed, gap)
        answer = paired(table, "logistic regression", "Dropout + Dense", by)
        require(isinstance(answer, list | tuple) and len(answer) == 4, "four things: the verdict, then mean, low and high")
        verdict, got = answer[0], answer[1:]
        known = isinstance(verdict, str) and verdict in (HOLDS, FAILS, OPEN)
        require(known, f"the verdict {str(verdict)[:40]!r} is none of the three")
        require(all(isinstance(each, int | float | np.number) for each in got), "mean, low and high have to be numbers")
        _judge_interval(np.array(got, dtype=float), table)
        mean, low, high = interval(_by_seed(table))
        truth = HOLDS if low > by else FAILS if high <= by else OPEN
        require(verdict == truth or verdict != (HOLDS if mean > by else FAILS),
                f"the mean alone was asked: an interval from {low:.3f} to {high:.3f} is {truth!r} for a margin of {by}")  # fmt: skip
        require(verdict == truth, f"an interval from {low:.3f} to {high:.3f} is {truth!r} for a margin of {by}, "
                f"not {verdict!r}")  # fmt: skip


def _judge_interval(got, table):
    difference = _by_seed(table)
    mean, low, high = interval(difference)
    strategy, accuracy = table["strategy"], table["accuracy"].to_numpy()
    first, second = accuracy[strategy == "logistic regression"], accuracy[strategy == "Dropout + Dense"]
    n, half, spread = len(difference), (got[2] - got[1]) / 2, difference.std(ddof=1)
    require(not _near(got[0], -mean), "the sign is wrong: it is `better` minus `than`")
    require(not _near(got[0], 100 * mean), "accuracies and their differences are fractions here, not points")
    require(_near(got[0], mean), f"the mean difference is not {got[0]:.4f}")
    apart = [stats.ttest_ind(first, second, equal_var=equal).confidence_interval() for equal in (True, False)]
    by_place = interval(first - second)
    require(
        not any(_near(half, (each.high - each.low) / 2) for each in apart),
        "the heads were treated as strangers: under one seed both saw the same pictures, so subtract seed by seed",
    )
    require(not _near(half, (by_place[2] - by_place[1]) / 2), "the rows were subtracted as they stand: they are in no order")
    require(not _near(half, 1.96 * spread / n**0.5), "1.96 is for many seeds: with few, Student's t makes it wider")
    require(
        not any(_near(half, factor * spread) for factor in (1, 1.96, stats.t.ppf(0.975, n - 1))),
        "this is the spread of single seeds: divide by the root of their number for that of the mean",
    )
    require(_near(got[1], low) and _near(got[2], high), "low and high are not the ends of the 95 % interval")


@hints(
    "For n seeds: the mean of the first n differences, plus or minus t times their standard deviation over the root of n.",
    "`stats.ttest_1samp(differences[:, :n], 0, axis=1).pvalue < 0.05` says for all experiments at once whether the "
    "interval of the first n seeds leaves 0 out.",
    "Make a bool array with a column for each n from 2 on. `once` is the mean of its last column; `always` the mean "
    "of `.any(axis=1)`.",
)
def q6(false_alarms):
    differences = np.random.default_rng(9).normal(0, 0.01, (400, 10))
    answer = false_alarms(differences)
    require(isinstance(answer, list | tuple) and len(answer) == 2, "two fractions are to be returned: once, every time")
    require(all(isinstance(each, int | float | np.number) for each in answer), "the two fractions have to be numbers")
    got, alarms = np.array(answer, dtype=float), looks(differences)
    once, always = alarms[:, -1].mean(), alarms.any(axis=1).mean()
    require(not np.allclose(got, (always, once)), "the two came in the wrong order: first once, then every time")
    narrow = looks(differences, normal=True)
    known = (
        (narrow[:, -1].mean(), narrow.any(axis=1).mean(), "1.96 is for many seeds: for two, Student's t has 12.7"),
        (_one_sided(differences)[:, -1].mean(), _one_sided(differences).any(axis=1).mean(),
         "only one side was looked at: an interval below 0 says that there is a difference, too"),
        (once, once, "the first and the second are the same: whoever looks at every seed stops at the first alarm"),
        (once, alarms.mean(), "the alarms were counted among all looks: count the experiments that have at least one"),
        (once, alarms[:, 1:].any(axis=1).mean(), "the interval of the first two seeds was left out"),
        (once, alarms.all(axis=1).mean(), "one alarm is enough: whoever stops there never sees the later intervals"),
    )  # fmt: skip
    for first, second, because in known:
        require(not np.allclose(got, (first, second), atol=1e-6), because)
    require(_near(got[0], once), f"one look at the end gives {once:.1%} false alarms on the check's data, not {got[0]:.1%}")
    require(_near(got[1], always), f"with a look at every seed it is another fraction than {got[1]:.1%}")


def mixups(network, seed, n=40):
    """(truth, or "truth:variant", pictures, features as they were kept) of each kind."""
    rng, pictures = np.random.default_rng(seed), photographs(n, seed)
    right = network(pictures, False).mean(axis=(1, 2))
    rounded = (right.view("uint32") & 0xFFFF0000).view("float32")  # what bfloat16 can hold
    two, shuffled = np.arange(n), rng.permutation(n)
    two[[n // 2, n - 1]] = two[[n - 1, n // 2]]
    other = right[:, rng.permutation(12)] * rng.uniform(0.7, 1.4, 12).astype("float32")
    cases = {"right:exact": right, "right:rounded": rounded, "another order:two": right[two],
             "another order:all": right[shuffled], "another order:rounded": rounded[shuffled],
             "training mode": network(pictures, True).mean(axis=(1, 2)), "another network": other}  # fmt: skip
    return [(kind, pictures, kept) for kind, kept in cases.items()]


def looks(differences, normal=False):
    """bool (experiments, seeds - 1): does the 95 % interval of the first 2, 3, ... seeds leave 0 out?"""
    counts = range(2, differences.shape[1] + 1)
    limits = [1.96 if normal else stats.t.ppf(0.975, n - 1) for n in counts]
    return np.stack([np.abs(_t(differences[:, :n])) > limit for n, limit in zip(counts, limits)], axis=1)


def _one_sided(differences):
    return looks(differences) & (np.stack([_t(differences[:, :n]) for n in range(2, differences.shape[1] + 1)], 1) > 0)


def _t(values):
    return values.mean(axis=1) / values.std(axis=1, ddof=1) * values.shape[1] ** 0.5


def _by_seed(table):
    rows = table.pivot(index="seed", columns="strategy", values="accuracy")
    return (rows["logistic regression"] - rows["Dropout + Dense"]).to_numpy()


def _near(a, b):
    return bool(np.isclose(a, b, rtol=1e-3, atol=1e-6))


check, hint = feedback(q1, q2, q3, q4, q5, q6)
