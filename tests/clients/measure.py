#!/usr/bin/env python3
"""What the examples cost: bytes of request and answer, and the time from sending to having the answer, over MQTT 5 with the payload
as it is and over 3.1.1 with it in JSON. Prints the table of docs/mqtt/README.md.

    . .run/env; .fetch/clients/venv/bin/python3 tests/clients/measure.py [REQUESTS]

One request at a time, QoS 1. `box` is what the box says of itself (`info.total_us`); the rest is broker, client and their sockets. The
last row is no request but a frame of the binding docs/mqtt/parts.toml, until all of its values have come.
"""

import base64
import json
import os
import queue
import socket
import statistics
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE_S = 30
NUMBERS = '"inputs":[{"name":"bytes","datatype":"INT32","shape":[1,2048],"data":[%s]}]' % ",".join(["10"] * 2048)
# What is asked: the words of the table, the model, and a file with its type or a part of JSON.
ASKED = [
    ("text, 40 bytes", "file-type", None, '"text":"speed=40;force=12;state=running;mode=auto"'),
    ("2048 numbers", "file-type", None, NUMBERS),
    ("line of text, PNG", "text-line", "onnx-models/text-line/golden/serial.png", "image/png"),
    ("part, JPEG", "part-type", "onnx-models/part-type/golden/bolt.jpg", "image/jpeg"),
    ("photograph of a label, JPEG", "label-reader", "onnx-models/label-reader/golden/pump.jpg", "image/jpeg"),
]


class Asker:
    def __init__(self, version):
        self.version, self.came, self.count = version, queue.Queue(), 0
        self.topic = f"edge/answers/measure-{version}"
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=version)
        self.client.on_socket_open = lambda _client, _userdata, opened: opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client.on_connect = lambda client, *_: client.subscribe(self.topic, qos=1)
        self.client.on_subscribe = lambda *_: self.came.put(None)
        self.client.on_message = lambda _client, _userdata, message: self.came.put(message.payload)
        self.client.connect(os.environ["EDGE_MQTT_HOST"], int(os.environ["EDGE_MQTT_PORT"]))
        self.client.loop_start()
        self.came.get(timeout=PATIENCE_S)

    def ask(self, model, path, words):
        """Bytes of request and answer, milliseconds for the caller and in the box."""
        self.count += 1
        id = f"measure-{os.getpid()}-{self.version}-{self.count}"
        head = f'{{"id":"{id}","reply_to":"{self.topic}","deadline_ms":20000,'
        properties = None
        if path and self.version == mqtt.MQTTv5:
            with open(path, "rb") as file:
                body = file.read()
            properties = Properties(PacketTypes.PUBLISH)
            properties.ContentType, properties.ResponseTopic = words, self.topic
            properties.UserProperty = [("request_id", id), ("deadline_ms", "20000")]
        elif path:
            with open(path, "rb") as file:
                body = f'{head}"image":"{base64.b64encode(file.read()).decode()}"}}'
        else:
            body = f"{head}{words}}}"
        begin = time.perf_counter()
        self.client.publish(f"edge/{os.environ['EDGE_NODE']}/infer/{model}", body, qos=1, properties=properties)
        answer = self.came.get(timeout=PATIENCE_S)
        took = (time.perf_counter() - begin) * 1000
        said = json.loads(answer)
        if not said["ok"]:
            sys.exit(f"measure.py: {model}: {said['error']}")
        return len(body), len(answer), took, said["info"]["total_us"] / 1000


class Watcher:
    """A camera whose pictures show another part each time, and the one who reads the values of them."""

    PICTURES = ["onnx-models/part-type/golden/bolt.jpg", "onnx-models/part-type/golden/gear-turned.jpg"]

    def __init__(self):
        self.came, self.count, self.pictures = queue.Queue(), 0, []
        for path in self.PICTURES:
            with open(path, "rb") as file:
                self.pictures.append(file.read())
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self.client.on_socket_open = lambda _client, _userdata, opened: opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.client.on_connect = lambda client, *_: client.subscribe([("plc/measure/+", 1), ("vision/measure/result", 1)])
        self.client.on_subscribe = lambda *_: self.came.put((None, None))
        self.client.on_message = lambda _client, _userdata, message: message.retain or self.came.put((message.topic, message.payload))
        self.client.connect(os.environ["EDGE_MQTT_HOST"], int(os.environ["EDGE_MQTT_PORT"]))
        self.client.loop_start()
        self.came.get(timeout=PATIENCE_S)

    def see(self):
        """Bytes of the picture and of its values, milliseconds until the last value and in the box."""
        self.count += 1
        picture, values, topic, begin = self.pictures[self.count % 2], 0, "", time.perf_counter()
        self.client.publish("camera/measure/image", picture)
        while topic != "plc/measure/ok":
            topic, body = self.came.get(timeout=PATIENCE_S)
            if topic == "vision/measure/result":
                box = json.loads(body)["info"]["total_us"] / 1000
            else:
                values += len(body)
        return len(picture), values, (time.perf_counter() - begin) * 1000, box


def row(what, model, version, samples):
    sizes, answers, took, box = zip(*samples)
    rest = statistics.median(one - other for one, other in zip(took, box))
    slow = statistics.quantiles(took, n=20)[-1]
    return (f"| {what} | {model} | {version} | {sizes[0]} | {answers[0]} | {statistics.median(took):.1f} | {slow:.1f} | "
            f"{statistics.median(box):.1f} | {rest:.1f} |")


def main():
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    askers = [("5", Asker(mqtt.MQTTv5)), ("3.1.1", Asker(mqtt.MQTTv311))]
    print("| what | model | MQTT | request, bytes | answer, bytes | ms, median | ms, p95 | box, ms | rest, ms |")
    print("|---|---|---|---|---|---|---|---|---|")
    for what, model, path, words in ASKED:
        for version, asker in askers:
            asker.ask(model, path, words)
            print(row(what, model, version, [asker.ask(model, path, words) for _ in range(requests)]), flush=True)
    watcher = Watcher()
    # Pictures take turns, so that each changes every value.
    watcher.see()
    print(row("part, JPEG, by a binding", "part-type", "3.1.1", [watcher.see() for _ in range(2 * requests)][::2]), flush=True)


if __name__ == "__main__":
    main()
