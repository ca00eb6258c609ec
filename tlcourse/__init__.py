"""tlcourse: a transfer-learning course in which every claim is measured.

Importing this package is cheap: TensorFlow is loaded by the rooms that need it.
"""

__version__ = "0.1.0"


class CourseError(Exception):
    """A user's mistake or missing thing: one sentence that says what to do."""
