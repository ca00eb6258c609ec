"""Every test, and every lesson under nbval, runs in the sample profile whatever the shell says."""

import functools
import os
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[2] / "shared" / "data"


class NoWarnings:
    """A lesson's cell fails if it shows a learner a warning; nbval itself does not look at stderr."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        result = yield
        shown = [out.text for out in getattr(item, "test_outputs", None) or [] if out.get("name") == "stderr"]
        assert not [text for text in shown if "Warning: " in text]
        return result


def pytest_configure(config):
    os.environ["TLCOURSE_PROFILE"] = "sample"
    os.environ.pop("TLCOURSE_HOME", None)
    config.pluginmanager.register(NoWarnings())  # a hook of this file alone would not see notebooks/


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
