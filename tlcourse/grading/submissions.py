"""A folder of submissions, any names: whose they are, which exercise each answers, which one counts.

Everything in the folder is taken as hostile: nothing is followed out of it, and whatever a learner put there
ends in a row.
"""

import hashlib
import json
import os
import re
import stat
import unicodedata
from collections import defaultdict, deque
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tlcourse import CourseError
from tlcourse.grading import release as releases_
from tlcourse.grading.answers import LARGEST_FILE

MOST_NOTEBOOKS, MOST_ENTRIES = 50, 20_000  # of one learner
NOT_LEARNERS = ("__MACOSX", ".ipynb_checkpoints")
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.I)  # no file names on Windows


class Unfit(Exception):
    """A file that is not graded: `status` as in a verdict, the message says why."""

    def __init__(self, status, reason):
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Submission:
    """What a learner handed in for an exercise (`""`: for none that is known).

    `file`: relative to the folder. `digest`: of its bytes. `status`, `reason`: where it is not graded;
    a reason alone is a remark.
    """

    learner: str
    exercise: str
    file: str
    path: Path | None
    digest: str = ""
    status: str = ""
    reason: str = ""


@dataclass(frozen=True)
class _Found:
    """A notebook and what it shares with each release: numbers of cell ids and of grade_ids."""

    file: str
    path: Path
    digest: str = ""
    shared: tuple = ()
    status: str = ""
    reason: str = ""


def collect(folder, releases):
    """The submissions in `folder`, and the names in it that are none.

    Raises `CourseError` when the folder is missing, a file, unreadable or without submissions.
    """
    folder = Path(folder)
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise CourseError(
            f"{folder} cannot be read ({error.strerror}): give the folder with the submissions."
        ) from None
    facts = [_facts(release) for release in releases]
    found, others = defaultdict(list), []
    for entry in entries:
        hidden, is_notebook = entry.name.startswith("."), entry.name.lower().endswith(".ipynb")
        if entry.name in NOT_LEARNERS or hidden and not entry.is_dir(follow_symlinks=False):
            continue
        if entry.is_dir(follow_symlinks=False):
            paths, trouble = _notebooks(entry.path)
            if paths or not hidden:
                found[text(entry.name)] += [_look(path, folder, facts) for path in paths] or [
                    _Found(text(entry.name), Path(entry.path), status="unreadable", reason=trouble)
                ]
        elif is_notebook or entry.is_symlink():
            name = entry.name[: -len(".ipynb")] if is_notebook else entry.name
            found[text(name)].append(_look(Path(entry.path), folder, facts))
        else:
            others.append(text(entry.name))
    if not found:
        raise CourseError(
            f"{folder} holds no submissions: it needs one notebook or one subfolder for each learner."
        )
    return [each for learner, files in found.items() for each in _choose(learner, files, releases)], others


def read(path):
    """The bytes of a notebook. Raises `Unfit` unless it is a regular file of reasonable size."""
    try:
        mode = os.lstat(path).st_mode
        if not stat.S_ISREG(mode):
            kind = "a link, and links are not followed" if stat.S_ISLNK(mode) else "not a regular file"
            raise Unfit("unreadable", f"it is {kind}")
        flags = (
            os.O_RDONLY
            | getattr(os, "O_NOFOLLOW", 0)
            | getattr(os, "O_NONBLOCK", 0)
            | getattr(os, "O_BINARY", 0)
        )
        with open(os.open(path, flags), "rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise Unfit("unreadable", f"the file cannot be read ({error.strerror})") from None
    if len(data) > LARGEST_FILE:
        raise Unfit("limits", f"the file is larger than {LARGEST_FILE >> 20} MB")
    return data


def text(name):
    """A file name as text that can be written anywhere, whatever bytes it has."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def folders(learners, known):
    """{learner: a name for files and for nbgrader}: safe, short, unique also where case does not count.

    `known`, the result of an earlier call, is kept to, so that nobody gets another's name later.
    """
    names = {learner: known[learner] for learner in learners if learner in known}
    taken = {_folded(name) for name in known.values()}
    for learner in sorted(set(learners) - set(names)):
        plain = unicodedata.normalize("NFC", learner)
        name = (
            re.sub(r"[^\w.-]+", "_", plain).strip("._-").encode()[:80].decode(errors="ignore").rstrip("._-")
        )
        digest, length = hashlib.sha256(learner.encode()).hexdigest(), 8
        unique = (
            name if name == plain and not RESERVED.match(name) else f"{name or 'learner'}-{digest[:length]}"
        )
        while _folded(unique) in taken:
            unique, length = f"{name or 'learner'}-{digest[:length]}", length + 8
        names[learner] = unique
        taken.add(_folded(unique))
    return names


def _folded(name):
    return unicodedata.normalize("NFKC", name).casefold()


def _notebooks(top):
    """The notebooks below a learner's folder, those nearest to it first; and why there is none."""
    waiting, found, seen = deque([Path(top)]), [], 0
    while waiting and seen < MOST_ENTRIES:
        folder, before = waiting.popleft(), len(found)
        try:
            entries = sorted(islice(os.scandir(folder), MOST_ENTRIES - seen), key=lambda entry: entry.name)
        except OSError as error:
            if folder == Path(top):
                return [], f"the folder cannot be read ({error.strerror})"
            continue
        seen += len(entries)
        for entry in entries:
            if entry.name.startswith(".") or entry.name in NOT_LEARNERS:
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            elif entry.name.lower().endswith(".ipynb"):
                found.append(Path(entry.path))
        if folder.name.lower().endswith(".ipynb") and len(found) == before and folder != Path(top):
            found.append(folder)  # a folder that passes for a notebook
    return found[:MOST_NOTEBOOKS], "there is no notebook in it"


def _look(path, folder, facts):
    file = text(path.relative_to(folder).as_posix())
    try:
        data = read(path)
        ids, grade_ids = _cells(data)
    except Unfit as error:
        return _Found(file, path, status=error.status, reason=str(error))
    shared = tuple((len(ids & own), len(grade_ids & grades)) for own, grades in facts)
    return _Found(file, path, hashlib.sha256(data).hexdigest(), shared)


def _cells(data):
    """The ids and the grade_ids of the cells of whatever claims to be a notebook."""
    try:
        notebook = json.loads(data)
    except (ValueError, RecursionError, MemoryError):
        raise Unfit("unreadable", "the file is not JSON, so it is no notebook") from None
    if not isinstance(notebook, dict):
        raise Unfit("unreadable", "the file is JSON but no notebook")
    cells = notebook.get("cells")
    cells = [cell for cell in cells if isinstance(cell, dict)] if isinstance(cells, list) else []
    marks = [_dict(_dict(cell.get("metadata")).get("nbgrader")) for cell in cells]
    ids, grade_ids = (cell.get("id") for cell in cells), (mark.get("grade_id") for mark in marks)
    return tuple({each for each in names if isinstance(each, str)} for names in (ids, grade_ids))


def _dict(value):
    return value if isinstance(value, dict) else {}


def _facts(release):
    cells = release.cells()
    marked = [cell for cell in cells if releases_.role(cell) != "given"]
    return {cell.id for cell in cells if "id" in cell}, {cell.metadata.nbgrader.grade_id for cell in marked}


def _choose(learner, files, releases):
    """One `Submission` for each exercise that the files answer."""
    groups = defaultdict(list)
    for each in files:
        place = _answers(each, releases)
        exact = place is not None and each.path.name == f"{releases[place].name}.ipynb"
        shared = each.shared[place] if place is not None and each.shared else (0, 0)
        groups[place].append(((bool(each.status), not exact, *(-n for n in shared), each.file), each))
    chosen = []
    for place, found in groups.items():
        (_, best), *rest = sorted(found, key=lambda pair: pair[0])
        status, reasons = best.status, [best.reason] if best.reason else []
        if place is None and not status:
            status, reasons = "unreadable", ["it answers none of the exercises"]
        if rest:
            others = ", ".join(each.file for _, each in rest[:3]) + (", …" if len(rest) > 3 else "")
            reasons.append(f"of several notebooks this one was taken, not looked at: {others}")
        exercise = releases[place].name if place is not None else ""
        chosen.append(
            Submission(learner, exercise, best.file, best.path, best.digest, status, "; ".join(reasons))
        )
    return chosen


def _answers(found, releases):
    """The place of the release that a notebook answers, None if nothing tells."""
    if len(releases) == 1:
        return 0
    name = found.file.casefold()
    named = [len(release.name) if release.name.casefold() in name else 0 for release in releases]
    points = [(*shared, length) for shared, length in zip(found.shared or [(0, 0)] * len(releases), named)]
    best = max(range(len(releases)), key=points.__getitem__)
    return best if any(points[best]) else None
