//! Which number each site has. Sites keep theirs over reloads, as requests that are open know them by it; where one was
//! removed there is a hole, which another site gets only when nothing is open there any more. Pure.

use edge_core::{Site, SiteId, Sites, Zone};

use super::sites::SiteConfig;

/// Sites by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbering {
    places: Vec<Place>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    /// Who has it, or had it last.
    name: String,
    /// Where the site stands in the configuration; `None` for a hole.
    at: Option<usize>,
}

/// Sites for which there is no number yet, by their names: as many requests to removed sites as these are still open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoRoom(pub Vec<String>);

impl std::fmt::Display for NoRoom {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (names, most) = (self.0.join(", "), Sites::MOST);
        write!(
            out,
            "no room for {names}: with the sites that were removed and still have requests open there are more than {most}; \
             reload again when those have ended"
        )
    }
}

impl Numbering {
    /// The numbers of the sites `new`, where those of `self` held until now; `idle` are numbers at which nothing is open.
    ///
    /// # Errors
    /// Sites that get no number; the old numbers hold then.
    pub fn assign(&self, new: &[SiteConfig], idle: Sites) -> Result<Numbering, NoRoom> {
        let mut places: Vec<Place> =
            self.places.iter().map(|place| Place { name: place.name.clone(), at: None }).collect();
        let mut others = Vec::new();
        for (at, site) in new.iter().enumerate() {
            match places.iter_mut().find(|place| place.name == site.name && place.at.is_none()) {
                Some(place) => place.at = Some(at),
                None => others.push((at, site.name.clone())),
            }
        }
        let mut no_room = Vec::new();
        for (at, name) in others {
            let is_free = |(number, place): &(usize, &mut Place)| {
                place.at.is_none() && u8::try_from(*number).is_ok_and(|number| idle.has(SiteId(number)))
            };
            if let Some((_, place)) = places.iter_mut().enumerate().find(is_free) {
                *place = Place { name, at: Some(at) };
            } else if places.len() < Sites::MOST {
                places.push(Place { name, at: Some(at) });
            } else {
                no_room.push(name);
            }
        }
        if no_room.is_empty() { Ok(Numbering { places }) } else { Err(NoRoom(no_room)) }
    }

    /// What the core is told: a site at each number, or a hole that takes no request.
    pub fn sites(&self, configured: &[SiteConfig]) -> Vec<Site> {
        let site = |place: &Place| place.at.and_then(|at| configured.get(at)).map_or(HOLE, |site| site.core);
        self.places.iter().map(site).collect()
    }

    /// The number of a site by its name.
    pub fn number(&self, name: &str) -> Option<SiteId> {
        let number = self.places.iter().position(|place| place.at.is_some() && place.name == name)?;
        u8::try_from(number).ok().map(SiteId)
    }

    /// Where the site of a number stands in the configuration; `None` for a hole.
    pub fn at(&self, site: SiteId) -> Option<usize> {
        self.places.get(usize::from(site.0))?.at
    }

    /// The name of who has a number, or had it last.
    pub fn name(&self, site: SiteId) -> Option<&str> {
        self.places.get(usize::from(site.0)).map(|place| place.name.as_str())
    }

    /// Numbers that are holes.
    pub fn holes(&self) -> Sites {
        (0_u8..).zip(&self.places).filter(|(_, place)| place.at.is_none()).map(|(number, _)| SiteId(number)).collect()
    }

    /// Of the sites that serve a model those, and those whose answers are better than this box's.
    pub fn serving(&self, configured: &[SiteConfig], model: &str) -> (Sites, Sites) {
        let (mut serving, mut stronger) = (Sites::NONE, Sites::NONE);
        for (number, place) in (0_u8..).zip(&self.places) {
            let Some(site) = place.at.and_then(|at| configured.get(at)) else { continue };
            if site.model(model).is_some() {
                serving = serving.with(SiteId(number));
                if site.is_stronger(model) {
                    stronger = stronger.with(SiteId(number));
                }
            }
        }
        (serving, stronger)
    }
}

/// A number that nobody has: as far away as can be, and with room for nothing.
const HOLE: Site = Site { max_open: 0, ..Site::in_zone(Zone::Cloud) };

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sites::{Protocol, Stronger};
    use super::*;

    fn sites(names: &[&str]) -> Vec<SiteConfig> {
        let site = |name: &&str| SiteConfig {
            name: (*name).to_owned(),
            protocol: Protocol::Sibling { node: (*name).to_owned() },
            models: Default::default(),
            versions: Default::default(),
            stronger: Stronger::Nowhere,
            price_as_of: None,
            core: Site::in_zone(Zone::Premises),
        };
        names.iter().map(site).collect()
    }

    fn numbers(numbering: &Numbering) -> Vec<Option<usize>> {
        numbering.places.iter().map(|place| place.at).collect()
    }

    #[test]
    fn a_site_keeps_its_number_and_a_hole_is_used_only_when_nothing_is_open_there() {
        let first = Numbering::default().assign(&sites(&["a", "b", "c"]), Sites::NONE).unwrap();
        assert_eq!(numbers(&first), [Some(0), Some(1), Some(2)]);
        let swapped = first.assign(&sites(&["c", "a"]), Sites::NONE).unwrap();
        assert_eq!(numbers(&swapped), [Some(1), None, Some(0)]);
        assert_eq!(swapped.sites(&sites(&["c", "a"]))[1].max_open, 0);
        assert_eq!(swapped.holes(), Sites::NONE.with(SiteId(1)));
        let busy = swapped.assign(&sites(&["c", "a", "d"]), Sites::NONE).unwrap();
        assert_eq!((numbers(&busy), busy.number("d")), (vec![Some(1), None, Some(0), Some(2)], Some(SiteId(3))));
        let idle = swapped.assign(&sites(&["c", "a", "d"]), Sites::ALL).unwrap();
        assert_eq!((numbers(&idle), idle.number("d")), (vec![Some(1), Some(2), Some(0)], Some(SiteId(1))));
    }

    #[test]
    fn a_site_that_comes_back_has_its_number_again_while_it_is_a_hole() {
        let first = Numbering::default().assign(&sites(&["a", "b"]), Sites::NONE).unwrap();
        let without = first.assign(&sites(&["b"]), Sites::NONE).unwrap();
        assert_eq!((without.number("a"), without.name(SiteId(0))), (None, Some("a")));
        let back = without.assign(&sites(&["x", "a", "b"]), Sites::ALL).unwrap();
        assert_eq!(
            (back.number("a"), back.number("b"), back.number("x")),
            (Some(SiteId(0)), Some(SiteId(1)), Some(SiteId(2)))
        );
    }

    #[test]
    fn more_than_there_are_numbers_is_refused_and_the_old_ones_hold() {
        let names: Vec<String> = (0..32).map(|number| format!("s{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let full = Numbering::default().assign(&sites(&names), Sites::NONE).unwrap();
        let mut changed = names.clone();
        changed[5] = "new";
        let refused = full.assign(&sites(&changed), Sites::NONE).unwrap_err();
        assert!(refused.to_string().starts_with("no room for new: "), "{refused}");
        let taken = full.assign(&sites(&changed), Sites::NONE.with(SiteId(5))).unwrap();
        assert_eq!(taken.number("new"), Some(SiteId(5)));
    }

    proptest! {
        #[test]
        fn no_number_with_requests_open_changes_hands(
            steps in proptest::collection::vec((proptest::collection::btree_set("[a-f]", 0..6), any::<u32>()), 1..12)
        ) {
            let mut numbering = Numbering::default();
            for (names, idle) in steps {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let (new, idle) = (sites(&names), Sites::from_bits(idle));
                let next = numbering.assign(&new, idle).unwrap();
                for number in (0_u8..32).map(SiteId) {
                    if let (Some(before), Some(after)) = (numbering.name(number), next.name(number)) {
                        let was_there = numbering.at(number).is_some();
                        let kept = before == after || (idle.has(number) && !names.contains(&before));
                        prop_assert!(kept, "{before} {after} {was_there}");
                    }
                }
                for (at, name) in names.iter().enumerate() {
                    prop_assert_eq!(next.number(name).and_then(|number| next.at(number)), Some(at));
                }
                prop_assert!(next.sites(&new).len() <= Sites::MOST);
                numbering = next;
            }
        }
    }
}
