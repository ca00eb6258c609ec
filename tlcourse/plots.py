"""Figures. Each function draws, gives the figure a text that says its numbers, and returns its Axes.

`show(axes)` displays it with that text as alt text. Colours are the colour-blind safe
ones of Okabe and Ito (2008); markers and line styles differ too, so that grey prints read.
"""

import base64
import io
import zlib
from html import escape

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

from tlcourse import claims

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = "osD^vPX"
CURVES = ("val_loss", "val_accuracy")
LARGE = 100_000  # bytes of a picture
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))


def show(axes, alt=None):
    """Display the figure of `axes` in a notebook, with `alt` or its own text, and close it."""
    from IPython.display import display

    figure = np.ravel(axes)[0].figure
    alt = alt or figure.get_label()
    picture = png(figure)
    # JupyterLab and nbconvert give a picture alt text in HTML alone; the report and a PDF want the picture itself.
    data = {"image/png": picture, "text/html": image(picture, alt), "text/plain": alt}
    plt.close(figure)
    display(data, raw=True, metadata={"image/png": {"alt": alt}})


def png(figure):
    """A matplotlib figure as a PNG picture, in base64 as a str."""
    image = io.BytesIO()
    # White paper keeps black text readable in a dark theme.
    figure.savefig(image, format="png", dpi=100, bbox_inches="tight", facecolor="white")
    if image.tell() > LARGE:  # contact sheets: 256 colours are enough to see by, at a quarter of the bytes
        few = Image.open(image).convert("RGB").quantize(256)
        image = io.BytesIO()
        few.save(image, "png", optimize=True)
    return base64.b64encode(image.getvalue()).decode()


def image(picture, alt):
    """HTML of a PNG picture in base64, with its alt text."""
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{picture}">'


def show_validations(histories, title=None):
    """Display `validations` with a checkbox for every network, which hides its lines and brings them back.

    It needs no kernel and no script, so that an exported page has it too; where the page is not trusted, the picture
    of `show` is there instead. The report draws it anew, from the numbers in the output's metadata.
    """
    from IPython.display import display

    figure = validations(histories, title)[0].figure
    html, picture, alt = switchable(figure)
    data = {"text/html": html, "image/png": picture, "text/plain": alt}
    curves = {name: {key: list(map(float, history[key])) for key in CURVES} for name, history in histories.items()}
    metadata = {"image/png": {"alt": alt}, "tlcourse_curves": {"title": title or "", "histories": curves}}
    display(data, raw=True, metadata=metadata)


def switchable(figure):
    """Close a figure, and return (HTML with a checkbox for each label, its picture in base64, its alt text).

    Lines of one label, in whatever panel, go together.
    """
    alt = figure.get_label()
    uid = f"switch{zlib.crc32(alt.encode()):08x}"
    labels, colours = {}, {}
    for line in (line for axis in figure.axes for line in axis.get_lines()):
        ids = labels.setdefault(line.get_label(), [])
        ids.append(f"{uid}-{list(labels).index(line.get_label())}-{len(ids)}")
        line.set_gid(ids[-1])
        colours[line.get_label()] = line.get_color()
    picture = png(figure)
    vector = io.StringIO()
    with plt.rc_context({"svg.hashsalt": uid, "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(vector, format="svg", bbox_inches="tight", facecolor="white", metadata={"Date": None})
    plt.close(figure)
    drawing = vector.getvalue()
    drawing = drawing[drawing.index("<svg") :].replace("<svg ", f'<svg role="img" aria-label="{escape(alt)}" ', 1)
    boxes, rules = [], [f".{uid} img {{display: none}}"]
    for number, (label, ids) in enumerate(labels.items()):
        box = f"{uid}-box{number}"
        boxes.append(
            f'<label style="margin-right: 1.5em; white-space: nowrap"><input type="checkbox" id="{box}" checked> '
            f'<b style="border-bottom: 3px solid {colours[label]}">{escape(label)}</b></label>'
        )
        rules.append(f".{uid}:has(#{box}:not(:checked)) :is({', '.join(f'#{line}' for line in ids)}) {{display: none}}")
    html = (
        f'<div class="{uid}" style="background: white; color: black; padding: 4px"><style>{" ".join(rules)}</style>'
        f'<div>{"".join(boxes)}</div>{drawing}{image(picture, alt)}</div>'
    )
    return html, picture, alt


def pictures(x, y, classes, columns=10, rows=None, title=None):
    """A contact sheet: x uint8 (n, h, w, 3 or 1), y int (n,) with names in `classes`.

    With rows=None, one row a class and `columns` pictures of it; else the
    first rows * columns pictures in order, each under its class.
    """
    by_class = rows is None
    if by_class:
        rows = len(classes)
        chosen = [np.flatnonzero(y == label)[:columns] for label in range(rows)]
    else:
        chosen = [range(row * columns, min((row + 1) * columns, len(x))) for row in range(rows)]
    height, width = x.shape[1:3]
    gap = max(1, height // 16)
    above = gap if by_class else round(0.35 * height)  # room for the names
    # One sheet in one Axes is drawn twenty times faster than a hundred small Axes.
    sheet = np.full((rows * (height + above), columns * (width + gap), 3), 255, "uint8")
    inches = 0.72 / (width + gap)
    figure = plt.figure(figsize=(inches * sheet.shape[1], inches * sheet.shape[0]))
    axis = figure.add_axes((0, 0, 1, 1))  # names and title stand outside, where `png` looks too
    for row, where in enumerate(chosen):
        top = row * (height + above) + above
        for column, index in enumerate(where):
            left = column * (width + gap)
            sheet[top : top + height, left : left + width] = x[index].reshape(height, width, -1)
            if not by_class:
                axis.text(left + width / 2, top - 1, classes[y[index]], fontsize=8, ha="center", va="bottom")
    axis.imshow(sheet)
    axis.spines[:].set_visible(False)
    middles = [row * (height + above) + above + height / 2 for row in range(rows)]
    axis.set(xticks=[], yticks=middles if by_class else [])
    if by_class:
        axis.set_yticklabels(classes, fontsize=9)
        axis.tick_params(length=0)
    axis.set_title(title or "", fontsize=10)
    figure.set_label(f"{title or 'Example pictures'}: {len(classes)} classes, {', '.join(classes)}.")
    return axis


def worst(y, scores):
    """Places of the wrong predictions, the surest first. y: int (n,). scores: float (n, classes), probabilities."""
    wrong = np.flatnonzero(scores.argmax(axis=1) != y)
    return wrong[np.argsort(-scores[wrong].max(axis=1), kind="stable")]


def mistakes(x, y, scores, classes, columns=8, rows=2, title=None):
    """The surest of the wrong predictions as a contact sheet, each under what it is and what it was taken for.

    x: uint8 (n, h, w, 3 or 1). y: int (n,), with names in `classes`. scores: float (n, classes), probabilities.
    """
    wrong = worst(y, scores)
    figure, axes = plt.subplots(rows, columns, figsize=(1.15 * columns, 1.45 * rows + 0.3), squeeze=False)
    said = []
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, index in zip(axes.flat, wrong):
        really, taken, sure = classes[y[index]], classes[scores[index].argmax()], scores[index].max()
        axis.imshow(x[index].squeeze(), cmap="gray", vmin=0, vmax=255)
        axis.set_title(f"{really}:\n{taken} {sure:.0%}", fontsize=8, pad=3)
        said.append(f"{really} taken for {taken}, {sure:.0%} sure")
    if title:
        figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    counted = f"{len(wrong)} of {len(y)} wrong. "
    figure.set_label(_sentence(title or "The surest mistakes", counted + "; ".join(said)))
    return axes


def opened(parameters, title=None):
    """How many parameters are trained when a network is opened from a part upwards, down to nothing frozen.

    parameters: a Series, or dict, {part: number of parameters}, from the input to the head.
    """
    parts = list(parameters.keys())
    counts = np.array([parameters[part] for part in parts])
    trained = counts[::-1].cumsum()[::-1]
    figure, axis = plt.subplots(figsize=(6.4, 0.42 * len(parts) + 1.0))
    rows = range(len(parts))
    axis.barh(rows, trained, color=COLOURS[1], label="trained")
    axis.barh(rows, counts.sum() - trained, left=trained, color="#BBBBBB", hatch="//", edgecolor="white", label="frozen")
    said = []
    for row, part in enumerate(parts):
        text = f"{trained[row]:,} ({trained[row] / max(counts.sum(), 1):.1%})"
        axis.annotate(text, (counts.sum(), row), (6, 0), textcoords="offset points", va="center", fontsize=9)
        said.append(f"from {part} {text}")
    axis.set_yticks(rows, [f"from {part}" for part in parts])
    axis.set_xticks([])
    axis.spines[:].set_visible(False)
    axis.legend(frameon=False, fontsize=9, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    axis.set_title(title or "", fontsize=10, loc="left", pad=24)
    figure.set_label(_sentence(title or "Parameters that are trained, opened from", "; ".join(said)))
    return axis


def bars(table, order=None, title=None, value="accuracy", floor=None):
    """Mean of `value` (a fraction) by strategy, with 95 % intervals over seeds and every seed as a dot.

    table: of `experiments.compare`, one size and one target. floor: a level to mark, such as guessing.
    """
    order = order or list(dict.fromkeys(table["strategy"]))
    figure, axis = plt.subplots(figsize=(6.4, 0.52 * len(order) + 1.1))
    said = []
    for row, name in enumerate(order):
        values = table.loc[table["strategy"] == name, value].to_numpy()
        mean, low, high = claims.interval(values)
        axis.barh(row, mean, color=COLOURS[row % len(COLOURS)], alpha=0.35)
        axis.plot([low, high], [row, row], color="black", linewidth=1.5)
        axis.plot(values, np.full(len(values), row + 0.22), ".", color="black", markersize=4, alpha=0.6)
        axis.annotate(f"{mean:.0%}", (max(high, mean), row), (6, 0), textcoords="offset points", va="center")
        said.append(f"{name} {mean:.1%} ({low:.1%} to {high:.1%})")
    if floor is not None:
        axis.axvline(floor, color="grey", linestyle=":", linewidth=1)
    axis.set_yticks(range(len(order)), order)
    axis.invert_yaxis()
    axis.set_xlim(0, 1.08)
    _fractions(axis, "x", f"test {value}")
    axis.set_title(title or "", fontsize=10, loc="left")
    figure.set_label(_sentence(title or value, "; ".join(said)))
    return axis


def by_size(table, order=None, title=None, value="accuracy", floor=None):
    """Mean of `value` (a fraction) against the number of labelled pictures, a line a strategy, 95 % intervals."""
    order = order or list(dict.fromkeys(table["strategy"]))
    figure, axis = plt.subplots(figsize=(6.4, 3.6))
    said = []
    for index, name in enumerate(order):
        rows = table[table["strategy"] == name]
        sizes = sorted(rows["size"].unique())
        mean = _line(axis, index, name, sizes, [rows.loc[rows["size"] == size, value] for size in sizes])
        said.append(f"{name} " + ", ".join(f"{m:.0%} with {s:,}" for s, m in zip(sizes, mean)))
    _guessing(axis, floor)
    sizes = sorted(table["size"].unique())
    axis.set_xscale("log")
    axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axis.minorticks_off()
    axis.set_xlabel("labelled pictures")
    axis.set_ylim(0, 1.02)
    _fractions(axis, "y", f"test {value}")
    axis.legend(frameon=False, fontsize=9, loc="best")
    axis.set_title(title or "", fontsize=10, loc="left")
    figure.set_label(_sentence(title or value, "; ".join(said)))
    return axis


def matrix(table, rows, columns, advice=None, title=None, value="accuracy"):
    """A heat map of strategies: a row a case, a column a strategy, each cell with its mean and 95 % interval.

    table: of `experiments.compare`. rows: {the name of a case: {column: value, ...} that chooses its trainings}.
    columns: strategies, in order. advice: {case: strategy}, framed by a broken line; the best mean of a
    case has a full frame. Colours show the points lost against the best of the same row.
    """
    found = {case: {} for case in rows}
    for case, where in rows.items():
        chosen = table[np.logical_and.reduce([table[column] == wanted for column, wanted in where.items()])]
        for name in columns:
            found[case][name] = claims.interval(chosen.loc[chosen["strategy"] == name, value])
    means = np.array([[found[case][name][0] for name in columns] for case in rows])
    lost = means.max(axis=1, keepdims=True) - means
    figure, axis = plt.subplots(figsize=(1.25 * len(columns) + 1.8, 0.55 * len(rows) + 1.3))
    image = axis.imshow(100 * lost, cmap="cividis_r", vmin=0, vmax=40, aspect="auto")
    for y, case in enumerate(rows):
        for x, name in enumerate(columns):
            mean, low, high = found[case][name]
            axis.annotate(f"{100 * mean:.0f} ± {50 * (high - low):.0f}", (x, y), ha="center", va="center", fontsize=9,
                          color="white" if lost[y, x] > 0.2 else "black")  # fmt: skip
        for x, line in ((means[y].argmax(), "-"), (columns.index(advice[case]) if advice else None, (0, (2, 2)))):
            if x is not None:
                inset = 0.46 if line == "-" else 0.40
                axis.add_patch(plt.Rectangle((x - inset, y - inset), 2 * inset, 2 * inset, fill=False, linestyle=line,
                                             linewidth=1.8, edgecolor="#D55E00" if line == "-" else "black"))  # fmt: skip
    axis.set_xticks(range(len(columns)), [name.replace(" ", "\n", 1) for name in columns], fontsize=9)
    axis.set_yticks(range(len(rows)), list(rows), fontsize=9)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    figure.colorbar(image, ax=axis, label="points behind the best", extend="max", fraction=0.03, pad=0.02)
    frames = "full frame: the best mean" + ("; broken frame: the rule's advice" if advice else "")
    axis.set_title(f"{title}\n{frames}" if title else frames, fontsize=10, loc="left")
    said = (
        f"{case}: " + ", ".join(f"{name} {found[case][name][0]:.0%}" for name in columns)
        + (f" (the rule: {advice[case]})" if advice else "") for case in rows
    )  # fmt: skip
    figure.set_label(_sentence(title or "Strategies by case", "; ".join(said)))
    return axis


def cases(table, best, rule, points=None, title=None):
    """The map of the four cases: similarity against pictures a class, each measured case marked by the strategy that won.

    table: of `fourcases.evidence`. best: a strategy for each of its rows. rule: a `fourcases.Rule`, whose
    thresholds are drawn and whose advice is written into the fields. points: {name: (per_class, similarity)} of further data sets.
    """
    best = np.asarray(best)
    figure, axis = plt.subplots(figsize=(7.6, 4.4))
    names = list(dict.fromkeys([*rule.advice.values(), *sorted(set(best))]))
    for index, name in enumerate(names):
        rows = table[best == name]
        axis.plot(rows["per_class"] * 1.06 ** (index - len(names) / 2), rows["similarity"], MARKERS[index % len(MARKERS)],
                  color=COLOURS[index % len(COLOURS)], alpha=0.75, label=f"{name} won")  # fmt: skip
    for name, (per_class, similarity) in (points or {}).items():
        axis.plot(per_class, similarity, "*", color="black", markersize=15)
        axis.annotate(name, (per_class, similarity), (9, 4), textcoords="offset points", fontsize=10, weight="bold")
    axis.set_xscale("log")
    axis.axvline(rule.large_from, color="black", linewidth=1)
    axis.axhline(rule.similar_from, color="black", linewidth=1)
    for (size, kind), name in rule.advice.items():
        x, y = ("left", 0.01) if size == "small" else ("right", 0.99), ("top", 0.985) if kind == "similar" else ("bottom", 0.015)
        axis.annotate(f"{size}, {kind}: {name}", (x[1], y[1]), xycoords="axes fraction", ha=x[0], va=y[0], fontsize=9,
                      bbox={"facecolor": "white", "alpha": 0.85, "edgecolor": "none", "pad": 1})  # fmt: skip
    ticks = sorted(set(table["per_class"]))
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.set_xlabel("labelled pictures a class")
    axis.set_ylabel("similarity")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    axis.set_title(title or "", fontsize=10, loc="left")
    said = [f"{size} and {kind}, {name}" for (size, kind), name in rule.advice.items()]
    said += [f"{name} won {np.sum(best == name)} of {len(best)} measured cases" for name in names]
    said += [f"{name} stands at {p:g} pictures a class and similarity {s:.2f}" for name, (p, s) in (points or {}).items()]
    figure.set_label(_sentence(title or "The four cases", "; ".join(said)))
    return axis


def by_block(table, title=None, value="accuracy", floor=None):
    """Mean of `value` (a fraction) against the block that the features come from, with 95 % intervals over seeds.

    table: columns strategy, target, block, seed and `value`; a panel a target, a line a strategy,
    blocks from left to right in the order of the table. floor: a level to mark, such as guessing.
    """
    targets, order, blocks = (list(dict.fromkeys(table[column])) for column in ("target", "strategy", "block"))
    figure, axes = plt.subplots(1, len(targets), figsize=(0.8 + 4.0 * len(targets), 3.6), sharey=True, squeeze=False)
    said = []
    for axis, target in zip(axes[0], targets):
        for index, name in enumerate(order):
            rows = table[(table["strategy"] == name) & (table["target"] == target)]
            there = [block for block in blocks if (rows["block"] == block).any()]
            samples = [rows.loc[rows["block"] == block, value] for block in there]
            mean = _line(axis, index, name, [blocks.index(block) for block in there], samples)
            said.append(f"{target}, {name} " + ", ".join(f"{m:.0%} at {block}" for block, m in zip(there, mean)))
        _guessing(axis, floor)
        axis.set_xticks(range(len(blocks)), blocks)
        axis.set_xlabel("cut after")
        axis.set_ylim(0, 1.02)
        _fractions(axis, "y", f"test {value}" if axis is axes[0, 0] else "")
        axis.set_title(target, fontsize=10, loc="left")
    axes[0, 0].legend(frameon=False, fontsize=9, loc="upper left")
    if title:
        figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    figure.set_label(_sentence(title or value, "; ".join(said)))
    return axes[0]


def curves(history, title=None):
    """Learning curves of one training: loss and accuracy by epoch, on training and validation pictures.

    history: the dict of a Keras History, with loss, accuracy, val_loss, val_accuracy.
    """
    _, axes = plt.subplots(1, 2, figsize=(8.4, 3.0))
    said = []
    for axis, key in zip(axes, ("loss", "accuracy")):
        for index, (prefix, name) in enumerate((("", "training"), ("val_", "validation"))):
            values = history[prefix + key]
            epochs = range(1, len(values) + 1)
            axis.plot(epochs, values, LINES[index], color=COLOURS[index], label=name)
            said.append(f"{name} {key} from {values[0]:.2f} to {values[-1]:.2f}")
        axis.set_title(key, fontsize=10, loc="left")
    return _by_epoch(axes, title, title or "Learning curves", said)


def validations(histories, title=None):
    """Validation loss and accuracy by epoch, a line a network.

    histories: {name: the dict of a Keras History, with val_loss and val_accuracy}.
    """
    _, axes = plt.subplots(1, 2, figsize=(8.8, 3.4))
    said = []
    for axis, key in zip(axes, ("loss", "accuracy")):
        for index, (name, history) in enumerate(histories.items()):
            values = history[f"val_{key}"]
            axis.plot(range(1, len(values) + 1), values, linestyle=LINES[index % len(LINES)],
                      color=COLOURS[index % len(COLOURS)], label=name)  # fmt: skip
            said.append(f"{name} {key} from {values[0]:.2f} to {values[-1]:.2f}")
        axis.set_title(f"validation {key}", fontsize=10, loc="left")
    axes[0].set_ylim(0)
    return _by_epoch(axes, title, title or "Validation curves", said)


def filters(kernels, title=None, columns=16):
    """Convolution filters as small colour pictures: kernels float (height, width, 3, n), channels in the order R, G, B.

    Each is stretched to its own range, so that brightness says nothing about its size: a weight of 0
    is middle grey, and the largest weight of a filter is fully bright or fully dark.
    """
    height, width, _, n = kernels.shape
    rows = -(-n // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(0.62 * columns, 0.64 * rows + 0.3), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, kernel in zip(axes.flat, np.moveaxis(kernels, -1, 0)):
        axis.imshow(0.5 + 0.5 * kernel / (np.abs(kernel).max() or 1))
    figure.subplots_adjust(wspace=0.1, hspace=0.1)
    if title:
        figure.suptitle(title, fontsize=10, va="bottom", y=0.92)
    largest = np.abs(kernels).max(axis=(0, 1, 2))
    figure.set_label(
        f"{title or 'Filters'}: {n} filters of {height}×{width} in colour, largest weights from "
        f"{largest.min():.2g} to {largest.max():.2g}."
    )
    return axes


def activations(picture, maps, channels=8, title=None):
    """A picture beside what some channels answer to it, one row a block.

    picture: uint8 (h, w, 3). maps: {block: float (h', w', c)}. Shown are the `channels` with
    the largest means, in that order, each from black (0) to white (its largest value).
    """
    figure, axes = plt.subplots(
        len(maps), channels + 1, figsize=(0.95 * (channels + 1), 1.0 * len(maps) + 0.3), squeeze=False
    )
    said = []
    for row, (block, values) in zip(axes, maps.items()):
        for axis in row:
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        row[0].imshow(picture)
        height, width, n = values.shape
        row[0].set_ylabel(f"{block}\n{height}×{width}×{n}", rotation=0, ha="right", va="center", fontsize=9)
        for axis, channel in zip(row[1:], np.argsort(-values.mean(axis=(0, 1)))):
            axis.imshow(values[..., channel], cmap="gray", vmin=0)
        said.append(f"{block} {n} maps of {height}×{width}, {np.mean(values <= 0):.0%} of the values are 0 or less")
    figure.subplots_adjust(wspace=0.06, hspace=0.08)
    if title:
        figure.suptitle(title, fontsize=10, va="bottom", y=0.92)
    figure.set_label(_sentence(title or "Activations", "; ".join(said)))
    return axes


def _line(axis, index, name, places, samples):
    """Draw the line number `index`, through the means of samples with their 95 % intervals; returns the means."""
    mean, low, high = np.array([claims.interval(sample) for sample in samples]).T
    axis.errorbar(
        places, mean, [mean - low, high - mean], label=name, capsize=3, color=COLOURS[index % len(COLOURS)],
        marker=MARKERS[index % len(MARKERS)], linestyle=LINES[index % len(LINES)],
    )  # fmt: skip
    return mean


def _guessing(axis, floor):
    if floor is not None:
        axis.axhline(floor, color="grey", linestyle=":", linewidth=1)
        axis.annotate("guessing", (1, floor), xycoords=("axes fraction", "data"), fontsize=8, color="grey",
                      ha="right", va="bottom")  # fmt: skip


def _by_epoch(axes, title, head, said):
    """Finish a figure of two panels, a loss and an accuracy by epoch."""
    figure = axes[0].figure
    for axis in axes:
        axis.set_xlabel("epoch")
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].set_ylim(0, 1.02)
    axes[1].legend(frameon=False, fontsize=9)
    if title:
        figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    figure.set_label(_sentence(head, "; ".join(said)))
    return axes


def _fractions(axis, side, label):
    getattr(axis, f"set_{side}label")(label)
    getattr(axis, f"{side}axis").set_major_formatter(lambda value, _: f"{value:.0%}")
    axis.spines[["top", "right"]].set_visible(False)


def _sentence(head, rest):
    return f"{head}: {rest}."
