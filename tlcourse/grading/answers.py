"""What of a submission counts: the sources of its answers, and the learner's own further code."""

import json
from dataclasses import dataclass, field

from tlcourse.grading.release import role

LARGEST_FILE, LARGEST_CELL, MOST_CELLS = 20 << 20, 200_000, 2000


class Unreadable(Exception):
    """Nothing can be taken from a submission. `status` as in a verdict; the message says why."""

    def __init__(self, status, reason):
        super().__init__(reason)
        self.status = status


@dataclass
class Submitted:
    """`answers`: the sources found for each solution cell, in the order of the submission (a cell may
    have been split or copied). `further`: the learner's own code cells after each cell of the release,
    by `grade_id`, and before all of them under None."""

    answers: dict[str, list[str]] = field(default_factory=dict)
    further: dict[str | None, list[str]] = field(default_factory=dict)


def take(submission, released):
    """The `Submitted` in the bytes of a notebook file, for the cells of a learner's version.

    Cells are known by their nbgrader `grade_id` or, where that was lost, by their cell id; never by
    their place. Raises `Unreadable`.
    """
    names, roles, given = {}, {}, {}
    for cell in released:
        grade_id = (cell.metadata.get("nbgrader") or {}).get("grade_id")
        if grade_id:
            names[cell.get("id")], roles[grade_id] = grade_id, cell
        given[cell.source.strip()] = grade_id
    found, place = Submitted(), None
    for cell in _cells(submission):
        source = _source(cell)
        name = _name(cell, names, roles)
        if name is None:
            if source.strip() in given:
                place = given[source.strip()] or place
            elif cell.get("cell_type") == "code" and source.strip():
                found.further.setdefault(place, []).append(source)
            continue
        place = name
        if role(roles[name]) in ("answer", "by hand") and cell.get("cell_type") == roles[name].cell_type:
            found.answers.setdefault(name, []).append(source)
    for name, sources in found.answers.items():
        # A copy that was left as it was released is not an answer.
        own = [source for source in dict.fromkeys(sources) if source.strip() != roles[name].source.strip()]
        found.answers[name] = own or sources[:1]
    return found


def _cells(submission):
    if len(submission) > LARGEST_FILE:
        raise Unreadable("limits", f"the file is larger than {LARGEST_FILE >> 20} MB")
    try:
        notebook = json.loads(submission)
        cells = notebook["cells"]
        if not isinstance(cells, list):
            raise TypeError
    except (ValueError, RecursionError):
        raise Unreadable("unreadable", "the file is not JSON, so it is not a notebook") from None
    except (KeyError, TypeError):
        raise Unreadable("unreadable", "the file has no list of cells, so it is not a notebook of version 4") from None
    if len(cells) > MOST_CELLS:
        raise Unreadable("limits", f"the notebook has more than {MOST_CELLS} cells")
    return [cell for cell in cells if isinstance(cell, dict)]


def _source(cell):
    source = cell.get("source", "")
    if isinstance(source, list):
        source = "".join(part for part in source if isinstance(part, str))
    if not isinstance(source, str) or len(source) > LARGEST_CELL:
        return ""
    # Half a surrogate pair is legal JSON, and no message could carry it.
    return source.encode("utf-8", "replace").decode()


def _name(cell, names, roles):
    metadata = cell.get("metadata")
    marks = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    name = marks.get("grade_id") if isinstance(marks, dict) else None
    if isinstance(name, str) and name in roles:
        return name
    identity = cell.get("id")
    return names.get(identity) if isinstance(identity, str) else None
