"""A learner's folder: filled once, brought up to date on request, and nothing of the learner's is lost."""

import json
import sqlite3

import nbformat
import pytest
from nbformat.sign import NotebookNotary

from tlcourse import CourseError, cli, lessons, workfolder

LESSON = "00_start_here.ipynb"
EXERCISE = "exercises/06_four_cases/06_four_cases.ipynb"


@pytest.fixture
def shipped(monkeypatch):
    """A course of a lesson and an exercise, which a test may change."""
    found = workfolder.shipped()
    files = {LESSON: found[LESSON], EXERCISE: found[EXERCISE]}
    monkeypatch.setattr(workfolder, "shipped", lambda: files)
    return files


@pytest.fixture(autouse=True)
def jupyter(monkeypatch, tmp_path):
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "work"
    made.mkdir()
    return made


def newer(files, name):
    notebook = nbformat.reads(files[name].decode(), as_version=4)
    notebook.cells[0].source += "\n\nA newer version."
    files[name] = nbformat.writes(notebook).encode()


def test_it_has_every_lesson_the_glossary_and_the_exercises_without_solutions():
    files = workfolder.shipped()
    assert {path.name for path in lessons.find()} <= set(files) and "glossary.ipynb" in files and "course.svg" in files
    assert sum(name.startswith("exercises/") for name in files) == 6
    assert not any(b"SOLUTION" in text or b"HIDDEN TESTS" in text for text in files.values())


def test_it_is_filled_once(folder, shipped):
    assert workfolder.fill(folder) == ({LESSON: LESSON, EXERCISE: EXERCISE}, [])
    assert all((folder / name).read_bytes() == content for name, content in shipped.items())
    assert workfolder.fill(folder) == ({}, [])


def test_its_notebooks_are_trusted(folder, shipped):
    workfolder.fill(folder)
    assert NotebookNotary().check_signature(nbformat.read(folder / LESSON, as_version=4))


def test_it_is_filled_where_nothing_can_be_trusted(folder, shipped, monkeypatch):
    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(NotebookNotary, "sign", full)
    assert workfolder.fill(folder) == ({LESSON: LESSON, EXERCISE: EXERCISE}, [])


def test_what_was_changed_stays_and_what_was_deleted_comes_back(folder, shipped):
    workfolder.fill(folder)
    (folder / LESSON).write_text("mine")
    (folder / EXERCISE).unlink()
    assert workfolder.fill(folder) == ({EXERCISE: EXERCISE}, [])
    assert workfolder.fill(folder, update=True) == ({}, [])
    assert (folder / LESSON).read_text() == "mine"


def test_a_newer_version_is_told_and_comes_on_request(folder, shipped):
    workfolder.fill(folder)
    old = shipped[LESSON]
    newer(shipped, LESSON)
    assert workfolder.fill(folder) == ({}, [LESSON])
    assert (folder / LESSON).read_bytes() == old
    assert workfolder.fill(folder, update=True) == ({LESSON: LESSON}, [])
    assert (folder / LESSON).read_bytes() == shipped[LESSON]
    assert workfolder.fill(folder, update=True) == ({}, [])


def test_a_lesson_that_was_only_opened_counts_as_unchanged(folder, shipped):
    workfolder.fill(folder)
    opened = nbformat.read(folder / LESSON, as_version=4)
    opened.metadata.language_info = {"name": "python", "version": "3.11.2", "pygments_lexer": "ipython3"}
    nbformat.write(opened, folder / LESSON)  # JupyterLab does so by itself
    newer(shipped, LESSON)
    assert workfolder.fill(folder, update=True) == ({LESSON: LESSON}, [])


def test_a_newer_version_that_is_beside_already_comes_once(folder, shipped):
    workfolder.fill(folder)
    (folder / LESSON).write_text("mine")
    newer(shipped, LESSON)
    (folder / "00_start_here.new.ipynb").write_bytes(shipped[LESSON])  # by another start at the same time
    assert workfolder.fill(folder, update=True) == ({LESSON: "00_start_here.new.ipynb"}, [])


def test_a_newer_version_comes_beside_what_was_changed_each_time_anew(folder, shipped):
    workfolder.fill(folder)
    (folder / EXERCISE).write_text("mine")
    for beside in ("06_four_cases.new.ipynb", "06_four_cases.new2.ipynb"):
        newer(shipped, EXERCISE)
        path = f"exercises/06_four_cases/{beside}"
        assert workfolder.fill(folder, update=True) == ({EXERCISE: path}, [])
        assert (folder / path).read_bytes() == shipped[EXERCISE]
        assert workfolder.fill(folder, update=True) == ({}, [])
    assert (folder / EXERCISE).read_text() == "mine"


@pytest.mark.parametrize("record", [None, "{", "[]", 9999 * "["])
def test_without_its_record_everything_that_differs_counts_as_changed(folder, shipped, record):
    workfolder.fill(folder)
    (folder / LESSON).write_text("mine")
    (folder / workfolder.RECORD).unlink()
    if record:
        (folder / workfolder.RECORD).write_text(record)
    assert workfolder.fill(folder) == ({}, [LESSON])
    brought, _ = workfolder.fill(folder, update=True)
    assert brought == {LESSON: "00_start_here.new.ipynb"} and (folder / LESSON).read_text() == "mine"
    assert set(json.loads((folder / workfolder.RECORD).read_text())) == {LESSON, EXERCISE}


def test_what_is_in_the_way_is_said_in_a_sentence(folder, shipped):
    (folder / LESSON).mkdir()
    with pytest.raises(CourseError, match="00_start_here.ipynb cannot be read"):
        workfolder.fill(folder)
    (folder / LESSON).rmdir()
    (folder / "exercises").write_text("mine")
    with pytest.raises(CourseError, match="06_four_cases.ipynb cannot be read .*: move it away, or choose another folder"):
        workfolder.fill(folder)


def test_the_command_line_says_what_came(tmp_path, shipped, monkeypatch, capsys):
    folder = tmp_path / "my work"
    monkeypatch.setattr(cli.os, "execv", lambda *_: None)
    monkeypatch.setattr(cli.subprocess, "call", lambda _: 0)
    cli.main(["lab", str(folder)])
    assert capsys.readouterr().out == f"Files brought to {folder}: 2.\n"
    (folder / LESSON).write_text("mine")
    newer(shipped, LESSON)
    cli.main(["lab", str(folder)])
    assert f"Newer versions are there of {LESSON}: `tlcourse lab '{folder}' --update`" in capsys.readouterr().out
    cli.main(["lab", str(folder), "--update"])
    assert f"You have changed {LESSON}: its newer version is 00_start_here.new.ipynb." in capsys.readouterr().out
