"""Lessons are found, executed in real kernels, tidied and refreshed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from tlcourse import CourseError, lessons, progress, settings

sys.path.append(str(Path(__file__).parents[1] / "tools"))
import refresh  # noqa: E402

v4 = nbformat.v4


def write(folder, name, *cells):
    notebook = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "notebooks", lambda: tmp_path)
    monkeypatch.setenv("TLCOURSE_PROFILE", "sample")
    return tmp_path


def test_find_takes_every_way_to_name_a_lesson(folder):
    first, second = write(folder, "00_start"), write(folder, "01_base")
    write(folder, "scratch")
    assert lessons.find() == [first, second]
    for name in ("1", "01", "01_base", "01_base.ipynb", f"notebooks{os.sep}01_base.ipynb"):
        assert lessons.find([name]) == [second], name
    assert lessons.find(["1", "0", "01"]) == [first, second]


def test_an_unknown_lesson_lists_the_valid_ones(folder):
    write(folder, "00_start"), write(folder, "01_base")
    with pytest.raises(CourseError, match="'7'.*00_start, 01_base"):
        lessons.find(["7"])


def test_no_lessons_at_all_is_said(folder):
    with pytest.raises(CourseError, match="no lessons in"):
        lessons.find()


def test_a_good_lesson_runs_in_this_python_and_leaves_nothing_behind(folder, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    registered = folder / "kernels" / "python3"
    registered.mkdir(parents=True)
    (registered / "kernel.json").write_text('{"argv": ["/bin/false"], "display_name": "other"}')
    monkeypatch.setenv("JUPYTER_PATH", str(folder))
    source = "import os, sys\nopen('left.txt', 'w').close()\nprint(sys.executable, os.environ['MPLBACKEND'])"
    path = write(folder, "00_start", "x = 1\nx", "", source, "x + 1")
    seen = []
    notebook, failure = lessons.execute(path, lambda *facts: seen.append(facts))
    assert failure is None
    assert seen == [(1, 3, "x = 1"), (2, 3, "import os, sys"), (3, 3, "x + 1")]
    assert [cell.execution_count for cell in notebook.cells] == [1, None, 2, 3]
    executable, backend = notebook.cells[2].outputs[0].text.split()
    assert executable == sys.executable and "inline" in backend
    assert sorted(each.name for each in folder.iterdir()) == ["00_start.ipynb", "kernels"]
    assert not Path("left.txt").exists()
    assert 0 < notebook.metadata.tlcourse.seconds < 60
    assert 0.01 < notebook.metadata.tlcourse.memory_gb < 10
    assert all(lessons.seconds(cell) > 0 for cell in lessons.code_cells(notebook))


def test_an_exception_names_its_cell_and_keeps_what_came_before(folder):
    path = write(folder, "00_bad", "1", "\n# why\n{}['\\x1b[31mkey']\n", "2")
    notebook, failure = lessons.execute(path, record_timing=False)
    assert (failure.cell, failure.line, failure.error) == (2, "# why", "KeyError")
    assert "key" in failure.reason and "\n" not in failure.reason
    assert str(failure).startswith("cell 2 (`# why`): KeyError: ")
    assert notebook.cells[0].outputs and not notebook.cells[2].outputs
    assert "execution" not in notebook.cells[0].metadata


def test_a_killed_kernel_is_a_failure_in_words(folder):
    _, failure = lessons.execute(write(folder, "00_dead", "1", "import os\nos._exit(1)"))
    assert (failure.cell, failure.error) == (2, "DeadKernel")
    assert "died" in failure.reason


def test_a_cell_over_its_time_ends_soon_and_its_kernel_with_it(folder):
    start = time.monotonic()
    path = write(folder, "00_slow", "import time\nwhile True:\n    time.sleep(1)")
    _, failure = lessons.execute(path, timeout=1)
    assert (failure.cell, failure.error) == (1, "Timeout")
    assert time.monotonic() - start < 15
    assert not kernels()


def test_a_file_that_is_no_notebook_is_a_failure(folder):
    (folder / "00_torn.ipynb").write_text("{")
    _, failure = lessons.execute(folder / "00_torn.ipynb")
    assert failure.cell == 0 and "not readable" in str(failure)


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_ends_the_kernel(folder):
    path = write(folder, "00_long", "print(1)", "import time\ntime.sleep(60)")
    code = (
        "import signal, sys; from tlcourse import lessons\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored where the tests run in the background
        "show = lambda number, *_: print(number, flush=True)\n"
        "try: lessons.execute(sys.argv[1], show)\n"
        "except KeyboardInterrupt: print('clean')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for wanted in "12":
        assert process.stdout.readline().strip() == wanted
    time.sleep(0.3)
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=15)
    assert (out, err) == ("clean\n", "")
    assert not psutil.wait_procs(children, timeout=5)[1]


def kernels():
    family = psutil.Process().children(recursive=True)
    return [each for each in family if "ipykernel_launcher" in " ".join(each.cmdline())]


def noisy():
    view = {lessons.WIDGET_VIEW: {"model_id": "a1"}, "text/plain": "IntSlider(value=3)"}
    outputs = [
        v4.new_output("stream", name="stdout", text="one\n"),
        v4.new_output("stream", name="stderr", text="W0000 noise\n"),
        v4.new_output("stream", name="stdout", text="two\n"),
        v4.new_output("display_data", view),
        v4.new_output("display_data", {**view, "text/html": "<b>3</b>"}),
        v4.new_output("display_data", {"text/plain": "Training: 3 done"}, metadata=progress.MARK),
        v4.new_output("execute_result", {"text/plain": "3"}, execution_count=17),
    ]
    cell = v4.new_code_cell("x", outputs=outputs, execution_count=17)
    cell.metadata = nbformat.from_dict({"tags": ["kept"], "execution": {"iopub.status.idle": "now"}})
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell("# é"), cell])
    notebook.metadata = nbformat.from_dict({"widgets": {}, "tlcourse": {"seconds": 1.0}})
    return notebook


def test_tidy_keeps_results_and_drops_noise():
    notebook = noisy()
    tidied = lessons.tidy(notebook)
    assert tidied.metadata == {"kernelspec": lessons.KERNEL, "language_info": {"name": "python"}}
    cell = tidied.cells[1]
    assert cell.metadata == {"tags": ["kept"]} and cell.execution_count == 1
    text, html, result = cell.outputs
    assert text.text == "one\ntwo\n"
    assert lessons.WIDGET_VIEW not in html.data and html.data["text/html"] == "<b>3</b>"
    assert result.execution_count == 1
    assert len(notebook.cells[1].outputs) == 7, "tidy changed the notebook it was given"
    nbformat.validate(tidied)


def test_tidy_twice_is_tidy_once():
    once = lessons.tidy(noisy())
    assert lessons.tidy(once) == once


def test_refresh_twice_gives_the_same_bytes(folder, capsys):
    source = "import sys\nprint('é')\nprint('noise', file=sys.stderr)\nprint('b')"
    path = write(folder, "00_good", source, "1 + 1")
    assert refresh.main([]) == 0
    first = path.read_bytes()
    assert refresh.main(["0"]) == 0
    assert path.read_bytes() == first
    assert first.endswith(b"}\n") and first.startswith(b'{\n "cells"') and "é".encode() in first
    assert b"noise\\n" not in first and b'"2"' in first
    out = capsys.readouterr().out
    assert "00_good: " in out and "peak memory" in out and "longest cell" in out


def test_refresh_leaves_a_failing_lesson_as_it_was(folder, capsys):
    bad, good = write(folder, "00_bad", "1 / 0"), write(folder, "01_good", "2")
    before = bad.read_bytes(), good.read_bytes()
    assert refresh.main([]) == 1
    assert bad.read_bytes() == before[0] and good.read_bytes() != before[1]
    assert "00_bad: left as it was, it failed in cell 1 (`1 / 0`): Zero" in capsys.readouterr().err


def test_refresh_warns_of_a_slow_cell(folder, capsys, monkeypatch):
    monkeypatch.setattr(refresh, "SLOW", 0.2)
    write(folder, "00_slow", "1", "import time\ntime.sleep(0.3)")
    assert refresh.main([]) == 0
    err = capsys.readouterr().err
    assert "cell 2 (`import time`) takes" in err and "cell 1 (`1`)" not in err.replace("cell 1: 1", "")


def test_refresh_of_an_unknown_lesson_is_one_sentence(folder, capsys):
    write(folder, "00_good", "1")
    assert refresh.main(["99"]) == 2
    assert capsys.readouterr().err == "There is no lesson '99': choose one of 00_good.\n"
