//! How often one place of the code may speak: a fault that comes with each request must not push everything else out of the journal,
//! and one that comes now and then must not be missed.
//!
//! A place has a stock of words that grows again with time; what it had to leave out is counted, and told with its next word.

use std::collections::BTreeMap;
use std::time::Duration;

use edge_core::Mono;

/// Words in stock at most: the models of a box that starts are all told of.
const STOCK: u32 = 40;
/// In how long one word grows again.
const EACH: Duration = Duration::from_secs(3);

/// File and line of a message.
type Place = (&'static str, u32);

/// Whether a place may speak now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Yes; so many were left out since it spoke last.
    Speak {
        left_out: u64,
    },
    Silent,
}

#[derive(Clone, Copy, Debug)]
struct Stock {
    words: u32,
    since: Mono,
    left_out: u64,
}

/// What every place has left. Bounded by the number of places in the code.
#[derive(Debug, Default)]
pub struct Limit {
    places: BTreeMap<Place, Stock>,
}

impl Limit {
    /// Asks for a word.
    pub fn ask(&mut self, place: Place, now: Mono) -> Ruling {
        let stock = self.places.entry(place).or_insert(Stock { words: STOCK, since: now, left_out: 0 });
        let grown = u32::try_from(now.since(stock.since).as_nanos() / EACH.as_nanos()).unwrap_or(u32::MAX);
        if stock.words.saturating_add(grown) >= STOCK {
            (stock.words, stock.since) = (STOCK, now);
        } else if grown > 0 {
            (stock.words, stock.since) = (stock.words + grown, stock.since.after(EACH * grown));
        }
        match stock.words.checked_sub(1) {
            Some(words) => {
                stock.words = words;
                Ruling::Speak { left_out: std::mem::take(&mut stock.left_out) }
            }
            None => {
                stock.left_out += 1;
                Ruling::Silent
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HERE: Place = ("here.rs", 1);

    fn at(ms: u64) -> Mono {
        Mono::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn a_storm_is_cut_short_and_counted_and_another_place_goes_on() {
        let mut limit = Limit::default();
        let spoken = (0..1000).filter(|_| limit.ask(HERE, at(0)) != Ruling::Silent).count();
        assert_eq!(spoken, 40);
        assert_eq!(limit.ask(("there.rs", 1), at(0)), Ruling::Speak { left_out: 0 });
        assert_eq!(limit.ask(HERE, at(2999)), Ruling::Silent);
        assert_eq!(limit.ask(HERE, at(3000)), Ruling::Speak { left_out: 961 });
        assert_eq!(limit.ask(HERE, at(3000)), Ruling::Silent);
        // After a quiet while the stock is full, and not fuller.
        let spoken = (0..1000).filter(|_| limit.ask(HERE, at(10_000_000)) != Ruling::Silent).count();
        assert_eq!(spoken, 40);
    }

    proptest! {
        #[test]
        fn no_more_is_said_than_the_stock_and_what_grew_and_nothing_is_left_uncounted(gaps in prop::collection::vec(0u64..5000, 1..400)) {
            let (mut limit, mut now, mut spoken, mut counted, mut pending) = (Limit::default(), 0, 0u64, 0u64, 0u64);
            for gap in &gaps {
                now += gap;
                match limit.ask(HERE, at(now)) {
                    Ruling::Speak { left_out } => {
                        spoken += 1;
                        prop_assert_eq!(left_out, pending);
                        counted += left_out;
                        pending = 0;
                    }
                    Ruling::Silent => pending += 1,
                }
            }
            prop_assert!(spoken <= 40 + now / 3000 + 1);
            prop_assert_eq!(spoken + counted + pending, u64::try_from(gaps.len()).unwrap());
        }
    }
}
