"""Who may call what on the bus, as the daemon's own code asks for it. Knows nothing of pages."""

import re

from .source import Fault, read

# Interfaces whose every method is for those who may infer; they are asked about once per connection, not in each method.
INFER = {"Inference", "Request"}
# Where the methods of the others are.
FILES = {
    "Manager": "control.rs",
    "Models": "models.rs",
    "Model": "models.rs",
    "Job": "jobs.rs",
    "Routing": "routing.rs",
    "Telemetry": "telemetry.rs",
}
WHO = {"Access::Read": "everybody", "ACTION_MANAGE": "manage", "ACTION_MODELS": "models"}


def bodies(text):
    """The asynchronous functions of a file, by name."""
    pieces = re.split(r"\basync fn (\w+)", text)
    return dict(zip(pieces[1::2], pieces[2::2]))


def snake(name):
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def who(interface, method):
    """infer, everybody, or the polkit action that is asked about: manage or models."""
    if interface in INFER:
        return "infer"
    if interface not in FILES:
        raise Fault(f"packaging/dev/manual/access.py does not know the interface {interface}")
    found = bodies(read(f"daemon/src/transport/dbus/{FILES[interface]}"))
    body = found.get(snake(method), "")
    if "self.command(" in body:
        body += found.get("command", "")
    asked = {word for sign, word in WHO.items() if sign in body}
    if len(asked) != 1:
        raise Fault(f"who may call {interface}.{method}? {FILES[interface]} says {sorted(asked) or 'nothing'}")
    return asked.pop()
