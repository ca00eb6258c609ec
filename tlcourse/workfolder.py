"""A learner's own folder: lessons and exercises are copied into it once, and what somebody changed is never overwritten."""

import hashlib
import itertools
import json
import sqlite3

import nbformat
from nbformat.sign import NotebookNotary

from tlcourse import CourseError, settings, storage
from tlcourse.grading import release

RECORD = ".tlcourse.json"  # {path: checksum of the version that came last}


def fill(folder, update=False):
    """Bring what is missing into `folder`, a Path, and trust it.

    Returns ({name: the name under which it was brought}, [names of which there is a newer version]).

    With `update`, newer versions come too: in the place of a file that is as it was brought, and otherwise beside it,
    as `NAME.new.ipynb`. Without it they are listed in `newer`, and nothing that is there is touched.
    Raises CourseError when something cannot be read or written.
    """
    files, record, places, newer = shipped(), _record(folder), {}, []
    for name, content in files.items():
        path, version = folder / name, _checksum(content)
        found = _found(path)
        if found is None:
            places[name] = path
        elif found != version and record.get(name) != version:
            if not update:
                newer.append(name)
                continue
            places[name] = path if found == record.get(name) else _beside(path, version)
        record[name] = version
    _trust([files[name] for name in places if name.endswith(".ipynb")])
    for name, path in places.items():
        with storage.atomic(path) as temporary:
            temporary.write_bytes(files[name])
    with storage.atomic(folder / RECORD) as temporary:
        temporary.write_text(json.dumps(record, indent=1))
    return {name: path.relative_to(folder).as_posix() for name, path in places.items()}, newer


def shipped():
    """{relative path: bytes} of the lessons, what they show, and the exercises as learners get them."""
    files = {
        path.name: path.read_bytes()
        for path in sorted(settings.notebooks().iterdir())
        if path.suffix in (".ipynb", ".svg")
    }
    for each in release.course():
        text = nbformat.writes(release.learners_version(each)) + "\n"
        files[f"exercises/{each.name}/{each.name}.ipynb"] = text.encode()
    return files


def _trust(notebooks):
    """Let JupyterLab show the style and the drawings of stored outputs; where that fails, it shows pictures instead."""
    try:
        notary = NotebookNotary()
        for content in notebooks:
            notary.sign(nbformat.reads(content.decode(), as_version=4))
        notary.store.close()
    except (OSError, sqlite3.Error):
        pass


def _beside(path, version):
    """Where a version goes that does not take the place of `path`; a file that is just that version counts as free."""
    for number in itertools.count(1):
        beside = path.with_name(f"{path.stem}.new{number if number > 1 else ''}{path.suffix}")
        if _found(beside) in (None, version):
            return beside


def _record(folder):
    try:
        found = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError, RecursionError):  # without it every file that differs counts as changed
        return {}
    return found if isinstance(found, dict) else {}


def _found(path):
    """The checksum of a file, None where there is none."""
    try:
        return _checksum(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CourseError(f"{path} cannot be read ({error.strerror}): move it away, or choose another folder.") from None


def _checksum(content):
    """Of a notebook its cells alone: JupyterLab writes metadata of its own into each that it opens."""
    try:
        content = json.dumps(json.loads(content)["cells"], sort_keys=True).encode()
    except (ValueError, LookupError, TypeError, RecursionError):  # not a notebook
        pass
    return hashlib.sha256(content).hexdigest()
