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
