"""A sentence and a table of trainings: does the one follow from the other?"""

from dataclasses import asdict, dataclass
from html import escape

import numpy as np
from scipy import stats

from tlcourse import CourseError

HOLDS, FAILS, OPEN = "holds", "does not hold here", "too close to call"


@dataclass(frozen=True)
class Claim:
    """A numbered sentence with its verdict; shown by a notebook as the verdict and the numbers.

    difference, low, high: the mean difference and its 95 % interval, as fractions;
    None for a claim about a fact. measured: the same in words.
    """

    number: str
    sentence: str
    verdict: str
    measured: str
    difference: float | None = None
    low: float | None = None
    high: float | None = None

    def __str__(self):
        return f"Claim {self.number} {self.verdict}: {self.sentence}\nmeasured: {self.measured}"

    def _repr_mimebundle_(self, include=None, exclude=None):
        html = (
            f"<p><b>Claim {escape(self.number)} {self.verdict}:</b> {escape(self.sentence)}<br>"
            f"<small>measured: {escape(self.measured)}</small></p>"
        )
        # nbval compares no metadata, so the numbers travel there for the report.
        return {"text/plain": str(self), "text/html": html}, {"tlcourse_claim": asdict(self)}


def judge(number, sentence, table, better, than, by=0.0, value="accuracy", **where):
    """Does `better` beat `than` by more than `by`, in a table of `experiments.compare`?

    better, than: a strategy's name, or {column: value, ...} to choose rows by; `than` may
    also be a number. where: further {column: value} that hold for both sides. Rows are
    paired by seed. The interval is the 95 % interval of the mean paired difference by
    Student's t on the differences (scipy.stats.ttest_1samp). The verdict is "holds" when the whole interval lies
    above `by`, "does not hold here" when it lies at or below it, else "too close to call".

    Raises CourseError when a side has no rows, a seed twice, other seeds than
    the other side, fewer than two seeds, or a value that is not a number.
    """
    first = _by_seed(table, better, where, value)
    if isinstance(than, int | float):
        second = first * 0 + than
    else:
        second = _by_seed(table, than, where, value)
    if set(first.index) != set(second.index):
        raise CourseError(f"{better} and {than} were not trained with the same seeds: compare them in one table.")
    if len(first) < 2:
        raise CourseError(f"One seed says nothing about the spread of {better}: train at least two.")
    difference, low, high = interval(first - second.reindex(first.index))
    verdict = HOLDS if low > by else FAILS if high <= by else OPEN
    points = f"{_points(difference)} points, 95 % interval {_points(low)} to {_points(high)}"
    margin = f"; asked for: more than {_points(by)}" if by else ""
    measured = f"{points} ({len(first)} seeds, paired t{margin})"
    return Claim(number, sentence, verdict, measured, difference, low, high)


def fact(number, sentence, true, measured=""):
    """A claim that needs no statistics (a shape, a count, an identity): `true` decides it."""
    return Claim(number, sentence, HOLDS if true else FAILS, measured or "exact, no seeds needed")


def interval(differences):
    """(mean, low, high) of a sample: its mean with the 95 % interval by Student's t."""
    differences = np.asarray(differences, dtype=float)
    mean = float(differences.mean())
    if np.ptp(differences) == 0:  # no spread: t would divide 0 by 0
        return mean, mean, mean
    found = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    return mean, float(found.low), float(found.high)


def _by_seed(table, side, where, value):
    chosen = {"strategy": side} if isinstance(side, str) else dict(side)
    rows = table
    for column, wanted in {**where, **chosen}.items():
        if column not in table:
            raise CourseError(f"The table has no column {column!r}: choose from {', '.join(table.columns)}.")
        rows = rows[rows[column] == wanted]
    if rows.empty:
        raise CourseError(f"The table has no rows for {side} with {where or 'no further condition'}.")
    if rows["seed"].duplicated().any():
        raise CourseError(f"{side} stands more than once for a seed: say which size or target is meant.")
    if not np.isfinite(rows[value].astype(float)).all():
        raise CourseError(f"{side} has a value in {value!r} that is not a number: look at that training first.")
    return rows.set_index("seed")[value].astype(float)


def _points(fraction):
    return f"{100 * fraction:+.1f}"
