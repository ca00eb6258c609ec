"""Measure which strategy wins on many targets, and whether `fourcases.recommend` would have named it.

    TLCOURSE_HOME=DIR uv run python tools/measure_fourcases.py matrix NAME [WEIGHTS] [--size 128] [--seeds 2]
    TLCOURSE_HOME=DIR uv run python tools/measure_fourcases.py evidence NAME [WEIGHTS] [--size 128] [--out FILE]
    uv run python tools/measure_fourcases.py judge [FILE]

`matrix` trains the strategies of the four cases on subsets, sizes and variants of the drawn and the real data sets
(which are read from TLCOURSE_HOME), and keeps each row as it comes in RESULTS/NAME.csv; it goes on where it stopped.
`evidence` measures the two axes of each of these cases, several candidates for similarity among them, and
writes cases and accuracies into one table. `judge` compares the advice on each data set, given without
knowing it, with the baselines.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import linalg

from tlcourse import CourseError, backbones, datasets, experiments, features, fourcases, strategies
from tlcourse.quiet import keras

SHIPPED = Path(fourcases.__file__).with_name("fourcases.csv")
PER_CLASS = (2, 5, 10, 30, 100)
VARIED = {  # which variants of a data set are targets
    "drawn10": ("", "inverted", "noisy", "shuffled"), "mnist": ("", "inverted", "shuffled"), "drawn_smiles": ("",),
    "cifar10": ("", "shuffled"), "smiles": ("",),
}  # fmt: skip
ANIMALS = ("bird", "cat", "deer", "dog", "frog", "horse")


def targets():
    """{name: Dataset}; the first word of a name is the data set that its pictures come from."""
    found = {}
    for name, profile in (("drawn10", None), ("mnist", None), ("drawn_smiles", None), ("cifar10", "full"), ("smiles", "full")):
        data = datasets.load(name, profile or "sample")
        x = [np.repeat(each, 3, -1) if each.shape[-1] == 1 else each for each in (data.x_train, data.x_test[:1000])]
        data = replace(data, x_train=x[0], x_test=x[1], y_test=data.y_test[:1000])
        for variant, change in VARIANTS.items():
            if variant not in VARIED[name]:
                continue
            label = f"{name} {variant}".strip()
            found[label] = replace(data, name=label, x_train=change(data.x_train), x_test=change(data.x_test))
    for name in ("drawn10", "cifar10"):
        found[f"{name} animals"] = replace(datasets.only(found[name], ANIMALS), name=f"{name} animals")
    return found


def noisy(x):
    noise = np.random.RandomState(0).normal(0, 40, x.shape)
    return np.clip(np.rint(x + noise), 0, 255).astype("uint8")


def shuffled(x, parts=4):
    """Every picture cut into parts x parts patches, which change places, in each picture in another way."""
    n, side = len(x), x.shape[1] // parts
    x = x[:, : side * parts, : side * parts]
    patches = x.reshape(n, parts, side, parts, side, 3).swapaxes(2, 3).reshape(n, parts * parts, side, side, 3)
    order = np.random.RandomState(0).rand(n, parts * parts).argsort(axis=1)
    patches = np.take_along_axis(patches, order[..., None, None, None], axis=1)
    return patches.reshape(n, parts, parts, side, side, 3).swapaxes(2, 3).reshape(x.shape)


VARIANTS = {"": lambda x: x, "inverted": lambda x: 255 - x, "noisy": noisy, "shuffled": shuffled}


def ways(backbone):
    """The five strategies of `fourcases` for a data set and a size, and two controls."""
    controls = {
        "majority": strategies.majority(),
        "random features": strategies.linear_probe(backbones.untrained(backbone), c=fourcases.C),
    }
    return lambda data, size: fourcases.ways(backbone, data, size) | controls


def main(argv=None):
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for command, run in (("matrix", matrix), ("evidence", evidence)):
        part = commands.add_parser(command)
        part.set_defaults(run=run)
        part.add_argument("name")
        part.add_argument("weights", nargs="?", default="mini", help="mini, imagenet or a file (default: mini)")
        part.add_argument("--size", type=int, help="pictures are seen at size x size")
        part.add_argument("--seeds", type=int, default=2)
        part.add_argument("--only", nargs="*", help="these targets, or those that begin with this word")
        part.add_argument("--per-class", type=int, nargs="*", default=PER_CLASS)
        part.add_argument("--results", type=Path, default=Path("fourcases"))
        part.add_argument("--out", type=Path, default=SHIPPED, help="the table that evidence adds to")
    part = commands.add_parser("judge")
    part.set_defaults(run=judge)
    part.add_argument("table", nargs="?", type=Path, default=SHIPPED)
    args = parser.parse_args(argv)
    try:
        args.run(args)
    except CourseError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def cells(args):
    """The (data, size) that are measured, as (name, Dataset, pictures a class, pictures in all)."""
    for name, data in targets().items():
        if not args.only or {name, name.split()[0]} & set(args.only):
            for per_class in args.per_class:
                yield name, data, per_class, per_class * len(data.classes)


def matrix(args):
    backbone = backbones.load(args.name, args.weights, size=args.size)
    of = ways(backbone)
    for name, data, per_class, size in cells(args):
        file = args.results / f"{args.name}.csv"
        experiments.compare(of, data, [size], range(args.seeds), label=f"{name}, {size}", file=file)
        keras.backend.clear_session()  # else every cell's compiled networks stay
        print(f"{args.name}: {name}, {per_class} a class", flush=True)


def evidence(args):
    """Add the backbone's cases to the table at args.out; what stood there of this backbone goes."""
    backbone = backbones.load(args.name, args.weights, size=args.size)
    measured = pd.read_csv(args.results / f"{args.name}.csv")
    measured = measured.drop_duplicates(["strategy", "target", "size", "seed"], keep="last")
    source, rows, distances = source_features(backbone), [], {}
    for name, data, per_class, size in cells(args):
        found = measured[(measured["target"] == name) & (measured["size"] == size)]
        accuracies = found.groupby("strategy")["accuracy"].mean().reindex(fourcases.STRATEGIES)
        if accuracies.isna().any():
            continue
        if source is not None and name not in distances:
            distances[name] = frechet(features.extract(backbone, data.x_train[:1000], show=False), source)
        axes = [axes_of(data, size, seed, backbone) for seed in sorted(found["seed"].unique())]
        rows.append({"backbone": args.name, "target": name, "per_class": per_class, "seeds": len(axes),
                     **pd.DataFrame(axes).mean(), "frechet": distances.get(name), **accuracies,
                     **trial_of(data, size, backbone)})  # fmt: skip
        print(f"{args.name}: {name}, {per_class} a class, similarity {rows[-1]['similarity']:.2f}", flush=True)
    kept = pd.read_csv(args.out) if args.out.is_file() else pd.DataFrame({"backbone": []})
    table = pd.concat([kept[kept["backbone"] != args.name], pd.DataFrame(rows)])
    table.round(4).to_csv(args.out, index=False)


def axes_of(data, size, seed, backbone):
    """Candidates for the second axis, from the pictures that the strategies were trained on."""
    split = datasets.sample(data, size, seed)
    found = fourcases.measure(replace(data, x_train=split.x_train, y_train=split.y_train), backbone, seed)
    top, earlier = list(found["blocks"].values())[-1][0], found["blocks"][found["earlier"]][0]
    avoided = (top - found["random"]) / max(1 - found["random"], 0.01)
    return {"similarity": found["similarity"], "gain": top - earlier, "avoided": avoided}


def trial_of(data, size, backbone):
    """The trial on the pictures of seed 0, as columns; none where there are too few pictures."""
    if size < fourcases.FEWEST_TRIED * len(data.classes):
        return {}
    split = datasets.sample(data, size, 0)
    found = fourcases.trial(replace(data, x_train=split.x_train, y_train=split.y_train), backbone)
    keras.backend.clear_session()
    return {f"{name}: {what}": value for name, pair in found.items() for what, value in zip(("tried", "error"), pair)}


def source_features(backbone):
    """Top features of 2,000 pictures that a mini was pretrained on; None where the source is not known."""
    if backbone.trained_on != "cifar100":
        return None
    return features.extract(backbone, datasets.load("cifar100", "full").x_test[:2000], show=False)


def frechet(x, source):
    """The Frechet distance (Dowson and Landau, 1982) of two sets of features, a feature, in units of the source's spread."""
    x, source = x / (source.std(0) + 1e-6), source / (source.std(0) + 1e-6)
    one, other = np.cov(x.T), np.cov(source.T)
    root = linalg.sqrtm(one @ other).real
    return float((((x.mean(0) - source.mean(0)) ** 2).sum() + np.trace(one + other - 2 * root)) / x.shape[1])


def judge(args):
    """Print hit rate and regret of the advice on data sets that it has not seen, and of the baselines."""
    table = pd.read_csv(args.table)
    for backbone, cases in table.groupby("backbone", sort=False):
        rest = table[table["backbone"] != backbone] if cases["target"].nunique() < 10 else None
        advised = {"recommend": fourcases.held_out(cases, rest)}
        if rest is None:
            for name in ("similarity", "gain", "avoided", "frechet"):
                if cases[name].notna().all():
                    sign = -1 if name == "frechet" else 1
                    axis = cases.assign(similarity=sign * cases[name])
                    advised[f"  four fields by size and {name}"] = fourcases.held_out_fields(axis)
        advised |= {f"always {name}": [name] * len(cases) for name in fourcases.STRATEGIES}
        print(f"{backbone}: {len(cases)} cases of {cases['target'].nunique()} targets")
        for name, advice in advised.items():
            lost = fourcases.losses(cases, advice)
            print(f"  {name:42} best {np.mean(lost == 0):4.0%}, within a point {np.mean(lost <= 0.01):4.0%}, "
                  f"mean loss {100 * lost.mean():4.1f} points, largest {100 * lost.max():4.1f}")  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
