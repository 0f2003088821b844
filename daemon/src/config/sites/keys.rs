//! The keys of `[[site]]`: what each takes, what holds without it, and what it means.

use edge_core::Sites;

use super::super::keys::{Absent, Group, HOUR, Key, Kind, SECOND, ZONES, live};

/// Most that anything costs, in dollars.
const MOST_USD: f64 = 1_000_000.0;
const PRICE: Kind = Kind::Number { min: 0.0, max: MOST_USD };

/// The tables `[[site]]`.
pub static GROUP: Group = Group {
    name: "site",
    keys: KEYS,
    most: Sites::MOST,
    meaning: "Another place that can serve a model: a server on this box, on the premises, in a region or in a cloud, or \
              another box with edged. There may be up to 32 of these tables, over all files. What nobody says of a site \
              counts as the worst: an unknown retention is for ever, and what may train on data does.",
    example: "[[site]]\n\
              name = \"plant-triton\"\n\
              zone = \"premises\"\n\
              protocol = \"oip\"\n\
              url = \"https://triton.plant.example:8000\"\n\
              models = { surface-defects = \"surface_defects\" }\n\
              credential = \"plant-token\"\n\
              jurisdiction = \"DE\"\n\
              retention = \"none\"\n\
              trains_on_data = false\n",
};

const KEYS: &[Key] = &[
    live("name", Kind::Name, Absent::Unset("it must be there"), "Name of the site; no other one has it."),
    live(
        "zone",
        Kind::Word(ZONES),
        Absent::Unset("it must be there; for a sibling where the broker is"),
        "How far away it is, and so which data may go there: `regulated` to `device` only, `internal` to `premises` too, `public` everywhere. A sibling counts as at least where the broker is.",
    ),
    live(
        "protocol",
        Kind::Word(&["oip", "openai", "sibling"]),
        Absent::Unset("it must be there"),
        "What it speaks: the Open Inference Protocol v2 over HTTP (Triton, KServe, MLServer, OpenVINO Model Server), chat and completions as OpenAI has them (vLLM, llama.cpp, providers), or edged through the broker of `[mqtt]`.",
    ),
    live(
        "url",
        Kind::Text,
        Absent::Unset("it must be there for `oip` and `openai`"),
        "Its address, `https://HOST:PORT` or `http://HOST:PORT`, with a path if it has one. A site of the zone `device` has a loopback address.",
    ),
    live(
        "allow_plain",
        Kind::Bool,
        Absent::Bool(false),
        "Send without TLS to a zone beyond `premises`; a `credential` is never sent so beyond this box.",
    ),
    live("node", Kind::Name, Absent::Unset("it must be there for `sibling`"), "Node name of the other box."),
    live(
        "models",
        Kind::TextByName,
        Absent::Unset("it must be there; for a sibling: every model by the name that it has here"),
        "To the name of a model on this box its name there. A model that only `openai` sites have needs none on this box: its name is then any that callers use.",
    ),
    live(
        "versions",
        Kind::TextByName,
        Absent::Unset("whichever the site takes"),
        "To names of `models` the version that is asked for there; not for `openai`.",
    ),
    live(
        "stronger",
        Kind::BoolOrTexts,
        Absent::Bool(false),
        "Whether its answers are better than this box's: for all its models, or for those that are listed. Doubtful answers of this box are asked for again at such a site where a rule has a `check`.",
    ),
    live(
        "credential",
        Kind::Text,
        Absent::Unset("none"),
        "Name of a systemd credential, or absolute path of a file, with the bearer token; never the token itself. A file must not be open to every user.",
    ),
    live("jurisdiction", Kind::Country, Absent::Unset("unknown: it meets no demand"), "Whose law holds there."),
    live(
        "retention",
        Kind::IntOrWord { min: 0, max: 36_500, words: &["none", "unknown"] },
        Absent::Text("unknown"),
        "How long it keeps what it was sent: days, or not beyond the answer.",
    ),
    live(
        "trains_on_data",
        Kind::BoolOrWord("unknown"),
        Absent::Text("unknown"),
        "Whether it learns from what it was sent.",
    ),
    live(
        "cold_start_ms",
        Kind::Int { min: 0, max: HOUR },
        Absent::Int(0),
        "What its first answer after a pause takes beyond the others.",
    ),
    live(
        "price.input_usd_per_mtok",
        PRICE,
        Absent::Number(0.0),
        "What a million tokens of the prompt cost, US dollars.",
    ),
    live(
        "price.output_usd_per_mtok",
        PRICE,
        Absent::Number(0.0),
        "What a million tokens of the answer cost, US dollars.",
    ),
    live("price.per_request_usd", PRICE, Absent::Number(0.0), "What each request costs besides, US dollars."),
    live(
        "price.as_of",
        Kind::Date,
        Absent::Unset("it must be there with a price"),
        "The day on which that was so. A price older than 180 days is a problem that status shows.",
    ),
    live(
        "budget_usd_per_day",
        PRICE,
        Absent::Unset("no bound"),
        "What may be spent there in a day (UTC), US dollars; needs a `price`. 0: nothing is sent there.",
    ),
    live("max_mib", Kind::Int { min: 1, max: 4096 }, Absent::Int(64), "Largest payload that it takes."),
    live(
        "context_tokens",
        Kind::Int { min: 1, max: 100_000_000 },
        Absent::Unset("no bound"),
        "Longest prompt and answer together that it takes, in tokens.",
    ),
    live("max_open", Kind::Int { min: 1, max: 4096 }, Absent::Int(64), "Requests that may be open there at once."),
    live(
        "hedge",
        Kind::Bool,
        Absent::Bool(false),
        "Whether a second request may be sent, to this or another site, when the first is later than 95 of 100 answers of this site are. A rule may forbid it.",
    ),
    live(
        "binary",
        Kind::Bool,
        Absent::Bool(true),
        "Whether tensors go as raw bytes behind the JSON, the binary extension of `oip`; `false` for a server that takes JSON alone.",
    ),
    live(
        "ca",
        Kind::Path,
        Absent::Unset("the authorities of the box"),
        "PEM file of the only authorities that may have signed its certificate.",
    ),
    live(
        "client_cert",
        Kind::Path,
        Absent::Unset("no client certificate"),
        "PEM file of the certificate chain that this box shows.",
    ),
    live(
        "client_key",
        Kind::Path,
        Absent::Unset("no client certificate"),
        "PEM file of its private key; a bare name is a systemd credential.",
    ),
    live(
        "proxy",
        Kind::Text,
        Absent::Unset("none; the environment is not asked"),
        "Proxy on the way there, `http://HOST:PORT` or `https://HOST:PORT`.",
    ),
    live(
        "proxy_credential",
        Kind::Text,
        Absent::Unset("none"),
        "Name of a systemd credential, or absolute path of a file, with `USER:PASSWORD` for the proxy.",
    ),
    live(
        "no_proxy",
        Kind::Texts,
        Absent::Texts(&[]),
        "Hosts, domains and networks that are reached without the proxy. This box itself always is.",
    ),
    live(
        "http2",
        Kind::Word(&["auto", "prior_knowledge", "off"]),
        Absent::Text("auto"),
        "Whether HTTP/2 is spoken: if the site prefers it (which it can say by TLS alone), without asking, or never.",
    ),
    live(
        "connect_timeout_ms",
        Kind::Int { min: 10, max: 60 * SECOND },
        Absent::Int(3 * SECOND),
        "Within that a connection must be there; the deadline of a request bounds it too.",
    ),
];
