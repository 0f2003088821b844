"""What can be checked of the examples without a broker: that the runner sees differences, that the Structured Text is judged
strictly, and that it makes and reads what it should at every length.

    python3 -m unittest discover -s tests/clients
"""

import base64
import json
import random
import re
import unittest
from pathlib import Path

import pages
import st

ROOT = Path(__file__).resolve().parent.parent.parent
EDGED = st.parse((ROOT / "docs/mqtt/structured-text/edged.st").read_text())
FLOW = json.loads((ROOT / "docs/mqtt/node-red/flow.json").read_text())

PAGE = """
```sh
echo "it took 12.5 ms"
```

```text
it took 13 ms
```

```python ask.py
print(1)
```

```toml
host = "broker"
```
"""


class Pages(unittest.TestCase):
    def test_steps_are_commands_with_what_they_print_and_files(self):
        commands, file = pages.steps(PAGE)
        self.assertEqual((commands.commands, commands.prints, commands.line), ('echo "it took 12.5 ms"\n', "it took 13 ms\n", 2))
        self.assertEqual((file.file, file.text), ("ask.py", "print(1)\n"))

    def test_a_block_without_an_end_is_an_error(self):
        with self.assertRaisesRegex(ValueError, "line 1"):
            pages.blocks("```sh\necho\n")

    def test_what_differs_from_run_to_run_is_no_difference(self):
        shown = '{"id":"m1a223e6a082-parts-2","info":{"total_us":19603,"received_at":"2026-11-28T20:46:26Z"},"time":"2026-11-28T20:46:25Z"} score 0.99306'
        printed = '{"id":"m1a223e6a083-parts-77","info":{"total_us":7,"received_at":"2027-01-01T00:00:00Z"},"time":"2027-01-01T00:00:00Z"} score 0.99307'
        self.assertEqual(pages.difference(shown, printed), "")

    def test_every_other_difference_is_shown(self):
        for shown, printed in (("a\nb", "a\nc"), ("a", ""), ("", "a"), ("a\nb", "a"), ('"ok":true', '"ok":false'), ("0.99", "0.98")):
            self.assertIn("was printed", pages.difference(shown, printed), (shown, printed))

    def test_dots_stand_for_the_rest_of_a_line_and_for_lines(self):
        self.assertEqual(pages.difference("a ... z\n...\nend", "a b c z\nmore\nand more\nend"), "")
        self.assertNotEqual(pages.difference("a ... z\n...\nend", "a b c\nmore\nend"), "")

    def test_an_updated_page_shows_what_was_printed_and_nothing_else_of_it_changes(self):
        new = pages.updated(PAGE, {2: "one\ntwo\n"})
        self.assertEqual(new, PAGE.replace("it took 13 ms\n", "one\ntwo\n"))


class Flow(unittest.TestCase):
    def test_every_wire_leads_to_a_node_and_every_node_has_its_broker(self):
        ids = {node["id"] for node in FLOW}
        self.assertEqual(len(ids), len(FLOW))
        for node in FLOW:
            named = [target for output in node.get("wires", []) for target in output]
            named += [node["broker"]] if node["type"].startswith("mqtt ") else []
            self.assertLessEqual(set(named), ids, node["id"])


class Manual(unittest.TestCase):
    def test_the_page_names_every_topic_option_and_code_that_the_reference_has(self):
        page = (ROOT / "packaging/man/edged-mqtt.7").read_text().replace("\\fI", "").replace("\\fR", "").replace("\\-", "-")
        reference = (ROOT / "docs/requests.md").read_text()
        topics = re.findall(r"^\| `<prefix>/(?:<node>|_group/<group>)/([a-z]+)", reference, re.M)
        options = re.findall(r"^\| `([a-z_]+)` \| `[a-z]+` \|", reference, re.M) + re.findall(r"^\| `([a-z_]+)` \| any", reference, re.M)
        codes = re.findall(r"^\| `([a-z_]+)` \| `[A-Z]", reference, re.M)
        self.assertGreater(min(len(topics), len(options), len(codes)), 5)
        # Boxes say these to each other.
        for word in set(topics + options + codes) - {"peer", "hops"}:
            self.assertIn(word, page)


def function(body, variables="", result="INT"):
    return f"FUNCTION F : {result}\nVAR_INPUT\n    iIn : INT;\nEND_VAR\nVAR\n    {variables}\nEND_VAR\n{body}\nEND_FUNCTION\n"


def value_of(text, given=0):
    plc = st.Plc(st.parse(text))
    frame = {name: plc.fresh(kind) for name, (kind, _) in plc.blocks["f"].variables.items()}
    frame["iin"] = given
    plc.execute(plc.blocks["f"].body, frame)
    return frame["f"]


class Compiler(unittest.TestCase):
    def test_what_a_plc_would_refuse_is_refused(self):
        for body, variables, why in (
                ("F := iElse;", "", "there is no ielse"),
                ("F := 'text';", "", "STRING is given"),
                ("F := diWide;", "diWide : DINT;", "DINT is given"),
                ("F := 40000;", "", "40000 is no INT"),
                ("iIn := 1;", "", "cannot be assigned"),
                ("IF iIn THEN F := 1; END_IF", "", "INT is given, BOOL is taken"),
                ("F := F_Other(1);", "", "no function f_other"),
                ("fbTimer(IN := 1);", "fbTimer : TON;", "BOOL is taken"),
                ("F := iIn + bByte;", "bByte : BYTE;", "one type"),
                ("F := iIn;", "iNever : NEVER;", "no type NEVER")):
            with self.assertRaisesRegex(st.Fault, why, msg=body):
                st.Plc(st.parse(function(body, variables)))

    def test_what_a_plc_would_stop_at_or_get_wrong_is_an_error(self):
        array = "aiList : ARRAY[1..3] OF INT;"
        with self.assertRaisesRegex(st.Fault, "1 to 3"):
            value_of(function("F := aiList[iIn];", array), 4)
        with self.assertRaisesRegex(st.Fault, "no INT"):
            value_of(function("F := iIn + 1;"), 32767)
        # A PLC looks at both sides of AND, and so reads beyond the array.
        with self.assertRaisesRegex(st.Fault, "1 to 3"):
            value_of(function("IF iIn >= 1 AND aiList[iIn] = 0 THEN F := 1; END_IF", array), 0)

    def test_statements_do_what_the_standard_says(self):
        for body, given, wanted in (
                ("F := -7 / 2;", 0, -3),
                ("FOR i := 1 TO 5 DO IF i = 4 THEN EXIT; END_IF F := F + i; END_FOR", 0, 6),
                ("CASE iIn OF 1, 2: F := 10; ELSE F := 20; END_CASE", 2, 10),
                ("CASE iIn OF 1, 2: F := 10; ELSE F := 20; END_CASE", 3, 20),
                ("WHILE F < 7 DO F := F + 3; END_WHILE", 0, 9),
                ("IF iIn > 2 THEN F := 1; RETURN; ELSIF iIn > 1 THEN F := 2; END_IF F := F + 5;", 3, 1),
                ("F := FIND('abcdef', MID('xcdx', 2, 2)) * 10 + LEN(CONCAT('ab', 'c'));", 0, 33)):
            self.assertEqual(value_of(function(body, "i : INT;"), given), wanted, body)

    def test_a_timer_is_up_once_its_input_was_true_for_its_time(self):
        timer, seen = st.Ton(), []
        timer.frame["pt"] = 100
        for now, wish in ((0, True), (99, True), (100, True), (110, False), (150, True), (249, True), (250, True)):
            timer.frame["in"] = wish
            timer.run(now)
            seen.append(timer.frame["q"])
        self.assertEqual(seen, [False, False, True, False, False, False, True])


class Asking(unittest.TestCase):
    """FB_EdgeAsk, with answers made here."""

    def setUp(self):
        self.plc = st.Plc(EDGED)
        self.block = self.plc.instance("FB_EdgeAsk")
        self.frame = self.block.frame
        self.frame.update(xexecute=False)
        self.block.run(0)

    def cycle(self, milliseconds=10, answer=None):
        if answer is not None:
            body = answer if isinstance(answer, bytes) else json.dumps(answer, separators=(",", ":")).encode()
            self.frame["abreply"][:len(body)] = body
            self.frame["udireply"] = len(body)
        self.frame["xreceived"] = answer is not None
        self.plc.now += milliseconds
        self.block.run(self.plc.now)

    def ask(self, payload):
        """The body that is sent for a payload, or nothing."""
        self.frame["abpayload"][:len(payload)] = payload
        self.frame.update(udipayload=len(payload), xexecute=False)
        self.cycle()
        self.frame["xexecute"] = True
        for _ in range(200):
            self.cycle()
            if self.frame["xpublish"]:
                return bytes(self.frame["abbody"][:self.frame["udibody"]])
            if self.frame["xerror"]:
                return None
        self.fail("neither sent nor refused")

    def test_pictures_of_every_length_are_encoded_as_base64(self):
        for length in (*range(8), 767, 768, 769, 48000):
            payload = random.Random(length).randbytes(length)
            body = self.ask(payload)
            self.assertLessEqual(len(body), 65536)
            sent = json.loads(body)
            self.assertEqual(base64.b64decode(sent["image"], validate=True), payload, length)
            self.assertEqual(sent["reply_to"], "edge/answers/plc")
            self.cycle(answer={"id": sent["id"], "ok": True, "result": {"text": "x", "confidence": 1.0}})
            self.assertTrue(self.frame["xdone"])

    def test_a_payload_that_makes_no_message_of_64_kb_is_refused_here(self):
        self.frame.update(udipayload=48001, xexecute=True)
        self.cycle()
        self.assertEqual((self.frame["xerror"], self.frame["scode"], self.frame["xbusy"]), (True, "payload_too_large", False))

    def test_an_answer_is_taken_by_its_id_alone(self):
        id = json.loads(self.ask(b"x"))["id"]
        for other in ({"id": "plc-999", "ok": True}, {"ok": True}, b"", b"{", b'{"id":'):
            self.cycle(answer=other)
            self.assertTrue(self.frame["xbusy"], other)
        self.cycle(answer={"id": id, "ok": True, "result": {"text": 'say "\\"', "confidence": 5.9e-05}})
        self.assertEqual((self.frame["xdone"], self.frame["stext"]), (True, 'say "\\"'))
        self.assertAlmostEqual(self.frame["lrscore"], 5.9e-05, places=12)

    def test_numbers_are_read_as_json_has_them(self):
        for text in ("0", "1.0", "-12.5", "0.9930618166923523", "1e3", "2.5E-3", "1.5e+2", "70"):
            id = json.loads(self.ask(b"x"))["id"]
            self.cycle(answer=f'{{"id":"{id}","ok":true,"result":{{"text":"","confidence":{text}}}}}'.encode())
            self.assertAlmostEqual(self.frame["lrscore"], float(text), places=12, msg=text)

    def test_a_busy_box_is_asked_again_after_the_time_that_it_says_with_the_same_id(self):
        first = self.ask(b"x")
        id = json.loads(first)["id"]
        self.cycle(answer={"id": id, "ok": False, "error": {"code": "overloaded", "message": "m", "retry_after_ms": 70}})
        self.cycle(1)
        self.cycle(69)
        self.assertFalse(self.frame["xpublish"])
        for _ in range(3):
            self.cycle(1)
            if self.frame["xpublish"]:
                break
        self.assertTrue(self.frame["xpublish"])
        self.assertEqual(bytes(self.frame["abbody"][:self.frame["udibody"]]), first)

    def test_silence_ends_as_no_answer_after_three_tries(self):
        self.ask(b"x")
        sent = 1
        for _ in range(1000):
            self.cycle(10)
            sent += self.frame["xpublish"]
            if self.frame["xerror"]:
                break
        self.assertEqual((sent, self.frame["scode"], self.frame["uitry"]), (3, "no_answer", 3))

    def test_an_id_is_never_used_twice(self):
        ids = set()
        for _ in range(3):
            id = json.loads(self.ask(b"x"))["id"]
            self.cycle(answer={"id": id, "ok": False, "error": {"code": "invalid_input", "message": "m"}})
            self.assertEqual(self.frame["scode"], "invalid_input")
            ids.add(id)
        self.assertEqual(len(ids), 3)


class Values(unittest.TestCase):
    """FB_EdgeValue, with messages made here."""

    def test_a_value_is_read_as_text_as_number_and_as_yes_or_no(self):
        plc = st.Plc(EDGED)
        block = plc.instance("FB_EdgeValue")
        for body, text, number, yes in (
                ("bolt", "bolt", 0.0, False), ("0.820753", "0.820753", 0.820753, False), ("true", "true", 0.0, True),
                ("false", "false", 0.0, False), ("-", "-", 0.0, False), ("12", "12", 12.0, False), ("", "", 0.0, False),
                ("bulon n\u00ba 4", "bulon n?? 4", 0.0, False), ("e99999", "e99999", 0.0, False), ("x" * 4096, "x" * 80, 0.0, False)):
            body = body.encode()
            block.frame["abpayload"][:len(body)] = body
            block.frame.update(xreceived=True, udilength=len(body))
            block.run(0)
            self.assertEqual((block.frame["stext"], block.frame["xvalue"], block.frame["xnew"]), (text, yes, True))
            self.assertAlmostEqual(block.frame["lrvalue"], number, places=12)

    def test_a_value_stays_until_the_next_one_comes(self):
        block = st.Plc(EDGED).instance("FB_EdgeValue")
        block.frame.update(xreceived=False, udilength=0)
        block.run(0)
        self.assertEqual((block.frame["xnew"], block.frame["xknown"]), (False, False))
        block.frame["abpayload"][:4] = b"true"
        block.frame.update(xreceived=True, udilength=4)
        block.run(0)
        block.frame["abpayload"][:4] = b"nuts"
        block.frame.update(xreceived=False)
        block.run(0)
        self.assertEqual((block.frame["xnew"], block.frame["xknown"], block.frame["xvalue"], block.frame["stext"]), (False, True, True, "true"))


if __name__ == "__main__":
    unittest.main()
