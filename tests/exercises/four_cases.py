"""Known wrong answers to exercise 06, and what is to be said of them."""

from textwrap import dedent

WRONG = {}


def wrong(question, source, because):
    WRONG.setdefault(question, []).append((dedent(source), because))


CUT = """
    def choose_cut(train, y_train, test, y_test):
        scores = {{b: {score} for b in train}}
        best = max(scores, key=scores.get)
        return best, {accuracy}
    """
CROSSED = "cross_val_score(probe, train[b], y_train, cv=5).mean()"
ON_TEST = "probe.fit(train[best], y_train).score(test[best], y_test)"
for score, accuracy, because in (
    ("probe.fit(train[b], y_train).score(test[b], y_test)", ON_TEST, "the test pictures had a say"),
    ("probe.fit(train[b], y_train).score(train[b], y_train)", ON_TEST, "by heart"),
    ("b", ON_TEST, "the top block was taken"),
    (CROSSED, "scores[best]", "that is the accuracy in cross-validation"),
    (CROSSED, "probe.fit(train[best], y_train).score(train[best], y_train)", "on the training pictures"),
    (CROSSED, "probe.fit(test[best], y_test).score(test[best], y_test)", "was trained on the test pictures"),
):
    wrong("q1", CUT.format(score=score, accuracy=accuracy), because)
wrong("q1", "def choose_cut(train, y_train, test, y_test):\n    return 'block2'", "two things are asked for")

VERDICT = """
    def verdict(table, advised):
        by_seed = table.pivot(index="seed", columns="strategy", values="accuracy"){strategies}
        other = by_seed{others}.idxmax()
        a, b = by_seed[advised], by_seed[other]
        low, high = {interval}
        said = "agrees" if {agrees} else "disagrees" if {disagrees} else "too close to call"
        return {{"other": other, "low": low, "high": high, "verdict": {single}}}
    """
GOOD = {
    "strategies": "[STRATEGIES]", "others": ".drop(columns=advised).mean()", "interval": "interval(a - b)[1:]",
    "agrees": "low > 0", "disagrees": "high < 0", "single": 'said if len(a) > 1 else "too close to call"',
}  # fmt: skip
for change, because in (
    ({"strategies": ""}, "is a control"),
    ({"others": ".mean()"}, "compared with itself"),
    ({"others": ".drop(columns=advised).max()"}, "best mean over the seeds"),
    ({"interval": "[(a - b).mean() + s * 1.96 * (a - b).std() / len(a) ** 0.5 for s in (-1, 1)]"}, "Student's t"),
    ({"interval": "[(a - b).mean() + s * (a - b).std() for s in (-1, 1)]"}, "spread of single seeds"),
    ({"interval": "__import__('scipy').stats.ttest_ind(a, b).confidence_interval(0.95)"}, "the seeds are not paired"),
    ({"interval": "interval(b - a)[1:]"}, "upside down"),
    ({"agrees": "low + high > 0", "disagrees": "low + high < 0"}, "zero lies in the interval"),
    ({"single": "said"}, "of a single seed"),
    ({"interval": "interval(*[np.subtract(*[table[table['strategy'] == n]['accuracy'].to_numpy() "
                  "for n in (advised, other)])])[1:]"}, "by their place in the table"),
):  # fmt: skip
    wrong("q2", VERDICT.format(**GOOD | change), because)

CHEAPEST = """
    def cheapest(table):
        by_seed = table.pivot(index="seed", columns="strategy", values="accuracy"){strategies}
        seconds = table.groupby("strategy")["seconds"].{average}()
        best, mean, names = by_seed.mean().idxmax(), by_seed.mean(), list(by_seed)
        as_good = [name for name in names if {good}]
        return min(as_good, key=seconds.get)
    """
PAIRED = "interval(by_seed[best] - by_seed[name])[1] <= 0"
for strategies, average, good, because in (
    ("[STRATEGIES]", "mean", "True", "the cheapest of all"),
    ("[STRATEGIES]", "mean", "name == best", "the best mean has its price"),
    ("[STRATEGIES]", "mean", "interval(by_seed[name])[2] >= interval(by_seed[best])[1]", "that two intervals overlap"),
    ("[STRATEGIES]", "mean", "mean[name] > mean[best] - 0.01", "a small difference can be a sure one"),
    ("", "mean", PAIRED, "is a control"),
    ("[STRATEGIES]", "mean", PAIRED + " and name != best or len(names) < 2", "your code stopped with ValueError"),
    ("[STRATEGIES]", "min", PAIRED, "compare the mean seconds"),
):
    wrong("q3", CHEAPEST.format(strategies=strategies, average=average, good=good), because)

SIMILARITY = """
    def similarity(known, classes):
        *earlier, top = known.values()
        chance = 1 / classes
        {last}
    """
RATIO = "return (top - chance) / ({} - chance) if {} > chance else np.nan"
for last, because in (
    ("return top / max(earlier)", "guessing is not taken off"),
    ("return top / max(earlier) - chance", "off the result"),
    (RATIO.format("max(known.values())", "max(known.values())"), "counted among the earlier blocks"),
    (RATIO.format("earlier[-1]", "max(earlier)"), "just below the top"),
    (RATIO.format("np.mean(earlier)", "max(earlier)"), "not their mean"),
    ("chance = 0.1; " + RATIO.format("max(earlier)", "max(earlier)"), "depends on the number of classes"),
    ("return (max(earlier) - chance) / (top - chance)", "upside down"),
    ("return (top - chance) / (max(earlier) - chance)", "a ratio to nothing"),
):
    wrong("q4", SIMILARITY.format(last=last), because)

REGRETS = """
    def regrets(cases):
        lost = {lost}
        inside, held = [], []
        for place, case in cases.iterrows():
            field = cases["field"] == case["field"]
            others = {others}
            inside.append({scored}.loc[place, lost[{inside}].mean().idxmin()])
            held.append({scored}.loc[place, lost[others].mean().idxmin()])
        return {{"in sample": {times}np.mean(inside), "held out": {times}np.mean(held)}}
    """
RIGHT = {
    "lost": "cases[STRATEGIES].rsub(cases[STRATEGIES].max(axis=1), axis=0)", "inside": "field", "times": "",
    "others": 'field & (cases["data_set"] != case["data_set"])', "scored": "lost",
}  # fmt: skip
for change, because in (
    ({"others": "field"}, "nothing was held out"),
    ({"others": "field & (cases.index != place)"}, "only the case itself was held out"),
    ({"others": 'field & (cases["target"] != case["target"])'}, "only the target was held out"),
    ({"others": 'field & (cases["data_set"] == case["data_set"])'}, "instead of to the others"),
    ({"others": 'cases["data_set"] != case["data_set"]'}, "for all fields"),
    ({"inside": "field | True"}, "one strategy was advised for all"),
    ({"times": "100 * "}, "a regret is a fraction here"),
    ({"times": "-"}, "cannot be negative"),
    ({"scored": "cases"}, "the accuracy of the advice"),
):
    wrong("q5", REGRETS.format(**RIGHT | change), because)
