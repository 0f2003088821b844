"""The crates that the two programs are built of. What is built, and what for, says `cargo tree`: `cargo metadata` alone also
names what only tests or other systems switch on."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

from . import foreign, spdx, texts
from .document import Component
from .spdx import Fault

PROGRAMS = ("edged", "edgectl")
LINE = re.compile(r"(\d+)(\S+) v(\S+)( \(proc-macro\))?")
# What a crate builds other languages with. Such a crate has a row in `foreign`.
BUILDERS = {"cc", "cmake", "nasm-rs"}


def cargo(*arguments):
    command = [os.environ.get("CARGO", "cargo"), *arguments]
    done = subprocess.run(command, cwd=texts.ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Fault(f"{' '.join(command)} failed:\n{done.stderr.strip()}")
    return done.stdout


def tree(target, kinds):
    """What each crate needs, by (name, version), and which of them are macros."""
    lines = cargo("tree", "--workspace", "--frozen", "--target", target, "--edges", kinds, "--prefix", "depth", "--charset", "ascii")
    needs, macros, above = {}, set(), []
    for line in filter(None, lines.splitlines()):
        found = LINE.match(line)
        if not found:
            raise Fault(f"cargo tree printed {line!r}, which bills/crates.py cannot read")
        depth, crate = int(found[1]), (found[2], found[3])
        above[depth:] = [crate]
        needs.setdefault(crate, set())
        if depth:
            needs[above[depth - 1]].add(crate)
        if found[4]:
            macros.add(crate)
    return needs, macros


def reached(needs, roots, stop=frozenset()):
    """All that the roots need, themselves included; what is in `stop` is not gone through, nor counted."""
    seen, todo = set(), list(roots)
    while todo:
        crate = todo.pop()
        if crate not in seen and crate not in stop:
            seen.add(crate)
            todo += needs[crate]
    return seen


def expression(package):
    if not package["license"]:
        raise Fault(f"{package['name']} {package['version']} names no licence")
    return spdx.written(spdx.parsed(package["license"]))


def purl(crate):
    # A build's name stands behind a plus.
    return f"pkg:cargo/{crate[0]}@{crate[1].replace('+', '%2B')}"


def component(package, digest, linked):
    """One crate; `linked`: its code is in a program, and not only in what builds it."""
    name, version = crate = package["name"], package["version"]
    authors = [{"name": one} for one in (re.sub(r"\s*<.*", "", author).strip() for author in package["authors"]) if one]
    scope = {"scope": "required" if linked else "excluded"}
    if package["source"] is None:
        return Component(name, version, expression(package), kind="application" if name in PROGRAMS else "library",
                         description=package["description"], **scope)
    if not package["source"].startswith("registry+") or not digest:
        raise Fault(f"{name} {version} does not come from the registry: {package['source']}")
    remarks, left_out = foreign.remarks(name)
    license_texts = texts.of_directory(Path(package["manifest_path"]).parent, left_out)
    links = [("vcs", package["repository"]), ("website", package["homepage"]), ("documentation", package["documentation"]),
             ("distribution", f"https://crates.io/crates/{name}/{version}")]
    licence = expression(package)
    return Component(name, version, licence, purl=purl(crate), sha256=[digest], description=package["description"], authors=authors,
                     links=links, texts=texts.complete(f"{name} {version}", licence, license_texts), remarks=remarks, **scope)


def bill(target):
    """The components of the programs for a target, and what each needs."""
    metadata = json.loads(cargo("metadata", "--frozen", "--format-version", "1", "--filter-platform", target))
    packages = {(package["name"], package["version"]): package for package in metadata["packages"]}
    locked = tomllib.loads((texts.ROOT / "Cargo.lock").read_text())["package"]
    digests = {(package["name"], package["version"]): package.get("checksum") for package in locked}
    built, macros = tree(target, "normal,build")
    roots = [crate for crate in built if crate[0] in PROGRAMS and packages[crate]["source"] is None]
    used = reached(built, roots)
    linked = reached(tree(target, "normal")[0], roots, macros)
    components, needs = [], {}
    for crate in sorted(used):
        made = component(packages[crate], digests.get(crate), crate in linked)
        needs[made.reference] = {reference(packages, other) for other in built[crate]}
        within = foreign.inside(crate[0], Path(packages[crate]["manifest_path"]).parent)
        builders = sorted(BUILDERS & {other[0] for other in built[crate]})
        if builders and not within:
            raise Fault(f"{made.label()} is built with {builders[0]}: say in bills/foreign.py what it is that is built")
        needs[made.reference] |= {other.reference for other in within}
        components += [made, *within]
    return roots, components, needs


def reference(packages, crate):
    package = packages[crate]
    if package["source"] is not None:
        return purl(crate)
    return f"{'application' if crate[0] in PROGRAMS else 'library'}:{crate[0]}@{crate[1]}"
