"""What teachers know works on the result: nbgrader's export, its feedback and its formgrader."""

import csv
import os
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
from small import EVIL, SECRET, hostile, release, submission

from tlcourse.grading import batch, feedback, gradebook

pytestmark = pytest.mark.usefixtures("alembic_version")

ONE = release()
PATHS = feedback.machine_paths()
API = pytest.importorskip("nbgrader.api")


def write(out, **learners):
    """Grade `learners`, {folder: arguments of `submission`}, without a cluster."""
    out.mkdir(exist_ok=True)
    gradebook.prepare(out, [ONE])
    with gradebook.opened(out) as book:
        for folder, answers in learners.items():
            verdict = batch._verdict(batch._call(hostile, submission(ONE, *answers).encode(), ONE, {}), ONE)
            gradebook.record(
                book,
                out,
                batch.Row(f"{folder}, =cmd", folder, ONE.name, "", ONE, feedback.cleaned(verdict, PATHS)),
            )
    return out


def nbgrader(out, *arguments):
    """Run nbgrader in `out` as a teacher would, with a home of its own."""
    environment = os.environ | {
        "HOME": str(out),
        "JUPYTER_CONFIG_DIR": str(out / ".jupyter"),
        "JUPYTER_DATA_DIR": str(out / ".data"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=out,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def api(out):
    """What the formgrader's buttons call."""
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import Config

    return NbGraderAPI(
        config=Config({"CourseDirectory": {"root": str(out)}, "Exchange": {"root": str(out / "exchange")}})
    )


def test_export_and_feedback_of_nbgrader(tmp_path):
    out = write(tmp_path / "out", anna=["answer_1 = 42"], ben=["answer_1 = 0"])
    nbgrader(out, "export")
    with open(out / "grades.csv") as file:
        grades = list(csv.DictReader(file))
    columns = ("assignment", "student_id", "score", "max_score")
    assert [[each[name] for name in columns] for each in grades] == [
        ["01_small", "anna", "3.0", "6.0"], ["01_small", "ben", "2.0", "6.0"],
    ]  # fmt: skip
    made = api(out).generate_feedback("01_small")
    assert made["success"], made["log"]
    page = (out / "feedback" / "ben" / "01_small" / "01_small.html").read_text()
    assert (
        "answer_1" in page
        and SECRET not in page
        and "<script>alert" not in page
        and "Score: 2.0 / 6.0" in page
    )


def test_a_second_run_keeps_what_a_person_entered(tmp_path):
    out = write(tmp_path / "out", anna=["answer_1 = 42"], ben=["answer_1 = 0"])
    with gradebook.opened(out) as book:
        grades = {grade.name: grade for grade in book.find_submission("01_small", "anna").notebooks[0].grades}
        ours = [grades[name] for name in ("q1_test", "q2_test", "q3")]
        assert [(grade.auto_score, grade.needs_manual_grade) for grade in ours] == [
            (1.0, False), (2.0, False), (None, True),
        ]  # fmt: skip
        for name, score in (("q3", 2.5), ("q1_test", 0.25)):
            grades[name].manual_score, grades[name].needs_manual_grade = score, False
        book.find_comment("q3", "01_small", "01_small", "anna").manual_comment = "Nicely put."
        book.update_or_create_student("anna", first_name="Anna")
        book.db.commit()
    write(out, anna=["answer_1 = 42"], cem=["answer_1 = 42"])
    with gradebook.opened(out) as book:
        assert [student.id for student in book.students] == ["anna", "ben", "cem"]
        assert book.find_submission("01_small", "anna").score == 0.25 + 2 + 2.5
        assert not book.find_submission("01_small", "anna").needs_manual_grade
        assert book.find_comment("q3", "01_small", "01_small", "anna").comment == "Nicely put."
        assert book.find_student("anna").first_name == "Anna"
        assert len(book.assignments) == 1 and len(book.assignment_submissions("01_small")) == 3
    write(out, anna=["answer_1 = 0"])
    with gradebook.opened(out) as book:
        grade = book.find_grade("q1_test", "01_small", "01_small", "anna")
        assert grade.needs_manual_grade and grade.score == 0.25  # the answer changed: a person looks again
        comments = {c.name: c.comment for c in book.find_submission("01_small", "anna").notebooks[0].comments}
        assert comments["q1"] is None


def test_no_response_is_what_was_not_changed(tmp_path):
    stub = next(cell.source for cell in feedback.shown(ONE).cells if cell.id.endswith("answer-1"))
    out = write(tmp_path / "out", anna=[stub, "", "It is so."])
    with gradebook.opened(out) as book:
        comments = {c.name: c.comment for c in book.find_submission("01_small", "anna").notebooks[0].comments}
    assert comments == {"q1": "No response.", "q2": "No response.", "q3": None}


def test_names_are_harmless_in_nbgraders_unquoted_csv(tmp_path):
    out = write(tmp_path / "out", anna=["answer_1 = 42"])
    with gradebook.opened(out) as book:
        assert book.find_student("anna").last_name == "anna   cmd"
    assert gradebook._name(EVIL).isprintable() and not set(gradebook._name(EVIL)) & set('<>,=()"')


def test_nothing_of_a_learner_is_there_to_be_run_by_nbgrader(tmp_path):
    out = write(tmp_path / "out", anna=["answer_1 = 42"])
    assert [path.name for path in (out / "submitted").rglob("*")] == ["anna", "01_small"]
    before = (out / "autograded" / "anna" / "01_small" / "01_small.ipynb").read_text()
    tried = api(out).autograde("01_small", "anna")
    assert not tried["success"] and "No notebooks were matched" in tried["log"]
    assert (out / "autograded" / "anna" / "01_small" / "01_small.ipynb").read_text() == before


def test_the_formgrader_shows_a_submission(tmp_path):
    out = write(tmp_path / "out", anna=[f"answer_1 = 0  # {EVIL}", "answer_2 = 42", f"My words {EVIL}"])
    with gradebook.opened(out) as book:
        number = book.find_submission_notebook("01_small", "01_small", "anna").id
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = tmp_path / "home"
    environment = (
        os.environ
        | {f"JUPYTER_{name}_DIR": str(home / name) for name in ("CONFIG", "DATA", "RUNTIME")}
        | {"HOME": str(home)}
    )
    formgrader = "{'nbgrader.server_extensions.formgrader': True}"
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyter_server", "--allow-root", "--no-browser", f"--ServerApp.port={port}",
         "--ServerApp.token=t", f"--ServerApp.root_dir={out}",
         f"--ServerApp.jpserver_extensions={formgrader}"],
        cwd=out, env=environment, stdout=subprocess.DEVNULL, stderr=open(tmp_path / "log", "w"),
    )  # fmt: skip

    def get(path):
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/formgrader/{path}", headers={"Authorization": "token t"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read().decode()

    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                get("api/status")
                break
            except OSError:
                time.sleep(0.2)
        page = get(f"submissions/{number}/")
        assert "My words" in page and "answer_1" in page and "Student's answer" in page
        assert "<script>alert" not in page and "onerror=alert(2)>" not in page and SECRET not in page
        assert '"num_submissions": 1' in get("api/assignments")
        assert '"autograded": true' in get("api/submissions/01_small") and '"score": 2.0' in get(
            "api/submissions/01_small"
        )
        for name in ("gradebook/01_small/01_small", "manage_submissions/01_small", "manage_students/anna"):
            assert get(name)
    finally:
        server.terminate()
        server.wait(20)
