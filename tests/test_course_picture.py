"""The course as one picture, and the glossary: both say what the lessons say now."""

import importlib.util
import re
import shutil
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest

from tlcourse import CourseError, lessons

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
LESSONS = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("course_picture", ROOT / "tools" / "course_picture.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def glossary():
    return nbformat.read(NOTEBOOKS / "glossary.ipynb", as_version=4)


@pytest.fixture(scope="module")
def terms(glossary):
    """{heading: the text below it}."""
    text = "\n\n".join(cell.source for cell in glossary.cells)
    parts = re.split(r"^### (.+)\n", text, flags=re.M)[1:]
    return list(zip(parts[::2], parts[1::2]))


def card_of(root, number):
    """The four texts that follow a lesson's number in the picture; the last card may have fewer."""
    words = [" ".join(span.text for span in text) for text in root.iter(SVG + "text")]
    start = words.index(number)
    return words[start + 1 : start + 5]


def test_the_stored_picture_is_the_one_that_is_drawn_now(tool):
    stored = (NOTEBOOKS / "course.svg").read_bytes()
    now = tool.draw(tool.heads()).encode()
    assert stored == now, "The picture is out of date: run `uv run python tools/course_picture.py`."


def test_the_picture_has_every_head_in_its_card_and_in_its_description(tool):
    root = ElementTree.parse(NOTEBOOKS / "course.svg").getroot()
    said = root.findtext(SVG + "desc")
    assert root.get("role") == "img" and root.findtext(SVG + "title")
    heads = tool.heads()
    assert [head.number for head in heads] == [path.stem[:2] for path in LESSONS]
    for head, path in zip(heads, LESSONS):
        source = nbformat.read(path, as_version=4).cells[0].source
        assert source.startswith(f"# {head.number} · {head.title}\n\n**")
        assert f"| Time | {head.minutes} minute" in source
        words = card_of(root, head.number)
        assert words[:3] == [head.title, head.question, f"{head.minutes} min"]
        assert (words[3:] == ["exercise"]) == head.exercise == (NOTEBOOKS / "exercises" / path.stem).is_dir()
        assert f"{head.number} {head.title}. {head.question} {head.minutes} minute" in said
    assert any(head.exercise for head in heads)


def test_nothing_overlaps_even_with_twelve_lessons(tool):
    question = "Why is my accuracy 8 %, or 100 %, and not what it was yesterday?"
    more = [tool.Head(f"{number:02}", "When it goes <wrong> & why", question, 12, True) for number in range(8, 12)]
    root = ElementTree.fromstring(tool.draw(tool.heads()[:8] + more))
    cards = [rect for rect in root.iter(SVG + "rect") if rect.get("x")]
    boxes = [tuple(int(card.get(key)) for key in ("x", "y", "width", "height")) for card in cards]
    assert len(boxes) == 12
    width, height = int(root.get("width")), int(root.get("height"))
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in boxes)
    for (x, y, w, h), (x2, y2, w2, h2) in combinations(boxes, 2):
        assert x + w < x2 or x2 + w2 < x or y + h < y2 or y2 + h2 < y
    spans = [(int(span.get("x")), int(span.get("y"))) for span in root.iter(SVG + "tspan")]
    assert len(set(spans)) == len(spans)
    inside = [[xy for xy in spans if x < xy[0] < x + w and y < xy[1] < y + h] for x, y, w, h in boxes]
    assert all(len(each) >= 4 for each in inside)
    assert sum(map(len, inside)) == len(spans) - 3 - 5, "three names of groups and five lines of legend are outside"


def test_what_is_no_head_is_named(tool, tmp_path):
    notebook = nbformat.read(LESSONS[0], as_version=4)
    notebook.cells[0].source = notebook.cells[0].source.replace("| Time | ", "| Time | about ")
    nbformat.write(notebook, tmp_path / LESSONS[0].name)
    with pytest.raises(CourseError, match=LESSONS[0].name):
        tool.heads(tmp_path)


def test_a_lesson_whose_head_changes_changes_the_picture(tool, tmp_path):
    for path in LESSONS:
        shutil.copy(path, tmp_path)
    assert not any(head.exercise for head in tool.heads(tmp_path))
    notebook = nbformat.read(LESSONS[1], as_version=4)
    notebook.cells[0].source = notebook.cells[0].source.replace("| Time | 2 minutes", "| Time | 17 minutes")
    nbformat.write(notebook, tmp_path / LESSONS[1].name)
    assert tool.heads(tmp_path)[1].minutes == 17 and ">17 min<" in tool.draw(tool.heads(tmp_path))


def test_the_glossary_is_plain_markdown_in_the_form_of_the_lessons(glossary):
    assert {cell.cell_type for cell in glossary.cells} == {"markdown"}
    assert glossary == lessons.tidy(glossary)
    assert glossary.cells[0].source.startswith("# Glossary\n")
    assert glossary.cells[-1].source.endswith("[00 Start here](00_start_here.ipynb)")


def test_its_terms_are_in_alphabetical_order_and_none_comes_twice(terms):
    names = [name.casefold() for name, _ in terms]
    assert names == sorted(names) and len(set(names)) == len(names) >= 45


def test_its_links_lead_to_lessons_and_to_its_own_headings(glossary, terms):
    anchors = {name.replace(" ", "-") for name, _ in terms}  # as JupyterLab makes them
    links = re.findall(r"\]\(([^)]+)\)", "\n".join(cell.source for cell in glossary.cells))
    for link in links:
        if link.startswith("#"):
            assert link[1:] in anchors, link
        else:
            assert (NOTEBOOKS / link).is_file(), link
    assert any(link.startswith("#") for link in links)
    unlinked = {path.name for path in LESSONS} - set(links)
    assert not unlinked, f"the glossary names no term of {unlinked}"


def test_every_term_says_where_it_is_used_and_links_to_no_term_twice(terms):
    for name, text in terms:
        arrow = re.search(r"^→ (\[lesson \d\d\]\(\S+\)(, )?)+$", text, re.M)
        assert arrow, name
        for number, file in re.findall(r"\[lesson (\d\d)\]\((\S+)\)", text):
            assert file.startswith(number), name
        links = re.findall(r"\]\(#([^)]+)\)", text)
        assert len(set(links)) == len(links) and name.replace(" ", "-") not in links, name
