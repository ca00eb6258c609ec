"""What stands for the exercises' checks where a learner's code runs while it is graded."""


def check(name):
    """The grader checks, elsewhere."""


def hint(name):
    """No hints while grading."""
