"""A small assignment without TensorFlow, and submissions to it, for the tests of the grader."""

import copy
import json

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tlcourse.grading import release

SETUP = "import numpy as np"
Q1 = '''def double(x):
    """Twice the array x."""
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION'''
Q1_TEST = """assert np.allclose(double(np.arange(3)), [0, 2, 4]), "twice 1 is 2"
### BEGIN HIDDEN TESTS
secret = np.array([3.5, -7.25, 11.0])
assert np.allclose(double(secret), secret * 2), "SECRET-NOTE"
### END HIDDEN TESTS"""
Q2 = """### BEGIN SOLUTION
total = 0
for number in range(1, 11):
    total += number
### END SOLUTION"""
Q2_TEST = """assert isinstance(total, int), "total is a whole number"
### BEGIN HIDDEN TESTS
assert total == 5 * 11, "SECRET-NOTE"
### END HIDDEN TESTS"""
Q3 = '''def largest(rows):
    """The row of the 2-d array rows with the largest sum."""
    ### BEGIN SOLUTION
    return rows[np.argmax(rows.sum(axis=1))]
    ### END SOLUTION'''
Q3_TEST = """assert np.array_equal(largest(np.eye(3) * [1, 3, 2]), [0, 3, 0])
### BEGIN HIDDEN TESTS
assert np.array_equal(largest(np.array([[9, -9], [1, 1]])), [1, 1]), "SECRET-NOTE"
### END HIDDEN TESTS"""
POINTS = {"q1_test": 1.0, "q2_test": 2.0, "q3_test": 3.0}


def _marks(grade_id, grade=False, solution=False, points=None):
    marks = {"grade": grade, "solution": solution, "locked": not solution, "task": False}
    marks |= {"schema_version": 3, "grade_id": grade_id}
    return {"nbgrader": marks | ({} if points is None else {"points": points})}


def _code(grade_id, source, **more):
    return new_code_cell(source, id=f"small-{grade_id.replace('_', '-')}", metadata=_marks(grade_id, **more))


def teacher(questions=((Q1, Q1_TEST), (Q2, Q2_TEST), (Q3, Q3_TEST)), setup=SETUP, name="small"):
    """The `Release` of an assignment with these (solution, test) sources; question n gives n points."""
    cells = [new_markdown_cell("# Small", id="small-title"), _code("setup", setup)]
    for number, (solution, test) in enumerate(questions, 1):
        cells.append(new_markdown_cell(f"## Question {number}", id=f"small-q{number}-task"))
        cells.append(_code(f"q{number}", solution, solution=True))
        cells.append(_code(f"q{number}_test", test, grade=True, points=number))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return release.Release(name, nbformat.writes(new_notebook(cells=cells, metadata={"kernelspec": kernel})))


def learners(of=None):
    """The learner's version, as plain JSON to do things to."""
    return json.loads(nbformat.writes(release.learners_version(of or teacher())))


def cell(notebook, grade_id):
    """The cell of a learner's notebook called `grade_id`."""
    return next(c for c in notebook["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") == grade_id)


def solution(grade_id, of=None):
    """The teacher's answer."""
    return next(c.source for c in (of or teacher()).cells() if c.metadata.get("nbgrader", {}).get("grade_id") == grade_id)


def submission(of=None, **answers):
    """A learner's notebook with these sources as `q1=...` (default: left as released), as plain JSON."""
    notebook = copy.deepcopy(learners(of))
    for grade_id, source in answers.items():
        cell(notebook, grade_id)["source"] = source
    return notebook


def right(of=None):
    """A submission that has everything right."""
    of = of or teacher()
    names = [c.metadata.nbgrader.grade_id for c in of.cells() if c.metadata.get("nbgrader", {}).get("solution")]
    return submission(of, **{name: solution(name, of) for name in names})


def data(notebook):
    """The bytes of the submitted file."""
    return json.dumps(notebook).encode()
