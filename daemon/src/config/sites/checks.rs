//! Rules between the keys of one site.

use edge_core::{Price, Zone};
use edge_wire::dto::Problem;
use reqwest::Url;

use super::super::keys::is_name;
use super::super::raw::Fault;
use super::super::validate::is_loopback;
use super::*;

/// Keys that only a site reached by HTTP has.
const BY_HTTP: [&str; 11] = [
    "url",
    "allow_plain",
    "credential",
    "ca",
    "client_cert",
    "client_key",
    "proxy",
    "proxy_credential",
    "no_proxy",
    "http2",
    "connect_timeout_ms",
];

/// Reads one site, and gathers what is to be said of it.
pub struct Reader<'a> {
    pub record: &'a Record,
    around: &'a Around<'a>,
    pub faults: Vec<Fault>,
    pub warnings: Vec<Problem>,
    pub unseen: Vec<String>,
}

impl<'a> Reader<'a> {
    pub fn new(record: &'a Record, around: &'a Around<'a>) -> Reader<'a> {
        Reader { record, around, faults: Vec::new(), warnings: Vec::new(), unseen: Vec::new() }
    }

    fn fault(&mut self, key: &str, message: impl Into<String>) {
        self.faults.push(self.record.fault(key, message.into()));
    }

    fn warn(&mut self, key: &str, what: String, remedy: &str) {
        let subject = self.record.place(key);
        self.warnings.push(Problem { subject, what, remedy: remedy.into() });
    }

    /// The key must have a value.
    pub fn need(&mut self, key: &str) {
        self.faults.extend(self.record.missing(key));
    }

    /// Usage and answers say by this name where something ran.
    pub fn not_this_box(&mut self) {
        let node = self.around.node;
        if self.record.name.as_deref() == Some(node) {
            self.fault(
                "name",
                format!("{node:?} is this box itself, by its `node`: takes a name that `node` does not have"),
            );
        }
    }

    fn protocol_word(&self) -> String {
        self.record.text("protocol").unwrap_or_default()
    }

    /// Where it counts as being.
    pub fn zone(&mut self) -> Zone {
        let said = self.record.text("zone").and_then(|word| zone_of(&word));
        if self.protocol_word() != "sibling" {
            self.need("zone");
            return said.unwrap_or(Zone::Cloud);
        }
        let Some(broker) = self.around.broker else {
            self.fault("protocol", "\"sibling\" needs a broker: set `mqtt.host`");
            return Zone::Cloud;
        };
        match said {
            Some(zone) if zone < broker => {
                let what = format!("{} counts as {}, where the broker is", zone.as_str(), broker.as_str());
                self.warn("zone", what, "leave the key out, or set `mqtt.zone`");
                broker
            }
            Some(zone) => zone,
            None => broker,
        }
    }

    /// What it charges. Another box of one's own charges nothing, unless it is said that it does: without a price it would count as
    /// dearer than any other place.
    pub fn price(&mut self) -> Option<Price> {
        const PARTS: [&str; 3] = ["price.input_usd_per_mtok", "price.output_usd_per_mtok", "price.per_request_usd"];
        let record = self.record;
        let is_priced = PARTS.iter().any(|key| record.was_given(key));
        if is_priced && !record.was_given("price.as_of") {
            self.fault("price.as_of", "missing, but there is a price: takes the day on which it held, YYYY-MM-DD");
        }
        if !is_priced && record.is_set("price.as_of") {
            self.fault("price.as_of", "set without a price: set `price.input_usd_per_mtok` and the like, or remove it");
        }
        if !is_priced && record.is_set("budget_usd_per_day") && !record.was_given("price.as_of") {
            self.fault("budget_usd_per_day", "set without a `price`: nobody could tell what is spent");
        }
        self.age_of_price();
        let [input_mtok, output_mtok, request] = PARTS.map(|key| usd(record, key));
        let is_own = self.protocol_word() == "sibling";
        (is_priced || is_own).then_some(Price { request, input_mtok, output_mtok })
    }

    fn age_of_price(&mut self) {
        let today = self.around.machine.today;
        let Some(date) = self.record.date("price.as_of").filter(|_| today > 0) else { return };
        let age = today.saturating_sub(date.days());
        if age > OLD_PRICE_DAYS {
            let what = format!("the price is of {date}, {age} days ago, and older than {OLD_PRICE_DAYS} days");
            self.warn("price.as_of", what, "look up what the site charges today, and date it");
        } else if date.days() > today.saturating_add(1) {
            let what = format!("{date} is {} days from now by this box's clock", date.days() - today);
            self.warn("price.as_of", what, "correct the day, or the clock");
        }
    }

    /// The names of models, here and there.
    pub fn models(&mut self) {
        let record = self.record;
        let protocol = self.protocol_word();
        if !protocol.is_empty() && protocol != "sibling" {
            self.need("models");
        }
        let models = texts(record, "models");
        if record.is_set("models") && models.is_empty() {
            self.fault("models", "names no model: takes a table, to each model's name here its name there");
        }
        for name in models.keys().filter(|name| !is_name(name)) {
            self.fault("models", format!("{name:?} is no name: takes {}", super::super::keys::Kind::Name.accepts()));
        }
        if protocol == "openai" && record.is_set("versions") {
            self.fault("versions", "set, but \"openai\" has no versions: remove it");
        }
        for name in texts(record, "versions").keys().filter(|name| !served(&models, name)) {
            self.fault("versions", format!("{name:?} is none of `models`"));
        }
    }

    /// For which models it is stronger.
    pub fn stronger(&mut self) -> Stronger {
        let record = self.record;
        if record.value("stronger").is_none_or(|value| value.as_bool().is_some()) {
            return if record.flag("stronger") { Stronger::Everywhere } else { Stronger::Nowhere };
        }
        let (list, models) = (record.texts("stronger"), texts(record, "models"));
        for name in list.iter().filter(|name| !served(&models, name)) {
            self.fault("stronger", format!("{name:?} is none of `models`"));
        }
        Stronger::For(list)
    }

    /// What is spoken with it, and where; `None` with a fault.
    pub fn protocol(&mut self, zone: Zone) -> Option<Protocol> {
        let record = self.record;
        let protocol = self.protocol_word();
        if protocol == "sibling" {
            for key in BY_HTTP.into_iter().filter(|key| record.was_given(key)) {
                self.fault(key, "set, but a sibling is reached through the broker: remove it");
            }
        } else if record.was_given("node") && !protocol.is_empty() {
            self.fault("node", "set, but only a sibling has one: remove it, or set `protocol = \"sibling\"`");
        }
        if record.is_set("binary") && !protocol.is_empty() && protocol != "oip" {
            self.fault("binary", "set, but only \"oip\" has it: remove it");
        }
        match protocol.as_str() {
            "sibling" => {
                self.need("node");
                let node = record.text("node")?;
                if node == self.around.node {
                    self.fault("node", format!("{node:?} is this box: takes the node name of another one"));
                }
                Some(Protocol::Sibling { node })
            }
            "oip" => Some(Protocol::Oip { http: self.http(zone)?, binary: record.flag("binary") }),
            "openai" => Some(Protocol::OpenAi { http: self.http(zone)? }),
            _ => None,
        }
    }

    fn http(&mut self, zone: Zone) -> Option<Http> {
        let record = self.record;
        self.need("url");
        let url = self.address("url", "takes http://HOST:PORT or https://HOST:PORT, with a path if it has one");
        if let Some(url) = &url {
            self.url_in_zone(url, zone);
        }
        let (proxy, proxy_credential) = self.proxy();
        let http = Http {
            url: url.clone()?,
            credential: self.secret("credential"),
            ca: self.file("ca"),
            client: self.client(),
            proxy,
            proxy_credential,
            no_proxy: record.texts("no_proxy"),
            http2: match record.text("http2").as_deref() {
                Some("prior_knowledge") => Http2::PriorKnowledge,
                Some("off") => Http2::Off,
                _ => Http2::Auto,
            },
            connect_timeout: Duration::from_millis(record.int("connect_timeout_ms")),
        };
        if url.is_some_and(|url| url.scheme() == "http") {
            self.no_tls();
        }
        Some(http)
    }

    /// An address of a server, without what may be a secret.
    fn address(&mut self, key: &str, takes: &str) -> Option<Url> {
        let text = self.record.text(key)?;
        let Ok(url) = Url::parse(&text) else {
            self.fault(key, format!("it is no address: {takes}"));
            return None;
        };
        let fault = if !matches!(url.scheme(), "http" | "https") {
            Some(format!("the scheme {:?} is not spoken", url.scheme()))
        } else if !url.username().is_empty() || url.password().is_some() {
            Some(format!(
                "it has a user or password, which belong into `{}`",
                if key == "url" { "credential" } else { "proxy_credential" }
            ))
        } else if url.query().is_some() || url.fragment().is_some() {
            Some("it has a query or fragment".into())
        } else if url.host_str().is_none_or(str::is_empty) || url.port() == Some(0) {
            Some(format!("{text:?} has no host, or the port 0"))
        } else {
            None
        };
        match fault {
            Some(fault) => {
                self.fault(key, format!("{fault}: {takes}"));
                None
            }
            None => Some(url),
        }
    }

    fn url_in_zone(&mut self, url: &Url, zone: Zone) {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        if !self.record.is_set("zone") {
            return;
        }
        if zone == Zone::Device && !is_loopback(host) {
            self.fault(
                "url",
                format!(
                    "{host:?} is not on this box, as `zone = \"device\"` says: takes localhost, 127.0.0.1 or [::1]"
                ),
            );
        }
        if url.scheme() == "http" && zone > Zone::Premises && !self.record.flag("allow_plain") {
            let zone = zone.as_str();
            self.fault(
                "url",
                format!("goes without TLS to the zone {zone}: takes https://, or `allow_plain = true` beside it"),
            );
        }
        if url.scheme() == "http" && zone > Zone::Device && self.record.was_given("credential") {
            self.fault("credential", "would go without TLS beyond this box: takes an https:// `url`");
        }
    }

    /// Without TLS nobody looks at certificates.
    fn no_tls(&mut self) {
        for key in ["ca", "client_cert", "client_key"] {
            if self.record.was_given(key) {
                self.fault(key, "set, but the `url` is without TLS: takes an https:// `url`");
            }
        }
    }

    fn proxy(&mut self) -> (Option<Url>, Option<PathBuf>) {
        let record = self.record;
        for key in ["proxy_credential", "no_proxy"] {
            if record.was_given(key) && !record.was_given("proxy") {
                self.fault(key, "set without `proxy`");
            }
        }
        let proxy = self.address("proxy", "takes http://HOST:PORT or https://HOST:PORT");
        let proxy = proxy.filter(|url| {
            let is_bare = matches!(url.path(), "" | "/");
            if !is_bare {
                self.faults
                    .push(record.fault("proxy", "it has a path: takes http://HOST:PORT or https://HOST:PORT".into()));
            }
            is_bare
        });
        (proxy, self.secret("proxy_credential"))
    }

    fn client(&mut self) -> Option<(PathBuf, PathBuf)> {
        let record = self.record;
        let (cert, key) = (self.file("client_cert"), self.file("client_key"));
        match (record.was_given("client_cert"), record.was_given("client_key")) {
            (true, false) => self.fault("client_cert", "set without `client_key`: both or neither"),
            (false, true) => self.fault("client_key", "set without `client_cert`: both or neither"),
            _ => {}
        }
        cert.zip(key)
    }

    /// The file that a key names.
    fn file(&mut self, key: &'static str) -> Option<PathBuf> {
        let name = self.record.text(key)?;
        let found = files::locate(self.around.machine, &name);
        if let Some(fault) = found.fault {
            self.fault(key, fault);
        }
        if found.is_unseen {
            self.unseen.push(self.record.place(key));
        }
        if key == "client_key"
            && let Some(fault) = files::open_to_all(self.around.machine, &name)
        {
            self.fault(key, fault);
        }
        Some(found.path)
    }

    /// The file of a secret. What is neither a name nor a path may be the secret itself, and is never shown.
    fn secret(&mut self, key: &'static str) -> Option<PathBuf> {
        let name = self.record.text(key)?;
        if !name.starts_with('/') && !is_name(&name) {
            let takes = "takes the name of a systemd credential, or the path of a file; never the secret itself";
            self.fault(key, format!("it is neither a name nor an absolute path: {takes}"));
            return None;
        }
        let path = self.file(key)?;
        if let Some(fault) = files::open_to_all(self.around.machine, &name) {
            self.fault(key, fault);
        }
        let kind = if key == "proxy_credential" { files::Secret::Proxy } else { files::Secret::Token };
        if let Some(fault) = (self.around.machine.secret)(&path, kind) {
            self.fault(key, fault);
        }
        Some(path)
    }
}

/// Whether a site with these models serves one; without any it is a sibling, which serves all.
fn served(models: &BTreeMap<String, String>, name: &str) -> bool {
    models.is_empty() || models.contains_key(name)
}
