"""JupyterLab as a learner has it: the server of `tlcourse lab`, a browser, and what hands and eyes do there."""

import io
import json
import os
import shutil
import socket
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import psutil
from PIL import Image

TOKEN = "only-for-this-test"
CHROMIUM = os.environ.get("TLCOURSE_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
# Chromium as root needs --no-sandbox; no name but the machine's own can be looked up, so nothing comes from outside.
OPTIONS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip
TROUBLE = ", ".join(f'.jp-OutputArea [data-mime-type="application/vnd.jupyter.{kind}"]' for kind in ("error", "stderr"))


class Lab:
    """`tlcourse lab` on a working folder of its own, with nothing of this machine's user in it."""

    def __init__(self, folder):
        self.folder, self.work = folder, folder / "work"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        # The page takes the theme of the system, which a test can change at any moment.
        themes = folder / "SETTINGS" / "@jupyterlab" / "apputils-extension" / "themes.jupyterlab-settings"
        themes.parent.mkdir(parents=True)
        themes.write_text('{"adaptive-theme": true}')

    def start(self):
        own = {f"JUPYTER_{each}_DIR": str(self.folder / each) for each in ("CONFIG", "DATA", "RUNTIME")}
        own |= {f"JUPYTERLAB_{each}_DIR": str(self.folder / each) for each in ("SETTINGS", "WORKSPACES")}
        own |= {"IPYTHONDIR": str(self.folder / "ipython"), "TLCOURSE_CACHE": str(self.folder / "cache")}
        words = ["lab", str(self.work), "--no-browser", "--port", str(self.port), f"--IdentityProvider.token={TOKEN}"]
        words += ["--ServerApp.port_retries=0"]
        with open(self.folder / "log", "w") as log:
            self.process = psutil.Popen(
                [sys.executable, "-m", "tlcourse.cli", *words], stdout=log, stderr=log, env={**os.environ, **own}
            )
        until(self._answers, 60, "JupyterLab to start")

    def _answers(self):
        assert self.process.poll() is None, f"JupyterLab stopped: {(self.folder / 'log').read_text()[-2000:]}"
        try:
            return self.ask("status")
        except OSError:
            return None

    def stop(self):
        """End the server, and with it its kernels; what does not end within 20 seconds is killed."""
        try:
            kernels = self.process.children(recursive=True)
        except psutil.NoSuchProcess:  # it has ended by itself
            kernels = []
        self.process.terminate()
        _, left = psutil.wait_procs([self.process, *kernels], timeout=20)
        for process in left:
            process.kill()
        self.process.wait(timeout=20)

    def address(self, path=""):
        return f"http://127.0.0.1:{self.port}/{path}?token={TOKEN}"

    def ask(self, what, method="GET"):
        request = urllib.request.Request(self.address(f"api/{what}"), method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read() or "null")

    def kernel_is_idle(self, path):
        kernels = [each["kernel"] for each in self.ask("sessions") if each["path"] == path]
        return kernels and kernels[0]["connections"] and kernels[0]["execution_state"] == "idle"

    def end_kernels(self):
        for session in self.ask("sessions"):
            self.ask(f"sessions/{session['id']}", "DELETE")


def outside(address):
    """Whether a request to this address leaves the machine."""
    return urlsplit(address).scheme not in ("data", "blob") and urlsplit(address).hostname != "127.0.0.1"


def until(condition, seconds, what):
    """Wait until `condition()` is true, and return its value."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"Waited {seconds} seconds in vain for {what}."
        time.sleep(0.1)
    return found


def open_notebook(page, lab, path):
    """Open a notebook of the working folder; its kernel is ready when this returns."""
    page.goto(lab.address(f"doc/tree/{path}") + "&reset")
    page.locator(".jp-Notebook").wait_for()
    # The toolbar says Idle too early.
    until(lambda: lab.kernel_is_idle(path), 60, f"the kernel of {path}")


def run_all(page, lab, path, seconds):
    """Run > Run All Cells, wait until all have run, and return the seconds that they took."""
    # A star stands beside every cell that is to run. Watched from before the click, or a quick notebook is missed.
    page.evaluate(
        """() => {
            let started = false;
            const notebook = document.querySelector(".jp-Notebook");
            const prompts = () => [...notebook.querySelectorAll(".jp-InputPrompt")];
            const stars = () => prompts().some(e => e.textContent.includes("*"));
            window.allHaveRun = false;
            new MutationObserver(() => {
                started = started || stars();
                window.allHaveRun = started && !stars();
            }).observe(notebook, {subtree: true, childList: true, characterData: true});
        }"""
    )
    start = time.monotonic()
    menu(page, "Run", "Run All Cells")
    page.wait_for_function("window.allHaveRun", timeout=1000 * seconds)
    until(lambda: lab.kernel_is_idle(path), 60, f"the kernel of {path} to be idle")
    return time.monotonic() - start


def menu(page, *words):
    for word in words:
        page.get_by_role("menuitem", name=word, exact=True).click()


def save(page, lab, path):
    """Ctrl+S; returns what is in the file then."""
    with page.expect_response(lambda answer: answer.request.method == "PUT" and "/api/contents/" in answer.url):
        page.keyboard.press("Control+s")
    return nbformat.read(lab.work / path, as_version=4)


def code_cell(page, text):
    """The first code cell whose code contains `text`."""
    return page.locator(".jp-CodeCell", has=page.locator(".jp-InputArea", has_text=text)).first


def press(page, control, key, picture):
    """Press a key on a control, and return the seconds until `picture` looks different."""
    control.focus()
    picture.evaluate(
        """picture => {
            const images = () => [...picture.querySelectorAll("img")];
            const shapes = () => [...picture.querySelectorAll("svg *")].map(e => e.getClientRects().length);
            const seen = () => [picture.innerText, ...images().map(e => e.src), ...shapes()].join();
            const before = seen();
            let pressed = null;
            addEventListener("keydown", event => { pressed = event.timeStamp; }, {capture: true});
            window.seconds = null;
            const look = () => {
                if (seen() == before || !images().every(e => e.complete)) requestAnimationFrame(look);
                else window.seconds = (performance.now() - pressed) / 1000;
            };
            look();
        }"""
    )
    page.keyboard.press(key)
    return until(lambda: page.evaluate("window.seconds"), 20, f"the picture to change after {key}")


def by_tab(page, cell):
    """Go through a cell's output by Tab: ([names of the controls that were reached], [those that were not])."""
    cell.locator(".jp-InputPrompt").click()
    page.keyboard.press("Escape")
    names = cell.evaluate(
        """cell => {
            const named = e => e.ariaLabel || [...(e.labels || [e])].map(label => label.innerText).join(" ").trim();
            const all = "input, select, textarea, button, summary, a[href], [role=slider], [contenteditable=true]";
            window.controls = [...cell.querySelectorAll(".jp-OutputArea-output :is(" + all + ")")]
                .filter(e => e.checkVisibility());
            return window.controls.map(named);
        }"""
    )
    reached = set()
    for _ in range(len(names) + 1):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("window.controls.indexOf(document.activeElement)"))
    return names, [name for index, name in enumerate(names) if index not in reached]


def faint(areas):
    """Text in these areas with a contrast under 4.5 (WCAG 2, AA): [(text, contrast, its colour, that behind), ...]."""
    return areas.evaluate_all(
        """areas => areas.flatMap(area => {
            const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
            const paint = colour => { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); };
            const painted = () => [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
            const light = rgb => rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
                .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
            const colour = e => {
                const style = getComputedStyle(e), shape = e instanceof SVGElement && !(e instanceof SVGSVGElement);
                return !shape ? style.backgroundColor : /^(none|url)/.test(style.fill) ? "transparent" : style.fill;
            };
            const found = [], texts = document.createTreeWalker(area, NodeFilter.SHOW_TEXT);
            while (texts.nextNode()) {
                const e = texts.currentNode.parentElement, range = document.createRange();
                range.selectNodeContents(texts.currentNode);
                const hidden = !e.checkVisibility() || e.matches("style, title, option");
                if (hidden || !texts.currentNode.data.trim() || range.getBoundingClientRect().width < 2) continue;
                e.scrollIntoView({block: "center"});
                const box = range.getBoundingClientRect();
                let below = document.elementsFromPoint(box.x + box.width / 2, box.y + box.height / 2);
                const ancestors = [];
                for (let up = e; up; up = up.parentElement) ancestors.push(up);
                below = below.includes(e) ? below.slice(below.indexOf(e)) : ancestors;
                paint("white");
                const text = e instanceof SVGElement;
                for (const under of below.reverse()) if (!(text && under == e)) paint(colour(under));
                const behind = painted();
                paint(text ? getComputedStyle(e).fill : getComputedStyle(e).color);
                const [low, high] = [light(behind), light(painted())].sort((a, b) => a - b);
                const ratio = (high + 0.05) / (low + 0.05);
                if (ratio < 4.5) found.push([texts.currentNode.data.trim(), ratio.toFixed(1), painted(), behind]);
            }
            return found;
        })"""
    )


def theme(page, name):
    """Switch to the "light" or the "dark" theme."""
    page.emulate_media(color_scheme=name)
    page.wait_for_function(f"document.body.dataset.jpThemeLight == '{str(name == 'light').lower()}'")
    page.locator("#jupyterlab-splash").wait_for(state="detached")


def shortened(lab, lesson, cells, path):
    """Write a copy of a lesson with these of its code cells alone, each named by a line that it contains.

    What has several lines is a cell of the test's own, in the place of one that takes long.
    """
    notebook = nbformat.read(lab.work / lesson, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    chosen = []
    for words in cells:
        found = [nbformat.v4.new_code_cell(words)] if "\n" in words else [c for c in code if words in c.source]
        assert len(found) == 1, f"{len(found)} cells of {lesson} have {words!r}, not one: mend the table of explorers."
        chosen += [nbformat.v4.new_code_cell(found[0].source)]
    notebook.cells = chosen
    (lab.work / path).parent.mkdir(exist_ok=True)
    nbformat.write(notebook, lab.work / path)


def keep_screenshot(page, name):
    """For the README, where TLCOURSE_SCREENSHOTS names a folder: 1250 pixels wide, 256 colours."""
    if folder := os.environ.get("TLCOURSE_SCREENSHOTS"):
        file = Path(folder) / f"{name}.png"
        image = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(256)
        image.save(file, optimize=True)
        assert file.stat().st_size < 150_000
