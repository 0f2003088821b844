//! Topic filters of bindings: which texts are filters, which topics they match, and what each wildcard stood for. Pure; must not
//! know what is done with a topic.

/// The protocol's limit of a filter or topic, in bytes.
pub const MOST_BYTES: usize = 65_535;
const SHARE: &str = "$share/";

/// A topic filter, perhaps one of a shared subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// As it is subscribed to.
    text: String,
    /// Where the filter itself begins in `text`.
    start: usize,
    levels: Vec<Level>,
}

/// One level of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Level {
    Exactly(String),
    /// `+`: one level, which may be empty.
    One,
    /// `#`: this level and all below, or none at all.
    Rest,
}

/// Why a text is no filter of a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterFault {
    #[error("it is empty")]
    Empty,
    #[error("it is longer than {MOST_BYTES} bytes")]
    Long,
    #[error("it holds a control character")]
    Control,
    #[error("`+` and `#` stand alone between slashes, `#` last")]
    Wildcard,
    #[error("it starts with `$`: such topics are the broker's own")]
    Dollar,
    #[error("a shared subscription is $share/GROUP/FILTER, and the group has neither wildcard nor slash")]
    Share,
}

impl Filter {
    /// Reads a filter, or `$share/GROUP/FILTER`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Filter, FilterFault> {
        if text.len() > MOST_BYTES {
            return Err(FilterFault::Long);
        }
        if text.chars().any(char::is_control) {
            return Err(FilterFault::Control);
        }
        let start = match text.strip_prefix(SHARE) {
            Some(shared) => match shared.split_once('/') {
                Some((group, _)) if !group.is_empty() && !group.contains(['+', '#']) => SHARE.len() + group.len() + 1,
                _ => return Err(FilterFault::Share),
            },
            None => 0,
        };
        let filter = text.get(start..).unwrap_or_default();
        if filter.is_empty() {
            return Err(FilterFault::Empty);
        }
        if filter.starts_with('$') {
            return Err(FilterFault::Dollar);
        }
        Ok(Filter { text: text.to_owned(), start, levels: levels(filter)? })
    }

    /// As it is subscribed to.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The filter itself, without the group of a shared subscription.
    pub fn bare(&self) -> &str {
        self.text.get(self.start..).unwrap_or_default()
    }

    /// Whose turn it may be besides this box's, if the subscription is shared.
    pub fn group(&self) -> Option<&str> {
        self.text.get(SHARE.len()..self.start.checked_sub(1)?)
    }

    /// What its levels are.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// How many wildcards it has.
    pub fn wildcards(&self) -> usize {
        self.levels.iter().filter(|level| !matches!(level, Level::Exactly(_))).count()
    }

    /// Whether its last wildcard is `#`.
    pub fn has_rest(&self) -> bool {
        self.levels.last() == Some(&Level::Rest)
    }

    /// Whether it matches this topic.
    pub fn matches(&self, topic: &str) -> bool {
        self.captures(topic).is_some()
    }

    /// What each wildcard stands for in this topic, in order: `#` for all that is left, slashes and all, or for nothing.
    /// `None` if the topic does not match.
    pub fn captures<'t>(&self, topic: &'t str) -> Option<Vec<&'t str>> {
        if topic.is_empty() || topic.starts_with('$') {
            return None;
        }
        let mut captures = Vec::new();
        let mut left = Some(topic);
        for level in &self.levels {
            if *level == Level::Rest {
                captures.push(left.unwrap_or_default());
                return Some(captures);
            }
            let (this, below) = match left?.split_once('/') {
                Some((this, below)) => (this, Some(below)),
                None => (left?, None),
            };
            match level {
                Level::Exactly(wanted) if wanted != this => return None,
                Level::Exactly(_) => {}
                Level::One | Level::Rest => captures.push(this),
            }
            left = below;
        }
        left.is_none().then_some(captures)
    }

    /// Whether some topic matches both.
    pub fn overlaps(&self, other: &Filter) -> bool {
        meet(&self.levels, &other.levels)
    }
}

fn levels(filter: &str) -> Result<Vec<Level>, FilterFault> {
    let mut levels = Vec::new();
    for part in filter.split('/') {
        if levels.last() == Some(&Level::Rest) {
            return Err(FilterFault::Wildcard);
        }
        levels.push(match part {
            "+" => Level::One,
            "#" => Level::Rest,
            part if part.contains(['+', '#']) => return Err(FilterFault::Wildcard),
            part => Level::Exactly(part.to_owned()),
        });
    }
    Ok(levels)
}

fn meet(mut one: &[Level], mut other: &[Level]) -> bool {
    loop {
        match (one, other) {
            ([], []) | ([Level::Rest, ..], _) | (_, [Level::Rest, ..]) => return true,
            ([], [_, ..]) | ([_, ..], []) => return false,
            ([Level::Exactly(a), ..], [Level::Exactly(b), ..]) if a != b => return false,
            ([_, one_below @ ..], [_, other_below @ ..]) => (one, other) = (one_below, other_below),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_wildcard_says_what_it_stood_for() {
        for (filter, topic, captures) in [
            ("camera/+/image", "camera/7/image", Some(vec!["7"])),
            ("camera/+/image", "camera//image", Some(vec![""])),
            ("camera/+/image", "camera/7/8/image", None),
            ("+/+", "a/b", Some(vec!["a", "b"])),
            ("a/#", "a", Some(vec![""])),
            ("a/#", "a/b/c", Some(vec!["b/c"])),
            ("a/#", "ab", None),
            ("#", "a/b", Some(vec!["a/b"])),
            ("#", "$SYS/x", None),
            ("+/#", "a", Some(vec!["a", ""])),
            ("$share/g/a/+", "a/b", Some(vec!["b"])),
            ("a/b", "a/b", Some(vec![])),
            ("a/b", "a/b/c", None),
            ("a/+", "a", None),
        ] {
            assert_eq!(Filter::parse(filter).unwrap().captures(topic), captures, "{filter} {topic}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused_with_its_reason() {
        for (text, fault) in [
            ("", FilterFault::Empty),
            ("a/b+", FilterFault::Wildcard),
            ("a/#/b", FilterFault::Wildcard),
            ("a#", FilterFault::Wildcard),
            ("$SYS/#", FilterFault::Dollar),
            ("$share/g/$SYS/#", FilterFault::Dollar),
            ("$share/g", FilterFault::Share),
            ("$share//a", FilterFault::Share),
            ("$share/g+/a", FilterFault::Share),
            ("$share/g/", FilterFault::Empty),
            ("a\0b", FilterFault::Control),
        ] {
            assert_eq!(Filter::parse(text), Err(fault), "{text:?}");
        }
        assert_eq!(Filter::parse(&"x".repeat(MOST_BYTES + 1)), Err(FilterFault::Long));
        let shared = Filter::parse("$share/press/line/+").unwrap();
        assert_eq!((shared.group(), shared.bare(), shared.as_str()), (Some("press"), "line/+", "$share/press/line/+"));
        assert_eq!(Filter::parse("line/+").unwrap().group(), None);
    }

    const LEVEL: [&str; 4] = ["a", "b", "", "c"];

    fn topic() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(&LEVEL[..]), 1..5).prop_map(|levels| levels.join("/"))
    }

    fn filter() -> impl Strategy<Value = Filter> {
        let level = prop::sample::select(&["a", "b", "", "+", "+"][..]);
        (prop::collection::vec(level, 0..4), any::<bool>()).prop_filter_map("empty", |(mut levels, rest)| {
            if rest {
                levels.push("#");
            }
            Filter::parse(&levels.join("/")).ok()
        })
    }

    proptest! {
        #[test]
        fn a_filter_matches_as_the_protocol_says(filter in filter(), topic in topic()) {
            let wanted = !topic.is_empty() && plainly(filter.bare(), &topic);
            prop_assert_eq!(filter.matches(&topic), wanted);
        }

        #[test]
        fn captures_put_back_for_their_wildcards_give_the_topic(filter in filter(), topic in topic()) {
            if let Some(captures) = filter.captures(&topic) {
                prop_assert_eq!(captures.len(), filter.wildcards());
                let mut captures = captures.into_iter();
                let again: Vec<String> = filter.levels().iter().map(|level| match level {
                    Level::Exactly(text) => text.clone(),
                    Level::One | Level::Rest => captures.next().unwrap().to_owned(),
                }).collect();
                let again = again.join("/");
                prop_assert!(again == topic || again.strip_suffix('/') == Some(topic.as_str()), "{} {}", again, topic);
            }
        }

        #[test]
        fn two_filters_that_match_one_topic_overlap(one in filter(), other in filter(), topic in topic()) {
            prop_assert_eq!(one.overlaps(&other), other.overlaps(&one));
            if one.matches(&topic) && other.matches(&topic) {
                prop_assert!(one.overlaps(&other));
            }
        }
    }

    /// The rule of the protocol, level by level.
    fn plainly(filter: &str, topic: &str) -> bool {
        let mut levels = topic.split('/');
        for wanted in filter.split('/') {
            if wanted == "#" {
                return true;
            }
            match levels.next() {
                Some(level) if wanted == "+" || wanted == level => {}
                _ => return false,
            }
        }
        levels.next().is_none()
    }
}
