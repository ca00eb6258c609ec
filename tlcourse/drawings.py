"""Our own drawn pictures: ten objects in colour and smiling faces in grey, for the offline course.

Every picture is drawn from signed distances: a shape gives each pixel its distance to
the shape's edge, and half a pixel either side of the edge the paint fades out. The
same ``(n, seed)`` gives the same bytes on every machine, because only operations which
IEEE 754 rounds exactly are used (elementwise + - * /, square roots, comparisons), and
the frozen stream of ``np.random.RandomState``. Please keep it so: no sine, no
exponential, no matrix product, no sum or mean over an axis.

How hard they are, as test accuracy on 2,000 pictures of seed 2 after training on n
pictures of seed 1 (15 epochs of Adam(1e-3), batches of 32, mean of two starts; the
network of lesson 01 for the objects, three blocks of convolution and pooling with 16,
32, 64 filters for the faces; the logistic regression sees raw pixels, best of C = 1,
0.1, 0.01; measured with scikit-learn and Keras 3.15 on a CPU):

========  ===============================  =============  ==============  ==============
pictures  logistic regression, n = 1,000   network, 100   network, 1,000  network, 4,000
========  ===============================  =============  ==============  ==============
objects   42.7 %                           30.1 %         64.1 %          81.5 %
faces     62.6 %                           60.1 %         93.1 %          97.6 %
========  ===============================  =============  ==============  ==============
"""

import numpy as np

from tlcourse import CourseError

OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FACES = ("not smiling", "smiling")

DICE = 1800  # random numbers set aside for each picture, so that no picture depends on another; 1,163 used


def rgb(text):
    """Colours written as hexadecimal words, as a float32 array (k, 3) in 0..1."""
    return np.array([[int(w[i : i + 2], 16) for i in (0, 2, 4)] for w in text.split()], np.float32) / 255


COATS = rgb("6b4a2f 2b2523 e9e2d6 8b8681 b98d5d c8793a 4a3222 a0673c")
PAINTS = rgb("b3202a 2350a0 e8e8e8 9aa0a6 22242a 2f7d46 e0b32c 7fb2d6")
PLANES = rgb("f0f0f0 c9ced4 8f979e e6ddc8 b8453b 3d6fae 5c6656 dfe6ee")
FEATHERS = rgb("6d5a48 2a2c33 ece8df 8d9296 b5532f 3f6ea8 c9a13a 5d7048")
SKINS = rgb("5f8a35 2c4a26 a8b850 7a6a3c 3d6f5b b89a5a 4a3628 93c05e c07a3a 3a3e3c")
GLASS = rgb("2c3a48 56707f 1e242c 8fa9b8 c8dce6 e6d8b8")
RINGS = rgb("e0c040 e8e0c0 c06030")
THINGS = rgb("7a5c41 44663a 9a9a98 b34a3c 3a5a8a d8d0c0 35302c c9a650")
DARK, WHITE, RED, TONGUE, FOAM = rgb("16161a f2f0ea b3202a d06a70 8fb8dc").reshape(5, 3, 1, 1)

# For each scene: the colours above the horizon, those below it, and where the horizon lies.
SKY, WATER, FIELD, ROAD, ROOM = range(5)
UPPER = np.stack([rgb(s) for s in (
    "6fa5dc a9c6e0 c4c8cc e3c9a8", "8fb8dc c3cdd4 5f7f8f 4a6b4a", "9dc3e6 48683a c9d2d6 6d7f4a",
    "a8c4dc b9b4aa 8a8f94 5a6b4c", "cdbfa6 b7c4c8 8f7a68 d8d3cc")])
LOWER = np.stack([rgb(s) for s in (
    "88a06a 8f9fae b0b8bc 6f8fb0", "3c6a8c 54868c 6f8a96 3f5f55", "6c8f3d 88914a a39a5c 4f7434",
    "6f7073 57585c 8d8880 9a9078", "8f6b48 b49a78 6d6a68 a8a09a")])
HORIZON = np.array([[-2.2, -0.7], [-0.3, 1.1], [-0.4, 1.3], [-0.5, 0.6], [-0.8, 0.6]], np.float32)
CLOUDS = np.array([0.9, 0.5, 0.5, 0.4, 0.12], np.float32)
ROUGH = np.array([0.2, 0.8, 0.6, 0.12, 0.12], np.float32)


# ---- random numbers -------------------------------------------------------------------------

def dice(table):
    """A function u(low, high, count) handing out the columns of `table`, (m, count) at a time."""
    used = 0

    def u(low=0.0, high=1.0, count=1):
        nonlocal used
        used += count
        return low + (high - low) * table[:, used - count : used]

    return u


def chance(u, share):
    """1 for about `share` of the pictures and 0 for the others: (m, 1), to multiply a cover with."""
    return (u() < share).astype(np.float32)


def pick(u, palette, jitter=0.14):
    """One colour of the palette for each picture, a little changed: (3, m, 1)."""
    index = np.floor(u(0, len(palette)))[:, 0].astype(np.int64)
    return vary(u, palette[index], jitter)


def vary(u, colours, jitter):
    """Colours (m, 3) with their brightness and hue moved at random: (3, m, 1)."""
    moved = colours + u(-jitter, jitter) + u(-jitter / 3, jitter / 3, 3)
    return np.clip(moved, 0.02, 0.98).T[:, :, None]


def smooth(u, pixels, rows, columns):
    """A soft random field in 0..1, (m, pixels): a coarse random grid, interpolated."""
    side = {1024: 32, 4096: 64}[pixels]
    grid = u(0, 1, rows * columns)
    grid = grid.reshape(len(grid), rows, columns)
    at = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / side
    for axis, cells in ((1, rows), (2, columns)):
        place = at * (cells - 1)
        low = np.floor(place).astype(np.int64)
        part = (place - low.astype(np.float32)).reshape((-1, 1) if axis == 1 else (1, -1))
        first, second = np.take(grid, low, axis), np.take(grid, low + 1, axis)
        grid = first + part * (second - first)
    return grid.reshape(len(grid), pixels)


# ---- frames: the pixel grid seen from an object ---------------------------------------------

def page(side):
    """The picture's own frame: x to the right and y up in -1..1, and the pixels in one unit."""
    line = (np.arange(side, dtype=np.float32) + np.float32(0.5)) / np.float32(side / 2) - 1
    return np.tile(line, side)[None], np.repeat(-line, side)[None], np.float32(side / 2)


def moved(frame, x, y, t=0.0, size=1.0, wide=1.0):
    """The frame of a part at (x, y), `size` times as large, turned by twice the arctangent of t.

    The half-angle form needs no sine or cosine, whose last bit differs between machines.
    """
    fx, fy, pixels = frame
    dx, dy, norm = fx - x, fy - y, 1 + t * t
    cos, sin = (1 - t * t) / norm, 2 * t / norm
    return (cos * dx + sin * dy) / (size * wide), (cos * dy - sin * dx) / size, pixels * size


def pose(u, frame, size, tilt, shift=0.135):
    """A random frame for a whole object: shifted, turned, scaled, sheared and mirrored."""
    x, y, pixels = moved(frame, u(-shift, shift), u(-shift, shift), u(-tilt, tilt), u(*size), u(0.88, 1.12))
    return (x + u(-0.15, 0.15) * y) * (1 - 2 * chance(u, 0.5)), y, pixels


# ---- shapes: the part of each pixel they cover, (m, p) in 0..1 ------------------------------

def cover(distance, pixels):
    """Signed distances, negative inside, as the share of each pixel that is covered."""
    return np.clip(0.5 - distance * pixels, 0, 1)


def ellipse(frame, x, y, rx, ry, t=0.0):
    fx, fy, pixels = moved(frame, x, y, t) if np.ndim(t) or t else (frame[0] - x, frame[1] - y, frame[2])
    px, py = fx / rx, fy / ry
    reach = np.sqrt(px * px + py * py)
    px, py = px / rx, py / ry
    return cover((reach - 1) * reach / (np.sqrt(px * px + py * py) + 1e-6), pixels)


def stroke(frame, x0, y0, x1, y1, r0, r1=None):
    """A thick line with round ends, from radius r0 to radius r1."""
    fx, fy, pixels = frame
    dx, dy = x1 - x0, y1 - y0
    px, py = fx - x0, fy - y0
    along = np.clip((px * dx + py * dy) / (dx * dx + dy * dy + 1e-6), 0, 1)
    px, py = px - along * dx, py - along * dy
    radius = r0 if r1 is None else r0 + along * (r1 - r0)
    return cover(np.sqrt(px * px + py * py) - radius, pixels)


def polygon(frame, *points):
    """A convex polygon; its points in clockwise order (with y up)."""
    fx, fy, pixels = frame
    distance = None
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1]):
        nx, ny = y0 - y1, x1 - x0
        length = np.sqrt(np.float32(1e-12) + nx * nx + ny * ny)
        nx, ny = nx / length, ny / length
        edge = nx * fx + ny * fy - (nx * x0 + ny * y0)
        distance = edge if distance is None else np.maximum(distance, edge)
    return cover(distance, pixels)


def box(frame, left, bottom, right, top):
    fx, fy, pixels = frame
    across = np.maximum(left - fx, fx - right)
    return cover(np.maximum(across, np.maximum(bottom - fy, fy - top)), pixels)


def lens(frame, x, y, half, top, bottom):
    """The part between two parabolas which meet at (x - half, y) and (x + half, y)."""
    fx, fy, pixels = frame[0] - x, frame[1] - y, frame[2]
    bow = 1 - (fx / half) * (fx / half)
    inside = np.maximum(fy - top * bow, bottom * bow - fy)
    return cover(np.maximum(inside, np.abs(fx) - half), pixels)


def paint(canvas, covered, colour):
    """Paint over the canvas (channels, m, p), in place."""
    canvas += covered * (colour - canvas)


# ---- surfaces -------------------------------------------------------------------------------

def waves(along, sharp=5.0):
    """Stripes in 0..1 for a coordinate counted in stripes: soft-edged, of equal width."""
    return np.clip(np.abs(along - np.floor(along) - 0.5) * sharp + 0.5 - sharp / 4, 0, 1)


def bars(u, frame):
    return waves(frame[0] * u(3, 4.5) + frame[1] * u(-1, 1) + u())


def planks(u, frame):
    return waves(frame[1] * u(4, 5.5) + frame[0] * u(-0.3, 0.3) + u())


def spots(u, frame):
    return np.clip((smooth(u, frame[0].shape[-1], 13, 13) - 0.55) * 6, 0, 1)


def patches(u, frame):
    return np.clip((smooth(u, frame[0].shape[-1], 5, 5) - u(0.45, 0.65)) * 9, 0, 1)


def curls(u, frame):
    return np.clip((smooth(u, frame[0].shape[-1], 24, 24) - 0.5) * 2 + 0.5, 0, 1)


def surface(u, frame, colour, pattern=None, share=1.0):
    """A colour over the object, lighter on the lit side; a share of the pictures has a pattern."""
    x, y, _ = frame
    light = 1 + u(-0.3, 0.3) * x + u(-0.3, 0.5) * y
    lit = colour * np.clip(light, 0.5, 1.35)
    if pattern is None:
        return lit
    # Marks are as often darker as lighter than the coat: a linear model cannot add them up.
    marks = pattern(u, frame) * chance(u, share) * u(0.55, 1)
    return lit + marks * np.where(chance(u, 0.5) > 0, -0.6 * lit, 0.5 * (1 - lit))


# ---- scenes ---------------------------------------------------------------------------------

def backdrop(u, kind, frame, side=32):
    """Where the object stands: two grounds with a horizon, clouds, bushes, buildings, oddments."""
    x, y, _ = frame
    choice = np.floor(u(0, 4))[:, 0].astype(np.int64)
    low, high = HORIZON[kind, :1], HORIZON[kind, 1:]
    horizon = low + (high - low) * u()
    upper = vary(u, UPPER[kind, choice], 0.2) + u(-0.12, 0.12) * y
    choice = np.floor(u(0, 4))[:, 0].astype(np.int64)
    lower = vary(u, LOWER[kind, choice], 0.2) + u(-0.12, 0.12) * y

    canvas = np.empty((3, len(choice), side * side), np.float32)
    canvas[:] = upper
    clouds = np.clip((smooth(u, side * side, 5, 4) - u(0.35, 0.8)) * 3, 0, 1)
    paint(canvas, clouds * CLOUDS[kind][:, None], u(0.6, 1)[None])

    outdoors = (kind != SKY) & (kind != ROOM)
    for _ in range(2):  # buildings and tree trunks stand behind the horizon, bushes upon it
        there = u(-1, 1)
        paint(canvas, box(frame, there - u(0.05, 0.4), horizon - 0.2, there + u(0.05, 0.3), horizon + u(0.1, 1.1))
              * chance(u, 0.35) * outdoors[:, None], pick(u, THINGS))
    for _ in range(3):
        paint(canvas, ellipse(frame, u(-1, 1), horizon + u(-0.1, 0.1), u(0.1, 0.6), u(0.08, 0.35))
              * chance(u, 0.4) * outdoors[:, None], pick(u, SKINS) * u(0.5, 1))

    ripples, blades = smooth(u, side * side, 20, 4), smooth(u, side * side, 10, 30)
    rough = (np.where((kind == WATER)[:, None], ripples, blades) - 0.5) * ROUGH[kind][:, None]
    paint(canvas, cover(y - horizon - u(-0.1, 0.1) * x, side / 2), lower * (1 + rough))
    for _ in range(2):  # oddments: they keep the object from being the only thing in the picture
        paint(canvas, ellipse(frame, u(-1.1, 1.1), u(-1.1, 1.1), u(0.06, 0.3), u(0.05, 0.25), u(-1, 1))
              * chance(u, 0.12), pick(u, THINGS))
    return canvas


def foreground(u, canvas, frame):
    """Now and then something in front: a post, a branch, a bush at the lower edge."""
    there = u(-1, 1)
    paint(canvas, stroke(frame, there, -1.3, there + u(-0.4, 0.4), 1.3, u(0.03, 0.09)) * chance(u, 0.07),
          pick(u, THINGS))
    paint(canvas, stroke(frame, -1.3, u(-1, 1), 1.3, u(-1, 1), u(0.02, 0.07)) * chance(u, 0.06), pick(u, THINGS))
    paint(canvas, ellipse(frame, u(-1, 1), u(-1.2, -0.7), u(0.2, 0.6), u(0.1, 0.35)) * chance(u, 0.15),
          pick(u, SKINS))
    paint(canvas, box(frame, -2, -2, u(-1.2, -0.75), 2) * chance(u, 0.06), pick(u, THINGS))


def shadow(u, canvas, frame, y, half):
    paint(canvas, ellipse(frame, u(-0.15, 0.15), y, half, 0.09) * u(0, 0.6), 0.08)


# ---- vehicles -------------------------------------------------------------------------------

def airplane_side(c, f, u):
    skin, trim = surface(u, f, pick(u, PLANES)), pick(u, PAINTS)
    fat, sweep, span = u(0.09, 0.16), u(0.05, 0.4), u(0.3, 0.55)
    paint(c, polygon(f, (-0.1, 0.05), (-sweep, span), (0.1 - sweep, span), (0.25, 0.05)), skin * 0.75)
    paint(c, polygon(f, (-0.85, 0.0), (-0.95, u(0.4, 0.6)), (-0.74, u(0.38, 0.5)), (-0.4, 0.02)), trim)
    paint(c, stroke(f, -0.85, 0.06, -0.2, 0, 0.05, fat), skin)
    paint(c, stroke(f, -0.3, 0, 0.7, 0, fat, fat * 0.95), skin)
    paint(c, ellipse(f, 0.75, -0.02, 0.24, fat * 0.8), skin)
    paint(c, stroke(f, -0.6, 0.03, 0.6, 0.03, 0.02) * chance(u, 0.7), DARK)
    paint(c, polygon(f, (0.7, 0.02), (0.74, 0.09), (0.82, 0.09), (0.9, 0.02)), pick(u, GLASS))
    paint(c, polygon(f, (-0.95, 0.05), (-1.05, 0.16), (-0.92, 0.16), (-0.65, 0.05)), skin * 0.8)
    paint(c, ellipse(f, 0.1 - sweep / 2, -0.2, 0.14, 0.06) * chance(u, 0.6), trim * 0.7)
    paint(c, polygon(f, (-0.18 - sweep, -span), (-0.12, 0), (0.28, -0.04), (0.02 - sweep, -span)), skin * 0.85)


def airplane_top(c, f, u):
    skin, trim = surface(u, f, pick(u, PLANES)), pick(u, PAINTS)
    fat, sweep, span, chord = u(0.07, 0.13), u(0, 0.5), u(0.6, 1), u(0.06, 0.2)
    for side in (1, -1):
        tip, tail = (0.05 - sweep, side * span), (-0.85, side * span * 0.42)
        wing = [(0.3, 0), tip, (tip[0] - chord, tip[1]), (-0.1, 0)]
        rear = [(-0.62, 0), tail, (tail[0] - 0.12, tail[1]), (-0.85, 0)]
        for part, colour in ((wing, skin * 0.92), (rear, skin * 0.85)):
            paint(c, polygon(f, *part[:: -side]), colour)
        paint(c, ellipse(f, 0.16 - sweep / 2, side * span * 0.45, 0.13, 0.06) * chance(u, 0.6), trim * 0.7)
    paint(c, stroke(f, -0.85, 0, -0.3, 0, 0.04, fat), skin)
    paint(c, stroke(f, -0.3, 0, 0.75, 0, fat, fat * 0.75), skin)
    paint(c, stroke(f, -0.92, 0, -0.6, 0, 0.03), trim)
    paint(c, ellipse(f, 0.66, 0, 0.09, fat * 0.55), pick(u, GLASS))


def wheel(c, f, x, y, r, rim):
    paint(c, ellipse(f, x, y, r, r), DARK)
    paint(c, ellipse(f, x, y, r * 0.5, r * 0.5), rim)


def automobile_side(c, f, u):
    skin, glass, rim = surface(u, f, pick(u, PAINTS)), pick(u, GLASS), u(0.4, 0.8)[None]
    roof, back, front, belt = u(0.3, 0.46), u(-0.75, -0.35), u(0.1, 0.3), u(0.0, 0.1)
    shadow(u, c, f, -0.45, 1.0)
    paint(c, polygon(f, (back - 0.25, belt), (back, roof), (front, roof), (front + 0.35, belt)), skin)
    sill = roof - 0.07
    paint(c, polygon(f, (back - 0.12, belt), (back + 0.06, sill), (-0.18, sill), (-0.18, belt)), glass)
    paint(c, polygon(f, (-0.1, belt), (-0.1, sill), (front - 0.03, sill), (front + 0.22, belt)), glass)
    paint(c, stroke(f, -0.85, -0.15, 0.85, -0.18, 0.17, 0.14), skin)
    paint(c, polygon(f, (-0.97, -0.2), (-0.95, belt + 0.02), (0.55, belt + 0.02), (0.97, -0.08), (0.98, -0.3),
                     (-0.95, -0.32)), skin)
    paint(c, box(f, -0.9, -0.36, 0.92, -0.27), skin * 0.45)
    paint(c, ellipse(f, 0.92, -0.1, 0.06, 0.05), u(0.8, 1)[None])
    paint(c, box(f, -0.98, -0.14, -0.9, -0.04), RED)
    radius = u(0.16, 0.23)
    for x in (u(-0.62, -0.52), u(0.52, 0.62)):
        wheel(c, f, x, -0.32, radius, rim)


def automobile_front(c, f, u):
    skin, glass = surface(u, f, pick(u, PAINTS)), pick(u, GLASS)
    roof, wide, hood = u(0.4, 0.6), u(0.65, 0.8), u(-0.05, 0.08)
    shadow(u, c, f, -0.6, wide)
    for side in (-1, 1):
        paint(c, box(f, side * wide * 0.8 - 0.11, -0.65, side * wide * 0.8 + 0.11, -0.25), DARK)
    paint(c, polygon(f, (-wide * 0.95, hood), (-wide * 0.7, roof), (wide * 0.7, roof), (wide * 0.95, hood)), skin)
    paint(c, polygon(f, (-wide * 0.8, hood), (-wide * 0.6, roof - 0.08), (wide * 0.6, roof - 0.08),
                     (wide * 0.8, hood)), glass)
    paint(c, stroke(f, -wide + 0.15, -0.2, wide - 0.15, -0.2, 0.24), skin)
    paint(c, box(f, -wide, -0.46, wide, -0.05), skin)
    paint(c, box(f, -wide * 0.45, -0.3, wide * 0.45, -0.15), 0.12)
    paint(c, box(f, -wide, -0.48, wide, -0.38), skin * 0.55)
    paint(c, box(f, -0.15, -0.45, 0.15, -0.36), WHITE)
    lamp = chance(u, 0.6)  # else it is seen from behind, with red lights
    for side in (-1, 1):
        paint(c, ellipse(f, side * wide * 0.75, -0.18, 0.12, 0.08),
              lamp * 0.95 + (1 - lamp) * RED)


def truck_side(c, f, u):
    load, cab, glass = surface(u, f, pick(u, PAINTS), bars, 0.7), surface(u, f, pick(u, PAINTS)), pick(u, GLASS)
    top, nose, low, rim = u(0.35, 0.72), u(0.0, 0.25), u(-0.32, -0.2), u(0.3, 0.7)[None]
    roof = np.minimum(top - 0.05, u(0.15, 0.5))
    open_bed, tank = chance(u, 0.2), chance(u, 0.2)
    shadow(u, c, f, -0.6, 1.0)
    paint(c, box(f, -0.95, -0.42, 0.9, low + 0.02), 0.13)
    side = box(f, -0.98, low, 0.3, top - open_bed * (top - low - 0.25))
    round_side = stroke(f, -0.75, 0.1, 0.08, 0.1, 0.3)
    paint(c, side + tank * (round_side - side), load)
    paint(c, box(f, -0.98, -0.02 + low / 2, 0.3, 0.08 + low / 2) * chance(u, 0.5) * (1 - open_bed),
          pick(u, PAINTS))
    paint(c, polygon(f, (0.36, -0.4), (0.36, roof), (0.72 - nose * 0.6, roof), (0.84 - nose * 0.3, -0.02),
                     (0.86, -0.4)), cab)
    paint(c, box(f, 0.5, -0.4, 0.95, -0.08), cab)
    paint(c, polygon(f, (0.48, 0.0), (0.48, roof - 0.07), (0.7 - nose * 0.6, roof - 0.07),
                     (0.8 - nose * 0.3, 0.0)), glass)
    paint(c, ellipse(f, 0.92, -0.28, 0.05, 0.06), u(0.7, 1)[None])
    radius = u(0.13, 0.19)
    for x in (-0.75, u(-0.45, -0.35), 0.65):
        wheel(c, f, x, -0.44, radius, rim)


def truck_front(c, f, u):
    cab, load, glass = surface(u, f, pick(u, PAINTS)), surface(u, f, pick(u, PAINTS)), pick(u, GLASS)
    top, wide, roof = u(0.7, 0.98), u(0.5, 0.62), u(0.4, 0.62)
    shadow(u, c, f, -0.85, wide)
    away = u(-0.35, 0.35)  # the load seen to one side of the cab
    paint(c, box(f, np.minimum(-wide, away - wide), -0.55, np.maximum(wide, away + wide), top), load)
    for side in (-1, 1):
        paint(c, box(f, side * wide * 0.78 - 0.12, -0.9, side * wide * 0.78 + 0.12, -0.4), DARK)
        paint(c, box(f, side * wide * 1.2 - 0.05, 0.05, side * wide * 1.2 + 0.05, 0.3), 0.12)
    paint(c, box(f, -wide, -0.68, wide, roof), cab)
    paint(c, box(f, -wide * 0.85, 0.0, wide * 0.85, roof - 0.12), glass)
    paint(c, box(f, -wide * 0.55, -0.48, wide * 0.55, -0.1), cab * 0.35)
    paint(c, box(f, -wide, -0.75, wide, -0.58), 0.5 * cab + 0.25)
    for side in (-1, 1):
        paint(c, ellipse(f, side * wide * 0.78, -0.42, 0.1, 0.09), u(0.8, 1)[None])


def ship_side(c, f, u):
    hull, house = surface(u, f, pick(u, PAINTS)), surface(u, f, pick(u, PLANES), planks, 0.7)
    deck, keel, where = u(-0.15, 0.02), u(-0.5, -0.35), u(-0.55, 0.2)
    tall, wide = u(0.2, 0.4), u(0.16, 0.4)
    mast = u(-0.6, 0.6)
    paint(c, stroke(f, mast, deck, mast, u(0.5, 0.95), 0.025), pick(u, THINGS))
    for k in range(3):  # containers, or nothing
        left = -0.75 + 0.45 * k
        paint(c, box(f, left, deck - 0.05, left + 0.4, deck + u(0.1, 0.28)) * chance(u, 0.5), pick(u, PAINTS))
    paint(c, box(f, where - 0.08, deck + tall, where + 0.08, deck + tall + u(0.2, 0.4)) * chance(u, 0.7),
          pick(u, PAINTS))
    paint(c, box(f, where - wide, deck - 0.05, where + wide, deck + tall), house)
    paint(c, box(f, where - wide * 0.6, deck + tall - 0.03, where + wide * 0.7, deck + tall + 0.15), house * 0.92)
    paint(c, box(f, where - wide * 0.85, deck + tall * 0.45, where + wide * 0.85, deck + tall * 0.7),
          pick(u, GLASS))
    bow = u(0.02, 0.2)
    paint(c, polygon(f, (-0.85, keel), (-0.95, deck + 0.03), (0.6, deck), (1.0, deck + bow), (0.72, keel)), hull)
    paint(c, polygon(f, (-0.86, keel), (-0.88, keel + 0.12), (0.79, keel + 0.12), (0.72, keel)), pick(u, PAINTS))
    paint(c, stroke(f, -0.9, deck, 0.9, deck + bow * 0.4, 0.025), u(0.6, 1)[None])
    paint(c, lens(f, u(-0.2, 0.2), keel - 0.04, 1.15, 0.09, -0.06), u(0.55, 0.95)[None] * FOAM)


def ship_sail(c, f, u):
    hull, sail = surface(u, f, pick(u, PAINTS)), surface(u, f, pick(u, PLANES))
    top, mast, foot = u(0.75, 1), u(-0.1, 0.15), u(-0.42, -0.3)
    paint(c, stroke(f, mast, -0.45, mast, top, 0.025), pick(u, THINGS))
    paint(c, polygon(f, (mast - u(0.5, 0.75), foot), (mast - 0.03, top), (mast - 0.03, foot)), sail)
    jib = polygon(f, (mast + 0.05, foot), (mast + 0.05, top * 0.85), (mast + u(0.4, 0.7), foot))
    paint(c, jib * chance(u, 0.8), sail * 0.9)
    paint(c, polygon(f, (-0.6, -0.75), (-0.78, -0.48), (0.9, -0.42), (0.6, -0.75)), hull)
    paint(c, stroke(f, -0.76, -0.48, 0.86, -0.44, 0.03), u(0.5, 1)[None])
    paint(c, box(f, -0.4, -0.5, 0.1, -0.36) * chance(u, 0.5), WHITE)
    paint(c, lens(f, u(-0.2, 0.2), -0.78, 1.0, 0.08, -0.06), u(0.55, 0.95)[None] * FOAM)


# ---- birds and frogs ------------------------------------------------------------------------

def eye(c, f, x, y, r, ring=None):
    if ring is not None:
        paint(c, ellipse(f, x, y, r * 1.7, r * 1.7), ring)
    paint(c, ellipse(f, x, y, r, r), DARK)


def bird_perched(c, f, u):
    coat, wing = surface(u, f, pick(u, FEATHERS)), surface(u, f, pick(u, FEATHERS), planks, 0.7)
    bill = pick(u, THINGS[3:])
    plump, rise = u(0.24, 0.4), u(0.3, 0.55)
    hx, hy, head = u(0.3, 0.45), rise + u(-0.05, 0.25), u(0.17, 0.25)
    ground = u(-0.85, -0.6)
    paint(c, box(f, -1.6, ground - 0.12, 1.6, ground) * chance(u, 0.4), pick(u, THINGS))  # a perch
    for x in (-0.02, 0.12):
        paint(c, stroke(f, x, -0.2, x + u(-0.05, 0.1), ground, 0.03), bill * 0.8)
    paint(c, stroke(f, -0.35, -0.05, u(-1.0, -0.75), u(-0.45, 0.1), 0.13, 0.06), wing * 0.8)
    paint(c, ellipse(f, 0, 0, 0.52, plump, u(0.1, 0.35)), coat)
    paint(c, stroke(f, 0.25, 0.1, hx, hy, 0.2, head * 0.8), coat)
    paint(c, polygon(f, (hx + 0.12, hy - 0.09), (hx + 0.12, hy + 0.09), (hx + u(0.35, 0.6), hy - 0.03)), bill)
    paint(c, ellipse(f, hx, hy, head, head), coat)
    paint(c, ellipse(f, 0.25, -0.02, 0.17, 0.2) * chance(u, 0.5), pick(u, FEATHERS))
    paint(c, ellipse(f, -0.12, 0.02, 0.38, plump * 0.55, u(0.1, 0.4)), wing)
    eye(c, f, hx + 0.07, hy + 0.05, 0.045, u(0.5, 1)[None])


def bird_flying(c, f, u):
    coat, wing = surface(u, f, pick(u, FEATHERS)), surface(u, f, pick(u, FEATHERS), bars, 0.7)
    bill = pick(u, THINGS[3:])
    for lift, back, shade in ((u(0.5, 0.95), u(-0.25, 0.3), 0.75), (u(-0.8, 0.9), u(-0.5, 0.0), 1.0)):
        half = lift * 0.55
        paint(c, stroke(f, 0.08, 0.02, back + 0.2, half, 0.17, 0.14), wing * shade)
        paint(c, stroke(f, back + 0.2, half, back - 0.35, lift, 0.14, 0.03), wing * shade)
    paint(c, stroke(f, -0.3, 0, u(-0.9, -0.65), u(-0.1, 0.1), 0.08, 0.15), wing * 0.85)
    paint(c, ellipse(f, 0, 0, 0.45, u(0.14, 0.22)), coat)
    reach, dip = u(0.42, 0.75), u(-0.05, 0.15)
    paint(c, stroke(f, 0.3, 0.02, reach, dip, 0.12, 0.1), coat)
    base = reach + 0.05
    paint(c, polygon(f, (base, dip - 0.06), (base, dip + 0.07), (reach + u(0.25, 0.4), dip - 0.02)), bill)
    paint(c, ellipse(f, reach, dip, 0.13, 0.12), coat)
    eye(c, f, reach + 0.04, dip + 0.03, 0.035)


def frog_side(c, f, u):
    coat, belly = surface(u, f, pick(u, SKINS, 0.2), spots, 0.8), pick(u, COATS)
    rise, hx = u(0.12, 0.35), u(0.4, 0.55)
    shadow(u, c, f, -0.5, 0.9)
    paint(c, stroke(f, -0.65, -0.2, hx, rise, 0.2, 0.27), coat)
    paint(c, ellipse(f, 0.0, -0.18, 0.62, 0.3), coat)
    paint(c, ellipse(f, 0.25, -0.22, 0.38, 0.17), belly)
    paint(c, ellipse(f, hx + 0.08, rise - 0.03, 0.36, 0.22), coat)
    paint(c, stroke(f, hx - 0.05, rise - 0.12, hx + 0.4, rise - 0.06, 0.022), coat * 0.4)
    paint(c, ellipse(f, hx, rise + 0.2, 0.15, 0.15), coat)
    eye(c, f, hx + 0.03, rise + 0.22, 0.065, pick(u, RINGS))
    paint(c, stroke(f, 0.38, -0.15, u(0.25, 0.5), -0.48, 0.09, 0.06), coat * 0.85)
    paint(c, stroke(f, 0.4, -0.5, 0.68, -0.52, 0.05), coat * 0.85)
    knee = u(-0.2, 0.0)
    paint(c, stroke(f, -0.6, -0.3, knee, -0.05, 0.2, 0.13), coat * 0.9)
    paint(c, stroke(f, knee, -0.08, -0.55, -0.45, 0.1, 0.07), coat * 0.75)
    paint(c, stroke(f, -0.6, -0.5, -0.1, -0.53, 0.06), coat * 0.8)


def frog_front(c, f, u):
    coat, belly, ring = surface(u, f, pick(u, SKINS, 0.2), spots, 0.8), pick(u, COATS), pick(u, RINGS)
    wide, high, apart = u(0.5, 0.68), u(0.26, 0.36), u(0.3, 0.42)
    shadow(u, c, f, -0.68, 0.9)
    for side in (-1, 1):
        paint(c, stroke(f, side * 0.45, -0.5, side * u(0.75, 0.9), u(-0.25, 0.05), 0.17, 0.11), coat * 0.8)
        paint(c, stroke(f, side * 0.85, -0.15, side * 0.75, -0.62, 0.1, 0.07), coat * 0.7)
        paint(c, stroke(f, side * 0.6, -0.66, side * 0.95, -0.68, 0.06), coat * 0.75)
    paint(c, ellipse(f, 0, -0.32, 0.52, 0.38), coat)
    paint(c, ellipse(f, 0, -0.36, 0.36, 0.28), belly)
    for side in (-1, 1):
        paint(c, stroke(f, side * 0.3, -0.3, side * 0.33, -0.68, 0.09, 0.08), coat * 0.9)
    paint(c, ellipse(f, 0, 0.12, wide, high), coat)
    for side in (-1, 1):
        paint(c, ellipse(f, side * apart, 0.36, 0.17, 0.17), coat)
        eye(c, f, side * apart, 0.39, 0.075, ring)
    bend = u(0.0, 0.12)
    paint(c, lens(f, 0, 0.05 + bend, wide * 0.85, -bend, -bend - 0.05), coat * 0.35)
    paint(c, lens(f, 0, 0.02 + bend, wide * 0.8, -bend - 0.03, -high * 0.8 - bend), 0.55 * coat + 0.4 * belly)


# ---- four legs ------------------------------------------------------------------------------

def four_legs(c, f, u, coat, back, deep, leg, thin, foot=0.0):
    """The body all our four-legged animals share; the far legs lie in shadow."""
    shadow(u, c, f, -leg - 0.02, back + 0.25)
    for x, shade in ((-back, 0.65), (back, 0.65), (-back - 0.03, 1), (back - 0.04, 1)):
        hip, bend, step = x + u(-0.06, 0.06), u(-0.12, 0.08), u(-0.2, 0.2)
        knee = (hip + bend, -leg * 0.5)
        paint(c, stroke(f, hip, 0, *knee, thin * 1.7, thin * 1.1), coat * shade)
        paint(c, stroke(f, *knee, hip + step, -leg, thin * 1.1, thin * 0.9), coat * shade * (1 - foot))
    paint(c, stroke(f, -back, 0.02, back, u(-0.02, 0.06), deep, deep * u(0.9, 1.1)), coat)
    paint(c, ellipse(f, 0, -deep * 0.75, back, deep * 0.3) * u(0, 0.5), coat * 0.6 + 0.25 * chance(u, 0.5))


def sitting(c, f, u, coat):
    """A cat or a dog that sits: upright back, straight forelegs."""
    shadow(u, c, f, -0.82, 0.55)
    paint(c, ellipse(f, -0.2, -0.5, 0.4, 0.34), coat)
    paint(c, stroke(f, -0.15, -0.45, 0.12, 0.1, 0.32, 0.2), coat)
    for x, shade in ((0.32, 0.75), (0.17, 1)):
        paint(c, stroke(f, x - 0.05, 0, x, -0.8, 0.11, 0.08), coat * shade)
    paint(c, ellipse(f, -0.15, -0.74, 0.3, 0.09), coat * 0.85)


def cat_head(c, f, u, coat):
    """In a frame of its own: the head fills about -1..1, seen nearly from the front."""
    glow, nose = pick(u, rgb("c8c040 7fae4a d89a30 70a8c0")), pick(u, rgb("c88a80 3a2c2a"), 0.06)
    ear, turn, out = u(1.0, 1.45), u(-0.12, 0.2), u(0.85, 1.0)
    for side in (-1, 1):
        tip = (side * out, ear)
        points = [(side * 0.98, 0.15), tip, (side * 0.12, 0.75)]
        inner = [(side * 0.84, 0.4), (side * out * 0.92, ear * 0.84), (side * 0.36, 0.72)]
        paint(c, polygon(f, *points[::-side]), coat * 0.9)
        paint(c, polygon(f, *inner[::-side]), 0.5 * coat + 0.5 * nose)
    paint(c, ellipse(f, 0, 0, 1.02, u(0.8, 0.92)), coat)
    paint(c, ellipse(f, turn, -0.42, 0.5, 0.34), 0.35 * WHITE + 0.65 * coat)
    for side in (-1, 1):
        paint(c, ellipse(f, side * 0.42 + turn, 0.1, 0.23, 0.19), glow)
        paint(c, ellipse(f, side * 0.42 + turn, 0.1, u(0.06, 0.14), 0.18), DARK)
        for droop in (-0.1, 0.12):
            paint(c, stroke(f, side * 0.4 + turn, -0.35, side * 1.35, -0.35 + droop, 0.03) * 0.7, u(0.6, 1)[None])
    paint(c, polygon(f, (turn - 0.15, -0.2), (turn + 0.15, -0.2), (turn, -0.36)), nose)
    paint(c, stroke(f, turn, -0.36, turn, -0.55, 0.04), coat * 0.35)


def cat_stand(c, f, u):
    coat = surface(u, f, pick(u, COATS), bars, 0.8)
    back, leg = u(0.38, 0.5), u(0.45, 0.58)
    tx, ty = u(-1.0, -0.75), u(0.2, 0.5)
    paint(c, stroke(f, -back - 0.1, 0.1, tx, ty, 0.09, 0.07), coat * 0.9)
    paint(c, stroke(f, tx, ty, tx + u(-0.15, 0.2), ty + u(0.2, 0.4), 0.07, 0.05), coat * 0.9)
    four_legs(c, f, u, coat, back, u(0.19, 0.26), leg, 0.065)
    paint(c, stroke(f, back, 0.05, back + 0.15, 0.2, 0.2, 0.17), coat)
    cat_head(c, moved(f, back + u(0.15, 0.25), u(0.22, 0.38), u(-0.12, 0.12), u(0.26, 0.32)), u, coat)


def cat_sit(c, f, u):
    coat = surface(u, f, pick(u, COATS), bars, 0.8)
    tx = u(-0.95, -0.65)
    paint(c, stroke(f, -0.4, -0.72, tx, -0.7, 0.09), coat * 0.85)
    paint(c, stroke(f, tx, -0.7, tx + u(-0.1, 0.1), u(-0.4, 0.1), 0.08, 0.06), coat * 0.85)
    sitting(c, f, u, coat)
    cat_head(c, moved(f, 0.15 + u(-0.05, 0.05), 0.38, u(-0.15, 0.15), u(0.33, 0.4)), u, coat)


def cat_face(c, f, u):
    coat = surface(u, f, pick(u, COATS), bars, 0.8)
    paint(c, ellipse(f, u(-0.2, 0.2), -1.0, 0.85, 0.7), coat * 0.85)
    cat_head(c, moved(f, 0, -0.12, 0.0, 0.72), u, coat)


def dog_head(c, f, u, coat):
    """From the side, in a frame of its own: snout to the right, ear hanging."""
    dark, long = 0.35 + 0.5 * chance(u, 0.5), u(0.9, 1.5)
    paint(c, stroke(f, 0.3, -0.2, long, u(-0.42, -0.2), 0.42, 0.26), coat)
    paint(c, ellipse(f, 0, 0.05, 0.78, 0.72), coat)
    paint(c, ellipse(f, long + 0.16, -0.12, 0.17, 0.15), DARK)
    paint(c, stroke(f, 0.5, -0.5, long, -0.45, 0.05), coat * 0.3)
    paint(c, ellipse(f, long * 0.7, -0.75, 0.14, 0.28) * chance(u, 0.3), TONGUE)
    eye(c, f, 0.32, 0.2, 0.13)
    paint(c, ellipse(f, u(-0.4, -0.2), u(-0.2, 0.0), 0.3, u(0.55, 0.8), u(-0.2, 0.1)), coat * dark)


def dog_stand(c, f, u):
    coat = surface(u, f, pick(u, COATS), curls, 0.8)
    back, leg, hy = u(0.38, 0.52), u(0.45, 0.62), u(0.3, 0.45)
    paint(c, stroke(f, -back - 0.1, 0.1, -back - u(0.3, 0.5), u(0.05, 0.5), 0.09, 0.05), coat * 0.9)
    four_legs(c, f, u, coat, back, u(0.2, 0.27), leg, 0.075)
    paint(c, stroke(f, back, 0.05, back + 0.15, hy, 0.21, 0.16), coat)
    dog_head(c, moved(f, back + 0.15, hy, u(-0.15, 0.15), u(0.24, 0.3)), u, coat)


def dog_sit(c, f, u):
    coat = surface(u, f, pick(u, COATS), curls, 0.8)
    paint(c, stroke(f, -0.45, -0.7, u(-0.95, -0.7), u(-0.75, -0.4), 0.08, 0.05), coat * 0.85)
    sitting(c, f, u, coat)
    dog_head(c, moved(f, 0.15, 0.38, u(-0.15, 0.15), u(0.33, 0.4)), u, coat)


def dog_face(c, f, u):
    coat = surface(u, f, pick(u, COATS), curls, 0.8)
    ears, muzzle = coat * (0.4 + 0.5 * chance(u, 0.5)), 0.5 * coat + 0.5 * pick(u, COATS[1:5])
    drop, turn, wide = u(0.35, 0.6), u(-0.12, 0.12), u(0.5, 0.62)
    paint(c, ellipse(f, u(-0.2, 0.2), -1.0, 0.8, 0.6), coat * 0.85)
    paint(c, ellipse(f, 0, 0.05, wide, 0.62), coat)
    for side in (-1, 1):
        paint(c, ellipse(f, side * (wide + 0.05), 0.28 - drop * 0.5, 0.2, drop, side * u(0.05, 0.2)), ears)
    paint(c, ellipse(f, turn, -0.3, u(0.28, 0.38), 0.34), muzzle)
    for side in (-1, 1):
        eye(c, f, side * 0.24 + turn, 0.15, 0.085)
    paint(c, ellipse(f, turn, -0.17, 0.15, 0.11), DARK)
    paint(c, stroke(f, turn, -0.2, turn, -0.42, 0.03), coat * 0.3)
    paint(c, lens(f, turn, -0.4, 0.22, -0.06, -0.12), coat * 0.3)
    paint(c, ellipse(f, turn, -0.58, 0.11, 0.17) * chance(u, 0.45), TONGUE)


def long_head(c, f, u, coat, deep):
    """The head of a horse or a deer in a frame of its own: from the poll at 0 to the muzzle."""
    paint(c, stroke(f, 0, 0, 0.75, 0, deep, deep * 0.62), coat)
    paint(c, ellipse(f, 0.82, 0, deep * 0.75, deep * 0.7), coat * u(0.4, 1.1))
    eye(c, f, 0.22, 0.1, 0.07)


def horse(c, f, u):
    coat, mane = surface(u, f, pick(u, COATS), patches, 0.3), pick(u, COATS) * 0.7
    back, leg, reach, rise = u(0.4, 0.5), u(0.62, 0.78), u(0.2, 0.36), u(0.28, 0.55)
    tail = -back - u(0.22, 0.4)
    paint(c, stroke(f, -back - 0.12, 0.1, tail, 0.02, 0.07), mane)
    paint(c, stroke(f, tail, 0.02, tail + u(-0.1, 0.1), u(-0.55, -0.25), 0.09, 0.04), mane)
    four_legs(c, f, u, coat, back, u(0.22, 0.28), leg, 0.06, 0.2)
    nx, ny = back + reach, rise
    paint(c, stroke(f, back + 0.02, 0.05, nx, ny, 0.21, 0.12), coat)
    paint(c, stroke(f, back - 0.1, 0.2, nx - 0.1, ny + 0.08, 0.09, 0.08), mane)
    paint(c, polygon(f, (nx - 0.07, ny), (nx - 0.02, ny + 0.24), (nx + 0.06, ny)), coat * 0.9)
    long_head(c, moved(f, nx, ny, u(-0.45, -0.15), 0.46), u, coat, 0.29)
    paint(c, box(f, -0.22, 0.1, 0.1, 0.32) * chance(u, 0.2), pick(u, THINGS))  # a saddle


def horse_head(c, f, u):
    coat, mane = surface(u, f, pick(u, COATS), patches, 0.3), pick(u, COATS) * 0.7
    nx, ny = u(-0.1, 0.1), u(0.25, 0.42)
    paint(c, stroke(f, -0.75, -1.2, nx - 0.1, ny, 0.55, 0.26), coat)
    paint(c, stroke(f, -1.0, -0.7, nx - 0.3, ny + 0.12, 0.2, 0.16), mane)
    for x in (-0.16, 0.04):
        paint(c, polygon(f, (nx + x - 0.1, ny + 0.1), (nx + x, ny + 0.52), (nx + x + 0.12, ny + 0.1)), coat * 0.9)
    long_head(c, moved(f, nx, ny, u(-0.4, -0.18), 0.85), u, coat, 0.32)
    paint(c, stroke(f, nx + 0.1, ny + 0.3, nx + 0.35, ny + 0.05, 0.04, 0.1) * chance(u, 0.5), mane)
    paint(c, stroke(f, nx + 0.3, ny - 0.45, nx + 0.55, ny - 0.05, 0.03) * chance(u, 0.4), pick(u, THINGS))


def antlers(c, f, u, there):
    bone = pick(u, rgb("b79a72 8a6b4a d8c8a8"))
    for x in (u(-0.55, -0.3), u(0.25, 0.5)):
        top = u(0.75, 1.05)
        paint(c, stroke(f, 0, 0, x, top * 0.5, 0.07, 0.06) * there, bone)
        paint(c, stroke(f, x, top * 0.5, x * 0.9, top, 0.06, 0.04) * there, bone)
        paint(c, stroke(f, x, top * 0.5, x * 1.7, top * 0.75, 0.05, 0.04) * there, bone)
        paint(c, stroke(f, x * 0.6, top * 0.3, x * 0.1, top * 0.7, 0.05, 0.04) * there, bone)


def deer(c, f, u):
    coat = surface(u, f, pick(u, COATS), spots, 0.7)
    back, leg, reach, rise = u(0.34, 0.46), u(0.62, 0.8), u(0.1, 0.28), u(0.36, 0.6)
    paint(c, ellipse(f, -back - 0.2, 0.08, 0.1, 0.12), WHITE)
    four_legs(c, f, u, coat, back, u(0.16, 0.21), leg, 0.042)
    nx, ny = back + reach, rise
    paint(c, stroke(f, back + 0.02, 0.05, nx, ny, 0.15, 0.08), coat)
    antlers(c, moved(f, nx, ny + 0.05, u(-0.15, 0.15), u(0.42, 0.55)), u, chance(u, 0.7))
    for x in (-0.2, 0.12):
        paint(c, stroke(f, nx, ny + 0.03, nx + x, ny + 0.15, 0.05, 0.03), coat * 0.85)
    long_head(c, moved(f, nx, ny, u(-0.28, -0.05), 0.34), u, coat, 0.28)


def deer_face(c, f, u):
    coat, turn = surface(u, f, pick(u, COATS), spots, 0.7), u(-0.1, 0.1)
    paint(c, stroke(f, u(-0.3, 0.3), -1.2, 0, -0.2, 0.42, 0.25), coat * 0.85)
    antlers(c, moved(f, 0, 0.25, u(-0.1, 0.1), 0.85), u, chance(u, 0.7))
    for side in (-1, 1):
        paint(c, stroke(f, side * 0.2, 0.18, side * u(0.5, 0.65), u(0.2, 0.4), 0.11, 0.06), coat * 0.85)
    paint(c, ellipse(f, 0, 0.08, 0.33, 0.3), coat)
    paint(c, stroke(f, 0, 0.05, turn, -0.42, 0.27, 0.17), coat)
    paint(c, ellipse(f, turn, -0.48, 0.17, 0.14), 0.4 * WHITE + 0.6 * coat)
    paint(c, ellipse(f, turn, -0.42, 0.11, 0.08), DARK)
    for side in (-1, 1):
        eye(c, f, side * 0.24, 0.08, 0.07)


# Every drawing takes the canvas c, the object's frame f (it looks to the right) and the dice u.
# Each view: its class, its share of the class, the drawing, the scenes it is set in (drawn with
# equal chances), the sizes, and how far it may turn.
VIEWS = (
    ("airplane", 0.6, airplane_side, (SKY, SKY, SKY, SKY, ROAD, FIELD), (0.78, 0.98), 0.2),
    ("airplane", 0.4, airplane_top, (SKY, SKY, SKY, SKY, WATER, FIELD), (0.78, 0.98), 0.6),
    ("automobile", 0.6, automobile_side, (ROAD, ROAD, ROAD, FIELD), (0.78, 0.98), 0.07),
    ("automobile", 0.4, automobile_front, (ROAD, ROAD, ROAD, FIELD), (0.78, 0.98), 0.07),
    ("bird", 0.6, bird_perched, (SKY, SKY, FIELD, FIELD, WATER, ROAD), (0.78, 0.98), 0.15),
    ("bird", 0.4, bird_flying, (SKY, SKY, SKY, WATER), (0.78, 0.98), 0.25),
    ("cat", 0.35, cat_stand, (FIELD, FIELD, ROOM, ROAD), (0.78, 0.98), 0.1),
    ("cat", 0.3, cat_sit, (FIELD, FIELD, ROOM, ROAD), (0.78, 0.98), 0.1),
    ("cat", 0.35, cat_face, (FIELD, ROOM, ROOM, ROAD), (0.8, 1.05), 0.12),
    ("deer", 0.7, deer, (FIELD, FIELD, FIELD, WATER, ROAD), (0.78, 0.98), 0.08),
    ("deer", 0.3, deer_face, (FIELD, FIELD, FIELD, SKY), (0.8, 1.02), 0.1),
    ("dog", 0.35, dog_stand, (FIELD, FIELD, ROOM, ROAD, WATER), (0.78, 0.98), 0.1),
    ("dog", 0.3, dog_sit, (FIELD, FIELD, ROOM, ROAD), (0.78, 0.98), 0.1),
    ("dog", 0.35, dog_face, (FIELD, ROOM, ROOM, ROAD), (0.8, 1.05), 0.12),
    ("frog", 0.55, frog_side, (FIELD, FIELD, WATER, WATER, ROOM), (0.78, 0.98), 0.12),
    ("frog", 0.45, frog_front, (FIELD, FIELD, WATER, WATER, ROOM), (0.78, 1.0), 0.12),
    ("horse", 0.7, horse, (FIELD, FIELD, FIELD, WATER, ROAD), (0.78, 0.98), 0.08),
    ("horse", 0.3, horse_head, (FIELD, FIELD, SKY, ROAD), (0.8, 1.02), 0.1),
    ("ship", 0.65, ship_side, (WATER, WATER, WATER, WATER, SKY), (0.78, 0.98), 0.05),
    ("ship", 0.35, ship_sail, (WATER, WATER, WATER, WATER, SKY), (0.78, 0.98), 0.07),
    ("truck", 0.65, truck_side, (ROAD, ROAD, ROAD, FIELD), (0.78, 0.98), 0.07),
    ("truck", 0.35, truck_front, (ROAD, ROAD, ROAD, FIELD), (0.78, 0.98), 0.07),
)


def view_of(label, where):
    """The index in VIEWS for a picture of class `label`, given a random number in 0..1."""
    for index in (i for i, view in enumerate(VIEWS) if view[0] == OBJECTS[label]):
        where -= VIEWS[index][1]
        if where < 0:
            break
    return index


# ---- faces ----------------------------------------------------------------------------------

def face(u, smiling):
    """Faces for the labels `smiling` (m, 1) of 0 and 1: a canvas (1, m, 4096)."""
    f = page(64)
    m = len(smiling)
    canvas = np.empty((1, m, 4096), np.float32)
    canvas[:] = u(0.1, 0.9)
    paint(canvas, np.clip((smooth(u, 4096, 6, 6) - 0.4) * u(0.5, 4), 0, 1) * u(0, 0.8), u(0.1, 0.9)[None])
    paint(canvas, box(f, u(-1, 1), -1, u(-0.2, 1.5), u(-0.5, 1.2)) * chance(u, 0.4), u(0.1, 0.9)[None])
    f = pose(u, f, (1.1, 1.35), 0.09, 0.08)  # cropped close to the face, as SMILEsmileD is

    tone, shade, mop = u(0.35, 0.85), u(-0.25, 0.25), u(0.04, 0.75)
    skin = (tone * (1 + shade * f[0] + u(-0.1, 0.15) * f[1]))[None]
    hair = (mop * (0.8 + 0.5 * smooth(u, 4096, 4, 16)))[None]
    look, nod = u(-0.08, 0.08), u(-0.05, 0.05)  # where the head turns: the features move together
    wide, chin = u(0.56, 0.7), u(0.78, 0.92)
    long_hair, bald = chance(u, 0.4), chance(u, 0.12)

    paint(canvas, ellipse(f, 0, 0.1, wide + 0.18, 0.98) * (1 - bald), hair)
    paint(canvas, box(f, -wide - 0.14, u(-1.1, -0.5), wide + 0.14, 0.2) * long_hair, hair)
    paint(canvas, ellipse(f, u(-0.1, 0.1), -1.45, 1.1, 0.55), u(0.05, 0.95)[None])
    paint(canvas, stroke(f, 0, -0.6, 0, -1.0, 0.27), skin * 0.8)
    for side in (-1, 1):
        paint(canvas, ellipse(f, side * wide, 0, 0.1, 0.17), skin * 0.9)
    paint(canvas, ellipse(f, 0, 0.02, wide, chin), skin)
    fringe = u(0.42, 0.75)
    slope = u(-0.25, 0.25)
    below_fringe = cover(fringe + slope * f[0] - f[1], f[2])
    paint(canvas, ellipse(f, 0, 0.1, wide + 0.04, 0.9) * below_fringe * (1 - bald), hair)

    # The smile: its degree varies within each class, and the classes do not overlap.
    degree = smiling * u(0.3, 1.1) + (1 - smiling) * u(-0.9, 0.12)
    raised = np.maximum(degree, 0)
    ex, ey, brow = u(0.24, 0.31), 0.12 + nod, u(0.02, 0.06)
    open_eye = u(0.05, 0.11) * (1 - 0.35 * raised)
    frown = u(-0.05, 0.05)
    for side in (-1, 1):
        at = side * ex + look
        paint(canvas, lens(f, at, ey, 0.14, open_eye, -open_eye * u(0.7, 1)), np.minimum(tone + 0.3, 0.97)[None])
        paint(canvas, ellipse(f, at + look * 0.3, ey, 0.055, np.minimum(open_eye, 0.06)), u(0.03, 0.25)[None])
        paint(canvas, lens(f, at, ey, 0.15, open_eye + 0.03, open_eye - 0.01), skin * 0.45)
        paint(canvas, stroke(f, at - side * 0.13, ey + 0.2 + frown, at + side * 0.13, ey + 0.2 - frown, brow),
              hair * 0.7)
        paint(canvas, ellipse(f, side * 0.36 + look, -0.2 + nod + 0.05 * raised, 0.14, 0.1) * u(0, 0.6),
              skin * 1.12)
    paint(canvas, stroke(f, look * 1.2, ey, look * 1.6, -0.13 + nod, 0.035, 0.05) * u(0.1, 0.6),
          skin * u(0.75, 1.2))
    paint(canvas, ellipse(f, look * 1.6, -0.17 + nod, u(0.08, 0.13), 0.045), skin * 0.72)

    # A beard, then the mouth upon it.
    mx, my = look * 1.2, u(-0.5, -0.42) + nod
    beard = chance(u, 0.2)
    jaw = ellipse(f, 0, 0.02, wide, chin) * cover(f[1] - my - u(-0.1, 0.16), f[2])
    paint(canvas, jaw * beard * u(0.4, 0.95), hair * 0.9)
    paint(canvas, stroke(f, mx - 0.2, my + 0.13, mx + 0.2, my + 0.13, 0.05) * chance(u, 0.12), hair * 0.8)
    ajar = chance(u, 0.5)
    # An open mouth whose corners do not hang would look like a smile, so it becomes an "o".
    rounded = np.maximum(chance(u, 0.5), degree > -0.4) * ajar * (1 - smiling)
    half = u(0.19, 0.27) * (1 + 0.25 * raised) * (1 - 0.5 * rounded)
    bend = 0.19 * degree
    lip = skin * u(0.45, 0.8)
    top = my + bend * 0.7
    paint(canvas, lens(f, mx, top, half, -bend + 0.035, -bend - 0.05), lip)
    drop = u(0.04, 0.18)
    paint(canvas, lens(f, mx, top, half, -bend * 0.9, -bend - drop - 0.04) * ajar, lip)
    inside = lens(f, mx, top, half * 0.88, -bend * 0.9 - 0.01, -bend - drop) * ajar
    paint(canvas, inside, u(0.05, 0.2)[None])
    paint(canvas, inside * cover(top - bend - drop * u(0.1, 0.9) - f[1], f[2]) * chance(u, 0.75), u(0.75, 1)[None])
    for side in (-1, 1):  # folds beside the mouth
        paint(canvas, stroke(f, mx + side * 0.17, my + 0.24, mx + side * (half + 0.08), my + 0.12, 0.018)
              * np.clip(raised + u(-0.3, 0.4), 0, 0.8), skin * 0.8)

    glasses, rim = chance(u, 0.25), u(0.03, 0.4)[None]
    for side in (-1, 1):
        at = side * ex + look
        ring = ellipse(f, at, ey, 0.21, 0.17) - ellipse(f, at, ey, 0.175, 0.135)
        paint(canvas, np.clip(ring, 0, 1) * glasses, rim)
        paint(canvas, stroke(f, look, ey + 0.03, at - side * 0.18, ey + 0.03, 0.02) * glasses, rim)
    return canvas


# ---- camera ---------------------------------------------------------------------------------

def soften(canvas, side, amount):
    """Blur a little: each pixel gives `amount` of its light to each neighbour."""
    grid = canvas.reshape(*canvas.shape[:2], side, side)
    amount = amount[None, :, :, None]
    for axis in (2, 3):
        edge = [(0, 0)] * 4
        edge[axis] = (1, 1)
        wide = np.pad(grid, edge, mode="edge")
        before = np.take(wide, np.arange(side), axis)
        after = np.take(wide, np.arange(2, side + 2), axis)
        grid = grid + amount * (before - 2 * grid + after)
    return grid.reshape(canvas.shape)


def photograph(u, canvas, noise, side):
    """Light, contrast, colour cast, blur and grain; returns uint8 (m, side, side, channels)."""
    x, y, _ = page(side)
    canvas = soften(canvas, side, u(0, 0.12))
    light = 1 + u(-0.18, 0.18) * x + u(-0.18, 0.18) * y
    cast = u(0.94, 1.06, 3).T[: len(canvas), :, None]
    canvas = (canvas * cast * light - 0.5) * u(0.85, 1.2) + u(0.44, 0.56) + noise * u(0.01, 0.06)
    shades = np.floor(np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(shades.transpose(1, 2, 0)).reshape(-1, side, side, len(canvas))


def checked(n):
    if isinstance(n, (bool, np.bool_)) or not isinstance(n, (int, np.integer)) or n < 0:
        raise CourseError(f"The number of pictures must be a whole number, 0 or more, not {n!r}.")
    return int(n)


def labels(n, classes, seed):
    """Shuffled labels (n,): every run of `classes` labels holds each class once."""
    order = np.random.RandomState([seed, 0])
    rounds = [order.permutation(classes) for _ in range(-(-n // classes))]
    return np.array(rounds, np.int64).reshape(-1)[:n]


def uniform(stream, *shape):
    """Random numbers in 0 <= u < 1 as float32: cut, because a rounded one could become 1."""
    return np.floor(stream.random_sample(shape) * 2**24).astype(np.float32) / np.float32(2**24)


def chunks(n, seed, size, count):
    """For each `count` pictures: their slice, their dice (k, DICE) and their grain (k, size)."""
    # Two streams, read picture by picture: a picture does not depend on n nor on the chunk size.
    dice_stream, grain_stream = np.random.RandomState([seed, 1]), np.random.RandomState([seed, 2])
    for start in range(0, n, count):
        k = min(count, n - start)
        grain = uniform(grain_stream, k, 2, size)
        yield slice(start, start + k), uniform(dice_stream, k, DICE), grain[:, 0] - grain[:, 1]


def objects(n, seed=0, advance=None):
    """Draw `n` pictures of the ten objects.

    Parameters
    ----------
    n : int
        How many pictures, 0 or more.
    seed : int
        Which pictures: 0 to 2**32 - 1. The first k of n pictures are the pictures of ``objects(k, seed)``.
    advance : function, optional
        Called with k when k more pictures are drawn.

    Returns
    -------
    x : ndarray of uint8, shape (n, 32, 32, 3)
        The pictures in RGB, 0 to 255.
    y : ndarray of int64, shape (n,)
        Their classes, indices in `OBJECTS`; class counts differ by at most one.
    """
    n = checked(n)
    x, y, frame = np.empty((n, 32, 32, 3), np.uint8), labels(n, 10, seed), page(32)
    for part, table, noise in chunks(n, seed, 3 * 1024, 640):
        views = np.array([view_of(label, row[0]) for label, row in zip(y[part], table)])
        pictures = x[part]
        for index, (_, _, draw, scenes, size, tilt) in enumerate(VIEWS):
            chosen = np.flatnonzero(views == index)
            if not len(chosen):
                continue
            u = dice(table[chosen, 1:])
            kind = np.array(scenes)[np.floor(u(0, len(scenes)))[:, 0].astype(np.int64)]
            canvas = backdrop(u, kind, frame)
            draw(canvas, pose(u, frame, size, tilt), u)
            foreground(u, canvas, frame)
            grain = noise[chosen].reshape(-1, 3, 1024).transpose(1, 0, 2)
            pictures[chosen] = photograph(u, canvas, grain, 32)
        if advance:
            advance(len(pictures))
    return x, y


def faces(n, seed=0, advance=None):
    """Draw `n` grey pictures of faces.

    Parameters
    ----------
    n : int
        How many pictures, 0 or more.
    seed : int
        Which pictures: 0 to 2**32 - 1. The first k of n pictures are the pictures of ``faces(k, seed)``.
    advance : function, optional
        Called with k when k more pictures are drawn.

    Returns
    -------
    x : ndarray of uint8, shape (n, 64, 64, 1)
        The pictures, 0 (black) to 255 (white).
    y : ndarray of int64, shape (n,)
        1 where the face smiles, else 0; the two counts differ by at most one.
    """
    n = checked(n)
    x, y = np.empty((n, 64, 64, 1), np.uint8), labels(n, 2, seed)
    for part, table, noise in chunks(n, seed, 4096, 64):
        u = dice(table)
        canvas = face(u, y[part][:, None].astype(np.float32))
        x[part] = photograph(u, canvas, noise[None], 64)
        if advance:
            advance(len(table))
    return x, y
