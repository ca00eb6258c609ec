"""Execute lessons in the sample profile and store their outputs in place.

    uv run python tools/refresh.py [LESSON | EXERCISE.ipynb ...]

The stored outputs are what nbval compares with. A lesson that fails stays as it was.
"""

import argparse
import os
import sys
from pathlib import Path

from tlcourse import CourseError, lessons

SLOW = 60  # seconds a cell


def main(argv=None):
    """Refresh the lessons named in `argv` (all if none). Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("lesson", nargs="*", metavar="LESSON", help="04, or 04_title, or a path; default: all lessons")
    args = parser.parse_args(argv)
    os.environ["TLCOURSE_PROFILE"] = "sample"
    try:
        paths = [Path(name) for name in args.lesson if name.endswith(".ipynb") and "/" in name]
        names = [name for name in args.lesson if Path(name) not in paths]
        chosen = paths + (lessons.find(names) if names or not paths else [])
        failures = [_refresh(*run) for run in lessons.execute_all(chosen)]
    except CourseError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130
    return int(any(failures))


def _refresh(path, notebook, failure):
    if failure:
        print(f"{path.stem}: left as it was, it failed in {failure}", file=sys.stderr)
        return True
    lessons.save(lessons.tidy(notebook), path)
    cells = lessons.code_cells(notebook)
    longest = max(map(lessons.seconds, cells), default=0.0)
    cost = notebook.metadata["tlcourse"]
    print(
        f"{path.stem}: {cost['seconds']:.0f} s, peak memory {cost['memory_gb']:.1f} GB, "
        f"longest cell {longest:.0f} s"
    )
    for number, cell in enumerate(cells, start=1):
        if lessons.seconds(cell) > SLOW:
            first = cell.source.strip().partition("\n")[0]
            print(
                f"  cell {number} (`{first}`) takes {lessons.seconds(cell):.0f} s: make it "
                f"shorter than {SLOW} s",
                file=sys.stderr,
            )
    return False


if __name__ == "__main__":
    sys.exit(main())
