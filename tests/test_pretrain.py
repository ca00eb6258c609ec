"""The tool that pretrains the minis: resumable, and in Keras what it was in PyTorch. Skipped where there is no PyTorch."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tlcourse import backbones, datasets  # noqa: E402


@pytest.fixture(scope="module")
def pretrain():
    spec = importlib.util.spec_from_file_location("pretrain", Path(__file__).parents[1] / "tools" / "pretrain.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.BATCH = 32
    return module


@pytest.fixture(scope="module")
def data():
    rng = np.random.RandomState(0)
    x, y = rng.randint(0, 256, (300, 32, 32, 3)).astype("uint8"), np.arange(300) % 100
    return datasets.Dataset("cifar100", x[:256], y[:256], x[256:], y[256:], datasets.CIFAR100, "Noise.")


@pytest.fixture(scope="module")
def trained(pretrain, data, tmp_path_factory):
    return pretrain.train("VGG16", 2, tmp_path_factory.mktemp("work"), data)


def test_a_training_that_was_interrupted_gives_what_an_undisturbed_one_gives(pretrain, data, trained, tmp_path, monkeypatch, capsys):
    network, log = trained
    accuracy = pretrain.accuracy

    def interrupted(network, x, y, size):
        if size != 32:  # in the second epoch, which is the first at the mini's own size
            raise KeyboardInterrupt
        return accuracy(network, x, y, size)

    monkeypatch.setattr(pretrain, "accuracy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pretrain.train("VGG16", 2, tmp_path, data)
    monkeypatch.setattr(pretrain, "accuracy", accuracy)
    again, log_again = pretrain.train("VGG16", 2, tmp_path, data)
    assert "VGG16: goes on after epoch 1" in capsys.readouterr().out
    assert [row[:2] for row in log_again] == [[1, 32], [2, 64]]
    assert np.allclose([row[2:4] for row in log], [row[2:4] for row in log_again], atol=2e-3)
    for (name, a), b in zip(network.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-4), name


def test_a_finished_training_is_not_repeated(pretrain, data, tmp_path, monkeypatch, trained):
    pretrain.train("VGG16", 1, tmp_path, data)
    monkeypatch.setattr(pretrain, "augmented", None)
    assert len(pretrain.train("VGG16", 1, tmp_path, data)[1]) == 1


@pytest.mark.parametrize("name", ["VGG16", "ResNet50", "InceptionV3"])
def test_keras_computes_from_the_written_weights_what_pytorch_computed(pretrain, data, trained, home, tmp_path, name, capsys):
    """On untrained networks too, once their batch normalisations have seen some pictures; without data sets there are no probes."""
    (network, log), size = trained, backbones.mini_size(name)
    if name != "VGG16":
        network = pretrain.Network(backbones.build(name, size, backbones.SHRUNK), name).train()
        for _ in range(3):
            network(pretrain.plain(data.x_train[:16], size))
    card = pretrain.finish(name, network, log, data, tmp_path)
    network.eval()
    with torch.no_grad():
        theirs = network.features(pretrain.plain(data.x_test[:8], size)).permute(0, 2, 3, 1).numpy()
    backbone = backbones.load(name, tmp_path / f"{name}_mini.h5")
    ours = backbone.model(data.x_test[:8]).numpy()
    apart = np.abs(ours - theirs) / np.abs(theirs).max()
    assert apart.max() < 5e-3, apart.max()  # kernels are float16 on disk; before, tools/pretrain.py wants 1e-3
    assert backbone.size == size and backbone.trained_on == "cifar100" and backbone.source == card["source"]
    kept = json.loads((tmp_path / f"{name}_mini.json").read_text())
    assert kept["sha256"] == card["sha256"] and kept["epochs"] == len(log) and kept["parameters"] == backbone.model.count_params()
    assert "probe_cifar10_1000" not in kept and "No probe on cifar10: cifar10 is missing" in capsys.readouterr().err


def test_mistakes_are_sentences(pretrain, home, capsys, tmp_path):
    assert pretrain.main(["VGG16", "--work", str(tmp_path)]) == 2
    assert "cifar100 is missing: TLCOURSE_HOME has no cifar100.npz" in capsys.readouterr().err
    x, y = np.zeros((4, 32, 32, 3), "uint8"), np.arange(4)
    np.savez(home / "cifar100.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    for name in ("VGG", "MobileNetV2"):
        assert pretrain.main([name, "--work", str(tmp_path)]) == 2
        assert capsys.readouterr().err == f"{name} has no mini: choose from VGG16, VGG19, ResNet50, InceptionV3.\n"
