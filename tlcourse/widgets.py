"""Controls for JupyterLab. Without a kernel or without widgets, the text around them says the same."""


def guess(question, choices):
    """Ask for a first guess, and return the control; its `value` is the choice, None before one is made."""
    import ipywidgets
    from IPython.display import display

    control = ipywidgets.RadioButtons(
        options=choices, value=None, description=question, layout={"width": "max-content"},
        style={"description_width": "initial"},
    )  # fmt: skip
    display(control)
    return control


def reveal(guess, measured):
    """Print the guess beside what was measured. guess: the control of `guess`, or a text."""
    made = getattr(guess, "value", guess)
    print(f"You guessed: {made}" if made else "You made no guess.")
    print(f"Measured:    {measured}")
