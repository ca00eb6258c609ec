"""One submission, marked: the learner's code in one kernel, the tests in another, data between them."""

import base64
import functools
import json
import re
import time
from dataclasses import replace

from tlcourse.grading import Answer, Mark, Output, Verdict, answers, kernels, names
from tlcourse.grading.release import hidden, learners_version, role, visible
from tlcourse.grading.sandbox import Limits

RESTARTS = 3
MESSAGE = 2000  # characters
# `quit()` would end the kernel after its cell, and with it all answers.
_NO_EXIT = "__import__('IPython').get_ipython().ask_exit = lambda: None"
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
    imports = "\n".join(map(names.imports, _given_code(cells)))
    with _Grading(submitted, limits, sandbox, imports) as grading:
        marks = grading.mark(cells)
    seconds = time.monotonic() - started
    return Verdict(grading.status, grading.reason, seconds, marks, tuple(grading.shown.values()))


@functools.lru_cache(maxsize=16)
def _released(release):
    return learners_version(release).cells


class _Grading:
    """The kernels of a submission, and how far it has come."""

    def __init__(self, submitted, limits, sandbox, imports):
        self.submitted, self.limits = submitted, limits
        self.deadline = time.monotonic() + limits.total
        self.status, self.reason = "graded", ""
        self.shown, self.done, self.deadly, self.restarts = {}, [], set(), 0
        start = functools.partial(kernels.Kernel, limits, sandbox=sandbox, imports=imports)
        self.start_learner = functools.partial(start, learner=True)
        self.learner = self.start_learner()
        self.tests = self.next_learner = None
        try:
            marking = {"NBGRADER_EXECUTION": "autograde"}
            self.tests = start(learner=False, environment=marking)
        except BaseException:
            self.learner.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for kernel in (self.learner, self.next_learner, self.tests):
            if kernel:
                kernel.close()

    def mark(self, cells):
        """The marks, in the order of the release.

        The learner's code runs twice, each time in a fresh kernel from top to bottom: with the visible tests,
        and then, where an answer passed those, with the hidden ones. What it shows or says after it has met a
        hidden test is thrown away, so that none of it can get out.
        """
        reply, _ = self.tests.run(f"{_INSIDE}.ask", 60)
        if reply.get("status") != "ok":
            raise RuntimeError(f"the kernel of the tests does not work: {reply.get('evalue')}")
        for source in _given_code(cells):
            self.tests.send(source)
        # Names that no learner can give, wherever in the notebook they are made.
        trusted = [cell for cell in cells if role(cell) in ("given", "test") and cell.cell_type == "code"]
        self.tests_own = set().union(*(names.made(cell.source) for cell in trusted))
        marks = self.run_through(cells, visible, {})
        tests = {cell.metadata.nbgrader.grade_id: cell.source for cell in cells if role(cell) == "test"}
        if any(marks[name].points and hidden(source) for name, source in tests.items()):
            # Without a kernel, for want of time, the hidden tests fail.
            if self.learner:
                self.learner.close()
            self.learner, self.next_learner = self.next_learner, None
            marks = self.run_through(cells, hidden, marks)
        return tuple(marks.values())

    def run_through(self, cells, part, marks):
        """Run all the learner's code, and that `part` of the tests which `marks` do not yet say fail."""
        shown, self.done, learners = {}, [], set()
        self.learn("", [_NO_EXIT, *self.submitted.further.get(None, [])])
        for cell in cells:
            grade_id = (cell.metadata.get("nbgrader") or {}).get("grade_id")
            kind, outputs = role(cell), ()
            if kind in ("answer", "by hand"):
                sources = self.submitted.answers.get(grade_id, [])
                if cell.cell_type == "code":
                    outputs = self.learn(grade_id, sources)
                    learners |= names.made(cell.source, imported=False)
                shown[grade_id] = Answer(grade_id, cell.cell_type, "\n\n".join(sources), outputs)
            elif kind == "given" and cell.cell_type == "code":
                self.learn("", [cell.source])
                learners -= names.made(cell.source)
            if kind == "by hand":
                marks[grade_id] = _by_hand(cell, grade_id)
            elif kind == "test":
                tests_own = names.made(visible(cell.source))
                if grade_id not in marks or marks[grade_id].points and part(cell.source):
                    theirs = learners - tests_own if part is hidden else learners
                    marks[grade_id] = self.test(cell, grade_id, part, theirs, marks.get(grade_id))
                    self.prepare_next(marks[grade_id], hidden(cell.source))
                learners -= tests_own
            self.learn("", self.submitted.further.get(grade_id, []) if grade_id else [])
        self.shown = self.shown or shown
        return marks

    def prepare_next(self, mark, hidden_tests):
        """Once something is to be tested in the second run, its kernel starts and imports in the background."""
        if mark.points and hidden_tests and not self.shown and not self.next_learner and self.left():
            self.next_learner = self.start_learner()

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

    def test(self, cell, grade_id, part, learners, already):
        """The mark of a test cell, after its visible or its hidden `part`; `already`: the one it has.

        `learners`: the names that are the learner's to give.
        """
        points = float(cell.metadata.nbgrader.points)
        wrong = functools.partial(Mark, grade_id, 0.0, points)
        if not self.left():
            return wrong("wrong", "the time was up before this was tested.")
        if not (self.learner and self.tests):
            return wrong("wrong", "the kernel had ended, so this could not be tested.")
        used, results = names.used(part(cell.source)) - (self.tests_own - learners), []
        before = f"{_INSIDE}.bind({grade_id!r}, {sorted(learners)!r}, {sorted(used)!r})"
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
        code = f"__import__('tlcourse.wire', fromlist=['wire']).serve_coded('{coded}')"
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


def _given_code(cells):
    return [cell.source for cell in cells if role(cell) == "given" and cell.cell_type == "code"]


def _missing(cell, message):
    marks = cell.metadata.nbgrader
    return Mark(marks.grade_id, 0.0, float(marks.points), "not attempted", message)


def _by_hand(cell, grade_id):
    return Mark(grade_id, 0.0, float(cell.metadata.nbgrader.points), "by hand", "a teacher marks this one.")


def _told(reply):
    """Outcome and message of a test that raised."""
    kind, text = (kernels.plain(reply.get(key), MESSAGE) for key in ("ename", "evalue"))
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
    number = re.fullmatch(r"(?:np\.\w+\()?(\d+(?:\.\d+)?)\)?", last)
    if number and float(number[1]) < points:
        outcome = "partly right" if float(number[1]) else "wrong"
        return replace(wrong(outcome, f"{number[1]} of {points:g} points."), points=float(number[1]))
    return already or replace(wrong("right", "right."), points=points)


def _stopped(reason):
    return json.dumps({"error": reason, "kind": None})


def _capital(text):
    return text[:1].upper() + text[1:]
