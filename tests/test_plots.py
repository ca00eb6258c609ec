import re

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from tlcourse import fourcases, plots, widgets


@pytest.fixture
def table():
    rows = [(s, n, seed, 0.1 * i + n / 1e4 + seed / 100) for i, s in enumerate("abc") for n in (100, 1000) for seed in range(3)]
    return pd.DataFrame(rows, columns=["strategy", "size", "seed", "accuracy"])


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.fixture
def shown(monkeypatch):
    """What is displayed from now on, as (data, metadata)."""
    found = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw, metadata: found.append((data, metadata)))
    return found


def text(axes):
    return np.ravel(axes)[0].figure.get_label()


def test_every_figure_says_its_numbers(table):
    assert "a 2.0% (-0.5% to 4.5%)" in text(plots.bars(table[table["size"] == 100], title="t"))
    assert "b 12% with 100, 21% with 1,000" in text(plots.by_size(table))
    history = {"loss": [2.3, 0.1], "accuracy": [0.1, 0.9], "val_loss": [2.2, 2.5], "val_accuracy": [0.1, 0.4]}
    assert "validation loss from 2.20 to 2.50" in text(plots.curves(history))
    x, y = np.zeros((6, 4, 4, 1), "uint8"), np.arange(6) % 2
    assert "2 classes, cat, dog" in text(plots.pictures(x, y, ("cat", "dog"), columns=3))
    axis = plots.pictures(x, y, ("cat", "dog"), columns=4, rows=2)
    assert [text.get_text() for text in axis.texts] == ["cat", "dog"] * 3
    for side in range(1, 80):
        plots.pictures(np.zeros((4, side, side, 3), "uint8"), y, ("cat", "dog"), columns=2, rows=2)
        plt.close()


def test_filters_are_stretched_around_grey_and_activations_sorted():
    kernels = np.zeros((3, 3, 3, 5))
    kernels[1, 1, 0] = 0.5, -2, 0.25, 0, 1
    axes = plots.filters(kernels, columns=4, title="first")
    assert axes.shape == (2, 4) and len(axes[1, 1].images) == 0
    assert text(axes) == "first: 5 filters of 3×3 in colour, largest weights from 0 to 2."
    first, dark, empty = (axes.flat[i].images[0].get_array() for i in (0, 1, 3))
    assert (first[1, 1, 0], dark[1, 1, 0]) == (1, 0) and (empty == 0.5).all() and first[0, 0, 0] == 0.5
    maps = {"low": np.zeros((4, 4, 3)) + [1, 3, 0], "high": np.ones((1, 1, 2))}
    axes = plots.activations(np.zeros((4, 4, 3), "uint8"), maps, channels=2)
    assert [axis.images[0].get_array().max() for axis in axes[0, 1:]] == [3, 1]
    assert "low 3 maps of 4×4, 33% of the values are 0 or less; high 2 maps of 1×1, 0%" in text(axes)


def test_a_panel_a_target_and_a_line_a_strategy():
    rows = [(s, t, f"block{b}", seed, 0.1 * b + 0.3 * (s == "pretrained") + seed / 100)
            for s in ("pretrained", "random") for t in ("pictures", "digits") for b in (1, 2) for seed in range(3)
            if (s, t, b) != ("random", "digits", 2)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["strategy", "target", "block", "seed", "accuracy"])
    axes = plots.by_block(table, title="t", floor=0.1)
    assert [axis.get_title(loc="left") for axis in axes] == ["pictures", "digits"]
    assert "t: pictures, pretrained 41% at block1, 51% at block2; pictures, random 11% at block1" in text(axes)
    assert text(axes).endswith("digits, random 11% at block1.")
    assert len(axes[0].containers) == 2 and [label.get_text() for label in axes[1].get_xticklabels()] == ["block1", "block2"]


def test_lines_differ_in_more_than_colour(table):
    lines = [container.lines[0] for container in plots.by_size(table).containers]
    assert len({line.get_marker() for line in lines}) == len({line.get_linestyle() for line in lines}) == 3


def test_show_displays_the_text_as_alt_text_and_closes_the_figure(table, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw, metadata: shown.append((data, metadata)))
    plots.show(plots.bars(table[table["size"] == 100], title="t"))
    (data, metadata), = shown
    assert metadata["image/png"]["alt"] == data["text/plain"] and data["text/plain"].startswith("t: a 2.0%")
    assert f'<img alt="{data["text/plain"]}" src="data:image/png;base64,{data["image/png"]}">' == data["text/html"]
    assert plt.get_fignums() == []


SCORES = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])


def test_the_surest_mistakes_come_first():
    x, y = np.zeros((4, 8, 8, 3), "uint8"), np.array([1, 0, 1, 1])
    assert plots.worst(y, SCORES).tolist() == [0, 3]
    axes = plots.mistakes(x, y, SCORES, ["cat", "dog"], columns=3, rows=1, title="t")
    assert [axis.get_title() for axis in axes.flat] == ["dog:\ncat 90%", "dog:\ncat 60%", ""]
    assert axes[0, 0].figure.get_label() == "t: 2 of 4 wrong. dog taken for cat, 90% sure; dog taken for cat, 60% sure."


def test_what_is_trained_when_a_network_is_opened_from_above():
    axis = plots.opened({"block1": 10, "block2": 70, "head": 20}, title="t")
    assert axis.figure.get_label() == "t: from block1 100 (100.0%); from block2 90 (90.0%); from head 20 (20.0%)."


def test_lines_have_switches_that_need_no_kernel(shown):
    history = {"val_loss": [2.0, 1.0], "val_accuracy": [0.1, 0.5]}
    plots.show_validations({"LeNet": history, "A & B": history}, title="Two networks")
    (data, metadata), = shown
    assert metadata["tlcourse_curves"] == {"title": "Two networks", "histories": {"LeNet": history, "A & B": history}}
    html, alt = data["text/html"], data["text/plain"]
    assert alt == metadata["image/png"]["alt"]
    assert "A & B accuracy from 0.10 to 0.50" in alt
    assert html.count('type="checkbox"') == 2 and "A &amp; B</b>" in html and "<script" not in html
    rules = re.findall(r":has\(#([\w-]+):not\(:checked\)\) :is\(([^)]*)\)", html)
    assert len(rules) == 2
    for box, lines in rules:
        assert f'id="{box}"' in html
        ids = [line.strip().lstrip("#") for line in lines.split(",")]
        assert len(ids) == 2 and all(html.count(f'id="{line}"') == 1 for line in ids)  # a line in each panel
    assert 'src="data:image/png;base64,' + data["image/png"] in html  # what is left where styles are not trusted
    assert not plt.get_fignums()


def test_the_matrix_says_means_the_best_and_the_advice():
    rows = [(name, target, seed, value + 0.01 * seed) for target, values in (("a", (0.5, 0.8)), ("b", (0.9, 0.3)))
            for name, value in zip(("probe", "all"), values) for seed in range(3)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["strategy", "target", "seed", "accuracy"])
    cases = {"case a": {"target": "a"}, "case b": {"target": "b"}}
    axis = plots.matrix(table, cases, ["probe", "all"], {"case a": "probe", "case b": "probe"}, title="T")
    said = text(axis)
    assert "case a: probe 51%, all 81% (the rule: probe)" in said and "case b: probe 91%, all 31%" in said
    assert [text.get_text() for text in axis.texts] == ["51 ± 2", "81 ± 2", "91 ± 2", "31 ± 2"]
    full = [patch.get_x() for patch in axis.patches if patch.get_linestyle() == "-"]
    assert np.allclose(full, [0.54, -0.46]) and len(axis.patches) == 4
    assert "rule" not in text(plots.matrix(table, cases, ["probe", "all"]))


def test_the_map_says_fields_winners_and_points():
    table = pd.DataFrame({"per_class": [2, 10, 100], "similarity": [0.2, 1.1, 0.9]})
    rule = fourcases.Rule(20.0, 0.7, {("small", "similar"): "x", ("small", "different"): "y",
                                      ("large", "similar"): "x", ("large", "different"): "x"})  # fmt: skip
    axis = plots.cases(table, ["x", "y", "x"], rule, {"mine": (30, 0.5)}, title="Map")
    said = text(axis)
    assert "x won 2 of 3" in said and "small and different, y" in said and "mine stands at 30" in said
    assert {"mine", "small, different: y"} <= {text.get_text() for text in axis.texts}
