"""Makes a language model in ONNX of a GGUF file: the graph, its weights beside it, and what its text is made of.

    python3 onnx-models/language.py MODEL.gguf DIRECTORY [--fp32]

writes to DIRECTORY

    model.onnx          the graph; its weights lie beside it in model.onnx.data
    tokenizer.json      vocabulary and merges, as the library `tokenizers` reads them
    chat.jinja          the template that makes one text of a conversation
    chat.json           sizes of the graph and its cache, the tokens that begin, end and pad

and with --fp32 the graph alone with weights of FP32, three and a half times as large: what the other one is held against. Models of
Llama's architecture are taken whose head shares its weights with the embedding, in Q4_1 with an embedding of Q8_0. Needs
Python's standard library alone; what is written is the same to the byte each time.

The graph: B sequences of S new tokens each, P places in the cache, V tokens in the vocabulary

    input_ids [B, S]                    the new tokens
    attention_mask [B, T]               ones, for what is in the cache and the new tokens
    logit_index [N]                     for which new tokens logits are wanted, as b * S + s: one for the next token, more for
                                        checking what somebody else proposed
    past_key_values.L.key, .value       [B, heads, P, size], the cache of layer L
    logits [N, V]
    present.L.key, .value               the cache with the new tokens. Bound to the same memory as the past one, of P places that
                                        hold T, it is brought up to date where it lies
"""

import argparse
import json
import math
import struct
from pathlib import Path

import convert
import gguf
from convert import FLOAT, INT32, INT64, UINT8

MICROSOFT = "com.microsoft"
OPERATORS, FORMAT = {"": 21, MICROSOFT: 1}, 10
# The kernels compute with integers of 8 bits: twice as fast as with FP32, and no worse here.
ACCURACY = 4
# What is smaller stands in the graph. Pages of memory are where large tensors begin, so that a runtime can map them.
INLINE, PAGE, LINE = 1024, 4096, 64
WEIGHTS = "model.onnx.data"
# Of layers, places, heads and the like: no model has as many, and a file that is wrong must not fill the memory.
MOST = 1 << 20
# How the tokenizer of each kind cuts text before it looks for bytes: `tokenizer.ggml.pre`.
CUTS = {"smollm": [{"type": "Digits", "individual_digits": True}], "gpt-2": []}
CONTROL, OWN = 3, 4
# Tokens that end a turn or a text, whatever the file names as its end.
ENDS = ("<|endoftext|>", "<|im_end|>")


class Outside(convert.Graph):
    """A graph whose weights go to a file of their own as they come."""

    def __init__(self, data):
        super().__init__({})
        self.data, self.size = data, 0

    def constant(self, name, shape, raw, kind=FLOAT):
        if len(raw) < INLINE:
            return super().constant(name, shape, raw, kind)
        gap = -self.size % (PAGE if len(raw) > PAGE else LINE)
        self.data.write(bytes(gap) + raw)
        self.size += gap + len(raw)
        return self.place(name, shape, self.size - len(raw), len(raw), kind)

    def place(self, name, shape, offset, size, kind):
        """A constant in the file of weights; what lies there may serve several."""
        facts = [("location", WEIGHTS), ("offset", str(offset)), ("length", str(size))]
        self.constants[name] = convert.field(5, [
            *(convert.field(1, one) for one in shape), convert.field(2, kind), convert.field(8, name),
            *(convert.field(13, [convert.field(1, key), convert.field(2, value)]) for key, value in facts),
            convert.field(14, 1)])
        return name


def counted(file, key):
    count = file.fact(key, int)
    if not 1 <= count <= MOST:
        raise gguf.Fault(f"{key} is {count}, not 1 to {MOST}")
    return count


def texts(file, key):
    found = file.fact(key, list)
    if not all(isinstance(one, str) for one in found):
        raise gguf.Fault(f"{key} is not a list of texts")
    return found


def above_zero(file, key):
    found = file.fact(key, float)
    if not (math.isfinite(found) and found > 0):
        raise gguf.Fault(f"{key} is {found}: takes a number above 0")
    return found


class Sizes:
    """What the metadata says of a model, and whether the graph below is right for it."""

    def __init__(self, file):
        architecture = file.fact("general.architecture", str)
        if architecture != "llama":
            raise gguf.Fault(f"a model of the architecture {architecture}; llama is read here")
        if scaled := sorted(key for key in file.metadata if key.startswith("llama.rope.scaling")):
            raise gguf.Fault(f"{scaled[0]}: positions that are scaled are not read here")
        count = lambda key: counted(file, f"llama.{key}")
        self.layers, self.hidden, self.wide = count("block_count"), count("embedding_length"), count("feed_forward_length")
        self.heads, self.kv_heads = count("attention.head_count"), count("attention.head_count_kv")
        self.context, self.head = count("context_length"), count("rope.dimension_count")
        self.base = above_zero(file, "llama.rope.freq_base")
        self.epsilon = above_zero(file, "llama.attention.layer_norm_rms_epsilon")
        self.tokens = len(texts(file, "tokenizer.ggml.tokens"))
        if self.heads * self.head != self.hidden or self.heads % self.kv_heads or self.head % 2:
            raise gguf.Fault(f"{self.heads} heads of {self.head}, {self.kv_heads} of them in the cache, "
                             f"do not make {self.hidden} numbers for a token")
        # The tables of sines and cosines: no larger than those of a million places and heads of 128.
        if self.context * self.head > MOST * 128:
            raise gguf.Fault(f"a context of {self.context} tokens with heads of {self.head} numbers is too large")
        if self.tokens * self.hidden < INLINE:
            raise gguf.Fault(f"{self.tokens} tokens of {self.hidden} numbers: too few to be a model")


class Model:
    """The graph of one file. `exact`: with weights of FP32."""

    def __init__(self, file, data, exact):
        self.file, self.exact, self.sizes, self.graph = file, exact, Sizes(file), Outside(data)
        self.node, self.used = self.graph.node, set()

    def tensor(self, name, kind, shape):
        self.used.add(name)
        return self.file.tensor(name, kind, shape)

    def whole(self, name, value, kind=INT64):
        """Whole numbers as a constant: one, or a list."""
        listed = value if isinstance(value, list) else [value]
        return self.graph.constant(name, [len(value)] if isinstance(value, list) else [],
                                   struct.pack(f"<{len(listed)}q", *listed), kind)

    def linear(self, x, out, width, parts):
        """`x` times the tensors `parts` at once, (name, rows, heads): one large product is faster than several.

        GGUF has the rows of each head of queries and keys in pairs, as rotations by position turn them (`heads` is how many);
        ONNX Runtime wants the first of each pair, then the second ones.
        """
        rows = []
        for name, count, heads in parts:
            found = self.tensor(name, "Q4_1", [count, width]).rows()
            size = count // heads if heads else count
            for at in range(0, count, size):
                head = found[at:at + size]
                rows += head[0::2] + head[1::2] if heads else head
        raw, count, blocks = b"".join(rows), len(rows), width // gguf.BLOCK
        if self.exact:
            return self.node("MatMul", [x, self.graph.constant(f"{out}.w", [width, count], turned(raw, width, count))], [out])
        codes, scales, zeros = gguf.wide(raw)
        return self.node("MatMulNBits", [
            x, self.graph.constant(f"{out}.codes", [count, blocks, gguf.BLOCK], codes, UINT8),
            self.graph.constant(f"{out}.scales", [count, blocks], scales),
            self.graph.constant(f"{out}.zeros", [count, blocks], zeros, UINT8)],
            [out], MICROSOFT, K=width, N=count, bits=8, block_size=gguf.BLOCK, accuracy_level=ACCURACY)

    def embedding(self):
        sizes, shape = self.sizes, [self.sizes.tokens, self.sizes.hidden]
        raw = bytes(self.tensor("token_embd.weight", "Q8_0", shape).raw)
        if self.exact:
            self.graph.constant("embedding.w", shape, gguf.floats(gguf.numbers(raw, "Q8_0")))
            return self.node("Gather", ["embedding.w", "input_ids"], ["embedding"])
        codes, scales = gguf.eight(raw)
        self.graph.constant("embedding.codes", shape, codes, UINT8)
        # The head is the same weights, in another shape.
        self.graph.place("head.codes", [sizes.tokens, sizes.hidden // gguf.BLOCK, gguf.BLOCK],
                         self.graph.size - len(codes), len(codes), UINT8)
        self.graph.constant("embedding.scales", [sizes.tokens, sizes.hidden // gguf.BLOCK], scales)
        return self.node("GatherBlockQuantized", ["embedding.codes", "input_ids", "embedding.scales"], ["embedding"], MICROSOFT,
                         bits=8, block_size=gguf.BLOCK, quantize_axis=1, gather_axis=0)

    def head(self, x):
        if self.exact:
            return self.node("Gemm", [x, "embedding.w"], ["logits"], transB=1)
        return self.node("MatMulNBits", [x, "head.codes", "embedding.scales"], ["logits"], MICROSOFT, K=self.sizes.hidden,
                         N=self.sizes.tokens, bits=8, block_size=gguf.BLOCK, accuracy_level=ACCURACY)

    def norm(self, x, branch, name, out):
        """`x` with what the last part of a layer added to it, and the same brought to one size: (sum, normalised)."""
        weight = self.graph.constant(name, [self.sizes.hidden],
                                     bytes(self.tensor(f"{name}.weight", "F32", [self.sizes.hidden]).raw))
        if branch is None:
            return x, self.node("SimplifiedLayerNormalization", [x, weight], [out], axis=-1, epsilon=self.sizes.epsilon,
                                stash_type=1)
        self.node("SkipSimplifiedLayerNormalization", [x, branch, weight], [out, "", "", f"{out}.sum"], MICROSOFT,
                  epsilon=self.sizes.epsilon)
        return f"{out}.sum", out

    def places(self):
        """Sine and cosine of every position, and how many tokens the mask counts."""
        sizes = self.sizes
        turns = [sizes.base ** (-2 * at / sizes.head) for at in range(sizes.head // 2)]
        for name, function in (("cosine", math.cos), ("sine", math.sin)):
            self.graph.constant(name, [sizes.context, sizes.head // 2], gguf.floats(
                [function(place * turn) for place in range(sizes.context) for turn in turns]))
        one, last = self.whole("one", 1), self.whole("last_axis", [-1])
        count = self.node("ReduceSum", ["attention_mask", last], keepdims=0)
        self.node("Cast", [self.node("Sub", [count, one])], ["last_place"], to=INT32)
        width = self.node("Gather", [self.node("Shape", ["attention_mask"]), one], axis=0)
        self.node("Cast", [width], ["places"], to=INT32)

    def layer(self, at, x, branch):
        sizes, name = self.sizes, f"layer.{at}"
        weight = lambda part: f"blk.{at}.{part}.weight"
        kept = sizes.kv_heads * sizes.head
        x, y = self.norm(x, branch, f"blk.{at}.attn_norm", f"{name}.before")
        y = self.linear(y, f"{name}.qkv", sizes.hidden, [
            (weight("attn_q"), sizes.hidden, sizes.heads), (weight("attn_k"), kept, sizes.kv_heads), (weight("attn_v"), kept, 0)])
        y = self.node("GroupQueryAttention", [
            y, "", "", f"past_key_values.{at}.key", f"past_key_values.{at}.value", "last_place", "places", "cosine", "sine"],
            [f"{name}.attention", f"present.{at}.key", f"present.{at}.value"], MICROSOFT,
            num_heads=sizes.heads, kv_num_heads=sizes.kv_heads, do_rotary=1, rotary_interleaved=0)
        branch = self.linear(y, f"{name}.out", sizes.hidden, [(weight("attn_output"), sizes.hidden, 0)])
        x, y = self.norm(x, branch, f"blk.{at}.ffn_norm", f"{name}.between")
        self.linear(y, f"{name}.gate_up", sizes.hidden, [(weight(part), sizes.wide, 0) for part in ("ffn_gate", "ffn_up")])
        self.node("Split", [f"{name}.gate_up"], [f"{name}.gate", f"{name}.up"], axis=-1, num_outputs=2)
        y = self.node("Mul", [self.node("QuickGelu", [f"{name}.gate"], domain=MICROSOFT, alpha=1.0), f"{name}.up"])
        return x, self.linear(y, f"{name}.down", sizes.wide, [(weight("ffn_down"), sizes.hidden, 0)])

    def made(self):
        sizes = self.sizes
        x, branch = self.embedding(), None
        self.places()
        for at in range(sizes.layers):
            x, branch = self.layer(at, x, branch)
        # The vocabulary is the largest product of all: only tokens whose logits are wanted reach it.
        flat = self.whole("flat", [-1, sizes.hidden])
        x, branch = (self.node("Gather", [self.node("Reshape", [one, flat]), "logit_index"], axis=0) for one in (x, branch))
        self.head(self.norm(x, branch, "output_norm", "after")[1])
        if unknown := sorted(set(self.file.tensors) - self.used):
            raise gguf.Fault(f"there is no place for tensor {unknown[0]} in this graph")
        caches = [(f"{at}.{part}", sizes.kv_heads, sizes.head) for at in range(sizes.layers) for part in ("key", "value")]
        inputs = [("input_ids", ["batch", "new"], INT64), ("attention_mask", ["batch", "all"], INT64),
                  ("logit_index", ["wanted"], INT64),
                  *((f"past_key_values.{name}", ["batch", heads, "past", size]) for name, heads, size in caches)]
        outputs = [("logits", ["wanted", sizes.tokens]),
                   *((f"present.{name}", ["batch", heads, "present", size]) for name, heads, size in caches)]
        return self.graph.written("language", inputs, outputs, OPERATORS, FORMAT)


def turned(raw, width, count):
    """Rows of Q4_1 as FP32 numbers, columns first, as MatMul wants its weights."""
    found = gguf.numbers(raw, "Q4_1")
    return b"".join(gguf.floats(found[at::width]) for at in range(width))


def tokenizer(file):
    """tokenizer.json: byte pairs, of the kind that GPT-2 began."""
    fact = lambda key, kind, *otherwise: file.fact(f"tokenizer.ggml.{key}", kind, *otherwise)
    if (kind := fact("model", str)) != "gpt2":
        raise gguf.Fault(f"a tokenizer of the kind {kind}; gpt2 is read here")
    if (cut := fact("pre", str)) not in CUTS:
        raise gguf.Fault(f"a tokenizer that cuts text as {cut} does; read here are {', '.join(CUTS)}")
    tokens, kinds, merges = texts(file, "tokenizer.ggml.tokens"), fact("token_type", list), texts(file, "tokenizer.ggml.merges")
    if len(kinds) != len(tokens) or len(set(tokens)) != len(tokens):
        raise gguf.Fault(f"{len(tokens)} tokens, {len(set(tokens))} of them different, and {len(kinds)} types of tokens")
    if wrong := [merge for merge in merges if merge.count(" ") != 1]:
        raise gguf.Fault(f"tokenizer.ggml.merges has {wrong[0]!r:.40}, which is no pair")
    space = fact("add_space_prefix", bool, False)
    pieces = {"type": "ByteLevel", "add_prefix_space": space, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": at, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": kind == CONTROL}
                         for at, (token, kind) in enumerate(zip(tokens, kinds)) if kind in (CONTROL, OWN)],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*CUTS[cut], pieces]},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {token: at for at, token in enumerate(tokens)},
                  "merges": [merge.split(" ") for merge in merges]},
    }


def within(token, tokens):
    if not 0 <= token < tokens:
        raise gguf.Fault(f"there is no token {token} of {tokens}")
    return token


def chat(file):
    """chat.json: what a program must know to talk to the model, beside the template."""
    sizes, tokens = Sizes(file), texts(file, "tokenizer.ggml.tokens")
    kinds = file.fact("tokenizer.ggml.token_type", list)
    special = lambda name: within(file.fact(f"tokenizer.ggml.{name}_token_id", int), sizes.tokens)
    ends = {at for at, token in enumerate(tokens) if token in ENDS and kinds[at] == CONTROL}
    return {"context": sizes.context, "vocabulary": sizes.tokens, "layers": sizes.layers, "heads": sizes.heads,
            "kv_heads": sizes.kv_heads, "head_size": sizes.head, "begin": special("bos"), "end": special("eos"),
            "stop": sorted(ends | {special("eos")}), "pad": special("padding"), "unknown": special("unknown"),
            "add_begin": file.fact("tokenizer.ggml.add_bos_token", bool, False)}


def write(content, directory, exact=False):
    """Writes the files of a model to a directory; the names of those that were written."""
    file, directory = gguf.File(content), Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / WEIGHTS, "wb") as data:
        (directory / "model.onnx").write_bytes(Model(file, data, exact).made())
    if exact:
        return ["model.onnx", WEIGHTS]
    beside = {"tokenizer.json": json.dumps(tokenizer(file), ensure_ascii=False, separators=(",", ":")) + "\n",
              "chat.jinja": file.fact("tokenizer.chat_template", str),
              "chat.json": json.dumps(chat(file), indent=1) + "\n"}
    for name, text in beside.items():
        (directory / name).write_bytes(text.encode())
    return ["model.onnx", WEIGHTS, *beside]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="the GGUF file")
    parser.add_argument("directory", type=Path, help="where the files go")
    parser.add_argument("--fp32", action="store_true", help="the graph alone, with weights of FP32")
    arguments = parser.parse_args()
    try:
        write(arguments.model.read_bytes(), arguments.directory, arguments.fp32)
    except gguf.Fault as fault:
        raise SystemExit(f"language.py: {arguments.model}: {fault}") from fault


if __name__ == "__main__":
    main()
