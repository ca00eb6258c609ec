"""Answers as plain data: JSON, `.npy` without pickle, `.keras` in safe mode, functions by name.

A check never holds an answer itself, but a copy that came over this wire: within one kernel
when a learner asks, between two when a submission is graded. So both see the same thing, and
what a check does to its copy (train it, overwrite it) leaves the learner's alone.
"""

import base64
import builtins
import io
import json
import math
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np

# What a model may be made of. Keras finds a class by the module that the file names, and in
# other modules there are functions that read files or fetch from the network.
_MODULES = {
    "keras", "keras.activations", "keras.constraints", "keras.dtype_policies", "keras.initializers",
    "keras.layers", "keras.losses", "keras.metrics", "keras.models", "keras.optimizers",
    "keras.optimizers.schedules", "keras.random", "keras.regularizers",
    "keras.src.models.functional", "keras.src.models.sequential", "keras.src.backend.common.keras_tensor",
    "keras.src.ops.image", "keras.src.ops.math", "keras.src.ops.nn", "keras.src.ops.numpy",
}  # fmt: skip
_REFUSED = {
    "Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer",
    "StringLookup", "IntegerLookup", "TextVectorization",
}  # fmt: skip
_FUNCTIONS = {  # Keras's own, which its files call built in
    "relu", "sigmoid", "softmax", "tanh", "linear", "elu", "gelu", "silu", "leaky_relu", "log_softmax",
    "binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy", "mean_squared_error",
    "mean_absolute_error", "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy",
}  # fmt: skip
_PLAIN = {"__keras_tensor__", "__numpy__", "__tensor__", "__tuple__"}
LARGEST_MODEL = 256 << 20  # bytes, unpacked
LARGEST_ANSWER = 16 << 20  # bytes of JSON


class AnswerError(Exception):
    """The learner's code stopped, or gave something that cannot be handed in.

    `kind`: the name of the exception's class, such as `"ValueError"`; None if there was none.
    """

    def __init__(self, message, kind=None):
        super().__init__(message)
        self.kind = kind


def fetch(name, ask):
    """A copy of the learner's `name`, with `ask(request) -> reply` as the wire, both JSON text.

    A function comes as a function that calls the learner's. Raises `NameError` where there is
    no `name`, `AnswerError` where it is of a kind that does not travel (a generator, an open file).
    """
    reply = _answer(ask, {"get": name})
    return _function(name, ask) if reply == {"function": name} else decode(reply)


def serve(request, namespace):
    """The reply, as JSON text, to a `request` of `fetch`, answered from the dict `namespace`."""
    request = json.loads(request)
    try:
        if "get" in request:
            reply = _get(request["get"], namespace)
        else:
            arguments = [decode(each) for each in request["arguments"]]
            keywords = {key: decode(each) for key, each in request["keywords"].items()}
            reply = encode(namespace[request["call"]](*arguments, **keywords))
    except BaseException as error:  # SystemExit and the like are the learner's, too
        kind = type(error).__name__
        reply = {"error": str(error)[:2000], "kind": None if type(error) is AnswerError else kind}
    return json.dumps(reply)


def serve_coded(request, namespace=None):
    """`serve`, by default from this notebook's names, for a request and a reply in base64, which nothing on
    the way can misread."""
    if namespace is None:
        from IPython.core.interactiveshell import InteractiveShell

        namespace = InteractiveShell.instance().user_ns
    reply = serve(base64.b64decode(request).decode(), namespace)
    if len(reply) > LARGEST_ANSWER:
        reply = json.dumps({"error": f"the answer is larger than {LARGEST_ANSWER >> 20} MB", "kind": None})
    return base64.b64encode(reply.encode()).decode()


def encode(value):
    """`value` as what JSON can hold: numbers, text, bytes, None, lists, tuples, sets, ranges (as lists), dicts,
    arrays, tensors, data frames and Keras models; of subclasses only the plain value travels.

    Raises `AnswerError` for anything else.
    """
    if isinstance(value, np.ndarray | np.generic):
        return _array(value)
    if value is None or isinstance(value, bool):
        return {"value": value}
    for kind in (int, float, complex, str, bytes):
        if isinstance(value, kind):
            return _WRITTEN[kind](kind(value))
    for kind in (list, tuple, set, frozenset, range):
        if isinstance(value, kind):
            return {kind.__name__ if kind is not range else "list": [encode(each) for each in value]}
    if isinstance(value, dict):
        return {"dict": [[encode(key), encode(each)] for key, each in value.items()]}
    keras, pandas = sys.modules.get("keras"), sys.modules.get("pandas")
    if pandas and isinstance(value, pandas.DataFrame | pandas.Series):
        frame = pandas.DataFrame(value)
        columns = [[encode(name), encode(frame[name].tolist())] for name in frame]
        index = encode(value.index.tolist())
        return {"table": columns, "index": index, "series": isinstance(value, pandas.Series)}
    if keras and isinstance(value, keras.Model):
        # Keras does not keep that a model as a whole is frozen, whatever its layers say.
        return {"model": _save(value, keras), "trainable": [part.trainable for part in _parts(value)]}
    if keras and (keras.ops.is_tensor(value) or isinstance(value, keras.Variable)):
        return _array(keras.ops.convert_to_numpy(value))
    raise AnswerError(f"a {type(value).__name__} cannot be handed in")


def decode(data):
    """The value that `encode` made `data` of. Raises `AnswerError` for anything else."""
    if not isinstance(data, dict) or not data:
        raise AnswerError("the answer is damaged")
    try:
        kind, content = next(iter(data.items()))
        if kind == "value" and (content is None or isinstance(content, bool | int | float | str)):
            return content
        if kind in _READ:
            return _READ[kind](content)
        if kind in ("list", "tuple", "set", "frozenset"):
            return getattr(builtins, kind)(decode(each) for each in content)
        if kind == "dict":
            return {decode(key): decode(each) for key, each in content}
        if kind == "npy":
            return np.load(io.BytesIO(base64.b64decode(content)), allow_pickle=False)[()]
        if kind == "table":
            import pandas

            index = decode(data["index"])
            frame = pandas.DataFrame({decode(name): decode(each) for name, each in content}, index=index)
            return frame.iloc[:, 0] if data.get("series") else frame
        if kind == "model":
            model = _load(base64.b64decode(content))
            for part, trainable in zip(_parts(model), data["trainable"], strict=True):
                part.trainable = bool(trainable)  # the outer ones first: it goes down to all within
            return model
    except AnswerError:
        raise
    except Exception as error:  # whatever a forged answer can make NumPy or pandas raise
        raise AnswerError(f"the answer is damaged ({type(error).__name__})") from None
    raise AnswerError("the answer is damaged")


def _answer(ask, request):
    reply = ask(json.dumps(request))
    try:
        reply = json.loads(reply)
    except (ValueError, RecursionError):
        reply = None
    if not isinstance(reply, dict):
        raise AnswerError("the answer is damaged")
    if "error" not in reply:
        return reply
    kind, message = reply.get("kind"), str(reply["error"])
    if kind in ("NameError", "NotImplementedError"):
        raise {"NameError": NameError, "NotImplementedError": NotImplementedError}[kind](message)
    raise AnswerError(f"your code stopped with {kind}: {message}" if kind else message, kind)


def _function(name, ask):
    def call(*arguments, **keywords):
        request = {
            "call": name,
            "arguments": [encode(each) for each in arguments],
            "keywords": {key: encode(each) for key, each in keywords.items()},
        }
        return decode(_answer(ask, request))

    call.__name__ = name
    return call


def _get(name, namespace):
    if name not in namespace:
        raise NameError(f"name {name!r} is not defined")
    value = namespace[name]
    keras = sys.modules.get("keras")
    if callable(value) and not (keras and isinstance(value, keras.Model)):
        return {"function": name}
    return encode(value)


# How to write and read what JSON lacks: numbers that are not finite or longer than Python prints, bytes.
_WRITTEN = {
    int: lambda value: {"value": value} if abs(value) < 1 << 64 else {"int": hex(value)},
    float: lambda value: {"value": value} if math.isfinite(value) else {"float": repr(value)},
    complex: lambda value: {"complex": [repr(value.real), repr(value.imag)]},
    str: lambda value: {"value": value},
    bytes: lambda value: {"bytes": base64.b64encode(value).decode()},
}
_READ = {
    "int": lambda content: int(content, 16),
    "float": float,
    "complex": lambda content: complex(*map(float, content)),
    "bytes": base64.b64decode,
}


def _array(value):
    if value.dtype.hasobject:
        raise AnswerError("an array of Python objects cannot be handed in")
    file = io.BytesIO()
    np.save(file, value, allow_pickle=False)
    return {"npy": base64.b64encode(file.getvalue()).decode()}


def _parts(model):
    """A model and the layers within, each before its own."""
    return [model, *(part for layer in getattr(model, "layers", ()) for part in _parts(layer))]


def _save(model, keras):
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        path = Path(folder) / "model.keras"
        keras.saving.save_model(model, path)
        return base64.b64encode(path.read_bytes()).decode()


def _load(content):
    """The Keras model of a `.keras` file's bytes, if it is made of Keras's own layers alone."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if sum(part.file_size for part in archive.infolist()) > LARGEST_MODEL:
            raise AnswerError(f"the model is larger than {LARGEST_MODEL >> 20} MB")
        config = json.loads(archive.read("config.json"))
    compiled = config.pop("compile_config", None)
    strange = _strange(config)
    if strange:
        raise AnswerError(f"the model contains {strange}, which cannot be handed in: use Keras's own layers")
    import keras

    # Keras warns where other weights are frozen now than when the optimizer was built; no check asks for its memory.
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        path = Path(folder) / "model.keras"
        path.write_bytes(content)
        # A loss of the learner's own stays behind, the network comes.
        return keras.saving.load_model(path, compile=_strange(compiled) is None, safe_mode=True)


def _strange(config):
    """The first class in a Keras configuration that is not one of Keras's harmless ones, or None."""
    if isinstance(config, dict):
        name, module = config.get("class_name"), config.get("module")
        if name == "function":
            name = config.get("config")
            known = module == "builtins" and name in _FUNCTIONS
        else:
            known = name in _PLAIN if module is None else module in _MODULES and name not in _REFUSED
        if name is not None and not (known and isinstance(name, str)):
            return str(name)[:80]
        config = config.values()
    elif not isinstance(config, list):
        return None
    return next((found for found in map(_strange, config) if found), None)
