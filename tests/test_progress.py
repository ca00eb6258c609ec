import io
from types import SimpleNamespace

import pytest

from tlcourse import progress


@pytest.fixture
def lines(monkeypatch):
    """What one line in a notebook shows, state by state."""
    shown = []
    monkeypatch.setattr(progress, "_in_notebook", lambda: True)
    monkeypatch.setattr(progress, "_line", lambda: shown.append)
    return shown


def test_a_notebook_shows_one_line_whose_last_state_has_no_times(lines):
    assert list(progress.track("abc", "Training")) == ["a", "b", "c"]
    assert lines[0] == "Training: 0 of 3" and "1 of 3, about 0 s left" in lines[1]
    assert lines[-1] == "Training: 3 done"


def test_an_interrupted_loop_keeps_the_last_state(lines):
    for item in progress.track("abc", "Training"):
        if item == "b":
            break
    assert lines[-1].startswith("Training: 1 of 3")


def test_a_pipe_gets_no_bar(capsys):
    assert list(progress.track([1, 2], "Training")) == [1, 2]
    assert capsys.readouterr() == ("", "")


def test_epochs_are_shown_by_the_callback(lines):
    import numpy as np

    from tlcourse.quiet import keras

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(np.zeros((4, 2)), np.zeros(4), epochs=2, verbose=0, callbacks=[progress.epochs("Source")])
    assert lines == ["Source: epoch 1, loss 0.000", "Source: epoch 2, loss 0.000"]


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets: `clock.now`, in seconds."""
    made = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


def test_counted_work_is_shown_after_two_seconds_with_rate_and_time_left(lines, clock):
    with progress.counted(10_000, "VGG16", "pictures") as advance:
        clock.now += 1.9
        advance(1000)
        assert lines == []
        clock.now += 0.1
        advance(1000)
        assert lines == ["VGG16: 2,000 of 10,000 pictures, 1,000 a second, about 8 s left"]
        clock.now += 0.2  # too soon for another
        advance(200)
        assert len(lines) == 1
        clock.now += 1.8
        advance(5800)
        assert lines[1:] == ["VGG16: 8,000 of 10,000 pictures, 2,000 a second, about 1 s left"]
        advance(2000)
    assert lines[2:] == ["VGG16: 10,000 pictures"]


def test_work_that_was_done_before_is_not_in_the_rate(lines, clock):
    with progress.counted(1000, "VGG16", "pictures", done=900) as advance:
        clock.now += 5
        advance(50)
        advance(50)
    assert lines == ["VGG16: 950 of 1,000 pictures, 10 a second, about 5 s left", "VGG16: 1,000 pictures"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_counted_work_that_is_broken_off_says_where(lines, clock, error):
    with pytest.raises(error), progress.counted(100, "VGG16", "pictures") as advance:
        clock.now += 3
        advance(20)
        advance(10)
        raise error
    assert lines[1:] == ["VGG16: stopped after 30 of 100 pictures; the same call goes on from there"]


def test_what_takes_less_than_two_seconds_is_not_shown(lines, clock):
    with progress.counted(100, "VGG16", "pictures") as advance:
        advance(100)
    with pytest.raises(ValueError), progress.counted(100, "VGG16", "pictures"):
        raise ValueError
    assert lines == []


def test_counted_work_is_quiet_if_asked(lines, clock, capsys):
    with progress.counted(100, "VGG16", "pictures", show=False) as advance:
        clock.now += 9
        advance(100)
    assert lines == [] and capsys.readouterr() == ("", "")


@pytest.mark.parametrize("show", [True, False])
def test_a_pipe_gets_no_bar_of_counted_work(capsys, show):
    with progress.counted(100, "VGG16", "pictures", done=50, show=show) as advance:
        advance(50)
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar_of_what_takes_longer_and_none_if_asked(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    def shown(show):
        terminal, now = Terminal(), [100.0]
        monkeypatch.setattr("sys.stderr", terminal)
        monkeypatch.setattr("tqdm.std.time", lambda: now[0])
        with progress.counted(100, "VGG16", "pictures", done=50, show=show) as advance:
            now[0] += 1
            advance(5)
            assert terminal.getvalue() == ""
            now[0] += 2
            advance(20)
        return terminal.getvalue()

    assert "VGG16" in shown(True) and "75/100" in shown(True) and "pictures/s" in shown(True) and shown(False) == ""
