#!/usr/bin/env python3
"""Writes the golden answers of chat-small: what ONNX Runtime and the Python package `tokenizers` say of chat_inputs.py.

    python3 onnx-models/fetch.py .fetch --language --fp32
    python onnx-models/make_chat_goldens.py [TARGET] [--only tokens|greedy|perplexity] [--peer URL]

TARGET is what fetch.py filled (default .fetch). Needs a virtual environment of its own:

    pip install onnxruntime==1.32.0 tokenizers==0.23.3 jinja2==3.1.6 numpy

    tokens.json        texts of users and their tokens: what looks like a control token is text like any other
    greedy.json        conversations, their text and tokens by the template, and the tokens that the model goes on with: the likeliest
                       one each time, up to 48 or one that stops. `margins` says by how much each was ahead of the second
                       likeliest. Where that is little, another processor may take that one, and all that follows is another
                       text; places with next to nothing are named in `near_ties`
    perplexity.json    how well the model foretells text.txt, with its own weights and with those of FP32

With --peer, the tokens are held against those of llama.cpp's server at URL (tests/peers/openai_server.py starts one). Two threads,
one conversation at a time; a second run on the same machine writes the same bytes.
"""

import argparse
import json
import math
import urllib.request
from pathlib import Path

import chat_inputs

HERE = Path(__file__).resolve().parent
GOLDEN = HERE / "chat-small/golden"
THREADS, LONGEST, NEAR = 2, 48, 0.05
# Windows of so many tokens, each on its own: the logits of one fill 100 MB.
WINDOW = 512
# By how much, of itself, a perplexity may differ on another processor. A wrong kernel, mask or position costs tens of percent.
TOLERANCE = 0.01


class Chat:
    """The model as a bare loop drives it: one conversation, its cache kept where it lies."""

    def __init__(self, directory, model):
        import numpy
        import onnxruntime

        self.numpy, self.runtime = numpy, onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        self.session = onnxruntime.InferenceSession(directory / model, options, providers=["CPUExecutionProvider"])
        self.facts = json.loads((directory / "chat.json").read_text())

    def begin(self, places):
        """Room for so many tokens; what stands there is never looked at."""
        shape = [1, self.facts["kv_heads"], places, self.facts["head_size"]]
        self.size, self.caches = 0, {
            f"{at}.{part}": self.runtime.OrtValue.ortvalue_from_numpy(self.numpy.zeros(shape, self.numpy.float32))
            for at in range(self.facts["layers"]) for part in ("key", "value")}

    def logits(self, tokens, wanted):
        """What may follow each of the `wanted` new tokens."""
        self.size += len(tokens)
        binding, array = self.session.io_binding(), lambda values: self.numpy.array(values, self.numpy.int64)
        binding.bind_cpu_input("input_ids", array([tokens]))
        binding.bind_cpu_input("attention_mask", self.numpy.ones((1, self.size), self.numpy.int64))
        binding.bind_cpu_input("logit_index", array(wanted))
        binding.bind_output("logits")
        for name, cache in self.caches.items():
            binding.bind_ortvalue_input(f"past_key_values.{name}", cache)
            binding.bind_ortvalue_output(f"present.{name}", cache)
        self.session.run_with_iobinding(binding)
        return binding.get_outputs()[0].numpy()

    def greedy(self, tokens):
        """The tokens that follow, by how much each was ahead, and where the choice was close."""
        self.begin(len(tokens) + LONGEST)
        found, margins, close, given = [], [], [], tokens
        while len(found) < LONGEST:
            scores = self.logits(given, [len(given) - 1])[0]
            second, best = (int(one) for one in self.numpy.argsort(scores, kind="stable")[-2:])
            margins.append(round(float(scores[best]) - float(scores[second]), 4))
            if margins[-1] < NEAR:
                close.append({"step": len(found), "other": second, "margin": margins[-1]})
            found.append(best)
            if best in self.facts["stop"]:
                break
            given = [best]
        return found, margins, close

    def perplexity(self, tokens):
        """The perplexity of a text, and how many of its tokens were foretold: all but the first of each window."""
        total = count = 0
        for at in range(0, len(tokens), WINDOW):
            part = tokens[at:at + WINDOW]
            if len(part) < 2:
                break
            self.begin(len(part))
            scores = self.logits(part, range(len(part) - 1)).astype(self.numpy.float64)
            top = scores.max(axis=1, keepdims=True)
            sums = self.numpy.log(self.numpy.exp(scores - top).sum(axis=1)) + top[:, 0]
            total += float((sums - scores[self.numpy.arange(len(part) - 1), part[1:]]).sum())
            count += len(part) - 1
        return math.exp(total / count), count


def tokenizers(directory):
    """Two ways to cut text: as a user's, whose control tokens are text; and as the template's."""
    from tokenizers import Tokenizer

    found = []
    for as_text in (True, False):
        tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        tokenizer.encode_special_tokens = as_text
        found.append(tokenizer)
    return found


def write(name, head, rows=None):
    """A document with one row a line, so that differences can be read. What is no ASCII is escaped: marks that combine, and
    blanks of every kind, would not survive an editor."""
    lines = ",\n".join("  " + json.dumps(row) for row in rows[1]) if rows else ""
    text = json.dumps(head, indent=1)[:-2] + (f',\n "{rows[0]}": [\n{lines}\n ]' if rows else "") + "\n}\n"
    (GOLDEN / name).write_text(text)
    print(f"{name}: {len(text)} bytes", flush=True)


def tokens(directory, peer):
    of_users, _ = tokenizers(directory)
    rows = [{"text": text, "ids": of_users.encode(text, add_special_tokens=False).ids} for text in chat_inputs.strings()]
    alike = 0
    for row in rows if peer else []:
        asked = {"content": row["text"], "add_special": False, "parse_special": False}
        request = urllib.request.Request(f"{peer}/tokenize", json.dumps(asked).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            theirs = json.load(answer)["tokens"]
        alike += theirs == row["ids"]
        if theirs != row["ids"]:
            print(f"llama.cpp cuts {row['text']!r} into {theirs}, not {row['ids']}")
    if peer:
        print(f"llama.cpp cuts {alike} of {len(rows)} texts alike")
    write("tokens.json", {"tokenizers": "0.23.3, encode_special_tokens, without add_special_tokens"}, ("cases", rows))


def greedy(directory):
    import jinja2.sandbox

    of_users, of_template = tokenizers(directory)
    template = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(
        (directory / "chat.jinja").read_text())
    chat, rows = Chat(directory, "model.onnx"), []
    for name, messages in chat_inputs.CONVERSATIONS.items():
        text = template.render(messages=messages, add_generation_prompt=True)
        ids = of_template.encode(text, add_special_tokens=False).ids
        # Whoever cuts the template and the user's text apart must come to the same tokens.
        apart = [f"\0{at}\0" for at in range(len(messages))]
        rest, spliced = template.render(add_generation_prompt=True, messages=[
            {**message, "content": mark} for message, mark in zip(messages, apart)]), []
        for mark, message in zip(apart, messages):
            before, rest = rest.split(mark)
            spliced += of_template.encode(before, add_special_tokens=False).ids
            spliced += of_users.encode(message["content"], add_special_tokens=False).ids
        spliced += of_template.encode(rest, add_special_tokens=False).ids
        if spliced != ids:
            raise SystemExit(f"{name}: cut apart, its tokens are {spliced}, as a whole {ids}")
        found, margins, close = chat.greedy(ids)
        rows.append({"name": name, "messages": messages, "prompt": text, "ids": ids, "continuation": found,
                     "text": of_template.decode(found, skip_special_tokens=True), "margins": margins, "near_ties": close})
        print(f"{name}: {len(ids)} tokens, {rows[-1]['text']!r:.120}", flush=True)
    write("greedy.json", {"runtime": f"ONNX Runtime {chat.runtime.__version__}, CPU, {THREADS} threads", "variant": "model.onnx",
                          "most": LONGEST, "near": NEAR}, ("conversations", rows))


def perplexity(directory):
    of_users, _ = tokenizers(directory)
    ids = of_users.encode((GOLDEN / "text.txt").read_text(), add_special_tokens=False).ids
    found = {}
    for name, model in (("model.onnx", "model.onnx"), ("fp32", "fp32/model.onnx")):
        chat = Chat(directory, model)
        value, count = chat.perplexity(ids)
        found[name] = round(value, 4)
        print(f"{name}: {value:.4f}", flush=True)
    write("perplexity.json", {
        "text": "text.txt", "source": "Jerome K. Jerome, Three Men in a Boat, 1889, chapter I, slightly changed; public domain",
        "runtime": f"ONNX Runtime {chat.runtime.__version__}, CPU, {THREADS} threads", "tokens": len(ids), "window": WINDOW,
        "foretold": count, "perplexity": found, "tolerance": TOLERANCE})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", nargs="?", type=Path, default=HERE.parent / ".fetch", help="what fetch.py filled")
    parser.add_argument("--only", choices=["tokens", "greedy", "perplexity"], help="one of the files")
    parser.add_argument("--peer", help="llama.cpp's server, to hold tokens against")
    arguments = parser.parse_args()
    directory = arguments.target / "language/chat-small"
    GOLDEN.mkdir(parents=True, exist_ok=True)
    makers = {"tokens": lambda: tokens(directory, arguments.peer), "greedy": lambda: greedy(directory),
              "perplexity": lambda: perplexity(directory)}
    for name, make in makers.items():
        if arguments.only in (None, name):
            make()


if __name__ == "__main__":
    main()
