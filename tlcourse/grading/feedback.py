"""A learner's feedback page: inert, and without secrets.

Learners' text is only ever escaped, their pictures are decoded and drawn anew; of the teacher's notebook only
what learners were given reaches the page.
"""

import base64
import functools
import html
import io
import re
import sys
import tempfile
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

from tlcourse import report
from tlcourse.grading import Answer, Mark, Output
from tlcourse.grading.release import learners_version, role

MOST_TEXT, MOST_SOURCE, MOST_OUTPUTS = 20_000, 50_000, 20  # characters, characters, outputs of an answer
MOST_BASE64, MOST_PIXELS, SIDE = 8_000_000, 20_000_000, 1600  # of a picture; it is shrunk to SIDE
_ANSI = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_TAGS = (
    *("p", "br", "hr", "em", "strong", "del", "sub", "sup", "code", "pre", "blockquote", "ul", "ol", "li"),
    *("table", "thead", "tbody", "tr", "th", "td", "h1", "h2", "h3", "h4", "h5", "h6"),
)


@dataclass(frozen=True)
class Question:
    """What the page says of one test cell. `task`: clean HTML; `test`: what of it learners may see."""

    title: str
    task: str
    answers: list[Answer]
    mark: Mark
    test: str


def machine_paths(*folders):
    """A pattern of this machine's paths, which must not be told: longest first."""
    package = Path(__file__).parents[1]
    known = [
        package,
        package.parent,
        sys.prefix,
        sys.base_prefix,
        Path.home(),
        tempfile.gettempdir(),
        Path.cwd(),
        *folders,
    ]
    texts = {str(each) for path in known for each in (Path(path).absolute(), Path(path).resolve())}
    texts = sorted((text for text in texts if len(text) > 3), key=len, reverse=True)
    return re.compile(rf"(?:{'|'.join(map(re.escape, texts))})(?![\w.-]*\w)")


def cleaned(verdict, paths):
    """`verdict` with its texts and pictures made harmless and short; what matches `paths` becomes "…".

    A learner's own source is not searched: it would tell which guesses are right.
    """

    def plain(text, most=MOST_TEXT):
        return paths.sub("…", _plain(text, most))

    marks = (
        replace(mark, message=plain(mark.message, 2000), note=plain(mark.note, 2000))
        for mark in verdict.marks
    )
    answers = []
    for answer in verdict.answers:
        outputs = (_output(output, plain) for output in answer.outputs[:MOST_OUTPUTS])
        source = _plain(answer.source, MOST_SOURCE)
        answers.append(replace(answer, source=source, outputs=tuple(filter(None, outputs))))
    return replace(verdict, reason=plain(verdict.reason, 2000), marks=tuple(marks), answers=tuple(answers))


def page(row):
    """The HTML page on a `batch.Row`, whose verdict is `cleaned`."""
    title, asked = questions(row.release, row.verdict) if row.release else ("Your submission", [])
    by_hand = sum(mark.out_of for mark in row.verdict.marks if mark.outcome == "by hand")
    return _template().render(
        title=title, learner=row.learner, verdict=row.verdict, questions=asked, by_hand=by_hand
    )


def questions(release, verdict):
    """The exercise's title and its `Question`s: each test cell with the tasks and answers that lead to it."""
    marks = {mark.grade_id: mark for mark in verdict.marks}
    answers = {answer.grade_id: answer for answer in verdict.answers}
    title, task, given, asked = release.name, [], [], []
    for cell in shown(release).cells:
        kind, name = role(cell), (cell.metadata.get("nbgrader") or {}).get("grade_id")
        if kind == "given":
            found = (
                re.match(r"\s*#\s+(.*)", cell.source) if cell.cell_type == "markdown" and not asked else None
            )
            if found:
                title = found[1].strip("# ")  # what follows told how to begin
            elif cell.cell_type == "markdown":
                task.append(cell.source)
            continue
        if kind != "test":
            given.append(answers.get(name) or Answer(name, cell.cell_type, ""))
        if name in marks:
            # What comes before a heading of its own closes the question before.
            parts = re.split(r"^##\s+(.+)$", "\n\n".join(task), maxsplit=1, flags=re.M)
            heading = (
                re.sub(r"[*`]|\s#+\s*$", "", parts[1]) if len(parts) > 1 else f"Question {len(asked) + 1}"
            )
            test = cell.source if kind == "test" else ""
            asked.append(Question(heading, _markdown(parts[-1]), given, marks[name], test))
            task, given = [], []
    return title, asked


@functools.lru_cache(maxsize=32)
def shown(release):
    """The learner's version of `release`, not to be changed."""
    return learners_version(release)


@functools.lru_cache(maxsize=512)
def _markdown(source):
    """The teacher's Markdown as HTML of text alone; of links their words are left, of pictures nothing."""
    import bleach
    from nbconvert.filters.markdown_mistune import InvalidNotebook, IPythonRenderer, MarkdownWithMath

    renderer = IPythonRenderer(escape=True, exclude_anchor_links=True)
    try:
        made = MarkdownWithMath(renderer=renderer).render(source)
    except InvalidNotebook:  # an attached picture
        made = f"<pre>{html.escape(source)}</pre>"
    made = bleach.clean(made, tags=_TAGS, attributes={}, strip=True, strip_comments=True)
    return re.sub(r"<(/?)h[1-6]>", r"<\1h3>", made)


def _plain(text, most):
    """Text without terminal codes and control characters, at most so long."""
    cut = text[: 2 * most]
    clean = _CONTROL.sub("\ufffd", _ANSI.sub("", cut).replace("\r\n", "\n").replace("\r", "\n"))
    return clean if len(clean) <= most and len(text) <= 2 * most else clean[:most] + "\n… (cut here)"


def _output(output, plain):
    if output.kind == "text":
        return replace(output, data=plain(output.data))
    data = _picture(output.kind, output.data)
    return Output(output.kind, data) if data else None


def _picture(kind, data):
    """A picture drawn anew, so that only its pixels are left, as base64; None if it is none."""
    from PIL import Image

    if kind not in ("png", "jpeg") or len(data) > MOST_BASE64:
        return None
    try:
        with (
            warnings.catch_warnings(),
            Image.open(io.BytesIO(base64.b64decode(data)), formats=[kind.upper()]) as image,
        ):
            warnings.simplefilter("ignore")
            if image.width * image.height > MOST_PIXELS:
                return None
            see_through = kind == "png" and ("A" in image.getbands() or "transparency" in image.info)
            image = image.convert("RGBA" if see_through else "RGB")
            image.thumbnail((SIDE, SIDE))
            pixels = Image.frombytes(image.mode, image.size, image.tobytes())
        file = io.BytesIO()
        pixels.save(file, kind.upper(), quality=90)
        return base64.b64encode(file.getvalue()).decode()
    except Exception:  # what a hostile picture makes Pillow raise is not all documented
        return None


@functools.cache
def _template():
    path = Path(__file__).with_name("feedback.html.jinja")
    return report.template(path, points=lambda number: f"{round(number, 2):g}")
