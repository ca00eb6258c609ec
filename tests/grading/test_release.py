"""The teacher's version, and what learners get of it."""

import json

import assignment
import nbformat
import pytest

from tlcourse import CourseError
from tlcourse.grading import release


def test_learners_get_no_solution_no_hidden_test_and_no_output():
    text = json.dumps(assignment.learners())
    assert "SOLUTION" not in text and "HIDDEN" not in text and "SECRET" not in text and "2 * x" not in text
    cells = release.learners_version(assignment.teacher()).cells
    assert all(cell.outputs == [] for cell in cells if cell.cell_type == "code")
    assert text.count("raise NotImplementedError()") == 3


def test_everything_else_is_intact():
    teacher, learner = assignment.teacher().cells(), release.learners_version(assignment.teacher()).cells
    assert [cell.id for cell in teacher] == [cell.id for cell in learner]
    for before, after in zip(teacher, learner):
        if release.role(before) == "given":
            assert before.source == after.source
        if release.role(before) == "test":
            assert release.visible(before.source).strip() == after.source.strip()


def by_hand():
    """An exercise of cells that a person marks, with a mark scheme, a picture and hidden tests in nbgrader's own manner."""
    notebook = nbformat.reads(assignment.teacher().teacher, as_version=4)
    test = notebook.cells[-1]
    test.source = test.source.replace("### ", "# ")
    marks = test.metadata.nbgrader
    task = nbformat.v4.new_markdown_cell("Draw it.\n=== BEGIN MARK SCHEME ===\n2 for the slope\n=== END MARK SCHEME ===\nEnd.")
    task.metadata.nbgrader = marks | {"grade": False, "task": True, "grade_id": "drawing"}
    raw = nbformat.v4.new_raw_cell("The answer is 42.")
    raw.metadata.nbgrader = marks | {"solution": True, "grade_id": "words"}
    notebook.cells += [task, raw]
    return release.Release("by_hand", nbformat.writes(notebook))


@pytest.mark.parametrize("of", [assignment.teacher(), by_hand(), *release.course()], ids=lambda of: of.name)
def test_it_is_what_nbgrader_makes_of_it(of):
    preprocessors = pytest.importorskip("nbgrader.preprocessors")
    theirs = nbformat.reads(of.teacher, as_version=4)
    for name in ("LockCells", "ClearSolutions", "ClearOutput", "ClearHiddenTests", "ClearMarkScheme", "ComputeChecksums"):
        theirs, _ = getattr(preprocessors, name)().preprocess(theirs, {})
    assert release.learners_version(of) == theirs


def test_a_picture_of_a_solution_is_not_released():
    notebook = nbformat.v4.new_notebook()
    task = nbformat.v4.new_markdown_cell("![a](attachment:a%20b.png)", attachments={"a b.png": {"image/png": "GIVEN"}})
    task.metadata.nbgrader = {"grade": False, "task": True, "grade_id": "look", "points": 1}
    cell = nbformat.v4.new_markdown_cell("![so](attachment:so.png)", attachments={"so.png": {"image/png": "SECRET"}})
    cell.metadata.nbgrader = {"grade": True, "solution": True, "grade_id": "drawing", "points": 1}
    notebook.cells = [cell, task]
    text = json.dumps(release.learners_version(release.Release("small", nbformat.writes(notebook))))
    assert "SECRET" not in text and "GIVEN" in text


@pytest.mark.parametrize(
    "before, after",
    [("### END SOLUTION", ""), ("### END HIDDEN TESTS", ""), ("# %given", "### BEGIN SOLUTION\n### END SOLUTION")],
)
def test_what_would_give_a_solution_away_is_not_released(before, after):
    notebook = nbformat.reads(assignment.teacher().teacher, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell("# %given"))
    for cell in notebook.cells:
        cell.source = cell.source.replace(before, after)
    broken = release.Release("small", nbformat.writes(notebook))
    with pytest.raises(CourseError, match="The exercise small cannot be released: (BEGIN|END) (SOLUTION|HIDDEN TESTS)"):
        release.learners_version(broken)


def test_the_hidden_part_of_a_test():
    assert release.hidden(assignment.Q1_TEST).startswith("secret = ")
    assert "secret" not in release.visible(assignment.Q1_TEST)
    assert release.hidden("assert True") == ""


def test_the_course_is_released_once_and_never_over_something_else(tmp_path):
    teacher = assignment.teacher()
    [path] = release.write(tmp_path, [teacher])
    assert path == tmp_path / "small" / "small.ipynb"
    nbformat.validate(nbformat.read(path, as_version=4))
    assert release.write(tmp_path, [teacher]) == [path]
    path.write_text("mine")
    with pytest.raises(CourseError, match="is there already and differs"):
        release.write(tmp_path, [teacher])
    assert path.read_text() == "mine"


def test_every_exercise_of_the_course_can_be_released(tmp_path):
    for path in release.write(tmp_path):
        text = path.read_text()
        assert "SOLUTION" not in text and "HIDDEN" not in text
        assert "raise NotImplementedError()" in text


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "it is not a notebook"),
        ("[]", "it is not a notebook"),
        ('{"cells": []}', "has no cell that gives points"),
        (json.dumps(nbformat.v4.new_notebook()), "has no cell that gives points"),
    ],
)
def test_what_is_no_teachers_notebook_is_said(tmp_path, text, message):
    path = tmp_path / "x.ipynb"
    path.write_text(text)
    with pytest.raises(CourseError, match=message):
        release.read(path)
    with pytest.raises(CourseError, match="cannot be read"):
        release.read(tmp_path / "missing.ipynb")


@pytest.mark.parametrize(
    "marks, message",
    [({"points": "x"}, "no number of points for q3_test"), ({"points": None}, "no number of points"),
     ({"grade_id": ""}, "without a grade_id")],
)  # fmt: skip
def test_what_nbgrader_could_not_use_is_said(tmp_path, marks, message):
    notebook = json.loads(assignment.teacher().teacher)
    notebook["cells"][-1]["metadata"]["nbgrader"] |= marks
    path = tmp_path / "x.ipynb"
    path.write_text(json.dumps(notebook))
    with pytest.raises(CourseError, match=message):
        release.read(path)


def test_points_matter_only_where_they_are_given(tmp_path):
    notebook = json.loads(assignment.teacher().teacher)
    notebook["cells"][1]["metadata"]["nbgrader"]["points"] = None
    path = tmp_path / "x.ipynb"
    path.write_text(json.dumps(notebook))
    assert release.read(path).name == "x"


def test_two_cells_of_one_name_are_said(tmp_path):
    notebook = json.loads(assignment.teacher().teacher)
    notebook["cells"].append(notebook["cells"][-1] | {"id": "another"})
    path = tmp_path / "x.ipynb"
    path.write_text(json.dumps(notebook))
    with pytest.raises(CourseError, match="more than one cell called q3_test"):
        release.read(path)
