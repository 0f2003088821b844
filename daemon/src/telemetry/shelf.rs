//! Things of one kind that come and go: those that appear late are found later, those that vanish stay for a while as
//! gone. It does not know what they are.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use edge_core::Mono;

/// What vanished is shown as gone for this long, so that whoever looks now and then sees it.
pub const GONE_FOR: Duration = Duration::from_secs(60);
/// Things of one kind; more are left out. A workstation has some dozens.
const MOST: usize = 128;

/// Something with a place in the file system.
pub trait Placed {
    /// Where it is: the same name in another place is another thing.
    fn place(&self) -> &Path;
    /// Takes over what was read of the same thing anew, and keeps what is open.
    fn renew(&mut self, new: Self);
}

/// One of them.
#[derive(Debug)]
pub struct Item<T> {
    /// Unique on its shelf: a second thing of the same name ends in `#2`.
    pub name: Arc<str>,
    pub thing: T,
    gone: Option<Mono>,
}

impl<T> Item<T> {
    /// Whether it was not there when it was last looked for.
    pub fn is_gone(&self) -> bool {
        self.gone.is_some()
    }
}

/// All of them, in the order in which they were found.
#[derive(Debug)]
pub struct Shelf<T>(Vec<Item<T>>);

impl<T> Default for Shelf<T> {
    fn default() -> Shelf<T> {
        Shelf(Vec::new())
    }
}

impl<T: Placed> Shelf<T> {
    /// Takes over what is there now.
    pub fn renew(&mut self, found: Vec<(String, T)>, now: Mono) {
        let mut before: HashMap<Arc<str>, Item<T>> = self.0.drain(..).map(|item| (item.name.clone(), item)).collect();
        for (name, thing) in numbered(found).into_iter().take(MOST) {
            let item = match before.remove(name.as_str()) {
                Some(mut item) if item.thing.place() == thing.place() => {
                    item.thing.renew(thing);
                    Item { gone: None, ..item }
                }
                _ => Item { name: name.into(), thing, gone: None },
            };
            self.0.push(item);
        }
        let mut gone: Vec<Item<T>> = before.into_values().collect();
        gone.iter_mut().for_each(|item| item.gone = item.gone.or(Some(now)));
        gone.retain(|item| item.gone.is_some_and(|since| now.since(since) < GONE_FOR));
        gone.sort_by(|a, b| a.name.cmp(&b.name));
        self.0.extend(gone);
    }

    /// Each of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Item<T>> {
        self.0.iter_mut()
    }
}

/// A second thing of the same name ends in `#2`.
fn numbered<T>(found: Vec<(String, T)>) -> Vec<(String, T)> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let number = |(name, thing): (String, T)| {
        let count = seen.entry(name.clone()).or_default();
        *count += 1;
        (if *count == 1 { name } else { format!("{name}#{count}") }, thing)
    };
    found.into_iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    struct Thing(PathBuf, u8);

    impl Placed for Thing {
        fn place(&self) -> &Path {
            &self.0
        }

        fn renew(&mut self, new: Thing) {
            self.1 += new.1;
        }
    }

    fn shown(shelf: &mut Shelf<Thing>) -> Vec<String> {
        let word = |item: &mut Item<Thing>| format!("{} {} {}", item.name, item.thing.1, item.is_gone());
        shelf.iter_mut().map(word).collect()
    }

    #[test]
    fn what_vanishes_is_gone_for_a_minute_and_what_comes_back_is_another_thing_only_elsewhere() {
        let thing = |name: &str, place: &str| (name.to_owned(), Thing(place.into(), 1));
        let at = |seconds: u64| Mono::from_nanos(seconds * 1_000_000_000);
        let mut shelf = Shelf::default();
        shelf.renew(vec![thing("cpu", "/0"), thing("gpu", "/1"), thing("cpu", "/2")], at(0));
        assert_eq!(shown(&mut shelf), ["cpu 1 false", "gpu 1 false", "cpu#2 1 false"]);
        shelf.renew(vec![thing("cpu", "/0"), thing("cpu", "/3")], at(10));
        assert_eq!(shown(&mut shelf), ["cpu 2 false", "cpu#2 1 false", "gpu 1 true"]);
        shelf.renew(vec![thing("cpu", "/0")], at(69));
        assert_eq!(shown(&mut shelf), ["cpu 3 false", "cpu#2 1 true", "gpu 1 true"]);
        shelf.renew(vec![thing("cpu", "/0"), thing("cpu", "/3")], at(70));
        assert_eq!(shown(&mut shelf), ["cpu 4 false", "cpu#2 2 false"], "one came back, one is forgotten");
    }

    #[test]
    fn no_more_than_a_bound_is_kept() {
        let mut shelf = Shelf::default();
        shelf.renew((0..1000).map(|number| (format!("{number}"), Thing("/".into(), 0))).collect(), Mono::default());
        assert_eq!(shown(&mut shelf).len(), MOST);
    }
}
