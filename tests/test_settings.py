import subprocess
import sys

import pytest

from tlcourse import CourseError, settings


def test_the_sample_profile_is_the_default(monkeypatch):
    monkeypatch.delenv("TLCOURSE_PROFILE")
    assert settings.profile() == "sample"
    assert settings.pick(sample=1, full=2) == 1


def test_an_unknown_profile_lists_the_valid_ones(monkeypatch):
    monkeypatch.setenv("TLCOURSE_PROFILE", "ful")
    with pytest.raises(CourseError, match="'ful'.*sample, full"):
        settings.profile()


def test_a_home_that_is_no_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("TLCOURSE_HOME", str(tmp_path / "gone"))
    with pytest.raises(CourseError, match="gone.*not a folder"):
        settings.home()


def test_a_cache_that_cannot_be_made_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TLCOURSE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(CourseError, match="TLCOURSE_CACHE"):
        settings.cache()


def test_data_lie_at_home_or_in_the_cache(home, cache, monkeypatch):
    assert settings.data() == home
    monkeypatch.delenv("TLCOURSE_HOME")
    assert settings.data() == cache / "data"


def test_the_lessons_are_found():
    assert (settings.notebooks() / "00_start_here.ipynb").is_file()


@pytest.mark.parametrize("module", ["tlcourse", "tlcourse.settings", "tlcourse.cli", "tlcourse.datasets"])
def test_importing_is_cheap(module):
    heavy = {"tensorflow", "keras", "pandas", "matplotlib"}
    code = f"import sys, {module}; print(*({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_importing_keras_is_silent():
    code = "from tlcourse.quiet import keras; keras.ops.ones((2, 2)) @ keras.ops.ones((2, 2))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
