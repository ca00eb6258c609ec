"""Controls for JupyterLab. Without a kernel or without widgets, the text around them says the same."""

from html import escape

from tlcourse import CourseError, claims


def guess(question, choices):
    """Ask for a first guess, and return the control; its `value` is the choice, None before one is made."""
    import ipywidgets
    from IPython.display import display

    control = ipywidgets.RadioButtons(
        options=choices, value=None, description=question, layout={"width": "max-content"},
        style={"description_width": "initial"},
    )  # fmt: skip
    display(control)
    return control


def reveal(guess, measured):
    """Print the guess beside what was measured. guess: the control of `guess`, or a text."""
    made = getattr(guess, "value", guess)
    print(f"You guessed: {made}" if made else "You made no guess.")
    print(f"Measured:    {measured}")


def cut(table, facts, figures=None):
    """Ask where to cut a network, with a slider over its blocks, and show below it what features from there are worth.

    table: a row a training, with the columns strategy, target, block, seed and accuracy (a fraction), see
        `plots.by_block`. facts: a table with a row a block, in the order of the slider, whose columns are shown as
        they are, such as the number of features or the cost. figures: {block: Axes}, shown below.
    Everything is worked out beforehand, so that the slider answers at once. Returns the slider; its `value` is the block.
    Raises CourseError when a column is missing, and when `table` or `figures` lack a block.
    """
    import ipywidgets
    from IPython.display import display

    missing = [column for column in ("strategy", "target", "block", "seed", "accuracy") if column not in table]
    if missing:
        raise CourseError(f"The table has no column {missing[0]!r}: give one as plots.by_block takes it.")
    for block in facts.index:
        if block not in set(table["block"]) or (figures and block not in figures):
            raise CourseError(f"There is nothing to show for the block {block!r}: measure it, or leave it out of the facts.")
    pages = {block: _page(table[table["block"] == block], facts.loc[block]) for block in facts.index}
    if figures:
        pages = {block: page + _picture(figures[block]) for block, page in pages.items()}
    slider = ipywidgets.SelectionSlider(
        options=list(facts.index), description="cut after", layout={"width": "32em"},
        style={"description_width": "initial"},
    )  # fmt: skip
    page = ipywidgets.HTML(pages[slider.value])
    slider.observe(lambda change: page.set_trait("value", pages[change["new"]]), "value")
    display(ipywidgets.VBox([slider, page]))
    return slider


def _page(rows, facts):
    """What the slider says of a block, as HTML: a bar with an interval for each target and strategy, then the facts."""
    lines = []
    for (target, strategy), found in rows.groupby(["target", "strategy"], sort=False):
        mean, low, high = claims.interval(found["accuracy"])
        bar = f'<div style="background: #0072B2; height: 0.8em; width: {10 * mean:.2f}em"></div>'
        lines.append((f"{target}, {strategy}", bar, f"{mean:.1%} ({low:.1%} to {high:.1%})"))
    lines += [(name, "", str(value)) for name, value in facts.items()]
    cells = "".join(f"<tr><td>{escape(str(a))}</td><td>{b}</td><td>{escape(c)}</td></tr>" for a, b, c in lines)
    return f'<table aria-live="polite" style="border-spacing: 1em 0">{cells}</table>'


def _picture(axes):
    import matplotlib.pyplot as plt
    import numpy as np

    from tlcourse import plots

    figure = np.ravel(axes)[0].figure
    plt.close(figure)
    return f'<img alt="{escape(figure.get_label())}" src="data:image/png;base64,{plots.png(figure)}">'
