"""Exercise 06: compare strategies, and judge a rule, without being fooled by luck. No Keras in here."""

from numbers import Real

import numpy as np
import pandas as pd

from tlcourse.claims import interval
from tlcourse.exercises import feedback, hints, require

STRATEGIES = ["linear probe", "earlier probe", "fine-tune top", "fine-tune all", "scratch"]
FIRM, OPEN, AGAINST = "agrees", "too close to call", "disagrees"


@hints(
    "Which pictures may say something about the cut? Only those that may be used up: the training pictures.",
    "`cross_val_score(probe, train[block], y_train, cv=5).mean()` for each block, and the largest one wins.",
    "Then `probe.fit(train[best], y_train)`, and only now the test pictures: `probe.score(test[best], y_test)`.",
)
def q1(choose_cut):
    from sklearn.model_selection import cross_val_score

    train, y_train, test, y_test = _blocks(0)
    answer = choose_cut(train, y_train, test, y_test)
    require(isinstance(answer, tuple | list) and len(answer) == 2, "two things are asked for: (block, accuracy)")
    block, accuracy = answer
    require(isinstance(block, str) and block in train, f"{block!r} is not the name of a block")
    require(block != "block1", "the test pictures had a say: block1 looks best on them, and only on them")
    require(block != "block3", "block3 knows the training pictures by heart: ask pictures that the probe was not trained on")
    require(block != "block4", "the top block was taken, though it does worse in cross-validation")
    require(_is_number(accuracy), "the second value is to be a number, the accuracy on the test pictures")
    probe = _probe().fit(train[block], y_train)
    crossed = cross_val_score(probe, train[block], y_train, cv=5).mean()
    known = {
        "that is the accuracy in cross-validation; once chosen, the cut is scored on the test pictures": crossed,
        "that is the accuracy on the training pictures": probe.score(train[block], y_train),
        "the probe was trained on the test pictures": _probe().fit(test[block], y_test).score(test[block], y_test),
    }
    _compare(accuracy, probe.score(test[block], y_test), known, "the accuracy is not that of the chosen block's probe, "
             "trained on all training pictures, on the test pictures", 0.01)  # fmt: skip


@hints(
    "Rows of one seed belong together: they were trained on the same pictures. `pivot` puts them side by side.",
    '`by_seed = table.pivot(index="seed", columns="strategy", values="accuracy")[STRATEGIES]`, then the best '
    "mean of the others is `by_seed.drop(columns=advised).mean().idxmax()`.",
    "`_, low, high = interval(by_seed[advised] - by_seed[other])`: above zero, below zero, or neither. And ask for "
    "`len(by_seed)` first.",
)
def q2(verdict):
    base = np.array([0.52, 0.71, 0.60, 0.79])
    shown = _table(base, {"fine-tune all": [0.021, 0.018, 0.022, 0.019], "earlier probe": [0, 0, 0.001, -0.001],
                          "random features": 0.1})  # fmt: skip
    _look(verdict, shown, "fine-tune all", "earlier probe", FIRM)
    _look(verdict, shown, "earlier probe", "fine-tune all", AGAINST)
    lucky = _table(base, {"linear probe": [0.03, 0.03, 0.03, 0.028], "scratch": [-0.3, 0.15, -0.2, -0.1]})
    _look(verdict, lucky, "fine-tune all", "linear probe", AGAINST)
    few = _table(base, {"earlier probe": [0.001, 0.035, 0.012, 0.034], "linear probe": 0})
    _look(verdict, few, "earlier probe", "linear probe", OPEN)
    single = verdict(few[few["seed"] == 2].reset_index(drop=True), "earlier probe")
    said = single.get("verdict") if isinstance(single, dict) else None
    require(said == OPEN, f"of a single seed you said {said!r}, and one seed says nothing about the spread")


@hints(
    "First find the best mean. Then ask of each strategy: does the interval of the best *minus* this one reach zero?",
    "`interval(by_seed[best] - by_seed[name])[1] <= 0` holds for those that are not clearly worse. The best is one of them.",
    '`seconds = table.groupby("strategy")["seconds"].mean()`, then `min(as_good, key=seconds.get)`.',
)
def q3(cheapest):
    base = np.array([0.55, 0.71, 0.60, 0.75])
    behind = {"fine-tune all": 0.05, "earlier probe": [0.06, 0.03, 0.065, 0.03], "linear probe": [0.03, 0.031, 0.029, 0.03],
              "fine-tune top": [0.042, 0.043, 0.042, 0.041], "scratch": -0.35, "random features": [0.06, 0.04, 0.06, 0.03]}  # fmt: skip
    seconds = {"linear probe": 0.2, "fine-tune top": 0.3, "earlier probe": 1.0, "fine-tune all": 9.0, "scratch": 0.1,
               "random features": 0.05, "majority class": 0.0}  # fmt: skip
    answer = cheapest(_table(base, behind, seconds))
    require(isinstance(answer, str), f"the name of a strategy is asked for, and this is a {type(answer).__name__}")
    require(answer not in ("random features", "majority class"),
            f"{answer} is a control: it is there to compare with, not to be chosen")  # fmt: skip
    require(answer != "scratch", "that is the cheapest of all, however bad: it must not be clearly worse than the best")
    require(answer != "linear probe", "the linear probe is clearly worse, by three points less two with every seed alike: that "
            "two intervals overlap, or that accuracies scatter, says nothing about their difference")  # fmt: skip
    require(answer != "fine-tune top", "a small difference can be a sure one: fine-tune top is behind with every seed")
    require(answer != "fine-tune all", "the best mean has its price: another one cannot be told from it, and costs less")
    require(answer == "earlier probe", f"{answer!r} is not it: the cheapest whose interval against the best reaches zero")
    far = _table(base, {"fine-tune all": 0.05, "scratch": 0.01}, seconds)
    answer = cheapest(far)
    require(answer == "fine-tune all", "where all others are clearly worse, the best itself is the cheapest that is good enough")
    slow = _table(base, {"fine-tune all": 0.05, "earlier probe": 0.05}, seconds)
    slow.loc[(slow["strategy"] == "earlier probe") & (slow["seed"] < 3), "seconds"] = [20.0, 20.0, 20.0]
    require(cheapest(slow) == "fine-tune all", "one quick training is an accident: compare the mean seconds")


@hints(
    "How many right answers does guessing give with two classes, and with ten? Take that off first.",
    "The blocks come from low to high: `*earlier, top = known.values()`. Which of the earlier ones counts?",
    "`beyond = max(earlier) - 1 / classes`, and the answer is `(top - 1 / classes) / beyond`, unless `beyond` is 0 or less.",
)
def q4(similarity):
    for known, classes in (
        ({"block1": 0.41, "block2": 0.44, "block3": 0.93, "block4": 0.80, "block5": 0.86}, 10),
        ({"low": 0.60, "middle": 0.58, "top": 0.75}, 2),
    ):
        ratio = similarity(known, classes)
        require(_is_number(ratio), "one number is asked for")
        *earlier, top = known.values()
        chance = 1 / classes
        wrong = {
            "guessing is not taken off: a picture of two classes is right half of the time for nothing": top / max(earlier),
            "guessing is taken off the result, not off both accuracies": top / max(earlier) - chance,
            "the top was counted among the earlier blocks, so that nothing can be more than 1": (top - chance)
            / (max(*earlier, top) - chance),
            "the best of the earlier blocks counts, not the one just below the top": (top - chance) / (earlier[-1] - chance),
            "the best of the earlier blocks counts, not the lowest one": (top - chance) / (earlier[0] - chance),
            "the best of the earlier blocks counts, not their mean": (top - chance) / (np.mean(earlier) - chance),
            "it is upside down: how much of what the earlier block knows does the *top* still know?": (max(earlier) - chance)
            / (top - chance),
            "chance is always taken to be a tenth: it depends on the number of classes": (top - 0.1) / (max(earlier) - 0.1),
        }
        _compare(ratio, (top - chance) / (max(earlier) - chance), wrong, f"for {known} and {classes} classes it is not {ratio:.3f}")
    empty = similarity({"block1": 0.48, "block2": 0.45, "block3": 0.46}, 2)
    require(_is_number(empty) and np.isnan(empty),
            "no earlier block knows more than guessing does, and a ratio to nothing says nothing: that is `np.nan`")  # fmt: skip


@hints(
    "What a strategy loses in a case is the best accuracy of its row minus its own: "
    '`lost = cases[STRATEGIES].rsub(cases[STRATEGIES].max(axis=1), axis=0)`, with columns for strategies.',
    "For each row, which rows may the advice be fitted to? In sample: all of the same field. Held out: of the same field and "
    "of *other* data sets. `inverted` digits are digits.",
    '`known = (cases["field"] == row["field"]) & (cases["data_set"] != row["data_set"])`, then `lost[known].mean().idxmin()` '
    "is the advice for this row, and `lost.loc[place, advice]` its regret.",
)
def q5(regrets):
    for seed in (12, 40):
        cases = _cases(seed)
        answer = regrets(cases)
        require(isinstance(answer, dict) and {"in sample", "held out"} <= set(answer),
                'a dict with the keys "in sample" and "held out" is asked for')  # fmt: skip
        inside, held = answer["in sample"], answer["held out"]
        require(_is_number(inside) and _is_number(held), "both regrets are to be numbers")
        require(np.isfinite([inside, held]).all(), "a regret is not a finite number: is there a row without advice?")
        require(min(inside, held) >= 0, "nothing is better than the best: a regret cannot be negative")
        expected = _regret(cases, lambda cases, row: True)
        usual = {
            "a regret is a fraction here, like the accuracies: 0.02 is two points": 100 * expected,
            "you give the accuracy of the advice, and not what it loses against the best of its row": _regret(
                cases, lambda cases, row: True, lost=False),
            "one strategy was advised for all: each field has an advice of its own": _regret(cases, lambda cases, row: True, False),
        }  # fmt: skip
        _compare(inside, expected, usual, "the regret in sample is not that of each field's best strategy on the very cases "
                 "that chose it")  # fmt: skip
        honest = _regret(cases, lambda cases, row: cases["data_set"] != row["data_set"])
        leaks = {
            "it is the regret in sample again: nothing was held out": expected,
            "only the case itself was held out: the same pictures in another number told its answer": _regret(
                cases, lambda cases, row: cases.index != row.name),
            "only the target was held out: its variants, of the same data set, told the answer": _regret(
                cases, lambda cases, row: cases["target"] != row["target"]),
            "the advice was fitted to the data set that it is asked about, instead of to the others": _regret(
                cases, lambda cases, row: cases["data_set"] == row["data_set"]),
            "one strategy was advised for all fields: each field has an advice of its own": _regret(
                cases, lambda cases, row: cases["data_set"] != row["data_set"], False),
        }  # fmt: skip
        _compare(held, honest, leaks, "the held-out regret is not the one of advice from the same field of all other data sets")


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool)


def _compare(value, expected, known, otherwise, apart=1e-6):
    """Require `value` to be `expected`; if it is one of `known`, {message: value}, say that, else `otherwise`."""
    if abs(value - expected) <= apart:
        return
    require(np.isfinite(value), f"a finite number is asked for, and this is {value}")
    for because, wrong in known.items():
        require(abs(value - wrong) > apart, because)
    require(False, otherwise)


def _probe():
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1))


def _blocks(seed):
    """Features in which block2 is right, block1 wins on the test alone, block3 is learned by heart, block4 is noise."""
    rng = np.random.default_rng(seed)
    y_train, y_test = np.arange(90) % 3, np.arange(300) % 3
    train, test = {}, {}
    for block, width, learned, asked in (("block1", 5, 0.45, 4.0), ("block2", 5, 0.8, 1.2), ("block3", 300, 0, 0), ("block4", 4, 0, 0)):
        centres = np.linalg.qr(rng.normal(size=(width, 3)))[0].T * 1.5
        train[block] = learned * centres[y_train] + rng.normal(size=(90, width))
        test[block] = asked * centres[y_test] + rng.normal(size=(300, width))
    return train, y_train, test, y_test


def _table(base, above, seconds=None):
    """A table of four seeds in another order for each strategy; `above`: what a strategy has beyond `base`."""
    rows, spread = [], np.array([0.001, -0.0005, -0.001, 0.0005])
    for place, name in enumerate([*STRATEGIES, "random features", "majority class"]):
        beyond = np.asarray(above.get(name, -0.05 - 0.01 * place))
        beyond = beyond if beyond.ndim else beyond + np.roll(spread, place)
        scores = np.full(4, 0.1) if name == "majority class" else base + beyond
        for seed in np.roll([0, 1, 2, 3], place):
            rows.append((name, int(seed), float(scores[seed]), (seconds or {}).get(name, 1.0)))
    return pd.DataFrame(rows, columns=["strategy", "seed", "accuracy", "seconds"])


def _look(verdict, table, advised, other, expected):
    from scipy import stats

    found = verdict(table, advised)
    require(isinstance(found, dict) and {"other", "low", "high", "verdict"} <= set(found),
            'a dict with the keys "other", "low", "high" and "verdict" is asked for')  # fmt: skip
    require(found["other"] not in ("random features", "majority class"),
            f"{found['other']} is a control, not one of the strategies that the advice competes with")  # fmt: skip
    require(found["other"] != advised, "the advice was compared with itself: take the best of the *other* strategies")
    require(found["other"] == other, f"the best of the others is the one with the best mean over the seeds, not {found['other']!r}")
    require(_is_number(found["low"]) and _is_number(found["high"]), '"low" and "high" are to be numbers')
    rows = [table[table["strategy"] == name] for name in (advised, other)]
    stacked = [part["accuracy"].to_numpy() for part in rows]
    difference = np.subtract(*(part.sort_values("seed")["accuracy"].to_numpy() for part in rows))
    mean, low, high = interval(difference)
    error = difference.std(ddof=1) / 2
    unpaired = stats.ttest_ind(*stacked).confidence_interval(0.95)
    known = {
        "rows were paired by their place in the table: the same place is not the same seed": interval(stacked[0] - stacked[1])[1],
        "the seeds are not paired: each seed drew its own pictures, easy or hard for all strategies alike": unpaired.low,
        "with so few seeds 1.96 standard errors are too few: Student's t asks for more": mean - 1.96 * error,
        "that is the spread of single seeds, not the interval of their mean": mean - 2 * error,
        "the difference is upside down: the advice minus the other": -high,
    }
    _compare(found["low"], low, known, f"the interval of {advised} minus {other} does not begin at {found['low']:.4f}")
    _compare(found["high"], high, {}, f"the interval of {advised} minus {other} does not end at {found['high']:.4f}")
    why = {FIRM: "above", AGAINST: "below"}.get(expected)
    require(found["verdict"] == expected, f"the whole interval lies {why} zero, and you say {found['verdict']!r}" if why else
            f"zero lies in the interval, and you say {found['verdict']!r}")  # fmt: skip


def _cases(seed):
    """Cases in which each data set has a favourite strategy, each target and each case a lesser one."""
    rng = np.random.default_rng(seed)
    rows = []
    for data_set in ("maps", "birds", "coins", "signs"):
        own = rng.normal(0, 0.08, 5)
        for target in (data_set, f"{data_set} inverted", f"{data_set} noisy"):
            variant = own + rng.normal(0, 0.06, 5)
            for field in ("small, similar", "small, different", "large, similar", "large, different"):
                for _ in range(2):
                    scores = 0.6 + variant + rng.normal(0, 0.05, 5)
                    rows.append((data_set, target, field, *scores.round(4)))
    order = rng.permutation(len(rows))
    return pd.DataFrame([rows[place] for place in order], columns=["data_set", "target", "field", *STRATEGIES])


def _regret(cases, may_know, by_field=True, lost=True):
    scores = cases[STRATEGIES]
    losses = scores.rsub(scores.max(axis=1), axis=0)
    found = []
    for place, row in cases.iterrows():
        known = pd.Series(may_know(cases, row), cases.index) & ((cases["field"] == row["field"]) | (not by_field))
        advice = losses[known].mean().idxmin()
        found.append((losses if lost else scores).loc[place, advice])
    return float(np.mean(found))


check, hint = feedback(q1, q2, q3, q4, q5)
