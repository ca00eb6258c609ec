"""Pretrain a mini backbone on CIFAR-100, and write its weights with a card.

    uv run --with torch==2.13.0 python tools/pretrain.py VGG16 [--epochs 30] [--work DIR]

The network is the one of `backbones.build`; PyTorch trains it, for on a CPU it takes half the time that
TensorFlow takes with batch normalisation (measured: 68 against 127 seconds an epoch for VGG16
at 64x64 on two cores), and where there is a GPU it uses it. An interrupted training goes on after its last epoch, and gives what an
undisturbed one gives. CIFAR-100 is read from TLCOURSE_HOME/cifar100.npz or by keras.datasets.

The recipe: stochastic gradient descent with Nesterov momentum, one cycle of the learning rate
(Smith and Topin, 2017), batch normalisation (Ioffe and Szegedy, 2015) folded into VGG's convolutions
at the end, random crops, scales, flips and colours, and most epochs at 32x32 before the last ones
at the mini's own size (progressive resizing; Howard et al., 2018).
"""

import argparse
import hashlib
import json
import math
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.nn import functional

from tlcourse import CourseError, backbones, datasets, settings, storage
from tlcourse.quiet import keras

SEED = 0
BATCH = 128
PEAK_RATE = 0.2
WEIGHT_DECAY = 5e-4
SMALL = 32  # pixels; CIFAR-100 as it is
SMALL_SHARE = 0.6  # of the epochs
WARMUP = 0.2  # of the steps
CAFFE_MEAN = (103.939, 116.779, 123.68)


class Network(nn.Module):
    """A Keras model's layers, read one by one and run by PyTorch, under a classifier of 100 classes.

    A convolution with its own activation (VGG) gets a batch normalisation in between.
    """

    def __init__(self, model, family):
        super().__init__()
        self.model, self.caffe = model, family != "InceptionV3"
        self.parts = nn.ModuleDict()
        for layer in model.layers:
            if isinstance(layer, keras.layers.Conv2D):
                normalised = layer.activation is keras.activations.relu
                self.parts[layer.name] = _convolution(layer, bias=layer.use_bias and not normalised)
                if normalised:
                    self.parts[layer.name + "_bn"] = nn.BatchNorm2d(layer.filters)
            elif isinstance(layer, keras.layers.BatchNormalization):
                self.parts[layer.name] = nn.BatchNorm2d(layer.output.shape[-1], eps=layer.epsilon)
                self.parts[layer.name].weight.requires_grad_(layer.scale)
        self.classifier = nn.Linear(model.output.shape[-1], 100)

    def forward(self, pictures):
        """Pictures (n, 3, h, w), RGB, 0-255 -> logits (n, 100)."""
        return self.classifier(self.features(pictures).mean((2, 3)))

    def features(self, pictures):
        """Pictures (n, 3, h, w), RGB, 0-255 -> the Keras model's output (n, c, h', w')."""
        if self.caffe:
            x = pictures.flip(1) - torch.tensor(CAFFE_MEAN, device=pictures.device).view(1, 3, 1, 1)
        else:
            x = pictures / 127.5 - 1
        values = {}
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.InputLayer):
                continue
            inputs = layer.input if isinstance(layer.input, list) else [layer.input]
            values[id(layer.output)] = self._run(layer, [values.get(id(tensor), x) for tensor in inputs])
        return values[id(self.model.outputs[0])]

    def _run(self, layer, inputs):
        name, x = layer.name, inputs[0]
        match type(layer).__name__:
            case "Conv2D":
                x = self.parts[name](x)
                if layer.activation is keras.activations.relu:
                    x = functional.relu_(self.parts[name + "_bn"](x))
                return x
            case "BatchNormalization":
                return self.parts[name](x)
            case "Activation":
                return functional.relu_(x)
            case "MaxPooling2D":
                return functional.max_pool2d(x, layer.pool_size, layer.strides)
            case "AveragePooling2D":  # InceptionV3's: 3x3, stride 1, "same"
                return functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
            case "ZeroPadding2D":
                (top, bottom), (left, right) = layer.padding
                return functional.pad(x, (left, right, top, bottom))
            case "Add":
                return inputs[0] + inputs[1]
            case "Concatenate":
                return torch.cat(inputs, 1)
        raise CourseError(f"The tool cannot run a layer of type {type(layer).__name__}: add it to Network._run.")


def _convolution(layer, bias):
    padding = tuple(size // 2 for size in layer.kernel_size) if layer.padding == "same" else 0
    made = nn.Conv2d(layer.input.shape[-1], layer.filters, layer.kernel_size, layer.strides, padding, bias=bias)
    nn.init.kaiming_normal_(made.weight, mode="fan_out", nonlinearity="relu")
    return made


def augmented(pictures, size, generator):
    """Pictures uint8 (n, 32, 32, 3) as float (n, 3, size, size): moved, scaled, flipped and recoloured."""
    n, device = len(pictures), pictures.device
    x = pictures.permute(0, 3, 1, 2).float()

    def draw(low, high):
        return (torch.rand(n, generator=generator) * (high - low) + low).to(device)

    scale, flip = draw(0.75, 1.15), torch.where(draw(0, 1) < 0.5, -1.0, 1.0)
    zero = torch.zeros(n, device=device)
    move = [draw(-0.25, 0.25), draw(-0.25, 0.25)]
    theta = torch.stack([scale * flip, zero, move[0], zero, scale, move[1]], 1).view(n, 2, 3)
    grid = functional.affine_grid(theta, (n, 3, size, size), align_corners=False)
    x = functional.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    grey = x.mean((1, 2, 3), keepdim=True)
    x = (x - grey) * draw(0.7, 1.3).view(n, 1, 1, 1) + grey * draw(0.7, 1.3).view(n, 1, 1, 1)
    lightness = x.mean(1, keepdim=True)
    x = lightness + (x - lightness) * draw(0.6, 1.4).view(n, 1, 1, 1)
    return x.clamp(0, 255).contiguous(memory_format=torch.channels_last)


def plain(pictures, size):
    """Pictures uint8 (n, 32, 32, 3) as float (n, 3, size, size), as the backbone's Resizing makes them."""
    x = torch.as_tensor(pictures).permute(0, 3, 1, 2).float()
    return functional.interpolate(x, (size, size), mode="bilinear", align_corners=False)


def rate(step, steps):
    """The learning rate of a step: up in a line, then down by a cosine to nothing."""
    share = step / steps
    if share < WARMUP:
        return PEAK_RATE * (0.05 + 0.95 * share / WARMUP)
    return PEAK_RATE * 0.5 * (1 + math.cos(math.pi * (share - WARMUP) / (1 - WARMUP)))


def train(name, epochs, work, data):
    """Train to the last epoch, going on from what `work` has, and return the Network and its log (a list a row an epoch)."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(SEED)
    size = backbones.mini_size(name)
    network = Network(backbones.build(name, size, backbones.SHRUNK), name).to(device, memory_format=torch.channels_last)
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True)
    x, y = torch.as_tensor(data.x_train), torch.as_tensor(data.y_train)
    saved, log = work / f"{name}_{epochs}.pt", []
    if saved.exists():
        state = torch.load(saved, map_location=device, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        log = state["log"]
        print(f"{name}: goes on after epoch {len(log)}", flush=True)
    per_epoch = len(x) // BATCH
    small = round(SMALL_SHARE * epochs) if size < 75 else 0  # InceptionV3 takes no smaller pictures
    for epoch in range(len(log), epochs):
        generator = torch.Generator().manual_seed(1000 * SEED + epoch)
        order = torch.randperm(len(x), generator=generator)
        side = SMALL if epoch < small else size
        start, total = time.monotonic(), 0.0
        network.train()
        for step in range(per_epoch):
            where = order[step * BATCH : (step + 1) * BATCH]
            for group in optimizer.param_groups:
                group["lr"] = rate(epoch * per_epoch + step, epochs * per_epoch)
            pictures = augmented(x[where].to(device), side, generator)
            with torch.autocast(device.type, torch.bfloat16):
                logits = network(pictures)
            loss = functional.cross_entropy(logits.float(), y[where].to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
        seconds = time.monotonic() - start
        reached = accuracy(network, data.x_test, data.y_test, side)
        log.append([epoch + 1, side, round(total / per_epoch, 4), round(reached, 4), round(seconds, 1)])
        state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "log": log}
        with storage.atomic(saved) as temporary:
            torch.save(state, temporary)
        left = seconds * (epochs - epoch - 1)
        print(
            f"{name}: epoch {epoch + 1} of {epochs} at {side}×{side}, loss {total / per_epoch:.3f}, "
            f"test accuracy {reached:.1%}, {seconds:.0f} s; about {left / 60:.0f} min left at this speed",
            flush=True,
        )
    return network, log


@torch.no_grad()
def accuracy(network, x, y, size):
    """The fraction of the pictures x that are named rightly, seen at size x size."""
    network.eval()
    device = next(network.parameters()).device
    right = 0
    for i in range(0, len(x), 500):
        with torch.autocast(device.type, torch.bfloat16):
            logits = network(plain(x[i : i + 500], size).to(device))
        right += int((logits.argmax(1).cpu().numpy() == y[i : i + 500]).sum())
    return right / len(x)


def into_keras(network):
    """Put the trained weights into the Keras model, VGG's batch normalisations folded into its convolutions."""
    parts = {name: part.float().cpu() for name, part in network.parts.items()}
    for layer in network.model.layers:
        if layer.name not in parts:
            continue
        part = parts[layer.name]
        if isinstance(layer, keras.layers.BatchNormalization):
            weights = [part.weight, part.bias, part.running_mean, part.running_var]
            layer.set_weights([w.detach().numpy() for w in (weights if layer.scale else weights[1:])])
            continue
        kernel, bias = part.weight, part.bias
        if bn := parts.get(layer.name + "_bn"):
            factor = bn.weight / torch.sqrt(bn.running_var + bn.eps)
            kernel, bias = kernel * factor.view(-1, 1, 1, 1), bn.bias - bn.running_mean * factor
        kernel = kernel.detach().permute(2, 3, 1, 0).numpy()
        layer.set_weights([kernel] if bias is None else [kernel, bias.detach().numpy()])
    return network.model


def write(model, path):
    """Write a model's weights as float16, in the layout of keras.applications' own files: by layer names."""
    with storage.atomic(path) as temporary, h5py.File(temporary, "w") as file:
        layers = [layer for layer in model.layers if layer.weights]
        file.attrs["layer_names"] = [layer.name.encode() for layer in layers]
        for layer in layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, weight in zip(names, layer.get_weights(), strict=True):
                group.create_dataset(name, data=_small(weight), compression="gzip")


def _small(weight):
    """Kernels as float16; the few other numbers as they are, for a variance may be beyond float16."""
    return weight.astype("float16" if weight.ndim > 1 else "float32")


def probe(backbone, data, n=1000, seeds=3):
    """{block: mean test accuracy of logistic regression on its pooled features}, from n pictures of a Dataset."""
    tops = [backbone.model.get_layer(layer).output for layer in backbone.blocks.values()]
    pooled = keras.Model(backbone.model.inputs[0], [keras.layers.GlobalAveragePooling2D()(top) for top in tops])

    def features(x):
        x = np.repeat(x, 3, axis=-1) if x.shape[-1] == 1 else x
        return pooled.predict(x, batch_size=250, verbose=0)

    found = dict.fromkeys(backbone.blocks, 0.0)
    test = features(data.x_test)
    for seed in range(seeds):
        split = datasets.sample(data, n, seed)
        for block, a, b in zip(backbone.blocks, features(split.x_train), test, strict=True):
            classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
            found[block] += classifier.fit(a, split.y_train).score(b, data.y_test) / seeds
    return {block: round(float(value), 4) for block, value in found.items()}


def finish(name, network, log, data, folder):
    """Write the weights and their card to `folder`, and return the card."""
    model, size = into_keras(network), backbones.mini_size(name)
    some = data.x_test[:200]
    network.eval()
    with torch.no_grad():
        device = next(network.parameters()).device
        ours = network.features(plain(some, size).to(device)).permute(0, 2, 3, 1).cpu().numpy()
    theirs = model.predict(some, verbose=0)
    apart = float(np.abs(ours - theirs).max() / np.abs(ours).max())
    if apart > 1e-3:
        raise CourseError(f"Keras and PyTorch differ by {apart:.1e} of the largest feature: look at Network._run.")
    path = folder / f"{name}_mini.h5"
    write(model, path)
    reached = accuracy(network, data.x_test, data.y_test, size)
    facts = {
        "source": f"CIFAR-100 (Krizhevsky, 2009), pretrained by tlcourse: {len(log)} epochs, {reached:.1%} on its test pictures.",
        "trained_on": "cifar100",
        "recipe": "tools/pretrain.py",
        "epochs": len(log),
        "size": size,
        "parameters": model.count_params(),
        "test_pictures": len(data.x_test),
        "test_accuracy": round(reached, 4),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    _write_card(path, facts)
    backbone = backbones.load(name, path, size=size)
    for target in ("cifar10", "mnist"):
        try:
            facts[f"probe_{target}_1000"] = probe(backbone, datasets.load(target, "full"))
        except CourseError as error:
            print(f"No probe on {target}: {error}", file=sys.stderr)
    facts["log"] = {"columns": ["epoch", "pixels", "loss", "test_accuracy", "seconds"], "rows": log}
    _write_card(path, facts)
    return facts


def _write_card(path, facts):
    with storage.atomic(path.with_suffix(".json")) as temporary:
        text = json.dumps({key: value for key, value in facts.items() if key != "log"}, indent=1, ensure_ascii=False)
        if "log" in facts:  # one row a line
            rows = ",\n  ".join(json.dumps(row) for row in facts["log"]["rows"])
            columns = json.dumps(facts["log"]["columns"])
            text = text[:-2] + f',\n "log": [\n  {columns},\n  {rows}\n ]\n}}'
        temporary.write_text(text + "\n")


def main(argv=None):
    """Pretrain the minis named in `argv`. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", nargs="+", metavar="NAME", help=f"one or more of {', '.join(backbones.MINIS)}")
    parser.add_argument("--epochs", type=int, default=30, help="passes over CIFAR-100 (default: 30)")
    parser.add_argument("--work", type=Path, help="folder of unfinished trainings (default: in the cache)")
    parser.add_argument("--out", type=Path, default=backbones.SHIPPED, help="folder of the finished weights")
    args = parser.parse_args(argv)
    try:
        for name in args.name:
            if name not in backbones.MINIS:
                raise CourseError(f"{name} has no mini: choose from {', '.join(backbones.MINIS)}.")
        if args.epochs < 1:
            raise CourseError(f"--epochs is {args.epochs}: choose at least 1.")
        data = datasets.load("cifar100", "full")
        for name in args.name:
            work = args.work or settings.cache() / "pretraining"
            card = finish(name, *train(name, args.epochs, work, data), data, args.out)
            print(json.dumps({key: value for key, value in card.items() if key != "log"}, indent=1))
    except CourseError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on after the last whole epoch.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
