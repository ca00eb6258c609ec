"""What takes long and is the same for all tests of the grader is done once."""

import functools

import pytest


@pytest.fixture(scope="session", autouse=True)
def alembic_version():
    """nbgrader starts a program for it, a second each time that a gradebook is made."""
    api = pytest.importorskip("nbgrader.api")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "get_alembic_version", functools.cache(api.get_alembic_version))
        yield
