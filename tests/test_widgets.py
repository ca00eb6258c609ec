import matplotlib

matplotlib.use("Agg")

import time

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from tlcourse import CourseError, widgets

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
    monkeypatch.setattr("IPython.display.display", found.append)
    yield found
    plt.close("all")


def test_the_slider_shows_what_is_known_of_the_cut_and_goes_with_it(table, box):
    slider = widgets.cut(table, FACTS)
    page = box[0].children[1]
    assert slider.options == ("block1", "block2") and slider.value == "block1" and slider.description == "cut after"
    assert "pictures, pretrained" in page.value and "31.0% (28.5% to 33.5%)" in page.value and "16" in page.value
    assert "cost &lt;1&gt;" in page.value
    start = time.perf_counter()
    slider.value = "block2"
    assert time.perf_counter() - start < 0.3
    assert "51.0% (48.5% to 53.5%)" in page.value and "30 %" in page.value and "31.0%" not in page.value


def test_the_slider_shows_a_figure_a_cut(table, box):
    figures = {}
    for block in FACTS.index:
        figure, figures[block] = plt.subplots(1, 2)
        figure.set_label(f"maps of {block}")
    slider = widgets.cut(table, FACTS, figures)
    page = box[0].children[1]
    assert 'alt="maps of block1" src="data:image/png;base64,' in page.value
    slider.value = "block2"
    assert 'alt="maps of block2"' in page.value and not plt.get_fignums()


def test_what_is_missing_is_said_in_a_sentence(table, box):
    with pytest.raises(CourseError, match="no column 'target'"):
        widgets.cut(table.drop(columns="target"), FACTS)
    with pytest.raises(CourseError, match="'block3'"):
        widgets.cut(table, FACTS.rename(index={"block2": "block3"}))
    with pytest.raises(CourseError, match="'block2'"):
        widgets.cut(table, FACTS, {"block1": None})
    assert not box
