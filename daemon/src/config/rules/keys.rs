//! The keys of `[[rule]]`: what each takes, what holds without it, and what it means.

use super::super::keys::{Absent, CLASSES, Group, Key, Kind, OBJECTIVES, live};

/// Rules that a policy may have.
pub const MOST: usize = 64;

/// Tasks that a rule may match: those of bundles, and those of language models that only other sites have.
pub const TASKS: &[&str] = &[
    "text-recognition",
    "text-detection",
    "text-reading",
    "classification",
    "object-detection",
    "instance-segmentation",
    "segmentation",
    "anomaly",
    "embedding",
    "file-type",
    "speech-segments",
    "tensors",
    "chat",
    "completion",
];

/// Keys of which a rule has at least one.
pub(super) const SAYING: &[&str] = &[
    "ceiling",
    "sites",
    "not_sites",
    "jurisdiction",
    "retention_days",
    "no_training",
    "objective",
    "hedge",
    "check.min_score",
    "check.min_margin",
    "check.max_repetition",
    "check.min_confidence",
    "check.schema",
    "check.truncation",
    "escalate_to",
    "difficulty",
    "redact.to",
    "sample",
];

/// The tables `[[rule]]`.
pub static GROUP: Group = Group {
    name: "rule",
    keys: KEYS,
    most: MOST,
    meaning: "What holds for some requests. A rule speaks of the requests that each of its `models`, `tasks`, `sources` and \
              `classes` matches; one that is absent matches all. All rules that match apply: of `ceiling`, `sites`, \
              `not_sites`, `jurisdiction`, `retention_days` and `no_training` the strictest together, of everything else \
              the first rule that says it, in the order of the files. There may be up to 64 of these tables.",
    example: "[[rule]]\n\
              name = \"chat-stays-in-the-union\"\n\
              tasks = [\"chat\"]\n\
              sources = [\"mqtt:edge/+/infer/#\"]\n\
              jurisdiction = [\"EU\"]\n\
              retention_days = 0\n\
              no_training = true\n\
              check = { min_confidence = 0.6, truncation = true }\n",
};

const RATIO: Kind = Kind::Number { min: 0.0, max: 1.0 };
const NOT_SAID: Absent = Absent::Unset("this rule says nothing of it");
const ANY: Absent = Absent::Unset("any");

const KEYS: &[Key] = &[
    live(
        "name",
        Kind::Name,
        Absent::Unset("it must be there"),
        "Name of the rule, in explanations; no other one has it.",
    ),
    live("models", Kind::Texts, ANY, "Models by name, with `*` for any characters and `?` for one."),
    live("tasks", Kind::Words(TASKS), ANY, "Tasks of models."),
    live(
        "sources",
        Kind::Texts,
        ANY,
        "Where requests come from: `bus`, `bus:user=NAME`, `bus:uid=NUMBER`, `mqtt`, or `mqtt:TOPIC FILTER` for those on such topics (not where their replies go).",
    ),
    live(
        "classes",
        Kind::Words(CLASSES),
        ANY,
        "Data classes, as claimed and cut by `policy.bus_ceiling` or `policy.broker_ceiling`.",
    ),
    live("ceiling", Kind::Word(CLASSES), NOT_SAID, "Freest data class that they may have; a freer one is cut to it."),
    live("sites", Kind::Texts, NOT_SAID, "The only sites that they may go to; `[]`: none."),
    live("not_sites", Kind::Texts, NOT_SAID, "Sites that they may not go to."),
    live("jurisdiction", Kind::Countries, NOT_SAID, "A site must lie in one of these; `EU` has its members in it."),
    live(
        "retention_days",
        Kind::Int { min: 0, max: 36_500 },
        NOT_SAID,
        "A site must keep what it was sent for at most so many days; 0: not beyond the answer.",
    ),
    live("no_training", Kind::Bool, Absent::Bool(false), "A site must not learn from what it was sent."),
    live(
        "objective",
        Kind::Word(OBJECTIVES),
        Absent::Unset("`routing.objective`, if no other rule says it"),
        "What is sought among the places that answer in time.",
    ),
    live(
        "hedge",
        Kind::Bool,
        Absent::Unset("what the sites say, if no other rule says it"),
        "`false`: no second site is asked when the first is late, whatever the sites say.",
    ),
    live(
        "check.min_score",
        RATIO,
        NOT_SAID,
        "An answer of this box is doubtful if its best score (of a class, a box or a line of text) is below this.",
    ),
    live("check.min_margin", RATIO, NOT_SAID, "... if its best score is less than this above the second."),
    live("check.max_repetition", RATIO, NOT_SAID, "... if a larger share of its text than this repeats itself."),
    live("check.min_confidence", RATIO, NOT_SAID, "... if its tokens are less sure than this."),
    live("check.schema", Kind::Bool, NOT_SAID, "... if it is no document of the schema that was asked for."),
    live("check.truncation", Kind::Bool, NOT_SAID, "... if it ended because it was too long."),
    live(
        "escalate_to",
        Kind::Texts,
        Absent::Unset("the sites that are `stronger`"),
        "Sites that are asked when an answer is doubtful, or a request difficult; needs a `check`, `difficulty` or `sample`.",
    ),
    live(
        "difficulty",
        Kind::Bool,
        Absent::Bool(false),
        "Whether the model of `routing.difficulty_model` is asked how likely a stronger site answers better, which is then asked first.",
    ),
    live(
        "redact.to",
        Kind::Word(&["internal", "public"]),
        NOT_SAID,
        "What `[detect]` finds in a text is taken out, and the text then has this class, if no `ceiling` is stricter. The audit says so. Names and places are not found: a text may still tell of a person.",
    ),
    live(
        "sample",
        Kind::Number { min: 0.0, max: 0.2 },
        NOT_SAID,
        "Share of this box's answers for which a stronger site is asked too, to compare them.",
    ),
];
