"""Every exercise: each known wrong answer is told why it is wrong. (That the right ones are right, nbval sees.)"""

import importlib.util
import re
from functools import partial
from pathlib import Path

import nbformat
import pytest

from tlcourse import exercises, settings, wire

FOLDER = settings.notebooks() / "exercises"
NAMES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


def cells(name):
    """(role, grade_id, source) of each code cell of the teacher's version: given, solution or test."""
    for cell in nbformat.read(FOLDER / name / f"{name}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            marks = cell.metadata.nbgrader
            role = "solution" if marks.solution else "test" if marks.grade else "given"
            yield role, marks.grade_id, cell.source


def known_wrong(name):
    path = Path(__file__).parent / "exercises" / f"{name[3:]}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.WRONG


def answered(name, question, source):
    """The check's verdict when `source` stands in the solution cell of `question`."""
    namespace = {}
    for role, grade_id, own in cells(name):
        if role == "test" and grade_id == f"{question}_test":
            break
        if role != "test":
            exec(source if role == "solution" and grade_id == question else own, namespace)
    check = namespace["check"].questions[question]
    return exercises.judge(check, partial(wire.serve, namespace=namespace))


@pytest.mark.parametrize("name", NAMES)
def test_every_question_has_a_check_three_hints_and_known_wrong_answers(name):
    solutions = [grade_id for role, grade_id, _ in cells(name) if role == "solution"]
    tests = [grade_id for role, grade_id, _ in cells(name) if role == "test"]
    module = importlib.import_module(f"tlcourse.exercises.{name[3:]}")
    assert 4 <= len(solutions) <= 6
    assert tests == [f"{each}_test" for each in solutions]
    assert list(module.check.questions) == solutions
    assert all(len(each.hints) >= 2 for each in module.check.questions.values())
    wrong = known_wrong(name)
    assert list(wrong) == solutions and all(len(each) >= 2 for each in wrong.values())


@pytest.mark.parametrize("name", NAMES)
def test_what_a_learner_runs_needs_nothing_that_the_grader_hides(name):
    for role, _, source in cells(name):
        hidden = re.findall(r"^from tlcourse\.exercises\.(?!given)\w+ import (.*)", source, re.M)
        assert role == "test" or all(names == "check, hint" for names in hidden)
        assert "SOLUTION" not in source or role == "solution"


@pytest.mark.parametrize(
    "name, question, source, because",
    [
        pytest.param(name, question, source, because, id=f"{name}-{question}-{number}")
        for name in NAMES
        for question, answers in known_wrong(name).items()
        for number, (source, because) in enumerate(answers, 1)
    ],
)
def test_a_known_wrong_answer_is_told_why(name, question, source, because):
    status, message = answered(name, question, source)
    assert status == "wrong"
    assert because in message


@pytest.mark.parametrize("name", NAMES)
def test_a_question_without_an_answer_is_not_attempted(name):
    for question in known_wrong(name):
        assert answered(name, question, "")[0] == "not attempted"
