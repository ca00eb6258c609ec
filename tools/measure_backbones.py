"""Measure the backbones: what the frozen prefix saves, and what linear probes on real photographs give.

    uv run python tools/measure_backbones.py prefix [VGG16 ResNet50 ...]
    TLCOURSE_HOME=DIR uv run python tools/measure_backbones.py probe NAME [WEIGHTS] [--size 64] [--until BLOCK]

`prefix` trains the last block of a full-width network at 64x64 on 1,000 drawn pictures, for some steps, the
ordinary way and on activations that were computed once. `probe` needs the real CIFAR-10 in TLCOURSE_HOME.
"""

import argparse
import sys
import time

import numpy as np

from tlcourse import CourseError, backbones, datasets, experiments, features, strategies, surgery
from tlcourse.quiet import keras

STEPS = 6


def main(argv=None):
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    part = commands.add_parser("prefix")
    part.add_argument("names", nargs="*", default=["VGG16", "ResNet50"], metavar="NAME")
    part = commands.add_parser("probe")
    part.add_argument("name")
    part.add_argument("weights", nargs="?", default="mini", help="mini, imagenet or a file (default: mini)")
    part.add_argument("--size", type=int, help="pictures are seen at size x size")
    part.add_argument("--until", help="the block with which the network ends")
    part.add_argument("--n", type=int, default=1000, help="training pictures (default: 1000)")
    args = parser.parse_args(argv)
    try:
        if args.command == "prefix":
            for name in args.names:
                prefix(name)
        else:
            probe(args)
    except CourseError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def prefix(name):
    """Print seconds an epoch of 1,000 pictures, both ways, and how far the losses are apart."""
    keras.utils.set_random_seed(0)
    backbone = backbones.load(name, None, size=64)
    split = datasets.sample(datasets.load("drawn10"), 1000)
    last = list(backbone.blocks)[-1]
    below, _ = surgery.split(backbone, last)
    lower = surgery.cut(backbone, below)
    lower.trainable = False
    start = time.perf_counter()
    activations = features.extract(backbone, split.x_train, below, pool=False, precision="float32")
    once = time.perf_counter() - start
    usual, slow = _train([keras.Input((None, None, 3)), lower, *_top(backbone, last)], split.x_train, split.y_train)
    cut, fast = _train([keras.Input(activations.shape[1:]), *_top(backbone, last)], activations, split.y_train)
    steps = -(-len(split.y_train) // 32)
    print(
        f"{name} at 64×64, {last} open, 1,000 pictures: {slow * steps:.1f} s an epoch the ordinary way, "
        f"{fast * steps:.1f} s on the prefix ({slow / fast:.1f} times faster; the prefix took {once:.1f} s, once); "
        f"losses {usual[0]:.4f} to {usual[-1]:.4f}, at most {np.abs(usual - cut).max():.1e} apart",
        flush=True,
    )


def _top(backbone, block):
    """The layers from `block` on and a head, with the same weights at every call."""
    head = keras.layers.Dense(10, activation="softmax", kernel_initializer=keras.initializers.GlorotUniform(seed=0))
    return [surgery.split(backbone, block)[1], keras.layers.GlobalAveragePooling2D(), head]


def _train(parts, x, y):
    """The losses of STEPS batches of 32, and the seconds a step after the first one, which traces."""
    model = keras.Sequential(parts)
    model.compile(keras.optimizers.SGD(1e-3, momentum=0.9), "sparse_categorical_crossentropy")
    losses, start = [], 0.0
    for step in range(STEPS):
        if step == 1:
            start = time.perf_counter()
        where = slice(32 * step, 32 * step + 32)
        losses.append(float(model.train_on_batch(x[where], y[where])))
    return np.array(losses), (time.perf_counter() - start) / (STEPS - 1)


def probe(args):
    """Print the test accuracy of logistic regression on each block's features, and on those of random weights."""
    data = datasets.load("cifar10", "full")
    backbone = backbones.load(args.name, args.weights, size=args.size, until=args.until, target=data)
    last = list(backbone.blocks)[-1]
    for label, network in ((args.weights, backbone), ("random weights", backbones.untrained(backbone))):
        found = experiments.compare({label: strategies.linear_probe(network)}, data, [args.n], range(3), label=label)
        print(
            f"{args.name} up to {last} at {backbone.size}×{backbone.size}, {label}: "
            f"{found['accuracy'].mean():.1%} of {len(data.x_test):,} test photographs, {args.n:,} to train on, 3 seeds",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
