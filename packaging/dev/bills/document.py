"""A bill in CycloneDX's form, 1.6. The same content gives the same bytes: no clock is read, and no random number."""

import datetime
import json
import re
import uuid

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "edged.org")


class Component:
    """One thing that is shipped or that went into it. `licence` is an expression, `texts` are its licence's."""

    def __init__(self, name, version, licence, kind="library", **more):
        self.name, self.version, self.licence, self.kind = name, version, licence, kind
        self.reference = more.pop("reference", None) or more.get("purl") or f"{kind}:{name}@{version}"
        self.texts, self.remarks = more.pop("texts", []), more.pop("remarks", [])
        self.more = more

    def label(self):
        return f"{self.name} {self.version}" if self.version else self.name

    def written(self):
        """Its record. Keys are in the order of the specification's tables."""
        more = self.more
        record = {"type": self.kind, "bom-ref": self.reference, "authors": more.get("authors"), "name": self.name,
                  "version": self.version, "description": one_line(more.get("description")), "scope": more.get("scope")}
        record["hashes"] = [{"alg": "SHA-256", "content": digest} for digest in more.get("sha256", [])]
        if self.licence:
            record["licenses"] = [{"expression": self.licence, "acknowledgement": more.get("said", "declared")}]
        record["cpe"], record["purl"] = more.get("cpe"), more.get("purl")
        record["pedigree"] = more.get("pedigree")
        links = sorted((kind, url) for kind, url in more.get("links", []) if is_url(url))
        record["externalReferences"] = [{"type": kind, "url": url} for kind, url in links]
        record["components"] = [inner.written() for inner in more.get("inner", [])]
        record["properties"] = [{"name": f"edged:{name}", "value": value} for name, value in more.get("properties", [])]
        record["modelCard"] = more.get("card")
        return {key: value for key, value in record.items() if value}


def one_line(text):
    return " ".join((text or "").split())


def is_url(text):
    """As the schema wants it; a link that is none is left out."""
    return bool(re.fullmatch(r"https?://[\x21-\x7e]+", text or "")) and not re.search(r"[<>\"{}|\\^`\[\]]", text)


def bill(subject, components, needs, tools, epoch=None, partly=False):
    """The document. `needs` has for each reference those that it needs; `epoch` is seconds, or nothing; `partly`: there is
    more in it than its makers say."""
    metadata = {"timestamp": time_of(epoch), "lifecycles": [{"phase": "build"}],
                "tools": {"components": [tool.written() for tool in tools]}, "component": subject.written()}
    known = {subject.reference} | {component.reference for component in components}
    dependencies = [{"ref": reference, "dependsOn": sorted(needs.get(reference, ()))} for reference in sorted(known)]
    for entry in dependencies:
        stray = set(entry["dependsOn"]) - known
        assert not stray, f"{entry['ref']} needs {stray}, which is no component"
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "metadata": {key: value for key, value in metadata.items() if value},
        "components": [component.written() for component in components],
        "dependencies": [{key: value for key, value in entry.items() if value} for entry in dependencies],
    }
    if partly:
        document["compositions"] = [{"aggregate": "incomplete", "assemblies": [subject.reference]}]
    number = uuid.uuid5(NAMESPACE, json.dumps(document, sort_keys=True))
    # It stands before the rest, and is made of the rest.
    head = {key: document.pop(key) for key in ("$schema", "bomFormat", "specVersion")}
    document = {**head, "serialNumber": f"urn:uuid:{number}", **document}
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def time_of(epoch):
    if epoch is None:
        return None
    return datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
