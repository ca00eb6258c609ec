"""The command line, as people use it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import types
import urllib.error
import urllib.request

import nbformat
import pytest

from tlcourse import CourseError, cli, lessons, settings

CLAIM = """from IPython.display import display
claim = {"number": "1.1", "sentence": "It works.", "verdict": "holds", "measured": "", "low": None}
display({"text/plain": "Claim"}, raw=True, metadata={"tlcourse_claim": claim})"""


def write(folder, name, *cells):
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(made, folder / f"{name}.ipynb")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    made = tmp_path / "lessons"
    made.mkdir()
    monkeypatch.setattr(settings, "notebooks", lambda: made)
    monkeypatch.setenv("TLCOURSE_PROFILE", "sample")
    monkeypatch.chdir(tmp_path)
    return made


def python(*args, **options):
    return subprocess.run([sys.executable, *args], capture_output=True, text=True, **options)


def test_the_command_line_is_quick_to_import():
    heavy = "tensorflow keras pandas matplotlib nbclient numpy".split()
    code = f"import sys, tlcourse.cli; print([m for m in {heavy} if m in sys.modules])"
    assert python("-c", code).stdout == "[]\n"


def test_help_names_every_command():
    done = python("-m", "tlcourse.cli", "--help")
    assert done.returncode == 0
    assert all(f"    {name} " in done.stdout for name in ("lab", "run", "fetch", "release", "grade", "clean", "doctor"))


def test_a_reader_that_left_is_no_error():
    code = (
        "import sys; from tlcourse import cli, settings\n"
        "settings.device = lambda: dict(device='CPU', threads=2, memory_gb=8)\n"
        "sys.exit(cli.main(['doctor']))"
    )
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", code], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_run_goes_on_after_a_failing_lesson(folder, capsys):
    write(folder, "00_bad", CLAIM, "1 / 0")
    write(folder, "01_good", CLAIM, "x = 1", "import os; os.environ['TLCOURSE_PROFILE']")
    assert cli.main(["run", "--out", "done", "--profile", "full"]) == 1
    out, err = capsys.readouterr()
    bad, good, last = out.splitlines()
    assert bad == "00_bad   FAILED in cell 2 (`1 / 0`): ZeroDivisionError: division by zero"
    assert good.startswith("01_good  1 hold, 0 not, 0 too close to call, ")
    assert last == f"Report: {os.path.join('done', 'report.html')}"
    assert "2/2 01_good" in err and "cell 2: x = 1" in err
    assert sorted(os.listdir("done")) == ["00_bad.ipynb", "01_good.ipynb", "report.html"]
    executed = nbformat.read("done/01_good.ipynb", as_version=4)
    assert executed.cells[2].outputs[0].data["text/plain"] == "'full'"
    with open("done/report.html", encoding="utf-8") as file:
        assert "cell 2 (`1 / 0`)" in file.read()


def test_run_of_one_good_lesson_succeeds(folder, capsys):
    write(folder, "00_bad", "1 / 0"), write(folder, "01_good", CLAIM)
    assert cli.main(["run", "1"]) == 0
    assert capsys.readouterr().out.startswith("01_good  1 hold")
    assert sorted(os.listdir("tlcourse-run")) == ["01_good.ipynb", "report.html"]


def test_run_interrupted_keeps_and_reports_what_is_finished(folder, capsys, monkeypatch):
    write(folder, "00_a", CLAIM), write(folder, "01_b", CLAIM)
    real = lessons.execute

    def execute(path, *args, **options):
        if path.stem == "01_b":
            raise KeyboardInterrupt
        return real(path, *args, **options)

    monkeypatch.setattr(lessons, "execute", execute)
    assert cli.main(["run"]) == 130
    out, err = capsys.readouterr()
    assert "00_a  1 hold" in out and "Report: " in out and "Interrupted." in err
    assert sorted(os.listdir("tlcourse-run")) == ["00_a.ipynb", "report.html"]


@pytest.mark.parametrize(
    "words, said",
    [
        (["run", "77"], "There is no lesson '77': choose one of 00_a.\n"),
        (["run", "--out", "taken"], "taken cannot be written (File exists): choose another folder with --out.\n"),
        (["run", "--out", "lessons"], "lessons holds the lessons themselves: choose another folder with --out.\n"),
    ],
)
def test_mistakes_are_one_sentence(folder, capsys, words, said):
    write(folder, "00_a", "1")
    open("taken", "w").close()
    before = (folder / "00_a.ipynb").read_bytes()
    assert cli.main(words) == 2
    assert capsys.readouterr() == ("", said)
    assert (folder / "00_a.ipynb").read_bytes() == before


def test_an_unknown_profile_lists_the_valid_ones(folder, capsys, monkeypatch):
    monkeypatch.setenv("TLCOURSE_PROFILE", "sample")
    assert cli.main(["run", "--profile", "fast"]) == 2
    assert capsys.readouterr().err == "Unknown profile 'fast': choose one of sample, full.\n"
    monkeypatch.setenv("TLCOURSE_PROFILE", "fast")
    assert cli.main(["doctor"]) == cli.main(["run"]) == 2
    assert "'fast': choose one of sample, full" in capsys.readouterr().err


def test_only_lab_takes_unknown_arguments(capsys):
    with pytest.raises(SystemExit):
        cli.main(["doctor", "--port", "1"])
    assert "unrecognized arguments: --port 1" in capsys.readouterr().err


@pytest.fixture
def downloads(monkeypatch, tmp_path):
    """A stand-in with two files for the lessons, one that arrives and one that does not, and a third that they do not need."""

    def fetch(name, to=None):
        if name == "cifar10":
            raise CourseError(f"No network for {name}.")
        return (to or tmp_path) / f"{name}.npz"

    names = ("cifar10", "mnist", "cifar100")
    fake = types.SimpleNamespace(NAMES=names, LESSONS=names[:2], DATASETS=names, fetch=fetch)
    fake.find = lambda name: tmp_path if name == "mnist" else None
    monkeypatch.setitem(sys.modules, "tlcourse.downloads", fake)
    monkeypatch.setattr(sys.modules["tlcourse"], "downloads", fake, raising=False)
    return fake


def test_fetch_goes_on_after_a_name_that_fails(downloads, capsys, tmp_path):
    assert cli.main(["fetch"]) == 1
    out, err = capsys.readouterr()
    assert out == f"cifar10       not fetched\nmnist         {tmp_path / 'mnist.npz'}\n"
    assert err == "No network for cifar10.\n"
    assert cli.main(["fetch", "mnist", "--to", "here"]) == 0
    assert capsys.readouterr().out.split() == ["mnist", os.path.join("here", "mnist.npz")]


def test_fetch_brings_what_only_the_pretraining_needs_when_it_is_named(downloads, capsys, tmp_path):
    assert cli.main(["fetch", "cifar100"]) == 0
    assert capsys.readouterr().out.split() == ["cifar100", str(tmp_path / "cifar100.npz")]


@pytest.fixture
def machine(monkeypatch, tmp_path, downloads):
    facts = {"device": "CPU, 2 threads", "threads": 2, "memory_gb": 8.0}
    monkeypatch.setattr(settings, "device", lambda: facts)
    monkeypatch.setenv("TLCOURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TLCOURSE_PROFILE", "sample")
    monkeypatch.delenv("TLCOURSE_HOME", raising=False)


def test_doctor_finds_nothing_in_the_way(machine, capsys, tmp_path):
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "Device          CPU, 2 threads\n" in out and "Memory          8.0 GB\n" in out
    assert f"Cache           {tmp_path / 'cache'} (0 MB)\n" in out
    assert "here: mnist; missing: cifar10" in out and "All lessons can run" in out


def test_a_missing_home_stops_the_full_profile_only(machine, capsys, monkeypatch):
    monkeypatch.setenv("TLCOURSE_HOME", "/nowhere")
    assert cli.main(["doctor"]) == 0
    monkeypatch.setenv("TLCOURSE_PROFILE", "full")
    assert cli.main(["doctor"]) == 1
    assert "/nowhere, which is not a folder" in capsys.readouterr().out


def test_doctor_says_what_the_full_profile_lacks(machine, capsys, monkeypatch):
    monkeypatch.setenv("TLCOURSE_PROFILE", "full")
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "lacks cifar10: get it with `tlcourse fetch cifar10`" in out and "cifar100" not in out


def test_doctor_names_a_library_that_cannot_be_imported(machine, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    assert cli.main(["doctor"]) == 1
    assert "A library cannot be imported (import of mlxtend.data halted" in capsys.readouterr().out


def test_doctor_names_folders_that_are_no_use(machine, capsys, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TLCOURSE_CACHE", str(tmp_path / "file"))
    monkeypatch.setenv("TLCOURSE_HOME", str(tmp_path / "nowhere"))
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "The cache folder" in out and "TLCOURSE_HOME is" in out


def test_lab_starts_on_the_lessons_and_answers(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    private = {f"JUPYTER_{each}_DIR": str(tmp_path / each) for each in ("CONFIG", "DATA", "RUNTIME")}
    words = ["lab", str(tmp_path / "work"), "--no-browser", "--port", str(port), "--IdentityProvider.token=abc"]
    with open(tmp_path / "log", "w") as log:
        lab = subprocess.Popen(
            [sys.executable, "-m", "tlcourse.cli", *words], stdout=log, stderr=log, env={**os.environ, **private}
        )
    try:
        base = f"http://127.0.0.1:{port}/"
        assert "started" in json.loads(ask(base + "api/status?token=abc", lab))
        assert b"00_start_here.ipynb" in ask(base + "api/contents?token=abc", lab)
        settings = ask(base + "lab/api/settings/@jupyterlab/apputils-extension:notification?token=abc", lab)
        assert json.loads(settings)["schema"]["properties"]["fetchNews"]["default"] == "false"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(base + "api/contents")
    finally:
        lab.send_signal(signal.SIGTERM)
        lab.wait(timeout=15)
    text = (tmp_path / "log").read_text()
    assert f"http://127.0.0.1:{port}/lab/tree/00_start_here.ipynb?token=" in text


def ask(address, process, patience=30):
    deadline = time.monotonic() + patience
    while True:
        try:
            return urllib.request.urlopen(address, timeout=5).read()
        except urllib.error.HTTPError:
            raise
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)


def test_lab_lets_given_arguments_win(monkeypatch, tmp_path):
    started = []
    monkeypatch.setattr(os, "execv", lambda path, words: started.extend(words))
    monkeypatch.setattr(subprocess, "call", lambda words: started or started.extend(words))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    cli.main(["lab", "--ip=0.0.0.0", "--allow-root", "--port", "9"])
    assert started[:3] == [sys.executable, "-m", "jupyterlab"]
    assert started[-4:] == ["--ip=0.0.0.0", "--allow-root", "--port", "9"]
    assert "--ServerApp.ip=127.0.0.1" not in started and started.count("--allow-root") == 1
    assert f"--ServerApp.root_dir={tmp_path / 'tlcourse-work'}" in started


@pytest.mark.parametrize("words", [["--no-browser", "mine"], ["mine", "03.ipynb"], ["--ServerApp.port=9", "mine"], [""]])
def test_lab_takes_one_folder_and_takes_it_first(words, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("JupyterLab was started."))
    monkeypatch.setattr(subprocess, "call", lambda *_: pytest.fail("JupyterLab was started."))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["lab", *words]) == 2
    assert re.search("takes one folder, before all options|name of the folder is empty", capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def keep(tmp_path, *sizes):
    """Kept features of so many bytes, and digits beside them."""
    (tmp_path / "cache" / "features").mkdir(parents=True)
    for i, size in enumerate(sizes):
        (tmp_path / "cache" / "features" / f"{i}.features").touch()
        os.truncate(tmp_path / "cache" / "features" / f"{i}.features", size)
    (tmp_path / "cache" / "mnist5k.npz").write_text("digits")


def test_clean_deletes_features_and_nothing_else(machine, capsys, tmp_path):
    keep(tmp_path, 3_000_000, 1_200_000_000)
    assert cli.main(["clean"]) == 0
    assert capsys.readouterr().out == "1,203 MB of features deleted; downloads and digits are still there.\n"
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()] == ["mnist5k.npz"]
    assert cli.main(["clean"]) == 0
    assert capsys.readouterr().out.startswith("0 MB of features deleted")


def test_doctor_counts_the_features_and_says_how_to_be_rid_of_them(machine, capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("TLCOURSE_CACHE_GB", raising=False)
    keep(tmp_path, 3_000_000, 1_200_000_000)
    assert cli.main(["doctor"]) == 0
    assert "Features        2, 1,203 of at most 2,000 MB; `tlcourse clean` deletes them\n" in capsys.readouterr().out


def test_doctor_names_a_cache_limit_that_is_no_number(machine, capsys, monkeypatch):
    monkeypatch.setenv("TLCOURSE_CACHE_GB", "much")
    assert cli.main(["doctor"]) == 1
    assert "TLCOURSE_CACHE_GB is 'much': set it to a number of gigabytes above 0.\n" in capsys.readouterr().out


def test_doctor_says_each_problem_once(machine, capsys, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TLCOURSE_CACHE", str(tmp_path / "file"))
    assert cli.main(["doctor"]) == 1
    assert capsys.readouterr().out.count("The cache folder") == 1
