"""Honest but unlucky work: it earns what it deserves, no less and no more."""

import copy

import assignment
import pytest
from assignment import cell, data, learners, right, solution, submission
from hostile import HONEST

from tlcourse import CourseError
from tlcourse.grading import marking, sandbox
from tlcourse.grading.sandbox import MB, Limits

RELEASE = assignment.teacher()
ALL = [1, 2, 3]
LIMITS = Limits(cell=20, total=60, output=16 * MB)


@pytest.fixture(scope="module", autouse=True)
def _sandbox_is_here():
    try:
        sandbox.require()
    except CourseError as reason:
        pytest.skip(str(reason), allow_module_level=True)


def grade(notebook, limits=LIMITS, release=RELEASE):
    content = notebook if isinstance(notebook, bytes) else data(notebook)
    return marking.grade_one(content, release, limits, sandbox=True)


def points(verdict):
    return [mark.points for mark in verdict.marks]


def outcomes(verdict):
    return [mark.outcome for mark in verdict.marks]


def own(source, **more):
    """A cell that the learner has added."""
    return {
        "cell_type": "code",
        "metadata": {},
        "source": source,
        "outputs": [],
        "execution_count": None,
    } | more


def honest(**given):
    return submission(**HONEST | given)


def place(notebook, grade_id):
    return notebook["cells"].index(cell(notebook, grade_id))


# What learners write. Every source is a whole answer that earns its marks.

SOURCES = {
    "warnings": dict(
        q1="import warnings, logging, sys\nwarnings.warn('careful')\nlogging.error('hm')\n"
        "logging.warning('hm')\n"
        "def double(x):\n    warnings.warn('again')\n"
        "    print('to stderr', file=sys.stderr)\n    return 2 * x"
    ),
    "prints": dict(
        q1="print('x' * 1000)\ndef double(x):\n    print(x, end='')\n    return 2 * x", q2="total = 55\ntotal"
    ),
    "magics": dict(
        q1="%matplotlib inline\n%config InlineBackend.figure_format = 'png'\n"
        "%timeit -n1 -r1 1 + 1\ndef double(x):\n    return 2 * x",
        q2="%%time\ntotal = sum(range(11))",
        q3="!echo hello\nfiles = !ls\ndef largest(rows):\n    return max(rows, key=sum)\n?largest",
    ),
    "a_plot": dict(q2="import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\ntotal = 55"),
    "slow": dict(
        q2="import time\ntime.sleep(1)\ntotal = 55",
        q3="def largest(rows):\n    import time\n    time.sleep(0.3)\n    return max(rows, key=sum)",
    ),
    "raises_at_its_end": dict(
        q1="def double(x):\n    return 2 * x\n\ndouble('a', 'b')", q2="total = 55\nassert total == 54"
    ),
    "deletes_helpers": dict(
        q2="numbers = list(range(11))\ntotal = sum(numbers)\ndel numbers",
        q3="import numpy as np\n" + HONEST["q3"],
    ),
    "shadows_builtins": dict(
        q1="sum = 0\nlist = [1]\njson = 1\ntype = 2\nlen = 3\nstr = dict = int = print = 4\n"
        "def double(x):\n    return 2 * x",
        q2="total = 55",
        q3="def largest(rows):\n    return rows[rows.sum(axis=1).argmax()]",
    ),
    "shadows_globals": dict(q1="globals = locals = vars = 5\ndef double(x):\n    return 2 * x"),
    "shadows_names_of_tests": dict(
        q1="inside = check = secret = bind = wire = 3\ndef double(x):\n    return 2 * x"
    ),
    "shadows_numpy": dict(
        q1="import numpy\nnp = numpy\ndef double(x):\n    return 2 * x\nnp = 3",
        q3="def largest(rows):\n    return max(rows, key=lambda r: r.sum())",
    ),
    "import_star": dict(
        q1="from numpy import *\ndef double(x):\n    return multiply(x, 2)",
        q2="total = int(sum(arange(11)))",
        q3="def largest(rows):\n    return rows[argmax(rows.sum(axis=1))]",
    ),
    "unicode": dict(
        q1="größe = 2\ndef double(x, Δ=größe):\n    'Zweimal ½'\n    return Δ * x",
        q2="été = 55\ntotal = été\nprint('✓ 🎉')",
    ),
    "windows_lines": dict(
        q1="def double(x):\r\n    return 2 * x\r\n", q2="total = 0\r\nfor n in range(11):\r\n\ttotal += n\r\n"
    ),
    "tabs": dict(
        q1="def double(x):\n\treturn 2 * x", q3="def largest(rows):\n\n\n\treturn max(rows, key=sum)   \n\n\n"
    ),
    "main": dict(q2="if __name__ == '__main__':\n    total = 55"),
    "await": dict(q2="import asyncio\nawait asyncio.sleep(0.01)\ntotal = 55"),
    "random": dict(q1="import random\nnoise = random.random()\ndef double(x):\n    return x + x + 0 * noise"),
    "another_order_of_lines": dict(q2="numbers = [10 - n for n in range(11)]\ntotal, n = sum(numbers), None"),
    "lists": dict(
        q1="def double(x):\n    return [2 * float(each) for each in x]",
        q3="def largest(rows):\n    return tuple(max(rows.tolist(), key=sum))",
    ),
    "own_exceptions": dict(
        q1="class Odd(Exception):\n    pass\ndef double(x):\n    try:\n"
        "        raise Odd('x')\n    except Odd:\n        return 2 * x"
    ),
    "any_arguments": dict(q1="def double(*args, factor=2, **more):\n    return factor * args[0]"),
    "lambda": dict(q1="double = lambda x: 2 * x", q3="largest = lambda rows, key=sum: max(rows, key=key)"),
    "nested": dict(
        q1="def factory(n):\n    def inner(x):\n        return n * x\n    return inner\ndouble = factory(2)"
    ),
    "method": dict(q1="class Doubler:\n    def go(self, x):\n        return 2 * x\ndouble = Doubler().go"),
    "class_method": dict(
        q1="class Doubler:\n    @staticmethod\n    def go(x):\n        return 2 * x\ndouble = Doubler.go"
    ),
    "wrapped": dict(
        q1="import functools\ndef loud(f):\n    @functools.wraps(f)\n    def inner(*a):\n"
        "        return f(*a)\n    return inner\n"
        "@loud\ndef double(x):\n    return 2 * x"
    ),
    "partial": dict(q1="import functools, operator\ndouble = functools.partial(operator.mul, 2)"),
    "callable_object": dict(
        q1="class Double:\n    def __call__(self, x):\n        return 2 * x\ndouble = Double()"
    ),
    "cached": dict(
        q1="import functools\n@functools.lru_cache\ndef cached(n):\n    return n\n"
        "@functools.singledispatch\ndef double(x):\n    return cached(2) * x"
    ),
    "vectorized": dict(q1="@np.vectorize\ndef double(x):\n    return 2 * x"),
    "ufunc": dict(
        q1="_add = np.frompyfunc(lambda x: 2.0 * x, 1, 1)\ndef double(x):\n    return _add(x).astype(float)"
    ),
    "recursion": dict(q2="def add(n):\n    return n and n + add(n - 1)\ntotal = add(10)"),
    "changes_its_input": dict(q1="def double(x):\n    x *= 2\n    return x"),
    "quit": dict(q2="total = 55\nquit()"),
    "closes_output": dict(
        q2="import sys\nold = sys.stdout\nsys.stdout = open('log', 'w')\nprint(1)\n"
        "sys.stdout.close()\nsys.stdout = old\ntotal = 55"
    ),
    "makes_a_folder": dict(q2="import os\nos.mkdir('pictures')\ntotal = 55"),
    "makes_a_file": dict(
        q2="with open('numbers.txt', 'x') as file:\n    file.write('55')\n"
        "total = int(open('numbers.txt').read())"
    ),
    "goes_into_a_folder": dict(
        q2="import os\nos.makedirs('data', exist_ok=True)\nos.chdir('data')\n"
        "total = 55 if os.getcwd() == '/tmp/data' else 0"
    ),
    "settings_made_once": dict(
        q2="import multiprocessing\nmultiprocessing.set_start_method('spawn')\ntotal = 55"
    ),
}


# These change what others see, so each has a notebook of its own; the rest share.
ALONE = ("slow", "quit", "closes_output", "import_star", "goes_into_a_folder", "shadows")


def shared(sources):
    """`sources` with as many in one submission as answer different questions, by their names."""
    groups = []
    for name in sources:
        alone = name.startswith(ALONE)
        free = [g for g in groups if not alone and not g[1] and not g[2].keys() & sources[name].keys()]
        if free:
            free[0][0].append(name)
            free[0][2].update(sources[name])
        else:
            groups.append(([name], alone, dict(sources[name])))
    return {"+".join(names): answers for names, _, answers in groups}


@pytest.mark.parametrize("answers", shared(SOURCES).values(), ids=shared(SOURCES))
def test_it_earns_all_marks(answers):
    verdict = grade(honest(**answers))
    assert points(verdict) == ALL, verdict.marks
    assert verdict.status == "graded"


# What happens to notebooks


def copied(notebook):
    at = place(notebook, "q1")
    notebook["cells"].insert(at + 1, copy.deepcopy(notebook["cells"][at]))


def copied_unchanged(notebook):
    """The released cell, pasted below the answer."""
    notebook["cells"].insert(place(notebook, "q1") + 1, copy.deepcopy(cell(learners(), "q1")))


def copied_and_edited(notebook):
    """The answer was written into a copy; the released cell is still below it."""
    notebook["cells"].insert(place(notebook, "q1"), copy.deepcopy(cell(notebook, "q1")))
    notebook["cells"][place(notebook, "q1") + 1]["source"] = cell(learners(), "q1")["source"]


def other_order(notebook):
    cells = notebook["cells"]
    notebook["cells"] = cells[:2] + cells[8:] + cells[5:8] + cells[2:5]


def reversed_cells(notebook):
    notebook["cells"].reverse()


def split(notebook):
    at = place(notebook, "q3")
    second = copy.deepcopy(notebook["cells"][at])
    notebook["cells"][at]["source"] = "def score(row):\n    return row.sum()"
    second["source"] = "def largest(rows):\n    return max(rows, key=score)"
    notebook["cells"].insert(at + 1, second)


def split_without_metadata(notebook):
    split(notebook)
    second = notebook["cells"][place(notebook, "q3") + 1]
    second["metadata"] = {}
    del second["id"]


def no_test_cells(notebook):
    notebook["cells"] = [c for c in notebook["cells"] if not c["metadata"].get("nbgrader", {}).get("grade")]


def broken_test_cells(notebook):
    for name in ("q1_test", "q2_test", "q3_test"):
        cell(notebook, name)["source"] = "raise ValueError\n" if name != "q2_test" else "assert ("


def recreated(notebook):
    notebook["cells"][place(notebook, "q1")] = own(HONEST["q1"])


def no_metadata(notebook):
    for each in notebook["cells"]:
        each["metadata"] = {}
    notebook["metadata"] = {}


def no_metadata_nor_ids(notebook):
    no_metadata(notebook)
    for each in notebook["cells"]:
        del each["id"]
    notebook["nbformat_minor"] = 2


def no_ids(notebook):
    for each in notebook["cells"]:
        del each["id"]
    notebook["nbformat_minor"] = 2


def other_ids(notebook):
    for number, each in enumerate(notebook["cells"]):
        each["id"] = f"abc{number}"


def renamed(notebook):
    for each in notebook["cells"]:
        marks = each["metadata"].get("nbgrader")
        if marks:
            marks["grade_id"] = f"cell-{marks['grade_id']}-1"


def extra_cells(notebook):
    at = place(notebook, "q1")
    notebook["cells"][at:at] = [
        own("import math\ndef twice(x):\n    return 2 * x"),
        own("1 / 0"),
        own("input('name? ')"),
    ]
    cell(notebook, "q1")["source"] = "def double(x):\n    return twice(x)"
    notebook["cells"].append(own("import matplotlib.pyplot as plt\nplt.plot([1, 2]);\nplt.show()"))
    notebook["cells"].insert(0, own("undefined + 1"))
    notebook["cells"].insert(0, {"cell_type": "markdown", "metadata": {}, "source": "My notes $x^2$"})
    notebook["cells"].insert(0, {"cell_type": "raw", "metadata": {}, "source": "raw"})
    notebook["cells"].append(own(""))


def redefined_later(notebook):
    """Question 1's answer is replaced while question 2 is worked on: its tests come before that."""
    cell(notebook, "q2")["source"] = "def double(x):\n    return 'something else'\ntotal = 55\nx = np.ones(2)"
    cell(notebook, "q3")["source"] = "total = 'overwritten'\n" + HONEST["q3"]


def odd_counts(notebook):
    for number, each in enumerate(notebook["cells"]):
        if each["cell_type"] == "code":
            each["execution_count"] = [None, 10**12, -3][number % 3]


def large_outputs(notebook):
    text = "x" * (5 << 20)
    cell(notebook, "q1")["outputs"] = [{"output_type": "stream", "name": "stdout", "text": text}]
    cell(notebook, "q2")["outputs"] = [
        {"output_type": "error", "ename": "E", "evalue": "", "traceback": [text]}
    ]


def other_kernel(notebook):
    notebook["metadata"]["kernelspec"] = {"name": "my-env-3.9", "display_name": "My env"}
    notebook["metadata"]["language_info"] = {"version": "2.7"}


def lists_of_lines(notebook):
    for each in notebook["cells"]:
        text = each["source"] if isinstance(each["source"], str) else "".join(each["source"])
        each["source"] = text.splitlines(keepends=True)


def odds_and_ends(notebook):
    for change in (odd_counts, large_outputs, other_kernel, lists_of_lines):
        change(notebook)
    notebook["metadata"]["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    cell(notebook, "q1")["attachments"] = {}
    cell(notebook, "q1")["metadata"] |= {"collapsed": True, "tags": ["mine"], "scrolled": "auto"}


CHANGES = [
    copied,
    copied_unchanged,
    copied_and_edited,
    other_order,
    reversed_cells,
    split,
    split_without_metadata,
    no_test_cells,
    broken_test_cells,
    recreated,
    no_metadata,
    no_metadata_nor_ids,
    no_ids,
    other_ids,
    renamed,
    extra_cells,
    redefined_later,
    odds_and_ends,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_happens_to_a_notebook_costs_nothing(change):
    notebook = honest()
    change(notebook)
    verdict = grade(notebook)
    assert points(verdict) == ALL, verdict.marks


def test_answers_that_need_the_setup_are_found_without_metadata():
    """The released cells among them are known by what is in them."""
    notebook = honest(q2="total = int(np.arange(11).sum())")
    no_metadata_nor_ids(notebook)
    assert points(grade(notebook)) == ALL


def test_a_byte_order_mark_costs_nothing():
    assert points(grade(b"\xef\xbb\xbf" + data(honest()))) == ALL


# What deserves less


def test_an_empty_submission_is_not_attempted():
    verdict = grade(submission())
    assert points(verdict) == [0, 0, 0]
    assert outcomes(verdict) == ["not attempted"] * 3


def test_half_of_it_earns_half_of_it():
    verdict = grade(submission(q1=HONEST["q1"]))
    assert points(verdict) == [1, 0, 0]
    assert outcomes(verdict) == ["right", "not attempted", "not attempted"]


def test_no_cells_at_all_are_not_attempted():
    verdict = grade(submission() | {"cells": []})
    assert points(verdict) == [0, 0, 0] and outcomes(verdict) == ["not attempted"] * 3


WRONG = {  # answers instead of `def double(x): return 2 * x`, and what they are called
    "wrong": ("def double(x):\n    return x * 3", "wrong"),
    "syntax": (
        "def double(x):\n    return x * ",
        "not attempted",
    ),  # as nbgrader has it: there is no `double`
    "indent": ("def double(x):\nreturn 2 * x", "not attempted"),
    "own_error": ("class Mine(Exception):\n    pass\ndef double(x):\n    raise Mine('my message')", "wrong"),
    "no_parameter": ("def double():\n    return 2", "wrong"),
    "none": ("def double(x):\n    pass", "wrong"),
    "number": ("double = 7", "wrong"),
    "generator": ("def double(x):\n    yield 2 * x", "wrong"),
    "undone": ("def double(x):\n    raise NotImplementedError", "not attempted"),
    "exit": ("raise SystemExit\ndef double(x):\n    return 2 * x", "not attempted"),
    "loop": ("while True:\n    pass", "not attempted"),
}


def test_a_wrong_answer_costs_its_own_marks():
    test = "assert double(np.arange(3)).tolist() == [0, 2, 4]"
    pairs = [
        (assignment.Q1.replace("double", f"double{n}"), test.replace("double", f"double{n}"))
        for n in range(len(WRONG) + 1)
    ]
    release = questions(*pairs)
    sources = {
        f"q{n + 1}": source.replace("double", f"double{n}") for n, (source, _) in enumerate(WRONG.values())
    }
    last = f"q{len(WRONG) + 1}"
    verdict = grade(
        submission(release, **sources, **{last: solution(last, release)}), Limits(cell=3, total=60), release
    )
    assert dict(zip(WRONG, outcomes(verdict))) == {name: outcome for name, (_, outcome) in WRONG.items()}
    assert points(verdict) == [0] * len(WRONG) + [len(WRONG) + 1]
    assert all(mark.message for mark in verdict.marks)
    assert "Mine: my message" in verdict.marks[list(WRONG).index("own_error")].message


def test_a_deleted_answer_costs_its_own_marks():
    notebook = honest()
    del notebook["cells"][place(notebook, "q2")]
    verdict = grade(notebook)
    assert points(verdict) == [1, 0, 3] and outcomes(verdict)[1] == "not attempted"


def test_the_teachers_solution_is_right():
    assert points(grade(right())) == ALL


# What a teacher writes


def questions(*pairs, setup="import numpy as np"):
    return assignment.teacher(questions=pairs, setup=setup)


def answer(text):
    return f"### BEGIN SOLUTION\n{text}\n### END SOLUTION"


def hiding(shown, kept):
    return f"{shown}\n### BEGIN HIDDEN TESTS\n{kept}\n### END HIDDEN TESTS"


TEACHERS = {
    "helper_with_a_parameter_of_that_name": questions(
        (
            answer("value = 3"),
            hiding(
                "def good(value):\n    return value > 2\nassert good(value)",
                "assert good(value) and value == 3",
            ),
        )
    ),
    "comprehension_of_that_name": questions(
        (answer("value = 3"), "assert all(value for value in (1, 2))\nassert value == 3")
    ),
    "assigns_that_name": questions(
        (answer("value = [3]"), hiding("assert value", "value = value + [4]\nassert value == [3, 4]"))
    ),
    "an_earlier_test_has_a_variable_of_that_name": questions(
        (answer("first = 1"), "result = first\nassert result == 1"),
        (answer("result = 5"), "assert result == 5"),
    ),
    "magic_in_a_test": questions((answer("value = 3"), "%precision 3\nassert value == 3")),
    "await_in_a_test": questions(
        (answer("value = 3"), "import asyncio\nawait asyncio.sleep(0)\nassert value == 3")
    ),
    "partial_credit": questions((answer("value = 3"), hiding("assert value", "1.0"))),
    "only_hidden_tests": questions((answer("value = 3"), hiding("", "assert value == 3"))),
    "an_exception_is_asked_for": questions(
        (
            answer("def f(x):\n    raise ValueError('no')"),
            "try:\n    f(1)\nexcept Exception as error:\n    assert 'no' in str(error)\n"
            "else:\n    assert False",
        )
    ),
    "kinds": questions(
        (
            answer(
                "kinds = [1, 2.5, True, None, 'x', (1, [2]), {'a': {1: 2}}, np.float32(1.5),"
                " np.ones((2, 0)), float('inf'), 10**30]"
            ),
            "assert kinds[:7] == [1, 2.5, True, None, 'x', (1, [2]), {'a': {1: 2}}]\n"
            "assert isinstance(kinds[7], np.float32)\n"
            "assert kinds[8].shape == (2, 0) and kinds[9] == np.inf and kinds[10] == 10**30",
        )
    ),
    "more_kinds": questions(
        (
            answer("s, c, b, r = {1, 2}, 1 + 2j, b'bytes', range(3)"),
            "assert s == {1, 2}\nassert c == 1 + 2j\nassert b == b'bytes'\nassert list(r) == [0, 1, 2]",
        )
    ),
    "a_large_number": questions(
        (
            answer("import math\nlarge = math.factorial(2000)"),
            "import math\nassert large == math.factorial(2000)",
        )
    ),
    "a_data_frame_with_an_index": questions(
        (
            answer("import pandas as pd\nframe = pd.DataFrame({'a': [1, 2]}, index=['x', 'y'])"),
            "assert frame.loc['y', 'a'] == 2",
        )
    ),
}


@pytest.mark.parametrize("name", TEACHERS)
def test_a_teachers_own_solution_earns_all_marks(name):
    release = TEACHERS[name]
    verdict = grade(right(release), release=release)
    assert points(verdict) == [1.0, 2.0][: len(verdict.marks)], verdict.marks


def test_partial_credit_may_be_a_number_of_numpy():
    release = questions((answer("value = 3"), "assert value\nnp.float64(0.25)"))
    assert points(grade(right(release), release=release)) == [0.25]


# Keras: TensorFlow is imported in both kernels, so everything is in few submissions.

KERAS = questions(
    (
        answer(
            "model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name='out')])\n"
            "layer = model.get_layer('out')"
        ),
        hiding("assert model.output_shape == (None, 2)", "assert model.count_params() == 8, 'SECRET-NOTE'"),
    ),
    (
        answer("def freeze(model):\n    model.trainable = False\n    return model"),
        hiding(
            "given = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])\n"
            "assert not freeze(given).trainable_weights",
            "assert np.allclose(freeze(given).get_weights()[0], given.get_weights()[0]) and given.trainable",
        ),
    ),
    (
        answer(
            "second = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])\n"
            "name = second.layers[0].name"
        ),
        hiding("assert second.count_params() == 4", "assert name == 'dense', 'named as in a fresh notebook'"),
    ),
    setup="import keras\nimport numpy as np",
)
KERAS_LIMITS = Limits(cell=90, total=200)


def test_models_travel():
    verdict = grade(right(KERAS), KERAS_LIMITS, KERAS)
    assert points(verdict) == [1, 2, 3], verdict.marks


def test_a_lambda_costs_its_own_marks():
    own_layer = """class Mine(keras.layers.Layer):
    def call(self, x):
        return x
def freeze(model):
    return keras.Sequential([model, Mine()])"""
    lamb = "model = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: x[:, :2])])"
    verdict = grade(submission(KERAS, q1=lamb, q2=own_layer, q3=solution("q3", KERAS)), KERAS_LIMITS, KERAS)
    assert points(verdict)[:2] == [0, 0]
    assert "Lambda" in verdict.marks[0].message and "Mine" in verdict.marks[1].message
