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


def test_features_may_take_two_gigabytes_or_what_is_set(monkeypatch):
    monkeypatch.delenv("TLCOURSE_CACHE_GB", raising=False)
    assert settings.cache_limit() == 2_000_000_000
    for value, limit in {"": 2e9, "10": 10e9, "0.5": 5e8, " 1e-3 ": 1e6}.items():
        monkeypatch.setenv("TLCOURSE_CACHE_GB", value)
        assert settings.cache_limit() == limit and isinstance(settings.cache_limit(), int)


@pytest.mark.parametrize("value", ["much", "0", "-1", "nan", "inf", "1e999", "2 GB", "2,5"])
def test_a_cache_limit_that_is_no_number_above_zero_is_named(monkeypatch, value):
    monkeypatch.setenv("TLCOURSE_CACHE_GB", value)
    with pytest.raises(CourseError, match=f"TLCOURSE_CACHE_GB is '{value}': set it to a number of gigabytes above 0"):
        settings.cache_limit()


@pytest.mark.parametrize(
    "capabilities, flags, fast",
    [
        ([], "fpu avx512_bf16 sse", True),
        ([], "fpu amx_bf16", True),
        ([], "fpu avx2 avx512f", False),
        ([], None, False),  # not Linux
        ([(8, 0)], "fpu", True),
        ([(9, 0), (7, 5)], "fpu amx_bf16", False),
        ([None], "fpu amx_bf16", False),
    ],
)
def test_bfloat16_is_fast_where_the_gpu_or_the_processor_has_it(monkeypatch, capabilities, flags, fast):
    from tlcourse.quiet import tf

    def read(path, *args, **kwargs):
        if flags is None:
            raise FileNotFoundError
        return f"model name\t: some\nflags\t\t: {flags}\n"

    monkeypatch.setattr(settings.Path, "read_text", read)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: capabilities)
    details = lambda each: {"compute_capability": each} if each else {}  # noqa: E731
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details)
    assert settings.fast_bfloat16.__wrapped__() is fast
