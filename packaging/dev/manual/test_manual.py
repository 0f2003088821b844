"""What the generator of manual pages promises: text comes through as it is, sources are read as they are written, and what it cannot
read is a fault and no hole in a page. Needs no build and no network.

    python3 -m unittest discover -s packaging/dev/manual -t packaging/dev
"""

import re
import shutil
import subprocess
import unittest
from unittest import mock

from manual import access, bundle, dbus, roff, rust
from manual.source import ROOT, Fault, table

MAN = ROOT / "packaging/man"
# Pages of ours that are no verb's.
OWN = ["edged.8", "edgectl.1", "edged.toml.5", "edged-bundle.5", "edged-dbus.7", "edged-mqtt.7"]

SHAPE = """
/// A door.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Door {
    /// How wide, metres.
    pub width: f32,
    /// What it is called.
    #[serde(default)]
    pub name: String,
    /// How it opens.
    #[serde(default)]
    pub way: Way,
    /// Steps before it.
    #[serde(default = "Door::steps")]
    pub steps: u32,
    /// Its bell.
    pub bell: Option<Bell>,
}

impl Door {
    fn steps() -> u32 {
        1_000
    }
}

/// How a door opens.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// To the side.
    SlidesAway,
    /// As most do.
    #[default]
    Swings,
}
"""

RULES = """
const LONG: &str = "one line, \\
                    or two";

fn door(door: &Door, faults: &mut Faults) {
    faults.unless((0.5..=3.0).contains(&door.width), "door.width", "0.5..=3");
    faults.unless(good(&[1, 2], "a, b"), &key("name"), LONG);
}
"""


class Roff(unittest.TestCase):
    def test_text_comes_through_as_it_is(self):
        for text in ("a-b", ".dot first", "it's \"quoted\"", "back\\slash", "~/x ^1.2"):
            self.assertEqual(roff.plain(roff.escaped(text)), text)
            self.assertNotRegex(roff.escaped(text), r"^[.']")

    def test_words_are_marked_and_the_rest_is_not(self):
        self.assertEqual(roff.inline("the `key` of *part:NAME/FILE*, 2 * 3 * 4"), r"the \fBkey\fR of \fIpart:NAME/FILE\fR, 2 * 3 * 4")

    def test_examples_are_read_with_what_they_print_and_files(self):
        page = roff.Page("x", 7, "1", "x")
        page.section("EXAMPLES")
        page.text("The file `a/b.toml`, whole:")
        page.block("x = 1\n\ny = '.'")
        page.text("Look:")
        page.block("cat a/b.toml \\\n    | head")
        page.text("prints")
        page.block("x = 1")
        page.section("FILES")
        file, look = roff.examples(str(page))
        self.assertEqual((file.file, file.text), ("a/b.toml", "x = 1\n\ny = '.'\n"))
        self.assertEqual((look.title, look.commands, look.prints), ("Look:", "cat a/b.toml \\\n    | head\n", "x = 1\n"))


class Sources(unittest.TestCase):
    def test_structs_and_enums_are_read_with_comments_and_defaults(self):
        records = rust.Sources([SHAPE]).records
        keys = [(key.name, key.kind, key.text, key.default) for key in records["Door"].keys]
        self.assertEqual(keys, [
            ("width", "f32", "How wide, metres.", None), ("name", "String", "What it is called.", ""), ("way", "Way", "How it opens.", '"swings"'),
            ("steps", "u32", "Steps before it.", "1000"), ("bell", "Bell", "Its bell.", "")])
        self.assertEqual([(word.name, word.text) for word in records["Way"].words], [("slides-away", "To the side."), ("swings", "As most do.")])

    def test_rules_are_read_with_their_function_and_constants(self):
        self.assertEqual(list(rust.rules(RULES)), [("door", "door.width", "0.5..=3"), ("door", "name", "one line, or two")])

    def test_a_rule_that_nobody_can_place_is_a_fault(self):
        records = rust.Sources([SHAPE]).records
        for key, accepted in (("colour", "green"), ("width", None)):
            with mock.patch.dict(bundle.FUNCTIONS, door=["Door"]), self.assertRaisesRegex(Fault, f"the rule of door about {key}"):
                bundle.places(records, "door", key, accepted)

    def test_a_table_that_is_gone_is_a_fault(self):
        self.assertGreater(len(table("docs/requests.md", "option", "D-Bus type")), 5)
        with self.assertRaisesRegex(Fault, "no table with the header colour"):
            table("docs/requests.md", "colour")


class Bus(unittest.TestCase):
    def test_who_may_call_is_what_the_code_asks(self):
        for interface, method, who in (
                ("Inference", "Infer", "infer"), ("Manager", "Drain", "manage"), ("Manager", "Describe", "everybody"), ("Models", "Pull", "models"),
                ("Model", "Unload", "models"), ("Model", "Plan", "everybody"), ("Job", "Cancel", "models"), ("Routing", "Audit", "everybody")):
            self.assertEqual(access.who(interface, method), who, f"{interface}.{method}")

    def test_a_method_or_an_interface_that_nobody_can_place_is_a_fault(self):
        with self.assertRaisesRegex(Fault, "who may call Manager.Explode"):
            access.who("Manager", "Explode")
        with self.assertRaisesRegex(Fault, "does not know the interface Oven"):
            access.who("Oven", "Bake")

    def test_a_type_that_nobody_explained_is_a_fault(self):
        with mock.patch.dict(dbus.TYPES, {"a(sd)": "x", "z": "y"}), self.assertRaisesRegex(Fault, r"\['z'\] too much"):
            dbus.written()

    def test_every_member_is_on_the_page(self):
        page = roff.plain((MAN / "edged-dbus.7").read_text())
        for name, members in dbus.interfaces():
            self.assertIn(f".SS org.edged.Edge1.{name}\n", page)
            part = page.split(f".SS org.edged.Edge1.{name}\n")[1].split("\n.S")[0]
            for member, _ in members:
                self.assertRegex(part, rf"\n\.TP\n{member.get('name')} \(")


class Pages(unittest.TestCase):
    def test_every_page_names_the_others_and_none_that_is_not_there(self):
        for name in OWN:
            page = (MAN / name).read_text().replace("\\-", "-").replace("\\fB", "").replace("\\fR", "")
            named = re.findall(r"([a-z][\w.-]*) ?\((\d)\)", re.split(r'\.SH "?SEE ALSO"?\n', page)[1])
            ours = {f"{page}.{section}" for page, section in named if page.startswith("edge")}
            self.assertEqual(set(OWN) - {name} - ours, set(), f"{name} does not name them")
            self.assertEqual([page for page in ours if not (MAN / page).exists()], [], f"{name} names them")

    def test_man_has_nothing_to_say_of_any_page(self):
        if not shutil.which("man") or not shutil.which("groff"):
            self.skipTest("SKIPPED: no man or no groff here (Debian: man-db, groff)")
        for page in sorted(MAN.iterdir()):
            done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-Tutf8", "-l", page], capture_output=True, text=True, check=False,
                                  env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "80"})
            self.assertEqual((done.returncode, done.stderr), (0, ""), page.name)


if __name__ == "__main__":
    unittest.main()
