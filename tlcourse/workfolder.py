"""A learner's own folder: lessons and exercises are copied into it once, and what somebody changed is never overwritten."""

import hashlib
import json

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
    record, brought, newer = _record(folder), {}, []
    for name, content in shipped().items():
        path, version = folder / name, _checksum(content)
        found = _checksum(_read(path)) if path.exists() else None
        if found not in (None, version) and record.get(name) != version:
            if not update:
                newer.append(name)
                continue
            if found != record.get(name):
                path = _beside(path)
            found = None
        if found is None:
            _bring(content, path)
            brought[name] = path.relative_to(folder).as_posix()
        record[name] = version
    with storage.atomic(folder / RECORD) as temporary:
        temporary.write_text(json.dumps(record, indent=1))
    return brought, newer


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


def _bring(content, path):
    with storage.atomic(path) as temporary:
        temporary.write_bytes(content)
    if path.suffix == ".ipynb":
        try:  # else JupyterLab leaves style and drawings out of stored outputs
            NotebookNotary().sign(nbformat.reads(content.decode(), as_version=4))
        except OSError:
            pass  # the lesson shows pictures in their place


def _beside(path):
    number = 1
    while (beside := path.with_name(f"{path.stem}.new{number if number > 1 else ''}{path.suffix}")).exists():
        number += 1
    return beside


def _record(folder):
    try:
        found = json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):  # without it every file that differs counts as changed
        return {}
    return found if isinstance(found, dict) else {}


def _read(path):
    try:
        return path.read_bytes()
    except OSError as error:
        raise CourseError(f"{path} cannot be read ({error.strerror}): move it away, or choose another folder.") from None


def _checksum(content):
    return hashlib.sha256(content).hexdigest()
