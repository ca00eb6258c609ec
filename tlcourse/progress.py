"""Progress of what takes longer than two seconds: one line that stays clean.

In a notebook one display is updated in place, marked so that `lessons.tidy` leaves it out of what is stored; in a
terminal tqdm draws its bar.
"""

import contextlib
import html
import sys
import time

from tqdm import tqdm

MARK = {"tlcourse_progress": True}  # the metadata of a line in a notebook


def track(steps, label):
    """Yield the items of `steps` (a sequence) while showing how many are done.

    In a notebook the last state of the line stays, without times.
    """
    if not _in_notebook():
        yield from tqdm(steps, desc=label, disable=None, file=sys.stderr, leave=False)
        return
    line, start, total = _line(), time.monotonic(), len(steps)
    line(f"{label}: 0 of {total}")
    for done, step in enumerate(steps, start=1):
        yield step
        left = (time.monotonic() - start) / done * (total - done)
        line(f"{label}: {done} of {total}, about {left:.0f} s left" if done < total else f"{label}: {total} done")


@contextlib.contextmanager
def counted(total, label, unit, done=0, show=True, resumes=True):
    """Yield `advance(n)`, to be called when n more of `total` things are done, `done` of which were before.

    After two seconds a line shows how many are done, how many a second, and the time left. What stays
    of it in a notebook has no times, unless the work was broken off.
    """
    if not show or not _in_notebook():
        bar = tqdm(total=total, initial=done, desc=label, unit=f" {unit}", delay=2, leave=False,
                   disable=None if show else True)  # fmt: skip
        with bar:
            yield bar.update
        return
    state = {"done": done, "line": None, "next": time.monotonic() + 2}
    start = time.monotonic()

    def advance(n):
        state["done"] += n
        now = time.monotonic()
        if now < state["next"]:
            return
        state["next"] = now + 0.3
        state["line"] = state["line"] or _line()
        rate = (state["done"] - done) / (now - start)
        left = (total - state["done"]) / rate
        state["line"](f"{label}: {state['done']:,} of {total:,} {unit}, {rate:,.0f} a second, about {left:.0f} s left")

    try:
        yield advance
    except BaseException:
        if state["line"]:
            stopped = f"{label}: stopped after {state['done']:,} of {total:,} {unit}"
            state["line"](f"{stopped}; the same call goes on from there" if resumes else stopped)
        raise
    if state["line"]:
        state["line"](f"{label}: {total:,} {unit}")


def epochs(label):
    """A Keras callback that shows the epoch and the training accuracy. Use with verbose=0."""
    from tlcourse.quiet import keras

    state = {}

    def begin(logs=None):
        state["line"] = _line() if _in_notebook() else None

    def end(epoch, logs=None):
        if state["line"]:
            shown = ", ".join(f"{name} {value:.3f}" for name, value in (logs or {}).items())
            state["line"](f"{label}: epoch {epoch + 1}, {shown}")

    return keras.callbacks.LambdaCallback(on_train_begin=begin, on_epoch_end=end)


def _in_notebook():
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return hasattr(get_ipython(), "kernel")


def _line():
    from IPython.display import display

    def bundle(text):
        return {"text/plain": text, "text/html": f"<small>{html.escape(text)}</small>"}

    handle = display(bundle("…"), metadata=MARK, raw=True, display_id=True)
    return lambda text: handle.update(bundle(text), metadata=MARK, raw=True)
