#!/usr/bin/env python3
"""What somebody writes who needs one model behind a broker: paho-mqtt, ONNX Runtime, a loop. `make bench` holds edged against it.

    mqtt_worker.py PORT BUNDLE THREADS NAME

takes each message on work/NAME/+/+ (QoS 1) as a file, tells its type by the bundle `file-type` and publishes the answer (QoS 1)
on done/NAME with the same two words behind it. THREADS is that of ONNX Runtime's own pool; 0 leaves it to ONNX Runtime. It keeps
nothing on disk, has no deadlines, and is killed by its caller.
"""

import json
import sys
from pathlib import Path

import numpy
import onnxruntime
import paho.mqtt.client as mqtt


class Model:
    """By Magika's rules, as the daemon has them in daemon/engine/src/media/file_type.rs."""

    def __init__(self, bundle, threads):
        self.config = json.loads((bundle / "config.min.json").read_text())
        self.known = json.loads((bundle / "content_types_kb.min.json").read_text())
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(bundle / "model.onnx"), options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def places(self, content):
        config = self.config
        block = min(config["block_size"], len(content))
        head = content[:block].lstrip()[:config["beg_size"]]
        tail = content[len(content) - block:].rstrip()[-config["end_size"]:]
        places = numpy.full((1, config["beg_size"] + config["end_size"]), config["padding_token"], dtype=numpy.int32)
        places[0, :len(head)] = numpy.frombuffer(head, dtype=numpy.uint8)
        if tail:
            places[0, -len(tail):] = numpy.frombuffer(tail, dtype=numpy.uint8)
        return places

    def answer(self, content):
        scores = self.session.run(None, {self.input: self.places(content)})[0][0]
        at = int(scores.argmax())
        found, score = self.config["target_labels_space"][at], float(scores[at])
        label = self.config["overwrite_map"].get(found, found)
        if score < self.config["thresholds"].get(found, self.config["medium_confidence_threshold"]):
            label = "txt" if self.known[label]["is_text"] else "unknown"
        return {"label": label, **self.known[label], "score": score, "model_label": found}


def main():
    port, bundle, threads, name = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    model = Model(bundle, threads)
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=f"worker-{name}")
    client.max_inflight_messages_set(200)

    def on_connect(client, _data, _flags, _reason, _properties):
        client.subscribe(f"work/{name}/+/+", qos=1)

    def on_subscribe(_client, _data, _id, _reasons, _properties):
        print("ready", flush=True)

    def on_message(client, _data, message):
        result = {"ok": True, "result": model.answer(message.payload)}
        client.publish(message.topic.replace("work/", "done/", 1), json.dumps(result), qos=1)

    client.on_connect, client.on_subscribe, client.on_message = on_connect, on_subscribe, on_message
    client.connect("127.0.0.1", port)
    client.loop_forever()


if __name__ == "__main__":
    main()
