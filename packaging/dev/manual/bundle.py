"""edged-bundle(5): every key of model.toml as the parser's own structs have it, with the range that the rules name. What is written
here is what stands nowhere else: what a bundle is, and examples, which tests/manual runs. That the page and the parser know the
same keys is held by daemon/engine/tests/manual.rs."""

import re

from . import rust
from .roff import Page
from .source import Fault, read, version

HOME = "daemon/engine/src/bundle"
SHAPES = ["manifest.rs", "parts.rs", "recipes/input.rs", "recipes/maps.rs", "recipes/objects.rs", "recipes/output.rs"]
RULES = ["rules.rs", "recipe_rules.rs", "outline_rules.rs"]
EXAMPLE = "onnx-models/text-direction/model.toml"

# Whose keys a rule is about, by what its key begins with, or by the function that it stands in.
BEGINNINGS = {
    "batching.": "Batching", "needs.": "Need", "pipeline.": "Pipeline", "golden.": "Golden", "tensor.": "TensorRule", "limits.": "Limits",
    "file.": "FileEntry", "{key}.": "Profile", "output.masks.": "MasksRecipe", "output.outlines.": "OutlinesRecipe",
}
FUNCTIONS = {
    "faults": ["Manifest"], "head": ["Manifest"], "variants": ["Variant", "Manifest"], "needs": ["Manifest"], "stages": ["Stage"],
    "part": ["Manifest"], "goldens": ["Manifest"], "recipes": ["Manifest", "CtcRecipe"], "image": ["ImageRecipe"], "picture": ["PictureRecipe"],
    "scene": ["SceneRecipe"], "normalisation": ["ImageRecipe", "PictureRecipe", "SceneRecipe"], "sound": ["SoundRecipe"], "boxes": ["BoxesRecipe"],
    "classes": ["ClassesRecipe"], "objects": ["ObjectsRecipe"], "speech": ["SpeechRecipe"], "segmentation": ["SegmentationRecipe"],
    "masks": ["ObjectsRecipe"], "anomaly": ["AnomalyRecipe"], "embedding": ["EmbeddingRecipe"],
}
# Rules whose key or range is put together at run time, by function and what they are about; and what they are.
TOGETHER = {
    ("variants", "loss"): [("Variant", "loss", "0..=1; of the first variant absent or 0: the others are held against it")],
    ("speech", "key"): [("SpeechRecipe", name, "0..=60000") for name in ("min_speech_ms", "min_silence_ms", "pad_ms")],
    ("profiles", "key"): [("Variant", "profile", "at most 64 tables")],
    # These are told in words of the page.
    ("part", "key"): [], ("stages", "key"): [], ("profiles", "{key}"): [], ("files", "&key"): [],
}

# The tables in reading order: title, record, and what is to be said above its keys. Recipes come by kind.
TABLES = [
    ("Top level", "Manifest"),
    ("[[variant]]", "Variant"),
    ("[[variant.profile]]", "Profile"),
    ("[[tensor]]", "TensorRule"),
    ("[batching]", "Batching"),
    ("[limits]", "Limits"),
    ("[input]", "InputRecipe"),
    ("[output]", "OutputRecipe"),
    ("[output.head]", "Head"),
    ("[output.masks]", "MasksRecipe"),
    ("[output.outlines]", "OutlinesRecipe"),
    ("[pipeline]", "Pipeline"),
    ("[pipeline.boxes], [pipeline.direction], [pipeline.text]", "Stage"),
    ("[[needs]]", "Need"),
    ("[[golden]]", "Golden"),
    ("[[file]]", "FileEntry"),
]
MORE = {
    "Profile": "`min`, `opt` and `max` have the same 1 to 8 places, in each place 1 <= min <= opt <= max, and stay within the `[[tensor]]` of that name.",
    "Stage": "A pipeline has no `[[variant]]`, `[[tensor]]`, `[batching]`, `[input]` and `[output]`: its stages have their own.",
    "FileEntry": "Every file that another key names is listed, and nothing is read that is not. `edgectl models goldens` writes these tables.",
    "Golden": "Without `content_type` both files are `{\"tensors\": [{\"name\", \"shape\", \"data\"}]}`. `edgectl models goldens` writes these tables, and the expected answers.",
}
NUMBERS = {"u8", "u16", "u32", "u64", "i64"}

COPY = """\
cp -r /usr/share/edged/bundles/text-direction my-direction
rm -f my-direction/model.toml*"""
CHECK = """\
edgectl models check my-direction | head -n 1"""
CHECKED = """\
text-direction:1.0.0 in my-direction: good: 3 golden answers given here"""
WRONG = """\
sed -e 's/^height = 48/height = 0/' -e 's/^threads = 1/threads = 100/' -i my-direction/model.toml
edgectl models check my-direction || echo refused"""
REFUSED = """\
my-direction: 2 faults

FAULT  model.toml, variant[0].threads: must be 1..=64

FAULT  model.toml, input.height: must be 1..=4096
refused"""
OWN = """\
sed -e 's/^height = 0/height = 48/' -e 's/^threads = 100/threads = 1/' -e 's/^name = "text-d/name = "my-d/' -i my-direction/model.toml
edgectl models goldens my-direction | tail -n 1
edgectl models keygen site --no-password >keys.txt
edgectl models sign my-direction --key site.key | head -n 1
edgectl models pack my-direction"""
OWNED = """\
Next: edgectl models sign my-direction --key KEY; edgectl models install my-direction
...
my-direction-1.0.0.edgemodel, ..."""


def ranges(records):
    """What every key must be: {(record, key): [what is accepted]}."""
    told = {}
    for file in RULES:
        for function, key, accepted in rust.rules(read(f"{HOME}/{file}")):
            for record, name, what in places(records, function, re.sub(r"\[\{\w*\}\]", "", key), accepted):
                told.setdefault((record, name), []).append(what)
    return told


def places(records, function, key, accepted):
    """(record, key, what is accepted) of one rule."""
    if (function, key) in TOGETHER:
        return TOGETHER[function, key]
    if key.startswith("output.head."):
        # Rows have a label and a score besides, lists have them in outputs of their own.
        kinds = [word.name for word in records["Head"].words if any(one.name == key.split(".")[-1] for one in word.keys)]
        kinds = [kind for kind in kinds if len(kinds) == 1 or (kind == "rows") == ('"score"' in accepted)]
        return [(f"Head {kind}", key.split(".")[-1], accepted) for kind in kinds]
    beginning = next((begin for begin in BEGINNINGS if key.startswith(begin)), None)
    owners = [BEGINNINGS[beginning]] if beginning else FUNCTIONS.get(function, ["Manifest"])
    name = key.removeprefix(beginning or "").removeprefix("input.").removeprefix("output.")
    found = [owner for owner in owners if any(one.name == name for one in records[owner].keys)]
    found = found if function == "normalisation" else found[:1]
    if not found or accepted is None:
        raise Fault(f"packaging/dev/manual/bundle.py cannot place the rule of {function} about {key}: {accepted}")
    return [(owner, name, accepted) for owner in found]


def spoken(text):
    """A range as people write it."""
    return re.sub(r"(\S+?)\.\.=(\S+)", r"\1 to \2", text)


class Writer:
    def __init__(self, page):
        self.page = page
        self.records = rust.Sources(read(f"{HOME}/{file}") for file in SHAPES).records
        self.ranges = ranges(self.records)

    def kind(self, kind):
        """What a type is called."""
        wrapped = rust.WRAPPED.match(kind)
        if wrapped:
            inner = wrapped.group(2)
            return "tables" if self.is_table(inner) else f"list of {self.kind(inner)}s"
        if self.is_table(kind):
            return "table"
        if kind in self.records:
            return "word"
        if kind in NUMBERS:
            return "whole number"
        return {"String": "text", "bool": "true or false", "f32": "number", "f64": "number", "[f32; 3]": "three numbers",
                "BTreeMap<String, f32>": "table of numbers"}[kind]

    def is_table(self, kind):
        record = self.records.get(kind)
        return record is not None and (bool(record.keys) or any(word.inner or word.keys for word in record.words))

    def key(self, owner, key):
        if not key.text:
            raise Fault(f"{owner}.{key.name} has no comment")
        must = "; ".join(spoken(what) for what in self.ranges.get((owner, key.name), []))
        default = {None: "", "": "Optional."}.get(key.default, f"Unless said `{key.default}`.")
        self.page.item(f"`{key.name}` ({self.kind(key.kind)})", ended(spoken(key.text)), f"Must be {must}." if must else "", default)
        wrapped = rust.WRAPPED.match(key.kind)
        of = self.records.get(wrapped.group(2) if wrapped else key.kind)
        if of and of.words and not self.is_table(of.name):
            self.page.inner((f"`{word.name}`", spoken(word.text)) for word in of.words)

    def table(self, title, name):
        record = self.records[name]
        if not record.words:
            self.part(title, name, record.text, record.keys)
        for word in record.words:
            inner = self.records.get(word.inner)
            text = word.text if inner is None or inner.text == word.text else f"{word.text} {inner.text}"
            owner = word.inner or f"{name} {word.name}"
            self.part(f'{title} with kind = "{word.name}"', owner, text, inner.keys if inner else word.keys)

    def part(self, title, owner, text, keys):
        self.page.part(title)
        if owner != "Manifest":
            self.page.text(ended(spoken(text)))
        if owner in MORE:
            self.page.text(MORE[owner])
        for key in keys:
            self.key(owner, key)


def ended(text):
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", ":")) else text + "."


def written():
    page = Page("edged-bundle", 5, version(), "a model that edged serves: its directory and model.toml")
    writer = Writer(page)
    missing = set(writer.records) - {name for _, name in TABLES}
    tables = {name for name in missing if writer.is_table(name)} - {word.inner for record in writer.records.values() for word in record.words}
    if tables - {"PartFault"}:
        raise Fault(f"TABLES in packaging/dev/manual/bundle.py lacks {sorted(tables)}")
    page.section("SYNOPSIS")
    page.text("*DIRECTORY/model.toml*")
    page.section("DESCRIPTION")
    page.text(
        "A bundle is a directory with everything that `edged`(8) has to know of a model: the manifest *model.toml*, one or more ONNX files, "
        "inputs with the answers that are expected of them, and what else the manifest names. It is a model, a pipeline that asks other "
        "models, or a part that models are made of (weights, adapters, tokenizers, labels).",
        "`edgectl models new` drafts one from an ONNX file and some samples, `edgectl models check` names every fault with its place, `edgectl "
        "models sign` signs it (*model.toml.minisig*, which covers all files by their digests in the manifest), and `edgectl models pack` "
        "makes one file of it, *NAME-VERSION.edgemodel*, which `edgectl models install` and *models.inbox* take.",
        "A model is served only after every file had the size and the digest of the manifest, the signature was that of a key that the box "
        "trusts (*models.allow_unsigned* does without), and the golden inputs gave their answers on this very box.")
    page.section("MODEL.TOML")
    page.text("TOML of at most 1 MiB. A key that is not told of here is a fault, and so is one that must be there and is not; those that are marked optional, or "
              "have a value unless said, may be left out. *Word* is a text of those that are listed. Where a key names a file, the file is "
              "listed as a `[[file]]`; recipes may name a file of a tokenizer or of labels that the model needs as *part:NAME/FILE*.",
              "A part has `kind`, `name`, `version`, `licence`, `description` and `[[file]]`, an adapter also `base`; everything else is absent.")
    for title, name in TABLES:
        writer.table(title, name)
    page.section("EXAMPLES")
    page.text("A bundle of one's own, from one of the package *edged-models*. First its files:")
    page.block(COPY)
    page.text("The file `my-direction/model.toml`, whole:")
    page.block(read(EXAMPLE))
    page.text("Is it good?")
    page.block(CHECK)
    page.text("prints")
    page.block(CHECKED)
    page.text("Two values that cannot be:")
    page.block(WRONG)
    page.text("prints")
    page.block(REFUSED)
    page.text("Under another name, with the answers that it gives, signed, as one file (a password for the key is better):")
    page.block(OWN)
    page.text("prints")
    page.block(OWNED)
    page.section("FILES")
    page.file("/usr/share/edged/bundles/*", "bundles of packages")
    page.file("/var/lib/edged/bundles/*", "bundles that were installed by `edgectl models install`, pulled or dropped")
    page.file("/var/lib/edged/inbox/*.edgemodel", "where they are dropped, unless *models.inbox* says otherwise")
    page.file("/etc/edged/keys.d/*.pub", "the keys that the box trusts; *keys.toml* beside them revokes one")
    page.see_also("edged(8)", "edgectl(1)", "edgectl-models-new(1)", "edgectl-models-check(1)", "edgectl-models-sign(1)", "edgectl-models-goldens(1)", "edged.toml(5)", "edged-dbus(7)", "edged-mqtt(7)")
    return str(page)
