"""In the kernel of the tests: the learner's names, which come over the wire when a test cell needs them."""

import json

from IPython import get_ipython

from tlcourse import exercises, wire

_bound, _kept = [], {}


def ask(request):
    """Hand `request` to the grader as a request for input, and return what it enters."""
    return get_ipython().kernel.raw_input(request)


def ask_for_check(request):
    """As `ask`, but a name that the tests' own cells have made is theirs."""
    name, namespace = next(iter(json.loads(request).values())), get_ipython().user_ns
    own = name in namespace and name not in _bound
    return wire.serve(request, namespace) if own else ask(request)


def bind(test, names):
    """Make the learner's `names` there for a test cell, and what the cell itself had made before.

    A name that the tests' own cells have made stays theirs: a learner cannot replace it.
    """
    namespace = get_ipython().user_ns
    for name in _bound:
        namespace.pop(name, None)
    _bound.clear()
    namespace.update(_kept.pop(test, {}))
    for name in names:
        if name not in namespace:
            try:
                namespace[name] = wire.fetch(name, ask)
            except (NameError, wire.AnswerError):
                continue  # the test that uses it says so
            _bound.append(name)


def keep(test):
    """Remember what the visible tests of a cell have made, for its hidden ones."""
    namespace = get_ipython().user_ns
    _kept[test] = {name: value for name, value in namespace.items() if name not in _bound and name[0] != "_"}


exercises._asker.append(ask_for_check)
