"""The course's own exercises, graded: the teacher's answers get every point, an untouched release none."""

import assignment
import pytest

from tlcourse.grading import marking, release, sandbox

pytestmark = pytest.mark.skipif(sandbox.missing() is not None, reason=f"no sandbox here: {sandbox.missing()}")


@pytest.mark.parametrize("of", release.course(), ids=lambda of: of.name)
def test_the_teachers_answers_get_every_point(of):
    verdict = marking.grade_one(assignment.data(assignment.right(of)), of)
    assert [mark for mark in verdict.marks if mark.outcome != "right"] == []
    assert (verdict.status, verdict.reason) == ("graded", "")


def test_what_was_left_as_it_was_released_gets_none():
    of = next(of for of in release.course() if of.name == "06_four_cases")
    verdict = marking.grade_one(assignment.data(assignment.learners(of)), of)
    assert {mark.outcome for mark in verdict.marks} == {"not attempted"}
    assert verdict.points == 0
