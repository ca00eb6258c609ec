"""A kernel that cannot get out: bubblewrap around it, as a `jupyter_client` kernel provisioner.

Inside are, read-only, the system's programs, Python, its packages and this package without its
checks; a `/tmp` of limited size; no network, no other process, an unprivileged user. The kernel's
sockets lie in the sandbox's own memory and are reached through `/proc/PID/root`.
"""

import contextlib
import functools
import json
import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from jupyter_client.provisioning import LocalProvisioner
from traitlets import Bool, Dict, Instance, Unicode

import tlcourse
from tlcourse import CourseError

PACKAGE = Path(tlcourse.__file__).parent
STUB = Path(__file__).with_name("stub.py")
MB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What one submission may use. Seconds for a cell or a call and for everything; bytes of
    memory for a kernel, of a file system (`/tmp`, `/dev/shm`) and of output; processes and threads."""

    cell: float = 60
    total: float = 300
    memory: int = 4096 * MB
    disk: int = 256 * MB
    output: int = 8 * MB
    processes: int = 400


def require(unsafe=False):
    """Raise `CourseError` unless there is a sandbox here, or `unsafe` says to go without."""
    if missing() and not unsafe:
        raise CourseError(
            f"Submissions run in a sandbox, and {missing()}. With --unsafe-no-sandbox they run as you, "
            "with your files and your network: only for work that you trust."
        )


@functools.cache
def missing():
    """What keeps the sandbox from working here, as a clause; None if it works."""
    packages = {"bwrap": "bubblewrap", "prlimit": "util-linux", "setpriv": "util-linux", "timeout": "coreutils"}
    for command, package in packages.items():
        if not shutil.which(command):
            return f"there is no {command} here (Debian and Ubuntu: apt install {package}; it needs Linux)"
    connection = _memory_file("{}")
    try:
        command = ["bwrap", *_box(True, Limits(), connection), *_kernel(Limits(), ["-c", "import tlcourse.wire"])]
        done = subprocess.run(
            command, env=_environment(), pass_fds=(connection,), capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"it does not start here ({error})"
    finally:
        os.close(connection)
    if done.returncode:
        return f"it does not start here ({(done.stderr.strip().splitlines() or ['no reason given'])[-1]})"
    return None


def in_force(sandbox=True, limits=Limits()):
    """The limits that hold on this machine, one sentence each."""
    if not sandbox:
        return [
            f"No sandbox: submissions ran as this user, with its files and network; {limits.cell:g} s a cell, "
            f"{limits.total:g} s a submission."
        ]
    groups = _cgroups()
    memory = (
        f"{limits.memory // MB} MB of memory a kernel, by cgroup"
        if groups
        else f"{limits.memory // MB} MB of memory a kernel, by watching it and by RLIMIT_DATA (no cgroups here)"
    )
    user = "a user of its own" if os.geteuid() == 0 else "a user without rights"
    return [
        f"bubblewrap: no network, read-only mounts, own processes, {user}, no capabilities.",
        f"{limits.cell:g} s a cell or call, {limits.total:g} s a submission.",
        f"{memory}.",
        f"{limits.processes} processes and threads{', by cgroup' if groups else ', by RLIMIT_NPROC'}.",
        f"{limits.disk // MB} MB in /tmp; {limits.output // MB} MB of output a cell.",
    ]


class SandboxProvisioner(LocalProvisioner):
    """Launches a kernel in a sandbox, or without one in a folder of its own.

    `learner`: whether the kernel runs a learner's code, which must not see the checks.
    """

    learner = Bool(True)
    sandbox = Bool(True)
    limits = Instance(Limits)
    environment = Dict()
    imports = Unicode()
    group = None

    async def launch_kernel(self, cmd, **kwargs):
        if self.sandbox:
            self._launch_inside()
        else:
            self._launch_outside(cmd, kwargs.get("cwd"))
        # In the sandbox the end of the first process is the end of all.
        self.pid, self.pgid = self.process.pid, None if self.sandbox else self.process.pid
        return self.connection_info

    async def cleanup(self, restart=False):
        self._remove_group()

    def used_up(self):
        """Why this kernel must be stopped, `""` while it may go on."""
        if self.process is None:
            return ""
        counted = self.group and self.group.folders
        if self.group.full() if counted else _memory(self.process.pid) > self.limits.memory:
            return f"it took more than {self.limits.memory // MB} MB of memory"
        return ""

    def _launch_outside(self, command, folder):
        environment = _environment() | {"HOME": folder, "PYTHONPATH": os.pathsep.join(sys.path[1:])}
        environment["PATH"] = os.environ.get("PATH", "")
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _launch_inside(self):
        inside = dict(self.connection_info, ip="/wire/kernel")
        inside["key"] = inside["key"].decode()
        connection = _memory_file(json.dumps(inside))
        # Arguments that lie in a file are not in /proc/1/cmdline.
        box = _memory_file("\0".join([*_box(self.learner, self.limits, connection), ""]))
        info, child_info = os.pipe()
        try:
            self._remove_group()
            self.group = _Group.make(self.limits) if _cgroups() else None
            self.process = subprocess.Popen(
                [
                    *(self.group.prefix if self.group else ()),
                    # However this process ends, and at the latest when its time is up, all inside ends too.
                    *("setpriv", "--pdeathsig=KILL", "timeout", "--signal=KILL", str(self.limits.total + 60)),
                    *("bwrap", "--info-fd", str(child_info), "--args", str(box)),
                    *_kernel(self.limits, ["-m", "ipykernel_launcher", "-f", "/kernel.json", "-c", self.imports]),
                ],
                env=_environment() | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(connection, box, child_info),
                cwd="/",
            )
            os.close(child_info)
            child_info = None
            told = b""  # by bubblewrap, before anything of the learner's runs
            while not told.rstrip().endswith(b"}"):
                more = os.read(info, 4096)
                if not more:
                    raise RuntimeError("the sandbox did not start")
                told += more
            self.connection_info["ip"] = f"/proc/{json.loads(told)['child-pid']}/root/wire/kernel"
        finally:
            for descriptor in (connection, box, info, child_info):
                if descriptor is not None:
                    os.close(descriptor)

    def _remove_group(self):
        if self.group:
            self.group.remove()
        self.group = None


def _box(learner, limits, connection):
    """bubblewrap's arguments: what is inside."""
    arguments = ["--perms", "0755", "--dir", "/etc", "--perms", "0755", "--dir", "/course", "--ro-bind", "/usr", "/usr"]
    for name in ("bin", "sbin", "lib", "lib32", "lib64"):
        path = Path("/", name)
        if path.is_symlink():
            arguments += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            arguments += ["--ro-bind", str(path), str(path)]
    for path in ("/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts", "/etc/localtime"):
        arguments += ["--ro-bind-try", path, path]
    for source, target in _python_mounts():
        arguments += ["--ro-bind", str(source), target]
    arguments += ["--ro-bind", str(PACKAGE), "/course/tlcourse"]
    # Wherever the package can be seen besides, with its solutions, it must not be.
    mounts = [("/usr", "/usr"), *_python_mounts()]
    for package in {PACKAGE, Path(sysconfig.get_path("purelib")) / "tlcourse"}:
        for source, target in mounts:
            if package.is_dir() and package.is_relative_to(source):
                arguments += _empty(Path(target) / package.relative_to(source))
    if (PACKAGE / "notebooks").is_dir():
        arguments += _empty("/course/tlcourse/notebooks")
    if learner:
        arguments += _without_checks()
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    for path, size in (("/tmp", limits.disk), ("/dev/shm", limits.disk), ("/wire", MB)):
        arguments += ["--perms", "1777", "--size", str(size), "--tmpfs", path]
    arguments += ["--perms", "0444", "--ro-bind-data", str(connection), "/kernel.json"]
    arguments += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp", "--hostname", "sandbox"]
    arguments += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    arguments += ["--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    if os.geteuid() == 0:
        # Root needs no user namespace, and may become a user that nobody else is.
        return [*arguments, *(w for cap in ("SETUID", "SETGID", "SETPCAP") for w in ("--cap-add", f"CAP_{cap}"))]
    return [*arguments, "--unshare-user", "--disable-userns", "--uid", "1000", "--gid", "1000"]


def _without_checks():
    """Hide the checks, hidden tests and solutions that lie in the package."""
    arguments = _empty("/course/tlcourse/grading")
    for path in sorted(set((PACKAGE / "exercises").iterdir()) - {PACKAGE / "exercises" / "given.py"}):
        target = f"/course/tlcourse/exercises/{path.name}"
        arguments += ["--ro-bind", str(STUB), target] if path.is_file() else _empty(target)
    return arguments


def _empty(folder):
    """Hide what is in a folder, and give nobody room to write there."""
    return ["--perms", "0555", "--size", "4096", "--tmpfs", str(folder)]


def _kernel(limits, arguments):
    """The command inside the sandbox: give up all rights, take the limits, run Python."""
    drop = []
    if os.geteuid() == 0:
        user = str((1 << 30) + secrets.randbelow(1 << 29))
        drop = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--inh-caps=-all"]
        drop += ["--bounding-set=-all", "--no-new-privs"]
    mine = 0 if os.geteuid() == 0 else _threads_of_this_user()
    return [
        *drop,
        *("prlimit", f"--nproc={limits.processes + mine}", f"--data={limits.memory + 2048 * MB}"),
        *(f"--fsize={limits.disk}", "--core=0", "--nofile=1024"),
        *(_python(), *arguments),
    ]


def _python_mounts():
    base = Path(sys.base_prefix)
    if not base.is_relative_to("/usr"):
        yield base, "/python"
    if sys.prefix != sys.base_prefix:
        yield Path(sysconfig.get_path("purelib")), "/site"


def _python():
    base = Path(sys.base_prefix)
    inside = Path(os.path.realpath(sys._base_executable)).relative_to(os.path.realpath(base))
    return str((base if base.is_relative_to("/usr") else Path("/python")) / inside)


def _environment():
    """Nothing of the grading machine's environment goes in."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": "/tmp",
        "USER": "learner",
        "LANG": "C.UTF-8",
        "PYTHONPATH": "/course:/site",
        "LD_LIBRARY_PATH": "/python/lib",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "IPYTHONDIR": "/tmp/ipython",
        "MPLCONFIGDIR": "/tmp/matplotlib",
        "TLCOURSE_CACHE": "/tmp/cache",
        "CUDA_VISIBLE_DEVICES": "-1",
    }


def _memory_file(text):
    descriptor = os.memfd_create("connection", 0)
    os.write(descriptor, text.encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _memory(pid):
    """Bytes that a process and all it started hold, what they share counted once; files in memory, too."""
    total, files = 0, {}
    with contextlib.suppress(psutil.Error):
        for process in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]:
            with contextlib.suppress(OSError, StopIteration):
                lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
                total += 1024 * int(next(line for line in lines if line.startswith("Pss:")).split()[1])
            with contextlib.suppress(OSError):
                for entry in os.scandir(f"/proc/{process.pid}/fd"):
                    with contextlib.suppress(OSError):
                        if os.readlink(entry.path).startswith("/memfd:"):
                            file = os.stat(entry.path)
                            files[file.st_ino] = 512 * file.st_blocks
    return total + sum(files.values())


def _threads_of_this_user():
    fields = psutil.process_iter(["uids", "num_threads"])
    return sum(p.info["num_threads"] or 1 for p in fields if p.info["uids"] and p.info["uids"].real == os.getuid())


class _Group:
    """A control group (version 1, by hand; version 2, by systemd) for the processes of one kernel."""

    def __init__(self, folders, prefix):
        self.folders, self.prefix = folders, prefix

    @classmethod
    def make(cls, limits):
        name = f"tlcourse-{os.getpid()}-{secrets.token_hex(8)}"
        folders = {kind: folder / name for kind, folder in _parents().items()}
        if not folders:
            return cls({}, _systemd(limits))
        for kind, folder in folders.items():
            folder.mkdir()
            name, value = {
                "memory": ("memory.limit_in_bytes", limits.memory),
                "pids": ("pids.max", limits.processes),
            }[kind]
            (folder / name).write_text(str(value))
        script = 'for group in "$1" "$2"; do echo $$ > "$group/cgroup.procs"; done; shift 2; exec "$@"'
        return cls(folders, ["sh", "-c", script, "sh", *map(str, folders.values())])

    def full(self):
        """Whether the memory was used up and a process was killed for it."""
        with contextlib.suppress(OSError, KeyError):
            return not (self.folders["memory"] / "memory.oom_control").read_text().rstrip().endswith("oom_kill 0")
        return False

    def remove(self):
        for folder in self.folders.values():
            for _ in range(50):  # until the kernel has buried the processes
                try:
                    folder.rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.1)


@functools.cache
def _parents():
    """Where groups of version 1 can be made here, by controller; empty if they cannot."""
    parents = {}
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            if kinds in ("memory", "pids"):
                folders = [Path("/sys/fs/cgroup", kinds, path.lstrip("/")), Path("/sys/fs/cgroup", kinds)]
                parents[kinds] = next(folder for folder in folders if (folder / "cgroup.procs").exists())
    usable = len(parents) == 2 and all(os.access(folder, os.W_OK) for folder in parents.values())
    return parents if usable else {}


def _systemd(limits):
    user = [] if os.geteuid() == 0 else ["--user"]
    return [
        *("systemd-run", *user, "--scope", "--quiet", "--collect"),
        *("-p", f"MemoryMax={limits.memory}", "-p", "MemorySwapMax=0", "-p", f"TasksMax={limits.processes}"),
    ]


@functools.cache
def _cgroups():
    """Whether control groups can be had here."""
    if _parents():
        return True
    try:
        return subprocess.run([*_systemd(Limits()), "true"], capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
