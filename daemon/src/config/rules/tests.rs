//! What rules may say, and what is said of those that may not.

use std::path::Path;

use edge_core::Zone;

use super::super::policy::{PolicyFile, read_policy_text};
use super::super::validate::Machine;
use super::*;

const SITES: &str = "[[site]]\nname = 'near'\nzone = 'premises'\nprotocol = 'oip'\nurl = 'https://h'\nmodels = { ocr = 'x' }\n\
    [[site]]\nname = 'far'\nzone = 'cloud'\nprotocol = 'openai'\nurl = 'https://h'\nmodels = { chat = 'x' }\n";

fn read_on(machine: &Machine, text: &str) -> Result<PolicyFile, Vec<String>> {
    let around = Around { machine, node: "box", broker: Some(Zone::Premises) };
    let words = |faults: Vec<Fault>| faults.iter().map(ToString::to_string).collect();
    read_policy_text(Path::new("e"), text, &around).map_err(words)
}

fn machine() -> Machine {
    Machine {
        user_id: |name| (name == "scada").then_some(990),
        models: Some(vec!["text-line".into()]),
        ..Machine::default()
    }
}

fn rule(lines: &str) -> String {
    format!("{SITES}[[rule]]\nname = 'r'\n{lines}\n")
}

#[test]
fn a_full_rule_is_taken_word_for_word() {
    let text = format!(
        "{}[routing]\ndifficulty_model = '/m'\n",
        rule(
            "models = ['ocr', 'text-*']\ntasks = ['chat', 'classification']\n\
             sources = ['bus:user=scada', 'mqtt:edge/+/infer/#']\nclasses = ['internal', 'public']\nceiling = 'internal'\n\
             sites = ['near', 'far']\nnot_sites = []\njurisdiction = ['DE', 'EU']\nretention_days = 0\nno_training = true\n\
             objective = 'fastest_within_budget'\nhedge = false\n\
             check = { min_score = 0.5, min_margin = 0.2, max_repetition = 0.3, min_confidence = 0.6, schema = true, truncation = true }\n\
             escalate_to = ['far']\ndifficulty = true\nredact = { to = 'internal' }\nsample = 0.02"
        )
    );
    let rule = read_on(&machine(), &text).unwrap().rules.remove(0);
    assert_eq!(rule.when.models.iter().map(Glob::as_str).collect::<Vec<_>>(), ["ocr", "text-*"]);
    assert_eq!(rule.when.classes, [DataClass::Internal, DataClass::Public]);
    assert_eq!(
        rule.when.sources,
        [SourceMatch::User { uid: 990, text: "bus:user=scada".into() }, SourceMatch::Topic("edge/+/infer/#".into())]
    );
    assert_eq!(
        rule.says.to_string(),
        "ceiling = \"internal\", sites = [\"near\", \"far\"], jurisdiction = [\"DE\", \"EU\"], retention_days = 0, no_training = true, \
         objective = \"fastest_within_budget\", hedge = false, check.min_score = 0.5, check.min_margin = 0.2, \
         check.max_repetition = 0.3, check.min_confidence = 0.6, check.schema = true, check.truncation = true, \
         escalate_to = [\"far\"], difficulty = true, redact.to = \"internal\", sample = 0.02"
    );
}

#[test]
fn each_value_that_is_not_accepted_is_named_with_its_range() {
    let ratio = "is not accepted: takes a number from 0 to 1";
    for (lines, says) in [
        ("models = 'ocr'", "models: \"ocr\" is not accepted: takes a list of texts".to_owned()),
        ("sources = [5]", "sources: [5] is not accepted: takes a list of texts".into()),
        ("classes = ['secret']", "classes: [\"secret\"] is not accepted: takes a list of \"regulated\" or \"internal\" or \"public\"".into()),
        ("ceiling = 'secret'", "ceiling: \"secret\" is not accepted: takes \"regulated\" or \"internal\" or \"public\"".into()),
        ("sites = 'near'", "sites: \"near\" is not accepted: takes a list of texts".into()),
        ("not_sites = 'near'", "not_sites: \"near\" is not accepted: takes a list of texts".into()),
        ("jurisdiction = 'DE'", "jurisdiction: \"DE\" is not accepted: takes a list of 1 to 8 times two capital letters of ISO 3166-1, or \"EU\"".into()),
        ("jurisdiction = ['Germany']", "jurisdiction: [\"Germany\"] is not accepted: takes a list of 1 to 8 times two capital letters of ISO 3166-1, or \"EU\"".into()),
        ("retention_days = 1.5", "retention_days: 1.5 is not accepted: takes a whole number from 0 to 36500".into()),
        ("no_training = 'yes'", "no_training: \"yes\" is not accepted: takes true or false".into()),
        ("objective = 'cheap'", "objective: \"cheap\" is not accepted: takes \"cheapest_within_slo\" or \"fastest_within_budget\"".into()),
        ("hedge = 0", "hedge: 0 is not accepted: takes true or false".into()),
        ("check = { min_score = 2 }", format!("check.min_score: 2 {ratio}")),
        ("check = { min_margin = -0.1 }", format!("check.min_margin: -0.1 {ratio}")),
        ("check = { max_repetition = nan }", format!("check.max_repetition: nan {ratio}")),
        ("check = { min_confidence = 'high' }", format!("check.min_confidence: \"high\" {ratio}")),
        ("check = { schema = 1 }", "check.schema: 1 is not accepted: takes true or false".into()),
        ("check = { truncation = 1 }", "check.truncation: 1 is not accepted: takes true or false".into()),
        ("check = true", "check: takes a table of keys".into()),
        ("escalate_to = true", "escalate_to: true is not accepted: takes a list of texts".into()),
        ("difficulty = 1", "difficulty: 1 is not accepted: takes true or false".into()),
        ("redact = { to = 'regulated' }", "redact.to: \"regulated\" is not accepted: takes \"internal\" or \"public\"".into()),
        ("sample = 0.21", "sample: 0.21 is not accepted: takes a number from 0 to 0.2".into()),
        ("site = ['near']", "site: unknown key; did you mean `sites`?".into()),
        ("check = { min_scores = 1 }", "check.min_scores: unknown key; did you mean `check.min_score`?".into()),
        ("tasks = ['ocr']", format!("tasks: [\"ocr\"] is not accepted: takes {}", super::super::keys::Kind::Words(TASKS).accepts())),
    ] {
        let faults = read_on(&machine(), &rule(lines)).unwrap_err();
        assert!(faults.contains(&format!("e: rule \"r\": {says}")), "{lines}: {faults:#?}");
    }
}

#[test]
fn rules_between_keys_hold_and_each_breach_is_the_only_fault() {
    for (lines, says) in [
        (
            "models = ['ocr']",
            "says nothing: takes at least one of ceiling, sites, not_sites, jurisdiction, retention_days, no_training, objective, hedge, check.min_score, check.min_margin, check.max_repetition, check.min_confidence, check.schema, check.truncation, escalate_to, difficulty, redact.to, sample",
        ),
        ("ceiling = 'public'\nmodels = []", "models: an empty list matches nothing: leave the key out to match all"),
        ("ceiling = 'public'\ntasks = []", "tasks: an empty list matches nothing: leave the key out to match all"),
        ("ceiling = 'public'\nsources = []", "sources: an empty list matches nothing: leave the key out to match all"),
        ("ceiling = 'public'\nclasses = []", "classes: an empty list matches nothing: leave the key out to match all"),
        (
            "ceiling = 'public'\nmodels = ['a/b']",
            "models: \"a/b\" is no pattern of names: takes 1 to 64 letters, digits, `_`, `-` and `.`, `*` for any of them, `?` for one",
        ),
        (
            "ceiling = 'public'\nmodels = ['octopus']",
            "models: \"octopus\": no model of this box or of a site has this name",
        ),
        (
            "ceiling = 'public'\nsources = ['bus:user=joe']",
            "sources: \"bus:user=joe\": this box has no user \"joe\": takes \"bus\", \"bus:user=NAME\", \"bus:uid=NUMBER\", \"mqtt\" or \"mqtt:TOPIC FILTER\"",
        ),
        (
            "ceiling = 'public'\nsources = ['mqtt:a/#/b']",
            "sources: \"mqtt:a/#/b\": \"a/#/b\" is no topic filter: `+` and `#` stand alone between slashes, `#` last",
        ),
        (
            "ceiling = 'public'\nsources = ['http']",
            "sources: \"http\" is no source: takes \"bus\", \"bus:user=NAME\", \"bus:uid=NUMBER\", \"mqtt\" or \"mqtt:TOPIC FILTER\"",
        ),
        ("sites = ['moon']", "sites: \"moon\" is no site: there are far, near"),
        ("not_sites = ['moon']", "not_sites: \"moon\" is no site: there are far, near"),
        ("sample = 0.1\nescalate_to = ['moon']", "escalate_to: \"moon\" is no site: there are far, near"),
        ("sites = ['near']\nnot_sites = ['near']", "not_sites: \"near\" is in `sites` too: takes it in one of them"),
        (
            "escalate_to = ['near']",
            "escalate_to: set without `check`, `difficulty` or `sample`, which say what is asked for again",
        ),
        ("difficulty = true", "difficulty: true, but there is no model to ask: set `routing.difficulty_model`"),
        (
            "redact = { to = 'public' }\nceiling = 'internal'",
            "redact.to: \"public\" is freer than this rule's `ceiling` \"internal\": takes that or a stricter class",
        ),
        (
            "redact = { to = 'public' }\n[detect]\nenabled = false",
            "redact.to: nothing is found to be taken out while `detect.enabled` is false",
        ),
    ] {
        let faults = read_on(&machine(), &rule(lines)).unwrap_err();

        assert_eq!(faults, [format!("e: rule \"r\": {says}")], "{lines}");
    }
    let twice = format!("{}[[rule]]\nname = 'r'\nhedge = true\n", rule("hedge = true"));
    assert_eq!(
        read_on(&machine(), &twice).unwrap_err(),
        ["e: rule \"r\": name: another one has it too, in e: takes a name of its own"]
    );
    assert_eq!(
        read_on(&machine(), "[[rule]]\nhedge = true").unwrap_err(),
        ["e: rule 1: name: missing: takes 1 to 64 letters, digits, `_`, `-` and `.`"]
    );
    let many = |count: usize| -> String {
        (0..count).map(|place| format!("[[rule]]\nname = 'r{place}'\nhedge = true\n")).collect()
    };
    assert_eq!(read_on(&machine(), &many(64)).unwrap().rules.len(), 64);
    assert_eq!(read_on(&machine(), &many(65)).unwrap_err(), ["rule: there are 65: takes at most 64"]);
}

#[test]
fn a_model_that_nobody_has_is_a_fault_where_all_are_known_and_told_of_elsewhere() {
    let elsewhere = Machine { models: None, ..machine() };
    for (model, here, there) in [
        ("ocr", Some(0), Some(0)),
        ("text-line", Some(0), Some(1)),
        ("text-*", Some(0), Some(1)),
        ("new-*", Some(1), Some(1)),
        ("new", None, Some(1)),
    ] {
        let text = rule(&format!("ceiling = 'public'\nmodels = ['{model}']"));
        let warnings = |machine: &Machine| read_on(machine, &text).ok().map(|read| read.warnings.len());
        assert_eq!((warnings(&machine()), warnings(&elsewhere)), (here, there), "{model}");
    }
}

#[test]
fn a_rule_may_name_a_site_that_has_faults_of_its_own() {
    let text = rule("sites = ['near']").replace("zone = 'premises'", "zone = 'moon'");
    let faults = read_on(&machine(), &text).unwrap_err();
    assert!(faults.len() == 1 && faults[0].contains("zone: \"moon\""), "{faults:?}");
}

#[test]
fn the_tasks_are_those_of_bundles_and_of_language_models() {
    let bundles = edge_engine::bundle::manifest::Task::ALL.map(|task| task.as_str());
    assert_eq!(TASKS[..bundles.len()], bundles);
    assert_eq!(TASKS[bundles.len()..], ["chat", "completion"]);
}

#[test]
fn routing_and_detection_are_held_against_their_ranges() {
    for (text, says) in [
        ("[routing]\nsure = 0.4", "routing.sure: 0.4 is not accepted: takes a number from 0.5 to 0.999"),
        (
            "[routing]\nobjective = 'fast'",
            "routing.objective: \"fast\" is not accepted: takes \"cheapest_within_slo\" or \"fastest_within_budget\"",
        ),
        ("[routing]\naudit = 'no'", "routing.audit: \"no\" is not accepted: takes \"required\" or \"best_effort\""),
        (
            "[routing]\nfallback = { heat = ['cloud'] }",
            "routing.fallback.heat: [\"cloud\"] is not accepted: takes a list of \"site\" or \"here\" or \"wait\"",
        ),
        (
            "[routing]\nfallback = { heat = ['site', 'site'] }",
            "routing.fallback.heat: has a step twice: takes each of \"site\", \"here\" and \"wait\" at most once",
        ),
        ("[routing]\nfallback = { cold = [] }", "routing.fallback.cold: unknown key"),
        (
            "[routing]\nprobe_every_s = 0",
            "routing.probe_every_s: 0 is not accepted: takes a whole number from 1 to 3600",
        ),
        (
            "[routing]\ndefer_max_age_h = 0",
            "routing.defer_max_age_h: 0 is not accepted: takes a whole number from 1 to 8760",
        ),
        (
            "[detect]\nclasses = { card = 'secret' }",
            "detect.classes.card: \"secret\" is not accepted: takes \"regulated\" or \"internal\" or \"public\"",
        ),
        (
            "[detect]\npattern_classes = { badge = 'public' }",
            "detect.pattern_classes: \"badge\" is none of `detect.patterns`",
        ),
        (
            "[detect]\npatterns = { 'a b' = 'x' }",
            "detect.patterns: \"a b\": a name of a pattern is 1 to 32 of a to z, 0 to 9 and _, a letter first",
        ),
        (
            "[detect]\npatterns = { card = 'x' }",
            "detect.patterns: \"card\": this is the name of a detector that is built in",
        ),
        (
            "[detect]\npatterns = { badge = 'x' }\npattern_classes = { badge = 5 }",
            "detect.pattern_classes: { badge = 5 } is not accepted: takes a table: to each name \"regulated\" or \"internal\" or \"public\"",
        ),
    ] {
        assert_eq!(read_on(&machine(), text).unwrap_err(), [format!("e: {says}")], "{text}");
    }
}

#[test]
fn patterns_that_cannot_be_searched_for_are_all_named() {
    let long = "x".repeat(1025);
    let each = format!("[detect.patterns]\n'a b' = 'x'\nempty = ''\nlong = '{long}'\nfits = '{}'", &long[..1024]);
    assert_eq!(
        read_on(&machine(), &each).unwrap_err(),
        [
            "e: detect.patterns: \"a b\": a name of a pattern is 1 to 32 of a to z, 0 to 9 and _, a letter first",
            "e: detect.patterns: \"empty\": 0 bytes; a pattern has 1 to 1024",
            "e: detect.patterns: \"long\": 1025 bytes; a pattern has 1 to 1024",
        ]
    );
    let text = "[detect.patterns]\nahead = 'a(?=b)'\nall = 'a*'\nopen = '(a'\ngood = 'B-[0-9]{6}'";
    let faults = read_on(&machine(), text).unwrap_err();
    for name in ["ahead", "all", "open"] {
        let of_it = faults.iter().filter(|fault| fault.contains(&format!("detect.patterns: \"{name}\": "))).count();
        assert_eq!(of_it, 1, "{name}: {faults:#?}");
    }
    let many: String = (0..33).map(|place| format!("p{place} = 'x{place}y'\n")).collect();
    let faults = read_on(&machine(), &format!("[detect.patterns]\n{many}")).unwrap_err();
    assert_eq!(faults, ["e: detect.patterns: 33 patterns; at most 32 are taken"]);
}

#[test]
fn the_defaults_of_routing_are_those_of_the_core() {
    let read = read_on(&machine(), "").unwrap();
    let core = edge_core::policy::Routing {
        max_deferred: 10_000,
        max_wait: std::time::Duration::from_secs(168 * 3600),
        seed: read.routing.core.seed,
        ..Default::default()
    };
    assert_eq!((read.routing.core, read.routing.objective), (core, Objective::CheapestWithinSlo));
    assert_eq!(read.detect.classes["ip"], DataClass::Internal);
    let set =
        read_on(&machine(), "[routing.fallback]\nheat = ['wait']\nsite_down = []").unwrap().routing.core.fallbacks;
    use edge_core::fallback::{Failure, Step};
    assert_eq!(set.after(Failure::Heat).collect::<Vec<_>>(), [Step::Wait]);
    assert_eq!((set.after(Failure::SiteDown).count(), set.after(Failure::QueueFull).count()), (0, 2));
    let other = Machine { machine_id: "other".into(), ..machine() };
    assert_ne!(read_on(&other, "").unwrap().routing.core.seed, core.seed);
}
