"""A tiny GGUF file, made here, is read and becomes a graph; bad ones are refused by what is wrong with them.

    python3 -m unittest discover --quiet -s onnx-models
"""

import io
import json
import math
import random
import struct
import tempfile
import unittest
from pathlib import Path

import gguf
import language

HIDDEN, WIDE, HEADS, KV_HEADS, HEAD, LAYERS, CONTEXT = 64, 96, 4, 2, 16, 2, 8
TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "a", "b", "ab", *(f"word {at}" for at in range(26))]
FORMS = {int: (4, "I"), float: (6, "f"), bool: (7, "?")}


def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(one):
    """A value of the metadata with its type."""
    if isinstance(one, str):
        return struct.pack("<I", 8) + text(one)
    if isinstance(one, list) and isinstance(one[0], str):
        return struct.pack("<IIQ", 9, 8, len(one)) + b"".join(map(text, one))
    if isinstance(one, list):
        return struct.pack(f"<IIQ{len(one)}i", 9, 5, len(one), *one)
    kind, form = FORMS[type(one)]
    return struct.pack("<I" + form, kind, one)


def metadata(**changed):
    found = {
        "general.architecture": "llama", "llama.block_count": LAYERS, "llama.embedding_length": HIDDEN,
        "llama.feed_forward_length": WIDE, "llama.attention.head_count": HEADS, "llama.attention.head_count_kv": KV_HEADS,
        "llama.context_length": CONTEXT, "llama.rope.dimension_count": HEAD, "llama.rope.freq_base": 1000.0,
        "llama.attention.layer_norm_rms_epsilon": 1e-5, "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": TOKENS, "tokenizer.ggml.token_type": [3] * 3 + [1] * 29, "tokenizer.ggml.merges": ["a b"],
        "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2, "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0, "tokenizer.ggml.add_bos_token": False, "tokenizer.chat_template": "{{ messages }}\n",
    } | {key.replace("__", "."): one for key, one in changed.items()}
    return {key: one for key, one in found.items() if one is not None}


def block(chance, kind):
    if kind == "F32":
        return struct.pack("<f", chance.uniform(0.5, 1.5))
    if kind == "Q8_0":
        return struct.pack("<e", chance.uniform(0.001, 0.01)) + chance.randbytes(32)
    step = chance.uniform(0.001, 0.1)
    return struct.pack("<ee", step, -step * chance.uniform(2, 13)) + chance.randbytes(16)


def tensors(seed=5):
    """Names, types and shapes (as GGUF has them: the numbers of a row first), and bytes."""
    shapes = [("token_embd.weight", "Q8_0", [HIDDEN, len(TOKENS)]), ("output_norm.weight", "F32", [HIDDEN])]
    for at in range(LAYERS):
        shapes += [(f"blk.{at}.{name}.weight", kind, shape) for name, kind, shape in [
            ("attn_norm", "F32", [HIDDEN]), ("attn_q", "Q4_1", [HIDDEN, HIDDEN]), ("attn_k", "Q4_1", [HIDDEN, KV_HEADS * HEAD]),
            ("attn_v", "Q4_1", [HIDDEN, KV_HEADS * HEAD]), ("attn_output", "Q4_1", [HIDDEN, HIDDEN]), ("ffn_norm", "F32", [HIDDEN]),
            ("ffn_gate", "Q4_1", [HIDDEN, WIDE]), ("ffn_up", "Q4_1", [HIDDEN, WIDE]), ("ffn_down", "Q4_1", [WIDE, HIDDEN])]]
    chance = random.Random(seed)
    return [(name, {"F32": 0, "Q4_1": 3, "Q8_0": 8}[kind], shape,
             b"".join(block(chance, kind) for _ in range(math.prod(shape) // (1 if kind == "F32" else 32))))
            for name, kind, shape in shapes]


def written(facts=None, rows=None, version=3):
    """A whole file."""
    facts, rows = metadata() if facts is None else facts, tensors() if rows is None else rows
    head = b"GGUF" + struct.pack("<IQQ", version, len(rows), len(facts))
    head += b"".join(text(key) + value(one) for key, one in facts.items())
    data = b""
    for name, kind, shape, raw in rows:
        head += text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, len(data))
        data += raw + bytes(-len(raw) % 32)
    return head + bytes(-len(head) % 32) + data


def fields(raw):
    """The fields of a protocol buffer: (number, bytes or whole number)."""
    at = 0

    def varint():
        nonlocal at
        found = shift = 0
        while True:
            found |= (raw[at] & 127) << shift
            shift, at = shift + 7, at + 1
            if raw[at - 1] < 128:
                return found

    while at < len(raw):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            size = 4 if key & 7 == 5 else varint()
            at += size
            yield key >> 3, raw[at - size:at]


def all_of(raw, number):
    return [one for key, one in fields(raw) if key == number]


def one_by_one(raw):
    """Blocks of Q4_1 as numbers, by the definition."""
    for at in range(0, len(raw), 20):
        step, least = struct.unpack("<ee", raw[at:at + 4])
        codes = [byte & 15 for byte in raw[at + 4:at + 20]] + [byte >> 4 for byte in raw[at + 4:at + 20]]
        for code in codes:
            yield step * code + least, step


class Blocks(unittest.TestCase):
    RAW = tensors()[3][3]

    def test_codes_of_eight_bits_are_within_a_32nd_of_a_step_of_those_of_four(self):
        codes, scales, zeros = gguf.wide(self.RAW)
        scales = struct.unpack(f"<{len(zeros)}f", scales)
        for at, (wanted, step) in enumerate(one_by_one(self.RAW)):
            found = scales[at // 32] * (codes[at] - zeros[at // 32])
            self.assertLessEqual(abs(found - wanted), step / 32 + 1e-9)

    def test_numbers_are_what_the_definition_says(self):
        found = gguf.numbers(self.RAW, "Q4_1")
        wanted = [struct.unpack("<f", struct.pack("<f", number))[0] for number, _ in one_by_one(self.RAW)]
        self.assertEqual(list(found), wanted)

    def test_eight_bits_with_sign_become_eight_bits_around_128(self):
        raw = struct.pack("<e32b", 0.5, *range(-16, 16))
        self.assertEqual(gguf.eight(raw), (bytes(range(112, 144)), struct.pack("<f", 0.5)))
        self.assertEqual(list(gguf.numbers(raw, "Q8_0")), [one / 2 for one in range(-16, 16)])

    def test_what_a_zero_point_cannot_tell_is_refused(self):
        for step, least, wrong in ((0.5, 1, "zero point"), (0.5, -9, "zero point"), (0, 1, "zero point"), (math.inf, 0, "finite"),
                                   (0.5, math.nan, "finite")):
            with self.subTest(step=step, least=least), self.assertRaisesRegex(gguf.Fault, wrong):
                gguf.wide(struct.pack("<ee16x", step, least))
        self.assertEqual(gguf.wide(bytes(20)), (bytes(32), bytes(4), bytes(1)))


class Graphs(unittest.TestCase):
    def made(self, exact=False):
        data = io.BytesIO()
        return language.Model(gguf.File(written()), data, exact).made(), data.getvalue()

    def test_the_same_file_gives_the_same_bytes(self):
        self.assertEqual(self.made(), self.made())
        self.assertEqual(self.made(True), self.made(True))

    def test_every_input_of_a_node_is_there_and_every_layer(self):
        for exact, product in ((False, "MatMulNBits"), (True, "MatMul")):
            graph, = all_of(self.made(exact)[0], 7)
            there = {str(all_of(one, 1)[0], "utf-8") for one in all_of(graph, 11)}
            there |= {str(all_of(one, 8)[0], "utf-8") for one in all_of(graph, 5)} | {""}
            kinds = []
            for node in all_of(graph, 1):
                self.assertLessEqual({str(one, "utf-8") for one in all_of(node, 1)}, there)
                there |= {str(one, "utf-8") for one in all_of(node, 2)}
                kinds.append(str(all_of(node, 4)[0], "utf-8"))
            self.assertLessEqual({str(all_of(one, 1)[0], "utf-8") for one in all_of(graph, 12)}, there)
            self.assertEqual(kinds.count("GroupQueryAttention"), LAYERS)
            self.assertEqual(kinds.count(product), 4 * LAYERS + (not exact))

    def test_weights_lie_in_their_file_and_the_head_shares_those_of_the_embedding(self):
        model, data = self.made()
        graph, = all_of(model, 7)
        places = {}
        for one in all_of(graph, 5):
            facts = {str(all_of(fact, 1)[0], "utf-8"): str(all_of(fact, 2)[0], "utf-8") for fact in all_of(one, 13)}
            if facts:
                self.assertEqual(facts["location"], language.WEIGHTS)
                places[str(all_of(one, 8)[0], "utf-8")] = int(facts["offset"]), int(facts["length"])
        for offset, length in places.values():
            self.assertEqual(offset % language.LINE, 0)
            self.assertLessEqual(offset + length, len(data))
        self.assertEqual(places["layer.0.qkv.codes"][1], HIDDEN * (HIDDEN + 2 * KV_HEADS * HEAD))
        self.assertEqual(places["head.codes"], places["embedding.codes"])

    def test_rows_of_queries_and_keys_go_to_halves_and_those_of_values_stay(self):
        data = io.BytesIO()
        model = language.Model(gguf.File(written()), data, True)
        model.linear("x", "y", HIDDEN, [("blk.0.attn_k.weight", KV_HEADS * HEAD, KV_HEADS), ("blk.0.attn_v.weight", KV_HEADS * HEAD, 0)])
        columns = struct.unpack(f"<{len(data.getvalue()) // 4}f", data.getvalue())
        given = {name: gguf.numbers(raw, "Q4_1") for name, _, _, raw in tensors() if "attn_k" in name or "attn_v" in name}
        first = columns[:2 * KV_HEADS * HEAD]
        keys, values = (given[f"blk.0.attn_{one}.weight"][0::HIDDEN] for one in "kv")
        self.assertEqual(list(first[:HEAD]), list(keys[0:HEAD:2]) + list(keys[1:HEAD:2]))
        self.assertEqual(list(first[KV_HEADS * HEAD:]), list(values))

    def test_the_tokenizer_and_what_a_chat_needs_are_written_beside(self):
        with tempfile.TemporaryDirectory() as directory:
            names = language.write(written(), directory)
            self.assertEqual(sorted(names), sorted(path.name for path in Path(directory).iterdir()))
            tokenizer = json.loads((Path(directory) / "tokenizer.json").read_text())
            self.assertEqual(tokenizer["model"]["vocab"], {token: at for at, token in enumerate(TOKENS)})
            self.assertEqual(tokenizer["model"]["merges"], [["a", "b"]])
            self.assertEqual([one["content"] for one in tokenizer["added_tokens"] if one["special"]], TOKENS[:3])
            chat = json.loads((Path(directory) / "chat.json").read_text())
            self.assertEqual((chat["context"], chat["begin"], chat["end"], chat["stop"]), (CONTEXT, 1, 2, [0, 2]))
            self.assertEqual((Path(directory) / "chat.jinja").read_text(), "{{ messages }}\n")


class BadFiles(unittest.TestCase):
    def refused(self, content, wrong):
        with self.assertRaisesRegex(gguf.Fault, wrong), tempfile.TemporaryDirectory() as directory:
            language.write(content, directory)

    def test_what_is_cut_off_anywhere_is_truncated(self):
        whole = written()
        for size in [0, 3, 4, 7, 8, 23, 24, 31, 100, *range(200, len(whole), 997), len(whole) - 32]:
            with self.subTest(size=size):
                self.refused(whole[:size], "truncated")

    def test_another_format_is_named(self):
        self.refused(b"GGML" + written()[4:], "not a GGUF file: it begins with b'GGML'")
        self.refused(written(version=1), "version 1 of GGUF")
        # What a big-endian machine writes.
        self.refused(b"GGUF" + struct.pack(">I", 3) + written()[8:], "version 50331648 of GGUF")

    def test_lengths_beyond_the_file_are_truncated_and_take_no_memory(self):
        head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)
        for wrong in (struct.pack("<Q", 1 << 63), text("k") + struct.pack("<IQ", 8, 1 << 62),
                      text("k") + struct.pack("<IIQ", 9, 5, 1 << 61), text("k") + struct.pack("<IIQ", 9, 8, 1 << 61)):
            with self.subTest(wrong=wrong):
                self.refused(head + wrong, "truncated")
        self.refused(b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 60), "truncated")

    def test_values_of_unknown_types_are_named(self):
        head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("odd")
        self.refused(head + struct.pack("<I", 77), "odd is of type 77")
        self.refused(head + struct.pack("<IIQ", 9, 9, 1), "odd is of type 9")
        self.refused(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"\xff", "key number 0 is not UTF-8")

    def changed(self, tensor, parts):
        """The file with one tensor that is told otherwise."""
        rows = []
        for row in tensors():
            told = dict(zip(("name", "kind", "shape", "raw"), row))
            rows.append(tuple((told | parts if row[0] == tensor else told).values()))
        return written(rows=rows)

    def test_bad_tensors_are_named(self):
        name, shape = "blk.1.ffn_up.weight", [HIDDEN, WIDE]
        for parts, wrong in [
                ({"kind": 14}, "blk.1.ffn_up.weight is of type 14 .Q6_K.; read here are F32, Q4_1, Q8_0"),
                ({"kind": 99}, "blk.1.ffn_up.weight is of type 99; read"),
                ({"shape": [1 << 32, 1 << 32]}, "shape .4294967296, 4294967296., which no tensor has"),
                ({"shape": [1 << 63, 2]}, "which no tensor has"),
                ({"shape": [64, 0]}, "which no tensor has"),
                ({"shape": []}, "0 dimensions"),
                ({"shape": [1] * 5}, "5 dimensions"),
                ({"shape": [48, 128]}, "rows of 48, and Q4_1 comes in blocks of 32"),
                ({"shape": [64, 1 << 20]}, "truncated: tensor blk.1.ffn_up.weight"),
                ({"shape": shape[::-1]}, "blk.1.ffn_up.weight is Q4_1 .64, 96., not Q4_1 .96, 64."),
                ({"kind": 8}, "truncated|blk.1.ffn_up.weight is Q8_0"),
                ({"name": "blk.0.ffn_up.weight"}, "blk.0.ffn_up.weight stands there twice"),
                ({"name": "blk.1.ffn_up.bias"}, "there is no tensor blk.1.ffn_up.weight")]:
            with self.subTest(parts=parts):
                self.refused(self.changed(name, parts), wrong)
        self.refused(written(rows=[*tensors(), ("output.weight", 0, [64], bytes(256))]), "no place for tensor output.weight")

    def test_bad_facts_are_named(self):
        for changed, wrong in [
                ({"general__architecture": "qwen2"}, "architecture qwen2"),
                ({"llama__block_count": None}, "no llama.block_count"),
                ({"llama__block_count": "2"}, "llama.block_count is '2', not of the type int"),
                ({"llama__block_count": True}, "llama.block_count is True"),
                ({"llama__attention__head_count": 3}, "3 heads of 16"),
                ({"llama__attention__head_count_kv": 0}, "llama.attention.head_count_kv is 0, not 1 to 1048576"),
                ({"llama__context_length": 1 << 30}, "llama.context_length is 1073741824, not 1 to 1048576"),
                ({"llama__rope__scaling__type": "yarn"}, "llama.rope.scaling.type"),
                ({"general__alignment": 0}, "general.alignment is 0"),
                ({"tokenizer__ggml__model": "llama"}, "a tokenizer of the kind llama"),
                ({"tokenizer__ggml__pre": "qwen2"}, "cuts text as qwen2 does"),
                ({"tokenizer__ggml__token_type": [1, 1]}, "32 tokens, 32 of them different, and 2 types"),
                ({"tokenizer__ggml__tokens": [*TOKENS[:-1], "a"]}, "32 tokens, 31 of them different"),
                ({"tokenizer__ggml__merges": [1, 2]}, "tokenizer.ggml.merges is not a list of texts"),
                ({"tokenizer__ggml__merges": ["a b", "ab"]}, "tokenizer.ggml.merges has 'ab', which is no pair"),
                ({"llama__rope__freq_base": 0.0}, "llama.rope.freq_base is 0.0: takes a number above 0"),
                ({"llama__rope__freq_base": -1.0}, "llama.rope.freq_base is -1.0"),
                ({"llama__rope__freq_base": math.inf}, "llama.rope.freq_base is inf"),
                ({"llama__attention__layer_norm_rms_epsilon": math.nan}, "epsilon is nan"),
                ({"tokenizer__ggml__eos_token_id": 32}, "token 32 of 32"),
                ({"tokenizer__chat_template": None}, "no tokenizer.chat_template")]:
            with self.subTest(changed=changed):
                self.refused(written(metadata(**changed)), wrong)


if __name__ == "__main__":
    unittest.main()
