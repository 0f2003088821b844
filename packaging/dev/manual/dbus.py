"""edged-dbus(7): every member as the interface files have it, who may call it as the daemon's code asks for it, options, errors and
keys as docs/ has them. What is written here is what stands nowhere else: where objects are, what types mean, and examples, which
tests/manual runs."""

import re
import xml.etree.ElementTree as xml

from . import access
from .roff import Page
from .source import ROOT, Fault, read, table, version

NAME = "org.edged.Edge1"
# The interfaces in reading order, where their objects are, and what they are for.
INTERFACES = {
    "Inference": ("/org/edged/Edge1", "Requests for inference."),
    "Request": ("/org/edged/Edge1/requests/*", "One request that was given by `Submit`: seen by its submitter alone, and there for 60 seconds after its end."),
    "Manager": ("/org/edged/Edge1", "The daemon itself."),
    "Models": ("/org/edged/Edge1", "The models of the box, and what comes and goes of them."),
    "Model": ("/org/edged/Edge1/models/NAME/VERSION", "One version of one model. In the path each character of name and version that is no letter or digit is an underscore and its code: `text-line` 1.0.0 is `/org/edged/Edge1/models/text_2dline/1_2e0_2e0`."),
    "Job": ("/org/edged/Edge1/jobs/NUMBER", "Something that takes its time: a model is installed, measured, switched to. The object is there for a while after its end."),
    "Routing": ("/org/edged/Edge1", "Where requests go, and why; what left the device."),
    "Telemetry": ("/org/edged/Edge1", "How hot the box is, what it can do, and what may run on it now."),
}
TYPES = {
    "b": "True or false.",
    "i": "A whole number of 32 bits.",
    "u": "A whole number of 32 bits, 0 or more.",
    "t": "A whole number of 64 bits, 0 or more.",
    "s": "A text.",
    "o": "The path of an object.",
    "h": "A descriptor: it is sent along, and the receiver has a copy of its own.",
    "as, ao": "A list of texts; of paths.",
    "a{sv}": "A dictionary: values of any type under names. Options that a method does not know are ignored. An empty one is always right.",
    "a(ssatay)": "Tensors: name, datatype, shape, and the elements as bytes, the last dimension the fastest, little-endian.",
    "a(ssathtt)": "The same in memfds: name, datatype, shape, descriptor, and where in it the elements begin and how many bytes they are.",
    "a(ssax)": "Descriptions of tensors: name, datatype, shape; \u22121 stands for any size.",
    "a(sd)": "Names with a share, 0 to 1.",
    "a{sas}": "Lists of texts under names.",
    "aa{sv}": "A list of dictionaries.",
    "(isi)": "A number, a text and a number.",
}
WHO = {
    "infer": "For group `edge`.",
    "everybody": "For everybody.",
    "manage": "Asks polkit about `org.edged.edge1.manage`.",
    "models": "Asks polkit about `org.edged.edge1.models`.",
}
CHANGES = {"const": "It never changes.", "false": "Its changes are not signalled: ask again.", "true": ""}

LOOK = """\
busctl get-property org.edged.Edge1 /org/edged/Edge1 org.edged.Edge1.Manager State Reason
busctl get-property org.edged.Edge1 /org/edged/Edge1/models/text_2dline/1_2e0_2e0 \\
    org.edged.Edge1.Model State Active Providers ContentTypes"""
LOOKED = """\
s "serving"
s "everything is as it should be"
s "ready"
b true
a(sd) 1 "cpu" 1
as 2 "image/jpeg" "image/png\""""
INFER = """\
gdbus call --system --dest org.edged.Edge1 --object-path /org/edged/Edge1 \\
    --method org.edged.Edge1.Inference.InferEncoded \\
    text-line image/png '@h 3' "{'deadline_ms': <500>, 'request_id': <'desk-1'>}" 3<label.png"""
INFERRED = """\
('{"text":"SN 0093-5521-X7","confidence":0.99...}', {'request_id': <'desk-1'>, 'model': <'text-line'>, ..."""
EXPLAIN = """\
gdbus call --system --dest org.edged.Edge1 --object-path /org/edged/Edge1 \\
    --method org.edged.Edge1.Routing.Explain text-line "{'data_class': <'internal'>, 'bytes': <uint64 20000>}" |
    grep -o "'\\(verdict\\|here\\|farthest\\)': <'[a-z]*'>" | sort"""
EXPLAINED = """\
'farthest': <'premises'>
'here': <'feasible'>
'verdict': <'local'>"""
DRAIN = """\
busctl call org.edged.Edge1 /org/edged/Edge1 org.edged.Edge1.Manager Drain
until busctl get-property org.edged.Edge1 /org/edged/Edge1 org.edged.Edge1.Manager State | grep drained
do sleep 0.2; done
dbus-send --system --print-reply=literal --dest=org.edged.Edge1 /org/edged/Edge1 org.edged.Edge1.Manager.Resume"""
DRAINED = """\
s "drained\""""
PYTHON = """\
/usr/bin/python3 - <<'END'
import dbus
bus = dbus.SystemBus()
inference = dbus.Interface(bus.get_object("org.edged.Edge1", "/org/edged/Edge1"), "org.edged.Edge1.Inference")
for model in "text-line", "text-lime":
    with open("label.png", "rb") as picture:
        try:
            document, info = inference.InferEncoded(
                model, "image/png", dbus.types.UnixFd(picture), {"deadline_ms": dbus.UInt32(500)})
            print(document, info["provider"])
        except dbus.DBusException as no:
            print(no.get_dbus_name(), no.get_dbus_message())
END"""
PYTHON_SAID = """\
{"text":"SN 0093-5521-X7","confidence":0.99...} cpu
org.edged.Edge1.Error.UnknownModel model: no model `text-lime`: takes ..."""
TENSORS = """\
/usr/bin/python3 - <<'END'
import dbus, struct
bus = dbus.SystemBus()
inference = dbus.Interface(bus.get_object("org.edged.Edge1", "/org/edged/Edge1"), "org.edged.Edge1.Inference")
shape = dbus.Array([1, 3, 48, 192], signature="t")
zeros = dbus.ByteArray(4 * 3 * 48 * 192)
outputs, info = inference.Infer("text-direction", [("x", "FP32", shape, zeros)], {}, byte_arrays=True)
for name, datatype, shape, data in outputs:
    print(name, datatype, [int(size) for size in shape], struct.unpack("<2f", data))
END"""
TENSORS_SAID = """\
save_infer_model/scale_0.tmp_1 FP32 [1, 2] (0.49..., 0.50...)"""
SUBMIT = """\
/usr/bin/python3 - <<'END'
import dbus, dbus.mainloop.glib
from gi.repository import GLib
dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
bus, loop = dbus.SystemBus(), GLib.MainLoop()
def ended(what, more, member):
    print(member, what)
    loop.quit()
# Before it is submitted: it may end before Submit is answered.
bus.add_signal_receiver(ended, dbus_interface="org.edged.Edge1.Request", member_keyword="member")
inference = dbus.Interface(bus.get_object("org.edged.Edge1", "/org/edged/Edge1"), "org.edged.Edge1.Inference")
with open("label.png", "rb") as picture:
    inference.Submit("text-line", "image/png", dbus.types.UnixFd(picture), {})
loop.run()
END"""
SUBMITTED = """\
Completed {"text":"SN 0093-5521-X7","confidence":0.99...}"""
HOLD = """\
/usr/bin/python3 - <<'END'
import dbus, json
bus = dbus.SystemBus()
manager = dbus.Interface(bus.get_object("org.edged.Edge1", "/org/edged/Edge1"), "org.edged.Edge1.Manager")
hold = manager.Hold("calibration")
print(json.loads(manager.Describe())["reason"])
del hold  # here, or when this program ends in whatever way
END"""
HELD = """\
the device is held: calibration"""
EXAMPLES = (
    ("What the box does, and a model of it:", LOOK, LOOKED),
    ("The text in a picture, by the descriptor of its file:", INFER, INFERRED),
    ("What would become of a request, without making it:", EXPLAIN, EXPLAINED),
    ("Take nothing new, wait until nothing is left, take requests again:", DRAIN, DRAINED),
    ("Python, with `python3-dbus`: a picture, and a name that is wrong:", PYTHON, PYTHON_SAID),
    ("Tensors in the message:", TENSORS, TENSORS_SAID),
    ("Without waiting for the answer, also with `python3-gi`:", SUBMIT, SUBMITTED),
    ("Keep the device for something else for a while:", HOLD, HELD),
)


def words(element):
    """The comment that stands before a member."""
    return " ".join((element or "").split())


def interfaces():
    """Every interface file: name without what all have in front, and its members with the comments before them."""
    for path in sorted((ROOT / "daemon/wire/dbus").glob("*.xml")):
        parser = xml.XMLParser(target=xml.TreeBuilder(insert_comments=True))
        interface = xml.parse(path, parser).getroot().find("interface")
        members, before = [], ""
        for child in interface:
            if child.tag is xml.Comment:
                before = words(child.text)
                continue
            if not before:
                raise Fault(f"{path.name}: {child.get('name')} has no comment")
            members.append((child, before))
            before = ""
        yield interface.get("name").removeprefix(NAME + "."), members


def arguments(member, direction):
    found = [arg for arg in member.findall("arg") if arg.get("direction", "out") == direction]
    return ", ".join(f"`{arg.get('type')}` *{arg.get('name')}*" for arg in found)


def method(page, interface, member, text):
    given, back = arguments(member, "in"), arguments(member, "out")
    page.item(f"`{member.get('name')}` ({given})" + (f" \u2192 {back}" if back else ""), text, WHO[access.who(interface, member.get("name"))])


def prop(page, member, text):
    notes = {note.get("name").rsplit(".", 1)[-1]: note.get("value") for note in member.findall("annotation")}
    page.item(f"`{member.get('name')}` (`{member.get('type')}`)", text, CHANGES[notes.get("EmitsChangedSignal", "true")])


def members(page, name, found):
    where, what = INTERFACES[name]
    page.part(f"{NAME}.{name}")
    page.text(f"On `{where}`. {what}")
    for tag, title in (("method", "Methods"), ("signal", "Signals"), ("property", "Properties, to read")):
        of_tag = [(member, text) for member, text in found if member.tag == tag]
        if of_tag:
            page.text(f"{title}:")
        for member, text in of_tag:
            match tag:
                case "method":
                    method(page, name, member, text)
                case "signal":
                    page.item(f"`{member.get('name')}` ({arguments(member, 'out')})", text)
                case _:
                    prop(page, member, text)


def types(page, found):
    told = {sign for signs in TYPES for sign in signs.split(", ")}
    used = {part.get("type") for _, of_one in found for member, _ in of_one for part in member.iter() if part.get("type")}
    if told != used:
        raise Fault(f"TYPES in packaging/dev/manual/dbus.py tells of {sorted(told - used)} too much, and of {sorted(used - told)} not")
    page.section("TYPES")
    for signs, meaning in TYPES.items():
        page.item(", ".join(f"`{sign}`" for sign in signs.split(", ")), meaning)


def options(page):
    page.section("OPTIONS OF A REQUEST")
    page.text("In *options* of `Infer`, `InferFd`, `InferEncoded`, `Submit` and `Generate`, and in *profile* of `Explain`. "
              "One that is unknown is ignored and named in `warnings` of *info*; a known one with a bad value is `InvalidInput`.")
    for name, sign, _, takes, default in table("docs/requests.md", "option", "D-Bus type"):
        page.item(f"{name} ({sign})", sentence(takes), f"Without it: {default}." if default else "")


def sentence(text):
    """A cell of a table as a sentence."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith(".") else text + "."


def info(page):
    page.section("INFO OF AN ANSWER")
    page.text("The dictionary *info*. What is not known is absent.")
    kinds = dict(queue_us="t", compute_us="t", total_us="t", batch="u", cost_usd="d", energy_mj="d", duplicate="b", warnings="as")
    for keys, meaning in table("docs/json.md", "key", "meaning"):
        signs = sorted({kinds.get(key.strip("`"), "s") for key in keys.split(", ")})
        page.item(f"{keys} ({', '.join(f'`{sign}`' for sign in signs)})", sentence(meaning.split("; see below")[0]))
        if keys == "`reason`":
            page.inner((word, sentence(meaning)) for word, meaning in table("docs/requests.md", "`reason`", "meaning"))
    page.text("The document *json* of an answer depends on the task of the model; `docs/json.md` of the source has its keys.")


def errors(page):
    rows = re.findall(r'\(ErrorCode::\w+, "(\w+)", "(\w+)", "([^"]+)"\)', read("daemon/wire/src/error.rs"))
    remedies = {code.strip("`"): what for code, _, what in table("docs/requests.md", "code", "D-Bus")}
    if {code for code, _, _ in rows} != set(remedies):
        raise Fault("docs/requests.md and daemon/wire/src/error.rs have different errors")
    page.section("ERRORS")
    page.text(f"A call that is refused ends in an error `{NAME}.Error.`*Code* with a message (`s`) that names the field and what it takes. "
              "Where waiting helps, how long stands behind it: *retry_after_ms* (`t`). These are all there are:")
    for code, camel, meaning in rows:
        page.item(f"`{camel}` (`{code}` in JSON)", sentence(meaning), "What to do: " + remedies[code].removesuffix(".") + ".")
    page.text("An `AccessDenied` of the bus itself is its policy's: the caller may not even ask, for example for inference without "
              "being in group `edge`. `ServiceUnknown` and `NameHasNoOwner` say that no edged runs, and that it could not be started.")


def written():
    found = [(name, of_one) for name, of_one in interfaces()]
    if {name for name, _ in found} != set(INTERFACES):
        raise Fault("INTERFACES in packaging/dev/manual/dbus.py and daemon/wire/dbus differ")
    page = Page("edged-dbus", 7, version(), "requests to edged on D-Bus, and its state")
    page.section("DESCRIPTION")
    page.text(
        f"Programs on the box ask `edged`(8) for inference over D-Bus, and see and change what it does. Its name is `{NAME}`, its first "
        "object `/org/edged/Edge1`, on the system bus. A call starts the service where it does not run. With `edged --session` the same "
        "is on the session bus, whose owner may do everything.",
        "The root implements `org.freedesktop.DBus.ObjectManager`, so that one call gives all models and jobs with their properties, and "
        "signals tell of those that come and go. State is properties, and `PropertiesChanged` tells of changes; what happens once is a signal. "
        "Members are added and never changed: *InterfaceVersion* of the manager grows with each addition. The descriptions for tools "
        "are in `/usr/share/dbus-1/interfaces`.")
    page.section("WHO MAY CALL")
    page.item("Everybody", "May look: all properties, and the methods that say so below. No payload is ever shown.")
    page.item("Group `edge`", "May infer, and give up and read what it asked for: interfaces `Inference` and `Request`.")
    page.item("Whoever polkit lets", "May change what the action says: `org.edged.edge1.manage` (drain, resume, reload, hold) and "
              "`org.edged.edge1.models` (load, install, activate and so on). Unless a rule of the site says otherwise, an "
              "administrator's password is asked for, if the call has the flag `ALLOW_INTERACTIVE_AUTHORIZATION` and somebody is there to type it.")
    page.item("Root", "May do all of it.")
    page.text("Changes are made on the bus, and not over a private connection of `Connect`.")
    options(page)
    page.section("INTERFACES")
    by_name = dict(found)
    for name in INTERFACES:
        members(page, name, by_name[name])
    info(page)
    errors(page)
    types(page, found)
    page.section("EXAMPLES")
    page.text("For members of group `edge`, with the models of the package *edged-models* and a picture `label.png` of one line of text. "
              "What takes polkit is for root.")
    for title, commands, prints in EXAMPLES:
        page.text(title)
        page.block(commands)
        page.text("prints")
        page.block(prints)
    page.section("FILES")
    page.file("/usr/share/dbus-1/interfaces/org.edged.Edge1.*.xml", "the interfaces, for tools")
    page.file("/usr/share/dbus-1/system.d/org.edged.Edge1.conf", "who may own the name and send to it")
    page.file("/usr/share/polkit-1/actions/org.edged.Edge1.policy", "the actions that polkit is asked about")
    page.see_also("edged(8)", "edgectl(1)", "edged.toml(5)", "edged-bundle(5)", "edged-mqtt(7)", "busctl(1)", "gdbus(1)")
    return str(page)
