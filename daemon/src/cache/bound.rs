//! Which entries have to go, so that the rest takes no more than it may. Pure: a list in, names out.

/// An entry as the bound sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub name: String,
    pub bytes: u64,
    /// Milliseconds since 1970.
    pub last_used: u64,
    /// A setup was loaded from it.
    pub in_use: bool,
}

/// The entries to remove, the one that was used longest ago first, until all together take at most `most` bytes. Those in
/// use stay, even if they take more.
pub fn surplus(held: &[Held], most: u64) -> Vec<String> {
    let mut total: u128 = held.iter().map(|entry| u128::from(entry.bytes)).sum();
    let mut unused: Vec<&Held> = held.iter().filter(|entry| !entry.in_use).collect();
    unused.sort_by_key(|entry| (entry.last_used, &entry.name));
    let mut gone = Vec::new();
    for entry in unused {
        if total <= u128::from(most) {
            break;
        }
        total -= u128::from(entry.bytes);
        gone.push(entry.name.clone());
    }
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(name: &str, bytes: u64, last_used: u64, in_use: bool) -> Held {
        Held { name: name.into(), bytes, last_used, in_use }
    }

    #[test]
    fn what_was_used_longest_ago_goes_until_the_rest_fits() {
        let all = [held("a", 40, 3, false), held("b", 40, 1, false), held("c", 40, 2, true), held("d", 40, 2, false)];
        let cases: [(u64, &[&str]); 6] = [
            (160, &[]),
            (159, &["b"]),
            (120, &["b"]),
            (119, &["b", "d"]),
            (40, &["b", "d", "a"]),
            // What is in use stays, whatever it takes.
            (0, &["b", "d", "a"]),
        ];
        for (most, expected) in cases {
            assert_eq!(surplus(&all, most), expected, "{most}");
        }
        assert!(surplus(&[], 0).is_empty());
    }

    #[test]
    fn the_order_of_the_list_does_not_matter_and_sizes_do_not_overflow() {
        let all = [held("b", u64::MAX, 1, false), held("a", u64::MAX, 1, false)];
        let turned: Vec<Held> = all.iter().rev().cloned().collect();
        assert_eq!(surplus(&all, 5), ["a", "b"]);
        assert_eq!(surplus(&turned, 5), ["a", "b"]);
    }
}
