"""Feedback pages: inert whatever was handed in, and without anything that is not the learner's to know."""

import base64
import io
import os
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from PIL import Image, PngImagePlugin
from small import EVIL, SECRET, fake, hostile, release, submission

from tlcourse.grading import Answer, Output, Verdict, batch, feedback, gradebook, results

pytestmark = pytest.mark.usefixtures("alembic_version")

ONE = release()
PATHS = feedback.machine_paths(Path("/srv/class/in"), Path("/srv/class/out"))


def row(verdict, learner="anna", of=ONE):
    return batch.Row(
        learner, "anna", of.name if of else "", "anna.ipynb", of, feedback.cleaned(verdict, PATHS)
    )


def soup(verdict, **more):
    return BeautifulSoup(feedback.page(row(verdict, **more)), "html.parser")


def told(make, *args, **more):
    """The verdict as it comes from a worker."""
    return batch._verdict(
        batch._call(make, submission(ONE, *args, **more).encode("utf-8", "surrogatepass"), ONE, {}), ONE
    )


def assert_inert(page):
    tags = page.find_all(True)
    assert not page.find_all(
        ["script", "iframe", "object", "embed", "link", "base", "form", "svg", "math", "template"]
    )
    assert [tag.get("http-equiv") for tag in page.find_all("meta") if tag.has_attr("http-equiv")] == [
        "Content-Security-Policy"
    ]
    for tag in tags:
        assert not [
            key
            for key in tag.attrs
            if key.startswith("on") or key in ("style", "srcdoc", "action", "formaction")
        ]
        for key in ("src", "href", "xlink:href", "data", "poster", "background"):
            assert re.match(r"#[\w-]+$|data:image/(png|jpeg);base64,[\w+/=]+$", tag.get(key, "#x")), tag
    assert "url(" not in page.style.text and "@import" not in page.style.text


def picture(kind="PNG", size=(3, 2), **more):
    file = io.BytesIO()
    Image.new("RGB", size, (1, 2, 3)).save(file, kind, **more)
    return base64.b64encode(file.getvalue()).decode()


def test_a_page_says_what_was_asked_answered_and_marked():
    page = soup(told(fake, "answer_1 = 0"))
    assert (
        page.h1.text == "Small numbers"
        and page.select_one(".total").text == "2 of 3 points; a person marks the other 3"
    )
    sections = page.find_all("section")
    assert [section.select_one(".outcome").text for section in sections] == ["Wrong", "Right", "By hand"]
    assert sections[0].pre.text == "answer_1 = 0" and "not positive" in sections[0].select_one(".said").text
    assert "What is six times seven?" in sections[0].select_one(".task").text
    assert sections[0].details.pre.text.strip() == "assert answer_1 > 0"
    assert sections[2].pre.text == "I *think* so." and not sections[2].details
    assert page.html["lang"] == "en" and [tag.name for tag in page.find_all(["h1", "h2"])] == [
        "h1",
        "h2",
        "h2",
        "h2",
    ]
    assert next(tag for tag in page.head.find_all(True) if tag.name != "meta" or "charset" not in tag.attrs)[
        "content"
    ].startswith("default-src 'none'")


def test_no_secret_is_told():
    verdict = told(fake, "answer_1 = 0")
    assert SECRET in verdict.marks[0].note  # it is for the teacher
    text = feedback.page(row(verdict))
    assert SECRET not in text and "HIDDEN" not in text and "SOLUTION" not in text and "42" in text


@pytest.mark.parametrize("learner", [EVIL, '" onload="alert(1)', "</title><script>", "a\u202eb"])
def test_hostile_work_is_shown_but_does_nothing(learner):
    verdict = told(
        hostile,
        EVIL,
        second="</pre><script>x</script>\x00\ud800",
        third=f"{EVIL}\n\n$\\href{{javascript:x}}{{y}}$",
    )
    page = soup(verdict, learner=learner)
    assert_inert(page)
    assert EVIL in page.section.pre.text and EVIL in page.find_all("section")[2].pre.text
    assert not page.find_all("img") and "red" in page.text and "\x1b" not in page.text
    assert len(str(page)) < 300_000


def test_a_hostile_exercise_text_is_only_text():
    of = release(
        text=f"{EVIL} <style>*{{}}</style> ![a](attachment:x.png) <https://evil.example> $x<script>y$"
    )
    verdict = batch.nothing(of, "unreadable", EVIL)
    page = soup(verdict, of=of)
    assert_inert(page)
    assert page.select_one(".note").text.startswith("Unreadable.") and EVIL in page.select_one(".note").text
    assert [outcome.text for outcome in page.select("td.outcome")] == ["not attempted"] * 3


def test_of_a_picture_only_its_pixels_are_left():
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", EVIL)
    kept = [picture(pnginfo=text), picture("JPEG", comment=EVIL.encode()), picture(size=(5000, 10))]
    kept[0] = base64.b64encode(base64.b64decode(kept[0]) + EVIL.encode()).decode()
    broken = [
        picture()[:40],
        picture(size=(6000, 4000)),
        "é",
        "",
        base64.b64encode(b"\x89PNG\r\n\x1a\n").decode(),
    ]
    outputs = [
        Output("png", kept[0]),
        Output("jpeg", kept[1]),
        Output("png", kept[2]),
        Output("png", kept[1]),
    ]
    verdict = told(fake)
    answer = Answer(
        "q1", "code", "x", (*outputs, *(Output("png", data) for data in broken), Output("svg", kept[0]))
    )
    page = soup(replace(verdict, answers=(answer,)))
    assert_inert(page)
    images = page.find_all("img")
    data = [base64.b64decode(image["src"].partition(",")[2]) for image in images]
    opened = [Image.open(io.BytesIO(each)) for each in data]
    assert [(each.format, each.size) for each in opened] == [
        ("PNG", (3, 2)),
        ("JPEG", (3, 2)),
        ("PNG", (1600, 3)),
    ]
    assert not any(b"alert" in each for each in data) and opened[0].info == {}
    assert all(image["alt"].startswith("Picture") for image in images)


def test_no_path_of_this_machine_is_told():
    known = [
        sys.prefix,
        sys.base_prefix,
        str(Path.home()),
        tempfile.gettempdir(),
        os.getcwd(),
        feedback.__file__,
    ]
    said = " ".join(
        [*(f"{path}/x" for path in known), "/srv/class/in/ben/x.ipynb", "/srv/class/out", "/srv/classics"]
    )
    verdict = told(fake, "answer_1 = 0", third=f"{sys.prefix}")
    mark = replace(verdict.marks[0], message=said)
    answer = replace(verdict.answers[0], outputs=(Output("text", said),))
    clean = feedback.cleaned(
        replace(verdict, reason=said, marks=(mark,), answers=(answer, verdict.answers[2])), PATHS
    )
    for text in (clean.reason, clean.marks[0].message, clean.answers[0].outputs[0].data):
        assert not [path for path in known if path in text] and "/srv/class/" not in text and "…/x" in text
        assert "ben" in text and "/srv/classics" in text
    assert clean.answers[1].source == sys.prefix  # their own words are no news to them


def test_without_an_exercise_there_is_a_page_too():
    page = soup(Verdict("unreadable", "it answers none", 0.0, ()), of=None)
    assert_inert(page)
    assert "it answers none" in page.text and not page.find_all("section")


def test_what_nbgrader_gets_is_inert_when_it_renders_it():
    from nbconvert.exporters import HTMLExporter

    fences = "```\n</div><script>alert(5)</script>\n````\n~~~\n$$ \\href{javascript:alert(6)}{x} $$\n<svg>"
    verdict = told(hostile, EVIL, second="%%html\n<script>alert(7)</script>", third=f"{fences}\n{EVIL}")
    notebook = gradebook._notebook(row(verdict))
    nbformat.validate(notebook)
    assert {
        kind
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        for kind in output.get("data", ())
    } == set()
    page, _ = HTMLExporter(template_name="classic").from_notebook_node(notebook)
    body = BeautifulSoup(page, "html.parser").body
    assert not body.find_all(["script", "iframe", "svg"]) and not body.find_all("img")
    assert not [tag for tag in body.find_all(True) if any(key.startswith("on") for key in tag.attrs)]
    assert all(tag["href"].startswith("#") for tag in body.find_all("a"))
    written = next(tag for tag in body.find_all("pre") if "alert(6)" in tag.text)
    assert fences in written.text and EVIL in written.text  # as it was, and where MathJax does not look


def test_the_summary_is_inert_too():
    from nbconvert.filters import markdown2html

    text = results.summary(
        [row(told(hostile, EVIL), learner=EVIL), row(batch.nothing(ONE, "crashed", EVIL), learner=EVIL)]
    )
    page = BeautifulSoup(markdown2html(text), "html.parser")
    assert EVIL in " ".join(page.text.split()) and not page.find_all(["script", "img", "iframe"])
    assert all(tag["href"].startswith("#") for tag in page.find_all("a"))
