//! Names of classes, where an exporter put them into the model's metadata.

use std::collections::BTreeMap;

/// Most labels that a recipe takes.
const MOST: usize = 100_000;

/// Labels in the order of the classes: from the key `names` (a Python or JSON dictionary from number to name, or a list), or
/// `labels` or `classes` (a list, or one a line). `None` where there are none, or where they have gaps.
pub fn from_metadata(metadata: &BTreeMap<String, String>) -> Option<Vec<String>> {
    ["names", "labels", "classes"].iter().find_map(|key| parse(metadata.get(*key)?))
}

fn parse(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    let labels = match text.chars().next()? {
        '{' => dictionary(text.trim_matches(['{', '}'])),
        '[' | '(' => list(text.trim_matches(['[', ']', '(', ')'])),
        _ if text.contains('\n') => Some(text.lines().map(|line| line.trim().to_owned()).collect()),
        _ => Some(text.split(',').map(|label| label.trim().to_owned()).collect()),
    }?;
    let good = (1..=MOST).contains(&labels.len()) && labels.iter().all(|label| !label.is_empty());
    good.then_some(labels)
}

/// `0: 'bolt', 1: "nut"`; the numbers may be quoted, as in JSON.
fn dictionary(text: &str) -> Option<Vec<String>> {
    let mut by_number = BTreeMap::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (number, after) = rest.split_once(':')?;
        let number: usize = number.trim().trim_matches(['"', '\'']).parse().ok()?;
        let (label, after) = literal(after.trim_start())?;
        by_number.insert(number, label);
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    let whole = by_number.keys().copied().eq(0..by_number.len());
    whole.then(|| by_number.into_values().collect())
}

fn list(text: &str) -> Option<Vec<String>> {
    let mut labels = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (label, after) = literal(rest)?;
        labels.push(label);
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    Some(labels)
}

/// A quoted text at the start, and what follows. A backslash takes the next character as it is.
fn literal(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|first| matches!(first, '\'' | '"'))?;
    let (mut label, mut characters) = (String::new(), text.char_indices().skip(1));
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => label.push(characters.next()?.1),
            other if other == quote => return Some((label, text.get(at + quote.len_utf8()..)?)),
            other => label.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_exporters_write_them() {
        let cases: [(&str, Option<&[&str]>); 12] = [
            ("{0: 'bolt', 1: 'nut'}", Some(&["bolt", "nut"])),
            (r#"{"0": "bolt", "1": "it's"}"#, Some(&["bolt", "it's"])),
            (r#"{1: 'b', 0: "fire hydrant: old, red"}"#, Some(&["fire hydrant: old, red", "b"])),
            (r"{0: 'a\'b'}", Some(&["a'b"])),
            ("['bolt', \"nut\"]", Some(&["bolt", "nut"])),
            ("bolt,nut", Some(&["bolt", "nut"])),
            ("bolt\nnut\n", Some(&["bolt", "nut"])),
            // A gap, no end, no name: nothing that could be trusted.
            ("{0: 'a', 2: 'c'}", None),
            ("{0: 'a", None),
            ("{0: ''}", None),
            ("{}", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let metadata = BTreeMap::from([("names".to_owned(), text.to_owned())]);
            let expected = expected.map(|labels| labels.iter().map(|&label| label.to_owned()).collect::<Vec<_>>());
            assert_eq!(from_metadata(&metadata), expected, "{text}");
        }
    }
}
