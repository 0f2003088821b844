//! The characters that bars, sparklines and charts are made of: blocks and braille where the terminal has them, else ASCII.

/// A set of characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glyphs {
    /// From the lowest to the highest value of a sparkline.
    levels: [char; 8],
    full: char,
    empty: char,
    /// Where a limit is on a bar.
    mark: char,
    /// Charts may use braille.
    pub braille: bool,
}

/// For a terminal that shows UTF-8.
pub const BLOCKS: Glyphs =
    Glyphs {
        levels: ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'], full: '█', empty: '░', mark: '│', braille: true
    };
/// For every other one.
pub const ASCII: Glyphs =
    Glyphs { levels: ['_', '.', ',', '-', '=', '+', '*', '#'], full: '#', empty: '.', mark: '|', braille: false };

/// The set for these variables of the environment, of which the first that is not empty counts, as in setlocale(3).
pub fn for_locale(ascii: bool, variables: [Option<String>; 3]) -> Glyphs {
    let locale = variables.into_iter().flatten().find(|value| !value.is_empty()).unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    let is_utf8 = locale.contains("utf-8") || locale.contains("utf8");
    if ascii || !is_utf8 { ASCII } else { BLOCKS }
}

/// The set for the environment of this process.
pub fn here(ascii: bool) -> Glyphs {
    for_locale(ascii, ["LC_ALL", "LC_CTYPE", "LANG"].map(|name| std::env::var(name).ok()))
}

impl Glyphs {
    /// A bar that is filled by this share; with a mark at another share, if there is one.
    pub fn bar(&self, share: f64, mark: Option<f64>, width: usize) -> String {
        let filled = place(share, width);
        let marked = mark.map(|mark| place(mark, width).min(width.saturating_sub(1)));
        let cell = |column: usize| match () {
            () if marked == Some(column) => self.mark,
            () if column < filled => self.full,
            () => self.empty,
        };
        (0..width).map(cell).collect()
    }

    /// One character for each value between `low` and `high`; a space where there is none.
    pub fn spark(&self, values: &[Option<f64>], low: f64, high: f64) -> String {
        let top = self.levels.len() - 1;
        let level = |value: f64| self.levels[place(share(value, low, high), top).min(top)];
        values.iter().map(|value| value.map_or(' ', level)).collect()
    }
}

/// How far a value is from `low` to `high`, 0 to 1.
pub fn share(value: f64, low: f64, high: f64) -> f64 {
    if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 }
}

/// A share of so many steps, rounded.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a few hundred columns; `as` saturates"
)]
pub fn place(share: f64, steps: usize) -> usize {
    (share.clamp(0.0, 1.0) * steps as f64).round() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_decides_and_the_option_overrules_it() {
        let of = |all: &str, ctype: &str, lang: &str, ascii| {
            for_locale(ascii, [all, ctype, lang].map(|value| Some(value.to_owned()))) == BLOCKS
        };
        for (all, ctype, lang, ascii, blocks) in [
            ("", "", "en_US.UTF-8", false, true),
            ("", "", "C.utf8", false, true),
            ("", "", "C", false, false),
            ("C", "", "en_US.UTF-8", false, false),
            ("", "C.UTF-8", "C", false, true),
            ("", "", "en_US.UTF-8", true, false),
        ] {
            assert_eq!(of(all, ctype, lang, ascii), blocks, "{all} {ctype} {lang} {ascii}");
        }
        assert_eq!(for_locale(false, [None, None, None]), ASCII);
    }

    #[test]
    fn a_bar_is_filled_by_its_share_and_never_leaves_its_width() {
        for (share, mark, expected) in [
            (0.0, None, "....."),
            (0.5, None, "###.."),
            (1.0, Some(1.0), "####|"),
            (0.2, Some(0.6), "#..|."),
            (7.0, None, "#####"),
            (-1.0, Some(-1.0), "|...."),
            (f64::NAN, None, "....."),
        ] {
            assert_eq!(ASCII.bar(share, mark, 5), expected, "{share} {mark:?}");
        }
        assert_eq!(BLOCKS.bar(0.5, Some(0.9), 0), "");
    }

    #[test]
    fn a_sparkline_has_a_character_for_each_value_and_a_space_for_none() {
        let values = [Some(0.0), None, Some(5.0), Some(10.0), Some(99.0)];
        assert_eq!(BLOCKS.spark(&values, 0.0, 10.0), "▁ ▅██");
        assert_eq!(ASCII.spark(&values, 0.0, 10.0), "_ =##");
        assert_eq!(BLOCKS.spark(&[Some(3.0)], 3.0, 3.0), "▁", "no range is the lowest level");
    }
}
