#!/usr/bin/env python3
"""A PLC for the examples: runs the Structured Text of docs/mqtt against a real broker, in cycles of 10 ms, with a 3.1.1 client of
64 kB messages behind the two blocks that a PLC has for MQTT.

    plc.py SOURCE... [NAME=VALUE...] [--payload FILE]

Runs the one PROGRAM of the sources until its fbAsk is done, and prints what fbAsk says; one that has no fbAsk until its own output
xDone is TRUE, and prints its outputs. NAME=VALUE sets a variable of the program
before the first cycle, --payload puts a file into its abPayload and its size into udiPayload. Variables that are RETAIN are kept in
the file `retain` of this directory. The broker is that of EDGE_MQTT_HOST and EDGE_MQTT_PORT.
"""

import hashlib
import json
import os
import pickle
import queue
import sys
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt

sys.dont_write_bytecode = True

import st  # noqa: E402  (nothing is to be left beside it)

CYCLE_S = 0.01
# A PLC whose program hangs is stopped by its watchdog.
PATIENCE_S = 60
LARGEST = 65536
RETAINED = Path("retain")
PAYLOAD = st.Array(0, LARGEST - 1, "BYTE")
REPLY = st.Array(0, 4095, "BYTE")


class Connection:
    """The PLC's own connection; what comes on a topic waits until a cycle takes it."""

    def __init__(self):
        self.came, self.subscribed = {}, threading.Event()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="plc7", protocol=mqtt.MQTTv311)
        self.client.on_message = lambda _client, _userdata, message: self.came[message.topic].put(message.payload)
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.connect(os.environ["EDGE_MQTT_HOST"], int(os.environ["EDGE_MQTT_PORT"]))
        self.client.loop_start()

    def subscribe(self, topic):
        if topic in self.came:
            return
        self.came[topic] = queue.Queue()
        self.subscribed.clear()
        self.client.subscribe(topic, qos=1)
        if not self.subscribed.wait(PATIENCE_S):
            raise st.Fault("the broker does not acknowledge the subscription")

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def publisher(connection):
    class Publish:
        """Sends once at each rising edge of xExecute."""

        variables = {"xexecute": ("BOOL", "input"), "stopic": ("STRING[80]", "input"), "udilength": ("UDINT", "input"),
                     "abpayload": (PAYLOAD, "in_out")}

        def __init__(self):
            self.frame, self.before = {}, False

        def run(self, _now):
            if self.frame["xexecute"] and not self.before:
                body = bytes(self.frame["abpayload"][:self.frame["udilength"]])
                print(f"sent {len(body)} bytes to {self.frame['stopic']}", flush=True)
                connection.client.publish(self.frame["stopic"], body, qos=1)
            self.before = self.frame["xexecute"]
    return Publish


def subscriber(connection):
    class Subscribe:
        """xReceived for the one cycle in which a message was put into abPayload."""

        variables = {"stopic": ("STRING[80]", "input"), "abpayload": (REPLY, "in_out"), "xreceived": ("BOOL", "output"),
                     "udilength": ("UDINT", "output")}

        def __init__(self):
            self.frame = {"xreceived": False, "udilength": 0}

        def run(self, _now):
            connection.subscribe(self.frame["stopic"])
            try:
                body = connection.came[self.frame["stopic"]].get_nowait()
            except queue.Empty:
                self.frame["xreceived"] = False
                return
            # What is longer than the buffer is cut, as PLCs do.
            body = body[:len(self.frame["abpayload"])]
            self.frame["abpayload"][:len(body)] = body
            self.frame.update(xreceived=True, udilength=len(body))
    return Subscribe


def retained(block, keep=None):
    """Puts what was kept of a block where it was, or keeps it."""
    names = [name for name, (_, role) in block.variables.items() if role == "retain"]
    if keep:
        RETAINED.write_text(json.dumps({name: block.frame[name] for name in names}))
    elif RETAINED.exists():
        block.frame.update(json.loads(RETAINED.read_text()))


def assign(program, assignment):
    name, _, text = assignment.partition("=")
    kind, _ = program.variables[name.lower()]
    words = {"TRUE": True, "FALSE": False}
    value = text if st.is_string(kind) else words[text] if kind == "BOOL" else int(text)
    program.frame[name.lower()] = st.checked(kind, value)


def parsed(text):
    """What a source declares; parsed once for all runs in this directory."""
    kept = Path(f".parsed-{hashlib.sha256(text.encode()).hexdigest()[:16]}")
    if not kept.exists():
        kept.write_bytes(pickle.dumps(st.parse(text)))
    return pickle.loads(kept.read_bytes())


def load(arguments, connection):
    sources = [argument for argument in arguments if argument.endswith(".st")]
    native = {"FB_MqttPublish": publisher(connection), "FB_MqttSubscribe": subscriber(connection)}
    plc = st.Plc([item for source in sources for item in parsed(Path(source).read_text())], native)
    (name,) = [name for name, block in plc.blocks.items() if isinstance(block.node, st.tree.Program)]
    program = plc.instance(name)
    rest = [argument for argument in arguments if argument not in sources]
    if "--payload" in rest:
        place = rest.index("--payload")
        payload = Path(rest[place + 1]).read_bytes()
        program.frame["abpayload"][:len(payload)] = payload
        program.frame["udipayload"] = len(payload)
        del rest[place:place + 2]
    for assignment in rest:
        assign(program, assignment)
    return plc, program


def outputs(program):
    """The outputs of a block, as its source writes them."""
    groups = [group for group in program.body.node.declarations if isinstance(group, st.tree.OutputDeclarations)]
    variables = [variable for group in groups for item in group.items for variable in item.variables]
    return [str(getattr(variable, "variable", variable).name) for variable in variables]


def run(plc, program, said):
    """Cycles until what was asked for is at its end."""
    begin = time.monotonic()
    while not (said["xdone"] or said.get("xerror")):
        now = time.monotonic() - begin
        if now > PATIENCE_S:
            raise st.Fault(f"neither done nor an error after {PATIENCE_S} s")
        plc.now = int(now * 1000)
        program.run(plc.now)
        time.sleep(CYCLE_S)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    connection = Connection()
    try:
        plc, program = load(sys.argv[1:], connection)
        ask = program.frame.get("fbask")
        if ask:
            retained(ask)
        run(plc, program, (ask or program).frame)
        if ask:
            retained(ask, keep=True)
    except st.Fault as fault:
        sys.exit(f"plc.py: {fault}")
    finally:
        connection.close()
    names = ("xDone", "xError", "sText", "lrScore", "sCode", "uiTry") if ask else outputs(program)
    for name in names:
        value = (ask or program).frame[name.lower()]
        print(f"{name:8}", str(value).upper() if isinstance(value, bool) else round(value, 3) if isinstance(value, float) else value)


if __name__ == "__main__":
    main()
