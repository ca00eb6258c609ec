"""What an answer is after it came over the wire."""

import base64
import io
import json
import zipfile
from functools import partial

import numpy as np
import pandas as pd
import pytest

from tlcourse import wire


def over(value):
    return wire.fetch("answer", partial(wire.serve, namespace={"answer": value}))


@pytest.mark.parametrize(
    "value", [None, True, 3, 2.5, "", "ü", b"\0", 1 - 2j, [1, [2, "x"]], (1, (2,)), {1, 2}, {"a": 1, (2, 3): [None]}, [], {}, -(1 << 70)]
)
def test_plain_values_come_as_they_are(value):
    assert over(value) == value
    assert type(over(value)) is type(value)


def test_numbers_that_json_lacks_come_too():
    assert over(-(7**9000)) == -(7**9000)  # longer than Python would print
    assert np.isnan(over(float("nan"))) and over([float("-inf")]) == [float("-inf")]
    assert over(np.float32(0.5)) == np.float32(0.5) and over(np.float32(0.5)).dtype == np.float32


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int64", "bool", "<U3"])
def test_arrays_keep_shape_and_dtype(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    assert over(array).dtype == array.dtype
    np.testing.assert_array_equal(over(array), array)


def test_tables():
    table = pd.DataFrame({"accuracy": [0.5, 0.75], "strategy": ["a", "b"]})
    pd.testing.assert_frame_equal(over(table), table)
    pd.testing.assert_frame_equal(over(table.set_index("strategy")), table.set_index("strategy"), check_names=False)
    assert over(table["accuracy"]).tolist() == [0.5, 0.75]


def test_of_a_subclass_only_the_plain_value_comes():
    class Equal(int):
        def __eq__(self, other):
            return True

        __hash__ = int.__hash__

    assert type(over(Equal(3))) is int and over(Equal(3)) != 4
    assert type(over(np.arange(3).view(type("Liar", (np.ndarray,), {})))) is np.ndarray


@pytest.mark.parametrize("value", [object(), iter([]), np.array([object()]), io.StringIO(), np])
def test_what_does_not_travel_is_said(value):
    with pytest.raises(wire.AnswerError, match="cannot be handed in"):
        over(value)


def test_functions_are_called_where_they_are():
    double = over(lambda x, times=2: x * times)
    np.testing.assert_array_equal(double(np.arange(3)), [0, 2, 4])
    assert double("ab", times=3) == "ababab"


def test_a_function_gets_a_copy():
    mine = np.zeros(3)
    over(lambda x: x.fill(7))(mine)
    assert mine.tolist() == [0, 0, 0]


def test_what_a_function_raises_is_told_by_its_name():
    with pytest.raises(wire.AnswerError, match="your code stopped with ZeroDivisionError: division by zero") as info:
        over(lambda: 1 / 0)()
    assert info.value.kind == "ZeroDivisionError"
    with pytest.raises(NotImplementedError):
        over(_stub)()
    with pytest.raises(wire.AnswerError, match="SystemExit"):
        over(lambda: exit(0))()


def _stub():
    raise NotImplementedError


def test_a_missing_name_is_a_name_error():
    with pytest.raises(NameError, match="'answer' is not defined"):
        wire.fetch("answer", partial(wire.serve, namespace={}))


@pytest.mark.parametrize(
    "reply",
    [
        None, 3, [], {}, {"strange": 1}, {"value": [1]}, {"value": {}}, {"float": "x"}, {"int": 3}, {"complex": [1, 2, 3]}, {"bytes": 3}, {"set": [{"list": []}]}, {"list": 3}, {"list": [3]}, {"dict": [[1]]},
        {"dict": [[{"list": []}, {"value": 1}]]}, {"npy": "!!"}, {"npy": base64.b64encode(b"junk").decode()}, {"table": 5},
        {"model": base64.b64encode(b"junk").decode()}, {"model": base64.b64encode(b"junk").decode(), "trainable": 3}, {"function": "another"}, {"function": ["answer"]},
    ],
)  # fmt: skip
def test_a_forged_reply_is_damaged_not_a_crash(reply):
    with pytest.raises(wire.AnswerError, match="damaged"):
        wire.fetch("answer", lambda request: json.dumps(reply))


@pytest.mark.parametrize("reply", ["", "{", "[" * 100_000, "\\ud800"])
def test_a_reply_that_is_not_json_is_damaged_too(reply):
    with pytest.raises(wire.AnswerError, match="damaged"):
        wire.fetch("answer", lambda request: reply)


def test_pickles_are_not_loaded():
    file = io.BytesIO()
    np.save(file, np.array([print]), allow_pickle=True)
    with pytest.raises(wire.AnswerError, match="damaged"):
        wire.decode({"npy": base64.b64encode(file.getvalue()).decode()})


def test_an_answer_that_is_too_large_is_said():
    request = base64.b64encode(b'{"get": "answer"}')
    reply = base64.b64decode(wire.serve_coded(request, {"answer": "x" * (wire.LARGEST_ANSWER + 1)}))
    assert json.loads(reply)["error"] == "the answer is larger than 16 MB"


@pytest.fixture(scope="module")
def model():
    from tlcourse import quiet  # noqa: F401
    import keras

    inputs = keras.Input((8, 8, 3), name="pictures")
    base = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="conv")], name="base")
    base.trainable = False
    hidden = keras.layers.GlobalAveragePooling2D(name="pool")(base(keras.layers.Rescaling(1 / 255, name="scale")(inputs)))
    made = keras.Model(inputs, keras.layers.Dense(2, name="head")(keras.ops.add(hidden, 1.0)), name="made")
    made.compile(keras.optimizers.SGD(0.25), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return made


def test_models_keep_weights_what_is_frozen_and_how_they_are_compiled(model):
    came = over(model)
    assert came is not model
    x = np.full((1, 8, 8, 3), 9.0)
    np.testing.assert_allclose(came(x), model(x), rtol=1e-5)
    assert [weight.path for weight in came.trainable_weights] == ["head/kernel", "head/bias"]
    assert float(came.optimizer.learning_rate) == 0.25


def test_a_model_that_is_frozen_as_a_whole_stays_so(model):
    import keras

    base = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="low"), keras.layers.Dense(2, name="top")])
    base.trainable = False
    base.layers[1].trainable = True  # a mistake: the door around it is shut
    assert base.trainable_weights == [] == over(base).trainable_weights
    outer = keras.Sequential([keras.Input((2,)), base, keras.layers.Dense(1, name="head")])
    came = over(outer)
    assert len(came.trainable_weights) == len(outer.trainable_weights)
    assert not came.layers[0].trainable and came.layers[0].layers[1].trainable


def test_tensors_and_variables_come_as_arrays(model):
    assert over(model.weights[0]).shape == (3, 3, 3, 4)
    assert isinstance(over(model(np.zeros((1, 8, 8, 3)))), np.ndarray)


def test_a_model_with_a_lambda_layer_or_a_class_of_its_own_is_refused(model):
    import keras

    class Own(keras.layers.Layer):
        def call(self, x):
            return x

    for layer in (keras.layers.Lambda(lambda x: x), Own()):
        with pytest.raises(wire.AnswerError, match=f"contains {type(layer).__name__}, which cannot be handed in"):
            over(keras.Sequential([keras.Input((2,)), layer]))


@pytest.mark.parametrize(
    "evil",
    [
        {"module": "keras.utils", "class_name": "get_file", "config": {"fname": "x", "origin": "http://x"}},
        {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "function"},
        {"module": "os", "class_name": "system", "config": "true"},
        {"class_name": "__lambda__", "config": {"value": ["", None, None]}},
        {"module": "keras.layers", "class_name": ["Dense"], "config": {}},
        {"module": ["keras"], "class_name": "Sequential", "config": {}},
    ],
)
def test_a_forged_model_file_is_refused_before_keras_sees_it(model, evil):
    file = io.BytesIO(base64.b64decode(wire.encode(model)["model"]))
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    config["config"]["layers"][0]["config"]["evil"] = [evil]
    parts["config.json"] = json.dumps(config).encode()
    forged = io.BytesIO()
    with zipfile.ZipFile(forged, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    with pytest.raises(wire.AnswerError, match="cannot be handed in|damaged"):
        wire.decode({"model": base64.b64encode(forged.getvalue()).decode(), "trainable": []})


def test_a_model_that_unpacks_to_too_much_is_refused(monkeypatch, model):
    monkeypatch.setattr(wire, "LARGEST_MODEL", 1000)
    with pytest.raises(wire.AnswerError, match="larger than"):
        over(model)
