//! What rules say together, and that no rule takes back what another one forbids.

use proptest::prelude::*;

use super::super::rules::{Glob, SourceMatch};
use super::*;

const BUS: Source<'static> = Source::Bus { uid: 990 };

fn number(name: &str) -> Option<SiteId> {
    ["a", "b", "c"].iter().position(|known| *known == name).map(|place| SiteId(u8::try_from(place).unwrap()))
}

fn set(names: &[&str]) -> Sites {
    names.iter().filter_map(|name| number(name)).collect()
}

fn ask(model: &'static str, class: DataClass) -> Ask<'static> {
    Ask { model, task: "chat", source: BUS, class }
}

fn rule(name: &str, when: When, says: Says) -> Rule {
    Rule { name: name.into(), when, says }
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn for_model(pattern: &str) -> When {
    When { models: vec![Glob::new(pattern).unwrap()], ..When::default() }
}

fn days(days: u16) -> Demands {
    Demands { retention_days: Some(days), ..Demands::default() }
}

#[test]
fn a_rule_speaks_of_a_request_that_each_of_its_matches_is_for() {
    let topic = SourceMatch::Topic("plant/#".into());
    let user = SourceMatch::User { uid: 990, text: "bus:uid=990".into() };
    for (when, expected) in [
        (When::default(), true),
        (for_model("oc?"), true),
        (for_model("text-*"), false),
        (When { tasks: names(&["chat"]), ..for_model("ocr") }, true),
        (When { tasks: names(&["tensors"]), ..for_model("ocr") }, false),
        (When { sources: vec![topic.clone()], ..When::default() }, false),
        (When { sources: vec![topic, user], ..When::default() }, true),
        (When { classes: vec![DataClass::Regulated], ..When::default() }, false),
        (When { classes: vec![DataClass::Regulated, DataClass::Internal], ..When::default() }, true),
    ] {
        assert_eq!(when.matches(&ask("ocr", DataClass::Internal)), expected, "{when:?}");
    }
}

#[test]
fn the_strictest_holds_for_what_is_forbidden_and_the_first_for_the_rest() {
    let check = |score| Some(Check { min_score: Ratio::new(score), ..Check::default() });
    let first = Says {
        ceiling: Some(DataClass::Public),
        sites: Some(names(&["a", "b"])),
        demands: days(30),
        objective: Some(Objective::FastestWithinBudget),
        check: check(0.5),
        redact: Some(DataClass::Public),
        sample: Ratio::new(0.01),
        ..Says::default()
    };
    let second = Says {
        ceiling: Some(DataClass::Internal),
        sites: Some(names(&["b", "c"])),
        demands: Demands { no_training: true, ..days(7) },
        objective: Some(Objective::CheapestWithinSlo),
        hedge: Some(false),
        check: check(0.9),
        escalate_to: Some(names(&["c"])),
        difficulty: Some(true),
        sample: Ratio::new(0.2),
        ..Says::default()
    };
    let unheard = Says { ceiling: Some(DataClass::Regulated), not_sites: names(&["b"]), ..Says::default() };
    let rules = [
        rule("first", When::default(), first),
        rule("unheard", for_model("other"), unheard),
        rule("second", for_model("o*"), second),
    ];
    let rules = Rules::new(&rules, number);
    let said = rules.terms(&ask("ocr", DataClass::Public), Objective::CheapestWithinSlo);
    assert_eq!((said.ceiling, said.allowed), (DataClass::Internal, set(&["b"])));
    assert_eq!(said.demands, Demands { no_training: true, ..days(7) });
    assert_eq!((said.objective, said.may_hedge), (Objective::FastestWithinBudget, false));
    assert_eq!((said.check, said.escalate_to, said.difficulty), (check(0.5), Some(set(&["c"])), true));
    assert_eq!((said.redact, said.sample.get()), (Some(DataClass::Internal), 0.01));
    let told: Vec<String> = rules.told(said.spoke).map(|(name, says)| format!("{name}: {says}")).collect();
    assert_eq!(told.len(), 2);
    assert_eq!(
        told[1],
        "second: ceiling = \"internal\", sites = [\"b\", \"c\"], retention_days = 7, no_training = true, \
         objective = \"cheapest_within_slo\", hedge = false, check.min_score = 0.9, check.schema = false, \
         check.truncation = false, escalate_to = [\"c\"], difficulty = true, sample = 0.2"
    );
}

#[test]
fn a_request_that_no_rule_speaks_of_may_go_where_its_class_lets_it() {
    let rules = Rules::new(&[rule("r", for_model("x"), Says { hedge: Some(false), ..Says::default() })], number);
    let said = rules.terms(&ask("ocr", DataClass::Public), Objective::FastestWithinBudget);
    assert_eq!(said, Said::nothing(Objective::FastestWithinBudget));
    assert!(said.spoke.is_empty() && rules.told(said.spoke).next().is_none());
}

#[test]
fn an_empty_list_of_sites_keeps_a_request_here() {
    let rules = Rules::new(&[rule("r", When::default(), Says { sites: Some(Vec::new()), ..Says::default() })], number);
    assert!(rules.terms(&ask("ocr", DataClass::Public), Objective::default()).allowed.is_empty());
}

#[test]
fn a_site_that_is_gone_is_in_no_list() {
    let says = Says { sites: Some(names(&["gone"])), not_sites: names(&["gone"]), ..Says::default() };
    let rules = Rules::new(&[rule("r", When::default(), says)], number);
    assert!(rules.terms(&ask("ocr", DataClass::Public), Objective::default()).allowed.is_empty());
}

#[test]
fn terms_become_stricter_only() {
    let mut terms = Terms {
        ceiling: DataClass::Internal,
        allowed: set(&["a"]),
        capable: set(&["a", "b"]),
        demands: days(7),
        ..Terms::default()
    };
    let said = Said {
        allowed: set(&["a", "b"]),
        demands: days(30),
        escalate_to: Some(set(&["b", "c"])),
        ..Said::nothing(Objective::default())
    };
    said.put(&mut terms);
    assert_eq!((terms.ceiling, terms.allowed, terms.demands), (DataClass::Internal, set(&["a"]), days(7)));
    assert_eq!((terms.stronger, terms.may_hedge, terms.checked), (set(&["b"]), true, false));
}

fn class() -> impl Strategy<Value = DataClass> {
    proptest::sample::select(vec![DataClass::Regulated, DataClass::Internal, DataClass::Public])
}

fn some_sites() -> impl Strategy<Value = Vec<String>> {
    proptest::sample::subsequence(names(&["a", "b", "c"]), 0..=3)
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let when = ("(o|ocr|oc[?]|[*]|x)", proptest::option::of(class()));
    let says = (
        proptest::option::of(class()),
        proptest::option::of(some_sites()),
        some_sites(),
        proptest::option::of(0_u16..100),
        any::<bool>(),
        proptest::option::of(class()),
    );
    (when, says).prop_map(|((model, class), (ceiling, sites, not_sites, retention_days, no_training, redact))| {
        let when = When { classes: class.into_iter().collect(), ..for_model(&model) };
        let demands = Demands { retention_days, no_training, ..Demands::default() };
        rule("r", when, Says { ceiling, sites, not_sites, demands, redact, ..Says::default() })
    })
}

proptest! {
    #[test]
    fn one_rule_more_never_lets_a_request_go_farther(
        mut rules in proptest::collection::vec(any_rule(), 0..8), more in any_rule(), class in class(), place in any::<usize>()
    ) {
        let ask = ask("ocr", class);
        let said = |rules: &[Rule]| Rules::new(rules, number).terms(&ask, Objective::default());
        let before = said(&rules);
        rules.insert(place % (rules.len() + 1), more.clone());
        let after = said(&rules);
        prop_assert!(after.ceiling <= before.ceiling && after.allowed.without(before.allowed).is_empty());
        prop_assert_eq!(after.demands, before.demands.and(&after.demands));
        prop_assert!(after.redact.is_none_or(|class| class <= after.ceiling));
        if more.when.matches(&ask) {
            prop_assert!(more.says.ceiling.is_none_or(|ceiling| after.ceiling <= ceiling));
            let kept = more.says.not_sites.iter().filter_map(|name| number(name)).all(|site| !after.allowed.has(site));
            prop_assert!(kept);
        } else {
            prop_assert_eq!((after.ceiling, after.allowed, after.demands), (before.ceiling, before.allowed, before.demands));
        }
    }

    #[test]
    fn the_order_of_rules_does_not_change_what_is_forbidden(rules in proptest::collection::vec(any_rule(), 0..8), class in class()) {
        let ask = ask("ocr", class);
        let said = |rules: &[Rule]| {
            let said = Rules::new(rules, number).terms(&ask, Objective::default());
            (said.ceiling, said.allowed, said.demands)
        };
        let reversed: Vec<Rule> = rules.iter().rev().cloned().collect();
        prop_assert_eq!(said(&rules), said(&reversed));
    }
}
