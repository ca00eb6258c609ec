"""The axes, the rule and the advice, and what bad data sets get for an answer."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tlcourse import CourseError, backbones, datasets, fourcases, strategies


@pytest.fixture(scope="module")
def backbone():
    return backbones.load("VGG16", "mini", size=32, until="block4")


@pytest.fixture(scope="module")
def things():
    return datasets.load("drawn10")


def with_labels(data, y, classes=None):
    y = np.asarray(y)
    return replace(data, x_train=data.x_train[: len(y)], y_train=y, classes=classes or data.classes)


def with_split(data, n):
    split = datasets.sample(data, n)
    return replace(data, x_train=split.x_train, y_train=split.y_train)


def cases(n=40, seed=0):
    """Cases in which a probe is best below 20 pictures a class, and fine-tuning above, whatever the similarity."""
    rng = np.random.RandomState(seed)
    table = pd.DataFrame({
        "backbone": "b", "target": [f"set{i % 4} variant{i % 3}" for i in range(n)],
        "per_class": rng.choice([2, 5, 10, 30, 100], n), "similarity": rng.rand(n),
    })  # fmt: skip
    small = table["per_class"] < 20
    for name in fourcases.STRATEGIES:
        table[name] = 0.5
    for name in ("linear probe", "earlier probe"):
        table[[f"{name}: tried", f"{name}: error"]] = np.nan
    table["linear probe"] = np.where(small, 0.7, 0.6)
    table["fine-tune all"] = np.where(small, 0.6, 0.9)
    return table


def test_a_rule_finds_the_thresholds_that_cost_nothing():
    table = cases()
    rule = fourcases.fitted(table)
    assert rule.large_from == 20
    assert {rule.advice["small", kind] for kind in fourcases.KINDS} == {"linear probe"}
    assert {rule.advice["large", kind] for kind in fourcases.KINDS} == {"fine-tune all"}
    assert fourcases.losses(table, rule.advise(table)).max() == 0
    assert rule.place(20, rule.similar_from) == ("large", "similar")
    assert rule.place(19.9, rule.similar_from - 1e-9) == ("small", "different")


def test_losses_are_points_behind_the_best():
    table = cases()
    lost = fourcases.losses(table, ["fine-tune all"] * len(table))
    assert np.allclose(lost, np.where(table["per_class"] < 20, 0.1, 0))


def test_held_out_advice_never_saw_the_data_set_it_is_for():
    table = cases(80)
    one = table["target"].str.startswith("set0")
    changed = table.copy()
    changed.loc[one, "scratch"] = 1.0
    for held_out in (fourcases.held_out, fourcases.held_out_fields):
        before, after = np.array(held_out(table)), np.array(held_out(changed))
        assert "scratch" not in after[one] and (after[one] == before[one]).all()
    other = table.assign(backbone="c", scratch=1.0)
    assert set(fourcases.held_out(table, known=other)) == {"scratch"}
    known = other.assign(scratch=np.where(one, 1.0, 0.0))
    assert "scratch" not in np.array(fourcases.held_out(table, known=known))[one]


def test_the_usual_strategy_gives_way_to_a_probe_that_was_surely_better():
    known = cases()  # without a trial: nothing is learned about one, and the most cautious threshold stays
    assert fourcases.learned(known) == ("fine-tune all", "fine-tune all", max(fourcases.SURENESS))
    for tried, wanted in (
        (None, "fine-tune all"),
        ({"linear probe": (0.08, 0.03), "earlier probe": (-0.1, 0.03)}, "fine-tune all"),
        ({"linear probe": (0.10, 0.03), "earlier probe": (-0.1, 0.03)}, "linear probe"),
        ({"linear probe": (0.10, 0.03), "earlier probe": (0.15, 0.04)}, "earlier probe"),
        ({"linear probe": (0.0, 0.0), "earlier probe": (0.0, 0.0)}, "fine-tune all"),
    ):
        assert fourcases.advise([tried], known) == [wanted]


def test_the_threshold_is_learned_from_the_trials_of_the_known_cases():
    known = cases()
    small = known["per_class"] < 20  # where the linear probe is best
    known["linear probe: tried"], known["earlier probe: tried"] = np.where(small, 0.04, 0.01), -0.1
    known["linear probe: error"], known["earlier probe: error"] = 0.03, 0.03
    known.loc[known["per_class"] == 2, ["linear probe: tried", "linear probe: error"]] = np.nan
    without, usual, threshold = fourcases.learned(known)
    assert (without, usual) == ("linear probe", "fine-tune all") and 0.01 / 0.03 <= threshold < 0.04 / 0.03
    assert fourcases.losses(known, fourcases.advise(fourcases.tried_of(known), known)).max() == 0


def test_too_few_cases_for_a_rule_is_a_sentence():
    with pytest.raises(CourseError, match="at least 4 measured cases"):
        fourcases.fitted(cases(6))


def test_the_shipped_evidence_is_whole():
    table = fourcases.evidence()
    assert {"backbone", "target", "per_class", "similarity", *fourcases.STRATEGIES} <= set(table)
    assert len(fourcases.tried_of(table)) == len(table) and any(fourcases.tried_of(table))
    assert len(table) >= 40 and table[list(fourcases.STRATEGIES)].apply(lambda c: c.between(0, 1)).all().all()
    assert (table["similarity"] > 0).all() and (table["per_class"] > 0).all()
    families = table["target"].str.split().str[0].unique()
    assert {"drawn10", "mnist", "drawn_smiles", "cifar10", "smiles"} <= set(families)


def test_the_axes_of_drawn_things(backbone, things):
    part = with_split(things, 200)
    found = fourcases.measure(part, backbone)
    assert (found["pictures"], found["classes"], found["per_class"], found["chance"]) == (200, 10, 20, 0.1)
    assert list(found["blocks"]) == list(backbone.blocks) and found["earlier"] in ("block1", "block2", "block3")
    assert found["similarity"] > 0.9 and found["blocks"]["block4"][0] > found["random"] + 0.1
    assert fourcases.measure(part, backbone) == found, "the same seed, the same numbers"


def test_without_shapes_the_top_knows_less_than_an_earlier_block(things):
    """Pictures of nothing but a fine stripe pattern, whose direction is the label: block 1 or 2 sees it best."""
    rng, y = np.random.RandomState(0), np.arange(200) % 4
    x = rng.randint(0, 256, (200, 32, 32, 3))
    shift = [(0, 1), (1, 0), (1, 1), (1, -1)]
    x = np.stack([(each + np.roll(each, shift[label], (0, 1))) // 2 for each, label in zip(x, y)]).astype("uint8")
    whole = backbones.load("VGG16", "mini", size=32)
    found = fourcases.measure(replace(things, x_train=x, y_train=y, classes=tuple("abcd")), whole)
    assert found["similarity"] < 0.6 and found["earlier"] in ("block1", "block2")


def test_where_nothing_is_known_similarity_says_nothing(backbone, things):
    y = np.random.RandomState(0).permutation(np.arange(40) % 10)
    assert 0.5 < fourcases.measure(with_labels(things, y), backbone)["similarity"] < 2


def test_the_advice_has_reasons_a_confidence_and_a_table(backbone, things):
    found = fourcases.recommend(with_split(things, 100), backbone, with_trial=False)
    assert found.strategy in fourcases.STRATEGIES and 0 <= found.confidence <= 1 and found.lost >= 0
    text, html = repr(found), found._repr_html_()
    for part in ("advice", "large and", "10 labelled pictures a class", "similarity", "control", "confidence", found.strategy):
        assert part in text and part in html
    assert (found.at is None) == ("probe" not in found.strategy)
    assert found.tried == {} and "trial" not in text and found.strategy == fourcases.learned(fourcases.evidence())[1]


@pytest.fixture(scope="module")
def tiny():
    return backbones.load("VGG16", "mini", size=32, until="block2")


def two_kinds(per_class):
    """Bright and dark noise: any probe knows them apart."""
    y = np.arange(2 * per_class) % 2
    x = np.random.RandomState(0).randint(0, 80, (len(y), 32, 32, 3)) + 150 * y[:, None, None, None]
    return datasets.Dataset("kinds", x.astype("uint8"), y, x[:2].astype("uint8"), y[:2], ("dark", "bright"), "made")


def test_a_trial_compares_probes_with_fine_tuning_on_held_out_pictures(tiny):
    found = fourcases.trial(two_kinds(12), tiny)
    assert list(found) == ["linear probe", "earlier probe"]
    for mean, error in found.values():
        assert -1 <= mean <= 1 and 0 <= error <= 0.5
    said = fourcases.recommend(two_kinds(12), tiny)
    assert said.tried == found and "against fine-tune all, give or take" in repr(said)


def test_too_few_pictures_for_a_trial(tiny):
    with pytest.raises(CourseError, match="at least 5 training pictures of each class"):
        fourcases.trial(two_kinds(4), tiny)
    assert fourcases.recommend(two_kinds(4), tiny).tried is None


def test_a_trial_leaves_classes_out_that_cannot_be_measured(tiny):
    data = two_kinds(12)
    y = data.y_train * 2
    y[0] = 1  # one picture of a third class
    found = fourcases.recommend(replace(data, y_train=y, classes=("dark", "odd", "bright")), tiny)
    assert found.tried and "1 class with a single picture" in repr(found)


def test_only_training_pictures_count(backbone, things):
    part = with_split(things, 50)
    blind = replace(part, x_test=part.x_test[:1] * 0, y_test=part.y_test[:1])
    assert fourcases.measure(part, backbone) == fourcases.measure(blind, backbone)


@pytest.mark.parametrize(
    ("y", "classes", "sentence"),
    [
        ([0] * 20, ("a",), "one class"),
        ([3] * 20, None, "one class"),
        ([0, 1, 2], None, "3 training pictures for 10 classes"),
        ([], None, "0 training pictures for 10 classes"),
        ([0] * 19 + [1], ("a", "b"), "two training pictures"),
        ([0, 1, 2, 7] * 5, ("a", "b", "c"), "labels from 0 to 7"),
        ([-1, 0, 1] * 5, ("a", "b", "c"), "labels from -1"),
        ([0.5, 1.5] * 5, ("a", "b"), "whole number"),
    ],
)
def test_data_without_an_answer_gets_a_sentence(backbone, things, y, classes, sentence):
    for work in (fourcases.measure, fourcases.recommend, fourcases.trial):
        with pytest.raises(CourseError, match=sentence):
            work(with_labels(things, y, classes), backbone)


def test_a_class_with_one_picture_and_one_without_are_left_out_and_said(backbone, things):
    y = [0, 1] * 10 + [2]
    found = fourcases.recommend(with_labels(things, y, ("a", "b", "c", "d")), backbone, with_trial=False)
    assert "1 class with a single picture" in repr(found) and "1 class without a training picture" in repr(found)
    assert found.measured["classes"] == 2


def test_heavy_imbalance_is_said_and_does_not_look_like_success(backbone, things):
    y = np.array([0] * 190 + [1] * 10)
    part = with_labels(things, np.random.RandomState(0).permutation(y), ("a", "b"))
    found = fourcases.recommend(part, backbone, with_trial=False)
    assert "95% are of one class" in repr(found)
    assert found.measured["blocks"]["block4"][0] < 0.75, "always the commonest class would be 95 % in plain accuracy"


def test_labels_and_pictures_of_different_lengths(backbone, things):
    with pytest.raises(CourseError, match="label for each"):
        fourcases.measure(replace(things, y_train=things.y_train[:-1]), backbone)


def test_a_backbone_with_one_block_has_no_earlier_one(things):
    one = backbones.load("VGG16", "mini", size=32, until="block1")
    part = with_split(things, 50)
    assert fourcases.measure(part, one)["earlier"] == "block1"
    assert list(fourcases.trial(two_kinds(12), one)) == ["linear probe"]
    with pytest.raises(CourseError, match="no earlier block"):
        strategies.earlier_probe(one)


def test_the_earlier_probe_is_chosen_on_training_pictures_and_never_the_last_block(backbone, things):
    split = datasets.sample(things, 100)
    found = strategies.earlier_probe(backbone)(split, 0)
    scores = {at: strategies.cross_validated(fourcases.features.extract(backbone, split.x_train, at), split.y_train).mean()
              for at in ("block1", "block2", "block3")}  # fmt: skip
    assert found.at == max(scores, key=scores.get)
    with pytest.raises(CourseError, match="two classes"):
        strategies.linear_probe(backbone)(replace(split, y_train=split.y_train * 0), 0)
    with pytest.raises(CourseError, match="two pictures each"):
        strategies.earlier_probe(backbone)(replace(split, y_train=np.arange(100)), 0)


def test_confidence_does_not_come_from_cases_of_the_own_data_set(tiny):
    """On the cases that the advice was learned from it would look surer than it is."""
    table, found = fourcases.evidence(), fourcases.recommend(two_kinds(10), tiny, with_trial=False)
    lost = fourcases.near(table.assign(lost=fourcases.losses(table, fourcases.held_out(table))), 10)["lost"]
    assert found.confidence == np.mean(lost <= 0.01) and found.lost == lost.mean()
