import matplotlib

matplotlib.use("Agg")

import time
import types

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from tlcourse import CourseError, fourcases, widgets

FACTS = pd.DataFrame({"features": ["16", "32"], "cost <1>": ["1 %", "30 %"]}, index=["block1", "block2"])


@pytest.fixture
def table():
    rows = [(s, t, f"block{b}", seed, 0.2 * b + 0.1 * (s == "pretrained") + seed / 100)
            for s in ("pretrained", "random") for t in ("pictures", "digits") for b in (1, 2) for seed in range(3)]  # fmt: skip
    return pd.DataFrame(rows, columns=["strategy", "target", "block", "seed", "accuracy"])


@pytest.fixture
def box(monkeypatch):
    """What is displayed from now on."""
    found = []
    monkeypatch.setattr(widgets, "display", found.append)
    yield found
    plt.close("all")


def parts(box):
    """The controls by their label, and the page below them."""
    *controls, page = box[0].children
    return {control.description: control for control in controls}, page


def said(page):
    return "".join(page.value)


def answer(control, value, page):
    """Set a control, and give the page that it leads to, which has to come at once."""
    start = time.perf_counter()
    control.value = value
    assert time.perf_counter() - start < 1
    return said(page)


def test_a_guess_is_shown_beside_what_was_measured_also_when_it_is_made_later(monkeypatch):
    shown = []
    handle = types.SimpleNamespace(update=lambda data, raw: shown.append(data))
    monkeypatch.setattr(widgets, "display", lambda data, **_: shown.append(data) or handle)
    control = widgets.guess("Which?", ["better", "worse"])
    assert control.value is None
    widgets.reveal(control, "+3 < 5 points")
    assert shown[-1]["text/plain"] == "You made no guess.\nMeasured: +3 < 5 points"
    control.value = "worse"
    assert shown[-1]["text/plain"].startswith("You guessed: worse") and "+3 &lt; 5 points" in shown[-1]["text/html"]
    widgets.reveal("better", "+3 points")
    assert shown[-1]["text/plain"] == "You guessed: better\nMeasured: +3 points"


def test_wrong_predictions_the_surest_first_and_by_class(box):
    x, y = np.zeros((4, 8, 8, 1), "uint8"), np.array([1, 0, 2, 1])
    scores = np.array([[0.9, 0.1, 0.0], [0.8, 0.2, 0.0], [0.3, 0.7, 0.0], [0.6, 0.4, 0.0]])
    widgets.mistakes(x, y, scores, ["cat", "dog", "<ant>"])
    controls, page = parts(box)
    assert controls["really"].options == ["any class", "dog", "<ant>"]
    assert controls["mistake"].options == ["1 of 3", "2 of 3", "3 of 3"]
    assert "Really dog, taken for cat, 90% sure." in said(page)
    assert "Really <ant>, taken for dog, 70% sure." in answer(controls["mistake"], "2 of 3", page)
    assert "Really dog, taken for cat, 90% sure." in answer(controls["really"], "dog", page)
    assert controls["mistake"].options == ["1 of 2", "2 of 2"] and controls["mistake"].value == "1 of 2"
    assert "60% sure" in answer(controls["mistake"], "2 of 2", page)
    with pytest.raises(CourseError, match="No prediction is wrong"):
        widgets.mistakes(x, scores.argmax(axis=1), scores, ["cat", "dog", "<ant>"])


def test_a_layer_is_shown_with_its_strongest_channels_and_their_filters(box):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (2, 8, 8, 3)).astype("uint8")
    maps = {"conv1": np.zeros((2, 8, 8, 4)), "conv2": rng.normal(size=(2, 4, 4, 10))}
    maps["conv1"][0, ..., 2], maps["conv1"][1, ..., 3] = 1, 1
    kernels = {"conv1": rng.normal(size=(3, 3, 3, 4)), "conv2": rng.normal(size=(3, 3, 4, 10))}
    widgets.activations(pictures, maps, kernels)
    controls, page = parts(box)
    assert "conv1: 4 channels of 8×8; 75% of the values are 0 or less. Strongest: 2, 0, 1, 3; filters of 3×3×3." in said(page)
    assert "Strongest: 3, 0, 1, 2" in answer(controls["picture"], "2", page)
    found = answer(controls["layer"], "conv2", page)
    assert "10 channels of 4×4" in found and found.count("<img") == 1 + 2 * 8 and found.count("alt=") == found.count("<img")


def test_a_filter_is_grey_at_zero_and_of_many_slices_the_largest_is_shown():
    weights = np.zeros((1, 1, 4))
    weights[..., 2] = -3
    assert widgets._filter(weights).tolist() == [[0]] and widgets._filter(0 * weights).tolist() == [[127]]
    assert widgets._filter(np.array([[[1.0, 0, -1]]])).tolist() == [[[255, 127, 0]]]


@pytest.mark.parametrize("kind", [dict, pd.Series])
def test_boxes_open_and_freeze_and_the_count_moves(box, kind):
    widgets.freezing(kind({"block1": 900, "block2": 3000, "head": 100}), opened=["head"])
    controls, page = parts(box)
    assert "Trained: 100 of 4,000 parameters (2.5%). Run once and kept: block1, block2." in said(page)
    assert "Trained: 3,100 of 4,000 parameters (77.5%). Run once and kept: block1." in answer(controls["block2"], True, page)
    assert "Nothing can be run once and kept." in answer(controls["block1"], True, page)
    for name in controls:
        controls[name].value = False
    assert "Trained: 0 of 4,000" in said(page) and "kept: block1, block2, head." in said(page)


def test_a_data_set_moves_on_the_map(box):
    cases = fourcases.evidence()
    cases = cases[cases["backbone"] == "VGG16"]
    best = cases[list(fourcases.STRATEGIES)].idxmax(axis=1)
    widgets.cases(cases, best, fourcases.fitted(cases), {"things": (50, 1.0)})
    controls, page = parts(box)
    assert "yours stands at 20 pictures a class and similarity 0.70" in said(page) and "things stands at 50" in said(page)
    found = answer(controls["pictures a class"], "500", page)
    assert "yours stands at 500" in found and "large and " in found and "Of the 5 measured cases" in found
    assert "similarity 1.40" in answer(controls["similarity"], "1.4", page) and not plt.get_fignums()


def test_the_slider_shows_what_is_known_of_the_cut_and_goes_with_it(table, box):
    widgets.cut(table, FACTS)
    controls, page = parts(box)
    slider = controls["cut after"]
    assert slider.options == ["block1", "block2"] and slider.value == "block1"
    assert "pictures, pretrained" in said(page) and "31.0% (28.5% to 33.5%)" in said(page) and "16" in said(page)
    assert "cost &lt;1&gt;" in said(page)
    found = answer(slider, "block2", page)
    assert "51.0% (48.5% to 53.5%)" in found and "30 %" in found and "31.0%" not in found


def test_the_slider_shows_a_figure_a_cut(table, box):
    figures = {}
    for block in FACTS.index:
        figure, figures[block] = plt.subplots(1, 2)
        figure.set_label(f"maps of {block}")
    widgets.cut(table, FACTS, figures)
    controls, page = parts(box)
    assert 'alt="maps of block1" src="data:image/png;base64,' in said(page)
    assert 'alt="maps of block2"' in answer(controls["cut after"], "block2", page) and not plt.get_fignums()


def test_what_is_missing_is_said_in_a_sentence(table, box):
    with pytest.raises(CourseError, match="no column 'target'"):
        widgets.cut(table.drop(columns="target"), FACTS)
    with pytest.raises(CourseError, match="'block3'"):
        widgets.cut(table, FACTS.rename(index={"block2": "block3"}))
    with pytest.raises(CourseError, match="'block2'"):
        widgets.cut(table, FACTS, {"block1": None})
    assert not box
