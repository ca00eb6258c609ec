"""How fast pictures go through a frozen network: the naive way, the bare network, this course's engine, PyTorch.

    uv run python tools/bench_features.py [--rounds 3]
    uv run --with torch==2.13.0 python tools/bench_features.py

Full-width networks with random weights, drawn pictures of 32x32 that are seen at 200x200 (ResNet50) and 64x64 (VGG16).
Every figure is the median of `rounds` processes of its own, the ways taking turns; what is built and compiled once is
not counted. Peak memory is the whole process's, libraries included; PyTorch's has TensorFlow in it too.
"""

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

NETWORKS = {"ResNet50": (200, 250), "VGG16": (64, 1500)}  # size, pictures
WAYS = {
    "naive": "(a) resize all, preprocess all, predict",
    "bare": "(b) bare compiled network, ready batches",
    "float32": "(c) features.extract, float32",
    "bare16": "    bare compiled network in bfloat16",
    "bfloat16": "(d) features.extract, bfloat16",
    "cached": "(e) features.extract, the second time",
    "torch": "(f) PyTorch, float32",
    "torch16": "    PyTorch, bfloat16",
}


def main(argv=None):
    """Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("NETWORK", "WAY"), help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.one:
        print(json.dumps(measure(*args.one)))
        return 0
    has_torch = importlib.util.find_spec("torch") is not None
    ways = [way for way in WAYS if has_torch or not way.startswith("torch")]
    for name, (size, n) in NETWORKS.items():
        found = {way: [] for way in ways}
        for _ in range(args.rounds):
            for way in ways:
                command = [sys.executable, __file__, "--one", name, way]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
                found[way].append(json.loads(done.stdout))
        _show(f"{name} at {size}×{size}, {n:,} pictures, {args.rounds} rounds", found)
    if not has_torch:
        print("(f) left out: torch is not installed here.")
    return 0


def _show(title, found):
    seconds = {way: statistics.median(each["seconds"] for each in runs) for way, runs in found.items()}
    print(f"\n{title}\n{'':<44}{'pictures/s':>12}{'spread':>16}{'peak GB':>9}{'time / (b)':>12}")
    for way, runs in found.items():
        rates = sorted(runs[0]["n"] / each["seconds"] for each in runs)
        peak = statistics.median(each["peak"] for each in runs) / 1e9
        spread = f"{rates[0]:,.0f}-{rates[-1]:,.0f}"
        rate, ratio = runs[0]["n"] / seconds[way], seconds[way] / seconds["bare"]
        print(f"{WAYS[way]:<44}{rate:>12,.1f}{spread:>16}{peak:>9.2f}{ratio:>12.3f}", flush=True)


def measure(name, way):
    """Run one way once, after building and compiling, and return {n, seconds, peak (bytes)}."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TLCOURSE_CACHE"] = folder
        size, n = NETWORKS[name]
        from tlcourse import drawings

        work = _torch(name, size, way) if way.startswith("torch") else _keras(name, size, way)
        x = drawings.objects(n, seed=1)[0]
        warm, batch = drawings.objects(40, seed=2)[0], _rows(name, x.shape)
        work(warm.repeat(-(-(batch + 1) // 40), 0)[: batch + 1])  # as large as a batch, and one more, so that it compiles
        if way == "cached":
            work(x)
        start = time.perf_counter()
        work(x)
        return {"n": n, "seconds": time.perf_counter() - start, "peak": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}


def _rows(name, shape):
    from tlcourse import features

    return features._batch_size(NETWORKS[name][0], shape)


def _keras(name, size, way):
    from tlcourse import backbones, features
    from tlcourse.quiet import keras, tf

    keras.utils.set_random_seed(0)
    backbone = backbones.load(name, None, size=size)
    if way in ("float32", "bfloat16", "cached"):
        precision = "bfloat16" if way == "bfloat16" else "float32"
        return lambda x: features.extract(backbone, x, precision=precision, show=False)
    if way.startswith("bare"):
        model = features._cut(backbone, list(backbone.blocks)[-1], True, "bfloat16" if way == "bare16" else "float32")
        run = tf.function(lambda x: model(x, training=False), input_signature=[tf.TensorSpec((None, 32, 32, 3), "uint8")])

        def bare(x):
            rows = _rows(name, x.shape)
            return [run(x[i : i + rows]).numpy() for i in range(0, len(x), rows)]

        return bare
    module = getattr(keras.applications, {"ResNet50": "resnet50", "VGG16": "vgg16"}[name])
    model = getattr(module, name)(include_top=False, weights=None, input_shape=(size, size, 3), pooling="avg")

    def naive(x):
        resized = keras.ops.convert_to_numpy(keras.ops.image.resize(x.astype("float32"), (size, size)))
        return model.predict(module.preprocess_input(resized), batch_size=_rows(name, x.shape), verbose=0)

    return naive


def _torch(name, size, way):
    import torch
    from pretrain import Network, _convolution, plain
    from torch import nn

    from tlcourse import backbones
    from tlcourse.quiet import keras

    network = Network(backbones.build(name, size), name)
    for layer in network.model.layers:  # VGG as it is, without the batch normalisation that pretraining adds
        if isinstance(layer, keras.layers.Conv2D) and layer.name + "_bn" in network.parts:
            network.parts[layer.name] = _convolution(layer, bias=True)
            network.parts[layer.name + "_bn"] = nn.Identity()
    network.eval().to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def run(x):
        rows, found = _rows(name, x.shape), []
        for start in range(0, len(x), rows):
            pictures = plain(x[start : start + rows], size).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=way == "torch16"):
                found.append(network.features(pictures).float().mean((2, 3)).numpy())
        return found

    return run


if __name__ == "__main__":
    sys.exit(main())
