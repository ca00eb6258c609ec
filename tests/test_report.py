"""The report: every claim in order, its figures below it, and nothing hostile in it."""

import base64
import re

import nbformat
import pytest
from bs4 import BeautifulSoup

from tlcourse import CourseError, lessons, report

v4 = nbformat.v4
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
)
EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def figure(tag, kind="image/png", alt="alt of {}"):
    """A picture whose bytes, and so its place on the page, can be told by `tag`."""
    picture = base64.b64encode(PNG + tag.encode()).decode()
    metadata = {kind: {"alt": alt.format(tag)}} if alt else {}
    return v4.new_output("display_data", {kind: picture, "text/plain": "<Figure>"}, metadata=metadata)


def claim(number, verdict="holds", **more):
    facts = {"number": number, "sentence": f"Sentence {number}.", "verdict": verdict}
    facts |= {"measured": "", "difference": None, "low": None, "high": None, **more}
    return v4.new_output(
        "execute_result", {"text/plain": "Claim"}, metadata={"tlcourse_claim": facts}
    )


def banner(profile="sample"):
    facts = {"profile": profile, "device": "CPU, 2 threads", "versions": {"keras": "3.15.1"}}
    return v4.new_output("display_data", {"text/plain": ""}, metadata={"tlcourse_banner": facts})


def notebook(*cells, head="# 01 · A baseline\n\n*How good is it?*"):
    """A notebook of code cells with these outputs, each cell timed at two seconds."""
    made = v4.new_notebook(cells=[v4.new_markdown_cell(head)])
    times = {
        "iopub.execute_input": "2026-11-22T00:00:59.500000Z",
        "shell.execute_reply": "2026-11-22T00:01:01.500000Z",
    }
    for outputs in cells:
        cell = v4.new_code_cell("x", outputs=list(outputs))
        cell.metadata = nbformat.from_dict({"execution": times})
        made.cells.append(cell)
    made.metadata = nbformat.from_dict({"tlcourse": {"seconds": 75.0, "memory_gb": 1.0}})
    return made


def page(tmp_path, *runs):
    out = report.build(runs, tmp_path / "report.html")
    return BeautifulSoup(out.read_text(encoding="utf-8"), "html.parser")


def pictures(node):
    """The tags of the figures below `node`, in order."""
    sources = [image["src"].partition(",")[2] for image in node.find_all("img")]
    return [base64.b64decode(source)[len(PNG) :].decode() for source in sources]


def test_claims_in_order_each_with_the_figures_since_the_one_before(tmp_path):
    made = notebook(
        [banner()],
        [figure("a")],
        [figure("b"), claim("1.1"), figure("c")],
        [claim("1.2"), claim("1.3"), figure("d")],
        [figure("e")],
        [figure("f")],
    )
    claims = page(tmp_path, ("01_baseline.ipynb", made, None)).find_all("article")
    assert [each.h3.span.text for each in claims] == ["1.1", "1.2", "1.3"]
    assert "Sentence 1.2." in claims[1].h3.text
    assert [pictures(each) for each in claims] == [["a", "b", "c"], [], ["d", "e", "f"]]
    assert claims[0].img["alt"] == "alt of a"
    assert [" ".join(each.select_one(".meta").text.split()) for each in claims] == [
        "sample profile · CPU, 2 threads · 6.0 s",
        "sample profile · CPU, 2 threads · 2.0 s",
        "sample profile · CPU, 2 threads · in the same cell as the claim before",
    ]


def test_figures_of_a_lesson_without_claims_are_shown_all_the_same(tmp_path):
    section = page(tmp_path, ("01_a.ipynb", notebook([figure("a")]), None)).section
    assert pictures(section) == ["a"] and "makes no claims" in section.text


def test_a_verdict_is_told_by_word_and_shape(tmp_path):
    verdicts = ["holds", "does not hold here", "too close to call"]
    made = notebook([claim(str(i), verdict) for i, verdict in enumerate(verdicts)])
    claims = page(tmp_path, ("01_a.ipynb", made, None)).find_all("article")
    assert [each.select_one(".verdict").text for each in claims] == verdicts
    shapes = {re.sub(r'class="\w+ \w+"', "", str(each.svg)) for each in claims}
    assert len(shapes) == 3


def test_the_interval_is_drawn_around_zero(tmp_path):
    measured = "+5.0 points, 95 % interval -5.0 to +10.0"
    made = notebook(
        [claim("1", difference=0.05, low=-0.05, high=0.10, measured=measured)],
        [claim("2", low=float("nan"), high=0.1), claim("3", low="0", high="<b>")],
        [claim("4", difference=0.0, low=0.0, high=0.0)],
    )
    first, second, third, fourth = page(tmp_path, ("01_a.ipynb", made, None)).find_all("article")
    strip = first.select_one("svg.strip")
    assert measured in strip.title.text and measured in first.p.find_next("p").text
    left, width = float(strip.rect["x"]), float(strip.rect["width"])
    # 15 % of room beyond the farther end, zero at 100 of 200.
    assert left == pytest.approx(100 - 100 * 0.5 / 1.15, abs=0.1)
    assert left + width == pytest.approx(100 + 100 / 1.15, abs=0.1)
    assert float(strip.circle["cx"]) == pytest.approx(100 + 50 / 1.15, abs=0.1)
    assert not second.select("svg.strip") and not third.select("svg.strip")
    assert fourth.select_one("svg.strip").circle["cx"] == "100.0"


def test_the_summary_counts_claims_and_failures(tmp_path):
    failure = lessons.Failure(3, "1 / 0", "ZeroDivisionError", "division by zero")
    first = notebook([banner(), claim("1"), claim("2", "too close to call"), claim("3")])
    soup = page(tmp_path, ("01_a.ipynb", first, None), ("02_b.ipynb", notebook(), failure))
    rows = [[cell.text for cell in row.find_all(["th", "td"])] for row in soup.find_all("tr")]
    assert rows[1] == ["01 · A baseline", "2", "0", "1", "1 min 15 s", "no"]
    assert rows[2][-1] == "failed"
    assert rows[3] == ["All", "2", "0", "1", "2 min 30 s", "1"]
    words = soup.select_one(".failure").text
    assert "cell 3 (`1 / 0`): ZeroDivisionError: division by zero" in words
    assert soup.section.select_one(".question").text == "How good is it?"
    assert "Traceback" not in soup.text


def test_the_sample_profile_is_called_what_it_is(tmp_path):
    note = page(tmp_path, ("01_a.ipynb", notebook([banner()]), None)).select_one(".note").text
    assert "Sample profile" in note and "not CIFAR-10 or ImageNet results" in " ".join(note.split())
    assert not page(tmp_path, ("01_a.ipynb", notebook([banner("full")]), None)).select(".note")


def test_hostile_outputs_come_out_as_text_or_not_at_all(tmp_path):
    html = v4.new_output("display_data", {"text/html": EVIL, "image/svg+xml": f"<svg>{EVIL}</svg>"})
    false = v4.new_output("display_data", {"image/png": base64.b64encode(EVIL.encode()).decode()})
    broken = v4.new_output("display_data", {"image/png": '"><script>'}, metadata={"image/png": 3})
    shapeless = v4.new_output("display_data", {}, metadata={"tlcourse_claim": "x", "tlcourse_banner": []})
    odd = banner(EVIL)
    odd.metadata["tlcourse_banner"]["device"] = EVIL
    made = notebook(
        [odd, html, false, broken, shapeless, figure("a", alt=f'"{EVIL}')],
        [claim(EVIL, EVIL, sentence=EVIL, measured=EVIL, low=-1, high=1)],
        head=f"# {EVIL}\n\n{EVIL}?",
    )
    failure = lessons.Failure(1, EVIL, EVIL, EVIL)
    soup = page(tmp_path, (f"{EVIL}.ipynb", made, failure))
    assert not soup.find_all(["script", "iframe", "object", "link"])
    assert pictures(soup) == ["a"]
    assert not [tag for tag in soup.find_all(True) if any(key.startswith("on") for key in tag.attrs)]
    assert EVIL in soup.article.h3.text and EVIL in soup.section.h2.text


def curves(histories, title="Curves"):
    shown = figure("a", alt="the picture")
    shown.metadata["tlcourse_curves"] = {"title": title, "histories": histories}
    return shown


def test_learning_curves_can_be_switched_on_the_page_too(tmp_path):
    history = {"val_loss": [2.0, 1.0], "val_accuracy": [0.1, 0.5]}
    made = notebook([curves({"LeNet": history, f"${EVIL}": history}, EVIL + "\ud800"), claim("1")])
    soup = page(tmp_path, ("01_a.ipynb", made, None))
    assert len(soup.select('figure input[type="checkbox"]')) == 2 and soup.select("figure svg")
    assert [label.text.strip() for label in soup.select("figure label")] == ["LeNet", f"${EVIL}"]
    assert not soup.find_all("script") and not [tag for tag in soup.find_all(True) if tag.has_attr("onerror")]


@pytest.mark.parametrize("value", [[], ["1"], [float("nan")], [10**400], 3, None])
def test_what_is_no_learning_curve_stays_a_picture(tmp_path, value):
    made = notebook([curves({"LeNet": {"val_loss": value, "val_accuracy": [0.5]}}), claim("1")])
    soup = page(tmp_path, ("01_a.ipynb", made, None))
    assert pictures(soup) == ["a"] and not soup.select("figure input")


def test_the_page_asks_the_network_for_nothing(tmp_path):
    soup = page(tmp_path, ("01_a.ipynb", notebook([figure("a"), figure("b", alt=""), claim("1")]), None))
    links = [tag[key] for tag in soup.find_all(True) for key in ("src", "href") if tag.has_attr(key)]
    assert links and all(link.startswith(("data:image/", "#")) for link in links)
    assert "url(" not in soup.style.text and "@import" not in soup.style.text
    assert all(image["alt"] for image in soup.find_all("img"))
    assert {link[1:] for link in links if link[0] == "#"} <= {tag.get("id") for tag in soup.find_all(True)}


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CourseError, match="cannot be written"):
        report.build([("01_a.ipynb", notebook(), None)], tmp_path / "file" / "report.html")
