"""An executed course as one HTML page: every claim, its interval, and its figures.

Outputs are not trusted: from a notebook only plain text, PNG or JPEG pictures and the numbers of learning
curves reach the page, the text escaped, the pictures decoded and the curves drawn anew.
"""

import base64
import math
import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import jinja2
import matplotlib.pyplot as plt
from markupsafe import Markup

from tlcourse import lessons, plots, settings, storage

KINDS = {"holds": "holds", "does not hold here": "fails", "too close to call": "close"}
MAGIC = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}


@dataclass(frozen=True)
class Claim:
    """One judged sentence. `seconds` is None where a claim shares its cell with the one before."""

    number: str
    sentence: str
    verdict: str
    kind: str
    measured: str
    strip: dict | None
    seconds: float | None
    figures: list


@dataclass(frozen=True)
class Lesson:
    """What the report says of one lesson. `figures` are those that no claim follows or precedes."""

    name: str
    title: str
    question: str
    claims: list
    figures: list
    counts: Counter
    failure: str
    seconds: float
    profile: str
    device: str
    versions: tuple


def build(runs, out):
    """Write the report of executed lessons to the file `out`, atomically; returns its Path.

    `runs` is a sequence of (path, notebook, failure) as `lessons.execute_all` yields.
    Raises CourseError when `out` cannot be written.
    """
    course = [lesson(*run) for run in runs]
    page = template(Path(__file__).with_name("report.html.jinja"), time=_time).render(
        lessons=course,
        total=sum((each.counts for each in course), Counter()),
        seconds=sum(each.seconds for each in course),
        failures=sum(bool(each.failure) for each in course),
        date=f"{datetime.now().astimezone():%d %B %Y, %H:%M %Z}",
        profiles=_distinct(each.profile for each in course) or [settings.profile()],
        devices=_distinct(each.device for each in course),
        versions=_distinct(version for each in course for version in each.versions),
    )
    with storage.atomic(out) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
    return Path(out)


def lesson(path, notebook, failure=None):
    """Read one executed notebook into a `Lesson`."""
    title, question = _headline(notebook)
    claims, figures = _claims(notebook)
    banner = _banner(notebook)
    versions = banner.get("versions")
    return Lesson(
        name=Path(path).stem,
        title=title or Path(path).stem,
        question=question,
        claims=claims,
        figures=figures,
        counts=Counter(claim.kind for claim in claims),
        failure=str(failure) if failure else "",
        seconds=_number(notebook.metadata.get("tlcourse", {}).get("seconds")) or 0.0,
        profile=str(banner.get("profile", "")),
        device=str(banner.get("device", "")),
        versions=tuple(f"{k} {v}" for k, v in versions.items()) if isinstance(versions, dict) else (),
    )


def _claims(notebook):
    claims, waiting, spent = [], [], 0.0
    for cell in lessons.code_cells(notebook):
        spent = (spent or 0.0) + lessons.seconds(cell)
        home = waiting
        for output in cell.outputs:
            home.extend(_figures(output))
            if facts := _fact(output, "tlcourse_claim"):
                claims.append(_claim(facts, waiting, spent))
                # A figure below a claim in the claim's own cell is that claim's too.
                home, waiting, spent = waiting, [], None
    if claims:
        claims[-1].figures.extend(waiting)
        waiting = []
    return claims, waiting


def _claim(facts, figures, spent):
    verdict = str(facts.get("verdict", ""))
    return Claim(
        number=str(facts.get("number", "")),
        sentence=str(facts.get("sentence", "")),
        verdict=verdict,
        kind=KINDS.get(verdict, "other"),
        measured=str(facts.get("measured", "")),
        strip=_strip(*(_number(facts.get(key)) for key in ("low", "difference", "high"))),
        seconds=spent,
        figures=figures,
    )


def _strip(low, middle, high):
    """Places on a strip 200 wide with zero in its middle, or None where there is no interval."""
    if low is None or high is None or low > high:
        return None
    reach = max(abs(low), abs(high)) * 1.15 or 1.0
    left, right = (100 + 100 * value / reach for value in (low, high))
    dot = None if middle is None else min(200.0, max(0.0, 100 + 100 * middle / reach))
    return {"left": left, "width": max(1.5, right - left), "dot": dot}


def _figures(output):
    if curves := _curves(_fact(output, "tlcourse_curves") or {}):
        return [{"switchable": curves}]
    data = output.get("data", {})
    for kind, magic in MAGIC.items():
        try:
            picture = base64.b64decode(data[kind], validate=False)
        except (KeyError, TypeError, ValueError):
            continue
        if picture.startswith(magic):
            about = _fact(output, kind) or {}
            source = f"data:{kind};base64,{base64.b64encode(picture).decode()}"
            return [{"source": source, "alt": str(about.get("alt") or "")}]
    return []


def _curves(facts):
    """The figure of `plots.show_validations`, drawn anew from its numbers; None where they are not such numbers."""
    histories = {}
    try:
        for name, history in facts["histories"].items():
            histories[_text(name)[:60]] = {key: [_number(value) for value in history[key][:1000]] for key in plots.CURVES}
    except (AttributeError, KeyError, TypeError):
        return None
    values = [values for history in histories.values() for values in history.values()]
    if not 0 < len(histories) <= 12 or not all(values) or any(None in each for each in values):
        return None
    with plt.rc_context({"text.parse_math": False}):
        html, _, _ = plots.switchable(plots.validations(histories, _text(facts.get("title", ""))[:200])[0].figure)
    return Markup(html)


def _headline(notebook):
    lines = [
        line.strip()
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if line.strip()
    ]
    place = next((i for i, line in enumerate(lines) if re.match(r"#{1,6}\s", line)), None)
    if place is None:
        return "", ""
    below = map(_plain, lines[place + 1 : place + 6])
    return _plain(lines[place]), next((line for line in below if line.endswith("?")), "")


def _plain(markdown):
    text = re.sub(r"^[#>\s]+|[*`]|^_+|_+$", "", markdown)
    return re.sub(r"^Question[.:]\s*", "", text).strip()


def _fact(output, key):
    value = output.get("metadata", {}).get(key)
    return value if isinstance(value, dict) else None


def _banner(notebook):
    outputs = (output for cell in lessons.code_cells(notebook) for output in cell.outputs)
    return next(filter(None, (_fact(output, "tlcourse_banner") for output in outputs)), {})


def _distinct(texts):
    return list(dict.fromkeys(filter(None, texts)))


def _number(value):
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        return float(value) if plain and math.isfinite(value) else None
    except OverflowError:
        return None


def _text(value):
    return str(value).encode("utf-8", "replace").decode()


def _time(seconds):
    if seconds < 60:
        return "under 0.1 s" if seconds < 0.1 else f"{seconds:.{int(seconds < 10)}f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


def template(path, **filters):
    """The Jinja template at `path`, which escapes all that it is given, with these filters."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(path.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(path.name)
