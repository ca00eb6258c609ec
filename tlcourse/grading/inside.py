"""In the kernel of the tests: the learner's names, which come over the wire when a test cell needs them."""

import json

from IPython.core.interactiveshell import InteractiveShell

from tlcourse import exercises, wire

_bound, _kept, _learners = {}, {}, set()


def ask(request):
    """Hand `request` to the grader as a request for input, and return what it enters."""
    return InteractiveShell.instance().kernel.raw_input(request)


def ask_for_check(request):
    """As `ask`, but a name that the tests' own cells have made is theirs."""
    name, namespace = next(iter(json.loads(request).values())), InteractiveShell.instance().user_ns
    own = name not in _learners and name in namespace and name not in _bound
    return wire.serve(request, namespace) if own else ask(request)


def bind(test, learners, used):
    """Make the names in `used` there for a test cell, and what the cell itself had made before.

    Those in `learners` are the learner's to give and nobody else's; of the others only those that nobody has made.
    Raises `wire.AnswerError` where the learner gave something that cannot be handed in.
    """
    namespace = InteractiveShell.instance().user_ns
    for name, value in _bound.items():
        if namespace.get(name) is value:
            del namespace[name]
    _bound.clear()
    _learners.clear()
    _learners.update(learners)
    namespace.update(_kept.pop(test, {}))
    for name in used:
        if name in learners:
            namespace.pop(name, None)
        elif name in namespace:
            continue
        try:
            namespace[name] = _bound[name] = wire.fetch(name, ask)
        except NameError:
            pass  # the test that uses it says so
        except wire.AnswerError:
            if name in learners:
                raise


def keep(test):
    """Remember what the visible tests of a cell have made, for its hidden ones."""
    namespace = InteractiveShell.instance().user_ns
    _kept[test] = {
        name: value for name, value in namespace.items() if name[0] != "_" and value is not _bound.get(name, _kept)
    }


exercises._asker.append(ask_for_check)
