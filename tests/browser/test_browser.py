"""The course in a real browser, as a learner goes through it; `uv run pytest -m browser -s` says how long things take.

TLCOURSE_BROWSER_WHOLE=1 runs every lesson as a whole, which takes half an hour; TLCOURSE_SCREENSHOTS=DIR keeps the
README's pictures.
"""

import os
import re
from typing import NamedTuple

import browser_lab
import nbformat
import pytest
from browser_lab import (
    by_tab, code_cell, faint, keep_screenshot, open_notebook, press, run_all, save, shortened, theme,
)  # fmt: skip

from tlcourse import report, settings

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: `uv sync --extra test`.")
expect = sync_api.expect
expect.set_options(timeout=30_000)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not browser_lab.CHROMIUM,
        reason="There is no Chromium: `apt install chromium`, or name one in TLCOURSE_CHROMIUM.",
    ),
]

START = "00_start_here.ipynb"
EXERCISE = "exercises/05_resnet50_bottlenecks/05_resnet50_bottlenecks.ipynb"
NOTEBOOKS = sorted(path.name for path in settings.notebooks().glob("*.ipynb"))
LESSONS = [name for name in NOTEBOOKS if name[:2].isdigit()]
LINK = re.compile(r"\]\([^)]*\.ipynb")
BANNER, REVEAL = "settings.banner()", "widgets.reveal("
PATIENCE = 2.0  # seconds; an explorer answers in under 0.3, but not on a machine that does much else


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    started = browser_lab.Lab(tmp_path_factory.mktemp("browser"))
    try:
        started.start()
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def chromium():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_lab.CHROMIUM, args=browser_lab.OPTIONS)
        # One context, so that JupyterLab is loaded and compiled once.
        yield browser.new_context(viewport={"width": 1250, "height": 1000})
        browser.close()


@pytest.fixture
def page(lab, chromium):
    """A fresh page. At the end of every test no script has failed on it, and nothing was asked of another machine."""
    made, failed, outside = chromium.new_page(), [], []
    made.set_default_timeout(60_000)
    made.on("pageerror", lambda error: failed.append(str(error)))
    for event in ("request", "websocket"):
        made.on(event, lambda asked: browser_lab.outside(asked.url) and outside.append(asked.url))
    yield made
    made.close()
    lab.end_kernels()
    assert (failed, outside) == ([], [])


def test_the_course_opens_on_its_first_lesson_which_leads_to_the_next(page, lab):
    page.goto(lab.address())
    expect(page.get_by_role("heading", name="00 · Start here")).to_be_visible()
    page.get_by_role("link", name="01 A baseline from scratch").first.click()
    expect(page.get_by_role("heading", name="01 · A baseline from scratch")).to_be_visible()


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_lesson_opens_as_it_was_stored(page, lab, name):
    """Title, every stored picture and drawing, links to notebooks that are there, no error; readable in the dark."""
    stored = nbformat.read(lab.work / name, as_version=4)
    open_notebook(page, lab, name)
    title = stored.cells[0].source.partition("\n")[0].lstrip("# ")
    expect(page.get_by_role("heading", level=1).first).to_contain_text(title)
    outputs = [output for cell in stored.cells for output in cell.get("outputs", [])]
    shown = page.locator(".jp-OutputArea-output")
    expect(shown).to_have_count(len(outputs))
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    seen = shown.locator("img, svg").filter(visible=True)
    expect(seen).to_have_count(len(pictures))
    assert all(len(words) > 20 for words in seen.evaluate_all("all => all.map(e => e.alt || e.ariaLabel || '')"))
    look_for_trouble(page)
    links = page.locator(".jp-MarkdownOutput a[href*='.ipynb']")
    text = " ".join(cell.source for cell in stored.cells if cell.cell_type == "markdown")
    expect(links).to_have_count(len(LINK.findall(text)))
    files = links.evaluate_all("all => all.map(e => new URL(e.href).pathname.replace('/files/', ''))")
    assert files and [file for file in files if not (lab.work / file).is_file()] == []
    theme(page, "dark")
    assert faint(page.locator(".jp-OutputArea")) == []


def test_the_first_lesson_runs_and_answers_a_guess(page, lab):
    open_notebook(page, lab, START)
    run_all(page, lab, START, seconds=400)
    look_for_trouble(page)
    reveal = code_cell(page, REVEAL).locator(".jp-OutputArea")
    expect(code_cell(page, BANNER)).to_contain_text("sample profile")
    expect(reveal).to_contain_text("You made no guess.")
    asked = page.get_by_role("radiogroup", name=re.compile("^Compared with training from scratch"))
    asked.get_by_role("radio", name="worse", exact=True).press("Space")
    expect(reveal).to_contain_text("You guessed: worse")
    page.keyboard.press("ArrowDown")
    expect(reveal).to_contain_text("You guessed: about the same")
    for colours in ("dark", "light"):
        theme(page, colours)
        assert faint(page.locator(".jp-OutputArea")) == [], colours
    code_cell(page, "plots.bars(").scroll_into_view_if_needed()
    keep_screenshot(page, "lesson")
    has_run(save(page, lab, START))


@pytest.mark.skipif(not os.environ.get("TLCOURSE_BROWSER_WHOLE"), reason="It takes long: set TLCOURSE_BROWSER_WHOLE=1.")
@pytest.mark.parametrize("name", LESSONS)
def test_a_whole_lesson_runs(page, lab, name):
    open_notebook(page, lab, name)
    print(f"{name}: {run_all(page, lab, name, seconds=1800):.0f} s")
    look_for_trouble(page)
    has_run(save(page, lab, name))


class Explorer(NamedTuple):
    lesson: str
    call: str  # in the cell that shows it
    controls: list  # (role, name, key)
    needs: list  # the cells before, see `shortened`; without any it is looked at as it is stored, and nothing runs
    picture: str = ".tlcourse-page"  # what has to change: a CSS selector in the cell's output


# In the place of cells that train for long. An explorer shows whatever table it is given.
UNTRAINED = """base = surgery.cut(backbone, "block5")
model = keras.Sequential([base, layers.GlobalAveragePooling2D(), layers.Dense(10, activation="softmax")])
for layer in base.layers:
    layer.trainable = layer.name.startswith("block5")"""
MADE_UP_RATIOS = """STRATEGIES = list(fourcases.STRATEGIES)
ratios = {"things": 1.0, "digits": 0.7, "puzzles": 0.4}"""
MADE_UP_CURVES = """vgg16 = backbones.load("VGG16", size=64)
rows = [("VGG16", target, strategy, block, seed, 0.1 * place + 0.01 * seed) for target in (SIMILAR, DIFFERENT)
        for strategy in ("pretrained", "random weights")
        for place, block in enumerate(vgg16.blocks) for seed in range(3)]
curves = pd.DataFrame(rows, columns=["network", "target", "strategy", "block", "seed", "accuracy"])
facts = pd.DataFrame({"features": vgg16.widths.values()}, index=list(vgg16.blocks))"""
EXPLORERS = [
    Explorer(
        "01_baseline_from_scratch.ipynb", "widgets.mistakes(",
        [("slider", "really", "ArrowRight"), ("slider", "mistake", "ArrowRight")],
        [BANNER, 'pictures = datasets.load("cifar10")', "split = datasets.sample(pictures, 700", "def conv32():",
         "history = model.fit(", "scores = model.predict("],
    ),
    Explorer(
        "03_inside_a_pretrained_network.ipynb", "widgets.activations(",
        [("slider", "layer", "ArrowRight"), ("slider", "picture", "ArrowRight")],
        ['BACKBONE = "VGG16"', "backbone = backbones.load(BACKBONE)", "def small(data):", "few = small(pictures)",
         "convolutions = [layer for layer in backbone.model"],
    ),
    Explorer(
        "04_fine_tuning_vgg16.ipynb", "widgets.freezing(",
        [("checkbox", "block1", "Space"), ("checkbox", "head", "Space")],
        ["backbone = backbones.load(BACKBONE, size=64)", UNTRAINED, "table = surgery.report(model)",
         "parameters = table.groupby("],
    ),
    Explorer("05_resnet50_bottlenecks.ipynb", "plots.show_validations(", [("checkbox", "LeNet", "Space")], [], "svg"),
    Explorer(
        "06_four_cases.ipynb", "widgets.cases(",
        [("slider", "pictures a class", "ArrowRight"), ("slider", "similarity", "ArrowLeft")],
        ["backbone = backbones.load(BACKBONE, size=64)", MADE_UP_RATIOS, "evidence = fourcases.evidence()",
         "rule = fourcases.fitted(evidence)"],
    ),
    Explorer(
        "07_where_to_cut.ipynb", "widgets.cut(", [("slider", "cut after", "ArrowRight")],
        ["import h5py", "SIMILAR, DIFFERENT =", MADE_UP_CURVES],
    ),
]  # fmt: skip


@pytest.mark.parametrize("explorer", EXPLORERS, ids=lambda explorer: explorer.lesson[:2])
def test_an_explorer_answers_the_keyboard(page, lab, explorer):
    path = explorer.lesson
    if explorer.needs:
        path = f"explorers/{path}"
        shortened(lab, explorer.lesson, [*explorer.needs, explorer.call], path)
    open_notebook(page, lab, path)
    if explorer.needs:
        run_all(page, lab, path, seconds=120)
    look_for_trouble(page)
    cell = code_cell(page, explorer.call)
    expect(cell, f"No cell of {path} has {explorer.call!r}: mend the table of explorers.").to_have_count(1)
    names, missed = by_tab(page, cell)
    assert {name for _, name, _ in explorer.controls} <= set(names) and all(names) and not missed
    output = cell.locator(".jp-OutputArea")
    picture = output.locator(explorer.picture).first
    for role, name, key in explorer.controls:
        before = picture.screenshot()
        seconds = press(page, output.get_by_role(role, name=name, exact=True), key, picture)
        print(f"{explorer.lesson[:2]}, {name}: {seconds:.3f} s")
        assert picture.screenshot() != before
        assert seconds < PATIENCE
    if not any("\n" in words for words in explorer.needs):  # no made-up numbers in the README
        keep_screenshot(page, f"explorer_{explorer.lesson[:2]}")
    for colours in ("light", "dark"):
        theme(page, colours)
        assert faint(output) == [], colours


def test_curves_are_switched_by_their_labels_in_the_report_too(page, tmp_path):
    path = settings.notebooks() / "05_resnet50_bottlenecks.ipynb"
    made = report.build([(path, nbformat.read(path, as_version=4), None)], tmp_path / "report.html")
    page.set_content(made.read_text(encoding="utf-8"))
    figure = page.locator("figure", has=page.get_by_role("checkbox", name="LeNet"))
    for _ in range(2):  # away, and back again
        before = figure.locator("svg").screenshot()
        figure.get_by_text("LeNet", exact=True).first.click()
        assert figure.locator("svg").screenshot() != before
    assert figure.get_by_role("checkbox", name="LeNet").is_checked()
    for width in (1250, 400):
        page.set_viewport_size({"width": width, "height": 1000})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_an_exercise_says_why_and_keeps_the_answer(page, lab):
    open_notebook(page, lab, EXERCISE)
    answer, check = code_cell(page, "def gigabytes"), code_cell(page, 'check("q1")')

    def told(text):
        check.locator(".cm-content").press("Control+Enter")
        expect(check.locator(".jp-OutputArea")).to_contain_text(text)
        assert faint(check.locator(".jp-OutputArea")) == []

    code_cell(page, "import numpy").locator(".cm-content").press("Control+Enter")
    answer.locator(".cm-content").press("Control+Enter")
    told("q1: not attempted yet")
    head = "def gigabytes(n, shape, dtype):\n    return n * np.prod(shape)"
    write(page, answer, f"{head} * 4 / 1e9")
    told("q1: wrong because 50,000 x (32, 32, 3) uint8: not every number takes 4 bytes.")
    write(page, answer, f"{head} * np.dtype(dtype).itemsize / 1e9")
    told("q1: right.")
    save(page, lab, EXERCISE)
    page.reload()
    expect(answer.locator(".cm-content")).to_contain_text("np.dtype(dtype).itemsize")
    expect(check.locator(".jp-OutputArea")).to_contain_text("q1: right.")
    look_for_trouble(page)


def test_work_is_still_there_when_the_course_is_started_again(page, lab):
    """And the course's own copy is as it was."""
    shipped, note = (settings.notebooks() / START).read_bytes(), "# My note: ask about the head."
    open_notebook(page, lab, START)
    banner = code_cell(page, BANNER)
    banner.locator(".cm-content").press("Control+End")
    page.keyboard.insert_text(f"\n{note}")
    save(page, lab, START)
    page.goto("about:blank")
    lab.stop()
    lab.start()
    open_notebook(page, lab, START)
    expect(code_cell(page, note).locator(".jp-OutputArea")).to_contain_text("sample profile")
    assert (settings.notebooks() / START).read_bytes() == shipped


def write(page, cell, text):
    """Put `text` in the place of a cell's code, and run it."""
    cell.locator(".cm-content").press("Control+a")
    page.keyboard.insert_text(text)
    page.keyboard.press("Control+Enter")


def look_for_trouble(page):
    """No error or warning is shown, and no picture is broken."""
    assert page.locator(browser_lab.TROUBLE).all_text_contents() == []
    pictures = page.locator(".jp-Notebook img").filter(visible=True)
    assert pictures.evaluate_all("all => all.filter(e => !e.naturalWidth).map(e => e.alt || e.src)") == []


def has_run(notebook):
    """Every cell of a saved notebook has run, one after the other, without an error."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [out for cell in code for out in cell.outputs if out.output_type == "error"]
