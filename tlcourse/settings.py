"""What the course runs on: profile, folders, seed, versions, device."""

import functools
import os
import platform
from importlib import metadata
from pathlib import Path

import platformdirs

from tlcourse import CourseError

PROFILES = ("sample", "full")
SEED = 0

WHAT_IS_REAL = {
    "sample": "MNIST is 5,000 real digits. The pictures named after CIFAR-10's classes and the "
    "faces are drawn by the course: they are not photographs, and results on them are "
    "not CIFAR-10 results.",
    "full": "MNIST, CIFAR-10 and the faces are the real sets.",
}


def profile():
    """The profile in force: "sample" (the default) or "full", from TLCOURSE_PROFILE.

    Raises CourseError for any other value.
    """
    name = os.environ.get("TLCOURSE_PROFILE") or "sample"
    if name not in PROFILES:
        raise CourseError(f"Unknown profile {name!r}: choose one of {', '.join(PROFILES)}.")
    return name


def pick(sample, full):
    """The value for the profile in force, so that a lesson's code is the same in both."""
    return {"sample": sample, "full": full}[profile()]


def home():
    """TLCOURSE_HOME, a folder with the full profile's files, as a Path; None if it is not set.

    Raises CourseError when it is set to something that is not a folder.
    """
    value = os.environ.get("TLCOURSE_HOME")
    if not value:
        return None
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise CourseError(
            f"TLCOURSE_HOME is {value}, which is not a folder: "
            f"create it, or fill it with `tlcourse fetch --to {value}`."
        )
    return folder


def cache():
    """The folder for what the course computes: TLCOURSE_CACHE, or the platform's cache folder.

    It is created if missing. Raises CourseError when that is not possible.
    """
    value = os.environ.get("TLCOURSE_CACHE")
    folder = Path(value).expanduser() if value else platformdirs.user_cache_path("tlcourse")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CourseError(
            f"The cache folder {folder} cannot be made ({error.strerror}): "
            "set TLCOURSE_CACHE to a folder that can be written."
        ) from None
    return folder


def cache_limit():
    """Bytes that features may take in the cache: TLCOURSE_CACHE_GB in GB, by default 2.

    Raises CourseError for anything but a number above 0.
    """
    value = os.environ.get("TLCOURSE_CACHE_GB") or "2"
    try:
        if float(value) > 0:
            return int(float(value) * 1e9)
    except (ValueError, OverflowError):
        pass
    raise CourseError(f"TLCOURSE_CACHE_GB is {value!r}: set it to a number of gigabytes above 0.")


def data():
    """The folder of the full profile's files: TLCOURSE_HOME, else "data" in the cache."""
    return home() or cache() / "data"


def notebooks():
    """The folder of the lessons, in an installed wheel or in a clone."""
    package = Path(__file__).parent
    shipped = package / "notebooks"
    return shipped if shipped.is_dir() else package.parent / "notebooks"


def versions():
    """Version strings of Python and of the libraries that decide the numbers."""
    names = ("tlcourse", "tensorflow", "keras", "numpy", "scipy", "scikit-learn", "mlxtend")
    return {"Python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def device():
    """What computes: {"device": str, "threads": int, "memory_gb": float}. Loads TensorFlow."""
    import psutil

    from tlcourse.quiet import tf

    threads = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else os.cpu_count()
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus]
    return {
        "device": ", ".join(names) or f"CPU, {threads} threads",
        "threads": threads,
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
    }


@functools.cache
def fast_bfloat16():
    """Whether this machine multiplies in bfloat16: a GPU from NVIDIA's Ampere on, or a CPU with AMX or AVX-512 BF16."""
    from tlcourse.quiet import tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = (tf.config.experimental.get_device_details(gpu) for gpu in gpus)
        return all(each.get("compute_capability", (0, 0)) >= (8, 0) for each in details)
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:  # not Linux
        return False
    return bool(flags & {"amx_bf16", "avx512_bf16"})


def banner():
    """Show, at the head of a lesson, the profile, the device and the versions."""
    from IPython.display import display

    # TensorFlow takes seconds to load, the first time on a slow disk many.
    line = display({"text/plain": "Loading TensorFlow …"}, raw=True, display_id=True)
    facts = {"profile": profile(), **device(), "versions": versions()}
    where = f"{facts['device']}, {facts['memory_gb']} GB of memory"
    libraries = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    real = WHAT_IS_REAL[facts["profile"]]
    plain = f"{facts['profile']} profile · {where}\n{real}\n{libraries}"
    html = (
        f"<p><b>{facts['profile']} profile</b> · {where}<br>{real}<br><small>{libraries}</small></p>"
    )
    line.update({"text/plain": plain, "text/html": html}, raw=True, metadata={"tlcourse_banner": facts})
