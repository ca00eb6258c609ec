"""Small or large, similar or different: where a data set stands, measured, and the strategy that this suggests.

The folk table of transfer learning has two axes and four fields. Here both axes are measured, and what stands
in the fields was found by training every strategy on many targets (`evidence`).
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from tlcourse import CourseError, backbones, features, strategies
from tlcourse.claims import interval

STRATEGIES = ("linear probe", "earlier probe", "fine-tune top", "fine-tune all", "scratch")
SIZES, KINDS = ("small", "large"), ("similar", "different")
# The rule of thumb as courses have it (for instance the notes of Stanford's CS231n, "Transfer Learning").
FOLK = {
    ("small", "similar"): "linear probe",
    ("small", "different"): "earlier probe",
    ("large", "similar"): "fine-tune all",
    ("large", "different"): "fine-tune all",
}
MEASURED_ON = 1000  # pictures at most: more change the numbers little, and cost seconds
FEWEST = 4  # cases in a field of a rule
C = 0.1  # of the linear probes; see `strategies.linear_probe`


@dataclass(frozen=True, eq=False)
class Rule:
    """A table of four fields with its thresholds.

    large_from: labelled pictures a class; similar_from: the similarity of `measure`.
    advice: {("small" or "large", "similar" or "different"): strategy}.
    """

    large_from: float
    similar_from: float
    advice: dict

    def place(self, per_class, similarity):
        """The field of a case: ("small" or "large", "similar" or "different")."""
        return SIZES[int(per_class >= self.large_from)], KINDS[int(similarity < self.similar_from)]

    def advise(self, cases):
        """The strategy for each row of a table with the columns per_class and similarity, as a list."""
        return [self.advice[self.place(*case)] for case in zip(cases["per_class"], cases["similarity"])]


def evidence():
    """What was measured (tools/measure_fourcases.py): a DataFrame with a row a case.

    backbone, target (its first word is the data set), per_class, similarity (of `measure`), and the test accuracy of
    each of STRATEGIES, means over seeds.
    """
    return pd.read_csv(Path(__file__).with_name("fourcases.csv"))


def fitted(cases):
    """The Rule that loses least on a table of cases like `evidence`, over all thresholds between the measured values.

    A field must hold at least FEWEST cases. Raises CourseError when there are too few cases.
    """
    lost = _lost(cases)
    best = None
    for large_from, similar_from in itertools.product(_between(cases["per_class"]), _between(cases["similarity"])):
        fields = [(large, similar) for large in (False, True) for similar in (True, False)]
        members = [((cases["per_class"] >= large_from) == large) & ((cases["similarity"] >= similar_from) == similar)
                   for large, similar in fields]  # fmt: skip
        if min(map(sum, members)) < FEWEST:
            continue
        means = [lost[member].mean() for member in members]
        total = sum(mean.min() * sum(member) for mean, member in zip(means, members))
        if best is None or total < best[0]:
            advice = {(SIZES[large], KINDS[not similar]): mean.idxmin() for (large, similar), mean in zip(fields, means)}
            best = total, Rule(large_from, similar_from, advice)
    if best is None:
        raise CourseError(f"A rule needs at least {FEWEST} measured cases in each of its four fields: measure more.")
    return best[1]


def losses(cases, advice):
    """What following some advice loses against the best strategy of each case: float (n,), accuracies.

    cases: a table like `evidence`; advice: a strategy for each of its rows.
    """
    found = _lost(cases)
    return found.to_numpy()[np.arange(len(cases)), [STRATEGIES.index(name) for name in advice]]


def held_out(cases):
    """The advice for each case of a Rule that was fitted without all cases of the same data set, as a list.

    A data set is the first word of a target's name: variants and subsets go together.
    """
    families, advice = cases["target"].str.split().str[0], pd.Series("", cases.index)
    for family in families.unique():
        tested = families == family
        advice[tested] = fitted(cases[~tested]).advise(cases[tested])
    return list(advice)


def _lost(cases):
    accuracies = cases[list(STRATEGIES)]
    return accuracies.rsub(accuracies.max(axis=1), axis=0)


def _between(values):
    """Midpoints of the distinct values: the thresholds that tell them apart."""
    distinct = np.unique(values)
    return (distinct[1:] + distinct[:-1]) / 2


@dataclass(frozen=True, eq=False)
class Recommendation:
    """What `recommend` says: a strategy, the block whose features a probe takes (else None), a reason a
    measured number, and a confidence.

    confidence: the fraction, 0-1, of the measured cases of the same field where this strategy came within a point of the
        best. lost: the accuracy that it lost there on average. measured: what `measure` gave.
    """

    strategy: str
    at: str | None
    field: tuple
    reasons: tuple
    confidence: float
    lost: float
    measured: dict

    def table(self):
        """The same as a small DataFrame with a row a reason."""
        rows = [("advice", f"{self.strategy} at {self.at}" if self.at else self.strategy)]
        rows += [("case", " and ".join(self.field)), *self.reasons]
        rows.append(("confidence", f"{self.confidence:.0%} of the measured cases like this one agree within a point; "
                                   f"mean loss {100 * self.lost:.1f} points"))  # fmt: skip
        return pd.DataFrame(rows, columns=["", "says"]).set_index("")

    def __repr__(self):
        return "\n".join(f"{name:<12}{text}" for name, text in self.table()["says"].items())

    def _repr_html_(self):
        return self.table().to_html(header=False)


def measure(data, backbone, seed=0):
    """Where the training pictures of a Dataset stand, by a linear probe's balanced accuracy in cross-validation.

    Returns a dict: pictures, classes (with at least two pictures), per_class (the median), largest (the commonest class's
    fraction), chance (1 / classes), random (accuracy on the top features of the untrained network), blocks
    ({block: (mean, low, high)}, 95 % intervals over folds, which are rough), earlier (the best block below the last), and
    similarity: how much of what the earlier block knows beyond guessing the top still knows,
    (top - chance + e) / (earlier - chance + e), from about 0 (nothing) over 1 (all) to more than 1 (the top knows more).
    e = 0.5 / sqrt(pictures), the largest standard error of an accuracy, keeps it near 1 where little can be
    said. That general features become specific on their way up is due to Yosinski et al. (2014). Not more than
    MEASURED_ON pictures are looked at.

    Raises CourseError, in one sentence, for pictures and labels that do not fit together, fewer than two classes
    with two pictures, and whatever `features.extract` raises for.
    """
    x, y = _some(data, seed)
    blocks = list(backbone.blocks)
    untrained = backbones.untrained(backbone, seed)
    found = {at: strategies.cross_validated(features.extract(backbone, x, at, show=False), y, seed, C) for at in blocks}
    random = strategies.cross_validated(features.extract(untrained, x, show=False), y, seed, C).mean()
    *below, last = blocks
    earlier = max(reversed(below or blocks), key=lambda at: found[at].mean())
    counts, chance, noise = np.bincount(data.y_train), 1 / len(np.unique(y)), 0.5 / np.sqrt(len(y))
    return {
        "pictures": len(data.y_train),
        "classes": len(np.unique(y)),
        "per_class": float(np.median(counts[counts > 0])),
        "largest": float(counts.max() / counts.sum()),
        "chance": chance,
        "random": float(random),
        "blocks": {at: interval(scores) for at, scores in found.items()},
        "earlier": earlier,
        "similarity": float(_beyond(found[last], chance, noise) / _beyond(found[earlier], chance, noise)),
    }


def _beyond(scores, chance, noise):
    return max(scores.mean() - chance, 0) + noise


def recommend(data, backbone, seed=0):
    """A strategy for a Dataset on a Backbone: its case by measurement (`measure`), its strategy by `rule`.

    Only the training pictures are looked at. It prints as a small table. Raises CourseError as `measure` does.
    """
    found, rule = measure(data, backbone, seed), fitted(evidence())
    field = rule.place(found["per_class"], found["similarity"])
    strategy = rule.advice[field]
    cases = evidence()
    like = cases[[rule.place(*case) == field for case in zip(cases["per_class"], cases["similarity"])]]
    lost = losses(like, [strategy] * len(like))
    at = {"linear probe": list(backbone.blocks)[-1], "earlier probe": found["earlier"]}.get(strategy)
    return Recommendation(strategy, at, field, _reasons(data, backbone, found, rule),
                          float(np.mean(lost <= 0.01)), float(lost.mean()), found)  # fmt: skip


def _reasons(data, backbone, found, rule):
    """[(about what, a sentence with the numbers)]."""
    last, earlier = list(backbone.blocks)[-1], found["earlier"]
    (size, kind), means = rule.place(found["per_class"], found["similarity"]), {at: f[0] for at, f in found["blocks"].items()}
    said = [
        ("size", f"{size}: {found['per_class']:.0f} labelled pictures a class; large is {rule.large_from:.0f} or more."),
        (
            "similarity",
            f"{kind}: {last}'s features say {means[last]:.0%} of held-out labels, {earlier}'s {means[earlier]:.0%}, guessing "
            f"{found['chance']:.0%}: a ratio of {found['similarity']:.2f}; similar is {rule.similar_from:.2f} or more.",
        ),
        ("control", f"random weights say {found['random']:.0%}: pretraining adds {100 * (max(means.values()) - found['random']):.0f} points."),
    ]
    if found["largest"] > 2 * found["chance"] and found["largest"] > 0.5:
        said.append(("balance", f"{found['largest']:.0%} are of one class: weight the classes, and do not trust plain accuracy."))
    alone = len(np.unique(data.y_train)) - found["classes"]
    empty = len(data.classes) - len(np.unique(data.y_train))
    if alone:
        said.append(("left out", f"{_classes(alone)} with a single picture: too few to measure; label more."))
    if empty:
        said.append(("missing", f"{_classes(empty)} without a training picture: no strategy can learn it."))
    return tuple(said)


def _some(data, seed):
    """(pictures, labels) to measure on: the classes with two pictures or more, in equal shares as far as they go."""
    y = np.asarray(data.y_train)
    if y.ndim != 1 or len(y) != len(data.x_train) or (len(y) and y.dtype.kind not in "iu"):
        raise CourseError(f"{data.name} needs one whole number as label for each of its {len(data.x_train)} training pictures.")
    if len(y) and not 0 <= y.min() <= y.max() < len(data.classes):
        raise CourseError(f"{data.name} has labels from {y.min()} to {y.max()} for {len(data.classes)} classes: count from 0.")
    if len(y) < len(data.classes):
        raise CourseError(f"{data.name} has {len(y)} training pictures for {len(data.classes)} classes: label at least two of each.")
    if len(np.unique(y)) < 2:
        raise CourseError(f"All training pictures of {data.name} are of one class: there is nothing to tell apart.")
    counts = np.bincount(y)
    usable = np.flatnonzero(counts >= 2)
    if len(usable) < 2:
        raise CourseError(f"Fewer than two classes of {data.name} have two training pictures: label more.")
    most = max(2, MEASURED_ON // len(usable))
    order = np.random.RandomState(seed).permutation(len(y))
    chosen = np.sort(np.concatenate([order[y[order] == label][:most] for label in usable]))
    return data.x_train[chosen], y[chosen]


def _classes(n):
    return "1 class" if n == 1 else f"{n} classes"
