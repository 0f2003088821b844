#!/usr/bin/env python3
"""A Sparkplug host application over pysparkplug: it subscribes to a group, builds its tree of tags from births and from data by
their aliases, and says what it sees.

    python3 tests/peers/sparkplug_host.py PORT GROUP HOST_ID

Every connection is a line `connected`. Every message that comes is one line of output: its kind, whose it is, `seq=`, for births and deaths of nodes `bdseq=`, `historical`
if all its metrics are, and its metrics as NAME=VALUE. A number that does not follow the one before is a line `gap`, and one of a
device or a metric that nobody was born as a line `unknown`. Lines of input:

    online MS, offline MS     say so as the host, with this time
    write ID NAME TYPE VALUE  write to a metric of NODE or NODE/DEVICE; TYPE is one of pysparkplug's datatypes
    garbage ID HEX            write bytes that need not be a payload
    tree                      the tree of tags, then a line `end`

It ends with its input, and has no will: what it says of itself it is told to say. Nothing in it is shared with the daemon: payloads and topics are pysparkplug's, which has them from Eclipse
Tahu.
"""

import sys
import threading
import time

import paho.mqtt.client as paho
import pysparkplug as spb

# pysparkplug sets what paho 2 does not have any more, as it never repeats a message within a connection.
paho.Client.message_retry_set = lambda self, retry: None

LOCK = threading.Lock()


def say(*words):
    with LOCK:
        print(*words, flush=True)


def shown(value):
    return "null" if value is None else str(value).replace("\n", " ") or "''"


class Host:
    def __init__(self, port, group, name):
        self.group, self.name = group, name
        self.tags, self.alive, self.seq, self.bdseq = {}, {}, {}, {}
        self.client = spb.Client(client_id=f"host-{name}")
        everything = spb.Topic(group_id=group, message_type=spb.MULTI_LEVEL_WILDCARD)
        self.client.subscribe(everything, spb.QoS.AT_MOST_ONCE, self.take)
        # A metric that cannot be told from its alias is an error in pysparkplug's part: it is said, and the rest goes on.
        handle = self.client._handle_message

        def careful(message):
            try:
                return handle(message)
            except Exception as error:
                # What this host itself writes need not be a payload.
                if "CMD/" not in message.topic:
                    say("unknown", message.topic, type(error).__name__, error)
                raise

        self.client._handle_message = careful
        self.client._client.suppress_exceptions = True
        up = threading.Event()

        def connected(_client):
            say("connected")
            up.set()

        self.client.connect("127.0.0.1", port=port, callback=connected)
        if not up.wait(10):
            sys.exit("no broker")

    def take(self, _client, message):
        topic, payload = message.topic, message.payload
        if topic.message_type in (spb.MessageType.NCMD, spb.MessageType.DCMD):
            return
        kind = str(topic.message_type.value)
        who = topic.edge_node_id if topic.device_id is None else f"{topic.edge_node_id}/{topic.device_id}"
        words = [kind, who]
        seq = getattr(payload, "seq", None)
        if seq is not None:
            words.append(f"seq={seq}")
            self.follow(topic.edge_node_id, kind, seq)
        metrics = [payload.bd_seq_metric] if kind == "NDEATH" else list(getattr(payload, "metrics", ()))
        if kind in ("NBIRTH", "NDEATH"):
            number = [metric.value for metric in metrics if metric.name == "bdSeq"]
            words.append(f"bdseq={number[0]}")
            if kind == "NBIRTH":
                self.bdseq[who] = number[0]
        if metrics and all(metric.is_historical for metric in metrics):
            words.append("historical")
        if message.retain:
            words.append("retained")
        words += [f"{metric.name}={shown(metric.value)}" for metric in metrics]
        self.keep(kind, topic, who, metrics)
        say(*words)

    def follow(self, node, kind, seq):
        expected = 0 if kind == "NBIRTH" else (self.seq.get(node, -1) + 1) % 256
        if seq != expected:
            say("gap", node, kind, f"expected={expected}", f"got={seq}")
        self.seq[node] = seq

    def keep(self, kind, topic, who, metrics):
        node = topic.edge_node_id
        if kind.endswith("BIRTH"):
            if kind == "DBIRTH" and not self.alive.get(node):
                say("unknown", who, "before its node")
            self.alive[who] = True
            self.tags[who] = {metric.name: metric for metric in metrics}
        elif kind == "NDEATH":
            if metrics[0].value == self.bdseq.get(who):
                for other in self.alive:
                    if other == who or other.startswith(who + "/"):
                        self.alive[other] = False
        elif kind == "DDEATH":
            self.alive[who] = False
        elif not self.alive.get(who):
            say("unknown", who, "is not alive")
        else:
            self.tags[who].update({metric.name: metric for metric in metrics if not metric.is_historical})

    def state(self, online, timestamp):
        topic = spb.Topic(message_type=spb.MessageType.STATE, sparkplug_host_id=self.name)
        payload = spb.State(timestamp=timestamp, online=online)
        self.client.publish(spb.Message(topic=topic, payload=payload, qos=spb.QoS.AT_LEAST_ONCE, retain=True))

    def topic(self, who):
        node, _, device = who.partition("/")
        kind = spb.MessageType.DCMD if device else spb.MessageType.NCMD
        return spb.Topic(group_id=self.group, message_type=kind, edge_node_id=node, device_id=device or None)

    def write(self, who, name, datatype, text):
        datatype = spb.DataType[datatype]
        value = {"BOOLEAN": lambda: text == "true", "STRING": lambda: text, "INT64": lambda: int(text)}[datatype.name]()
        now = int(time.time() * 1000)
        metric = spb.Metric(timestamp=now, name=name, datatype=datatype, value=value)
        topic = self.topic(who)
        kind = spb.DCmd if topic.device_id else spb.NCmd
        message = spb.Message(topic=topic, payload=kind(timestamp=now, metrics=(metric,)), qos=spb.QoS.AT_MOST_ONCE,
                              retain=False)
        self.client.publish(message, include_dtypes=True)

    def garbage(self, who, text):
        self.client._client.publish(str(self.topic(who)), bytes.fromhex(text))

    def tree(self):
        for who in sorted(self.tags):
            say(f"{who} {'online' if self.alive[who] else 'offline'}")
            for name, metric in sorted(self.tags[who].items()):
                say(f"  {name} {metric.datatype.name} {shown(metric.value)}")
        say("end")


def main():
    port, group, name = sys.argv[1:]
    host = Host(int(port), group, name)
    say("ready")
    for line in sys.stdin:
        word, *rest = line.rstrip("\n").split("\t")
        if word in ("online", "offline"):
            host.state(word == "online", int(rest[0]))
        elif word == "write":
            host.write(*rest)
        elif word == "garbage":
            host.garbage(*rest)
        elif word == "tree":
            host.tree()


if __name__ == "__main__":
    main()
