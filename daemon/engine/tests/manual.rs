//! The page edged-bundle(5) against the parser: it tells of every key and every word that the parser knows, and of no other; and its
//! example is a good manifest. What the parser knows it says itself, when it is asked for something that it does not know.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set its scene up has failed")]

use std::collections::{BTreeMap, BTreeSet};

use edge_engine::bundle::Manifest;

/// What no manifest can know.
const UNKNOWN: &str = "zzz";

/// Keys of one table on the page, each with the words that it takes, if they are listed.
type Keys = BTreeMap<String, BTreeSet<String>>;

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/man/edged-bundle.5");
    let page = std::fs::read_to_string(path).unwrap();
    [("\\-", "-"), ("\\(dq", "\""), ("\\(aq", "'"), ("\\(ti", "~"), ("\\(ha", "^"), ("\\&", ""), ("\\e", "\\")]
        .iter()
        .fold(page, |page, (sign, letter)| page.replace(sign, letter))
}

/// The lines between this heading of a section and the next.
fn section<'a>(page: &'a str, title: &str) -> &'a str {
    let (_, below) = page.split_once(&format!("\n.SH {title}\n")).unwrap_or_else(|| panic!("no section {title}"));
    below.split("\n.SH ").next().unwrap()
}

/// Every table that the page tells of, by its title.
fn tables(page: &str) -> Vec<(String, Keys)> {
    let parts = section(page, "MODEL.TOML").split("\n.SS ").skip(1);
    parts.map(|part| (part.lines().next().unwrap().to_owned(), keys(part))).collect()
}

fn keys(part: &str) -> Keys {
    let (mut keys, mut last, mut inside) = (Keys::new(), String::new(), false);
    let mut lines = part.lines();
    while let Some(line) = lines.next() {
        match line {
            ".RS" | ".RE" => inside = line == ".RS",
            ".TP" => {
                let term = lines.next().unwrap();
                let word = term.strip_prefix("\\fB").and_then(|rest| rest.split("\\fR").next()).unwrap().to_owned();
                match inside {
                    true => drop(keys.get_mut(&last).unwrap().insert(word)),
                    false => {
                        assert!(keys.insert(word.clone(), BTreeSet::new()).is_none(), "{word} stands there twice");
                        last = word;
                    }
                }
            }
            _ => {}
        }
    }
    keys
}

/// A manifest with this line at the place that a title of the page names.
fn with(title: &str, line: &str) -> Vec<String> {
    let (header, kind) = match title.split_once(" with kind = ") {
        Some((header, kind)) => (header, format!("kind = {kind}\n")),
        None => (title, String::new()),
    };
    let places = header.split(", ").map(|header| match header {
        "Top level" => format!("{line}\n"),
        "[[variant.profile]]" => format!("[[variant]]\n[[variant.profile]]\n{line}\n"),
        // What an output has of its own is read by the recipe that has it.
        "[output.head]" | "[output.masks]" => format!("[output]\nkind = \"objects\"\n{header}\n{kind}{line}\n"),
        "[output.outlines]" => format!("[output]\nkind = \"anomaly\"\n{header}\n{line}\n"),
        header => format!("{header}\n{kind}{line}\n"),
    });
    places.collect()
}

/// Why a text is no manifest.
fn refusal(text: &str) -> String {
    Manifest::parse(text).unwrap_err().to_string()
}

/// What the parser would have taken instead of the unknown thing, if that is what it says.
fn wanted(refusal: &str, what: &str) -> Option<BTreeSet<String>> {
    let (_, rest) = refusal.split_once(&format!("unknown {what} `{UNKNOWN}`, expected "))?;
    Some(rest.split('`').skip(1).step_by(2).map(str::to_owned).collect())
}

#[test]
fn every_key_of_the_parser_is_on_the_page_and_no_other() {
    let page = page();
    for (title, keys) in tables(&page) {
        for text in with(&title, &format!("{UNKNOWN} = 1")) {
            let said = refusal(&text);
            let known = wanted(&said, "field").unwrap_or_else(|| panic!("{title}: {said}"));
            let told: BTreeSet<String> = keys.keys().cloned().collect();
            assert_eq!(told, known, "{title}: what the page tells, and what the parser knows");
        }
    }
}

#[test]
fn every_kind_of_recipe_and_head_is_on_the_page_and_no_other() {
    let page = page();
    let tables = tables(&page);
    for header in ["[input]", "[output]", "[output.head]"] {
        let told: BTreeSet<String> = tables
            .iter()
            .filter_map(|(title, _)| title.strip_prefix(header)?.strip_prefix(" with kind = \""))
            .map(|kind| kind.trim_end_matches('"').to_owned())
            .collect();
        let said = refusal(&with(header, &format!("kind = \"{UNKNOWN}\"")).concat());
        assert_eq!(Some(told), wanted(&said, "variant"), "{header}: {said}");
    }
}

#[test]
fn every_table_that_a_key_names_is_on_the_page() {
    let page = page();
    let titles: Vec<String> = tables(&page).into_iter().map(|(title, _)| title).collect();
    for (title, keys) in tables(&page) {
        let parent = title.trim_start_matches('[').split(['.', ']']).next().unwrap();
        let inner = section(&page, "MODEL.TOML").split("\n.SS ").find(|part| part.starts_with(&title)).unwrap();
        for key in keys.keys() {
            let is_table =
                [" (table)", " (tables)"].iter().any(|kind| inner.contains(&format!("\\fB{key}\\fR{kind}\n")));
            let path = if title == "Top level" { key.clone() } else { format!("{parent}.{key}") };
            let found = titles.iter().any(|title| title.contains(&format!("[{path}]")));
            assert!(found || !is_table, "no table [{path}]");
        }
    }
}

#[test]
fn every_word_of_every_key_is_on_the_page_and_no_other() {
    let page = page();
    let mut asked = 0;
    for (title, keys) in tables(&page) {
        for (key, told) in keys {
            // A table has kinds and no words; the test above holds those.
            if page.contains(&format!("[{key}]")) || page.contains(&format!(".{key}]")) {
                continue;
            }
            for line in [format!("{key} = \"{UNKNOWN}\""), format!("{key} = [\"{UNKNOWN}\"]")] {
                let found = with(&title, &line).iter().find_map(|text| wanted(&refusal(text), "variant"));
                asked += usize::from(found.is_some());
                assert!(found.is_none_or(|known| known == told), "{title} {key}: the page tells {told:?}");
            }
        }
    }
    assert!(asked > 10, "{asked} keys with words were found");
}

#[test]
fn the_example_is_a_good_manifest_and_one_that_is_served() {
    let page = page();
    let example = section(&page, "EXAMPLES").split(".EX\n").find(|block| block.starts_with("name = ")).unwrap();
    let (example, _) = example.split_once("\n.EE").unwrap();
    let served = concat!(env!("CARGO_MANIFEST_DIR"), "/../../onnx-models/text-direction/model.toml");
    let served = std::fs::read_to_string(served).unwrap();
    assert_eq!(Manifest::parse(example).unwrap(), Manifest::parse(&served).unwrap());
}
