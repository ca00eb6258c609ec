"""Strategies, repeated over targets, sizes and seeds: one tidy table, which an interruption does not lose."""

import csv
import dataclasses
import dis
import io
import itertools
import time
import types
from pathlib import Path

import numpy as np
import pandas as pd
import xxhash

from tlcourse import CourseError, datasets, features, progress, settings, surgery
from tlcourse.quiet import keras

COLUMNS = ("strategy", "target", "size", "seed", "accuracy", "training_accuracy", "seconds", "parameters")
CONTENT = "content"  # the further column of a file: what the row was measured on, as a hash


def compare(ways, data, sizes, seeds, validation=0.0, label="Training", file=None):
    """Train every strategy on the same pictures, for each target, size and seed, and score it on the test set.

    ways: {name: strategy}, see `tlcourse.strategies`; or a function (data, size) -> such a dict, where
        strategies depend on them. data: a `datasets.Dataset`, or a list of some with different names.
    sizes: numbers of labelled pictures in all. seeds: integers; a seed decides the
        pictures and the start weights, so that rows of one target, seed and size are paired.
    validation: the fraction of the pictures that strategies get for validation.
    file: the path of a CSV file that takes each row when it is measured. The same call finds the rows
        there and goes on behind them; rows of other pictures, strategies or versions are measured anew.

    Returns a DataFrame with a row a training: strategy, target, size, seed,
    accuracy (fraction of the test set), training_accuracy (fraction of the pictures it was
    trained on), seconds (of training), parameters (trained). A seed comes after the other, so that
    the time left is well known after the first one, and what an interruption leaves is whole seeds.

    Raises CourseError when there is nothing to compare, two targets have one name, there are too few pictures for
    a size, and `file` cannot be written or is another kind of file.
    """
    targets = {each.name: each for each in ([data] if isinstance(data, datasets.Dataset) else data)}
    if not isinstance(data, datasets.Dataset) and len(targets) < len(data):
        raise CourseError("Two of the targets have the same name: rename one with dataclasses.replace(data, name=...).")
    cells = list(itertools.product(targets, sizes))
    made = {cell: ways(targets[cell[0]], cell[1]) if callable(ways) else ways for cell in cells}
    runs = [(int(seed), *cell, name) for seed in seeds for cell in cells for name in made[cell]]
    if not runs:
        raise CourseError("compare needs at least one strategy, one target, one size and one seed.")
    contents = _contents(made, targets, runs, validation) if file else {}
    known = _known(file) if file else {}
    rows, splits = [known.get(contents.get(run)) for run in runs], {}
    missing = [place for place, row in enumerate(rows) if row is None]
    for place in progress.track(missing, label) if missing else ():
        seed, target, size, name = runs[place]
        if (target, size, seed) not in splits:
            splits = {(target, size, seed): datasets.sample(targets[target], size, seed, validation)}
        way, split = made[target, size][name], splits[target, size, seed]
        measured = _measure(way, split, targets[target], seed)
        rows[place] = {"strategy": name, "target": target, "size": size, "seed": seed} | measured
        if file:
            _append(file, [*rows[place].values(), contents[runs[place]]])
    return pd.DataFrame(rows, columns=list(COLUMNS))


def accuracy(model, x, y):
    """The fraction of pictures x, uint8 (n, h, w, c), whose label in y, int (n,), is predicted.

    A Keras model with one output says label 1 above 0.5, one with more says the largest;
    any other classifier's `predict` gives the labels.
    """
    if isinstance(model, keras.Model):
        said = features.predict(model, x)
        predicted = said[:, 0] > 0.5 if said.shape[1] == 1 else said.argmax(axis=1)
    else:
        predicted = model.predict(x)
    return float(np.mean(predicted == y))


def _measure(way, split, data, seed):
    start = time.perf_counter()
    model = way(split, seed)
    seconds = time.perf_counter() - start
    return {
        "accuracy": accuracy(model, data.x_test, data.y_test),
        "training_accuracy": accuracy(model, split.x_train, split.y_train),
        "seconds": seconds,
        "parameters": surgery.trainable_parameters(model),
    }


def _contents(made, targets, runs, validation):
    """{run: the hash of all that decides its row}: pictures, strategy, size, seed, versions and the course's code."""
    package = Path(__file__).parent
    common = _hash([validation, settings.versions(), [path.read_bytes() for path in sorted(package.glob("*.py"))]])
    of_data = {name: _hash(data) for name, data in targets.items()}
    of_ways = {(cell, name): _hash(way) for cell, ways in made.items() for name, way in ways.items()}
    return {
        (seed, target, size, name): _hash([common, of_data[target], of_ways[(target, size), name], target, size, seed, name])
        for seed, target, size, name in runs
    }


def _hash(value):
    digest = xxhash.xxh3_128()
    _update(digest, value, set())
    return digest.hexdigest()


def _update(digest, value, seen):
    """Feed a digest with what a value is. Of a function: its code, its defaults, what it closes over, and
    the globals that it names. What is not known here goes in by its repr: at worst it is measured again."""
    digest.update(type(value).__name__.encode())
    if isinstance(value, np.ndarray):
        digest.update(repr((value.dtype.str, value.shape)).encode())
        digest.update(np.ascontiguousarray(value).data.cast("B") if value.size else b"")
        return
    if isinstance(value, (types.FunctionType, type, keras.layers.Layer)) or dataclasses.is_dataclass(value):
        if id(value) in seen:
            return
        seen.add(id(value))
    if isinstance(value, types.ModuleType):
        parts = [value.__name__]
    elif isinstance(value, type):
        parts = [value.__module__, value.__qualname__]
    elif isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        used = [value.__globals__.get(name) for name in _names(value.__code__)]
        used = [getattr(each, "__qualname__", each) if getattr(each, "__module__", None) != value.__module__ else each
                for each in used]  # functions of other modules by name: versions and the course's code stand for them
        parts = [value.__code__, value.__defaults__, value.__kwdefaults__, cells, used]
    elif isinstance(value, types.CodeType):
        parts = [value.co_code, value.co_names, list(value.co_consts)]
    elif isinstance(value, keras.Model):
        parts = value.layers
    elif isinstance(value, keras.layers.Layer):
        named = value.get_config()  # Keras counts names on from whatever was built before
        parts = [{key: named[key] for key in named if key != "name"}, value.get_weights()]
    elif dataclasses.is_dataclass(value):
        parts = [getattr(value, field.name) for field in dataclasses.fields(value)]
    elif isinstance(value, dict):
        parts = [part for pair in value.items() for part in pair]
    elif isinstance(value, (set, frozenset)):
        parts = sorted(map(repr, value))
    elif isinstance(value, (list, tuple)):
        parts = value
    else:
        digest.update(value if isinstance(value, bytes) else repr(value).encode())
        return
    digest.update(str(len(parts)).encode())
    for part in parts:
        _update(digest, part, seen)


def _names(code):
    """The global names that a code object uses, those of the functions inside it too."""
    own = [step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"]
    inner = [_names(const) for const in code.co_consts if isinstance(const, types.CodeType)]
    return list(dict.fromkeys([*own, *itertools.chain(*inner)]))


def _known(file):
    """{content: row} of a file of `compare`, which is begun if it is not there. A torn last line is passed over."""
    file, head = Path(file), [*COLUMNS, CONTENT]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        with open(file, "a", encoding="utf-8", newline="") as out:
            out.write(_line(head) if not text else "" if text.endswith("\n") else "\n")
    except UnicodeDecodeError:
        text = "?"
    except OSError as error:
        raise CourseError(f"{file} cannot be written ({error.strerror or error}): choose another file.") from None
    found, lines = {}, list(csv.reader(io.StringIO(text)))
    if lines and lines[0] != head:
        raise CourseError(f"{file} is no file of experiments.compare: choose another name.")
    kinds = (str, str, int, int, float, float, float, int)
    for line in lines[1:]:
        try:
            *values, content = line
            found[content] = dict(zip(COLUMNS, (kind(value) for kind, value in zip(kinds, values, strict=True))))
        except ValueError:
            continue
    return found


def _append(file, row):
    try:
        with open(file, "a", encoding="utf-8", newline="") as out:
            out.write(_line(row))
    except OSError as error:
        raise CourseError(
            f"{file} takes no more rows ({error.strerror or error}): free some space; the same call goes on from there."
        ) from None


def _line(row):
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(row)
    return line.getvalue()
