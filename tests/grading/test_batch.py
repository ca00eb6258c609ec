"""The batch: whatever is handed in ends in a row, and nobody pays for another's submission."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
import small
from small import fake, hand_in, release, submission

from tlcourse import CourseError, cli
from tlcourse.grading import batch, results, submissions
from tlcourse.grading.release import Release

pytestmark = pytest.mark.usefixtures("alembic_version")

ONE = release()
GOOD = submission(ONE)


@pytest.fixture(scope="module")
def scheduler():
    """One cluster for most of the tests; it is also how a real one is used."""
    import distributed

    here = str(Path(__file__).parent)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address=":0", memory_limit=0, silence_logs=50,
        preload=[f"import sys\nsys.path.insert(0, {here!r})"],
    ) as cluster:  # fmt: skip
        yield cluster.scheduler_address


def graded(folder, out, scheduler, *releases, **more):
    """The table that pandas reads from the marks."""
    options = {"scheduler": scheduler, "sandbox": False, "grade_one": fake} | more
    batch.grade(folder, out, list(releases) or [ONE], **options)
    return table(out)


def table(out):
    return pd.read_csv(out / "marks.csv", keep_default_na=False, dtype=str)


def children():
    return {child.pid for child in psutil.Process().children(recursive=True)}


def test_marks_one_row_for_each_learner_and_exercise(tmp_path, scheduler):
    two = release("02_other")
    folder = hand_in(
        tmp_path / "in",
        anna=GOOD,
        ben__01_small=submission(ONE, first="answer_1 = 0"),
        ben__deep__x=submission(two),
    )
    rows = graded(folder, tmp_path / "out", scheduler, ONE, two)
    assert list(rows.columns[:8]) == list(results.HEAD)
    assert rows[["learner", "exercise", "points", "out_of", "file"]].values.tolist() == [
        ["anna", "01_small", "3", "6", "anna.ipynb"],
        ["ben", "01_small", "2", "6", "ben/01_small.ipynb"],
        ["ben", "02_other", "3", "6", "ben/deep/x.ipynb"],
    ]
    assert rows.q1_test.tolist() == ["1", "0", "1"] and set(rows.status) == {"graded"}
    summary = (tmp_path / "out" / "summary.md").read_text()
    assert "3 submissions of 2 learners: 3 graded." in summary and "It is not positive" in summary
    assert small.SECRET not in summary and "3 answers for a person" in summary


def test_names_of_any_kind(tmp_path, scheduler):
    names = [
        "Ünal Ö",
        "a b",
        "..",
        "...x",
        "=cmd()",
        "-rf",
        "@x",
        "Anna",
        "anna",
        "<b>&",
        "x" * 240,
        "con",
        "日本",
        "a;=1+1",
    ]
    for name in names:
        if name != "..":
            (tmp_path / "in" / name).mkdir(parents=True)
            (tmp_path / "in" / name / "n.ipynb").write_text(GOOD)
    os.makedirs(os.fsencode(tmp_path / "in") + b"/\xff\xfe")
    (tmp_path / "in" / ".git").mkdir()
    (tmp_path / "in" / "._anna.ipynb").write_text("resource fork")
    (tmp_path / "in" / "read me.txt").write_text("")
    rows = graded(tmp_path / "in", tmp_path / "out", scheduler)
    learners = set(rows.learner)
    assert {
        "Ünal Ö",
        "...x",
        "'=cmd()",
        "'-rf",
        "'@x",
        "Anna",
        "anna",
        "<b>&",
        "x" * 240,
        "a;'=1+1",
        "\\xff\\xfe",
    } <= learners
    assert len(rows) == len(names)  # all but "..", and the one that is not UTF-8
    assert (rows.status == "graded").sum() == len(names) - 1
    pages = [
        path.relative_to(tmp_path / "out" / "feedback")
        for path in (tmp_path / "out" / "feedback").rglob("*.html")
    ]
    assert len(pages) == len(names) and all(len(page.parts) == 2 for page in pages)
    assert len({page.parts[0].casefold() for page in pages}) == len(names)
    assert all(page.parts[0].isprintable() and not set(page.parts[0]) & set(" <>&=@;/\\") for page in pages)
    assert "read me.txt" in (tmp_path / "out" / "summary.md").read_text()


def test_a_name_stays_when_others_come(tmp_path):
    first = submissions.folders(["anna", "x y"], {})
    later = submissions.folders(["Anna", "ANNA", "anna", "x y", "x_y"], first)
    assert {name: later[name] for name in first} == first and first["anna"] == "anna"
    assert len({name.casefold() for name in later.values()}) == 5


def hostile_files(folder):
    folder.mkdir()
    files = {
        "empty": b"", "text": b"hello", "list": b"[]", "deep": b"[" * 100_000, "latin": b'{"cells": "\xff"}',
        "number": b"9" * 10_000, "deep_dict": b'{"a":' * 100_000,
    }  # fmt: skip
    for name, data in files.items():
        (folder / f"{name}.ipynb").write_bytes(data)
    (folder / "secret").write_text(GOOD)
    (folder / "link.ipynb").symlink_to(folder / "secret")
    (folder / "linked").symlink_to("/etc")
    (folder / "loop").mkdir()
    (folder / "loop" / "again").symlink_to(folder)
    (folder / "loop" / "x.ipynb").symlink_to("/dev/zero")
    (folder / "nothing").mkdir()
    (folder / "folder" / "x.ipynb").mkdir(parents=True)
    os.mkfifo(folder / "fifo.ipynb")
    with open(folder / "huge.ipynb", "wb") as file:
        file.truncate(10 * submissions.LARGEST_FILE)
    return folder


def test_what_cannot_be_read_has_its_row_and_why(tmp_path):
    folder = hostile_files(tmp_path / "in")
    (folder / "good.ipynb").write_text(GOOD)
    found, others = submissions.collect(folder, [ONE])
    status = {each.learner: each.status for each in found}
    assert status.pop("good") == "" and status.pop("huge") == "limits"
    assert set(status.values()) == {"unreadable"} and others == ["secret"]
    assert len(status) == 13 and {"link", "linked", "loop", "nothing", "folder", "fifo", "deep"} <= set(
        status
    )
    reasons = {each.learner: each.reason for each in found}
    assert reasons["nothing"] == "there is no notebook in it" and "link" in reasons["linked"]
    assert {each.exercise for each in found} == {"01_small"}


def test_odd_json_is_left_to_the_marking(tmp_path):
    odd = [
        {}, {"cells": 3}, {"cells": [3, None, {"id": []}, {"id": "a", "metadata": []}]},
        {"cells": [{"metadata": {"nbgrader": [1]}}, {"metadata": {"nbgrader": {"grade_id": {}}}}]},
    ]  # fmt: skip
    folder = hand_in(tmp_path, **{f"n{place}": json.dumps(each) for place, each in enumerate(odd)})
    assert [each.status for each in submissions.collect(folder, [ONE])[0]] == [""] * 4
    two = [ONE, release("02_other")]
    assert {(each.status, each.exercise) for each in submissions.collect(folder, two)[0]} == {
        ("unreadable", "")
    }


def test_the_exercise_is_told_by_ids_then_by_name(tmp_path):
    two = release("02_other")
    folder = hand_in(
        tmp_path, a__anything=submission(two), b__02_other=submission(ONE), c__02_other__x="{", d__x="{}"
    )
    found, _ = submissions.collect(folder, [ONE, two])
    assert {each.learner: each.exercise for each in found} == {
        "a": "02_other",
        "b": "01_small",
        "c": "02_other",
        "d": "",
    }


def test_of_several_notebooks_the_one_that_is_named_so_counts(tmp_path):
    part = json.loads(GOOD)
    part["cells"] = part["cells"][:3]
    folder = hand_in(
        tmp_path, a__copy=GOOD, a__z__01_small=json.dumps(part), b__1=json.dumps(part), b__2=GOOD,
        c__2=GOOD, c__1=GOOD,
        d__01_small="{", d__backup=GOOD,
    )  # fmt: skip
    found, _ = submissions.collect(folder, [ONE])
    chosen = {each.learner: each.file for each in found}
    assert chosen == {"a": "a/z/01_small.ipynb", "b": "b/2.ipynb", "c": "c/1.ipynb", "d": "d/backup.ipynb"}
    assert all("not looked at" in each.reason for each in found) and "a/copy.ipynb" in found[0].reason


def test_a_task_that_kills_its_worker_costs_nobody_else(tmp_path, scheduler):
    files = {f"n{place}": submission(ONE, third=f"{place}") for place in range(3)}
    files |= {"dead": submission(ONE, first="drop dead"), "raised": submission(ONE, first="give up")}
    before = children()
    rows = graded(hand_in(tmp_path / "in", **files), tmp_path / "out", None, workers=2).set_index("learner")
    assert rows.status[["n0", "n1", "n2"]].tolist() == ["graded"] * 3
    assert rows.status.dead == rows.status.raised == "crashed"
    assert "died" in rows.reason.dead and "SystemExit: gone wrong" in rows.reason.raised
    assert rows.points.dead == "0" and rows.out_of.dead == "6"
    assert children() == before


def test_equal_content_is_graded_once_and_kept(tmp_path, scheduler, monkeypatch):
    import distributed

    log, folder, out = (
        tmp_path / "log",
        hand_in(tmp_path / "in", a=GOOD, b=GOOD, c=GOOD + "\n"),
        tmp_path / "out",
    )
    with distributed.Client(scheduler, set_as_default=False) as client:
        client.run(small.set_log, str(log))
        first = graded(folder, out, scheduler)
        assert len(log.read_text().split()) == 1 + 2 and first.points.tolist() == ["3"] * 3
        graded(folder, out, "tcp://127.0.0.1:1")  # nothing to do: no cluster is needed
        verdict = next((out / "verdicts").glob("[!t]*"))  # not the teacher's own
        for damage in (
            verdict.read_bytes()[:100],
            b'{"status": "graded"}',
            b"[]",
            verdict.read_bytes().replace(b"1.0", b"9.0"),
        ):
            verdict.write_bytes(damage)
            assert graded(folder, out, scheduler).equals(first)
        assert len(log.read_text().split()) == 1 + 2 + 4
        graded(folder, out, scheduler, Release(ONE.name, ONE.teacher.replace("seven", "eight")))
        assert len(log.read_text().split()) == 1 + 2 + 4 + 1 + 2
        client.run(small.set_log, "")


def test_an_interrupted_run_goes_on_where_it_was(tmp_path, scheduler):
    files = {f"n{place}": submission(ONE, third=f"{place}") for place in range(2)}
    folder, out = hand_in(tmp_path / "in", **files, z=submission(ONE, first="fall asleep")), tmp_path / "out"
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import small, pathlib\nfrom tlcourse.grading import batch\n"
        "if __name__ == '__main__':\n"
        f"    paths = {str(folder)!r}, {str(out)!r}\n"
        "    batch.grade(*paths, [small.release()], sandbox=False, grade_one=small.fake)\n"
    )
    (tmp_path / "run.py").write_text(code)
    (tmp_path / "scratch").mkdir()
    run = subprocess.Popen(
        [sys.executable, str(tmp_path / "run.py")], env=os.environ | {"TMPDIR": str(tmp_path / "scratch")},
        start_new_session=True, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline and len(list((out / "verdicts").glob("[!.t]*.json"))) < 2:
        time.sleep(0.1)
    below = psutil.Process(run.pid).children(recursive=True)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, said = run.communicate(timeout=20)
    assert said.strip().splitlines()[-1] == "KeyboardInterrupt" and said.count("Traceback") <= 2
    assert len(list((out / "verdicts").glob("[!t]*.json"))) == 2
    assert psutil.wait_procs(below, timeout=5)[1] == [] and not list((tmp_path / "scratch").iterdir())
    (folder / "z.ipynb").write_text(GOOD)
    with pytest.MonkeyPatch.context() as patch:
        seen = []
        patch.setattr(batch, "_marked", lambda client, tasks, *more: seen.extend(tasks) or iter(()))
        with pytest.raises(KeyError):  # nothing came back for the third
            graded(folder, out, scheduler)
        assert len(seen) == 1


def test_mistakes_of_the_user_are_one_sentence(tmp_path, monkeypatch):
    folder = hand_in(tmp_path / "in", a=GOOD)
    (tmp_path / "empty").mkdir()

    def fails(match, place=folder, out=tmp_path / "out", releases=(ONE,), **more):
        with pytest.raises(CourseError, match=match):
            batch.grade(place, out, list(releases), sandbox=False, grade_one=fake, **more)

    fails("is not there", tmp_path / "missing")
    fails("is a file", folder / "a.ipynb")
    fails("holds no submissions", tmp_path / "empty")
    fails("lie in one another", out=folder / "out")
    fails("lie in one another", tmp_path / "in", tmp_path)
    fails("at least one worker", workers=0)
    fails("no exercise", releases=())
    fails("Two exercises", releases=(ONE, ONE))
    fails("cannot be a folder's name", releases=(Release("a/b", ONE.teacher),))
    fails("cannot be reached", scheduler="nonsense")
    monkeypatch.setattr(batch, "PATIENCE", 1)
    fails("cannot be reached", scheduler="tcp://127.0.0.1:1")


def test_a_gradebook_that_is_none_or_of_another_version(tmp_path, scheduler):
    folder, out = hand_in(tmp_path / "in", a=GOOD), tmp_path / "out"
    out.mkdir()
    (out / "gradebook.db").write_text("no database, but long enough to be looked at as one " * 40)
    with pytest.raises(CourseError, match="gradebook.db cannot be used"):
        graded(folder, out, scheduler)
    (out / "gradebook.db").unlink()
    graded(folder, out, scheduler)
    with pytest.raises(CourseError, match="another version of 01_small"):
        graded(folder, out, scheduler, Release(ONE.name, ONE.teacher.replace('"q2_test"', '"q9_test"')))


def test_formulas_never_reach_a_spreadsheet():
    bad = ["=1", "+1", "-1", "@x", "\t=1", "\r=1", " =1", '"=1', "a;=1", "a\t=1", "a\n=1", "＝1"]
    for text in bad:
        assert results._cell(text) != text, text
    assert [results._cell(text) for text in ("a = 1", "x-1", "", "a;b")] == ["a = 1", "x-1", "", "a;b"]


def test_an_exercise_whose_own_answers_fail_is_not_graded_with(tmp_path, scheduler):
    broken = Release(ONE.name, ONE.teacher.replace("answer_2 = 42", "answer_2 = 41"))
    folder = hand_in(tmp_path / "in", a=GOOD)
    with pytest.raises(CourseError, match="The teacher's own answers of 01_small fail q2_test here"):
        graded(folder, tmp_path / "out", scheduler, broken)


def test_command_line(tmp_path, scheduler, capsys, monkeypatch):
    path = tmp_path / "teacher" / "01_small.ipynb"
    path.parent.mkdir()
    path.write_text(ONE.teacher)
    assert cli.main(["release", str(tmp_path / "release"), "--exercise", str(path)]) == 0
    made = tmp_path / "release" / "01_small" / "01_small.ipynb"
    assert capsys.readouterr().out.strip() == str(made)
    assert small.SECRET not in made.read_text() and "42" not in made.read_text()
    hand_in(tmp_path / "in", a=GOOD)
    real = batch.grade
    monkeypatch.setattr(batch, "grade", lambda *args, **more: real(*args, **more, grade_one=fake))
    command = ["grade", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--scheduler", scheduler]
    assert cli.main([*command, "--unsafe-no-sandbox", "--exercise", str(path)]) == 0
    said = capsys.readouterr().out
    assert "1 submission of 1 learner: 1 graded." in said and "marks.csv" in said
    assert "No sandbox" in (tmp_path / "out" / "summary.md").read_text()
    assert (
        cli.main(["grade", str(tmp_path / "none"), "--out", str(tmp_path / "o"), "--unsafe-no-sandbox"]) == 2
    )
    assert not (tmp_path / "o").exists() and len(capsys.readouterr().err.splitlines()) == 1
    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda name: None)
    assert cli.main(command) == 2 and "install `tlcourse[grade]`" in capsys.readouterr().err
