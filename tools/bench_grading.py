"""Seconds a submission takes to grade: ours in two sandboxed kernels, beside stock nbgrader's.

    uv run python tools/bench_grading.py [EXERCISE ...]          # a submission at a time
    uv run python tools/bench_grading.py --class 100 EXERCISE    # a class of 100, with 1 and 2 workers

The submissions have the teacher's answers. nbgrader runs them as its users do by default.
"""

import argparse
import contextlib
import io
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

from tlcourse.grading import marking, release


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("exercise", nargs="*", metavar="EXERCISE", help="such as 05_resnet50_bottlenecks; default: all")
    parser.add_argument("--repeat", type=int, default=3, help="submissions of each (default: %(default)s)")
    parser.add_argument("--class", type=int, dest="size", metavar="N", help="grade N submissions with tlcourse grade")
    args = parser.parse_args(argv)
    for each in release.course():
        if not args.exercise or each.name in args.exercise:
            if args.size:
                _class(each, args.size)
            else:
                _one_by_one(each, args.repeat)


def _one_by_one(of, repeat):
    data = nbformat.writes(_answered(of)).encode()
    ours = []
    for _ in range(repeat):
        verdict = marking.grade_one(data, of)
        assert verdict.points == verdict.out_of, verdict
        ours.append(verdict.seconds)
    stock, points = _stock(of, repeat)
    print(
        f"{of.name}: {statistics.median(ours):.1f} s here, {stock:.1f} s with stock nbgrader "
        f"({verdict.points:g} and {points:g} of {verdict.out_of:g} points; median and mean of {repeat})",
        flush=True,
    )


def _class(of, size):
    notebook = _answered(of)
    with tempfile.TemporaryDirectory() as folder:
        submissions = Path(folder, "submissions")
        submissions.mkdir()
        for number in range(size):
            notebook.metadata["learner"] = number  # equal files would be graded once
            nbformat.write(notebook, submissions / f"learner{number:03}.ipynb")
        for workers in (1, 2):
            command = [sys.executable, "-m", "tlcourse.cli", "grade", str(submissions), "--workers", str(workers)]
            started = time.monotonic()
            subprocess.run([*command, "--out", f"{folder}/out{workers}"], check=True, capture_output=True)
            seconds = time.monotonic() - started
            print(f"{of.name}: {size} submissions, --workers {workers}: {seconds:.0f} s, {seconds / size:.2f} s each", flush=True)


def _answered(of):
    """The learner's version with the teacher's answers in it."""
    solutions = {cell.id: cell.source for cell in of.cells() if release.role(cell) == "answer"}
    notebook = release.learners_version(of)
    for cell in notebook.cells:
        cell.source = solutions.get(cell.id, cell.source)
    return notebook


def _stock(of, repeat):
    """Mean seconds and mean points of `nbgrader autograde`."""
    from nbgrader.api import Gradebook
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import Config

    logging.getLogger("traitlets").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), contextlib.redirect_stderr(io.StringIO()):
        _put(f"source/{of.name}/{of.name}.ipynb", nbformat.reads(of.teacher, as_version=4))
        config = Config()
        config.CourseDirectory.root = folder
        config.CourseDirectory.db_url = f"sqlite:///{folder}/gradebook.db"
        config.ExecutePreprocessor.timeout = 600
        api = NbGraderAPI(config=config)
        _must(api.generate_assignment(of.name))
        for number in range(repeat):
            _put(f"submitted/learner{number}/{of.name}/{of.name}.ipynb", _answered(of))
        started = time.monotonic()
        for number in range(repeat):
            _must(api.autograde(of.name, f"learner{number}"))
        seconds = (time.monotonic() - started) / repeat
        with Gradebook(config.CourseDirectory.db_url) as book:
            points = statistics.mean(each.score for each in book.assignment_submissions(of.name))
    return seconds, points


def _put(path, notebook):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    nbformat.write(notebook, path)


def _must(result):
    if not result["success"]:
        raise SystemExit(result.get("error") or result["log"])


if __name__ == "__main__":
    main()
