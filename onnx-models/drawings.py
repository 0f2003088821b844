"""Draws parts on a plate and flaws on a surface, as a camera from above would see them: RGB arrays of bytes.

A part is a field of heights over a square from -1 to 1; light from one side makes a picture of it. All chance comes from the
generator that is handed in, so that a seed gives the same picture each time. Used by make_inputs.py and make_samples.py.
"""

import cv2
import numpy as np

SIDE = 480
STEEL, BRASS, COPPER, CAST, RUBBER = (150, 152, 158), (180, 160, 90), (176, 110, 60), (110, 105, 100), (44, 44, 48)


def disc(x, y, radius):
    return radius - np.hypot(x, y)


def box(x, y, wide, high):
    return np.minimum(wide - abs(x), high - abs(y))


def hexagon(x, y, radius):
    return np.min([radius - (x * np.cos(turn) + y * np.sin(turn)) for turn in np.arange(6) * np.pi / 3], 0)


def bevelled(depth, height, edge=0.05):
    """A plate with rounded edges; `depth` is how far a place is from the rim."""
    slope = np.sqrt(np.clip(1 - (1 - np.clip(depth / edge, 0, 1)) ** 2, 0, 1))
    return np.where(depth > 0, height * slope, 0)


def rod(depth, radius):
    return np.where(depth > 0, np.sqrt(np.clip(radius ** 2 - (radius - depth) ** 2, 0, None)), 0)


def without(height, holes):
    return np.where(np.max(holes, 0) > 0, 0, height)


def around(x, y, count, distance, radius):
    turns = np.arange(count) * 2 * np.pi / count
    return [disc(x - distance * np.cos(turn), y - distance * np.sin(turn), radius) for turn in turns]


def bolt(x, y):
    shank = rod(np.where((y > -0.45) & (y < 0.7), 0.14 - abs(x), -1), 0.14)
    thread = np.where((y > 0) & (shank > 0), 0.02 * np.sin(y * 90 + x * 6), 0)
    return np.maximum(shank + thread, bevelled(box(x, y + 0.58, 0.3, 0.13), 0.2))


def wood_screw(x, y):
    width = 0.13 * np.clip((0.75 - y) / 1.2, 0, 1) + 0.01
    shank = np.where((y > -0.5) & (y < 0.75), np.sqrt(np.clip(width ** 2 - x ** 2, 0, None)), 0)
    thread = np.where(shank > 0, 0.03 * np.sin(y * 55 + x * 8), 0)
    cone = np.sqrt(np.clip((0.1 - (0.5 + y) * 0.9) ** 2 - x ** 2, 0, None))
    return np.maximum(shank + thread, np.where((y > -0.75) & (y <= -0.5), cone, 0))


def nut(x, y):
    return without(bevelled(hexagon(x, y, 0.45), 0.25, 0.08), [disc(x, y, 0.24)])


def washer(x, y):
    return without(bevelled(disc(x, y, 0.6), 0.06, 0.03), [disc(x, y, 0.28)])


def gear(x, y):
    rim = 0.62 + 0.07 * np.tanh(6 * np.sin(18 * np.arctan2(y, x)))
    return without(bevelled(rim - np.hypot(x, y), 0.18, 0.03), [disc(x, y, 0.13), *around(x, y, 5, 0.36, 0.11)])


def bearing(x, y):
    far = np.hypot(x, y)
    races = np.where((far > 0.5) & (far < 0.7) | (far > 0.25) & (far < 0.38), 0.2, 0)
    return np.max([races, *(2 * rod(ball, 0.075) for ball in around(x, y, 9, 0.44, 0.075))], 0)


def bracket(x, y):
    plate = bevelled(np.maximum(box(x + 0.4, y, 0.16, 0.65), box(x, y - 0.5, 0.56, 0.16)), 0.08, 0.03)
    return without(plate, [disc(x + 0.4, y + 0.45, 0.07), disc(x + 0.4, y, 0.07), disc(x - 0.35, y - 0.5, 0.07)])


def pipe_tee(x, y):
    run = rod(np.where(abs(x) < 0.7, 0.2 - abs(y + 0.2), -1), 0.2)
    branch = rod(np.where((y > -0.2) & (y < 0.65), 0.2 - abs(x), -1), 0.2)
    collars = np.where((abs(x) > 0.55) & (abs(x) < 0.72), rod(0.25 - abs(y + 0.2), 0.25), 0)
    return np.max([run, branch, collars, np.where((y > 0.5) & (y < 0.67), rod(0.25 - abs(x), 0.25), 0)], 0)


def spring(x, y):
    coils = [rod(np.where(abs(x) < 0.3, 0.045 - abs(y - at - 0.12 * x), -1), 0.045) for at in np.arange(9) * 0.15 - 0.6]
    return 2 * np.max(coils, 0)


def o_ring(x, y):
    return rod(0.07 - abs(np.hypot(x, y) - 0.55), 0.07)


def wrench(x, y):
    shape = np.max([box(x, y, 0.09, 0.5), disc(x, y + 0.55, 0.24), disc(x, y - 0.55, 0.2)], 0)
    return without(bevelled(shape, 0.12, 0.04), [box(x, y + 0.72, 0.1, 0.2), hexagon(x, y - 0.55, 0.11)])


def dowel(x, y):
    return rod(np.where(abs(y) < 0.6, 0.16 - abs(x), -1), 0.16)


PARTS = {"bolt": (bolt, STEEL), "wood screw": (wood_screw, BRASS), "nut": (nut, STEEL), "washer": (washer, STEEL),
         "gear": (gear, CAST), "bearing": (bearing, STEEL), "bracket": (bracket, STEEL), "pipe tee": (pipe_tee, COPPER)}
# Nobody enrols these.
OTHERS = {"spring": (spring, STEEL), "o-ring": (o_ring, RUBBER), "wrench": (wrench, STEEL), "dowel": (dowel, RUBBER)}


def photograph(part, random, turn=0.0, size=0.85, at=(0, 0), light=(-0.5, -0.6), plate=(196, 190, 180), noise=4):
    """A part on a plate; `turn` degrees, `at` and `light` as (right, down), `size` 1 for as large as the picture."""
    heights, colour = (PARTS | OTHERS)[part]
    axis = ((np.arange(SIDE) + 0.5) / SIDE * 2 - 1)
    x, y = np.meshgrid(axis - at[0], axis - at[1])
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    height = heights((cos * x + sin * y) / size, (cos * y - sin * x) / size)
    mask = cv2.GaussianBlur((height > 0.005).astype(np.float32), (0, 0), 0.8)[..., None]
    down, right = np.gradient(cv2.GaussianBlur(height.astype(np.float32), (0, 0), 1.2) * SIDE / 2 * size)

    sun = np.array([*light, 0.65]) / np.linalg.norm([*light, 0.65])
    steep = np.sqrt(right ** 2 + down ** 2 + 1)
    lit = np.clip((sun[2] - right * sun[0] - down * sun[1]) / steep, 0, None)
    gleam = np.clip(2 * lit / steep - sun[2], 0, 1) ** 12
    surface = np.array(colour, float) * (0.35 + 0.75 * lit[..., None]) + 150 * gleam[..., None]

    grain = cv2.GaussianBlur(random.normal(0, 1, (SIDE, SIDE)).astype(np.float32), (0, 0), 3) * 18
    move = [int(-SIDE * 0.04 * way) for way in (sun[1], sun[0])]
    shadow = cv2.GaussianBlur(np.roll(mask[..., 0], move, (0, 1)), (0, 0), SIDE / 60)
    floor = (np.array(plate, float) + grain[..., None]) * (1 - 0.45 * shadow[..., None])

    fall = np.linspace(random.uniform(0.8, 1), random.uniform(0.9, 1.1), SIDE)[None, :, None]
    pixels = cv2.GaussianBlur((floor * (1 - mask) + surface * mask) * fall, (0, 0), 0.9)
    return np.clip(pixels + random.normal(0, noise, pixels.shape), 0, 255).astype(np.uint8)


def any_photograph(part, random):
    """As it may lie there: turned, nearer or farther, off the middle, under another light, and cropped each third time."""
    way = random.uniform(0, 2 * np.pi)
    pixels = photograph(part, random, random.uniform(0, 360), random.uniform(0.6, 1), random.uniform(-0.12, 0.12, 2),
                        (np.cos(way) * 0.6, np.sin(way) * 0.6), np.array((196, 190, 180)) * random.uniform(0.7, 1.15),
                        random.uniform(3, 9))
    if random.uniform() < 1 / 3:
        cut = int(random.uniform(20, 60))
        pixels = pixels[cut:SIDE - cut // 2, cut // 2:SIDE - cut]
    return pixels


def lit(surface, random):
    """A picture of a surface under a light that differs from side to side, by a camera that has some noise and stores JPEG."""
    fall = np.linspace(random.uniform(0.85, 1.1), random.uniform(0.85, 1.1), surface.shape[1])[None, :, None]
    pixels = np.clip(surface * fall + random.normal(0, 3, surface.shape), 0, 255).astype(np.uint8)
    _, stored = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(80, 96))])
    return cv2.imdecode(stored, cv2.IMREAD_COLOR)


def flawed(surface, kind, random):
    """A picture of a surface with one flaw: `scratch`, `stain`, `smear` (its grain is lost) or `part` (something lies on it)."""
    side = surface.shape[0]
    pixels, mask = surface.astype(np.float32), np.zeros(surface.shape[:2], np.float32)
    at = random.uniform(0.2, 0.8, 2) * side
    if kind == "scratch":
        steps = random.normal(0, 3, (25, 2)) + random.uniform(-4, 4, 2)
        path = np.cumsum(np.vstack([at, steps]), 0).astype(np.int32)
        cv2.polylines(mask, [path], False, 1.0, int(random.integers(2, 4)))
        over = random.choice([25, 235])
    elif kind == "stain":
        axes = int(random.uniform(12, 26)), int(random.uniform(9, 20))
        cv2.ellipse(mask, [int(place) for place in at], axes, random.uniform(0, 180), 0, 360, 1.0, -1)
        mask, over = cv2.GaussianBlur(mask, (0, 0), 3) * 0.75, random.choice([30, 220])
    elif kind == "smear":
        cv2.circle(mask, [int(place) for place in at], int(random.uniform(14, 24)), 1.0, -1)
        mask, over = cv2.GaussianBlur(mask, (0, 0), 2), cv2.GaussianBlur(pixels, (0, 0), 10)
    else:
        part = str(random.choice(sorted(PARTS)))
        size, turn = int(random.uniform(50, 80)), random.uniform(0, 360)
        bare = photograph(part, np.random.default_rng(0), turn, noise=0)
        cos, sin, axis = np.cos(np.radians(turn)), np.sin(np.radians(turn)), (np.arange(SIDE) + 0.5) / SIDE * 2 - 1
        x, y = np.meshgrid(axis, axis)
        shape = PARTS[part][0]((cos * x + sin * y) / 0.85, (cos * y - sin * x) / 0.85) > 0.005
        left, top = [int(np.clip(place - size / 2, 0, side - size)) for place in at]
        place = slice(top, top + size), slice(left, left + size)
        mask[place] = cv2.resize(shape.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
        over = np.zeros_like(pixels)
        over[place] = cv2.resize(bare, (size, size), interpolation=cv2.INTER_AREA)
    return np.clip(pixels * (1 - mask[..., None]) + over * mask[..., None], 0, 255).astype(np.uint8)


FLAWS = ["scratch", "stain", "smear", "part"]
