//! What templates are taken for, what topics they give, and that no topic of theirs is missed by the search for loops.

use proptest::prelude::*;

use super::*;

const FIXED: Fixed<'static> = Fixed { binding: "sorting", model: "screws", node: "press-7", prefix: "plant/edge" };

fn names() -> Names {
    Names::of(&Filter::parse("camera/+/#").unwrap()).and(Variable::Source).and(Variable::Field)
}

fn parse(text: &str, safety: Safety) -> Result<Template, TemplateFault> {
    Template::parse(text, &names(), safety)
}

fn topic(text: &str, safety: Safety, captures: &[&str]) -> String {
    let values = Values { captures, source: "cam-1", fixed: FIXED, field: Some(Field::Score) };
    parse(text, safety).unwrap().expand(&values).unwrap()
}

#[test]
fn variables_are_replaced_by_what_they_stand_for() {
    for (text, expected) in [
        ("vision/{1}/result", "vision/7/result"),
        ("{prefix}/{node}/binding/{binding}/{source}", "plant/edge/press-7/binding/sorting/cam-1"),
        ("a/{2}/{model}/{field}", "a/left/top/screws/score"),
        ("{{1}}/{1}", "{1}/7"),
    ] {
        assert_eq!(topic(text, Safety::Topic, &["7", "left/top"]), expected, "{text}");
    }
}

#[test]
fn an_unknown_variable_is_answered_with_those_that_there_are() {
    let fault = parse("vision/{3}/x", Safety::Topic).unwrap_err().to_string();
    let known = "{1}, {2}, {binding}, {model}, {node}, {prefix}, {source}, {field}";
    assert_eq!(fault, format!("there is no variable {{3}}: takes {known}"));
    for unknown in ["{}", "{0}", "{Source}", "{ 1}", "{01}"] {
        assert!(matches!(parse(unknown, Safety::Topic), Err(TemplateFault::Unknown { .. })), "{unknown}");
    }
}

#[test]
fn what_is_no_template_is_refused_with_its_reason() {
    use TemplateFault::*;
    for (text, fault) in [
        ("", Empty),
        ("a/+/b", Wildcard),
        ("a/#", Wildcard),
        ("$SYS/a", Dollar),
        ("{1}$SYS/a", Dollar),
        ("a\n", Control),
        ("a/{1", Brace),
        ("a/1}", Brace),
    ] {
        assert_eq!(parse(text, Safety::Topic), Err(fault), "{text:?}");
    }
    assert_eq!(parse(&"x".repeat(MOST_BYTES + 1), Safety::Topic), Err(Long));
}

#[test]
fn a_template_for_scada_takes_only_names_of_tags_and_makes_values_such() {
    for (text, level) in [("line 3/{1}", "line 3"), ("a//{1}", ""), ("a/.b/c", ".b"), ("-{1}", "-x"), ("{1}/", "")] {
        assert_eq!(parse(text, Safety::Tag), Err(TemplateFault::Tag { level: level.into() }), "{text}");
    }
    let made = topic("line_3/{1}/{2}/{field}", Safety::Tag, &["cam 7", "a/b.c"]);
    let levels: Vec<&str> = made.split('/').collect();
    assert!(levels.iter().all(|level| tag::is_name(level)), "{made}");
    assert!(levels[1].starts_with("cam_7-") && levels[2] == "a" && levels[3].starts_with("b_c-"), "{made}");
}

#[test]
fn no_value_makes_a_topic_that_no_broker_takes() {
    assert_eq!(topic("{1}/x", Safety::Topic, &["$SYS", ""]), "_SYS/x");
    assert_eq!(topic("{1}", Safety::Topic, &["", ""]), "_");
    assert_eq!(topic("a/{1}", Safety::Topic, &["x/+#\0y", ""]), "a/x____y");
    let long = "x".repeat(MOST_BYTES);
    let values = Values { captures: &[&long], source: "", fixed: FIXED, field: None };
    assert_eq!(parse("a/{1}", Safety::Topic).unwrap().expand(&values), None);
}

#[test]
fn a_binding_that_would_hear_itself_is_told_from_one_that_only_looks_like_it() {
    for (filter, template, expected) in [
        ("camera/+/image", "camera/{1}/result", false),
        ("camera/+/image", "camera/{1}/{field}", false),
        ("camera/+/score", "camera/{1}/{field}", true),
        ("camera/+", "camera/{1}_result", true),
        ("camera/+", "camera/{1}/result", false),
        ("camera/#", "camera/{1}/result", true),
        ("camera/#", "{1}/result", true),
        ("camera/7/result", "{1}/7/result", true),
        ("a/b/c", "{2}/c", true),
        ("a/b/c", "{2}/d", false),
        ("a/b/c", "a{2}c", true),
        ("a/b/c", "a{1}c", false),
        ("plant/edge/+/binding/#", "{prefix}/{node}/binding/{source}", true),
        ("plant/edge/press-8/binding/#", "{prefix}/{node}/binding/{source}", false),
        ("a/#", "a", true),
        ("#", "x", true),
    ] {
        let pattern = parse(template, Safety::Topic).unwrap().pattern(&FIXED, &[Field::Score, Field::Ok]);
        assert_eq!(overlaps(&Filter::parse(filter).unwrap(), &pattern), expected, "{filter} {template}");
    }
}

fn filter() -> impl Strategy<Value = Filter> {
    let level = prop::sample::select(&["a", "b", "", "ab", "+", "+"][..]);
    (prop::collection::vec(level, 0..4), any::<bool>()).prop_filter_map("empty", |(mut levels, rest)| {
        if rest {
            levels.push("#");
        }
        Filter::parse(&levels.join("/")).ok()
    })
}

fn template() -> impl Strategy<Value = Template> {
    let piece = prop::sample::select(&["a", "b", "/", "/", "{1}", "{2}", "{source}", "{field}", "{prefix}", "{{"][..]);
    (prop::collection::vec(piece, 1..6), any::<bool>()).prop_filter_map("no template", |(pieces, is_tag)| {
        parse(&pieces.concat(), if is_tag { Safety::Tag } else { Safety::Topic }).ok()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_topic_that_a_filter_matches_is_never_missed(
        filter in filter(),
        template in template(),
        one in "[ab/$+]{0,3}",
        rest in "[ab/]{0,4}",
        source in "[ab]{1,2}",
        prefix in prop::sample::select(&["a", "a/b", "b"][..]),
    ) {
        let fixed = Fixed { prefix, ..FIXED };
        let pattern = template.pattern(&fixed, &[Field::Score, Field::Ok]);
        for field in [Field::Score, Field::Ok] {
            let values = Values { captures: &[&one, &rest], source: &source, fixed, field: Some(field) };
            let topic = template.expand(&values).unwrap();
            prop_assert!(!filter.matches(&topic) || overlaps(&filter, &pattern), "{:?} {}", template, topic);
        }
    }

    #[test]
    fn two_filters_overlap_as_patterns_and_as_filters(one in filter(), other in filter()) {
        prop_assert_eq!(overlaps(&one, &Pattern::of(&other)), one.overlaps(&other), "{:?} {:?}", one, other);
    }

    #[test]
    fn an_overlap_that_is_told_is_one(one in "[ab/]{0,4}", filter in filter()) {
        // Without gaps the answer is that of the filter itself.
        prop_assume!(!one.is_empty());
        prop_assert_eq!(overlaps(&filter, &Pattern::exactly(&one)), filter.matches(&one));
    }
}
