#!/usr/bin/env python3
"""Records what the real servers say, byte for byte, into tests/peers/recorded: NAME.request and NAME.response.

    python3 tests/peers/record.py mlserver|kserve|openai|openai-guarded PORT

The server listens on PORT of the loopback (see peers.rs for how each is started) and serves `add`, or the language model
with a context of 256 tokens. Every exchange is on a connection of its own.
"""

import json
import socket
import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
A_B = [{"name": name, "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]} for name in "ab"]
TENSORS = struct.pack("<8f", *[1, 2, 3, 4] * 2)
BINARY = json.dumps({
    "id": "7",
    "inputs": [{"name": name, "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}} for name in "ab"],
    "outputs": [{"name": "c", "parameters": {"binary_data": True}}]}).encode()
OCTETS = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": len(BINARY)}


def tensor(**changed):
    return {"id": "7", "inputs": [{**A_B[0], **changed}, A_B[1]]}


OIP = {
    "live": ("GET", "/v2/health/live", None), "ready": ("GET", "/v2/health/ready", None), "server": ("GET", "/v2", None),
    "model": ("GET", "/v2/models/add", None), "model-ready": ("GET", "/v2/models/add/ready", None),
    "unknown-model-ready": ("GET", "/v2/models/nobody/ready", None),
    "infer-json": ("POST", "/v2/models/add/infer", {"id": "7", "inputs": A_B}),
    "infer-json-without-id": ("POST", "/v2/models/add/infer", {"inputs": A_B}),
    "infer-json-infinite": ("POST", "/v2/models/add/infer", {
        "id": "7", "inputs": [{**row, "data": [1e38, 2, 3e38, -3e38]} for row in A_B]}),
    "infer-json-binary-wanted": ("POST", "/v2/models/add/infer", {
        "id": "7", "inputs": A_B, "outputs": [{"name": "c", "parameters": {"binary_data": True}}]}),
    "infer-binary": ("POST", "/v2/models/add/infer", BINARY + TENSORS, OCTETS),
    "infer-binary-short": ("POST", "/v2/models/add/infer", BINARY + TENSORS[:-5], OCTETS),
    "unknown-model": ("POST", "/v2/models/nobody/infer", {"id": "7", "inputs": A_B}),
    "unknown-version": ("POST", "/v2/models/add/versions/9/infer", {"id": "7", "inputs": A_B}),
    "unknown-input": ("POST", "/v2/models/add/infer", tensor(name="z")),
    "bad-datatype": ("POST", "/v2/models/add/infer", tensor(datatype="FP99")),
    "bad-shape": ("POST", "/v2/models/add/infer", tensor(shape=[1, 5])),
    "bad-rank": ("POST", "/v2/models/add/infer", tensor(shape=[4])),
    "missing-input": ("POST", "/v2/models/add/infer", {"id": "7", "inputs": A_B[:1]}),
    "bad-json": ("POST", "/v2/models/add/infer", b'{"inputs": ['),
    "bad-path": ("GET", "/v3", None), "bad-method": ("GET", "/v2/models/add/infer", None),
}


def chat(text="What is the capital of France?", **more):
    messages = [{"role": "user", "content": text}]
    return {"model": "smollm2-135m", "messages": messages, "temperature": 0, "max_tokens": 24, **more}


CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
LONG = "word " * 400
OPENAI = {
    "health": ("GET", "/health", None), "models": ("GET", "/v1/models", None),
    "chat": ("POST", CHAT, chat()), "chat-stream": ("POST", CHAT, chat(stream=True)),
    "chat-stream-usage": ("POST", CHAT, chat(stream=True, stream_options={"include_usage": True})),
    "chat-length": ("POST", CHAT, chat(max_tokens=3)),
    "chat-length-stream": ("POST", CHAT, chat(max_tokens=3, stream=True, stream_options={"include_usage": True})),
    "chat-logprobs": ("POST", CHAT, chat(max_tokens=2, logprobs=True, top_logprobs=2)),
    "chat-other-model": ("POST", CHAT, chat(model="gpt-nobody", max_tokens=2)),
    "chat-schema": ("POST", CHAT, chat("Give a city as JSON.", max_tokens=20, response_format={
        "type": "json_schema", "json_schema": {"name": "city", "strict": True, "schema": {
            "type": "object", "properties": {"city": {"type": "string", "maxLength": 12}}, "required": ["city"]}}})),
    "overflow": ("POST", CHAT, chat(LONG)), "overflow-stream": ("POST", CHAT, chat(LONG, stream=True)),
    "completions": ("POST", TEXT, {"model": "smollm2-135m", "prompt": "One, two, three,", "max_tokens": 6, "temperature": 0}),
    "completions-stream": ("POST", TEXT, {"model": "smollm2-135m", "prompt": "One, two, three,", "max_tokens": 4, "temperature": 0,
                                          "stream": True, "stream_options": {"include_usage": True}}),
    "bad-json": ("POST", CHAT, b'{"messages": ['), "no-messages": ("POST", CHAT, {"model": "smollm2-135m"}),
    "bad-role": ("POST", CHAT, {"messages": [{"role": 7, "content": "x"}]}),
    "bad-temperature": ("POST", CHAT, chat(temperature="hot", max_tokens=2)),
    "bad-path": ("GET", "/v1/nowhere", None), "bad-method": ("GET", CHAT, None),
}
GUARDED = {
    "health": ("GET", "/health", None), "models": ("GET", "/v1/models", None),
    "no-token": ("POST", CHAT, chat(max_tokens=2)),
    "wrong-token": ("POST", CHAT, chat(max_tokens=2), {"Authorization": "Bearer wrong"}),
    "right-token": ("POST", CHAT, chat(max_tokens=2), {"Authorization": "Bearer test-token"}),
}
SERVERS = {"mlserver": OIP, "kserve": OIP, "openai": OPENAI, "openai-guarded": GUARDED}


def exchange(port, method, path, body, headers=None):
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    head = {"Host": "127.0.0.1", "Connection": "close"}
    if body is not None:
        head |= {"Content-Type": "application/json", "Content-Length": len(body)}
    head |= headers or {}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    asked = "\r\n".join(lines).encode() + (body or b"")
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(asked)
        said = b""
        while piece := connection.recv(1 << 16):
            said += piece
    return asked, said


def main():
    server, port = sys.argv[1], int(sys.argv[2])
    place = HERE / "recorded" / server
    place.mkdir(parents=True, exist_ok=True)
    for name, row in SERVERS[server].items():
        asked, said = exchange(port, *row)
        (place / f"{name}.request").write_bytes(asked)
        (place / f"{name}.response").write_bytes(said)
        print(f"{name:26} {said.split(chr(13).encode())[0].decode()}")


if __name__ == "__main__":
    main()
