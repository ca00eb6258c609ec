"""Draw the course as one picture, notebooks/course.svg, from the heads of the lessons.

    uv run python tools/course_picture.py

Run it after a head has changed; the same heads give the same bytes.
"""

import re
import sys
import textwrap
from html import escape
from pathlib import Path
from typing import NamedTuple

import nbformat

from tlcourse import CourseError, storage
from tlcourse.plots import COLOURS

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
HEAD = re.compile(r"# (\d\d) · ([^\n]+)\n+\*\*(.+?)\*\*.*?^\| Time \| (\d+) minutes? on 2 CPU cores", re.S | re.M)
GROUPS = {  # a row each
    "No pretrained network needed": range(3),
    "The core: with pretrained networks": range(3, 8),
    "Beyond": range(8, 13),
}

WIDTH, LEFT, CARD, GAP, PAD, BAND = 1000, 36, 172, 19, 11, 32  # pixels; five cards fill a row
# Characters a line, for DejaVu Sans, which is wider than what other systems take for sans-serif.
TITLE, QUESTION = 15, 18
BLACK, GREY = "#1a1a1a", "#767676"
PENCIL = "M0 13 L1 9 L9 1 L12 4 L4 12 Z M7 3 L10 6"


class Head(NamedTuple):
    number: str
    title: str
    question: str
    minutes: int
    exercise: bool


def main():
    """Write the picture. Returns the exit status."""
    try:
        with storage.atomic(NOTEBOOKS / "course.svg") as temporary:
            temporary.write_text(draw(heads()), encoding="utf-8", newline="\n")
    except CourseError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def heads(folder=NOTEBOOKS):
    """A Head for each lesson, in order. Raises CourseError for a first cell that is no head."""
    found = []
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        match = HEAD.match(nbformat.read(path, as_version=4).cells[0].source)
        if not match:
            raise CourseError(f"{path.name} does not begin with number, title, question, minutes: see lesson 00.")
        number, title, question, minutes = match.groups()
        exercise = (folder / "exercises" / path.stem / path.name).is_file()
        found.append(Head(number, title, " ".join(question.split()), int(minutes), exercise))
    return found


def draw(heads):
    """The picture as the text of an SVG file. heads: in order, with numbers that are in GROUPS."""
    rows = _rows(heads)
    heights = [max(map(_height, row)) for _, row in rows]
    tops = [54 + 62 * number + sum(heights[:number]) for number in range(len(rows))]
    ends = [LEFT + len(row) * (CARD + GAP) - GAP for _, row in rows]
    bottom = tops[-1] + heights[-1] + 24
    parts = [_road(tops, ends), _legend(heads, ends[0] + 46, tops[0] + 36)]
    for (name, row), top, height, colour in zip(rows, tops, heights, COLOURS):
        parts.append(_text(LEFT, top - 12, [name], 16, bold=True))
        for place, head in enumerate(row):
            parts.append(_card(head, LEFT + place * (CARD + GAP), top, height, colour))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom}" width="{WIDTH}" height="{bottom}" '
            'font-family="sans-serif" role="img" aria-labelledby="title desc">',
            '<title id="title">The course in one picture</title>',
            f'<desc id="desc">{escape(_said(heads))}</desc>',
            # White paper keeps black text readable in a dark theme.
            f'<rect width="{WIDTH}" height="{bottom}" fill="white"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _rows(heads):
    """[(name, [Head, ...])] of the groups that have lessons."""
    rows = {name: [head for head in heads if int(head.number) in numbers] for name, numbers in GROUPS.items()}
    return [(name, row) for name, row in rows.items() if row]


def _road(tops, ends):
    """The line from the first card to the last one, behind the cards, and its two ends."""
    x, ys = LEFT - 18, [top + BAND // 2 for top in tops]
    steps = [f"M{x} {ys[0]}"]
    for end, top in zip(ends, tops[1:]):
        steps.append(f"H{end + 4} q10 0 10 10 V{top - 52} q0 10 -10 10 H{x + 10} q-10 0 -10 10 V{top + 6} q0 10 10 10")
    steps.append(f"H{ends[-1] + 14}")
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="6" fill="{GREY}"/>' for x, y in ((x, ys[0]), (ends[-1] + 14, ys[-1])))
    return f'<path d="{" ".join(steps)}" fill="none" stroke="{GREY}" stroke-width="4"/>{dots}'


def _height(head):
    return BAND + 20 * len(_wrap(head.title, TITLE)) + 19 * len(_wrap(head.question, QUESTION)) + 56


def _card(head, x, y, height, colour):
    title, question = _wrap(head.title, TITLE), _wrap(head.question, QUESTION)
    inner, foot, below = x + PAD, y + height - 13, y + BAND + 20 * len(title) + 28
    corner = f"V{y + 8} Q{x} {y} {x + 8} {y} H{x + CARD - 8} Q{x + CARD} {y} {x + CARD} {y + 8}"
    parts = [
        f'<rect x="{x}" y="{y}" width="{CARD}" height="{height}" rx="8" fill="white" stroke="{colour}" '
        'stroke-width="2"/>',
        f'<path d="M{x} {y + BAND} {corner} V{y + BAND} Z" fill="{colour}"/>',
        _text(inner, y + 23, [head.number], 20, bold=True, fill="white"),
        _text(inner, y + BAND + 22, title, 16, bold=True),
        _text(inner, below, question, 15, step=19),
        _text(inner, foot, [f"{head.minutes} min"], 14),
    ]
    if head.exercise:
        place = f"translate({x + 78} {foot - 12})"
        parts.append(f'<path transform="{place}" d="{PENCIL}" fill="none" stroke="{BLACK}" stroke-width="1.5"/>')
        parts.append(_text(x + 96, foot, ["exercise"], 14))
    return "\n".join(parts)


def _legend(heads, x, y):
    minutes = f"{sum(head.minutes for head in heads)} minutes in all, on 2 CPU cores."
    said = ["Every lesson asks one question", "and answers it by measuring.", minutes]
    return "\n".join(
        [
            _text(x, y, ["Transfer learning", f"in {len(heads)} lessons"], 28, bold=True, step=34),
            _text(x, y + 70, said, 16, step=23),
        ]
    )


def _text(x, y, lines, size, bold=False, step=20, fill=BLACK):
    weight = ' font-weight="bold"' if bold else ""
    ys = range(y, y + len(lines) * step, step)
    spans = "".join(f'<tspan x="{x}" y="{at}">{escape(line)}</tspan>' for at, line in zip(ys, lines))
    return f'<text font-size="{size}"{weight} fill="{fill}">{spans}</text>'


def _wrap(text, width):
    return textwrap.wrap(text, width, break_on_hyphens=False)


def _said(heads):
    rows = []
    for name, row in _rows(heads):
        lessons = (
            f"{head.number} {head.title}. {head.question} {head.minutes} {'minute' if head.minutes == 1 else 'minutes'}"
            + (", with an exercise." if head.exercise else ".")
            for head in row
        )
        rows.append(f"{name}: {' '.join(lessons)}")
    return f"{len(heads)} lessons, one after the other; minutes on 2 CPU cores. " + " ".join(rows)


if __name__ == "__main__":
    sys.exit(main())
