"""Instant feedback in an exercise: not attempted, right, or wrong because ..., and hints.

One module an exercise. A question is a function whose parameters are the learner's names; it
looks at them and says with `require` what is wrong:

    @hints("A picture has three axes.", "`np.repeat` copies along an axis.")
    def q1(to_rgb):
        require(to_rgb(np.zeros((2, 28, 28))).shape == (2, 28, 28, 3), "colour is the last axis")

    check, hint = feedback(q1)
"""

import html
import inspect
import json
import os

from tlcourse import CourseError, wire


class Wrong(AssertionError):
    """An answer is wrong; the message says why, and goes on from "wrong because"."""

    def _render_traceback_(self):
        return [str(self)]


class NotAttempted(Wrong):
    """There is no answer yet."""


def require(condition, because):
    """Raise `Wrong(because)` unless `condition` holds."""
    if not condition:
        raise Wrong(because)


def hints(*texts):
    """Give the question that this decorates its hints, the gentlest first."""

    def add(question):
        question.hints = texts
        return question

    return add


def feedback(*questions):
    """The `check(name)` and `hint(name)` of an exercise with these questions, such as `q1`.

    `check` shows what `judge` says. While nbgrader or `tlcourse grade` marks, it raises `Wrong`
    instead, so that a cell with it is an ordinary test cell.
    """
    by_name = {question.__name__: question for question in questions}
    given = dict.fromkeys(by_name, 0)

    def check(name):
        status, message = judge(_find(name, by_name), asker())
        if status != "right" and os.environ.get("NBGRADER_EXECUTION"):
            raise (NotAttempted if status == "not attempted" else Wrong)(message)
        _show(f"{name}: {message}", {"right": "✓", "wrong": "✗"}.get(status, "…"))

    def hint(name):
        texts = _find(name, by_name).hints
        given[name] = min(given[name] + 1, len(texts))
        _show(f"{name}, hint {given[name]} of {len(texts)}: {texts[given[name] - 1]}", "→")

    check.questions = by_name
    return check, hint


def judge(question, ask):
    """What `question` says of the answers behind `ask` (see `wire.fetch`): a status, `"not attempted"`,
    `"right"` or `"wrong"`, and a sentence."""
    answers = {}
    try:
        for name in inspect.signature(question).parameters:
            answers[name] = wire.fetch(name, ask)
            if answers[name] is None:
                raise NotImplementedError
        question(**answers)
    except NameError as error:
        return "not attempted", f"not attempted yet: {error}."
    except NotImplementedError:
        return "not attempted", "not attempted yet."
    except Wrong as error:
        return "wrong", f"wrong because {_ended(str(error))}"
    except wire.AnswerError as error:
        return "wrong", f"wrong because {_ended(str(error))}"
    except Exception as error:  # the answer is of a kind that the question did not think of
        if isinstance(error, TypeError) and "object is not callable" in str(error):
            return "wrong", f"wrong because {' or '.join(answers)} should be a function."
        return "wrong", f"wrong because the check stopped at your answer with {type(error).__name__}: {error}."
    return "right", "right."


def _ended(text):
    return text if text.endswith((".", "?", "!")) else f"{text}."


def asker():
    """The wire to the answers: those of this notebook, or in a grading kernel the learner's."""
    return _asker[-1] if _asker else _here


_asker = []  # a grading kernel puts its own here


def _here(request):
    from IPython import get_ipython

    return wire.serve(request, get_ipython().user_ns)


def _find(name, by_name):
    if name not in by_name:
        raise CourseError(f"There is no question {name!r} here: it is one of {', '.join(by_name)}.")
    return by_name[name]


def _show(text, sign):
    from IPython.display import display

    colour = {"✓": "#0072B2", "✗": "#D55E00"}.get(sign, "#777777")
    body = html.escape(text).replace("\n", "<br>")
    page = f'<div style="border-left: 4px solid {colour}; padding-left: 0.6em">{sign} {body}</div>'
    display({"text/plain": f"{sign} {text}", "text/html": page}, raw=True)
