"""Small or large, similar or different: where a data set stands, measured, and a strategy for it.

The folk table of transfer learning has two axes and four fields. Here both axes are measured (`measure`), the fields are
fitted to what training every strategy on many targets gave (`evidence`, `fitted`), and the advice does not rest
on them, for they lose more on unseen data sets than a trial on the learner's own pictures (`recommend`).
"""

import itertools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedKFold

from tlcourse import CourseError, backbones, datasets, features, progress, strategies
from tlcourse.claims import interval
from tlcourse.quiet import keras

layers = keras.layers

STRATEGIES = ("linear probe", "earlier probe", "fine-tune top", "fine-tune all", "scratch")
PROBES = STRATEGIES[:2]
SIZES, KINDS = ("small", "large"), ("similar", "different")
MEASURED_ON = 1000  # pictures at most: more change the numbers little, and cost seconds
FEWEST = 4  # cases in a field of a rule
SURENESS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)  # standard errors; candidates for the threshold of `learned`
FEWEST_TRIED = 5  # pictures a class in a trial
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
    each of STRATEGIES, means over seeds; of `trial` the differences ("PROBE: tried") and standard errors ("PROBE: error"),
    empty where there are too few pictures; and further candidates for similarity (gain, avoided, frechet).
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


def held_out_fields(cases):
    """The advice for each case of a Rule that was fitted without all cases of the same data set, as a list."""
    return _without_the_own(cases, lambda known, asked: fitted(known).advise(asked))


def held_out(cases, known=None):
    """The advice of `recommend` for each case, as a list, given without knowing any case of the same data set.

    cases: a table like `evidence`. known: the cases that may be known instead of those in `cases`, of another backbone, say.
    """
    return _without_the_own(cases, lambda others, asked: advise(tried_of(asked), others), known)


def _without_the_own(cases, advice, known=None):
    """advice(others, asked) for the cases of each data set in turn; others: the known cases of other data sets."""
    known = cases if known is None else known
    family, found = _family(cases), pd.Series("", cases.index)
    for name in family.unique():
        found[family == name] = advice(known[_family(known) != name], cases[family == name])
    return list(found)


def _family(cases):
    """The data set of each case, the first word of its target: variants and subsets go together."""
    return cases["target"].str.split().str[0]


def _lost(cases):
    accuracies = cases[list(STRATEGIES)]
    return accuracies.rsub(accuracies.max(axis=1), axis=0)


def _between(values):
    """Midpoints of the distinct values: the thresholds that tell them apart."""
    distinct = np.unique(values)
    return (distinct[1:] + distinct[:-1]) / 2


@dataclass(frozen=True, eq=False)
class Recommendation:
    """What `recommend` says.

    strategy: one of STRATEGIES. at: the block whose features a probe takes; None for the others.
    reasons: ((about what, a sentence with the numbers), ...). confidence: the fraction, 0-1, of the measured cases of
        about this size in which such advice, held out by data set, came within a point of the best strategy. lost: the
        accuracy that it lost there on average. measured: what `measure` gave; tried: what `trial` gave, None where there are too few pictures for one.
    """

    strategy: str
    at: str | None
    reasons: tuple
    confidence: float
    lost: float
    measured: dict
    tried: dict | None

    def table(self):
        """The same as a small DataFrame."""
        sure = f"{self.confidence:.0%} of the measured cases of this size within a point of the best; mean loss {100 * self.lost:.1f} points."
        rows = [("advice", f"{self.strategy} at {self.at}" if self.at else self.strategy), *self.reasons, ("confidence", sure)]
        return pd.DataFrame(rows, columns=["", "says"]).set_index("")

    def __repr__(self):
        return "\n".join(f"{name:<12}{text}" for name, text in self.table()["says"].items())

    def _repr_html_(self):
        return self.table().to_html(header=False)


def measure(data, backbone, seed=0):
    """Where the training pictures of a Dataset stand, by a linear probe's balanced accuracy in cross-validation.

    Returns a dict: pictures, classes (with at least two pictures), per_class (the median), largest (the commonest class's
    fraction), fewest (pictures of the rarest of them), alone (classes with one picture), chance (1 / classes), random (accuracy on the top features of the untrained network), blocks
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
        "fewest": int(counts[counts > 1].min()),
        "alone": int(np.sum(counts == 1)),
        "chance": chance,
        "random": float(random),
        "blocks": {at: interval(scores) for at, scores in found.items()},
        "earlier": earlier,
        "similarity": float(_beyond(found[last], chance, noise) / _beyond(found[earlier], chance, noise)),
    }


def _beyond(scores, chance, noise):
    return max(scores.mean() - chance, 0) + noise


def ways(backbone, data, size):
    """{name: strategy} of the five STRATEGIES for a Dataset with `size` training pictures, see `tlcourse.strategies`.

    Fine-tuning begins with 100 epochs of the head alone (LP-FT; Kumar et al., 2022) and goes on for about 120 steps of 32
    pictures, but 4 to 30 epochs, with Adam at 3e-4; scratch is a LeNet (LeCun et al., 1998).
    """
    classes, shape, steps = len(data.classes), data.x_train.shape[1:], -(-size // 32)
    blocks = list(backbone.blocks)

    def head():
        return keras.Sequential([
            layers.GlobalAveragePooling2D(), layers.Dropout(0.3), layers.Dense(classes, activation="softmax"),
        ])  # fmt: skip

    def lenet():
        return keras.Sequential([
            keras.Input(shape), layers.Rescaling(1 / 255),
            layers.Conv2D(6, 5, activation="relu"), layers.MaxPooling2D(),
            layers.Conv2D(16, 5, activation="relu"), layers.MaxPooling2D(), layers.Flatten(),
            layers.Dense(120, activation="relu"), layers.Dense(84, activation="relu"), layers.Dense(classes, activation="softmax"),
        ])  # fmt: skip

    fine = {"epochs": int(np.clip(120 // steps, 4, 30)), "probe_epochs": 100, "learning_rate": 3e-4}
    earlier = {"earlier probe": strategies.earlier_probe(backbone, c=C)} if len(blocks) > 1 else {}
    return {
        "linear probe": strategies.linear_probe(backbone, c=C),
        **earlier,
        "fine-tune top": strategies.fine_tune(backbone, head, blocks[-1], **fine),
        "fine-tune all": strategies.fine_tune(backbone, head, blocks[0], **fine),
        "scratch": strategies.scratch(lenet, epochs=int(np.clip(600 // steps, 20, 60))),
    }


def trial(data, backbone, seed=0):
    """Does a probe beat fine-tuning everything, on held-out thirds of the training pictures of a Dataset?

    Each strategy is trained on two thirds and asked about the rest; three times where there are no more than
    300 pictures, else once. It trains for seconds with a mini, for minutes with a network of full width.

    Returns {probe: (difference in balanced accuracy to "fine-tune all", its standard error)}.
    Raises CourseError as `measure` does, and where a class has fewer than FEWEST_TRIED pictures.
    """
    x, y = _some(data, seed)
    labels, y = np.unique(y, return_inverse=True)
    if np.bincount(y).min() < FEWEST_TRIED:
        raise CourseError(f"A trial needs at least {FEWEST_TRIED} training pictures of each class of {data.name}: label more.")
    made = ways(backbone, replace(data, classes=tuple(labels)), len(y) * 2 // 3)
    tried = {name: np.full(len(y), np.nan) for name in (*PROBES, "fine-tune all") if name in made}
    parts = list(StratifiedKFold(3, shuffle=True, random_state=seed).split(x, y))
    parts = parts if len(y) <= 300 else parts[:1]
    for (train, held), name in progress.track([(part, name) for part in parts for name in tried], "Trial"):
        model = made[name](datasets.Split(x[train], y[train], x[:0], y[:0]), seed)
        tried[name][held] = model.predict(x[held]) == y[held]
    asked = np.concatenate([held for _, held in parts])
    weights = 1 / (np.bincount(y[asked])[y[asked]] * len(labels))  # every class counts as much
    found = {}
    for name in [name for name in PROBES if name in tried]:
        differences = (tried[name] - tried["fine-tune all"])[asked]
        mean = float(weights @ differences)
        found[name] = mean, float(np.sqrt(weights**2 @ (differences - mean) ** 2))
    return found


def advise(tried, known):
    """What `recommend` says of some cases, as a list of strategies.

    tried: what `trial` gave for each of the cases, None where there are too few pictures for one. known: a table like
    `evidence`, which sets what is usual and how sure a trial must be; see `learned`.
    """
    return _said(tried, *learned(known))


def learned(known):
    """(the usual strategy without a trial, that with one, a threshold): what some cases teach, a table like `evidence`.

    The usual strategy is the one that lost least in the cases with, or without, a trial. A probe takes its place when it beat
    fine-tuning everything by more than `threshold` standard errors in the trial: of SURENESS, the one with which
    that advice loses least.
    """
    tried, lost = tried_of(known), _lost(known)
    with_trial = np.array([found is not None for found in tried])
    usual = [lost[chosen].mean().idxmin() if chosen.any() else lost.mean().idxmin() for chosen in (~with_trial, with_trial)]
    return *usual, min(reversed(SURENESS), key=lambda threshold: losses(known, _said(tried, *usual, threshold)).mean())


def _said(tried, usual_without, usual, threshold):
    advice = []
    for found in tried:
        surely = {name: mean for name, (mean, error) in (found or {}).items() if mean > threshold * error}
        advice.append(usual_without if found is None else max(surely, key=surely.get) if surely else usual)
    return advice


def near(cases, per_class):
    """The cases whose size, in pictures a class, is nearest to a given one on a logarithmic scale."""
    far = np.abs(np.log(cases["per_class"] / per_class))
    return cases[np.isclose(far, far.min())]


def tried_of(cases):
    """What `trial` gave for each row of a table like `evidence`, as `advise` takes it: a list of dicts and Nones."""
    found = []
    for _, case in cases.iterrows():
        pairs = {name: (case[f"{name}: tried"], case[f"{name}: error"]) for name in PROBES}
        found.append(None if np.isnan(sum(sum(pair) for pair in pairs.values())) else pairs)
    return found


def recommend(data, backbone, seed=0, with_trial=True):
    """A strategy for a Dataset on a Backbone, with its reasons, by measuring (`measure`) and trying (`trial`).

    Only the training pictures are looked at. with_trial=False leaves the trial out, and so do classes with
    fewer than FEWEST_TRIED pictures. It prints as a small table. Raises CourseError as `measure` does.
    """
    found, cases = measure(data, backbone, seed), evidence()
    enough = found["fewest"] >= FEWEST_TRIED
    tried = None if not enough else trial(data, backbone, seed) if with_trial else {}
    strategy = advise([tried], cases)[0]
    held = cases.assign(lost=losses(cases, held_out(cases)))  # in-sample, it would look surer than it is
    lost = near(held, found["per_class"])["lost"]
    at = {"linear probe": list(backbone.blocks)[-1], "earlier probe": found["earlier"]}.get(strategy)
    reasons = _reasons(data, backbone, found, tried)
    return Recommendation(strategy, at, reasons, float(np.mean(lost <= 0.01)), float(lost.mean()), found, tried)


def _reasons(data, backbone, found, tried):
    """((about what, a sentence with the numbers), ...)."""
    last, earlier = list(backbone.blocks)[-1], found["earlier"]
    means = {at: each[0] for at, each in found["blocks"].items()}
    *usual, threshold = learned(evidence())
    rule = fitted(evidence())
    said = [
        ("case", f"{' and '.join(rule.place(found['per_class'], found['similarity']))}, if large is {rule.large_from:.0f} pictures a "
                 f"class or more, and similar {rule.similar_from:.2f} or more."),
        ("size", f"{found['per_class']:.0f} labelled pictures a class; in such cases {usual[tried is not None]} lost least."),
        ("similarity", f"{found['similarity']:.2f}: {last} says {means[last]:.0%} of held-out labels, {earlier} {means[earlier]:.0%}, "
                       f"guessing {found['chance']:.0%}."),
        ("control", f"random weights say {found['random']:.0%}; pretraining adds {100 * (max(means.values()) - found['random']):+.0f} points."),
    ]  # fmt: skip
    for name, (mean, error) in (tried or {}).items():
        said.append(("trial", f"{name} {100 * mean:+.1f} points against fine-tune all, give or take {100 * error:.1f}; "
                              f"it takes over from {threshold:g} times that on."))
    if found["largest"] > 2 * found["chance"] or found["largest"] > 0.8:
        said.append(("balance", f"{found['largest']:.0%} are of one class: weight the classes, and do not trust plain accuracy."))
    alone, empty = found["alone"], len(data.classes) - len(np.unique(data.y_train))
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
