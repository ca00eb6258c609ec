"""A kernel to run code in, with limits: what comes out is bounded, and it cannot wait for ever."""

import contextlib
import re
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

import psutil
import zmq
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from tlcourse.grading import Output
from tlcourse.grading.sandbox import PACKAGE

LARGEST_MESSAGE, MEMORY_FOR_MESSAGES = 32 << 20, 256 << 20
TEXT_KEPT, PICTURES_KEPT, PICTURE_KEPT = 20_000, 8, 2 << 20
_PATHS = sorted({str(PACKAGE.parent), sys.prefix, sys.base_prefix, str(Path.home())} - {"/", "/usr"}, key=len)[::-1]
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def plain(text, most):
    """Text that any file can hold, at most `most` characters, without paths of this machine."""
    text = str(text)[:most].encode("utf-8", "replace").decode()
    for path in _PATHS:
        text = text.replace(path, "…")
    return text


class TimedOut(Exception):
    """Code ran too long and was interrupted; the kernel lives."""


class Died(RuntimeError):
    """The kernel is gone. `status` as in a verdict, and the reason as a phrase."""

    def __init__(self, status, reason):
        super().__init__(reason)
        self.status = status


class Kernel:
    """A Python kernel in a sandbox. It starts at once, with `imports`; `run` waits until it has. A context manager.

    Everything that it says is taken as a hostile kernel's.
    """

    def __init__(self, limits, *, learner, sandbox, imports="", environment=None):
        self.limits, self._sandbox = limits, sandbox
        self._folder = tempfile.mkdtemp(prefix="tlcourse-kernel-")
        self._context = zmq.Context()
        self._context.linger = 0
        self._context.setsockopt(zmq.MAXMSGSIZE, LARGEST_MESSAGE)
        self._context.setsockopt(zmq.RCVHWM, 20)
        self._context.setsockopt(zmq.SNDTIMEO, 2000)
        if sandbox:  # a learner could put a link in a socket's place, that leads out when we connect again
            self._context.setsockopt(zmq.RECONNECT_IVL, -1)
        self._ready, self._memory = False, _own_memory()
        self._manager = KernelManager(
            context=self._context,
            transport="ipc" if sandbox else "tcp",
            connection_file=f"{self._folder}/kernel.json",
        )
        self._manager._kernel_spec = KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "-c", imports],
            language="python",
            interrupt_mode="message",
            metadata={
                "kernel_provisioner": {
                    "provisioner_name": "tlcourse-sandbox",
                    "config": {
                        "learner": learner,
                        "sandbox": sandbox,
                        "limits": limits,
                        "imports": imports,
                        "environment": environment or {},
                    },
                }
            },
        )
        self._client = None
        try:
            self._manager.start_kernel(cwd=self._folder)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """End the kernel and all that it started."""
        with contextlib.suppress(Exception):
            self._client.stop_channels()
        with contextlib.suppress(Exception):
            self._manager.shutdown_kernel(now=True)
        self._context.destroy(linger=0)
        shutil.rmtree(self._folder, ignore_errors=True)

    def send(self, code):
        """Let `code` run when its turn comes."""
        self._wait_until_ready(60)
        self._execute(code, allow_stdin=False)

    def run(self, code, seconds, *, expressions=None, on_input=None, history=False):
        """Run `code` to its end: the reply's content, to which `"result"` adds the text of the last
        expression, and the outputs, a tuple of `Output`.

        `on_input(text) -> text` answers the kernel's requests for input. Raises `TimedOut`, `Died`.
        """
        self._wait_until_ready(seconds)
        number = self._execute(
            code, store_history=history, user_expressions=expressions, allow_stdin=on_input is not None
        )
        shown, self._memory = _Shown(self.limits.output), _own_memory()
        try:
            reply = self._follow(number, seconds, shown, on_input)
            return reply | {"result": shown.result}, shown.outputs()
        except TimeoutError:
            self._interrupt(number, shown)
            raise TimedOut(f"it ran longer than {seconds:.0f} seconds") from None
        except _Flood:
            self._interrupt(number, shown, patient=False)
            raise Died("limits", f"it put out more than {self.limits.output >> 20} MB") from None

    def _execute(self, code, **options):
        try:
            return self._client.execute(code, stop_on_error=False, **options)
        except zmq.ZMQError:  # it has closed its sockets
            self.close()
            raise Died("crashed", "its kernel cannot be reached") from None

    def _wait_until_ready(self, seconds):
        """Ask until it answers: what is sent before it listens is lost on its output channel."""
        deadline = time.monotonic() + max(seconds, 60)
        if not self._client:
            if self._sandbox:
                _wait_for_sockets(self._manager, self._see_that_it_lives)
            self._client = self._manager.client(context=self._context)
            self._client.start_channels(hb=False)  # a heartbeat would connect again and again
            told = (self._client.shell_channel, self._client.iopub_channel, self._client.stdin_channel)
            self._ends = [each.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED) for each in told]
        while not self._ready:
            number = self._client.kernel_info()
            with contextlib.suppress(TimeoutError):
                self._follow(number, 1, _Shown(self.limits.output), None)
                self._ready = True
            if time.monotonic() > deadline:
                raise Died("crashed", "its kernel did not start")

    def _interrupt(self, number, shown, patient=True):
        """Interrupt what runs; raises `Died` if it does not mind."""
        for _ in range(2 if patient else 0):
            try:
                self._client.control_channel.send(self._client.session.msg("interrupt_request", {}))
                self._follow(number, 2, shown, None)
                return
            except (TimeoutError, _Flood, zmq.ZMQError):
                pass
        self.close()
        if patient:
            raise Died("timed out", "it ran too long and could not be interrupted")

    def _follow(self, number, seconds, shown, on_input):
        client, reply, idle, late = self._client, None, False, None
        channels = {
            client.shell_channel.socket: "shell",
            client.iopub_channel.socket: "iopub",
            client.stdin_channel.socket: "stdin",
        }
        channels |= dict.fromkeys(self._ends, "end")
        poller = zmq.Poller()
        for channel in channels:
            poller.register(channel, zmq.POLLIN)
        deadline, looked = time.monotonic() + seconds, 0.0
        # After the reply the outputs get a moment, but no kernel can make us wait for them.
        while reply is None or not (idle or time.monotonic() > late):
            now = time.monotonic()
            if _own_memory() - self._memory > MEMORY_FOR_MESSAGES:
                raise _Flood
            if now > deadline:
                if reply is not None:
                    break
                raise TimeoutError
            if now - looked > 0.2:
                looked = now
                self._see_that_it_lives()
            for channel, _ in poller.poll(50):
                if channels[channel] == "end":  # a message was too large, or the kernel has hung up
                    time.sleep(0.2)
                    self._see_that_it_lives()
                    raise _Flood
                message = self._receive(channel)
                if message is None or message["parent_header"].get("msg_id") != number:
                    continue
                kind = message["msg_type"]
                if channels[channel] == "shell":
                    reply, late = message["content"], time.monotonic() + 1
                elif channels[channel] == "iopub":
                    idle = idle or kind == "status" and message["content"].get("execution_state") == "idle"
                    shown.add(kind, message["content"])
                elif on_input and kind == "input_request":
                    client.input(on_input(message["content"]["prompt"]))
                    deadline = max(deadline, time.monotonic() + 1)
        return reply

    def _receive(self, channel):
        try:
            _, message = self._client.session.recv(channel, mode=zmq.NOBLOCK)
            dicts = message and all(isinstance(message[key], dict) for key in ("parent_header", "content"))
            return message if dicts else None
        except Exception:  # forged, damaged or too deep: as if it had not been said
            return None

    def _see_that_it_lives(self):
        provisioner = self._manager.provisioner
        why = provisioner.used_up()
        if why:
            self.close()
            raise Died("limits", why)
        if provisioner.process is None or provisioner.process.poll() is not None:
            self.close()
            raise Died("crashed", "its kernel ended")


class _Flood(Exception):
    pass


def _wait_for_sockets(manager, see_that_it_lives):
    """Wait until all sockets of a kernel that starts are there. Nothing of the learner's runs yet."""
    info = manager.get_connection_info()
    waiting = [f"{info['ip']}-{port}" for name, port in info.items() if name.endswith("_port")]
    deadline = time.monotonic() + 60
    while waiting and time.monotonic() < deadline:
        see_that_it_lives()
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as one:
            one.connect(waiting[-1])
            waiting.pop()
            continue
        time.sleep(0.02)


def _own_memory():
    """Bytes that this process holds."""
    return psutil.Process().memory_info().rss


class _Shown:
    """What came out: text in one piece, pictures, up to a size; and how much there was."""

    def __init__(self, limit):
        self.limit, self.size, self.text, self.pictures, self.result = limit, 0, "", [], ""

    def add(self, kind, content):
        if kind == "stream":
            self._say(str(content.get("text", "")))
        elif kind == "error":
            lines = content.get("traceback")
            self._say("\n".join(map(str, lines)) + "\n" if isinstance(lines, list) else "")
        elif kind in ("display_data", "execute_result", "update_display_data"):
            data = content.get("data")
            data = data if isinstance(data, dict) else {}
            pictures = [name for name in ("png", "jpeg") if isinstance(data.get(f"image/{name}"), str)]
            for name in pictures[:1]:
                self._count(len(data[f"image/{name}"]))
                if len(self.pictures) < PICTURES_KEPT and len(data[f"image/{name}"]) <= PICTURE_KEPT:
                    self.pictures.append(Output(name, plain(data[f"image/{name}"], PICTURE_KEPT)))
            if kind == "execute_result":
                self.result = str(data.get("text/plain", ""))
            if not pictures:
                self._say(str(data.get("text/plain", "")) + "\n")

    def outputs(self):
        text = plain(_ANSI.sub("", self.text).rstrip(), TEXT_KEPT)
        return (*([Output("text", text)] if text else []), *self.pictures)

    def _say(self, text):
        self._count(len(text))
        if len(self.text) < TEXT_KEPT:
            self.text = (self.text + text)[:TEXT_KEPT]

    def _count(self, size):
        self.size += size
        if self.size > self.limit:
            raise _Flood
