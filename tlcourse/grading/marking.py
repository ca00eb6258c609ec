"""One submission, marked: the learner's code in one kernel, the tests in another, data between them."""

import ast
import base64
import builtins
import functools
import json
import re
import time
from dataclasses import replace

from tlcourse.grading import Answer, Mark, Output, Verdict, answers, kernels
from tlcourse.grading.release import hidden, learners_version, role, visible
from tlcourse.grading.sandbox import Limits

RESTARTS = 3
_INSIDE = "__import__('tlcourse.grading.inside', fromlist=['inside'])"  # a name that no cell can take away
_HIDDEN_FAILED = "it passes the visible test, but a hidden one found a case in which it is wrong."


def grade_one(submission, release, limits=Limits(), sandbox=True):
    """The `Verdict` on the bytes of a submitted notebook, against a `release.Release`.

    A function of its arguments alone: it reads and leaves no files, and ends in bounded time
    whatever the submission does. Raises `RuntimeError` where this machine cannot start a kernel.
    """
    started = time.monotonic()
    cells = release.cells()
    try:
        submitted = answers.take(submission, _released(release))
    except answers.Unreadable as trouble:
        marks = tuple(_missing(cell, "the submission could not be read.") for cell in cells if _gives_points(cell))
        return Verdict(trouble.status, f"{_capital(str(trouble))}.", time.monotonic() - started, marks)
    with _Grading(submitted, limits, sandbox) as grading:
        marks = grading.mark(cells)
    seconds = time.monotonic() - started
    return Verdict(grading.status, grading.reason, seconds, marks, tuple(grading.shown.values()))


@functools.lru_cache(maxsize=16)
def _released(release):
    return learners_version(release).cells


class _Grading:
    """The two kernels of a submission, and how far it has come."""

    def __init__(self, submitted, limits, sandbox):
        self.submitted, self.limits = submitted, limits
        self.deadline = time.monotonic() + limits.total
        self.status, self.reason = "graded", ""
        self.shown, self.done, self.deadly, self.restarts = {}, [], set(), 0
        self.start_learner = functools.partial(kernels.Kernel, limits, learner=True, sandbox=sandbox)
        self.learner = self.start_learner()
        try:
            marking = {"NBGRADER_EXECUTION": "autograde"}
            self.tests = kernels.Kernel(limits, learner=False, sandbox=sandbox, environment=marking)
        except BaseException:
            self.learner.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for kernel in (self.learner, self.tests):
            if kernel:
                kernel.close()

    def mark(self, cells):
        """The marks, in the order of the release.

        The learner's code runs twice, from top to bottom as nbgrader would run it: with the visible
        tests, and then, where an answer passed those, with the hidden ones. What it shows or says after it
        has met a hidden test is thrown away, so that none of it can get out.
        """
        reply, _ = self.tests.run(f"{_INSIDE}.ask", 60)
        if reply.get("status") != "ok":
            raise RuntimeError(f"the kernel of the tests does not work: {reply.get('evalue')}")
        for cell in cells:
            if role(cell) == "given" and cell.cell_type == "code":
                self.tests.send(cell.source)
        marks = self.run_through(cells, visible, {})
        if any(marks[name].points and hidden(source) for name, source in _test_sources(cells)):
            self.restart_session()
            marks = self.run_through(cells, hidden, marks)
        return tuple(marks.values())

    def run_through(self, cells, part, marks):
        """Run all the learner's code, and that `part` of the tests which `marks` do not yet say fail."""
        shown, self.done = {}, []
        self.learn("", self.submitted.further.get(None, []))
        for cell in cells:
            grade_id = (cell.metadata.get("nbgrader") or {}).get("grade_id")
            kind, outputs = role(cell), ()
            if kind == "given" and cell.cell_type == "code":
                self.learn("", [cell.source])
            elif kind in ("answer", "by hand"):
                sources = self.submitted.answers.get(grade_id, [])
                if cell.cell_type == "code":
                    outputs = self.learn(grade_id, sources)
                shown[grade_id] = Answer(grade_id, cell.cell_type, "\n\n".join(sources), outputs)
            if kind == "by hand":
                marks[grade_id] = _by_hand(cell, grade_id)
            elif kind == "test" and (grade_id not in marks or marks[grade_id].points and part(cell.source)):
                marks[grade_id] = self.test(cell, grade_id, part, marks.get(grade_id))
            self.learn("", self.submitted.further.get(grade_id, []) if grade_id else [])
        self.shown = self.shown or shown
        return marks

    def restart_session(self):
        """Empty the learner's namespace; what it did to the process may stay, and helps nobody."""
        if self.learner:
            self.learn("", ["from IPython import get_ipython\nget_ipython().reset(new_session=True)"])

    def learn(self, name, sources):
        """Run the learner's `sources` one by one; what they showed."""
        outputs = []
        for source in sources:
            if source in self.deadly:
                continue
            try:
                if not self.left():
                    raise kernels.TimedOut(f"the submission took longer than {self.limits.total:g} seconds")
                if self.learner:
                    outputs += self.learner.run(source, self.left(), history=True)[1]
                    self.done.append(source)
            except kernels.TimedOut as trouble:
                self.note("timed out", name, trouble)
                outputs.append(Output("text", f"Stopped here: {trouble}."))
            except kernels.Died as trouble:
                self.note(trouble.status, name, trouble)
                outputs.append(Output("text", f"Stopped here: {trouble}."))
                self.deadly.add(source)
                self.revive()
        return tuple(outputs)

    def revive(self):
        """A fresh kernel for the learner, as far as the dead one had come without what killed it."""
        self.learner.close()
        self.learner = None
        while self.restarts < RESTARTS and self.learner is None and self.left():
            self.restarts += 1
            try:
                self.learner = self.start_learner()
                for source in self.done:
                    self.learner.run(source, self.left(), history=True)
            except (kernels.Died, kernels.TimedOut):
                self.learner.close()
                self.learner = None

    def test(self, cell, grade_id, part, already):
        """The mark of a test cell, after its visible or its hidden `part`; `already`: the one it has."""
        points = float(cell.metadata.nbgrader.points)
        wrong = functools.partial(Mark, grade_id, 0.0, points)
        if not self.left():
            return wrong("wrong", "the time was up before this was tested.")
        if not (self.learner and self.tests):
            return wrong("wrong", "the kernel had ended, so this could not be tested.")
        before, results = f"{_INSIDE}.bind({grade_id!r}, {_asked(cell.source)!r})", []
        for code in (before, part(cell.source), f"{_INSIDE}.keep({grade_id!r})"):
            try:
                reply, _ = self.tests.run(code, 3 * self.left(), on_input=self.ask)
            except kernels.TimedOut as trouble:
                return wrong("wrong", f"the test was stopped because {trouble}.")
            except kernels.Died as trouble:
                self.tests.close()
                self.tests = None
                self.note(trouble.status, "the tests", trouble)
                return wrong("wrong", f"the test was stopped because {trouble}.")
            if reply.get("status") != "ok":
                outcome, message = _told(reply)
                if part is hidden:
                    return wrong(outcome, _HIDDEN_FAILED, message)
                return wrong(outcome, message)
            if code is not before:
                results.append(reply["result"])
        return _given(wrong, points, results[0], already)

    def ask(self, request):
        """The learner's reply to a test's `request`; both are JSON text (see `tlcourse.wire`)."""
        if self.learner is None or not self.left():
            return _stopped("the time was up" if self.learner else "the kernel had ended")
        coded = base64.b64encode(request.encode()).decode()
        code = f"__import__('tlcourse.wire', fromlist=['wire']).serve_coded('{coded}', globals())"
        try:
            reply, _ = self.learner.run("", self.left(), expressions={"answer": code})
            text = reply["user_expressions"]["answer"]["data"]["text/plain"]
            return base64.b64decode(text.strip("'\""), validate=True).decode()
        except kernels.TimedOut as trouble:
            self.note("timed out", "a call", trouble)
            return _stopped(str(trouble))
        except kernels.Died as trouble:
            self.note(trouble.status, "a call", trouble)
            self.revive()
            return _stopped(str(trouble))
        except (KeyError, TypeError, ValueError, AttributeError):
            return _stopped("what came back was not an answer")

    def left(self):
        """Seconds for the next cell or call; 0 when the submission's time is up."""
        return max(0.0, min(self.limits.cell, self.deadline - time.monotonic()))

    def note(self, status, name, trouble):
        if self.status == "graded":
            self.status, self.reason = status, f"{_capital(name or 'a cell')}: {trouble}."


def _gives_points(cell):
    return role(cell) in ("test", "by hand")


def _test_sources(cells):
    return [(cell.metadata.nbgrader.grade_id, cell.source) for cell in cells if role(cell) == "test"]


def _missing(cell, message):
    marks = cell.metadata.nbgrader
    return Mark(marks.grade_id, 0.0, float(marks.points), "not attempted", message)


def _by_hand(cell, grade_id):
    return Mark(grade_id, 0.0, float(cell.metadata.nbgrader.points), "by hand", "a teacher marks this one.")


def _asked(source):
    """The names that a test cell uses and does not make itself."""
    nodes = list(ast.walk(ast.parse(source)))
    used = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    made = {node.id for node in nodes if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    made |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    made |= {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    imports = (each for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for each in node.names)
    made |= {(each.asname or each.name).partition(".")[0] for each in imports}
    return sorted(used - made - set(dir(builtins)))


def _told(reply):
    """Outcome and message of a test that raised."""
    kind, text = str(reply.get("ename")), str(reply.get("evalue"))
    if kind in ("NotAttempted", "NotImplementedError"):
        return "not attempted", "not attempted."
    if kind == "NameError":
        return "not attempted", f"{text}."
    if kind == "Wrong":
        return "wrong", text
    if kind in ("AnswerError", "AssertionError"):
        return "wrong", f"wrong because {(text or 'a test failed').rstrip('.')}."
    return "wrong", f"the test stopped at your answer with {kind}: {text}"


def _given(wrong, points, last, already):
    """Full marks, or nbgrader's partial credit: a test whose last expression is a number gives that much."""
    if re.fullmatch(r"\d+(\.\d+)?", last) and float(last) < points:
        outcome = "partly right" if float(last) else "wrong"
        return replace(wrong(outcome, f"{last} of {points:g} points."), points=float(last))
    return already or replace(wrong("right", "right."), points=points)


def _stopped(reason):
    return json.dumps({"error": reason, "kind": None})


def _capital(text):
    return text[:1].upper() + text[1:]
