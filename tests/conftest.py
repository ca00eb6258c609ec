"""Every test, and every lesson under nbval, runs in the sample profile whatever the shell says."""

import functools
import os
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared" / "data"


def pytest_configure():
    os.environ["TLCOURSE_PROFILE"] = "sample"
    os.environ.pop("TLCOURSE_HOME", None)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder of this test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("TLCOURSE_CACHE", str(folder))
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty TLCOURSE_HOME of this test's own, in the full profile."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("TLCOURSE_HOME", str(folder))
    monkeypatch.setenv("TLCOURSE_PROFILE", "full")
    return folder


@pytest.fixture(scope="session")
def alembic_version():
    """nbgrader starts a program for it, a second each time that a gradebook is made: done once."""
    api = pytest.importorskip("nbgrader.api")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "get_alembic_version", functools.cache(api.get_alembic_version))
        yield
