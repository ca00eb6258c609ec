"""A tiny exercise, submissions to it, and stand-ins for `marking.grade_one` that workers can import."""

import json
import os
import time
from pathlib import Path

import nbformat

from tlcourse.grading import Answer, Mark, Output, Verdict
from tlcourse.grading.release import Release, role

v4 = nbformat.v4
SECRET = "1357924680"
EVIL = "<script>alert(1)</script><img src=https://evil.example/x onerror=alert(2)>[x](javascript:alert(3))"
HIDDEN = f"### BEGIN HIDDEN TESTS\nassert answer_1 != {SECRET}\n### END HIDDEN TESTS\n"


def release(name="01_small", text="What is six times seven?"):
    """Two questions with a test each, and a Markdown answer that a person marks."""
    cells = [
        v4.new_markdown_cell("# Small numbers\n\nAn exercise about *numbers*.", id="title"),
        v4.new_code_cell("import math", id="given"),
    ]
    for number in (1, 2):
        cells += [
            v4.new_markdown_cell(f"## Task {number}\n\n{text} Use `math`, $a_{number}$", id=f"task-{number}"),
            v4.new_code_cell(
                f"### BEGIN SOLUTION\nanswer_{number} = 42\n### END SOLUTION\n", id=f"{name}-answer-{number}",
                metadata=marks(f"q{number}", solution=True),
            ),
            v4.new_code_cell(
                f"assert answer_{number} > 0\n{HIDDEN}", id=f"{name}-test-{number}",
                metadata=marks(f"q{number}_test", grade=True, points=number),
            ),
        ]  # fmt: skip
    cells.append(v4.new_markdown_cell("## Task 3\n\nWhy?", id="task-3"))
    by_hand = marks("q3", grade=True, solution=True, points=3)
    cells.append(v4.new_markdown_cell("Because it is so.", id=f"{name}-answer-3", metadata=by_hand))
    notebook = v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return Release(name, nbformat.writes(notebook))


def marks(grade_id, grade=False, solution=False, points=None):
    made = {"schema_version": 3, "grade_id": grade_id, "grade": grade, "solution": solution, "task": False}
    made["locked"] = not solution
    return {"nbgrader": made | ({"points": points} if grade else {})}


def submission(of, first="answer_1 = 42", second="answer_2 = 42", third="I *think* so."):
    """A learner's notebook as text."""
    notebook = nbformat.reads(of.teacher, as_version=4)
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        cell.source = {"q1": first, "q2": second, "q3": third}.get(name, cell.source)
    return nbformat.writes(notebook)


def hand_in(folder, **files):
    """Write `files` into `folder`; a key is a path with `__` for the slash, without suffix."""
    for name, text in files.items():
        path = Path(folder, *f"{name}.ipynb".split("__"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Path(folder)


def fake(data, release, limits=None, sandbox=True, outputs=(), message="It is not positive, or not a number."):
    """Right if the answer says 42, by the text alone. What else the answer says may make it die."""
    notebook = json.loads(data)
    sources = {
        cell["metadata"]["nbgrader"]["grade_id"]: "".join(cell["source"])
        for cell in notebook["cells"]
        if "nbgrader" in cell["metadata"]
    }
    if log := os.environ.get("FAKE_LOG"):
        with open(log, "a", encoding="utf-8") as file:
            file.write("graded\n")
    if "drop dead" in sources["q1"]:
        os._exit(1)
    if "give up" in sources["q1"]:
        raise SystemExit("gone wrong")
    if "fall asleep" in sources["q1"]:
        time.sleep(600)
    found, answers = [], []
    for cell in release.cells():
        name, kind = cell.metadata.get("nbgrader", {}).get("grade_id"), role(cell)
        if kind in ("answer", "by hand"):
            answers.append(Answer(name, cell.cell_type, sources[name], tuple(outputs)))
        if kind == "by hand":
            found.append(Mark(name, 0.0, float(cell.metadata.nbgrader.points), "by hand", ""))
        elif kind == "test":
            right = "42" in sources[name.removesuffix("_test")]
            points = float(cell.metadata.nbgrader.points)
            said = ("right", "") if right else ("wrong", message)
            found.append(Mark(name, points * right, points, *said, f"the hidden test with {SECRET} failed"))
    return Verdict("graded", "", 0.5, tuple(found), tuple(answers))


def set_log(path):
    os.environ["FAKE_LOG"] = path


def hostile(data, release, limits=None, sandbox=True):
    """As `fake`, with outputs and messages as a hostile learner would have them."""
    return fake(
        data,
        release,
        sandbox=sandbox,
        outputs=OUTPUTS,
        message=f"{EVIL} \ud800 at {os.path.realpath(os.sys.prefix)}/x.py",
    )


OUTPUTS = (
    Output("text", f"{EVIL}\x1b[31mred\x1b[0m \x00 \udcff {os.sys.prefix}/lib {os.getcwd()}/secret.py"),
    Output("png", "bm90IGEgcGljdHVyZQ=="),
    Output("png", '"><script>alert(4)</script>'),
    Output("svg", EVIL),
    Output("html", EVIL),
    Output("text", "x" * 100_000),
)
