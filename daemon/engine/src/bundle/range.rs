//! Which versions of a part a bundle takes: ranges of semantic versions, `^1.2` above all. Pure. Builds (`+x`) do not count;
//! of a version that is not released yet (`2.0.0-rc.1`) a range takes none unless it names one of the same numbers.

use std::cmp::Ordering;

/// A version: three numbers, and what stands behind the hyphen.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version<'a> {
    numbers: [u64; 3],
    before: Option<&'a str>,
}

impl<'a> Version<'a> {
    fn parse(text: &'a str) -> Option<Version<'a>> {
        let text = text.split_once('+').map_or(text, |(text, _)| text);
        let (numbers, before) = text.split_once('-').map_or((text, None), |(numbers, word)| (numbers, Some(word)));
        let (numbers, given) = parse_numbers(numbers)?;
        (given == 3 && before != Some("")).then_some(Version { numbers, before })
    }
}

/// One to three numbers with points between them; those that are left out are 0. How many there were.
fn parse_numbers(text: &str) -> Option<([u64; 3], usize)> {
    let mut numbers = [0; 3];
    let mut given = 0;
    for part in text.split('.') {
        let digits = !part.is_empty() && part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
        *numbers.get_mut(given)? = part.parse().ok().filter(|_| digits)?;
        given += 1;
    }
    Some((numbers, given))
}

/// Which of two versions is newer. A text that is no version is older than any.
pub fn order(one: &str, other: &str) -> Ordering {
    match (Version::parse(one), Version::parse(other)) {
        (Some(one), Some(other)) => one.numbers.cmp(&other.numbers).then_with(|| before(one.before, other.before)),
        (one, other) => one.is_some().cmp(&other.is_some()),
    }
}

/// What is not released yet is older than what is.
fn before(one: Option<&str>, other: Option<&str>) -> Ordering {
    let (Some(one), Some(other)) = (one, other) else { return one.is_none().cmp(&other.is_none()) };
    let words = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (one, other) = (words(one), words(other));
    for (one, other) in one.iter().zip(&other) {
        let order = match (one.parse::<u64>(), other.parse::<u64>()) {
            (Ok(one), Ok(other)) => one.cmp(&other),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => one.cmp(other),
        };
        if order.is_ne() {
            return order;
        }
    }
    one.len().cmp(&other.len())
}

/// From this version on, and below that one if there is a bound.
struct Bounds<'a> {
    from: Version<'a>,
    below: Option<[u64; 3]>,
    /// Also the lower bound itself.
    closed: bool,
}

/// One condition: `^1.2`, `~1.2`, `=1.2.3`, `>=1.2`, `>1.2.3`, `<2`, or `1.2`, which is `^1.2`.
fn bounds(text: &str) -> Option<Bounds<'_>> {
    let signs = ["^", "~", ">=", "<", ">", "="];
    let sign = signs.into_iter().find(|sign| text.starts_with(sign)).unwrap_or_default();
    let rest = text.get(sign.len()..)?.trim_start();
    let (core, word) = rest.split_once('-').map_or((rest, None), |(core, word)| (core, Some(word)));
    let (numbers, given) = parse_numbers(core)?;
    if word.is_some() && (given < 3 || word == Some("")) {
        return None;
    }
    let [major, minor, patch] = numbers;
    // The first number above 0 may not change, nor what stands before it.
    let caret = match (major, minor, given) {
        (1.., _, _) | (0, _, 1) => [major + 1, 0, 0],
        (0, 1.., _) | (0, 0, 2) => [0, minor + 1, 0],
        (0, 0, _) => [0, 0, patch + 1],
    };
    let tilde = if given == 1 { [major + 1, 0, 0] } else { [major, minor + 1, 0] };
    let from = Version { numbers, before: word };
    let zero = Version { numbers: [0; 3], before: None };
    Some(match sign {
        "" | "^" => Bounds { from, below: Some(caret), closed: true },
        "~" => Bounds { from, below: Some(tilde), closed: true },
        "=" if given == 3 => Bounds { from, below: Some([major, minor, patch + 1]), closed: true },
        "=" => Bounds { from, below: Some(tilde), closed: true },
        ">=" => Bounds { from, below: None, closed: true },
        ">" if given == 3 => Bounds { from, below: None, closed: false },
        "<" if word.is_none() => Bounds { from: zero, below: Some(numbers), closed: true },
        _ => return None,
    })
}

/// Whether a text is a range: conditions with commas between them, all of which must hold.
pub fn is_range(text: &str) -> bool {
    text.len() <= 64 && text.split(',').count() <= 4 && text.split(',').all(|part| bounds(part.trim()).is_some())
}

/// Whether a range takes a version; no text that is none takes any.
pub fn takes(range: &str, version: &str) -> bool {
    let Some(version) = Version::parse(version) else { return false };
    let conditions: Option<Vec<Bounds<'_>>> = range.split(',').map(|part| bounds(part.trim())).collect();
    let Some(conditions) = conditions else { return false };
    let holds = |bounds: &Bounds<'_>| {
        let order = version.numbers.cmp(&bounds.from.numbers).then_with(|| before(version.before, bounds.from.before));
        let from = order.is_gt() || bounds.closed && order.is_eq();
        from && bounds.below.is_none_or(|below| version.numbers < below)
    };
    let named = |bounds: &Bounds<'_>| bounds.from.before.is_some() && bounds.from.numbers == version.numbers;
    conditions.iter().all(holds) && (version.before.is_none() || conditions.iter().any(named))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_range_takes_what_may_stand_in_for_what_it_names() {
        let cases: [(&str, &[&str], &[&str]); 13] = [
            ("^1.2", &["1.2.0", "1.2.9", "1.9.0", "1.2.0+build"], &["1.1.9", "2.0.0", "0.9.0", "1.3.0-rc.1"]),
            ("1.2", &["1.2.0", "1.9.0"], &["1.1.9", "2.0.0"]),
            ("^0.3", &["0.3.0", "0.3.7"], &["0.4.0", "0.2.9", "1.0.0"]),
            ("^0.0.3", &["0.0.3"], &["0.0.4", "0.0.2"]),
            ("^0", &["0.0.1", "0.9.0"], &["1.0.0"]),
            ("~1.2", &["1.2.0", "1.2.9"], &["1.3.0"]),
            ("=1.2.3", &["1.2.3"], &["1.2.4", "1.2.2"]),
            (">=1.2, <3", &["1.2.0", "2.9.9"], &["1.1.0", "3.0.0"]),
            (">1.2.3", &["1.2.4", "9.0.0"], &["1.2.3", "1.2.3-rc.1"]),
            ("<2", &["0.0.0", "1.9.9"], &["2.0.0"]),
            ("1", &["1.0.0", "1.9.9"], &["2.0.0", "0.1.0"]),
            ("^2.0.0-rc.2", &["2.0.0-rc.2", "2.0.0-rc.10", "2.0.0", "2.1.0"], &["2.0.0-rc.1", "2.1.0-rc.1"]),
            ("nonsense", &[], &["1.0.0"]),
        ];
        for (range, good, bad) in cases {
            assert_eq!(is_range(range), range != "nonsense", "{range}");
            good.iter().for_each(|version| assert!(takes(range, version), "{range} takes {version}"));
            bad.iter().for_each(|version| assert!(!takes(range, version), "{range} does not take {version}"));
        }
        for bad in ["", "^", "1.2.3.4", "1..2", "x", "^1.2,", ">1", "<2-rc.1", "1.2-rc.1", "^1.2.3-"] {
            assert!(!is_range(bad), "{bad}");
        }
    }

    #[test]
    fn versions_are_in_the_order_of_semver() {
        let ascending = [
            "no version",
            "0.9.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0",
            "1.0.10",
            "1.2.0",
        ];
        for pair in ascending.windows(2) {
            assert_eq!(order(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(order(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
        }
        assert_eq!(order("1.0.0+a", "1.0.0+b"), Ordering::Equal);
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart_without_a_panic(range in ".{0,40}", version in ".{0,20}") {
            let _ = (is_range(&range), takes(&range, &version), order(&range, &version));
        }

        #[test]
        fn what_a_caret_names_it_takes_and_never_the_next_major(numbers in (1u64..99, 0u64..99, 0u64..99), more in 0u64..9) {
            let (major, minor, patch) = numbers;
            let range = format!("^{major}.{minor}.{patch}");
            let newer = format!("{major}.{minor}.{}", patch + more);
            prop_assert!(takes(&range, &newer));
            let next = format!("{}.{minor}.{patch}", major + 1);
            prop_assert!(!takes(&range, &next));
        }
    }
}
