import errno
import multiprocessing

import numpy as np
import pytest

from tlcourse import CourseError, storage


def test_what_is_written_is_read(tmp_path):
    storage.write_npz(tmp_path / "new" / "a.npz", x=np.arange(5))
    assert (storage.read_npz(tmp_path / "new" / "a.npz")["x"] == np.arange(5)).all()


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), storage.atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_a_sentence(tmp_path):
    with pytest.raises(CourseError, match="a.npz cannot be written .No space left"), storage.atomic(tmp_path / "a.npz"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match="cannot be written"):
        storage.write_npz(tmp_path / "file" / "a.npz", x=np.zeros(1))


def test_every_cut_and_many_flipped_bytes_are_noticed(tmp_path):
    path = tmp_path / "a.npz"
    x = np.random.RandomState(0).bytes(300)
    storage.write_npz(path, x=np.frombuffer(x, "uint8"))
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(storage.Damaged):
            storage.read_npz(path)
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            arrays = storage.read_npz(path)
        except storage.Damaged:
            continue
        # A flip in the zip's dates or flags changes no array.
        assert arrays.get("x", np.zeros(0)).tobytes() in (x, b"")


def test_a_damaged_file_is_set_aside(tmp_path):
    (tmp_path / "a.npz").write_text("rubbish")
    assert storage.set_aside(tmp_path / "a.npz") == tmp_path / "a.npz.damaged"
    assert storage.set_aside(tmp_path / "a.npz") is None


def _write_often(path, value):
    for _ in range(30):
        storage.write_npz(path, x=np.full(20_000, value))


def test_two_processes_may_write_at_once(tmp_path):
    path = tmp_path / "a.npz"
    writers = [multiprocessing.get_context("spawn").Process(target=_write_often, args=(path, v)) for v in (1, 2)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        if path.exists():
            assert np.ptp(storage.read_npz(path)["x"]) == 0
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert list(tmp_path.iterdir()) == [path]
