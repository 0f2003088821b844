//! What descriptions of bindings are taken for, and what is said of those that are not.

use std::path::Path;

use proptest::prelude::*;

use super::super::validate::validate;
use super::*;
use crate::binding::flat::{Field, Format};
use crate::binding::gate::Take;
use crate::binding::words::sentences;

const MQTT: &str = "node = 'box'\n[mqtt]\nhost = 'broker'\nzone = 'device'\nprefix = 'edge'\ngroup = 'press'\n";

fn read_on(machine: &Machine, text: &str) -> Result<Vec<BindingConfig>, Vec<String>> {
    let mut values = Values::default();
    values.add(Path::new("e"), text);
    let faults = |faults: Vec<super::super::raw::Fault>| faults.iter().map(ToString::to_string).collect();
    validate(values, machine).map(|config| config.bindings).map_err(faults)
}

fn read_text(text: &str) -> Result<Vec<BindingConfig>, Vec<String>> {
    read_on(&Machine { credentials: Some("/cred".into()), ..Machine::default() }, &format!("{MQTT}{text}"))
}

/// A binding with this name, model `m`, and these lines.
fn binding(name: &str, lines: &str) -> String {
    format!("[[binding]]\nname = '{name}'\nmodel = 'm'\n{lines}\n")
}

fn one(lines: &str) -> BindingConfig {
    read_text(&binding("a", lines)).unwrap().remove(0)
}

fn check(lines: &str, says: &str) {
    let faults = read_text(&binding("a", lines)).unwrap_err();
    assert!(faults.len() == 1 && faults[0] == format!("e: binding \"a\"{says}"), "{lines}\n{faults:#?}\n{says}");
}

#[test]
fn a_full_description_is_taken_word_for_word() {
    let text = "[[binding]]\nname = 'sorting'\nmodel = 'screws'\nversion = '2.1'\ntopic = '$share/line/camera/+/image'\n\
        payload = 'image/JPEG'\ntake = 'every'\nrate_per_s = 5\nmax_in_flight = 3\nmax_waiting = 7\nmax_sources = 9\n\
        deadline_ms = 400\ndata_class = 'internal'\npriority = 'high'\nsource_name = 'cam{1}'\n\
        result = 'vision/{1}/result'\nqos = 2\nretain = true\nlast = false\nstale_after_ms = 5000\n\
        flat = { topic = 'vision/{1}/{field}', fields = ['ok', 'class'], when = 'always', format = 'json', retain = false }\n\
        ok = { class = ['good'], min_score = 0.8, min_count = 1, max_count = 2 }\n";
    let binding = read_text(text).unwrap().remove(0);
    assert_eq!((binding.name.as_str(), binding.model.as_str()), ("sorting", "screws"));
    assert_eq!((binding.version.as_deref(), &binding.payload), (Some("2.1"), &Payload::Type("image/jpeg".into())));
    assert_eq!(binding.filter().unwrap().as_str(), "$share/line/camera/+/image");
    let limits = Limits {
        take: Take::Every,
        interval: Duration::from_millis(200),
        max_open: 3,
        max_open_of_one: 3,
        max_waiting: 7,
        max_sources: 9,
    };
    assert_eq!(binding.limits, limits);
    assert_eq!((binding.deadline, binding.data_class), (Some(Duration::from_millis(400)), Some(DataClass::Internal)));
    assert_eq!((binding.priority, binding.qos, binding.retain, binding.last), (Priority::High, 2, true, false));
    assert_eq!(binding.source(&["7"], "box", "edge"), "cam7");
    let flat = binding.flat.as_ref().unwrap();
    assert_eq!(flat.rules.fields, [Field::Class, Field::Ok], "in the order in which they are published");
    assert_eq!((flat.rules.format, flat.rules.on_change, flat.retain), (Format::Json, false, false));
    assert_eq!(flat.rules.stale_after, Some(Duration::from_secs(5)));
    let verdict = &flat.rules.verdict;
    assert_eq!((verdict.min_score, verdict.min_count, verdict.max_count), (Some(0.8), Some(1), Some(2)));
    assert_eq!(
        sentences(&binding, "box", "edge"),
        "binding \"sorting\" takes frames (image/jpeg) from \"$share/line/camera/+/image\", every one in order, 3 under way \
         at once and 7 waiting, at most one of each source every 200ms, and gives each to the model screws:2.1, to be \
         answered within 400ms, as internal data, with high priority. Answers go to \"vision/{1}/result\" with QoS 2, kept \
         by the broker. class, ok go as values with time and quality to \"vision/{1}/{field}\" with every answer; ok is true \
         for a class of \"good\" with a score of at least 0.8 with a count of 1 to 2; without a good answer for 5s they are \
         stale."
    );
}

#[test]
fn what_is_not_said_has_its_default_by_the_kind_of_source() {
    let camera = one("topic = 'camera/+/image'");
    assert_eq!((camera.limits.take, camera.limits.max_open, camera.limits.interval), (Take::Newest, 2, Duration::ZERO));
    assert_eq!(camera.result.as_str(), "{prefix}/{node}/binding/{binding}/{source}");
    assert_eq!((camera.qos, camera.retain, camera.last, &camera.flat), (1, false, true, &None));
    assert_eq!(camera.source(&["7"], "box", "edge"), "7");
    let words = sentences(&camera, "box", "edge");
    assert!(words.contains("Answers go to \"edge/box/binding/a/{source}\""), "{words}");
    assert!(words.contains("the last one of each source on \"edge/box/last/m/{source}\""), "{words}");
    for (lines, take) in [
        ("topic = 'a'\npayload = 'image/png'", Take::Newest),
        ("topic = 'a'\npayload = 'text/plain'", Take::Every),
        ("topic = 'a'\nreference = ['/srv']", Take::Every),
        ("folder = '/srv/in'", Take::Every),
        ("snapshot = 'http://cam/1.jpg'", Take::Newest),
        ("device = '/dev/video0'", Take::Newest),
    ] {
        let binding = one(lines);
        assert_eq!(binding.limits.take, take, "{lines}");
        assert_eq!(binding.source(&[], "box", "edge"), "a", "{lines}");
        assert!(sentences(&binding, "box", "edge").starts_with("binding \"a\" takes "), "{lines}");
    }
    let Source::Snapshot(camera) = one("snapshot = 'http://cam/1.jpg'\ncredential = 'cam'").source else { panic!() };
    assert_eq!((camera.interval, camera.credential), (Duration::from_secs(1), Some("/cred/cam".into())));
    let Source::Folder(folder) = one("folder = '/srv/in'\npattern = 'cam-*_*.jpg'\nafter = '/srv/done'").source else {
        panic!()
    };
    assert_eq!((folder.pattern.wildcards(), folder.after), (2, After::Move("/srv/done".into())));
    let Source::Device(camera) = one("device = '/dev/v4l/by-id/usb-cam'\ninterval_ms = 500").source else { panic!() };
    assert_eq!((camera.width, camera.height, camera.interval), (640, 480, Some(Duration::from_millis(500))));
}

#[test]
fn each_fault_of_one_binding_is_named_with_what_is_taken() {
    for (lines, says) in [
        ("", ": has no source: takes one of `topic`, `folder`, `snapshot` and `device`"),
        ("topic = 'a'\nfolder = '/b'", ": has `topic` and `folder`: takes one of them; make a binding of each"),
        ("topic = 'a/+b'", ": topic: \"a/+b\" is no topic filter: `+` and `#` stand alone between slashes, `#` last"),
        (
            "topic = '$SYS/#'",
            ": topic: \"$SYS/#\" is no topic filter: it starts with `$`: such topics are the broker's own",
        ),
        (
            "topic = 'a/+'\nresult = 'v/{2}'",
            ": result: \"v/{2}\" is no template: there is no variable {2}: takes {1}, {binding}, {model}, {node}, {prefix}, {source}",
        ),
        (
            "topic = 'a/+'\nsource_name = '{source}'",
            ": source_name: \"{source}\" is no template: there is no variable {source}: takes {1}, {binding}, {model}, {node}, {prefix}",
        ),
        (
            "topic = 'a'\nflat.topic = 'line 3/{field}'",
            ": flat.topic: \"line 3/{field}\" is no template: \"line 3\" is no part of a tag path: takes letters, digits, `_` and `-` between slashes, no `-` first",
        ),
        ("topic = 'a'\nflat.topic = 'v'", ": flat.topic: \"v\" gives 7 values one topic: takes {field} in it"),
        (
            "topic = 'a'\nflat = { topic = 'v', fields = [] }",
            ": flat.fields: it is empty: takes at least one value, or leave `flat.topic` out",
        ),
        ("topic = 'a'\nok.min_score = 0.5", ": ok.min_score: set without `flat.topic`, and so for nobody"),
        (
            "topic = 'a'\nflat = { topic = 'v/{field}' }\nok = { min_count = 3, max_count = 2 }",
            ": ok.min_count: 3 is above `ok.max_count` (2): takes at most that",
        ),
        ("topic = 'a'\npattern = '*'", ": pattern: set without `folder`"),
        ("topic = 'a'\ninterval_ms = 100", ": interval_ms: set without `snapshot` or `device`"),
        (
            "topic = 'a'\nmax_waiting = 5",
            ": max_waiting: set, but with `take = \"newest\"` one frame of each source waits",
        ),
        ("folder = 'in'", ": folder: in is not accepted: takes an absolute path"),
        ("folder = '/in'\npattern = 'a/*'", ": pattern: \"a/*\" is no pattern: takes a file name with at most 8 `*`"),
        (
            "folder = '/in'\nafter = 'gone'",
            ": after: \"gone\" is not accepted: takes \"delete\", \"keep\" or the absolute path of another directory",
        ),
        ("folder = '/in'\ntake = 'newest'", ": take: \"newest\" is not accepted with `folder`: takes \"every\""),
        (
            "snapshot = 'rtsp://cam/1'",
            ": snapshot: it is no address of a picture: takes http://HOST/PATH or https://HOST/PATH, with a port and a query if it has them",
        ),
        (
            "snapshot = 'http://u:secret@cam/1'",
            ": snapshot: it has a user or password, which belong into the file of `credential`",
        ),
        (
            "snapshot = 'http://cam/1'\ncredential = 'user:secret'",
            ": credential: it is neither a name nor an absolute path: takes the name of a systemd credential, or the path of a file; never the secret itself",
        ),
        (
            "snapshot = 'http://cam/1'\nca = '/ca.pem'",
            ": ca: set, but the `snapshot` is without TLS: takes an https:// address",
        ),
        (
            "device = '/dev/sda'",
            ": device: \"/dev/sda\" is no camera: takes /dev/videoN, or a name below /dev/v4l/by-id/ or /dev/v4l/by-path/",
        ),
        (
            "topic = 'a'\npayload = 'picture'",
            ": payload: \"picture\" is not accepted: takes \"auto\" or a content type as image/jpeg",
        ),
        ("topic = 'a'\nreference = []", ": reference: it lists 0: takes 1 to 64 entries"),
        (
            "topic = 'a'\nreference = ['srv']",
            ": reference: \"srv\": takes http:// or https:// with a host, without user, password and fragment, nothing escaped that leads elsewhere",
        ),
        ("topic = 'a'\nqos = 3", ": qos: 3 is not accepted: takes a whole number from 0 to 2"),
        ("topic = 'a'\nflat.forma = 'x'", ": flat.forma: unknown key; did you mean `flat.format`?"),
    ] {
        check(lines, says);
    }
}

#[test]
fn a_prefix_that_scada_refuses_is_told_where_flat_results_would_have_it() {
    let text = "node = 'box'\n[mqtt]\nhost = 'b'\nprefix = 'plant 1/edge'\n[[binding]]\nname = 'a'\nmodel = 'm'\ntopic = 'x'\n\
        flat.topic = '{prefix}/flat/{field}'\n";
    let faults = read_on(&Machine::default(), text).unwrap_err();
    assert!(faults[0].contains("`mqtt.prefix` \"plant 1/edge\" is no part of a tag path"), "{faults:?}");
}

#[test]
fn a_filter_that_hears_an_output_is_refused_with_both_named() {
    check(
        "topic = 'vision/+/+'\nresult = 'vision/{1}/result'",
        ": topic: \"vision/+/+\" matches its own `result` \"vision/{1}/result\", which would go round for ever: takes a filter without it",
    );
    check(
        "topic = 'v/+/score'\nresult = 'r/{1}'\nflat = { topic = 'v/{1}/{field}', fields = ['score'] }",
        ": topic: \"v/+/score\" matches its own `flat.topic` \"v/{1}/{field}\", which would go round for ever: takes a filter without it",
    );
    assert!(read_text(&binding("a", "topic = 'v/+/x'\nflat = { topic = 'v/{1}/{field}' }")).is_ok());
    let two = binding("a", "topic = 'in/+'\nresult = 'mid/{1}'") + &binding("b", "topic = 'mid/+'\nresult = 'in/{1}'");
    let faults = read_text(&two).unwrap_err();
    assert_eq!(
        faults,
        [
            "e: binding \"a\": topic: \"in/+\" matches the binding \"b\"'s `result` \"in/{1}\", which would go round for ever: takes a filter without it",
            "e: binding \"b\": topic: \"mid/+\" matches the binding \"a\"'s `result` \"mid/{1}\", which would go round for ever: takes a filter without it",
        ]
    );
}

#[test]
fn a_binding_neither_hears_this_box_nor_speaks_where_boxes_listen() {
    for topic in ["#", "edge/#", "edge/box/binding/#", "edge/+/fleet/x", "edge/_group/press/infer/+", "+/box/infer/m"] {
        let faults = read_text(&binding("a", &format!("topic = '{topic}'\nresult = 'elsewhere'"))).unwrap_err();
        let says = "on which this box speaks or takes requests itself: takes a filter without them";
        assert!(faults.iter().any(|fault| fault.contains(says)), "{topic}: {faults:?}");
    }
    assert!(read_text(&binding("a", "topic = 'edge/other/binding/#'")).is_ok(), "another box's");
    for (more, topic) in [
        ("home_assistant = 'on'", "homeassistant/#"),
        ("home_assistant = 'remove'", "homeassistant/sensor/+/+/config"),
        ("[sparkplug]\ngroup = 'g'", "spBv1.0/#"),
        ("[sparkplug]\ngroup = 'g'", "spBv1.0/g/DDATA/+/+"),
    ] {
        let text = format!("{MQTT}{more}\n{}", binding("a", &format!("topic = '{topic}'")));
        let faults = read_on(&Machine::default(), &text).unwrap_err();
        assert!(faults.iter().any(|fault| fault.contains("on which this box speaks")), "{topic}: {faults:?}");
        assert!(read_text(&binding("a", &format!("topic = '{topic}'"))).is_ok(), "{topic}");
    }
    for result in ["edge/box/infer/x", "edge/{1}/infer/x", "{prefix}/{node}/available", "edge/_group/g/infer/m"] {
        let faults = read_text(&binding("a", &format!("topic = 'a/+'\nresult = '{result}'"))).unwrap_err();
        assert!(faults[0].contains("where boxes take requests or speak of themselves"), "{result}: {faults:?}");
    }
}

#[test]
fn values_of_two_sources_or_bindings_never_have_one_topic() {
    for (lines, missing) in [
        ("topic = 'cam/+/+'\nflat.topic = 'plc/{field}'", Some("{1} and {2}")),
        ("topic = 'cam/+/+'\nflat.topic = 'plc/{1}/{field}'", Some("{2}")),
        ("topic = 'cam/+/+'\nflat.topic = 'plc/{source}/{field}'", None),
        ("topic = 'cam/+/+'\nsource_name = '{1}'\nflat.topic = 'plc/{1}/{field}'", None),
        ("topic = 'cam/7'\nflat.topic = 'plc/{field}'", None),
        ("folder = '/srv/in'\npattern = 'cam*-*.jpg'\nflat.topic = 'plc/{field}'", None),
        ("folder = '/srv/in'\npattern = 'cam*-*.jpg'\nsource_name = '{1}'\nflat.topic = 'plc/{field}'", Some("{1}")),
    ] {
        let found = read_text(&binding("a", lines));
        let says = missing.map(|missing| {
            format!("gives the values of all sources the same topics: takes {{source}} or {missing} in it")
        });
        match says {
            None => assert!(found.is_ok(), "{lines}: {found:?}"),
            Some(says) => assert!(found.unwrap_err()[0].ends_with(&says), "{lines}"),
        }
    }
    for lines in [
        "topic = 'cam/+/+'\nsource_name = '{1}'\nflat.topic = 'p/{1}/{2}/{field}'",
        "folder = '/srv/in'\nflat.topic = 'p/{1}/{field}'",
    ] {
        let faults = read_text(&binding("a", lines)).unwrap_err();
        assert!(faults.len() == 1 && faults[0].contains("which is no part of the source's name"), "{faults:?}");
    }
    let two = |one: &str, other: &str| {
        binding("a", &format!("topic = 'cam/+'\n{one}")) + &binding("b", &format!("topic = 'label/+'\n{other}"))
    };
    let values = "flat.topic = 'plc/{1}/{field}'";
    for (one, other, is_taken) in [
        (values, values, false),
        (values, "result = 'plc/{1}/ok'", false),
        ("result = 'plc/{1}/ok'", values, false),
        (values, "result = 'plc/{1}/result'", true),
        (values, "flat.topic = 'plc/{1}/{field}'\nflat.fields = ['text']", false),
        (
            "flat.topic = 'plc/{1}/{field}'\nflat.fields = ['class']",
            "flat.topic = 'plc/{1}/{field}'\nflat.fields = ['text']",
            true,
        ),
        (values, "flat.topic = 'plc/{binding}/{1}/{field}'", true),
        ("result = 'all/{1}'", "result = 'all/{1}'", true),
    ] {
        let found = read_text(&two(one, other));
        assert_eq!(found.is_ok(), is_taken, "{one} {other}: {found:?}");
        if let Err(faults) = found {
            assert!(
                faults.len() == 1
                    && faults[0].starts_with("e: binding \"b\"")
                    && faults[0].contains("one would write over the other"),
                "{faults:?}"
            );
        }
    }
}

#[test]
fn two_bindings_do_not_take_each_others_files() {
    let two = |one: &str, other: &str| binding("a", one) + &binding("b", other);
    for (one, other, is_taken) in [
        ("folder = '/srv/in'", "folder = '/srv/in/'", false),
        ("folder = '/srv/in'", "folder = '/srv/./in'\npattern = 'a*'", false),
        ("folder = '/srv/in'\npattern = 'b*'", "folder = '/srv/in'\npattern = 'a*'", true),
        ("folder = '/srv/in'", "folder = '/srv/other'", true),
    ] {
        let found = read_text(&two(one, other));
        assert_eq!(found.is_ok(), is_taken, "{one} {other}: {found:?}");
        if let Err(faults) = found {
            assert!(faults.len() == 1 && faults[0].contains("gives its files to the binding \"a\""), "{faults:?}");
        }
    }
}

#[test]
fn filters_that_overlap_are_the_same_or_refused() {
    let two = |one: &str, other: &str| {
        binding("a", &format!("topic = '{one}'")) + &binding("b", &format!("topic = '{other}'"))
    };
    assert_eq!(read_text(&two("camera/+/image", "camera/+/image")).unwrap().len(), 2);
    assert_eq!(read_text(&two("camera/+/image", "camera/+/depth")).unwrap().len(), 2);
    for (one, other) in [("camera/+/image", "camera/7/+"), ("a/#", "a"), ("a", "$share/g/a")] {
        let faults = read_text(&two(one, other)).unwrap_err();
        let says = format!(
            "e: binding \"b\": topic: {other:?} and {one:?} of the binding \"a\" match the same topics and are not the same"
        );
        assert!(faults.len() == 1 && faults[0].starts_with(&says), "{faults:?}");
    }
}

#[test]
fn bindings_need_a_broker_names_of_their_own_and_an_end() {
    let faults = read_on(&Machine::default(), &binding("a", "topic = 'x'")).unwrap_err();
    assert_eq!(faults, ["e: binding \"a\": needs a broker for its answers: set `mqtt.host`"]);
    let faults = read_text(&(binding("a", "topic = 'x'") + &binding("a", "topic = 'y'"))).unwrap_err();
    assert_eq!(faults, ["e: binding \"a\": name: another one has it too, in e: takes a name of its own"]);
    let many: String =
        (0..=MOST).map(|number| binding(&format!("b{number}"), &format!("topic = 't/{number}'"))).collect();
    assert_eq!(read_text(&many).unwrap_err(), ["binding: there are 65: takes at most 64"]);
    let faults = read_text("[[binding]]\n[[binding]]\nname = 'x y'\nmodel = 'm'\ntopic = 'a'").unwrap_err();
    let parts = [
        "binding 1: name: missing",
        "binding 1: model: missing",
        "binding 1: has no source",
        "binding 2: name: \"x y\"",
    ];
    assert!(
        faults.len() == 4 && parts.iter().all(|part| faults.iter().any(|fault| fault.contains(part))),
        "{faults:#?}"
    );
}

#[test]
fn a_change_of_a_binding_waits_for_a_restart_and_is_told() {
    let config = |text: &str| {
        let mut values = Values::default();
        values.add(Path::new("e"), &format!("{MQTT}{text}"));
        validate(values, &Machine::default()).unwrap()
    };
    let (one, other) = (config(&binding("a", "topic = 'x'")), config(&binding("a", "topic = 'y'")));
    assert_eq!((one.pending(&one), one.pending(&other)), (Vec::new(), vec!["binding".to_owned()]));
    assert_eq!(config("").pending(&one), ["binding"]);
}

#[test]
fn the_credential_of_a_camera_is_looked_at_and_never_shown() {
    let machine =
        Machine { mode: |_| Some(0o644), secret: |_, _| Some("takes USER:PASSWORD".into()), ..Machine::default() };
    let text = binding("a", "snapshot = 'http://cam/1'\ncredential = '/etc/cam'");
    let faults = read_on(&machine, &format!("{MQTT}{text}")).unwrap_err();
    assert!(faults.len() == 2 && faults[0].contains("open to every user (mode 0644)"), "{faults:?}");
    assert!(faults[1].ends_with("credential: takes USER:PASSWORD"), "{faults:?}");
    let faults = read_text(&binding("a", "snapshot = 'http://cam/1'\ncredential = 5")).unwrap_err();
    assert!(faults[0].contains("credential: it is not accepted"), "{faults:?}");
}

proptest! {
    #[test]
    fn every_source_of_a_binding_has_a_name_that_scada_takes(captures in prop::collection::vec("\\PC{0,40}", 0..3)) {
        let binding = one("topic = 'x/+/#'");
        let captures: Vec<&str> = captures.iter().map(String::as_str).collect();
        prop_assert!(tag::is_name(&binding.source(&captures, "box", "edge")));
    }
}

#[test]
fn answers_go_to_no_broker_that_is_farther_than_their_frames_may() {
    let on_premises = |lines: &str| {
        let text = format!("[mqtt]\nhost = 'broker'\n{}", binding("a", lines));
        read_on(&Machine::default(), &text)
    };
    for (lines, taken) in [
        ("folder = '/srv/in'", false),
        ("folder = '/srv/in'\ndata_class = 'regulated'", false),
        ("folder = '/srv/in'\ndata_class = 'internal'", true),
        ("device = '/dev/video0'\ndata_class = 'public'", true),
        // The broker has seen these already.
        ("topic = 'camera/+/image'", true),
    ] {
        let found = on_premises(lines);
        assert_eq!(found.is_ok(), taken, "{lines}: {found:?}");
        if let Err(faults) = found {
            assert!(
                faults.len() == 1 && faults[0].contains("regulated") && faults[0].contains("premises"),
                "{faults:?}"
            );
        }
    }
}
