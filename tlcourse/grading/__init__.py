"""Submissions in, marks and feedback out: release, marking in two sandboxed kernels, batch, gradebook.

What passes between these rooms is the `Verdict` on one submission.
"""

from dataclasses import dataclass

STATUSES = ("graded", "timed out", "crashed", "limits", "unreadable")


@dataclass(frozen=True)
class Output:
    """Something that an answer showed: `kind` is `"text"`, `"png"` or `"jpeg"` (base64)."""

    kind: str
    data: str


@dataclass(frozen=True)
class Answer:
    """What a learner wrote into one solution cell, and what it showed when it ran here.

    `source` is the learner's own text, whatever it may contain; `cell_type` `"code"` or `"markdown"`.
    """

    grade_id: str
    cell_type: str
    source: str
    outputs: tuple[Output, ...] = ()


@dataclass(frozen=True)
class Mark:
    """What one test cell gave.

    `outcome`: `"right"`, `"partly right"`, `"wrong"`, `"not attempted"`, or `"by hand"`, where a person marks (points 0 until then).
    `message` is for the learner and comes from the visible tests alone; `note` is for the teacher
    and may come from a hidden test.
    """

    grade_id: str
    points: float
    out_of: float
    outcome: str
    message: str
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """On one submission: a status of `STATUSES` with its reason (one sentence, `""` for a plain `"graded"`), seconds, a mark
    for every test cell of the release in its order, and the answers."""

    status: str
    reason: str
    seconds: float
    marks: tuple[Mark, ...]
    answers: tuple[Answer, ...] = ()

    @property
    def points(self):
        return sum(mark.points for mark in self.marks)

    @property
    def out_of(self):
        return sum(mark.out_of for mark in self.marks)
