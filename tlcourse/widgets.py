"""Explorers for JupyterLab: controls, and below them a page that answers at once.

What a page says is worked out beforehand or quickly drawn, and kept. Without a kernel or without widgets, the text
and the figures around them say the same.
"""

import base64
import functools
import io
from html import escape
from pathlib import Path

import anywidget
import ipywidgets
import matplotlib.pyplot as plt
import numpy as np
import traitlets
from IPython.display import display
from PIL import Image

from tlcourse import CourseError, claims, fourcases, plots

SIZES = ("1", "2", "5", "10", "20", "50", "100", "200", "500")
SIMILARITIES = tuple(f"{tenth / 10:.1f}" for tenth in range(17))


class Choice(anywidget.AnyWidget):
    """A control, "slider" or "radio", whose `value` is one of its `options`, texts; None before a first choice."""

    _esm = Path(__file__).with_name("choice.js")
    kind = traitlets.Unicode().tag(sync=True)
    options = traitlets.List(traitlets.Unicode()).tag(sync=True)
    value = traitlets.Unicode(None, allow_none=True).tag(sync=True)
    description = traitlets.Unicode().tag(sync=True)


class Page(anywidget.AnyWidget):
    """What an explorer shows: `value` is [HTML, the sentence below it]."""

    _esm = Path(__file__).with_name("page.js")
    value = traitlets.List(traitlets.Unicode()).tag(sync=True)


def guess(question, choices):
    """Ask for a first guess, and return the control; its `value` is the choice, None before one is made."""
    control = Choice(kind="radio", options=choices, description=question)
    display(control)
    return control


def reveal(guess, measured):
    """Show the guess beside what was measured. guess: the control of `guess`, whose later choices show too, or a text."""

    def page():
        made = getattr(guess, "value", guess)
        said = f"You guessed: {made}" if made else "You made no guess."
        html = f'<p>{escape(said)}<br><b>Measured: {escape(measured)}</b></p>'
        return {"text/plain": f"{said}\nMeasured: {measured}", "text/html": html}

    shown = display(page(), raw=True, display_id=True)
    if hasattr(guess, "observe"):
        guess.observe(lambda _: shown.update(page(), raw=True), "value")


def mistakes(x, y, scores, classes):
    """Go through the wrong predictions of a classifier, the surest first.

    x: uint8 (n, h, w, 3 or 1). y: int (n,), with names in `classes`. scores: float (n, classes), probabilities.
    Raises CourseError when there is none.
    """
    worst = plots.worst(y, scores)
    if not len(worst):
        raise CourseError("No prediction is wrong: there is nothing to show.")
    of = {"any class": worst} | {name: worst[y[worst] == label] for label, name in enumerate(classes)}
    of = {name: places for name, places in of.items() if len(places)}

    def numbers(name):
        return [f"{number} of {len(of[name])}" for number in range(1, len(of[name]) + 1)]

    really = _slider("really", of)
    number = _slider("mistake", numbers("any class"))

    def from_the_first(change):
        number.options = numbers(change["new"])
        number.value = number.options[0]

    def page(name, number):
        index = of[name][int(number.split()[0]) - 1]
        right, said = classes[y[index]], classes[scores[index].argmax()]
        lines = [(classes[label], _bar(scores[index, label]), f"{scores[index, label]:.0%}")
                 for label in np.argsort(-scores[index])[:5]]  # fmt: skip
        sentence = f"Really {right}, taken for {said}, {scores[index].max():.0%} sure."
        return _row(_image(x[index], f"picture {index}, {right}", 160), _table(lines)), sentence

    really.observe(from_the_first, "value")
    _explore([really, number], page)


def activations(pictures, maps, kernels, channels=8):
    """Look at a layer: the channels that answer most to a picture, and the filters that made them.

    pictures: uint8 (n, h, w, 3). maps: {layer: float (n, h', w', c)}, its activations. kernels: {layer: float (k, k, d, c)}.
    A filter over three channels is shown in colour, R, G, B; of one over more, the slice with the largest weights, in grey.
    Maps are black at 0 and below, and white at the largest value of the channel; weights are grey at 0.
    """
    layer = _slider("layer", maps)
    picture = _slider("picture", [str(number) for number in range(1, len(pictures) + 1)])

    def page(layer, number):
        found, kernel = maps[layer][int(number) - 1], kernels[layer]
        height, width, n = found.shape
        strongest = np.argsort(-found.mean(axis=(0, 1)), kind="stable")[:channels]
        seen = [_image(pictures[int(number) - 1], f"picture {number}", 96)]
        for channel in strongest:
            values, alt = found[..., channel], f"channel {channel}, mean {found[..., channel].mean():.2f}"
            seen.append(
                f'<figure style="margin: 0">{_image(_grey(values / max(values.max(), 1e-12)), alt, 96)}<br>'
                f'{_image(_filter(kernel[..., channel]), f"filter of channel {channel}", 48)}'
                f"<figcaption>{channel}</figcaption></figure>"
            )
        sentence = (
            f"{layer}: {n} channels of {height}×{width}; {np.mean(found <= 0):.0%} of the values are 0 or less. "
            f"Strongest: {', '.join(map(str, strongest))}; filters of {kernel.shape[0]}×{kernel.shape[1]}×{kernel.shape[2]}."
        )
        return _row(*seen), sentence

    _explore([layer, picture], page)


def freezing(parameters, opened=()):
    """Open and freeze the parts of a network, and watch how many parameters would be trained.

    parameters: a Series, or dict, {part: number of parameters}, from the input to the head. opened: the parts that are open at first.
    """
    boxes = [ipywidgets.Checkbox(part in opened, description=part, indent=False) for part in parameters.keys()]
    total = sum(parameters.values) if hasattr(parameters, "iloc") else sum(parameters.values())

    def page(*is_open):
        chosen = [part for part, yes in zip(parameters.keys(), is_open) if yes]
        count = sum(parameters[part] for part in chosen)
        lines = [
            (part, _bar(parameters[part] / max(total, 1), "#D55E00" if part in chosen else "#767676"),
             f"{parameters[part]:,} " + ("trained" if part in chosen else "frozen"))
            for part in parameters.keys()
        ]  # fmt: skip
        below = list(parameters.keys())[: is_open.index(True) if True in is_open else None]
        sentence = f"Trained: {count:,} of {total:,} parameters ({count / max(total, 1):.1%}). "
        sentence += f"Run once and kept: {', '.join(below)}." if below else "Nothing can be run once and kept."
        return _table(lines), sentence

    _explore(boxes, page)


def cases(evidence, best, rule, points=None):
    """Put a data set on the map of the four cases, by its size and similarity, and ask the measured cases near it.

    evidence, best, rule and points as `plots.cases` takes them.
    """
    size, similarity = _slider("pictures a class", SIZES, "20"), _slider("similarity", SIMILARITIES, "0.7")
    best = np.asarray(best)

    def page(size, similarity):
        place = float(size), float(similarity)
        axis = plots.cases(evidence, best, rule, {**(points or {}), "yours": place}, "Your data set on the map of the four cases")
        alike = evidence.assign(won=best, lost=fourcases.losses(evidence, rule.advise(evidence)))
        alike = fourcases.near(alike, place[0])
        alike = alike.iloc[np.argsort(np.abs(alike["similarity"] - place[1]), kind="stable")[:5]]
        won = ", ".join(f"{name} {count}" for name, count in alike["won"].value_counts().items())
        sentence = (
            f"{' and '.join(rule.place(*place))}: the rule says {rule.advice[rule.place(*place)]}. Of the {len(alike)} measured "
            f"cases next to it: {won}; there the rule's advice lost {100 * alike['lost'].mean():.1f} points."
        )
        return _picture(axis), sentence

    _explore([size, similarity], page)


def cut(table, facts, figures=None):
    """Ask where to cut a network, with a slider over its blocks, and show below it what features from there are worth.

    table: a row a training, with the columns strategy, target, block, seed and accuracy (a fraction), see
        `plots.by_block`. facts: a table with a row a block, in the order of the slider, whose columns are shown as
        they are, such as the number of features or the cost. figures: {block: Axes}, shown below.
    Raises CourseError when a column is missing, and when `table` or `figures` lack a block.
    """
    missing = [column for column in ("strategy", "target", "block", "seed", "accuracy") if column not in table]
    if missing:
        raise CourseError(f"The table has no column {missing[0]!r}: give one as plots.by_block takes it.")
    for block in facts.index:
        if block not in set(table["block"]) or (figures and block not in figures):
            raise CourseError(f"There is nothing to show for the block {block!r}: measure it, or leave it out of the facts.")
    pictures = {block: _picture(axes) for block, axes in (figures or {}).items()}

    def page(block):
        lines, said = [], []
        for (target, strategy), rows in table[table["block"] == block].groupby(["target", "strategy"], sort=False):
            mean, low, high = claims.interval(rows["accuracy"])
            lines.append((f"{target}, {strategy}", _bar(mean), f"{mean:.1%} ({low:.1%} to {high:.1%})"))
            said.append(f"{target}, {strategy} {mean:.1%}")
        lines += [(name, "", str(value)) for name, value in facts.loc[block].items()]
        return _table(lines) + pictures.get(block, ""), f"After {block}: {'; '.join(said)}."

    _explore([_slider("cut after", list(facts.index))], page)


def _slider(description, options, value=None):
    options = list(options)
    return Choice(kind="slider", options=options, value=value or options[0], description=description)


def _explore(controls, page):
    """Show controls and, below, `page(their values)`: (HTML, a sentence)."""
    page = functools.cache(page)
    below = Page()

    def update(_=None):
        below.value = list(page(*[control.value for control in controls]))

    update()
    for control in controls:
        control.observe(update, "value")
    display(ipywidgets.VBox([*controls, below]))


def _table(lines):
    cells = "".join(f"<tr><td>{escape(a)}</td><td>{b}</td><td>{escape(c)}</td></tr>" for a, b, c in lines)
    return f'<table style="border-spacing: 1em 0">{cells}</table>'


def _bar(share, colour="#0072B2"):
    return f'<div style="background: {colour}; height: 0.8em; width: {10 * share:.2f}em"></div>'


def _row(*parts):
    return f'<div style="display: flex; gap: 8px; flex-wrap: wrap">{"".join(parts)}</div>'


def _grey(values):
    return (255 * np.clip(values, 0, 1)).astype("uint8")


def _filter(weights):
    """float (k, k, d) as uint8 (k, k, 3) for d = 3, else (k, k) of the slice with the largest weights."""
    if weights.shape[-1] != 3:
        weights = weights[..., np.abs(weights).sum(axis=(0, 1)).argmax()]
    return _grey(0.5 + 0.5 * weights / max(np.abs(weights).max(), 1e-12))


def _image(array, alt, side):
    file = io.BytesIO()
    Image.fromarray(array.squeeze()).save(file, "png")
    code = base64.b64encode(file.getvalue()).decode()
    style = f"width: {side}px; height: {side}px; image-rendering: pixelated; margin: 0"
    return f'<img alt="{escape(alt)}" style="{style}" src="data:image/png;base64,{code}">'


def _picture(axes):
    figure = np.ravel(axes)[0].figure
    plt.close(figure)
    return plots.image(plots.png(figure), figure.get_label())
