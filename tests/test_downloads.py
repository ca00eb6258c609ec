"""Downloads, from a server on this machine that can break off, ignore ranges, or lie."""

import hashlib
import http.server
import io
import os
import pickle
import tarfile
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image

from tlcourse import CourseError, downloads


@pytest.fixture
def server():
    """Serves `files`; `cut` bytes after which it breaks off; counts the bytes it sent."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            state = self.server.state
            body = state["files"][self.path.lstrip("/")]
            start = 0
            if state["ranges"] and (wanted := self.headers.get("Range")):
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if start >= len(body):
                    self.send_error(416)
                    return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body) - start))
            self.end_headers()
            piece = body[start : start + state["cut"]] if state["cut"] else body[start:]
            state["sent"] += len(piece)
            self.wfile.write(piece)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.state = {"files": {}, "ranges": True, "cut": None, "sent": 0}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


BODY = np.random.RandomState(0).bytes(300_000)


@pytest.fixture
def weights(server, monkeypatch, cache):
    """A name, "VGG16", whose file comes from the server."""
    server.state["files"]["vgg16_notop.h5"] = BODY
    address = f"http://127.0.0.1:{server.server_port}/vgg16_notop.h5"
    monkeypatch.setitem(downloads.ADDRESSES, "VGG16", (address, hashlib.md5(BODY).hexdigest()))
    return server.state


def test_a_file_arrives_once(weights, tmp_path):
    path = downloads.fetch("VGG16", tmp_path / "shared")
    assert path == tmp_path / "shared" / "models" / "vgg16_notop.h5"
    assert path.read_bytes() == BODY
    sent = weights["sent"]
    assert downloads.fetch("VGG16", tmp_path / "shared") == path
    assert weights["sent"] == sent


def test_a_broken_download_goes_on_where_it_stopped(weights):
    weights["cut"] = 100_000
    for _ in range(2):
        with pytest.raises(CourseError, match="VGG16 could not be fetched.*goes on where it stopped"):
            downloads.fetch("VGG16")
    path = downloads.fetch("VGG16")
    assert path.read_bytes() == BODY
    assert weights["sent"] == len(BODY)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_server_without_ranges_starts_again(weights):
    weights["cut"] = 100_000
    with pytest.raises(CourseError):
        downloads.fetch("VGG16")
    weights.update(cut=None, ranges=False)
    assert downloads.fetch("VGG16").read_bytes() == BODY


def test_a_wrong_checksum_is_thrown_away(weights):
    weights["files"]["vgg16_notop.h5"] = BODY[:-1] + b"!"
    with pytest.raises(CourseError, match="wrong checksum"):
        downloads.fetch("VGG16")
    assert downloads.find("VGG16") is None
    weights["files"]["vgg16_notop.h5"] = BODY
    assert downloads.fetch("VGG16").read_bytes() == BODY


def test_a_damaged_file_is_named_set_aside_and_fetched_again(weights, capsys):
    path = downloads.fetch("VGG16")
    path.write_bytes(BODY[:1000])
    assert downloads.fetch("VGG16").read_bytes() == BODY
    assert f"{path} is damaged" in capsys.readouterr().out
    assert path.with_name(path.name + ".damaged").read_bytes() == BODY[:1000]


def test_without_network_one_sentence_names_the_thing_and_both_ways(monkeypatch, cache, server):
    address = "http://127.0.0.1:9/mnist.npz"  # nothing listens there
    monkeypatch.setitem(downloads.ADDRESSES, "mnist", (address, "0" * 64))
    monkeypatch.setenv("KERAS_HOME", str(cache / "keras"))
    with pytest.raises(CourseError) as caught:
        downloads.fetch("mnist")
    said = str(caught.value)
    assert "mnist could not be fetched" in said
    assert "tlcourse fetch mnist" in said and "TLCOURSE_HOME" in said and "mnist.npz" in said
    assert "\n" not in said


def test_smiles_become_an_npz(server, monkeypatch, cache):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for folder, count in (("positives/positives7", 3), ("negatives/negatives7", 5)):
            for number in range(count):
                picture = io.BytesIO()
                Image.new("L", (64, 64), number * 20).save(picture, "JPEG")
                file.writestr(f"SMILEsmileD-6afac66/SMILEs/{folder}/{number}.jpg", picture.getvalue())
        file.writestr("SMILEsmileD-6afac66/README", "faces")
    server.state["files"]["smiles.zip"] = archive.getvalue()
    address = f"http://127.0.0.1:{server.server_port}/smiles.zip"
    monkeypatch.setitem(downloads.ADDRESSES, "smiles", (address, None))
    with np.load(downloads.fetch("smiles")) as file:
        assert file["x_train"].shape == (8, 64, 64) and file["x_train"].dtype == np.uint8
        assert sorted(file["y_train"]) == [0] * 5 + [1] * 3


def batch(n):
    """A batch of CIFAR-100 as its authors pickled it."""
    rng = np.random.RandomState(n)
    content = {b"data": rng.randint(0, 256, (n, 3072)).astype("uint8"), b"fine_labels": list(range(n))}
    return content, pickle.dumps(content, protocol=3)


def test_what_is_downloaded_of_cifar100_is_what_keras_reads(server, monkeypatch, cache, tmp_path):
    import keras.src.datasets.cifar100 as theirs

    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as file:
        for name, n in (("train", 50), ("test", 20)):
            member = tarfile.TarInfo(f"cifar-100-python/{name}")
            member.size = len(batch(n)[1])
            file.addfile(member, io.BytesIO(batch(n)[1]))
    server.state["files"]["cifar-100-python.tar.gz"] = archive.getvalue()
    checksum = hashlib.sha256(archive.getvalue()).hexdigest()
    address = f"http://127.0.0.1:{server.server_port}/cifar-100-python.tar.gz"
    published = downloads.ADDRESSES["cifar100"]
    monkeypatch.setitem(downloads.ADDRESSES, "cifar100", (address, checksum))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))  # read once, when Keras is imported
    get_file = theirs.get_file

    def without_network(fname, origin, extract, file_hash):
        assert (origin, file_hash) == published
        return get_file(fname, "http://127.0.0.1:9/nothing", extract=extract, file_hash=checksum)

    monkeypatch.setattr(theirs, "get_file", without_network)
    with np.load(downloads.fetch("cifar100")) as file:
        assert file["x_train"].shape == (50, 32, 32, 3) and file["x_train"].dtype == np.uint8
        assert list(file["y_test"]) == list(range(20))
        wanted = batch(20)[0][b"data"].reshape(20, 3, 32, 32).transpose(0, 2, 3, 1)
        assert np.array_equal(file["x_test"], wanted)
    assert server.state["sent"] == len(archive.getvalue())


def test_weights_are_found_at_home_or_where_keras_keeps_them(weights, tmp_path, monkeypatch, cache):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    assert downloads.find("VGG16") is None
    kept = tmp_path / "keras" / "models" / "vgg16_notop.h5"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(BODY)
    assert downloads.find("VGG16") == kept and downloads.sound("VGG16", kept)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("TLCOURSE_HOME", str(tmp_path / "home"))
    assert downloads.find("VGG16") is None
    assert downloads.fetch("VGG16", os.environ["TLCOURSE_HOME"]) == downloads.find("VGG16")


def test_the_lessons_need_everything_but_the_source_of_the_minis():
    assert set(downloads.NAMES) - set(downloads.LESSONS) == {"cifar100"}


def test_an_unknown_name_lists_the_valid_ones(cache):
    with pytest.raises(CourseError, match="'vgg'.*mnist, cifar10.*VGG16"):
        downloads.fetch("vgg")


def test_a_folder_that_cannot_be_written_is_named_before_anything_is_fetched(weights, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match="cannot be written"):
        downloads.fetch("VGG16", tmp_path / "file")
    assert weights["sent"] == 0
