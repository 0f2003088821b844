#!/usr/bin/env python3
"""Makes the golden inputs of the bundles. They are committed; run this only to change them, then make_goldens.py.

Nothing here was recorded in a plant. The photographs are drawn: a label with a real font on paper, seen at an angle,
unevenly lit, a little out of focus, with sensor noise, saved by a real JPEG encoder, some of them turned by their EXIF
orientation as a phone does. The speech is spoken by eSpeak NG. The files for file-type are real files of their types,
written by the usual libraries. Parts are drawn by drawings.py; bricks are cut from a photograph by CC0Textures (Bricks25,
CC0) that scikit-image brings, and their flaws are drawn.

    python3 onnx-models/make_inputs.py [BUNDLE ...]     all of them unless some are named

Needs: pip install pillow numpy opencv-python-headless scikit-image==0.26.0 onnxruntime; Debian: fonts-dejavu-core fonts-liberation espeak-ng.
"""

import argparse
import gzip
import io
import json
import subprocess
import tarfile
import wave
import zipfile
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import drawings
from fit_surface import brick

HERE = Path(__file__).resolve().parent
DEJAVU = "/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf"
SANS = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf"
MONO = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf"
LIBERATION = "/usr/share/fonts/truetype/liberation/LiberationSans-Regular.ttf"


def photograph(text, font, size, seed, tilt=0.02, paper=(236, 232, 220), ink=(38, 36, 44), margin=0.5):
    """One printed line as a camera would see it: RGB."""
    random = np.random.default_rng(seed)
    face = ImageFont.truetype(font, size)
    left, top, right, bottom = face.getbbox(text)
    margin = int(size * margin)
    width, height = right - left + 2 * margin, bottom - top + 2 * margin
    label = Image.new("RGB", (width, height), paper)
    ImageDraw.Draw(label).text((margin - left, margin - top), text, font=face, fill=ink)
    return camera(label, size, random, tilt)


def camera(label, size, random, tilt):
    """What a camera makes of a label whose letters are `size` pixels high: RGB."""
    width, height = label.size
    pixels = np.asarray(label).astype(np.float32)

    # Seen at an angle: the corners move by a few percent of the height.
    shift = lambda: random.uniform(-tilt, tilt, 2) * (width * 0.3, height * 2)
    corners = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    seen = np.float32([corner + shift() for corner in corners])
    matrix = cv2.getPerspectiveTransform(corners, seen)
    pixels = cv2.warpPerspective(pixels, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)

    # Lit from one side, slightly out of focus, noisy.
    light = np.linspace(random.uniform(0.75, 0.9), random.uniform(0.95, 1.05), width)[None, :, None]
    pixels = cv2.GaussianBlur(pixels * light, (0, 0), size / 60)
    pixels += random.normal(0, 4, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def jpeg(image, path, orientation=None):
    """Saves a photograph; with an EXIF orientation the pixels are stored turned the other way."""
    exif = Image.Exif()
    if orientation is not None:
        stored = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
        image = image.transpose(stored[orientation])
        exif[0x0112] = orientation
    image.save(path, "JPEG", quality=88, exif=exif)


def text_line(directory):
    jpeg(photograph("LOT:4711-A23", DEJAVU, 96, 1), directory / "lot.jpg")
    jpeg(photograph("EXP 2027-03-31", MONO, 72, 2), directory / "expiry-turned.jpg", orientation=6)
    jpeg(photograph("Keep dry. This side up. Do not stack.", LIBERATION, 64, 3), directory / "handling.jpg")
    photograph("SN 0093-5521-X7", DEJAVU, 32, 4, margin=0.2).save(directory / "serial.png")


def text_direction(directory):
    line = photograph("LOT:4711-A23", DEJAVU, 96, 1)
    jpeg(line, directory / "upright.jpg")
    jpeg(line.transpose(Image.Transpose.ROTATE_180), directory / "upside-down.jpg")
    jpeg(photograph("Pump P-204 north", LIBERATION, 64, 5), directory / "upright-turned.jpg", orientation=3)


def labels(lines, canvas, seed, tilt=0.02, turn=0, paper=(236, 232, 220), ink=(38, 36, 44)):
    """Several lines at different places of one label, as (text, font, size, left, top); `turn` degrees against the clock."""
    random = np.random.default_rng(seed)
    label = Image.new("RGB", canvas, paper)
    for text, font, size, left, top in lines:
        ImageDraw.Draw(label).text((left, top), text, font=ImageFont.truetype(font, size), fill=ink, anchor="lt")
    label = label.rotate(turn, Image.Resampling.BICUBIC, fillcolor=paper)
    return camera(label, min([line[2] for line in lines], default=24), random, tilt)


def text_boxes(directory):
    jpeg(labels([
        ("NORTHERN VALVE WORKS", DEJAVU, 56, 90, 80), ("Pressure regulator", SANS, 40, 90, 190),
        ("Type PR-25/16", SANS, 40, 90, 270), ("PN 40", DEJAVU, 64, 960, 230), ("LOT:4711-A23", MONO, 48, 90, 430),
        ("EXP 2031-03-31", MONO, 48, 730, 430), ("Keep dry. This side up. Do not stack.", SANS, 30, 90, 610),
        ("SN 0093-5521-X7", MONO, 36, 90, 800), ("2 of 4", SANS, 36, 1080, 800)],
        (1280, 960), 21), directory / "shipping.jpg")
    jpeg(labels([
        ("Pump P-204 north", SANS, 36, 50, 60), ("230 V  50 Hz  1.5 kW", MONO, 28, 50, 190),
        ("IP 54", DEJAVU, 40, 430, 320), ("No. 88312", SANS, 28, 50, 400)],
        (640, 480), 22), directory / "nameplate-turned.jpg", orientation=6)
    jpeg(labels([("CAUTION HOT", DEJAVU, 44, 90, 190), ("Wait 10 minutes", SANS, 32, 110, 300)],
                (480, 480), 23, turn=14), directory / "tilted.jpg")
    labels([("BATCH 17", DEJAVU, 24, 60, 60), ("OK", DEJAVU, 24, 70, 110)], (250, 160), 24).save(directory / "small.png")
    jpeg(labels([], (320, 240), 25), directory / "blank.jpg")


def form(rows, columns, canvas, seed, corner=(60, 55)):
    """A ruled form with words in its cells; heights of rows and widths of columns in pixels."""
    paper, ink = (236, 232, 220), (38, 36, 44)
    sheet = Image.new("RGB", canvas, paper)
    draw, face = ImageDraw.Draw(sheet), ImageFont.truetype(SANS, 26)
    xs, ys = [[start + sum(sizes[:at]) for at in range(len(sizes) + 1)]
              for start, sizes in zip(corner, (columns, rows))]
    for x in xs:
        draw.line([(x, ys[0]), (x, ys[-1])], fill=ink, width=3)
    for y in ys:
        draw.line([(xs[0], y), (xs[-1], y)], fill=ink, width=3)
    words = ["Part", "Count", "LOT 4711", "12", "Seal 40x52", "3", "Valve", "7", "Checked", "yes", "Date", "2031-03"]
    cells = [(x, y, high) for y, high in zip(ys, rows) for x in xs[:-1]]
    for (x, y, high), word in zip(cells, words * 4):
        draw.text((x + 14, y + high // 3), word, font=face, fill=ink)
    return camera(sheet, 40, np.random.default_rng(seed), 0.01)


def table_lines(directory):
    jpeg(form([70, 70, 70, 70], [260, 140, 220], (760, 420), 31), directory / "form.jpg")
    jpeg(form([90, 120, 90], [180, 180], (480, 400), 32), directory / "form-turned.jpg", orientation=6)
    jpeg(labels([("No table here", DEJAVU, 40, 60, 80), ("only some words", SANS, 32, 60, 160)], (480, 300), 33),
         directory / "words.jpg")


def character_boxes(directory):
    jpeg(labels([("PN 40", DEJAVU, 48, 200, 150)], (800, 600), 43), directory / "pressure.jpg")
    jpeg(labels([("K7", DEJAVU, 64, 300, 250)], (1000, 700), 44), directory / "mark-turned.jpg", orientation=6)
    jpeg(labels([], (320, 240), 45), directory / "blank.jpg")


def label_reader(directory):
    face = lambda font, size: ImageFont.truetype(font, size)
    paper, ink = (236, 232, 220), (38, 36, 44)
    # One line was stuck on upside down, one runs down the edge.
    label = Image.new("RGB", (960, 720), paper)
    draw = ImageDraw.Draw(label)
    for text, font, size, left, top in [
            ("HARBOUR PUMPS LTD", DEJAVU, 48, 60, 60), ("Model HP-300", SANS, 36, 60, 160),
            ("400 V", MONO, 36, 640, 166), ("Serial 7741-0925", MONO, 40, 60, 260),
            ("Oil: ISO VG 46", SANS, 34, 60, 560), ("Made 2026-11", SANS, 34, 560, 566)]:
        draw.text((left, top), text, font=face(font, size), fill=ink, anchor="lt")
    sticker = Image.new("RGB", (520, 90), (250, 214, 90))
    ImageDraw.Draw(sticker).text((30, 20), "INSPECTED 2026-10", font=face(DEJAVU, 44), fill=ink, anchor="lt")
    label.paste(sticker.transpose(Image.Transpose.ROTATE_180), (60, 380))
    edge = Image.new("RGB", (420, 60), paper)
    ImageDraw.Draw(edge).text((10, 10), "PART 55-108-C", font=face(MONO, 36), fill=ink, anchor="lt")
    label.paste(edge.transpose(Image.Transpose.ROTATE_270), (880, 80))
    jpeg(camera(label, 34, np.random.default_rng(31), 0.015), directory / "pump.jpg")
    jpeg(labels([("CRATE 12/40", DEJAVU, 40, 60, 70), ("SN:7741-0925", DEJAVU, 36, 60, 180)], (560, 300), 32, turn=6),
         directory / "crate-turned.jpg", orientation=8)
    jpeg(labels([], (320, 240), 33), directory / "without-text.jpg")


def file_type(directory):
    def write(name, content):
        (directory / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    write("config.json", json.dumps({"node": "press-7", "cameras": [{"id": n, "fps": 25} for n in range(20)]}, indent=2))
    write("script.py", (HERE / "fetch.py").read_text()[:3000])
    write("readings.csv", "time,celsius,bar\n" + "".join(
        f"2026-11-22T10:{n:02d}:00Z,{20 + n / 7:.2f},{1 + n / 100:.3f}\n" for n in range(60)))
    write("unit.ini", "[Unit]\nDescription=Edge inference\nAfter=network.target\n\n[Service]\nType=notify\n"
          "ExecStart=/usr/bin/edged\nRestart=always\n")
    write("note.txt", "x = 1; y := 2; z <- 3\n")
    write("noise.bin", np.random.default_rng(11).integers(0, 256, 3000, dtype=np.uint8).tobytes())
    write("short.txt", "ok\n")
    write("blank.bin", b" \n" * 5000)
    write("log.txt.gz", gzip.compress(b"".join(b"line %d of the log\n" % n for n in range(400)), mtime=0))
    picture = io.BytesIO()
    photograph("A1", DEJAVU, 24, 6).save(picture, "PNG")
    write("picture.png", picture.getvalue())
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ["a.txt", "b.txt"]:
            entry = tarfile.TarInfo(name)
            entry.size = 1000
            tar.addfile(entry, io.BytesIO(name.encode() * 200))
    write("archive.tar", archive.getvalue())
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as pack:
        pack.writestr(zipfile.ZipInfo("readme.txt", (2026, 1, 1, 0, 0, 0)), "Read me. " * 300)
    write("package.zip", packed.getvalue())


def speak(text):
    """eSpeak's 22,050 samples per second, one channel, 16 bit."""
    spoken = subprocess.run(["espeak-ng", "-v", "en", "-s", "150", "--stdout", text], check=True, capture_output=True)
    # Its header claims an unknown length, so the samples are taken from behind it.
    return np.frombuffer(spoken.stdout[44:], dtype="<i2").astype(np.float64) / 32768


def save(path, samples, rate, channels=1, width=2):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        if width == 1:
            file.writeframes((np.clip(samples, -1, 1) * 127 + 128).astype(np.uint8).tobytes())
        else:
            file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


def speech(directory):
    random = np.random.default_rng(7)
    noise = lambda count, loud: random.normal(0, loud, count)
    silence = lambda seconds, rate: np.zeros(int(seconds * rate))
    first, second = speak("Conveyor three has stopped."), speak("Pressure is back to normal.")
    whole = np.concatenate([silence(0.7, 22050), first, silence(1.2, 22050), second, silence(0.5, 22050)])

    # At the model's own rate, with a little room noise.
    count = int(len(whole) * 16000 / 22050)
    same = np.interp(np.arange(count) * 22050 / 16000, np.arange(len(whole)), whole)
    save(directory / "two-sentences.wav", same * 0.8 + noise(count, 0.001), 16000)
    # At another rate, in stereo, one channel quieter.
    short = np.concatenate([silence(0.4, 22050), first, silence(0.4, 22050)])
    save(directory / "stereo-22050.wav", np.stack([short, short * 0.5], axis=1).reshape(-1), 22050, channels=2)
    # Nobody speaks.
    save(directory / "hum.wav", noise(16000, 0.01) + 0.05 * np.sin(np.arange(16000) * 2 * np.pi * 50 / 8000), 8000,
         width=1)


def part_type(directory):
    random = np.random.default_rng(51)
    draw = lambda part, **how: Image.fromarray(drawings.photograph(part, random, **how))
    jpeg(draw("bolt", turn=35, at=(0.08, -0.05), light=(0.5, -0.4)), directory / "bolt.jpg")
    jpeg(draw("gear", turn=10, size=0.7, plate=(150, 146, 138)).crop((0, 40, 480, 420)), directory / "gear-turned.jpg",
         orientation=6)
    draw("pipe tee", turn=200, size=0.75, noise=7).save(directory / "pipe-tee.png")
    jpeg(draw("wrench", turn=300), directory / "nobody-knows.jpg")


def surface_flaws(directory):
    random = np.random.default_rng(52)
    good, scratch, stain, part = (Image.fromarray(pixels) for pixels in [
        pixels if kind is None else drawings.flawed(pixels, kind, random)
        for kind, pixels in zip([None, "scratch", "stain", "part"], brick((288, 512), 4, seed=53))])
    jpeg(good, directory / "good.jpg")
    jpeg(scratch, directory / "scratch-turned.jpg", orientation=8)
    jpeg(stain, directory / "stain.jpg")
    # A larger picture than the model takes.
    jpeg(part.resize((448, 448), Image.Resampling.BICUBIC), directory / "part.jpg")


MAKERS = {"text-line": text_line, "text-direction": text_direction, "text-boxes": text_boxes,
          "label-reader": label_reader, "file-type": file_type,
          "speech": speech, "table-lines": table_lines, "character-boxes": character_boxes,
          "part-type": part_type, "surface-flaws": surface_flaws}


def main():
    parser = argparse.ArgumentParser(description="Makes the golden inputs of the bundles.")
    parser.add_argument("bundle", nargs="*", help="which of " + ", ".join(MAKERS) + "; all unless some are named")
    wanted = parser.parse_args().bundle or list(MAKERS)
    if unknown := set(wanted) - set(MAKERS):
        parser.error("unknown bundle " + ", ".join(sorted(unknown)))
    for bundle in wanted:
        directory = HERE / bundle / "golden"
        directory.mkdir(parents=True, exist_ok=True)
        for old in directory.iterdir():
            old.unlink()
        MAKERS[bundle](directory)


if __name__ == "__main__":
    main()
