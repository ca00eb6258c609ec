"""nbgrader's course folder and gradebook for a graded class, so that its export and formgrader work on it.

nbgrader renders what lies here without cleaning it, and its own autograder would run submissions without a
sandbox. So answers are put into the learner's version of the exercise as text that nothing interprets, and
the folders in `submitted/` are empty: they only say who handed in.
"""

import contextlib
import copy
import os
import re
import sysconfig

import nbformat

from tlcourse import CourseError, storage
from tlcourse.grading import feedback
from tlcourse.grading import release as releases_

CONFIG = '''"""Run nbgrader in this folder. Marks are from `tlcourse grade`, not `nbgrader autograde`."""

import os

c = get_config()
c.CourseDirectory.root = os.path.dirname(os.path.abspath(__file__))
'''


def prepare(out, releases):
    """Make `out` nbgrader's folder for these releases.

    Raises CourseError when it cannot be written, has submissions to a version with other cells, or cannot be released.
    """
    from nbgrader.preprocessors import SaveCells

    if not (out / "nbgrader_config.py").exists():
        _write(out / "nbgrader_config.py", CONFIG)
    with opened(out) as book:
        for release in releases:
            learners = feedback.shown(release)
            book.update_or_create_assignment(release.name)
            place = {"notebook": release.name, "assignment": release.name, "db_url": _url(out)}
            try:
                SaveCells().preprocess(nbformat.reads(release.teacher, as_version=4), {"nbgrader": place})
            except RuntimeError:
                raise CourseError(
                    f"{out} has marks of another version of {release.name}: choose another folder with --out."
                ) from None
            _write(out / "source" / release.name / f"{release.name}.ipynb", release.teacher)
            _write(out / "release" / release.name / f"{release.name}.ipynb", nbformat.writes(learners))


@contextlib.contextmanager
def opened(out):
    """nbgrader's `Gradebook` in `out`. Raises CourseError when the database cannot be used."""
    from nbgrader.api import Gradebook
    from sqlalchemy.exc import SQLAlchemyError

    path = os.environ.get("PATH", "")
    try:
        # A new database asks the program alembic, which is beside this Python and maybe nowhere else.
        os.environ["PATH"] = sysconfig.get_path("scripts") + os.pathsep + path
        try:
            book = Gradebook(_url(out))
        finally:
            os.environ["PATH"] = path
        with book:
            yield book
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).partition("\n")[0]
        raise CourseError(
            f"{out / 'gradebook.db'} cannot be used ({reason}): close it elsewhere, or move it away."
        ) from None


def record(book, out, row):
    """Write a `batch.Row` with its answers into the gradebook. What a person entered there stays."""
    from nbgrader.api import MissingEntry

    name, answers = row.exercise, {answer.grade_id: answer for answer in row.verdict.answers}
    cells = [cell for cell in feedback.shown(row.release).cells if releases_.role(cell) != "given"]
    given = {cell.metadata.nbgrader.grade_id: cell.source for cell in cells}
    _write(out / "autograded" / row.folder / name / f"{name}.ipynb", nbformat.writes(_notebook(row)))
    (out / "submitted" / row.folder / name).mkdir(parents=True, exist_ok=True)
    try:
        book.find_student(row.folder)
    except MissingEntry:
        book.add_student(row.folder, last_name=None if row.folder == row.learner else _name(row.learner))
    with book.db.no_autoflush:  # or SQLAlchemy warns
        submitted = book.update_or_create_submission(name, row.folder).notebooks[0]
    marks = {mark.grade_id: mark for mark in row.verdict.marks}
    for grade in submitted.grades:
        mark = marks[grade.name]
        points = None if mark.outcome == "by hand" else mark.points
        if grade.manual_score is None:
            grade.needs_manual_grade = points is None
        elif points != grade.auto_score:  # a person marked something else
            grade.needs_manual_grade = True
        grade.auto_score = points
    for comment in submitted.comments:
        answer = answers.get(comment.name)
        same = answer is None or answer.source.strip() in ("", given.get(comment.name, "").strip())
        # nbgrader shows comments as HTML: nothing of the learner's may get into them.
        comment.auto_comment = "No response." if same else None
    book.db.commit()


def _notebook(row):
    """The learner's version of the exercise with the learner's answers, inert."""
    notebook = copy.deepcopy(feedback.shown(row.release))
    answers = {answer.grade_id: answer for answer in row.verdict.answers}
    marks = {mark.grade_id: mark for mark in row.verdict.marks}
    for cell in notebook.cells:
        kind = releases_.role(cell)
        if kind == "given":
            continue
        answer, mark = (
            answers.get(cell.metadata.nbgrader.grade_id),
            marks.get(cell.metadata.nbgrader.grade_id),
        )
        if answer and kind != "test":
            cell.source = answer.source if cell.cell_type == "code" else _fenced(answer.source)
            if cell.cell_type == "code":
                cell.outputs = [_output(output) for output in answer.outputs]
        if kind == "test" and mark and cell.cell_type == "code":
            said = f"{mark.outcome}: {mark.points:g} of {mark.out_of:g} points\n{mark.message}".rstrip()
            cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=said + "\n")]
    return notebook


def _output(output):
    if output.kind == "text":
        return nbformat.v4.new_output("stream", name="stdout", text=output.data)
    return nbformat.v4.new_output("display_data", {f"image/{output.kind}": output.data})


def _fenced(text):
    """Markdown that shows `text` as it is: no link, picture, formula or tag in it means anything."""
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=2) + 1)
    return f"{max(fence, '```', key=len)}text\n{text}\n{max(fence, '```', key=len)}"


def _name(learner):
    """A name that neither nbgrader's unquoted CSV nor its pages can trip over."""
    return re.sub(r"[^\w .'-]", " ", learner).strip(" .'-")[:100] or None


def _url(out):
    from sqlalchemy import URL

    return URL.create("sqlite", database=os.path.abspath(out / "gradebook.db")).render_as_string()


def _write(path, text):
    with storage.atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
