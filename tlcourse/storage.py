"""Files that are either whole or not there: atomic writing, checked reading."""

import contextlib
import errno
import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from tlcourse import CourseError


class Damaged(Exception):
    """A file that cannot be read as what it should be; the message says why."""


@contextlib.contextmanager
def atomic(path):
    """Yield a temporary Path beside `path` that takes its place when the block ends well.

    Two processes may write at once: the last whole file wins. Raises CourseError
    when the folder cannot be written or is full; nothing half-written stays.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o644)  # mkstemp's 0600 would lock a class out of a shared folder
        os.replace(temporary, path)
    except OSError as error:
        room = "free some space there or " if error.errno == errno.ENOSPC else ""
        raise CourseError(f"{path} cannot be written ({error.strerror or error}): {room}choose another folder.") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_npz(path, **arrays):
    """Write arrays to an `.npz` file, atomically. Raises CourseError as `atomic` does."""
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def read_npz(path):
    """All arrays of an `.npz` file, as a dict. Raises Damaged unless every byte is sound."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise Damaged(str(error) or type(error).__name__) from None
    except Exception as error:  # a flipped byte can make zlib or NumPy's header parser fail
        raise Damaged(f"{type(error).__name__}: {error}") from None


def set_aside(path):
    """Rename a damaged file to `<name>.damaged`, and return the new path (None if not possible)."""
    aside = Path(path).with_name(Path(path).name + ".damaged")
    try:
        os.replace(path, aside)
    except OSError:
        return None
    return aside
