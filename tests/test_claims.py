import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter
from nbval.plugin import get_sanitize_patterns
from scipy import stats

from tlcourse import CourseError, claims


def table(**accuracies):
    rows = [
        {"strategy": name, "seed": seed, "size": 100, "accuracy": accuracy}
        for name, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]
    return pd.DataFrame(rows)


A, B = [0.60, 0.62, 0.58, 0.61], [0.51, 0.53, 0.49, 0.50]


def test_the_interval_is_the_paired_one_of_scipy():
    claim = claims.judge("1.1", "A beats B.", table(a=A, b=B), "a", "b")
    wanted = stats.ttest_rel(A, B).confidence_interval(0.95)
    assert claim.verdict == "holds"
    assert np.allclose([claim.difference, claim.low, claim.high], [0.095, wanted.low, wanted.high])
    verdict, numbers = str(claim).splitlines()
    assert verdict == "Claim 1.1 holds: A beats B."
    assert numbers == "measured: +9.5 points, 95 % interval +7.9 to +11.1 (4 seeds, paired t)"


@pytest.mark.parametrize(
    "better, than, by, verdict",
    [
        ("a", "b", 0.0, "holds"),
        ("a", "b", 0.05, "holds"),
        ("a", "b", 0.10, "too close to call"),
        ("a", "b", 0.20, "does not hold here"),
        ("b", "a", 0.0, "does not hold here"),
        ("b", "a", -0.15, "holds"),
        ("a", 0.5, 0.0, "holds"),
        ("a", 0, 0.7, "does not hold here"),
    ],
)
def test_the_three_verdicts(better, than, by, verdict):
    assert claims.judge("1", "s", table(a=A, b=B), better, than, by).verdict == verdict


def test_about_one_in_twenty_intervals_misses_the_truth():
    rng = np.random.default_rng(0)
    missed = sum(not low <= 0.1 <= high for _, low, high in (claims.interval(rng.normal(0.1, 1, 5)) for _ in range(2000)))
    assert 0.035 < missed / 2000 < 0.065


def test_rows_are_paired_by_seed_whatever_their_order():
    shuffled = table(a=A, b=B).sample(frac=1, random_state=0)
    assert claims.judge("1", "s", shuffled, "a", "b") == claims.judge("1", "s", table(a=A, b=B), "a", "b")


def test_sides_may_be_chosen_by_any_column():
    both = pd.concat([table(a=A), table(a=B).assign(size=1000)])
    claim = claims.judge("1", "s", both, {"strategy": "a", "size": 100}, {"strategy": "a", "size": 1000})
    assert claim.verdict == "holds"
    assert claims.judge("1", "s", both, "a", 0, size=1000).difference == pytest.approx(np.mean(B))


def test_equal_differences_have_an_interval_without_width():
    assert claims.interval([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    "rows, better, than, where, said",
    [
        (table(a=A, b=B), "c", "b", {}, "no rows for c"),
        (table(a=A, b=B), "a", "b", {"sise": 100}, "no column 'sise'.*size"),
        (table(a=A, b=B[:3]), "a", "b", {}, "same seeds"),
        (table(a=A[:1], b=B[:1]), "a", "b", {}, "One seed says nothing"),
        (pd.concat([table(a=A)] * 2), "a", 0, {}, "more than once"),
        (table(a=[0.1, float("nan")]), "a", 0, {}, "not a number"),
    ],
)
def test_a_table_that_cannot_be_judged_says_why(rows, better, than, where, said):
    with pytest.raises(CourseError, match=said):
        claims.judge("1", "s", rows, better, than, **where)


def test_a_fact_needs_no_seeds():
    assert claims.fact("2", "s", np.bool_(True)).verdict == "holds"
    assert claims.fact("2", "s", False, "3 of 4").measured == "3 of 4"


def test_a_notebook_shows_the_verdict_and_carries_the_numbers_beside_it():
    claim = claims.judge("1.1", "A <b> & B.", table(a=A, b=B), "a", "b")
    data, metadata = DisplayFormatter().format(claim)
    assert data["text/plain"] == str(claim)
    assert "A &lt;b&gt; &amp; B." in data["text/html"]
    assert metadata["tlcourse_claim"]["verdict"] == "holds"
    assert metadata["tlcourse_claim"]["low"] == claim.low


def test_the_sanitizer_hides_the_numbers_and_nothing_else():
    """nbval compares what is left: verdict and sentence."""
    patterns = get_sanitize_patterns((Path(__file__).parent / "nbval_sanitize.cfg").read_text())

    def compared(claim, key):
        text = claim._repr_mimebundle_()[0][key]
        for regex, replacement in patterns:
            text = re.sub(regex, replacement, text)
        return text

    first = claims.judge("1", "s", table(a=A, b=B), "a", "b")
    other = claims.judge("1", "s", table(a=B, b=np.array(B) - 0.3 + np.arange(4) / 100), "a", "b")
    fails = claims.judge("1", "s", table(a=B, b=A), "a", "b")
    assert first.measured != other.measured
    for key in ("text/plain", "text/html"):
        assert compared(first, key) == compared(other, key)
        assert compared(first, key) != compared(fails, key)
