"""What every lesson has, and that nbval notices when a lesson breaks."""

import re
import shutil
import subprocess
import sys
from html import escape
from pathlib import Path

import nbformat
import pytest

from tlcourse import lessons

ROOT = Path(__file__).parents[1]
LESSONS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
CHECKED = "nbval-check-output"


def read(path):
    return nbformat.read(path, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.fixture(params=LESSONS, ids=lambda path: path.stem)
def lesson(request):
    return read(request.param)


@pytest.fixture
def prose(lesson):
    return "\n\n".join(cell.source for cell in lesson.cells if cell.cell_type == "markdown")


def test_there_are_lessons():
    assert [path.stem[:2] for path in LESSONS] == [f"{number:02}" for number in range(len(LESSONS))]
    assert LESSONS


def test_head_and_tail(lesson, prose):
    head = lesson.cells[0].source
    assert re.match(r"# \d\d · .+\n\n\*\*.+\?\*\*", head)
    for word in ("You will be able to", "Know before", "Time", "Memory", "Download"):
        assert word in head
    assert 3 <= head.count("\n- ") <= 5
    assert code(lesson)[0].source.endswith("settings.banner()")
    for part in ("Mistakes, and what they cost", "Take away", "Check yourself", "Exercise", "Read on"):
        assert f"## {part}" in prose
    assert prose.count("<details><summary>") == 3
    assert "widgets.guess(" in "".join(cell.source for cell in code(lesson))


def test_cells_are_short_and_the_last_word_is_prose(lesson):
    assert max(len(cell.source.splitlines()) for cell in code(lesson)) <= 25
    assert lesson.cells[-1].cell_type == "markdown"


def test_links_lead_somewhere(prose):
    for target in re.findall(r"\]\(([^)#:]+\.(?:ipynb|svg))(?:#[^)]*)?\)", prose):
        assert (ROOT / "notebooks" / target).is_file(), target


@pytest.mark.parametrize("place", range(len(LESSONS)), ids=lambda place: LESSONS[place].stem)
def test_head_and_tail_lead_to_the_neighbours_the_exercise_and_the_glossary(place):
    path, cells = LESSONS[place], read(LESSONS[place]).cells
    exercise = Path("exercises") / path.stem / path.name
    wanted = [neighbour.name for neighbour in (*LESSONS[max(place - 1, 0) : place], *LESSONS[place + 1 : place + 2])]
    wanted += [exercise.as_posix()] * (ROOT / "notebooks" / exercise).is_file() + ["glossary.ipynb"]
    for cell in (cells[0], cells[-1]):
        assert re.findall(r"\]\(([^)]+)\)", cell.source.splitlines()[-1]) == wanted


def test_stored_outputs_are_clean(lesson):
    assert lesson == lessons.tidy(lesson), "run tools/refresh.py"
    for number, cell in enumerate(code(lesson), start=1):
        assert cell.execution_count == number, "run tools/refresh.py"
        for output in cell.outputs:
            assert output.output_type != "error"
            text = str(output.get("text", "")) + str({k: v for k, v in output.get("data", {}).items() if "image" not in k})
            assert not re.search(r"/(work|root|home|tmp|Users)/", re.sub(r"base64,[^\"]+", "", text))
            if "image/png" in output.get("data", {}):
                alt = output.metadata["image/png"]["alt"]
                assert len(alt) > 20 and f'alt="{escape(alt)}"' in output.data["text/html"], "run tools/refresh.py"


def test_every_claim_is_checked_numbered_and_judged(lesson):
    numbers = []
    for cell in code(lesson):
        claims = [o.metadata["tlcourse_claim"] for o in cell.outputs if "tlcourse_claim" in o.get("metadata", {})]
        if "claims." in cell.source.replace("import claims", ""):
            assert len(claims) == 1 and CHECKED in cell.metadata.get("tags", [])
        numbers += [claim["number"] for claim in claims]
        assert all(claim["verdict"] == "holds" for claim in claims), "rewrite the sentence into what is true"
    chapter = int(lesson.cells[0].source[2:4])
    assert numbers == [f"{chapter}.{n}" for n in range(1, len(numbers) + 1)] and numbers


def test_nbval_notices_a_verdict_that_changed_and_a_cell_that_raises(tmp_path):
    """A copy of lesson 00 with one stored verdict flipped and one cell that raises: just these two fail."""
    notebook = read(LESSONS[0])
    flipped = next(c for c in code(notebook) if c.outputs and "tlcourse_claim" in c.outputs[-1].get("metadata", {}))
    for kind, text in flipped.outputs[-1].data.items():
        assert "holds" in text
        flipped.outputs[-1].data[kind] = text.replace("holds", "does not hold here")
    code(notebook)[-1].source = "raise RuntimeError('broken on purpose')"
    nbformat.write(notebook, tmp_path / LESSONS[0].name)
    shutil.copy(ROOT / "tests" / "nbval_sanitize.cfg", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider", "-q",
         "--nbval-cell-timeout=300", "--nbval-sanitize-with=nbval_sanitize.cfg", "-rf", LESSONS[0].name],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    failed = re.findall(r"^FAILED .*Cell (\d+)", done.stdout, re.M)
    cells = code(notebook)
    assert failed == [str(cells.index(flipped)), str(len(cells) - 1)], done.stdout[-2000:]
