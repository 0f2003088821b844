//! The keys of `[[binding]]`: what each takes, what holds without it, and what it means.

use super::super::keys::{Absent, CLASSES, Group, HOUR, Key, Kind, key};

/// Bindings that a configuration may have.
pub const MOST: usize = 64;
/// Longest time for which values may count as good.
const WEEK: i64 = 7 * 24 * HOUR;

/// The tables `[[binding]]`.
pub static GROUP: Group = Group {
    name: "binding",
    keys: KEYS,
    most: MOST,
    meaning: "A source of frames, the model that each is given to, and the topics of the answers; it needs `[mqtt]`. The source \
              is one of `topic`, `folder`, `snapshot` and `device`. In templates of topics stand `{1}`, `{2}` and so on for \
              what the wildcards of the topic filter, or of the pattern of file names, stood for, `{source}` for the name of \
              the source, `{binding}`, `{model}`, `{node}` and `{prefix}`; `{{` and `}}` are braces. There may be up to 64 of \
              these tables, over all files. A filter that matches what a binding or this box itself publishes is refused.",
    example: "[[binding]]\n\
              name = \"sorting\"\n\
              model = \"screws\"\n\
              topic = \"camera/+/image\"\n\
              result = \"vision/{1}/result\"\n\
              flat = { topic = \"vision/{1}/{field}\", fields = [\"class\", \"score\", \"ok\", \"quality\"] }\n\
              ok = { class = [\"good\"], min_score = 0.8 }\n\
              stale_after_ms = 10000\n",
};

const KEYS: &[Key] = &[
    key("name", Kind::Name, Absent::Unset("it must be there"), "Name of the binding; no other one has it."),
    key("model", Kind::Name, Absent::Unset("it must be there"), "Model that each frame is given to."),
    key("version", Kind::Name, Absent::Unset("the active one"), "Version of the model."),
    key(
        "topic",
        Kind::Text,
        Absent::Unset("another source"),
        "Topic filter of the frames, or `$share/GROUP/FILTER` to take turns with other boxes. Two bindings may have the same filter; filters that differ may not match the same topic, as a broker might then deliver it twice.",
    ),
    key(
        "folder",
        Kind::Path,
        Absent::Unset("another source"),
        "Directory whose files are the frames, in the order of their names, those that lie there at the start too.",
    ),
    key(
        "snapshot",
        Kind::Text,
        Absent::Unset("another source"),
        "Address at which a camera gives its present picture, `http://` or `https://`.",
    ),
    key(
        "device",
        Kind::Path,
        Absent::Unset("another source"),
        "Camera of this box that gives JPEG (V4L2, MJPG): `/dev/videoN`, or a name below `/dev/v4l/by-id/` or `/dev/v4l/by-path/`.",
    ),
    key(
        "pattern",
        Kind::Text,
        Absent::Text("*"),
        "With `folder`: which file names are taken; each `*` stands for any characters.",
    ),
    key(
        "after",
        Kind::Text,
        Absent::Text("delete"),
        "With `folder`, what becomes of a file whose answer is safe: `delete`, `keep` (it is taken again by the next start), or the path of a directory on the same disk into which it is moved.",
    ),
    key(
        "interval_ms",
        Kind::Int { min: 10, max: HOUR },
        Absent::Unset("1000 with `snapshot`, every frame with `device`"),
        "Time from one picture to the next.",
    ),
    key(
        "credential",
        Kind::Text,
        Absent::Unset("none"),
        "With `snapshot`: name of a systemd credential, or absolute path of a file, with `USER:PASSWORD` for the camera (Basic and Digest). A file must not be open to every user.",
    ),
    key(
        "ca",
        Kind::Path,
        Absent::Unset("the authorities of the box"),
        "With an `https://` address: PEM file of the only authorities that may have signed the camera's certificate.",
    ),
    key("width", Kind::Int { min: 16, max: 16_384 }, Absent::Int(640), "With `device`: width of the pictures, pixels."),
    key(
        "height",
        Kind::Int { min: 16, max: 16_384 },
        Absent::Int(480),
        "With `device`: height of the pictures, pixels.",
    ),
    key(
        "payload",
        Kind::Text,
        Absent::Text("auto"),
        "What a frame is: a content type as `image/jpeg`, whatever its sender says, or `auto` for what the sender says, else what the bytes look like (JPEG, PNG, WAV, JSON, text).",
    ),
    key(
        "reference",
        Kind::Texts,
        Absent::Unset("messages are frames"),
        "With `topic`: messages hold the path or address of the frame, as plain text or as `path` or `url` of a JSON object. This lists what they may name: directories, and beginnings of addresses (`https://HOST/PATH`). No link is followed out of them, and no redirect.",
    ),
    key(
        "take",
        Kind::Word(&["newest", "every"]),
        Absent::Unset("`every` with `folder`, `reference` or a `payload` that is no picture, else `newest`"),
        "Whether each source has one frame under way and after it the newest, so that none is ever old, or every frame, with the answers in order.",
    ),
    key(
        "rate_per_s",
        Kind::Number { min: 0.001, max: 10_000.0 },
        Absent::Unset("no limit"),
        "Frames a second that are taken of each source. What comes faster waits, and is skipped with `newest`.",
    ),
    key(
        "max_in_flight",
        Kind::Int { min: 1, max: 256 },
        Absent::Unset("2 with `newest`, 16 with `every`"),
        "Requests of the binding that are under way at once, all sources together, which take turns.",
    ),
    key(
        "max_waiting",
        Kind::Int { min: 1, max: 65_536 },
        Absent::Int(256),
        "With `every`: frames that wait and that nobody keeps (files, QoS 0), all sources together; above that the newest are dropped and counted. Those of QoS 1 and 2 wait here or with the broker.",
    ),
    key(
        "max_sources",
        Kind::Int { min: 1, max: 65_536 },
        Absent::Int(1024),
        "Sources that are told apart; of more the one that was heard of least recently is forgotten.",
    ),
    key(
        "deadline_ms",
        Kind::Int { min: 1, max: HOUR },
        Absent::Unset("that of the model, else `policy.default_deadline_ms`"),
        "By when a frame is to be answered, from when it came.",
    ),
    key(
        "data_class",
        Kind::Word(CLASSES),
        Absent::Unset("`policy.unlabelled`"),
        "Class of its frames, and the freest that a message may ask for.",
    ),
    key("priority", Kind::Word(&["high", "normal", "low"]), Absent::Text("normal"), "Priority of its requests."),
    key(
        "source_name",
        Kind::Text,
        Absent::Unset("the wildcards with `-` between them, or the name of the binding"),
        "Template of the name of a source. What SCADA refuses in names becomes `_`, with a short hash behind the name.",
    ),
    key(
        "result",
        Kind::Text,
        Absent::Text("{prefix}/{node}/binding/{binding}/{source}"),
        "Template of the topic of the answers, whole, in JSON.",
    ),
    key("qos", Kind::Int { min: 0, max: 2 }, Absent::Int(1), "Quality of service of what it publishes."),
    key("retain", Kind::Bool, Absent::Bool(false), "Whether the broker keeps the last answer on `result`."),
    key(
        "last",
        Kind::Bool,
        Absent::Bool(true),
        "Whether the last answer of each source is kept by the broker on `{prefix}/{node}/last/{model}/{source}` too.",
    ),
    key(
        "flat.topic",
        Kind::Text,
        Absent::Unset("no flat results"),
        "Template of topics with one value each; `{field}` stands for its name. Only letters, digits, `_` and `-` between slashes, as SCADA takes them in tag paths.",
    ),
    key(
        "flat.fields",
        Kind::Words(FIELDS),
        Absent::Texts(&["class", "score", "count", "text", "quality", "reason", "ok"]),
        "Which values: the label, how sure the model is, how many were found, what was read, `good`, `stale` or `bad`, the code of a failure, whether the conditions of `ok` hold, when the frame came (UTC). What a task does not tell is not published.",
    ),
    key(
        "flat.when",
        Kind::Word(&["change", "always"]),
        Absent::Text("change"),
        "Whether a value is published when it is another than before, or with every answer.",
    ),
    key(
        "flat.format",
        Kind::Word(&["plain", "json"]),
        Absent::Text("plain"),
        "The value alone (`0.93`, `cat`, `true`, `-` for an empty text), or `{\"value\", \"time\", \"quality\"}`.",
    ),
    key("flat.retain", Kind::Bool, Absent::Bool(true), "Whether the broker keeps the last value."),
    key(
        "stale_after_ms",
        Kind::Int { min: 100, max: WEEK },
        Absent::Unset("never"),
        "After so long without a good answer the flat values of a source are marked `stale`, once; also those that an earlier daemon published.",
    ),
    key("ok.class", Kind::Texts, Absent::Unset("any"), "Labels with which `ok` is true."),
    key(
        "ok.min_score",
        Kind::Number { min: 0.0, max: 1.0 },
        Absent::Unset("any"),
        "Least score with which `ok` is true.",
    ),
    key(
        "ok.min_count",
        Kind::Int { min: 0, max: 1_000_000 },
        Absent::Unset("any"),
        "Least count with which `ok` is true.",
    ),
    key(
        "ok.max_count",
        Kind::Int { min: 0, max: 1_000_000 },
        Absent::Unset("any"),
        "Largest count with which `ok` is true.",
    ),
];

/// As [`Field`](crate::binding::flat::Field) has them.
pub(super) const FIELDS: &[&str] = &["class", "score", "count", "text", "quality", "reason", "ok", "time"];
