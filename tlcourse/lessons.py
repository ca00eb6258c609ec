"""The lessons: find them, execute them in a fresh kernel, tidy their outputs.

An executed notebook carries what its run cost in ``metadata["tlcourse"]``:
``{"seconds": float, "memory_gb": float}``, wall time and peak memory of the kernel
with its children. `tidy` drops it.
"""

import asyncio
import copy
import logging
import os
import re
import sys
import tempfile
import textwrap
import time
from dataclasses import dataclass
from datetime import datetime
from subprocess import DEVNULL

import nbformat
import psutil
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from tqdm import tqdm

from tlcourse import CourseError, progress, settings, storage

TIMEOUT = 900  # seconds a cell; the sample profile is made for cells of a minute at most
BAR = "{desc} |{bar:20}| {n_fmt}/{total_fmt} cells, {elapsed}{postfix}"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}

# nbclient says on its log what `Failure` says in words.
_silent = logging.getLogger("tlcourse.nbclient")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


@dataclass(frozen=True)
class Failure:
    """Where and why a lesson stopped. `cell` counts code cells from 1; 0 is before the first."""

    cell: int
    line: str
    error: str
    reason: str

    def __str__(self):
        where = f"cell {self.cell} (`{self.line}`)" if self.cell else "before its first cell"
        return f"{where}: {self.error}" + (f": {self.reason}" if self.reason else "")


def find(names=()):
    """Paths of all lessons in order, or of those named by "4", "04", "04_title" or file name.

    Raises CourseError for an unknown name, listing the valid ones.
    """
    folder = settings.notebooks()
    lessons = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not lessons:
        raise CourseError(f"There are no lessons in {folder}: install the course again.")
    chosen = set()
    for name in map(str, names):
        hits = [path for path in lessons if _is_named(path, name)]
        if not hits:
            valid = ", ".join(path.stem for path in lessons)
            raise CourseError(f"There is no lesson {name!r}: choose one of {valid}.")
        chosen.update(hits)
    return [path for path in lessons if path in chosen or not names]


def execute(path, on_cell=None, timeout=TIMEOUT, record_timing=True):
    """Execute one lesson in a fresh kernel of this Python, in a temporary folder.

    `on_cell(number, total, first_line)` is called as each code cell starts;
    `timeout` is in seconds a cell, None for no limit. Returns (notebook, failure): the
    notebook as far as it was executed, and None or a `Failure`. Nothing that a lesson
    does raises; Ctrl-C ends the kernel and raises KeyboardInterrupt.
    """
    try:
        notebook = nbformat.read(path, as_version=4)
    except Exception as error:
        empty = nbformat.v4.new_notebook()
        return empty, Failure(0, "", type(error).__name__, _one_line(f"not readable: {error}"))
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    start, cost = time.monotonic(), {"seconds": 0.0, "memory_gb": 0.0}
    with (
        tempfile.TemporaryDirectory(prefix="tlcourse-", ignore_cleanup_errors=True) as folder,
        # The selector loop is the one ZeroMQ can use on every platform. A Runner turns
        # Ctrl-C into a cancellation, so that the kernel is ended before anything else.
        asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner,
    ):
        failure = runner.run(_drive(notebook, folder, on_cell, timeout, record_timing, cost))
    cost["seconds"] = time.monotonic() - start
    notebook.metadata["tlcourse"] = nbformat.from_dict(cost)
    return notebook, failure


def execute_all(paths, **options):
    """Execute lessons one after another under a progress bar on stderr.

    Yields (path, notebook, failure) as each one ends; `options` go to `execute`.
    """
    for place, path in enumerate(paths, start=1):
        label = f"{place}/{len(paths)} {path.stem}"
        with tqdm(desc=label, leave=False, file=sys.stderr, bar_format=BAR) as bar:

            def on_cell(number, total, line):
                bar.total, bar.n = total, number - 1
                bar.set_postfix_str(f"cell {number}: {textwrap.shorten(line, 40)}")

            notebook, failure = execute(path, on_cell, **options)
        yield path, notebook, failure


def code_cells(notebook):
    """The code cells that have code, in order: cell 3 is `code_cells(notebook)[2]`."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def seconds(cell):
    """Wall seconds of an executed code cell, 0.0 where its times are not recorded."""
    times = cell.get("metadata", {}).get("execution", {})
    try:
        start, end = (
            datetime.fromisoformat(times[key])
            for key in ("iopub.execute_input", "shell.execute_reply")
        )
        return max(0.0, (end - start).total_seconds())
    except (KeyError, TypeError, ValueError):
        return 0.0


def tidy(notebook):
    """A copy of an executed notebook whose bytes depend only on its sources and results.

    Kept: sources, ids, tags, outputs. Dropped: times, progress, stderr, widgets, machine metadata.
    """
    notebook = copy.deepcopy(notebook)
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    )
    for number, cell in enumerate(code_cells(notebook), start=1):
        cell.metadata.pop("execution", None)
        cell.outputs = _tidy_outputs(cell.outputs)
        cell.execution_count = number if cell.execution_count else None
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = number
    return notebook


def save(notebook, path):
    """Write a notebook atomically, in the form Jupyter itself writes. Raises CourseError."""
    text = nbformat.writes(notebook, indent=1, ensure_ascii=False).rstrip("\n") + "\n"
    with storage.atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


async def _drive(notebook, folder, on_cell, timeout, record_timing, cost):
    # With no folder to search, "python3" can only be this Python, whatever is
    # registered under that name on this machine.
    manager = AsyncKernelManager(
        kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[])
    )
    client = NotebookClient(
        notebook, km=manager, timeout=timeout, record_timing=record_timing, log=_silent
    )
    # A backend set for scripts (Agg, say) would swallow the lessons' figures.
    env = {**os.environ, "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    watch, failure = None, None
    try:
        failure = await _step(0, "", _start(client, folder, env))
        if failure is None:
            watch = asyncio.create_task(_watch(manager.provisioner.pid, cost))
            failure = await _cells(client, on_cell)
    finally:
        if watch:
            watch.cancel()
        if client.kc:
            client.kc.stop_channels()
        if manager.has_kernel:
            # Asked politely only when idle: a busy kernel would not hear it.
            now = failure is not None or bool(asyncio.current_task().cancelling())
            await manager.shutdown_kernel(now=now)
    return failure


async def _start(client, folder, env):
    # What the kernel's own start-up says is not for the terminal with the progress bar.
    await client.async_start_new_kernel(cwd=folder, env=env, stdout=DEVNULL, stderr=DEVNULL)
    await client.async_start_new_kernel_client()


async def _cells(client, on_cell):
    cells = code_cells(client.nb)
    places = {id(cell): place for place, cell in enumerate(client.nb.cells)}
    for number, cell in enumerate(cells, start=1):
        line = cell.source.strip().splitlines()[0]
        if on_cell:
            on_cell(number, len(cells), line)
        index = places[id(cell)]
        step = client.async_execute_cell(cell, index, execution_count=number)
        if failure := await _step(number, line, step):
            return failure
    return None


async def _step(number, line, step):
    try:
        await step
    except Exception as error:
        # nbclient reports a cancellation (Ctrl-C) as a dead kernel.
        if asyncio.current_task().cancelling():
            raise asyncio.CancelledError from None
        return Failure(number, line, *_words(error))
    return None


async def _watch(pid, cost):
    while True:
        try:
            root = psutil.Process(pid)
            family = [root, *root.children(recursive=True)]
            memory = sum(process.memory_info().rss for process in family) / 2**30
            cost["memory_gb"] = max(cost["memory_gb"], memory)
        except psutil.Error:
            pass  # a process may end while it is being counted
        await asyncio.sleep(0.25)


def _words(error):
    if isinstance(error, CellExecutionError):
        return error.ename, _one_line(error.evalue)
    if isinstance(error, CellTimeoutError):
        return "Timeout", "it took longer than a cell may"
    if isinstance(error, DeadKernelError):
        return "DeadKernel", "the Python process died, perhaps for want of memory"
    return type(error).__name__, _one_line(str(error))


def _one_line(text):
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text).strip()
    return textwrap.shorten(plain.partition("\n")[0], 300, placeholder=" …")


def _is_named(path, name):
    if name.isdecimal():
        return int(name) == int(path.stem[:2])
    return name in (str(path), path.stem, path.name) or os.path.basename(name) == path.name


def _tidy_outputs(outputs):
    kept = []
    for output in outputs:
        if output.output_type == "stream" and output.name == "stderr":
            continue
        if output.get("metadata") == progress.MARK:
            continue
        output.pop("transient", None)
        if output.get("data", {}).pop(WIDGET_VIEW, None) and set(output.data) <= {"text/plain"}:
            continue
        if output.output_type == "stream" and kept and kept[-1].output_type == "stream":
            kept[-1].text += output.text
        else:
            kept.append(output)
    return kept
