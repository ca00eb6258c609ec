"""Known wrong answers to the exercise on bottleneck features, and what their learner must be told."""


def gigabytes(result):
    return f"def gigabytes(n, shape, dtype):\n    return {result}"


def extract(parts, result="np.concatenate(parts)"):
    return f"""
def extract(pictures):
    parts = {parts}
    return {result}
"""


def name_of(text, shown="pictures.tobytes()"):
    return f"""
def name_of(pictures, weights, block, size, precision):
    import hashlib

    digest = hashlib.sha256({text}.encode())
    for each in weights:
        digest.update(each.tobytes())
    digest.update({shown})
    return digest.hexdigest()
"""


def diagnose(right, order, training, rest="another network"):
    return f"""
def diagnose(pictures, kept):
    def same(a, b):
        return np.linalg.norm(a - b, axis=-1) <= 0.02 * np.linalg.norm(b, axis=-1)

    now = network(pictures, training=False).mean(axis=(1, 2))
    loose = network(pictures, training=True).mean(axis=(1, 2))
    if {right}:
        return "right"
    if {order}:
        return "another order"
    return "training mode" if {training} else "{rest}"
"""


def paired(differences, result="interval(differences)", verdict=None):
    verdict = verdict or '"holds" if low > by else "does not hold here" if high <= by else "too close to call"'
    return f"""
def paired(table, better, than, by):
    rows = table.pivot(index="seed", columns="strategy", values="accuracy")
    a, b = rows[better], rows[than]
    differences = {differences}
    mean, low, high = {result}
    return {verdict}, mean, low, high
"""


def around(half):
    return paired("a - b", f"np.mean(differences) + np.array([0, -1, 1]) * {half}")


def false_alarms(result, condition="stats.ttest_1samp(differences[:, :n], 0, axis=1).pvalue < 0.05", first=2):
    return f"""
def false_alarms(differences):
    tests = np.array([{condition} for n in range({first}, differences.shape[1] + 1)])
    return {result}
"""


EACH = "[network(pictures[i : i + 50], training=False).mean(axis=(1, 2)) for i in range(0, len(pictures), 50)]"
FIELDS = "repr((block, size, precision, pictures.shape))"
SAME, SOMEWHERE = "same(kept, now).all()", "same(kept[:, None], now[None]).any(axis=1).all()"
LOOSE, BOTH = "same(kept, loose).all()", "tests[-1].mean(), tests.any(axis=0).mean()"
AS_THEY_STAND = (
    'table[table["strategy"] == better]["accuracy"].to_numpy() - table[table["strategy"] == than]["accuracy"].to_numpy()'
)
T = "differences[:, :n].mean(axis=1) / differences[:, :n].std(axis=1, ddof=1) * n**0.5"

WRONG = {
    "q1": [
        (gigabytes("n * np.prod(shape) / 1e9"), "the numbers were counted, not their bytes"),
        (gigabytes("n * np.prod(shape) * 4 / 1e9"), "not every number takes 4 bytes"),
        (gigabytes("n * np.prod(shape) * np.dtype(dtype).itemsize / 2**30"), "are a gibibyte"),
        (gigabytes("np.ones((n, *shape), dtype).nbytes / 1e9"), "multiply, do not allocate"),
    ],
    "q2": [
        (extract("[network(pictures, training=False).mean(axis=(1, 2))]"), "do not fit into the memory"),
        (extract(EACH.replace("len(pictures)", "len(pictures) // 50 * 50")), "a batch that is not full"),
        (extract(EACH.replace("training=False", "training=True")), "change with the pictures in its batch"),
        (extract(EACH.replace("mean(axis=(1, 2))", "reshape(-1, 48)")), "every position was kept"),
        (extract(EACH.replace("mean", "max")), "the largest number was taken"),
        (extract(EACH, "np.concatenate(parts).astype(float)"), "float64 take another amount of memory"),
        (
            "def extract(pictures):\n"
            "    found = np.zeros((len(pictures), 12), 'float32')\n"
            "    for i in range(0, len(pictures) - 49, 50):\n"
            "        found[i : i + 50] = network(pictures[i : i + 50], training=False).mean(axis=(1, 2))\n"
            "    return found",
            "rows are all zeros",
        ),
    ],
    "q3": [
        (name_of(FIELDS, "str(pictures).encode()"), "a printed array leaves out its middle"),
        (name_of(FIELDS, "str(sorted(each.tobytes() for each in pictures)).encode()"), "order is a part of the content"),
        (name_of(FIELDS).replace("each.tobytes()", "str(each).encode()"), "a printed number is rounded"),
        (name_of("repr((block, size, pictures.shape))"), "another precision"),
        (name_of("(f'{block}{size}' + precision + str(pictures.shape))"), "mark where one piece ends"),
        (name_of("repr((block, size, precision))"), "the same bytes, another shape"),
        (name_of(FIELDS).replace("    digest =", "    import time\n    digest =").replace("digest.hexdigest()",
         "digest.hexdigest() + str(time.time_ns())"), "is never found again"),
    ],
    "q4": [
        (diagnose("np.array_equal(kept, now)", SOMEWHERE, LOOSE), "bfloat16 is no other network"),
        (diagnose("same(kept[:5], now[:5]).all()", SOMEWHERE, LOOSE), "look at every row, one by one"),
        (diagnose("same(kept.mean(axis=0), now.mean(axis=0))", SOMEWHERE, LOOSE), "look at every row, one by one"),
        (
            diagnose(SAME, "set(map(bytes, kept)) == set(map(bytes, now))", LOOSE),
            "shuffled and rounded were called 'another network'",
        ),
        (diagnose(SAME, SOMEWHERE, "True"), "features from other weights were called 'training mode'"),
        (diagnose(SAME, SOMEWHERE, "False"), "normalised by their own batch were called 'another network'"),
    ],
    "q5": [
        (
            paired("a - b", "a.mean() - b.mean(), *stats.ttest_ind(a, b).confidence_interval()"),
            "subtract seed by seed",
        ),
        (paired(AS_THEY_STAND), "they are in no order"),
        (paired("b - a"), "it is `better` minus `than`"),
        (around("1.96 * differences.sem()"), "1.96 is for many seeds"),
        (around("1.96 * differences.std()"), "the spread of single seeds"),
        (paired("a - b", verdict='"holds" if mean > by else "does not hold here"'), "the mean alone was asked"),
        (paired("100 * (a - b)"), "fractions here, not points"),
    ],
    "q6": [
        (false_alarms(BOTH, f"np.abs({T}) > 1.96"), "1.96 is for many seeds"),
        (false_alarms(BOTH, f"{T} > stats.t.ppf(0.975, n - 1)"), "only one side was looked at"),
        (false_alarms("tests[-1].mean(), tests.mean()"), "count the experiments that have at least one"),
        (false_alarms("tests[-1].mean(), tests.all(axis=0).mean()"), "one alarm is enough"),
        (false_alarms("tests[-1].mean(), tests[-1].mean()"), "stops at the first alarm"),
        (false_alarms(BOTH, first=3), "the interval of the first two seeds was left out"),
        (false_alarms("tests.any(axis=0).mean(), tests[-1].mean()"), "in the wrong order"),
    ],
}
