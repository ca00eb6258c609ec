"""What a mark is made of, in two kernels."""

import assignment
import pytest

from tlcourse import CourseError
from tlcourse.grading import kernels, marking, sandbox
from tlcourse.grading.sandbox import Limits

LIMITS = Limits(cell=5, total=40)
inside = pytest.mark.skipif(sandbox.missing() is not None, reason=f"no sandbox here: {sandbox.missing()}")


def grade(notebook, release=None, limits=LIMITS, **more):
    return marking.grade_one(assignment.data(notebook), release or assignment.teacher(), limits, **more)


def points(verdict):
    return {mark.grade_id: mark.points for mark in verdict.marks}


@pytest.mark.parametrize("boxed", [pytest.param(True, marks=inside), False])
def test_right_answers_get_their_points(boxed):
    verdict = grade(assignment.right(), sandbox=boxed)
    assert (verdict.status, verdict.reason) == ("graded", "")
    assert points(verdict) == assignment.POINTS
    assert {mark.outcome for mark in verdict.marks} == {"right"}
    assert [answer.grade_id for answer in verdict.answers] == ["q1", "q2", "q3"]


@inside
def test_each_wrong_answer_is_told_what_the_visible_test_says_and_no_more():
    verdict = grade(
        assignment.submission(q1="def double(x): return x", q2="total = 54", q3="def largest(rows): return 1 / 0")
    )
    first, second, third = verdict.marks
    assert (first.outcome, first.message) == ("wrong", "wrong because twice 1 is 2.")
    assert (second.outcome, second.note) == ("wrong", "wrong because SECRET-NOTE.")
    assert "hidden" in second.message and "SECRET" not in second.message
    assert "your code stopped with ZeroDivisionError: division by zero" in third.message
    assert verdict.points == 0 and verdict.out_of == 6


@inside
def test_what_was_left_out_is_not_attempted():
    verdict = grade(assignment.submission(q2=assignment.solution("q2")))
    assert [mark.outcome for mark in verdict.marks] == ["not attempted", "right", "not attempted"]


@inside
def test_outputs_and_errors_of_the_answers_are_kept_for_feedback():
    verdict = grade(assignment.submission(q1="print('hello')\n5", q2="1/0"))
    assert verdict.answers[0].outputs[0].data == "hello\n5"
    assert "ZeroDivisionError" in verdict.answers[1].outputs[0].data


@inside
def test_a_test_cell_that_ends_with_a_number_gives_that_many_points():
    of = assignment.teacher([("total = 0", "0"), (assignment.Q1, "score = 1\nscore"), (assignment.Q1, "3")])
    verdict = grade(assignment.right(of), of)
    assert points(verdict) == {"q1_test": 0.0, "q2_test": 1.0, "q3_test": 3.0}
    assert [mark.outcome for mark in verdict.marks] == ["wrong", "partly right", "right"]


@inside
def test_tests_see_the_answers_as_they_were_at_that_place_of_the_notebook():
    of = assignment.teacher(
        [
            ("box = [1]", "assert box == [1]\n### BEGIN HIDDEN TESTS\nassert len(box) == 1\n### END HIDDEN TESTS"),
            ("box.append(2)", "assert box == [1, 2]\n### BEGIN HIDDEN TESTS\nassert sum(box) == 3\n### END HIDDEN TESTS"),
        ]
    )
    assert grade(assignment.right(of), of).points == 3


@inside
def test_hidden_tests_may_use_what_their_visible_ones_made():
    of = assignment.teacher(
        [
            (assignment.Q1, "x = np.ones(2)\n### BEGIN HIDDEN TESTS\nassert (double(x) == 2).all()\n### END HIDDEN TESTS"),
            (assignment.Q2, "x = 55\n### BEGIN HIDDEN TESTS\nassert total == x\n### END HIDDEN TESTS"),
        ]
    )
    assert grade(assignment.right(of), of).points == 3


@inside
def test_names_of_the_tests_cannot_be_replaced_by_the_learner():
    helper = "def expected(x):\n    return 2 * x\nassert double(1) == expected(1)"
    of = assignment.teacher([(assignment.Q1, helper), (assignment.Q1, "assert double(2) == expected(2)")])
    attack = "def double(x): return 7\ndef expected(x): return 7"
    assert grade(assignment.submission(of, q1=attack, q2=attack), of).points == 0


@inside
def test_time_that_ran_out_is_the_status_and_costs_the_rest():
    verdict = grade(
        assignment.submission(q1=assignment.solution("q1"), q2="import time; time.sleep(60)"), limits=Limits(cell=3, total=5)
    )
    assert verdict.status == "timed out" and "ran longer" in verdict.reason
    assert verdict.seconds < 12


@inside
def test_time_that_ran_out_before_the_hidden_tests_earns_nothing(monkeypatch):
    monkeypatch.setattr(marking._Grading, "prepare_next", lambda *_: None)  # as if there had been none left
    assert grade(assignment.right()).points == 0


@inside
def test_a_submission_that_cannot_be_read_still_has_its_row():
    verdict = marking.grade_one(b"\xff", assignment.teacher())
    assert (verdict.status, verdict.points, verdict.out_of, len(verdict.marks)) == ("unreadable", 0, 6, 3)
    assert verdict.reason == "The file is not JSON, so it is not a notebook."


@inside
def test_a_cell_that_a_person_marks_waits_for_it():
    notebook = assignment.teacher()
    text = notebook.teacher.replace('"grade": false,\n     "grade_id": "q2"', '"grade": true,\n     "points": 4,\n     "grade_id": "q2"')
    assert text != notebook.teacher
    of = type(notebook)("small", text)
    marks = {mark.grade_id: mark for mark in grade(assignment.right(of), of).marks}
    assert (marks["q2"].outcome, marks["q2"].points, marks["q2"].out_of) == ("by hand", 0, 4)


KERAS = """from tlcourse import quiet
import keras
import numpy as np"""
HEAD = '''def head(classes):
    ### BEGIN SOLUTION
    layers = [keras.Input((4,)), keras.layers.Dense(classes, activation="softmax", name="head")]
    return keras.Sequential(layers, name="model")
    ### END SOLUTION'''
HEAD_TEST = """model = head(3)
assert model(np.zeros((2, 4))).shape == (2, 3), "one number a class"
### BEGIN HIDDEN TESTS
assert np.allclose(np.sum(head(5)(np.ones((1, 4))), axis=1), 1)
### END HIDDEN TESTS"""


@inside
def test_models_cross_between_the_kernels():
    of = assignment.teacher([(HEAD, HEAD_TEST)], setup=KERAS)
    assert grade(assignment.right(of), of, Limits(cell=60, total=120)).points == 1


def test_without_bubblewrap_grading_refuses_and_says_why(monkeypatch):
    sandbox.missing.cache_clear()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CourseError, match="apt install bubblewrap.*--unsafe-no-sandbox"):
        sandbox.require()
    sandbox.require(unsafe=True)
    assert "No sandbox" in sandbox.in_force(sandbox=False)[0]
    sandbox.missing.cache_clear()


@inside
def test_the_limits_in_force_are_said():
    said = " ".join(sandbox.in_force())
    assert "no network" in said and "4096 MB of memory" in said and "processes" in said


@inside
def test_without_control_groups_memory_is_watched(monkeypatch):
    monkeypatch.setattr(sandbox, "_cgroups", lambda: False)
    limits = Limits(cell=10, total=20, memory=300 << 20)
    with kernels.Kernel(limits, learner=True, sandbox=True) as kernel, pytest.raises(kernels.Died, match="300 MB"):
        kernel.run("import time\nheap = bytearray(b'x') * (400 << 20)\ntime.sleep(5)", 8)
