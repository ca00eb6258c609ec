"""An exercise as its teacher wrote it, and the version for learners."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import nbformat

from tlcourse import CourseError, settings, storage

HIDDEN, SCHEME = (
    re.compile(rf"^[^\n]*BEGIN {what}[^\n]*\n(.*?)^[^\n]*END {what}[^\n]*\n?", re.M | re.S)
    for what in ("HIDDEN TESTS", "MARK SCHEME")
)
SOLUTION = re.compile(r"^([ \t]*)[^\n]*BEGIN SOLUTION[^\n]*\n.*?END SOLUTION[^\n]*$", re.M | re.S)
MARKER = re.compile("(BEGIN|END) (SOLUTION|HIDDEN TESTS|MARK SCHEME)")
STUBS = {"code": "# YOUR CODE HERE\nraise NotImplementedError()", "markdown": "YOUR ANSWER HERE"}


@dataclass(frozen=True)
class Release:
    """`name`: such as `"02_mnist_cifar"`. `teacher`: the teacher's notebook as JSON text."""

    name: str
    teacher: str

    def cells(self):
        return nbformat.reads(self.teacher, as_version=4).cells


def role(cell):
    """`"given"`, `"answer"` (a solution cell), `"test"`, or `"by hand"` (an answer that a person marks)."""
    marks = cell.metadata.get("nbgrader") or {}
    grade, solution = bool(marks.get("grade")), bool(marks.get("solution"))
    if marks.get("task"):
        return "by hand"
    return {(True, True): "by hand", (True, False): "test", (False, True): "answer"}.get((grade, solution), "given")


def visible(source):
    """A test cell's source without its hidden tests."""
    return _without(HIDDEN, source)


def hidden(source):
    """The hidden tests of a test cell's source, `""` if it has none."""
    return "\n".join(HIDDEN.findall(source))


def read(path):
    """The `Release` in the teacher's notebook at `path`. Raises `CourseError` if it is not one."""
    path = Path(path)
    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError, AttributeError, nbformat.ValidationError, nbformat.reader.NotJSONError) as error:
        reason = getattr(error, "strerror", None) or "it is not a notebook"
        raise CourseError(f"{path} cannot be read ({reason}): give a teacher's notebook.") from None
    marked = [cell.metadata.nbgrader for cell in notebook.cells if cell.metadata.get("nbgrader")]
    names = [str(marks.get("grade_id") or "") for marks in marked]
    if not all(names):
        raise CourseError(f"{path} has a cell of nbgrader's without a grade_id: give it one.")
    for marks in (each for each in marked if each.get("grade") or each.get("task")):
        points = marks.get("points")
        if isinstance(points, bool) or not isinstance(points, int | float) or not points >= 0:
            raise CourseError(f"{path} gives no number of points for {marks['grade_id']}: give 0 or more.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CourseError(f"{path} has more than one cell called {twice[0]}: give each its own grade_id.")
    if not any(role(cell) in ("test", "by hand") for cell in notebook.cells):
        raise CourseError(f"{path} has no cell that gives points: give a teacher's notebook with nbgrader metadata.")
    return Release(path.stem, nbformat.writes(notebook))


def course():
    """The course's own exercises, in order."""
    return [read(path) for path in sorted((settings.notebooks() / "exercises").glob("*/*.ipynb"))]


def learners_version(release):
    """The notebook that learners get: no solutions, hidden tests, mark schemes or outputs, all else intact.

    It is what nbgrader makes of it, with its checksums, and a test compares the two; but learners need no nbgrader.
    Raises `CourseError` where a solution or a hidden test would stay in it.
    """
    notebook = nbformat.reads(release.teacher, as_version=4)
    notebook.metadata.pop("celltoolbar", None)
    for cell in notebook.cells:
        marks = cell.metadata.get("nbgrader") or {}
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            for shown in ("collapsed", "scrolled"):
                cell.metadata.pop(shown, None)
        if marks.get("solution"):
            cell.source = _without_solution(cell)
        if marks.get("grade"):
            cell.source = visible(cell.source)
        if marks.get("task"):
            cell.source = _without(SCHEME, cell.source)
        if "attachments" in cell and (marks.get("solution") or marks.get("task")):
            # A picture of a solution goes with the solution.
            source = unquote(cell.source)
            cell.attachments = {name: file for name, file in cell.attachments.items() if f"attachment:{name}" in source}
        if marks.get("grade") or marks.get("solution") or marks.get("locked"):
            cell.metadata["deletable"] = False
            if not marks.get("solution"):
                cell.metadata["editable"] = False
            marks |= {"checksum": _checksum(cell, marks), "cell_type": cell.cell_type}
        if stray := MARKER.search(cell.source):
            raise CourseError(
                f"The exercise {release.name} cannot be released: {stray[0]} stands alone or in a cell that is not marked for it."
            )
    return notebook


def _without(region, source):
    return region.sub("", source + "\n").removesuffix("\n")


def _without_solution(cell):
    stub = STUBS.get(cell.cell_type, STUBS["markdown"])
    source, regions = SOLUTION.subn(lambda found: "\n".join(found[1] + line for line in stub.split("\n")), cell.source)
    return source if regions or MARKER.search(source) else stub


def _checksum(cell, marks):
    grade, solution = bool(marks.get("grade")), bool(marks.get("solution"))
    locked = not solution and (grade or bool(marks.get("locked")))
    said = [cell.source, cell.cell_type, str(grade), str(solution), str(locked), marks["grade_id"]]
    if grade:
        said.append(str(float(marks["points"])))
    return hashlib.md5("".join(said).encode()).hexdigest()


def write(folder, releases=None):
    """Write the learner's versions into `folder`, as nbgrader lays them out, and return their paths.

    Raises `CourseError` where a file is in the way that is not the same.
    """
    files = {}
    for release in course() if releases is None else releases:
        path = Path(folder) / release.name / f"{release.name}.ipynb"
        text = nbformat.writes(learners_version(release)) + "\n"
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise CourseError(f"{path} is there already and differs: choose another folder, or move it away.")
        files[path] = text
    for path, text in files.items():
        with storage.atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return list(files)
