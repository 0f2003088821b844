#!/usr/bin/env python3
"""Writes the committed seeds of the fuzz targets: goldens and the rows of the bad-input tables, each as its target reads
it. Only when a format changes does this have to run again."""

import io
import itertools
import pathlib
import re
import shutil
import struct
import tarfile
import zlib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MODELS = ROOT / "onnx-models"


def write(target, seeds):
    """Replaces the seeds of one target."""
    directory = HERE / "seeds" / target
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for number, seed in enumerate(seeds):
        (directory / f"{number:02}").write_bytes(seed.encode() if isinstance(seed, str) else seed)


def one_input(text):
    return '{"inputs":[' + text + "]}"


def tensor(datatype, data, shape="[2]"):
    return one_input(f'{{"name":"x","datatype":"{datatype}","shape":{shape},"data":{data}}}')


JSON = [
    '{"id":"7","reply_to":"edge/r","deadline_ms":250,"data_class":"internal","priority":"high","deferrable":true,'
    '"version":"1.0","colour":{"a":[1]},"nothing":null,"inputs":[{"name":"x","datatype":"FP32","shape":[1,2],'
    '"data":[1,-0.5]},{"data":[1,2,3],"shape":[3],"datatype":"INT16","name":"y"}]}',
    '{"image":"/9j/"}',
    '{"bytes":"aGk=","content_type":"audio/wav"}',
    '{"text":"L\\u00f6t 7"}',
    '{"messages": [{"role":"user"}] }',
    '{"text":"x"} {}',
    '{"text":"a","image":"aGk="}',
    '{"id":"a","id":"b","text":"x"}',
    '{"text":"x","a":[{"b":1,"b":2}]}',
    '{"text":"x","a":' + "[" * 65 + "]" * 65 + "}",
    '{"messages":' + "[" * 65 + "]" * 65 + "}",
    one_input('{"name":"x","colour":1}'),
    one_input('{"name":"x","shape":[1.5]}'),
    one_input('{"name":"x","shape":[9223372036854775808]}'),
    one_input('{"name":"x","data":[[1]],"datatype":"FP32","shape":[1]}'),
    tensor("BOOL", "[true,false]"),
    tensor("UINT8", "[1,256]"),
    tensor("UINT64", "[0,18446744073709551615]"),
    tensor("INT64", "[-9223372036854775808,9223372036854775807]"),
    tensor("FP16", "[1.5,-65504.0,0.000061035156]"),
    tensor("BF16", "[1.5,-2.0]"),
    tensor("FP32", "[0.1,3.4028235e38,-1e-45]"),
    tensor("FP32", "[1,1e999]"),
    tensor("FP64", "[0.1,1.7976931348623157e308]"),
    tensor("BYTES", '["","a\\"ü"]'),
    b'{"text":"a\xff"}',
    '{"id":"1","image":"*","reply_to":"r"}',
]


def binary(header, tail=b"abc", claimed=None):
    header = header.encode()
    return struct.pack("<H", len(header) if claimed is None else claimed) + header + tail


def sized(size, rest=""):
    parameters = f'"parameters":{{"binary_data_size":{size}}}'
    return one_input(f'{{"name":"a","datatype":"UINT8","shape":[3],{rest}{parameters}}}')


BINARY = [
    binary(
        '{"id":"1","outputs":[{"name":"y"}],"parameters":{},"inputs":['
        '{"name":"a","datatype":"UINT8","shape":[3],"parameters":{"binary_data_size":3}},'
        '{"name":"b","datatype":"INT8","shape":[1],"data":[7]},'
        '{"name":"c","datatype":"FP32","shape":[1],"parameters":{"binary_data_size":4,"x":1}}]}',
        b"abcdefg",
    ),
    binary(sized(3)),
    binary(sized(4)),
    binary(sized(2)),
    binary(sized(-1)),
    binary(sized("18446744073709551615")),
    binary(sized("1e3")),
    binary(sized(3, '"data":[1],')),
    binary('{"inputs":[]}'),
    binary("{"),
    binary("{}", b"", 3),
    binary(sized(3), claimed=0xFFFF),
]

TOPICS = [
    "edge/box/infer/text-line",
    "edge/_group/ocr/infer/text-line",
    "edge/box/cancel/a/b",
    "edge/box/result/text-line",
    "edge/replies/7",
    "edge/box/available",
    "edge/other/models/x",
    "edge/other/infer/x\n#",
    "line/4/answers\nline/+/answers\nscada/#",
    "scada\nscada/#",
    "$SYS/broker\n#\n+/broker\n$SYS/#",
    "edge/+/result",
    "edge/a\0b",
    "edge/",
    "ü/x\nü/+",
]

OPTIONS = [
    "tversion=1.0.0\nttask=text-recognition\nideadline_ms=250\ntdata_class=internal\ntpriority=high\nbdeferrable=true\n"
    "trequest_id=line-3",
    "udeadline_ms=250\nudeferrable=true\nupriority=low\nurequest_id=7",
    "ideadline_ms=0",
    "ideadline_ms=604800001",
    "ideadline_ms=-170141183460469231731687303715884105728",
    "udeadline_ms=1e3",
    "bpriority=true",
    "tpriority=urgent",
    "trequest_id=",
    "trequest_id=" + "ü" * 129,
    "tpriority=low\ntpriority=low",
    "opriority=x",
    "\n".join(f"ocolour{number}=v" for number in range(20)),
    "tcolour\x1b[31m=red\ntdata_class=\x07secret",
]


def config():
    # With every key at its default, and one file a section, with that section's keys set.
    reference = (ROOT / "packaging" / "edged.toml").read_text()
    lines = [line.removeprefix("#") for line in reference.splitlines() if re.match(r"#?\[|#\w+ = ", line)]
    yield "\n".join(lines) + "\n"
    sections = [list(group) for _, group in itertools.groupby(lines, key=lambda line: line.startswith("["))]
    for head, keys in zip(sections[::2], sections[1::2]):
        yield "\n".join(head + keys) + "\n"
    yield 'node = "line-3"\n\n[mqtt]\nhost = "127.0.0.1"\nport = 1883\nprotocol = "3.1.1"\ngroup = "ocr"\n'
    yield '[mqtt]\nhost = "broker"\nreply_allow = ["plant/+/answers", "scada/#"]\n[mqtt.tls]\nca = "/etc/ca.pem"\n'
    yield 'node = "a/b"\n[mqtt]\nprefix = "$x/+/"\n'
    yield "[policy]\nclient_share = nan\nlanes = 65\ndefault_deadline_ms = 3600000\n"
    yield "[policy]\nlane = 1\n[polici]\nlanes = 1\n"
    yield "[[policy]]\nlanes = 1\n"
    yield "node = 1979-05-27T07:32:00Z\n"
    # The examples of [[site]], [[rule]] and [[binding]], then each way to reach a site, a rule that says everything, and each
    # source of a binding.
    example = "".join(line[4:] + "\n" for line in reference.splitlines() if line.startswith("#   "))
    yield example
    yield '[[site]]\nname = "a"\nzone = "device"\nprotocol = "openai"\nurl = "http://[::1]:8080/v1"\n' + (
        'models = { chat = "x" }\nstronger = ["chat"]\nretention = 30\nbudget_usd_per_day = 5\nhttp2 = "off"\n'
        "price = { input_usd_per_mtok = 0.15, output_usd_per_mtok = 0.6, as_of = 2026-11-01 }\n"
    )
    yield '[mqtt]\nhost = "b"\n[[site]]\nname = "a"\nprotocol = "sibling"\nnode = "press-2"\nzone = "device"\n'
    yield example + (
        '[[rule]]\nname = "all"\nmodels = ["*-line-?"]\nsources = ["bus:uid=990", "mqtt:#"]\nclasses = ["public"]\n'
        'ceiling = "internal"\nsites = ["plant-triton"]\nnot_sites = []\nobjective = "fastest_within_budget"\n'
        'hedge = false\ncheck = { min_score = 0.5, schema = true }\nescalate_to = ["plant-triton"]\n'
        'redact = { to = "internal" }\nsample = 0.2\n[detect]\npatterns = { badge = "B-[0-9]{6}" }\n'
        'pattern_classes = { badge = "internal" }\n[routing.fallback]\nheat = ["wait"]\nsite_down = []\n'
    )
    binding = '[mqtt]\nhost = "b"\n[[binding]]\nname = "a"\nmodel = "m"\n'
    yield binding + (
        'topic = "$share/g/camera/+/#"\nversion = "2"\npayload = "image/jpeg"\nreference = ["/srv", "https://h/x"]\n'
        'take = "every"\nrate_per_s = 5\nmax_in_flight = 3\nmax_waiting = 7\nmax_sources = 9\ndeadline_ms = 400\n'
        'data_class = "internal"\npriority = "high"\nsource_name = "cam{1}"\nresult = "vision/{1}/{{x}}"\nqos = 2\n'
        'retain = true\nlast = false\nstale_after_ms = 5000\nok = { class = ["good"], min_score = 0.8, max_count = 2 }\n'
        'flat = { topic = "v/{2}/{field}", fields = ["ok", "text"], when = "always", format = "json", retain = false }\n'
    )
    yield binding + 'folder = "/srv/in"\npattern = "cam-*_*.jpg"\nafter = "/srv/done"\nflat.topic = "{prefix}/x/{2}/{field}"\n'
    yield binding + 'snapshot = "https://cam/1.jpg?x=1"\ncredential = "cam"\nca = "/ca.pem"\ninterval_ms = 250\n'
    yield binding + 'device = "/dev/video0"\nwidth = 1280\nheight = 720\ntopic = "a"\nresult = "edge/{1}/infer/x"\n'
    yield binding + 'topic = "v/#"\nresult = "v/{1}"\n[[binding]]\nname = "b"\nmodel = "m"\ntopic = "v/+/x"\nresult = "+"\n'
    yield "node = \n"


BINDINGS = [
    'camera/+/image\nvision/{1}/result\ncamera/7/image\n{"label":"cat","score":0.93,"labels":[]}',
    'a/#\n{1}/{{x}}/{field}\na/b/c\n{"objects":[{"label":"screw","score":0.9}],"left_out":18446744073709551615}',
    'camera/+\n{prefix}/{node}/binding/{binding}/{source}\ncamera/s\u00fcd 7\n{"path":"/srv/frames/a/1.jpg"}',
    "$share/g/+/b\n{1}$x/{field}\n$SYS/b\nhttps://cams.example/live/1.jpg?x=1",
    "+/+\nx{1}y{2}z\n/\nhttps://cams.example/live/..%2fadmin",
    '#\n{1}\na\n{"lines":[{"text":"A\\n","score":1e-9},{"text":"B"}]}',
    'a\nb/-{source}\na\n{"score":0.8,"anomalous":true,"regions":[]}',
    "a/+\n{2}\nb\n/srv/frames/../x",
]

ADD, LINE, SPEECH = ((MODELS / name / "model.toml").read_text() for name in ("test/add", "text-line", "speech"))
MANIFESTS = [
    *(path.read_text() for path in sorted(MODELS.glob("*/model.toml")) + sorted(MODELS.glob("test/*/model.toml"))),
    *(
        text.replace(old, new, 1)
        for text, old, new in [
            (ADD, "1.0.0", "1.0"),
            (ADD, '["cpu"]', '["abacus"]'),
            (ADD, 'path = "model.onnx"', 'path = "../model.onnx"'),
            (ADD, "[limits]", "[tensor]\n[limits]"),
            (ADD, "tolerance = 0.000001", "tolerance = nan"),
            (LINE, "std = [0.5, 0.5, 0.5]", "std = [0.5, 0.0, 0.5]"),
            (LINE, "max = [16, 3, 48, 3200]", "max = [16, 3]"),
            (SPEECH, "window = 512", "window = 0"),
            (SPEECH, "[2, 1, 128]", "[2, 1, 4294967296000]"),
        ]
    ),
]


def wav(rate=16000, channels=1, bits=16, kind=1, data=b"", claimed=None, extra=b""):
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * frame & 0xFFFFFFFF, frame & 0xFFFF, bits) + extra
    claimed = len(data) if claimed is None else claimed
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", claimed) + data
    return b"RIFF" + struct.pack("<I", min(claimed + 36, 0xFFFFFFFF)) + body


PCM = struct.pack("<H", 22) + struct.pack("<HI", 16, 4) + struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")
WAVS = [
    # The start of a real one, with its header told the truth.
    wav(data=(MODELS / "speech" / "golden" / "hum.wav").read_bytes()[44:1068]),
    wav(22050, 2, 16, data=bytes(range(64)) * 4),
    wav(8000, 1, 8, data=bytes(range(256))),
    wav(48000, 1, 24, data=bytes(range(90))),
    wav(48000, 1, 32, data=bytes(range(64))),
    wav(16000, 1, 32, 3, data=struct.pack("<8f", 0, 1, -1, 0.5, float("inf"), float("nan"), 1e38, -1e-45)),
    wav(44100, 2, 16, 0xFFFE, data=bytes(64), extra=PCM),
    wav(data=bytes(32), claimed=0xFFFFFFFF),
    wav(data=bytes(32), claimed=31),
    wav(rate=0, data=bytes(200)),
    wav(channels=0, data=bytes(200)),
    wav(channels=65535, bits=16, data=bytes(64)),
    wav(),
    b"RIFF",
    b"RIFF\x10\0\0\0WAVE",
]


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, colour, samples, rows=None, bits=8, extra=b""):
    """Grey is colour 0, RGB 2, palette 3, with alpha 4 and 6."""
    rows = height if rows is None else rows
    line = b"\0" + bytes((number * 37) & 255 for number in range((width * samples * bits + 7) // 8))
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(range(48))) if colour == 3 else b""
    content = chunk(b"IDAT", zlib.compress(line * rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + palette + content + chunk(b"IEND", b"")


def bomb_png():
    small = png(8, 8, 2, 3)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 65000, 65000, 8, 2, 0, 0, 0))
    return small[:8] + head + small[33:]


JPEG = (MODELS / "text-direction" / "golden" / "upright-turned.jpg").read_bytes()


def bomb_jpeg():
    frame = JPEG.index(b"\xff\xc0")
    return JPEG[: frame + 5] + struct.pack(">HH", 65000, 65000) + JPEG[frame + 9 :]


PICTURES = [
    JPEG,
    JPEG[:4000],
    bomb_jpeg(),
    (MODELS / "file-type" / "golden" / "picture.png").read_bytes(),
    png(40, 24, 2, 3),
    png(40, 24, 6, 4),
    png(40, 24, 0, 1),
    png(40, 24, 4, 2, bits=16),
    png(40, 24, 3, 1, bits=4),
    png(33, 9, 0, 1, bits=1),
    png(40, 24, 2, 3, rows=11),
    png(40, 24, 6, 4, extra=chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0")),
    bomb_png(),
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff\xd9",
]


# What postcard writes: numbers of several bytes seven bits at a time, signed ones zigzag, texts and lists with a length.
def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes(out + bytes([number]))


def signed(number):
    return varint(number * 2 if number >= 0 else -number * 2 - 1)


def text(word):
    return varint(len(word.encode())) + word.encode()


def listed(items):
    return varint(len(items)) + b"".join(items)


INLINE = varint(0) + text("abcd")
SEALED = varint(1) + varint(3) + varint(4096) + varint(110592)
UNSEALED = varint(2) + varint(0) + varint(1 << 26)
SHAPE = listed([signed(1), signed(-1), signed(192)])
SPEC = text("x") + varint(10) + SHAPE
TENSOR = varint(0) + SHAPE
FAULT = varint(1) + varint(2) + text("the model failed")
MEMBER = varint(300) + varint(1) + listed([TENSOR + INLINE, TENSOR + SEALED]) + varint(1) + varint(1 << 62)
PACKETS = [
    # To the host.
    varint(0) + text("/usr/lib/libonnxruntime.so"),
    varint(1) + varint(7) + text("/models/add") + varint(3) + listed([text("cpu")]) + b"\1" + varint(2) + b"\1",
    varint(2) + varint(7),
    varint(3) + varint(1 << 40) + varint(7) + text("image/jpeg") + UNSEALED,
    varint(4) + varint(2) + listed([MEMBER, varint(301) + varint(0) + varint(0)]),
    varint(5) + varint(300),
    # From the host.
    varint(0) + text("1.32.0") + listed([text("cpu"), text("cuda")]),
    varint(1) + text("no library"),
    varint(2) + varint(7) + text("fp32") + listed([SPEC]) + listed([SPEC]) + b"\1" + varint(16) + varint(2)
    + listed([text("image/png")]) + listed([text("cpu") + struct.pack("<f", 1.0)]) + varint(90) + varint(4)
    + varint(3_000_000),
    varint(3) + varint(7) + text("not a model"),
    varint(5) + varint(300) + varint(0) + varint(4) + varint(900_000),
    varint(6) + varint(2) + varint(8_000_000)
    + listed([varint(300) + varint(0) + varint(0) + listed([TENSOR + SEALED]),
              varint(301) + varint(0) + varint(1) + INLINE, varint(302) + FAULT]),
    varint(7) + text("a note"),
    # Lengths that nothing follows.
    varint(7) + varint((1 << 64) - 1),
    varint(4) + varint(2) + varint(1 << 40),
]


class Body:
    """Arguments as D-Bus writes them, least byte first."""

    def __init__(self):
        self.bytes = b""

    def align(self, size):
        self.bytes += b"\0" * (-len(self.bytes) % size)
        return self

    def u32(self, number):
        self.align(4).bytes += struct.pack("<I", number)
        return self

    def u64(self, number):
        self.align(8).bytes += struct.pack("<Q", number)
        return self

    def s(self, word):
        self.u32(len(word.encode())).bytes += word.encode() + b"\0"
        return self

    def g(self, signature):
        self.bytes += bytes([len(signature)]) + signature.encode() + b"\0"
        return self

    def array(self, size, fill):
        self.u32(0)
        place = len(self.bytes) - 4
        self.align(size)
        start = len(self.bytes)
        fill(self)
        self.bytes = self.bytes[:place] + struct.pack("<I", len(self.bytes) - start) + self.bytes[place + 4 :]
        return self

    def data(self, content):
        return self.array(1, lambda body: setattr(body, "bytes", body.bytes + content))

    def options(self, **options):
        def fill(body):
            for name, value in options.items():
                body.align(8).s(name)
                if isinstance(value, bool):
                    body.g("b").u32(value)
                elif isinstance(value, int):
                    body.g("t").u64(value)
                elif isinstance(value, list):
                    body.g("as").array(4, lambda body: [body.s(word) for word in value])
                else:
                    body.g("s").s(value)

        return self.array(8, fill)

    def call(self, method, fds=0):
        return bytes([method, fds]) + self.bytes


def shape(*sizes):
    return lambda body: [body.u64(size) for size in sizes]


def inline(body):
    body.align(8).s("a").s("FP32").array(8, shape(1, 4)).data(bytes(16))
    body.align(8).s("b").s("FP32").array(8, shape(1, (1 << 64) - 1)).data(b"")


def by_fd(body):
    body.align(8).s("x").s("FP32").array(8, shape(1, 3, 48, 192)).u32(0).u64(0).u64(110592)


GOOD = {"request_id": "line-3", "deadline_ms": 250, "deferrable": True, "priority": "high", "colour": ["red"]}
CALLS = [
    Body().s("add").array(8, inline).options(**GOOD).call(0),
    Body().s("add").array(8, lambda body: None).options().call(0),
    Body().s("add").array(8, lambda body: [inline(body) for _ in range(130)]).options().call(0),
    Body().s("text-direction").array(8, by_fd).options(**GOOD).call(1, 1),
    Body().s("text-direction").array(8, by_fd).options().call(1, 0),
    Body().s("text-line").s("image/jpeg").u32(0).options(**GOOD).call(2, 1),
    Body().s("text-line").s("image/jpeg").u32(7).options(deadline_ms="soon").call(2, 1),
    Body().s("add").call(0),
    bytes([0, 0]),
]



def packed(name, change=lambda entries: entries):
    """What an archive of a tiny bundle holds, as its target takes it."""
    bundle = MODELS / "test" / name
    manifest = (bundle / "model.toml").read_text()
    names = ["model.toml", *re.findall(r'^path = "(.*)"$', manifest, re.M)]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for entry, content in change([(name, (bundle / name).read_bytes()) for name in names]):
            header = tarfile.TarInfo(entry)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    return b"\0" + out.getvalue()


ARCHIVES = [
    packed("add"),
    packed("shapes"),
    packed("add", lambda entries: entries[::-1]),
    packed("add", lambda entries: [*entries, ("../evil", b"x")]),
    packed("add", lambda entries: [entries[0], ("model.toml.minisig", b"x"), *entries[1:]]),
    packed("add", lambda entries: entries[:-1]),
    b"\1" + bytes.fromhex("28b52ffd") + bytes(20),
    b"\1PK\3\4",
]

SIGNATURE = """untrusted comment: signature from minisign secret key
RUSCcVLv83J2U4QVMV/r13+MrLKyDTPvfH9CXv8W3BcOqWzWv7TeHPX/+C1nlogm/QJfVyovee0welzsbUQj3P1ycShcdFE9fws=
trusted comment: timestamp:1795385006\tfile:model.toml\thashed
K48MyMatyaIdhv6JOCkeP/IEukl6RchtA7Ckl/h07d941NRqQCO4klXrc6rZ3G/iuQyeCVwvSwZGFucfAx8HCw==
"""
TRUST = [
    "\0" + SIGNATURE,
    "\0" + SIGNATURE.replace("RUSC", "RUSD"),
    "\0" + SIGNATURE.replace("K48MyMatyaIdhv6JOCkeP/IEukl6RchtA7Ckl/h07d941NRqQCO4klXrc6rZ3G", ""),
    "\0untrusted comment: x\n\ntrusted comment: y\n\n",
    '\1[key.537672F3EF527182]\nrevoked = true\nnot_after = "2027-06-30"\n',
    '\1[key.537672f3ef527182]\nnot_after = "9999-99-99"\n',
    "\1[key]\n",
    "\2untrusted comment: minisign public key\nRWSCcVLv83J2UwfLwO20oj3EvECx7+Psl2BgjS8Y+YmC48ZHUpWj5ud3\n",
    "\2\n\n",
]

GRAPHS = [path.read_bytes() for path in sorted((MODELS / "test").glob("*/model.onnx"))]

HEX = "0123456789abcdef" * 4
LAYER = '{"mediaType":"%s","digest":"%s","size":%s,"annotations":{"org.opencontainers.image.title":"a-1.0.0.edgemodel"}}'
OURS = "application/vnd.edged.model.v1+tar.zst"
PULLS = [
    "\0https://models.example:8443/a/add-1.0.0.edgemodel?token=x#sha256=" + HEX,
    "\0http://[::1]:9/x",
    "\0https://user:secret@h/x",
    "\0oci://docker.io/add:v1",
    "\0oci://reg.example:5000/plant/add:tag@sha256:" + HEX,
    "\0oci://h/../a:1",
    "\1https://elsewhere/x",
    "\1//h/x",
    "\1http://localhost/x",
    "\1../../x?y#z",
    '\2Bearer realm="https://auth.example/token",service="reg",scope="repository:a:pull,push"',
    "\2bearer realm=x, service=y",
    "\2https://mirror.plant/models",
    '\3{"layers":[' + LAYER % (OURS, "sha256:" + HEX, 7) + "]}",
    '\3{"layers":[' + LAYER % ("x", "sha512:1", -1) + "]}",
    '\3{"manifests":[{},{}]}',
    "\3<html>",
]

LIST = '''serial = 7
[[model]]
name = "screws"
version = "2.0.0"
url = "https://models.example/screws-2.0.0.edgemodel"
waves = [1, 10, 100]
hold_s = 3600
max_failed = 2
since = "2026-12-01T06:00:00Z"
[[model]]
name = "screws"
channel = "beta"
version = "2.1.0-rc.1"
[[revoked]]
name = "screws"
version = "1.9.0"
why = "misses scratches"
'''
FLEET = [
    "\0" + LIST,
    "\0" + LIST.replace("100]", "100, 1]"),
    "\0" + LIST.replace("3600", "-1"),
    "\0[[model]]\nname = \"a\"",
    "\1" + '{"name":"a","version":"1.0.0","phase":"failed","wave":1,"waves":2}',
    "\1" + '{"wave":-1}',
    "\1",
]

CHUNK = '{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}'


HEADER = '{"outputs":[{"name":"y","datatype":"FP32","shape":[2],"parameters":{"binary_data_size":8}}]}'


UPLINK = [
    bytes([what]) + at.to_bytes(2, "little") + payload.encode()
    for payload, at, what in [
        ('{"outputs":[{"name":"y","datatype":"FP32","shape":[1,2],"data":[[1.5,2]]}]}', 0, 0),
        ('{"error":"no model"}', 0, 0),
        (HEADER + "12345678", len(HEADER), 1),
        (HEADER + "1234567", len(HEADER), 1),
        (": ping\r\n\r\ndata: " + CHUNK + "\r\n\r\ndata: [DONE]\n\n", 20, 2),
        ("event: error\ndata: {\"error\":{\"message\":\"x\"}}\n\n", 3, 2),
        ("data: " + CHUNK + "\n\n", 9, 2),
        (CHUNK, 0, 3),
    ]
]

INSPECT = [
    "\0Card 4111 1111 1111 1111, GB82 WEST 1234 5698 7654 32, a@b.com, +49 30 901820, 219-09-9999, 203.0.113.7, 2001:db8::1",
    "\0RSSMRA85T10A562S X1234567L 12345678Z 2 55 08 14 168 025 38 86095742719 44051401359 811228-9874 85.07.30-033.28",
    "\0bsn 111222333 nhs 9434765919 tel 467 3395 A-123456 xxxxxxxxxxxxxxxx",
    "\0\uff14\uff11\uff11\uff11\u200b1111 1111\u00ad1111 jo\uff20ex.com",
    '\1{"phone":"467 3395","n":[4111111111111111,1e7,-0.5],"a@b.com":null}',
    '\2{"messages":[{"role":"user","content":"a\\u0040b.com"},{"role":"assistant","tool_calls":'
    '[{"function":{"arguments":"{\\"to\\":\\"c\\\\u0040d.com\\"}"}}]}]}',
    '\2{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}',
    "\3\7\0\0\0a@b.com\2\0\0\0{}",
    '\5{"a":1}\n{"b":"a@b.com"}',
    '\0here: {"b":"a\\u0040b.com"} \\\\u0040 \\ud835\\udfd2 \\u005cu0040 A\\u002d123456',
    '\2{"content":"{\\"a\\":1}\\n\\"a\\\\u0040b.com\\""}',
    '\1{"score":0.4,"labels":[{"score":0.4},{"score":0.3}]}',
]



def metric(name=None, alias=None, value=b""):
    """A metric of a Sparkplug command, with a value that is encoded already."""
    fields = b""
    if name is not None:
        fields += b"\x0a" + bytes([len(name)]) + name
    if alias is not None:
        fields += b"\x10" + bytes([alias])
    fields += value
    return b"\x12" + bytes([len(fields)]) + fields


TRUE, VERSION = b"\x70\x01", b"\x7a\x05" + b"2.0.0"

SPARKPLUG = [
    b"\0\x08\x01" + metric(b"Node Control/Rebirth", value=TRUE) * 3,
    b"\0" + metric(b"Node Control/Drain", value=TRUE) + metric(alias=2, value=TRUE),
    b"\0" + metric(b"Node Control/Drain", value=VERSION) + metric() + metric(alias=99, value=b"\x50\x01"),
    b"\1" + metric(b"Device Control/Activate", value=VERSION),
    b"\1" + metric(alias=4, value=b"\x42\x00\x82\x01\x01\x09\x8a\x01\x00\x92\x01\x00"),
    b"\0\x0a",
    b'\2{"online":true,"timestamp":5}\n{"online":false,"timestamp":4}\n{"online":false,"timestamp":5}',
    b'\2{"online":false,"timestamp":5}\n{"online":true,"timestamp":4}\n{"online":true,"timestamp":6}',
    b'\2ONLINE\n{"online":1}\n\n{"timestamp":18446744073709551615,"online":true}',
    b'\3{"online":true,"timestamp":5}',
]

HEADS = [
    "GET\n/metrics\nlocalhost:9464\napplication/openmetrics-text;version=1.0.0,text/plain;q=0.5",
    "HEAD\n/v2/health/ready\n[::1]:9464\n*/*",
    "POST\n/metrics\n127.0.0.1.evil:9464\n,,;=,",
    "get\n//metrics\nlocalhost:\n",
    "",
]

if __name__ == "__main__":
    write("mqtt_json", JSON)
    write("mqtt_binary", BINARY)
    write("mqtt_topics", TOPICS)
    write("options", OPTIONS)
    write("config", config())
    write("manifest", MANIFESTS)
    write("wav", WAVS)
    write("picture", PICTURES)
    write("host_channel", PACKETS)
    write("dbus_arguments", CALLS)
    write("archive", ARCHIVES)
    write("trust", TRUST)
    write("graph", GRAPHS)
    write("pull", PULLS)
    write("fleet", FLEET)
    write("inspect", INSPECT)
    write("uplink", UPLINK)
    write("bindings", BINDINGS)
    write("sparkplug", SPARKPLUG)
    write("http", HEADS)
