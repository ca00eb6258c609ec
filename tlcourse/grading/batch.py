"""A folder of submissions in; marks, feedback and a gradebook out. Marking runs on Dask Distributed.

Workers only mark: whatever is written is written by the process that calls `grade`.
"""

import contextlib
import hashlib
import importlib.util
import json
import logging
import math
import os
import signal
import tempfile
import threading
import uuid
from collections import deque
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

import tlcourse
from tlcourse import CourseError, progress, storage
from tlcourse.grading import STATUSES, Answer, Mark, Output, Verdict, submissions
from tlcourse.grading.release import Release, role

PATIENCE = 10  # seconds to wait for a scheduler


@dataclass(frozen=True)
class Row:
    """A submission and its verdict. `folder`: the learner's name among files and in nbgrader."""

    learner: str
    folder: str
    exercise: str
    file: str
    release: Release | None
    verdict: Verdict


def grade(
    folder, out, releases, workers=1, scheduler=None, sandbox=True, grade_one=None, limits=None, in_force=()
):
    """Grade every submission in `folder` against `releases`, write the results to `out`, return the rows.

    workers: processes on this machine, unless scheduler, such as "tcp://host:8786", names a cluster.
    grade_one: `marking.grade_one`; limits: its limits, None for its own. in_force: sentences for the summary.
    What `out` already has of the same submissions is taken from there, so that an interrupted run goes on.

    Raises CourseError when a folder cannot be used, nothing is in it, releases cannot be told apart, the
    scheduler cannot be reached, or `out` holds other versions of the exercises.
    """
    from tlcourse.grading import feedback, gradebook, results

    folder, out = apart(folder, out)
    _check(releases, workers)
    named = {release.name: release for release in releases}
    found, others = submissions.collect(folder, releases)
    found.sort(key=lambda each: (each.learner.casefold(), each.learner, each.exercise))
    gradebook.prepare(out, releases)
    names = _folders(out, {each.learner for each in found})
    paths = feedback.machine_paths(folder, out)
    verdicts, files = _verdicts(found, named, out, workers, scheduler, sandbox, grade_one, limits)
    rows = [
        Row(each.learner, names[each.learner], each.exercise, each.file, named.get(each.exercise),
            feedback.cleaned(verdict, paths))
        for each, verdict in zip(found, verdicts)
    ]  # fmt: skip
    results.write(rows, out, in_force, others)
    with gradebook.opened(out) as book:
        for row, file in zip(rows, files):
            if row.release and file and file.exists():
                answers = feedback.cleaned(_verdict(file.read_bytes(), row.release), paths).answers
                row = replace(row, verdict=replace(row.verdict, answers=answers))
            page = out / "feedback" / row.folder / f"{row.exercise or 'submission'}.html"
            with storage.atomic(page) as temporary:
                temporary.write_text(feedback.page(row), encoding="utf-8", newline="\n")
            if row.release:
                gradebook.record(book, out, row)
    return rows


def dask_setup(worker):
    """Called by Dask in each new worker: Ctrl-C is for the caller of `grade`, which ends its workers."""
    signal.signal(signal.SIGINT, lambda *_: None)


def dask_teardown(worker):
    """Called by Dask in a worker that ends: what it was marking ends with it."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            process.kill()


def apart(folder, out):
    """Both as Paths. Raises CourseError when one lies in the other, or `folder` is none."""
    folder, out = Path(folder).expanduser(), Path(out).expanduser()
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "is not there"
        raise CourseError(f"{folder} {what}: give the folder with the submissions.")
    inner, outer = out.resolve(), folder.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise CourseError(f"{out} and {folder} lie in one another: choose another folder with --out.")
    return folder, out


def _check(releases, workers):
    if workers < 1:
        raise CourseError("There must be at least one worker: give --workers 1 or more.")
    if not releases:
        raise CourseError(
            "There is no exercise to grade against: name the teacher's notebooks with --exercise."
        )
    names = [release.name for release in releases]
    for name in names:
        if names.count(name) > 1:
            raise CourseError(f"Two exercises are called {name}: rename one.")
        if submissions.folders([name], {}) != {name: name}:
            raise CourseError(
                f"The exercise {name!r} cannot be a folder's name everywhere: use letters, digits and _."
            )


def _folders(out, learners):
    """The learners' names among files, kept in `out` so that the next run finds the same ones."""
    path = out / "learners.json"
    try:
        known = {str(k): str(v) for k, v in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError):
        known = {}
    known |= submissions.folders(learners, known)
    with storage.atomic(path) as temporary:
        temporary.write_text(json.dumps(known, indent=1, ensure_ascii=False), encoding="utf-8")
    return known


def _verdicts(found, named, out, workers, scheduler, sandbox, grade_one, limits):
    """A `Verdict` for each submission, graded now or earlier, and the files that have them, answers and all.

    Content-equal submissions are graded once. Answers stay in the files: a class's may not fit into memory.
    """
    if grade_one is None:
        from tlcourse.grading.marking import grade_one
    options = {"sandbox": sandbox} | ({"limits": limits} if limits is not None else {})
    code = _hash([path.read_bytes() for path in sorted(Path(tlcourse.__file__).parent.rglob("*.py"))])
    common = [repr(options).encode(), tlcourse.__version__.encode(), code.encode()]
    exercises = {name: _hash([*common, release.teacher.encode()]) for name, release in named.items()}
    # What cannot be graded has no key.
    keys = [
        "" if each.status else _hash([each.digest.encode(), exercises[each.exercise].encode()])
        for each in found
    ]
    tasks = {key: each for key, each in zip(keys, found) if key}
    files = {key: out / "verdicts" / f"{key}.json" for key in tasks}
    done = {}
    for key, each in tasks.items():
        with contextlib.suppress(storage.Damaged, OSError):
            done[key] = replace(_verdict(files[key].read_bytes(), named[each.exercise]), answers=())
    missing = {key: each for key, each in tasks.items() if key not in done}
    with (
        progress.counted(len(tasks), "Marking", "submissions", done=len(done)) as advance,
        contextlib.ExitStack() as stack,
    ):
        client = stack.enter_context(_workers(workers, scheduler, sandbox)) if missing else None
        for name in sorted({each.exercise for each in missing.values()}):
            _prove_release(client, named[name], grade_one, options, out / "verdicts" / f"teacher-{exercises[name]}.json")
        for key, told in _marked(client, missing, named, grade_one, options):
            release = named[tasks[key].exercise]
            try:
                done[key] = replace(_verdict(told, release), answers=())
                with storage.atomic(files[key]) as temporary:
                    temporary.write_bytes(told)
            except storage.Damaged as reason:  # not kept: the next run tries again
                files[key].unlink(missing_ok=True)
                done[key] = nothing(release, "crashed", f"marking failed: {reason}")
            advance(1)
    verdicts = [
        replace(done[key], reason="; ".join(filter(None, (done[key].reason, each.reason))))
        if key
        else nothing(named.get(each.exercise), each.status, each.reason)
        for key, each in zip(keys, found)
    ]
    return verdicts, [files.get(key) for key in keys]


def _hash(parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def nothing(release, status, reason):
    """The `Verdict` on what could not be graded: no points."""
    cells = [cell for cell in release.cells() if role(cell) in ("test", "by hand")] if release else []
    marks = [cell.metadata.nbgrader for cell in cells]
    marks = (Mark(mark.grade_id, 0.0, float(mark.points), "not attempted", "") for mark in marks)
    return Verdict(status, reason, 0.0, tuple(marks))


@contextlib.contextmanager
def _workers(workers, scheduler, sandbox):
    """A Dask client with workers that can mark. They and their files are gone when the block ends."""
    import dask
    import distributed

    scratch = tempfile.TemporaryDirectory(prefix="tl-", ignore_cleanup_errors=True)
    settings = {
        "distributed.scheduler.allowed-failures": 0,  # `_marked` tries once more, alone
        "distributed.admin.large-graph-warning-threshold": "1GB",
        "distributed.worker.profile.enabled": False,
        "distributed.scheduler.http.routes": [],
        "distributed.logging": {"distributed": "critical"},
        "temporary-directory": scratch.name,
    }
    with scratch, contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(settings))
        if scheduler is None:
            cluster = distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=0,
                dashboard_address="127.0.0.1:0",  # None would take port 8787, or warn that it is taken
                scheduler_kwargs={"dashboard": False},
                silence_logs=logging.CRITICAL,
                preload=[__name__],
                env={"TMPDIR": scratch.name},  # a worker that is killed cannot tidy up
                # Without it whoever is on this machine could send tasks to the scheduler's port.
                security=True if importlib.util.find_spec("cryptography") else None,
            )
            scheduler = stack.enter_context(cluster)
        try:
            client = distributed.Client(scheduler, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            reason = str(error).partition("\n")[0]
            raise CourseError(
                f"The scheduler {scheduler} cannot be reached ({reason}): give --scheduler its address."
            ) from None
        stack.enter_context(client)
        _prove(client, sandbox)
        yield client


def _prove(client, sandbox):
    """Raise CourseError unless there are workers, and all have this tlcourse, and a sandbox if it must be."""
    import distributed

    try:
        client.wait_for_workers(1, timeout=3 * PATIENCE)
        told = client.run(_ready, sandbox, on_error="return")
    except (TimeoutError, distributed.TimeoutError):
        raise CourseError("The scheduler has no workers: start some with `dask worker`.") from None
    except Exception as error:  # whatever a worker without this package makes of it
        raise CourseError(
            f"The workers cannot mark ({type(error).__name__}): install tlcourse[grade] there."
        ) from None
    for address, version in told.items():
        if isinstance(version, CourseError):
            raise CourseError(f"The worker {address} cannot mark: {version}")
        if version != tlcourse.__version__:
            have = f"tlcourse {version}" if isinstance(version, str) else "no tlcourse[grade]"
            raise CourseError(f"The worker {address} has {have}: install {tlcourse.__version__} there.")


def _ready(sandbox):
    if sandbox:
        from tlcourse.grading import sandbox as sandboxes

        sandboxes.require()
    return tlcourse.__version__


def _marked(client, tasks, named, grade_one, options):
    """Yield each key of `tasks` with what `_call` said of it.

    When a worker dies, Dask blames all tasks that it had been given. So there are never more tasks than
    threads, and those that are blamed are tried once more, one at a time: a neighbour's fault costs nobody.
    """
    import distributed

    waiting, blamed, running, alone = deque(tasks), deque(), {}, False
    finished = distributed.as_completed(loop=client.loop) if client else None
    while waiting or blamed or running:
        if not waiting and not running:
            waiting, blamed, alone = blamed, waiting, True
        most = 1 if alone else max(1, sum(client.nthreads().values()))
        while waiting and len(running) < most:
            key = waiting.popleft()
            try:
                data = submissions.read(tasks[key].path)
            except submissions.Unfit:
                data = b""
            if hashlib.sha256(data).hexdigest() != tasks[key].digest:
                yield key, json.dumps("the file changed while others were marked").encode()
                continue
            name = f"tlcourse-{uuid.uuid4().hex}"
            release = named[tasks[key].exercise]
            finished.add(client.submit(_call, grade_one, data, release, options, key=name, pure=False))
            running[name] = key
        if running:
            future = next(finished)
            key = running.pop(future.key)
            if future.status == "finished":
                yield key, future.result()
            elif alone:
                yield key, json.dumps("the worker process died, twice").encode()
            else:
                blamed.append(key)


def _prove_release(client, release, grade_one, options, file):
    """Raise CourseError unless the teacher's own answers get every point, as learners with the same would not."""
    with contextlib.suppress(storage.Damaged, OSError):
        _verdict(file.read_bytes(), release)
        return
    own = release.teacher.encode()
    future = client.submit(_call, grade_one, own, release, options, key=f"tlcourse-{uuid.uuid4().hex}", pure=False)
    try:
        told = future.result()
        marks = _verdict(told, release).marks
    except Exception as reason:  # among others what Dask makes of a worker that dies
        raise CourseError(f"The exercise {release.name} cannot be graded here: {reason}.") from None
    for mark in marks:
        if mark.outcome not in ("right", "by hand"):
            raise CourseError(
                f"The teacher's own answers of {release.name} fail {mark.grade_id} here "
                f"({mark.note or mark.message}): mend the exercise."
            )
    with storage.atomic(file) as temporary:
        temporary.write_bytes(told)


def _call(grade_one, submission, release, options):
    """Run by a worker: the verdict as JSON. Whatever the marking raises is said in a sentence."""
    # Marking keeps to its limits by itself; should it ever hang, the worker ends, and the batch goes on.
    limits = options.get("limits")
    alarm = threading.Timer(2 * limits.total + 300 if limits else 3600, os._exit, [1])
    alarm.daemon = True
    alarm.start()
    try:
        verdict = grade_one(submission, release, **options)
        return json.dumps(asdict(verdict), ensure_ascii=False).encode("utf-8", "replace")
    except BaseException as error:
        return json.dumps(f"{type(error).__name__}: {error}"[:300]).encode()
    finally:
        alarm.cancel()


def _verdict(told, release):
    """The `Verdict` in the JSON that `_call` made. Raises `storage.Damaged` unless it is sound."""
    try:
        plain = json.loads(told)
        if isinstance(plain, str):
            raise storage.Damaged(plain)
        answers = [
            Answer(**{**each, "outputs": tuple(Output(**output) for output in each["outputs"])})
            for each in plain["answers"]
        ]
        verdict = Verdict(
            **{**plain, "marks": tuple(Mark(**each) for each in plain["marks"]), "answers": tuple(answers)}
        )
        texts = [verdict.status, verdict.reason]
        texts += [
            text for mark in verdict.marks for text in (mark.grade_id, mark.outcome, mark.message, mark.note)
        ]
        texts += [text for answer in answers for text in (answer.grade_id, answer.cell_type, answer.source)]
        texts += [
            text for answer in answers for output in answer.outputs for text in (output.kind, output.data)
        ]
        sound = (
            verdict.status in STATUSES
            and math.isfinite(verdict.seconds)
            and all(isinstance(text, str) for text in texts)
            and all(0 <= mark.points <= mark.out_of < math.inf for mark in verdict.marks)
            and [(mark.grade_id, mark.out_of) for mark in verdict.marks]
            == [(mark.grade_id, mark.out_of) for mark in nothing(release, "", "").marks]
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        sound = False
    if not sound:
        raise storage.Damaged("it gave no sound verdict")
    return verdict
