//! Messages that an operator may want to be told of, each with the identifier under which journalctl finds and explains it
//! (`packaging/journal/edged.catalog`). An identifier is for ever: who alerts on one must not have to look whether it still holds.

/// The message of an event, as the code says it, and its identifier.
const MESSAGES: [(&str, &str); 31] = [
    ("ready", "ab49c66ca08159cea8af9578504c9b4c"),
    ("it ended badly again and again: waits before it starts", "6d0e8d1b1c5f4f0fa44a6a2ad6c6a0f5"),
    ("drained", "3af88bac194e59c08cc0c82b790f8f82"),
    ("not drained within the limit; the rest is ended", "444947e0f9675a88a4e0b9e2a9b1624d"),
    ("configuration not taken over; the old one holds", "8c9e9de5ef845e14985c83b69fc68779"),
    ("bundle cannot be served", "e466ff03260e5691858e11b4241783ff"),
    ("model cannot be served", "55f6fc6f1d0b58128a9f8c80499fb693"),
    ("a setup is taken out of service", "9b2395c1273c5907abeab0f520faa679"),
    ("engine host ended", "b843c08baa145c4fae5857d54d51b374"),
    ("no engine host can be started", "639a00d5e4805b73901f2a5b6e39cefe"),
    ("regime", "bbe0ca6400145aafa01e3cf414c9bc9b"),
    ("the device is held", "48faecd81a5d5f829d84e57b23dd4eb6"),
    ("a version is on probation", "5f7c6ff378725551a8e2d02cd26941b4"),
    ("a version is taken back", "4a34f3ae52e15e099213f5d8314c5158"),
    ("a version is revoked", "cec5c6e957ce5af789264d3327d93959"),
    ("a golden answer does not hold", "9c2f7c26633d5c46b99faa18fbed79f3"),
    ("no connection to the broker", "0db99d7284925e938547f0bcbafb5e97"),
    ("connected to the broker", "9cc394cf6cac594eb7f6c2cdc4628e76"),
    ("the broker transport failed", "a62771f7b7875ad7bd7c752295759d94"),
    ("the ledger cannot be written", "36f174bb34ae5edcbf1ee1c064424b0e"),
    ("the spool cannot be written", "550990daba055ff081e96e87f1aa45c7"),
    ("write the journal", "e72d19b2c71f537e8e120e82ea81aa9f"),
    ("write the outbox", "8e4b11e3a048542797d738a78e7af410"),
    ("messages in the outbox cannot be read and are lost", "c53ec40787ed526da73febad9e7384b4"),
    ("a request in the journal cannot be read and is let go", "a7d6e0a48e215859b9c68c7c54a634cc"),
    ("the site is not asked for now", "e2965548b51d536780ccca52580ad6fe"),
    ("the site is asked again", "ac3247084cc95c4ab2132cef8d25d33a"),
    ("another ONNX Runtime takes over", "09bf7cd27fff56f98ac5ae4f2cd8dac8"),
    ("another ONNX Runtime was found and is not taken over", "f666ed597dcd5913a3363d599e2f833d"),
    ("a file stays in the inbox", "f53a83b2020f5da9aec79d7f5c7f0ddf"),
    ("systemd was not told", "cd077c027ba6566c981d843b23a1e0a4"),
];

/// The identifier of a message, if it has one.
pub fn id(message: &str) -> Option<&'static str> {
    MESSAGES.iter().find(|(known, _)| *known == message).map(|(_, id)| *id)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    const CATALOGUE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/journal/edged.catalog");

    fn sources(dir: &Path, found: &mut String) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("journal/catalogue.rs") {
                found.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }

    /// What the catalogue says of an identifier: its paragraph.
    fn explained(text: &str) -> Vec<(&str, &str)> {
        text.split("\n-- ").skip(1).filter_map(|entry| entry.split_once('\n')).collect()
    }

    #[test]
    fn every_message_is_one_that_the_code_says_with_the_fields_that_its_explanation_shows() {
        let mut code = String::new();
        sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut code);
        let text = std::fs::read_to_string(CATALOGUE).unwrap();
        let explained = explained(&text);
        for (message, id) in MESSAGES {
            // The macro's call, from its name to the message that ends it.
            let end = format!("\"{message}\"");
            let calls: Vec<&str> = (code.match_indices(&end))
                .filter_map(|(at, _)| code.get(code[..at].rfind("tracing::")?..at))
                .filter(|call| !call.contains(';'))
                .collect();
            assert!(!calls.is_empty(), "nothing says {message:?} any more");
            let (_, paragraph) = explained.iter().find(|(known, _)| *known == id).unwrap();
            for variable in paragraph.split('@').skip(1).step_by(2) {
                let field = variable.strip_prefix("EDGED_").unwrap().to_lowercase();
                let has = |call: &str| {
                    call.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|word| word == field)
                };
                assert!(calls.iter().all(|call| has(call)), "{message:?} has no field {field}");
            }
        }
    }

    #[test]
    fn every_identifier_is_explained_and_there_are_no_others() {
        let text = std::fs::read_to_string(CATALOGUE).unwrap();
        let explained: BTreeSet<&str> = explained(&text).into_iter().map(|(id, _)| id).collect();
        let known: BTreeSet<&str> = MESSAGES.iter().map(|(_, id)| *id).collect();
        assert_eq!(known.len(), MESSAGES.len(), "an identifier is given twice");
        assert_eq!(explained, known);
        assert!(known.iter().all(|id| id.len() == 32 && id.bytes().all(|byte| b"0123456789abcdef".contains(&byte))));
    }
}
