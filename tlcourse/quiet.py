"""Keras and the TensorFlow below it, imported without TensorFlow's start-up noise.

Every room that needs Keras says ``from tlcourse.quiet import keras``.
"""

import logging
import os
import sys
import tempfile


def _import_keras():
    # The lines come from C++ before any logging level is read, so only moving
    # the file descriptor silences them. An import that fails is replayed.
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as noise:
        os.dup2(noise.fileno(), 2)
        try:
            import keras
            import tensorflow

            keras.ops.zeros(1)  # the devices report at their first use
        except BaseException:
            noise.seek(0)
            os.write(kept, noise.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
    return keras, tensorflow


keras, tf = _import_keras()
# Training many small models is what this course does; TensorFlow warns of each that it traces.
logging.getLogger("tensorflow").setLevel(logging.ERROR)
