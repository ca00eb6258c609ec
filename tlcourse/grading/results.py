"""What a graded class amounts to: `marks.csv` and `summary.md`."""

import csv
import html
import io
import re
import statistics
from collections import Counter, defaultdict

from tlcourse import storage
from tlcourse.grading import STATUSES

HEAD = ("learner", "exercise", "status", "reason", "points", "out_of", "seconds", "file")
TOP, BAR = 10, 30


def write(rows, out, in_force=(), others=()):
    """Write `marks.csv` and `summary.md` of `batch.Row`s into `out`, atomically."""
    for name, text in (("marks.csv", marks(rows)), ("summary.md", summary(rows, in_force, others))):
        with storage.atomic(out / name) as temporary:
            # Excel takes UTF-8 for what it is only with a byte order mark; pandas reads it with or without.
            temporary.write_text(text, encoding="utf-8-sig" if name == "marks.csv" else "utf-8", newline="")


def marks(rows):
    """The rows as CSV: after `HEAD` a column for each test cell, empty where it is another exercise's."""
    questions = list(dict.fromkeys(mark.grade_id for row in _by_exercise(rows) for mark in row.verdict.marks))
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow([*HEAD, *map(_cell, questions)])
    for row in rows:
        verdict, points = row.verdict, {mark.grade_id: _number(mark.points) for mark in row.verdict.marks}
        texts = [_cell(text) for text in (row.learner, row.exercise, verdict.status, verdict.reason)]
        numbers = [_number(verdict.points), _number(verdict.out_of), f"{verdict.seconds:.1f}"]
        writer.writerow([*texts, *numbers, _cell(row.file), *(points.get(name, "") for name in questions)])
    return file.getvalue()


def brief(rows):
    """The counts in one sentence, and the hardest question, as lines for a terminal."""
    counts = Counter(row.verdict.status for row in rows)
    told = ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])
    learners = len({row.learner for row in rows})
    by_hand = sum(mark.outcome == "by hand" for row in rows for mark in row.verdict.marks)
    lines = [f"{_count(len(rows), 'submission')} of {_count(learners, 'learner')}: {told}."]
    if by_hand:
        lines.append(f"{_count(by_hand, 'answer')} for a person to mark.")
    return lines


def summary(rows, in_force=(), others=()):
    """The class in Markdown. What learners wrote is escaped."""
    seconds = [row.verdict.seconds for row in rows if row.verdict.seconds] or [0.0]
    lines = ["# Summary", "", *(f"- {line}" for line in brief(rows))]
    lines += [
        f"- A submission took {statistics.median(seconds):.1f} s (median), the slowest {max(seconds):.1f} s."
    ]
    lines += ["", "## Limits in force", "", *(f"- {sentence}" for sentence in in_force or ["not told"])]
    shares = _shares(rows)
    if shares:
        (exercise, name), values = min(shares.items(), key=lambda item: statistics.mean(item[1]))
        mean = f"{statistics.mean(values):.0%} of its points on average"
        lines += ["", "## Hardest question", "", f"`{name}` of `{exercise}`: {mean}."]
    for exercise in sorted({row.exercise for row in rows if row.release}):
        mine = [row for row in rows if row.exercise == exercise]
        lines += ["", f"## {exercise}", "", *_distribution(mine), "", *_questions(mine, shares)]
    lines += ["", "## Commonest misconceptions", "", *_misconceptions(rows)]
    failed = [row for row in rows if row.verdict.status != "graded"]
    if failed:
        lines += ["", "## Not graded to the end", ""]
    for row in failed:
        exercise = f"`{row.exercise}`" if row.exercise else "no exercise"
        lines.append(
            f"- {_escaped(row.learner)}, {exercise}: {row.verdict.status}. {_escaped(row.verdict.reason)}"
        )
    if others:
        lines += ["", "## Not looked at", "", *(f"- {_escaped(name)}" for name in others)]
    return "\n".join(lines) + "\n"


def _distribution(rows):
    """A histogram of the points, in fifths of what tests give, in text."""
    points = [row.verdict.points for row in rows]
    most = sum(mark.out_of for mark in rows[0].verdict.marks if mark.outcome != "by hand")
    fifths = Counter(min(4, int(5 * value / most)) if most else 0 for value in points)
    width = BAR / max(fifths.values())
    told = f"median {statistics.median(points):g} of the {most:g} points that tests give"
    lines = [f"{_count(len(rows), 'submission')}, {told}.", "", "```text"]
    for fifth in range(5):
        bar = "█" * round(fifths[fifth] * width)
        lines.append(f"{20 * fifth:3d}–{20 * fifth + 20:3d} %  {bar or '·'} {fifths[fifth]}")
    return [*lines, "```"]


def _questions(rows, shares):
    counts = defaultdict(Counter)
    for row in rows:
        for mark in row.verdict.marks:
            counts[mark.grade_id][mark.outcome] += 1
    columns = ("right", "partly right", "wrong", "not attempted", "by hand")
    lines = [f"| question | points | {' | '.join(columns)} |", "|---|" + "--:|" * (len(columns) + 1)]
    for name, found in counts.items():
        values = shares.get((rows[0].exercise, name))
        mean = f"{statistics.mean(values):.0%}" if values else "–"
        lines.append(f"| `{name}` | {mean} | {' | '.join(str(found[each]) for each in columns)} |")
    return lines


def _shares(rows):
    """{(exercise, question): the fraction of its points that each readable submission got}, not by hand."""
    shares = defaultdict(list)
    for row in rows:
        for mark in row.verdict.marks if row.verdict.status != "unreadable" else ():
            if mark.outcome != "by hand" and mark.out_of:
                shares[row.exercise, mark.grade_id].append(mark.points / mark.out_of)
    return shares


def _misconceptions(rows):
    found = Counter(
        (row.exercise, mark.grade_id, mark.message)
        for row in rows
        for mark in row.verdict.marks
        if mark.outcome in ("wrong", "partly right") and mark.message
    )
    return [
        f"- {times} × `{name}` of `{exercise}`: {_escaped(message)}"
        for (exercise, name, message), times in found.most_common(TOP)
    ] or ["none"]


def _by_exercise(rows):
    return sorted(rows, key=lambda row: row.exercise)


def _number(value):
    return f"{round(value, 4):g}"


def _count(number, noun):
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _cell(text):
    """Text that no spreadsheet takes for a formula, also where it parts cells at a semicolon or a tab."""
    return re.sub(r"(^|[;,\t\r\n])([\s\"]*)(?=[=+\-@\t\r＝＋－＠])", r"\1\2'", text)


def _escaped(text, most=300):
    """Text as one line of Markdown in which nothing means anything."""
    line = " ".join(text.split())
    line = line if len(line) <= most else line[:most] + "…"
    return re.sub(r"([\\`*_{}\[\]()#+!|~$<>:@-])", r"\\\1", html.escape(line, quote=False))
