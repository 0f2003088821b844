//! What descriptions of sites are taken for, and what is said of those that are not.

use std::path::Path;

use edge_core::{Country, Price, Tokens, Zone};
use proptest::prelude::*;

use super::super::policy::{PolicyFile, read_policy_text};
use super::super::raw::Values;
use super::*;

/// 28 November 2026.
const TODAY: u32 = 20_785;

fn machine() -> Machine {
    Machine { credentials: Some("/cred".into()), today: TODAY, ..Machine::default() }
}

fn read_on(machine: &Machine, text: &str) -> Result<PolicyFile, Vec<String>> {
    let around = Around { machine, node: "box", broker: Some(Zone::Premises) };
    let words = |faults: Vec<super::super::raw::Fault>| faults.iter().map(ToString::to_string).collect();
    read_policy_text(Path::new("e"), text, &around).map_err(words)
}

fn read_text(text: &str) -> Result<PolicyFile, Vec<String>> {
    read_on(&machine(), text)
}

const OIP: &str =
    "[[site]]\nname = 'a'\nzone = 'premises'\nprotocol = 'oip'\nurl = 'https://h:8000'\nmodels = { m = 'M' }\n";
const CLOUD: &str =
    "[[site]]\nname = 'a'\nzone = 'cloud'\nprotocol = 'openai'\nurl = 'https://h/v1'\nmodels = { m = 'M' }\n";
const SIBLING: &str = "[[site]]\nname = 'a'\nprotocol = 'sibling'\nnode = 'press-2'\n";

/// A site with some lines more, or others in place of those of the same key.
fn with(base: &str, lines: &str) -> String {
    let key = |line: &str| line.split_once(" =").map(|(key, _)| key.to_owned());
    let replaced: Vec<String> = lines.lines().filter_map(key).collect();
    let kept = base.lines().filter(|line| key(line).is_none_or(|key| !replaced.contains(&key)));
    kept.chain(lines.lines()).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_full_description_is_taken_word_for_word() {
    let text = "[[site]]\nname = 'plant-triton'\nzone = 'premises'\nprotocol = 'oip'\n\
        url = 'https://triton.plant.example:8000/base'\nmodels = { surface-defects = 'surface_defects', ocr = 'ocr' }\n\
        versions = { ocr = '3' }\nstronger = ['ocr']\ncredential = 'plant-token'\njurisdiction = 'DE'\nretention = 30\n\
        trains_on_data = false\ncold_start_ms = 1500\n\
        price = { input_usd_per_mtok = 0.15, output_usd_per_mtok = 0.6, per_request_usd = 0.001, as_of = 2026-11-01 }\n\
        budget_usd_per_day = 5.0\nmax_mib = 8\ncontext_tokens = 32768\nmax_open = 12\nhedge = true\nbinary = false\n\
        ca = '/etc/plant.pem'\nclient_cert = '/etc/box.pem'\nclient_key = 'box-key'\nproxy = 'http://proxy:3128'\n\
        proxy_credential = '/etc/proxy'\nno_proxy = ['plant.example']\nhttp2 = 'prior_knowledge'\n\
        connect_timeout_ms = 250\n";
    let read = read_text(text).unwrap();
    assert_eq!((read.warnings.len(), read.sites.len()), (0, 1));
    let site = &read.sites[0];
    let usd = |nanos| NanoUsd(nanos);
    let core = Site {
        identity: site.core.identity,
        zone: Zone::Premises,
        jurisdiction: Country::new("DE"),
        retention: Retention::Days(30),
        training: Training::No,
        price: Some(Price { request: usd(1_000_000), input_mtok: usd(150_000_000), output_mtok: usd(600_000_000) }),
        budget: Some(usd(5_000_000_000)),
        cold_start: Span::from_millis(1500),
        max_bytes: Bytes(8 << 20),
        context: Some(32_768),
        max_open: 12,
        may_hedge: true,
    };
    assert_eq!(site.core, core);
    let http = Http {
        url: Url::parse("https://triton.plant.example:8000/base").unwrap(),
        credential: Some("/cred/plant-token".into()),
        ca: Some("/etc/plant.pem".into()),
        client: Some(("/etc/box.pem".into(), "/cred/box-key".into())),
        proxy: Some(Url::parse("http://proxy:3128").unwrap()),
        proxy_credential: Some("/etc/proxy".into()),
        no_proxy: vec!["plant.example".into()],
        http2: Http2::PriorKnowledge,
        connect_timeout: Duration::from_millis(250),
    };
    assert_eq!(site.protocol, Protocol::Oip { http, binary: false });
    assert_eq!(site.model("surface-defects"), Some("surface_defects"));
    assert_eq!((site.model("other"), site.versions["ocr"].as_str()), (None, "3"));
    assert!(site.is_stronger("ocr") && !site.is_stronger("surface-defects"));
    assert_eq!(site.price_as_of.unwrap().to_string(), "2026-11-01");
    assert_eq!(core.price.unwrap().of(Tokens { input: 1_000_000, output: 0 }), usd(151_000_000));
}

#[test]
fn what_is_not_said_is_unknown_and_the_rest_has_its_default() {
    let site = read_text(OIP).unwrap().sites.remove(0);
    assert_eq!(site.core, Site { identity: site.core.identity, ..Site::in_zone(Zone::Premises) });
    let http = site.http().unwrap();
    assert_eq!((http.connect_timeout, http.http2), (Duration::from_secs(3), Http2::Auto));
    assert!(matches!(site.protocol, Protocol::Oip { binary: true, .. }) && site.stronger == Stronger::Nowhere);
    let none = read_text(&with(OIP, "retention = 'none'\ntrains_on_data = true")).unwrap().sites.remove(0).core;
    assert_eq!((none.retention, none.training), (Retention::None, Training::Yes));
    let zero = read_text(&with(OIP, "retention = 0\ntrains_on_data = 'unknown'")).unwrap().sites.remove(0).core;
    assert_eq!((zero.retention, zero.training), (Retention::None, Training::Unknown));
}

#[test]
fn a_sibling_counts_as_at_least_where_the_broker_is_and_serves_what_this_box_does() {
    for (zone, counts, warned) in [
        ("", Zone::Premises, false),
        ("zone = 'device'", Zone::Premises, true),
        ("zone = 'premises'", Zone::Premises, false),
        ("zone = 'region'", Zone::Region, false),
    ] {
        let read = read_text(&with(SIBLING, zone)).unwrap();
        assert_eq!((read.sites[0].core.zone, !read.warnings.is_empty()), (counts, warned), "{zone}");
        assert_eq!(read.sites[0].model("ocr"), Some("ocr"));
        assert_eq!(read.sites[0].core.price, Some(Price::default()), "a box of one's own charges nothing");
    }
    let priced = "price = { per_request_usd = 0.001, as_of = 2026-11-01 }";
    let price = read_text(&with(SIBLING, priced)).unwrap().sites[0].core.price;
    assert_eq!(price, Some(Price { request: edge_core::NanoUsd(1_000_000), ..Price::default() }));
    let around = Around { machine: &machine(), node: "box", broker: None };
    let faults = read_policy_text(Path::new("e"), SIBLING, &around).unwrap_err();
    assert_eq!(faults[0].to_string(), "e: site \"a\": protocol: \"sibling\" needs a broker: set `mqtt.host`");
    assert_eq!(faults.len(), 1);
}

#[test]
fn each_value_that_is_not_accepted_is_named_with_its_range() {
    for (line, says) in [
        (
            "zone = 'moon'",
            "zone: \"moon\" is not accepted: takes \"device\" or \"premises\" or \"region\" or \"cloud\"",
        ),
        ("protocol = 'grpc'", "protocol: \"grpc\" is not accepted: takes \"oip\" or \"openai\" or \"sibling\""),
        ("url = 5", "url: 5 is not accepted: takes text of 1 to 255 characters"),
        ("allow_plain = 1", "allow_plain: 1 is not accepted: takes true or false"),
        ("node = 'a/b'", "node: \"a/b\" is not accepted: takes 1 to 64 letters, digits, `_`, `-` and `.`"),
        ("models = ['m']", "models: [\"m\"] is not accepted: takes a table: to each name a text"),
        ("versions = { m = 1 }", "versions: { m = 1 } is not accepted: takes a table: to each name a text"),
        ("stronger = 'm'", "stronger: \"m\" is not accepted: takes true, false or a list of texts"),
        ("credential = 5", "credential: it is not accepted: takes text of 1 to 255 characters"),
        (
            "jurisdiction = 'de'",
            "jurisdiction: \"de\" is not accepted: takes two capital letters of ISO 3166-1, or \"EU\"",
        ),
        (
            "retention = -1",
            "retention: -1 is not accepted: takes a whole number from 0 to 36500, or \"none\" or \"unknown\"",
        ),
        ("trains_on_data = 'no'", "trains_on_data: \"no\" is not accepted: takes true, false or \"unknown\""),
        ("cold_start_ms = 3600001", "cold_start_ms: 3600001 is not accepted: takes a whole number from 0 to 3600000"),
        (
            "price = { input_usd_per_mtok = -1.0 }\n",
            "price.input_usd_per_mtok: -1.0 is not accepted: takes a number from 0 to 1000000",
        ),
        (
            "price = { output_usd_per_mtok = nan }",
            "price.output_usd_per_mtok: nan is not accepted: takes a number from 0 to 1000000",
        ),
        (
            "price = { per_request_usd = 1000001 }",
            "price.per_request_usd: 1000001 is not accepted: takes a number from 0 to 1000000",
        ),
        (
            "price = { per_request_usd = 1, as_of = '2026-02-30' }",
            "price.as_of: \"2026-02-30\" is not accepted: takes a day, YYYY-MM-DD",
        ),
        ("price = 5", "price: takes a table of keys"),
        ("budget_usd_per_day = '5'", "budget_usd_per_day: \"5\" is not accepted: takes a number from 0 to 1000000"),
        ("max_mib = 0", "max_mib: 0 is not accepted: takes a whole number from 1 to 4096"),
        ("context_tokens = 0", "context_tokens: 0 is not accepted: takes a whole number from 1 to 100000000"),
        ("max_open = 0", "max_open: 0 is not accepted: takes a whole number from 1 to 4096"),
        ("hedge = 'yes'", "hedge: \"yes\" is not accepted: takes true or false"),
        ("binary = 1", "binary: 1 is not accepted: takes true or false"),
        ("ca = ''", "ca: \"\" is not accepted: takes a path"),
        ("client_cert = 1", "client_cert: 1 is not accepted: takes a path"),
        ("client_key = 1", "client_key: 1 is not accepted: takes a path"),
        ("proxy = ''", "proxy: \"\" is not accepted: takes text of 1 to 255 characters"),
        ("proxy_credential = true", "proxy_credential: it is not accepted: takes text of 1 to 255 characters"),
        ("no_proxy = 'h'", "no_proxy: \"h\" is not accepted: takes a list of texts"),
        ("http2 = 'on'", "http2: \"on\" is not accepted: takes \"auto\" or \"prior_knowledge\" or \"off\""),
        ("connect_timeout_ms = 5", "connect_timeout_ms: 5 is not accepted: takes a whole number from 10 to 60000"),
        ("zones = 'cloud'", "zones: unknown key; did you mean `zone`?"),
        ("colour = 'red'", "colour: unknown key"),
        ("price = { usd = 1 }", "price.usd: unknown key"),
    ] {
        let faults = read_text(&with(OIP, line)).unwrap_err();
        assert!(faults.contains(&format!("e: site \"a\": {says}")), "{line}: {faults:#?}");
    }
    let faults = read_text("[[site]]\nname = 'a/b'\n").unwrap_err();
    let says = "e: site 1: name: \"a/b\" is not accepted: takes 1 to 64 letters, digits, `_`, `-` and `.`";
    assert!(faults.contains(&says.to_owned()), "{faults:#?}");
}

#[test]
fn rules_between_keys_hold_and_each_breach_is_the_only_fault() {
    for (base, lines, says) in [
        (OIP, "budget_usd_per_day = 5", "budget_usd_per_day: set without a `price`: nobody could tell what is spent"),
        (
            OIP,
            "price = { per_request_usd = 1 }",
            "price.as_of: missing, but there is a price: takes the day on which it held, YYYY-MM-DD",
        ),
        (
            OIP,
            "price = { as_of = 2026-11-01 }",
            "price.as_of: set without a price: set `price.input_usd_per_mtok` and the like, or remove it",
        ),
        (
            CLOUD,
            "url = 'http://h'",
            "url: goes without TLS to the zone cloud: takes https://, or `allow_plain = true` beside it",
        ),
        (
            OIP,
            "url = 'http://h'\ncredential = 't'",
            "credential: would go without TLS beyond this box: takes an https:// `url`",
        ),
        (
            CLOUD,
            "url = 'http://h'\nallow_plain = true\ncredential = 't'",
            "credential: would go without TLS beyond this box: takes an https:// `url`",
        ),
        (
            OIP,
            "zone = 'device'",
            "url: \"h\" is not on this box, as `zone = \"device\"` says: takes localhost, 127.0.0.1 or [::1]",
        ),
        (
            OIP,
            "url = 'ftp://h'",
            "url: the scheme \"ftp\" is not spoken: takes http://HOST:PORT or https://HOST:PORT, with a path if it has one",
        ),
        (
            OIP,
            "url = 'https://u:secret@h'",
            "url: it has a user or password, which belong into `credential`: takes http://HOST:PORT or https://HOST:PORT, with a path if it has one",
        ),
        (
            OIP,
            "url = 'https://h/?key=secret'",
            "url: it has a query or fragment: takes http://HOST:PORT or https://HOST:PORT, with a path if it has one",
        ),
        (
            OIP,
            "url = 'https://h:0'",
            "url: \"https://h:0\" has no host, or the port 0: takes http://HOST:PORT or https://HOST:PORT, with a path if it has one",
        ),
        (
            OIP,
            "url = 'https://h:70000'",
            "url: it is no address: takes http://HOST:PORT or https://HOST:PORT, with a path if it has one",
        ),
        (
            OIP,
            "url = 'h:8000/x y'",
            "url: the scheme \"h\" is not spoken: takes http://HOST:PORT or https://HOST:PORT, with a path if it has one",
        ),
        (
            OIP,
            "credential = 'Bearer sk-123'",
            "credential: it is neither a name nor an absolute path: takes the name of a systemd credential, or the path of a file; never the secret itself",
        ),
        (
            OIP,
            "credential = 'run/token'",
            "credential: it is neither a name nor an absolute path: takes the name of a systemd credential, or the path of a file; never the secret itself",
        ),
        (OIP, "client_cert = '/c'", "client_cert: set without `client_key`: both or neither"),
        (OIP, "client_key = '/c'", "client_key: set without `client_cert`: both or neither"),
        (OIP, "url = 'http://h'\nca = '/c'", "ca: set, but the `url` is without TLS: takes an https:// `url`"),
        (OIP, "proxy_credential = 'p'", "proxy_credential: set without `proxy`"),
        (OIP, "no_proxy = ['x']", "no_proxy: set without `proxy`"),
        (
            OIP,
            "proxy = 'http://u:p@proxy'",
            "proxy: it has a user or password, which belong into `proxy_credential`: takes http://HOST:PORT or https://HOST:PORT",
        ),
        (OIP, "proxy = 'http://proxy/path'", "proxy: it has a path: takes http://HOST:PORT or https://HOST:PORT"),
        (OIP, "models = {}", "models: names no model: takes a table, to each model's name here its name there"),
        (
            OIP,
            "models = { 'a/b' = 'x' }",
            "models: \"a/b\" is no name: takes 1 to 64 letters, digits, `_`, `-` and `.`",
        ),
        (OIP, "versions = { n = '1' }", "versions: \"n\" is none of `models`"),
        (CLOUD, "versions = { m = '1' }", "versions: set, but \"openai\" has no versions: remove it"),
        (OIP, "stronger = ['n']", "stronger: \"n\" is none of `models`"),
        (OIP, "node = 'n'", "node: set, but only a sibling has one: remove it, or set `protocol = \"sibling\"`"),
        (CLOUD, "binary = true", "binary: set, but only \"oip\" has it: remove it"),
        (SIBLING, "node = 'box'", "node: \"box\" is this box: takes the node name of another one"),
        (SIBLING, "url = 'https://h'", "url: set, but a sibling is reached through the broker: remove it"),
        (SIBLING, "http2 = 'off'", "http2: set, but a sibling is reached through the broker: remove it"),
    ] {
        let faults = read_text(&with(base, lines)).unwrap_err();
        assert_eq!(faults, [format!("e: site \"a\": {says}")], "{lines}");
        assert!(!faults[0].contains("secret@") && !faults[0].contains("sk-123"));
    }
}

#[test]
fn what_must_be_there_is_asked_for() {
    for (base, key, says) in [
        (OIP, "zone", "zone: missing: takes \"device\" or \"premises\" or \"region\" or \"cloud\""),
        (OIP, "protocol", "protocol: missing: takes \"oip\" or \"openai\" or \"sibling\""),
        (OIP, "url", "url: missing: takes text of 1 to 255 characters"),
        (CLOUD, "models", "models: missing: takes a table: to each name a text"),
        (SIBLING, "node", "node: missing: takes 1 to 64 letters, digits, `_`, `-` and `.`"),
    ] {
        let text: String = base.lines().filter(|line| !line.starts_with(key)).map(|line| format!("{line}\n")).collect();
        assert_eq!(read_text(&text).unwrap_err(), [format!("e: site \"a\": {says}")], "{text}");
    }
    let nameless = with(OIP, "").replace("name = 'a'\n", "");
    let says = "e: site 1: name: missing: takes 1 to 64 letters, digits, `_`, `-` and `.`";
    assert_eq!(read_text(&nameless).unwrap_err(), [says]);
}

#[test]
fn plain_addresses_are_taken_where_they_are_near_or_allowed() {
    for (base, lines) in [
        (OIP, "url = 'http://h:8000'"),
        (OIP, "zone = 'device'\nurl = 'http://127.0.0.1:8080'\ncredential = 't'"),
        (OIP, "zone = 'device'\nurl = 'http://[::1]:8080'"),
        (OIP, "zone = 'device'\nurl = 'http://localhost'"),
        (CLOUD, "url = 'http://h'\nallow_plain = true"),
        (CLOUD, "price = { per_request_usd = 0.0, as_of = '2026-11-01' }\nbudget_usd_per_day = 0"),
    ] {
        assert_eq!(read_text(&with(base, lines)).err(), None, "{lines}");
    }
}

#[test]
fn an_old_price_or_one_of_tomorrow_is_told_of_and_taken() {
    let price = |as_of: &str| with(OIP, &format!("price = {{ per_request_usd = 1, as_of = {as_of} }}"));
    for (as_of, today, says) in [
        ("2026-06-01", TODAY, None),
        ("2026-05-31", TODAY, Some("the price is of 2026-05-31, 181 days ago, and older than 180 days")),
        ("2026-11-29", TODAY, None),
        ("2026-12-01", TODAY, Some("2026-12-01 is 3 days from now by this box's clock")),
        ("2000-01-01", 0, None),
    ] {
        let read = read_on(&Machine { today, ..machine() }, &price(as_of)).unwrap();
        let told: Vec<&str> = read.warnings.iter().map(|warning| warning.what.as_str()).collect();
        assert_eq!(told, says.into_iter().collect::<Vec<_>>(), "{as_of}");
        assert!(read.warnings.iter().all(|warning| warning.subject == "site \"a\": price.as_of"));
    }
}

#[test]
fn files_are_looked_for_where_that_is_possible_and_secrets_must_not_be_open() {
    let text = with(OIP, "credential = 'token'\nca = '/no/ca.pem'");
    let faults = read_on(&Machine { is_missing: |_| true, ..machine() }, &text).unwrap_err();
    assert_eq!(
        faults,
        [
            "e: site \"a\": credential: there is no file /cred/token: takes a file that the service can read",
            "e: site \"a\": ca: there is no file /no/ca.pem: takes a file that the service can read",
        ]
    );
    let outside = Machine { credentials: None, ..machine() };
    assert_eq!(read_on(&outside, &text).unwrap().unseen, ["site \"a\": credential"]);
    let open = Machine { mode: |_| Some(0o100_644), ..machine() };
    let faults = read_on(&open, &with(OIP, "credential = '/etc/token'")).unwrap_err();
    assert_eq!(
        faults,
        [
            "e: site \"a\": credential: /etc/token is open to every user (mode 0644): takes a systemd credential, or a file that only its owner and group may read, mode 0640 or less"
        ]
    );
    assert_eq!(read_on(&open, &text).err(), None);
    let kept = Machine { mode: |_| Some(0o100_640), ..machine() };
    assert_eq!(read_on(&kept, &with(OIP, "credential = '/etc/token'")).err(), None);
    let empty = Machine { secret: |path, kind| Some(format!("{} is no {kind:?}", path.display())), ..machine() };
    let both = with(OIP, "credential = '/t'\nproxy = 'http://p:1'\nproxy_credential = '/p'");
    let faults = read_on(&empty, &both).unwrap_err();
    for fault in ["e: site \"a\": credential: /t is no Token", "e: site \"a\": proxy_credential: /p is no Proxy"] {
        assert!(faults.contains(&fault.to_owned()), "{faults:?}");
    }
    assert_eq!(faults.len(), 2, "{faults:?}");
}

#[test]
fn a_site_with_the_name_of_this_box_is_a_fault_that_names_both_keys() {
    let faults = read_text(&with(OIP, "name = 'box'")).unwrap_err();
    assert_eq!(
        faults,
        ["e: site \"box\": name: \"box\" is this box itself, by its `node`: takes a name that `node` does not have"]
    );
}

#[test]
fn names_are_unique_over_all_files_and_there_are_at_most_32() {
    let around = Around { machine: &machine(), node: "box", broker: None };
    let mut values = Values::default();
    values.add(Path::new("first"), OIP);
    values.add(Path::new("second"), CLOUD);
    let faults = super::super::policy::read_policy(values, &around).unwrap_err();
    let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["second: site \"a\": name: another one has it too, in first: takes a name of its own"]);
    let many =
        |count: usize| -> String { (0..count).map(|place| OIP.replace("'a'", &format!("'s{place}'"))).collect() };
    assert_eq!(read_text(&many(32)).unwrap().sites.len(), 32);
    assert_eq!(read_text(&many(33)).unwrap_err(), ["site: there are 33: takes at most 32"]);
}

#[test]
fn what_is_no_table_of_sites_is_told() {
    for text in ["site = 5", "[site]\nname = 'a'", "site = ['a']"] {
        assert_eq!(read_text(text).unwrap_err(), ["e: site: takes tables, each under a line [[site]]"], "{text}");
    }
    assert_eq!(read_text("[[sites]]\nname = 'a'").unwrap_err(), ["e: sites: unknown key; did you mean `site`?"]);
}

#[test]
fn all_faults_of_all_sites_are_named_at_once() {
    let text = format!(
        "{}{}",
        with(OIP, "zone = 'moon'\nmax_open = 0"),
        with(CLOUD, "hedge = 2\nurll = 'x'").replace("'a'", "'b'")
    );
    let faults = read_text(&text).unwrap_err();
    assert_eq!(faults.len(), 4, "{faults:#?}");
}

/// Text that is near to a description of a site or rule.
fn likely() -> impl Strategy<Value = String> {
    let keys: Vec<&'static str> =
        super::super::keys::GROUPS.iter().flat_map(|group| group.keys).map(|key| key.path).collect();
    let value = prop_oneof![
        Just("true".to_owned()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_map(|value| format!("{value:?}")),
        "[a-z:/@?#\\[\\]%.0-9-]{0,20}".prop_map(|text| format!("'{text}'")),
        "(https?|mqtt|bus|ftp)://?[a-z0-9.:@\\[\\]/?#-]{0,16}".prop_map(|text| format!("'{text}'")),
        Just("['a', 'b']".to_owned()),
        Just("{ m = 'x' }".to_owned()),
        Just("[]".to_owned()),
        Just("2026-11-01".to_owned()),
        Just("1979-05-27T07:32:00Z".to_owned()),
        Just("'sibling'".to_owned()),
        Just("'oip'".to_owned()),
        Just("'device'".to_owned()),
    ];
    let line = (proptest::sample::select(keys), value).prop_map(|(key, value)| format!("{key} = {value}"));
    let table =
        (prop_oneof![Just("[[site]]"), Just("[[rule]]"), Just("[routing]")], proptest::collection::vec(line, 0..8));
    let text = |(head, lines): (&str, Vec<String>)| format!("{head}\n{}\n", lines.join("\n"));
    proptest::collection::vec(table.prop_map(text), 0..5).prop_map(|tables| tables.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_a_policy_or_a_list_of_faults(text in prop_oneof![likely(), any::<String>()]) {
        match read_text(&text) {
            Ok(read) => {
                let is_sound = |core: &Site| core.max_open > 0 && (core.budget.is_none() || core.price.is_some());
                prop_assert!(read.sites.len() <= Sites::MOST);
                prop_assert!(read.sites.iter().all(|site| is_sound(&site.core)));
            }
            Err(faults) => prop_assert!(!faults.is_empty()),
        }
    }
}

#[test]
fn another_name_address_or_protocol_is_another_place_and_nothing_else_is() {
    let base = "[[site]]\nname = 'plant'\nzone = 'premises'\nprotocol = 'oip'\nurl = 'https://a.example'\nmodels = { x = 'x' }\n";
    let identity = |text: &str| read_text(text).unwrap().sites[0].core.identity;
    for (lines, same) in [
        ("name = 'other'", false),
        ("url = 'https://b.example'", false),
        ("url = 'https://a.example/v3'", false),
        ("protocol = 'openai'", false),
        ("zone = 'cloud'", true),
        ("hedge = true\nmax_open = 3", true),
    ] {
        assert_eq!(identity(&with(base, lines)) == identity(base), same, "{lines}");
    }
}
