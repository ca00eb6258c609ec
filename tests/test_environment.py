"""environment.yml, uv.lock, pyproject.toml and the README say the same."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())


def test_conda_gets_a_python_that_the_project_allows_and_the_project_itself():
    python, pip, extras = CONDA["dependencies"]
    assert python.removeprefix("python") == PROJECT["project"]["requires-python"]
    assert pip == "pip"
    assert extras == {"pip": ["-e .[test]"]}
    assert CONDA["channels"] == ["conda-forge"]


def test_the_groups_of_uv_and_pip_agree():
    assert PROJECT["dependency-groups"]["dev"] == ["tlcourse[test]"]
    assert set(PROJECT["project"]["optional-dependencies"]) == {"gpu", "grade", "test"}


@pytest.mark.skipif(not shutil.which("uv"), reason="uv is not on this machine")
def test_the_lock_file_is_current():
    subprocess.run(["uv", "lock", "--check"], cwd=ROOT, check=True, capture_output=True)


def test_ci_runs_the_test_command_of_the_readme():
    readme = (ROOT / "README.md").read_text()
    assert "uv run tlcourse lab" in readme and "\nuv run pytest" in readme
    assert re.search(r"^uv run pytest", (ROOT / ".ci" / "run").read_text(), re.M)
