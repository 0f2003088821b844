//! The words of a setting.

/// The words of a value as systemd splits it: what is in quotes, wherever they begin, is a part of one word. Quotes stay.
pub fn words(value: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut begin, mut quote, mut escaped) = (None, None, false);
    for (at, char) in value.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if quote == Some(char) => quote = None,
            '"' | '\'' if quote.is_none() => quote = Some(char),
            _ if char.is_whitespace() && quote.is_none() => {
                found.extend(begin.take().and_then(|begin| value.get(begin..at)));
                continue;
            }
            _ => {}
        }
        begin.get_or_insert(at);
    }
    found.extend(begin.and_then(|begin| value.get(begin..)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_quotes_is_one_word() {
        let cases: [(&str, &[&str]); 6] = [
            ("A=b  C=d", &["A=b", "C=d"]),
            ("\"A=b c\" D=e", &["\"A=b c\"", "D=e"]),
            ("A=\"b c\"d 'E=f g'", &["A=\"b c\"d", "'E=f g'"]),
            ("\"A=b\\\" c\" D", &["\"A=b\\\" c\"", "D"]),
            ("A=it's B=c", &["A=it's B=c"]),
            ("  ", &[]),
        ];
        for (value, expected) in cases {
            assert_eq!(words(value), expected, "{value}");
        }
    }
}
