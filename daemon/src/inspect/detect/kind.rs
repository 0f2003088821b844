//! What can be found, and small sets of it. Must not know how it is found, nor what follows from it.

/// Most patterns of the operator's own.
pub const MAX_OWN: usize = 32;

/// A kind of personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Card,
    Iban,
    NationalId(Nation),
    Email,
    Ip,
    Phone,
    /// The operator's own pattern, by its place among them.
    Own(u8),
}

/// Whose number of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Nation {
    /// Social Security number.
    Us,
    /// Steuer-Identifikationsnummer.
    De,
    /// Numéro d'inscription au répertoire, with its key.
    Fr,
    /// Codice fiscale.
    It,
    /// DNI and NIE.
    Es,
    /// Burgerservicenummer.
    Nl,
    /// NHS number.
    Uk,
    /// PESEL.
    Pl,
    /// Personnummer and samordningsnummer.
    Se,
    /// Rijksregisternummer, numéro de registre national.
    Be,
}

impl Nation {
    /// The word used on every surface.
    pub const fn as_str(self) -> &'static str {
        match self {
            Nation::Us => "us_ssn",
            Nation::De => "de_tax_id",
            Nation::Fr => "fr_nir",
            Nation::It => "it_fiscal_code",
            Nation::Es => "es_dni",
            Nation::Nl => "nl_bsn",
            Nation::Uk => "uk_nhs",
            Nation::Pl => "pl_pesel",
            Nation::Se => "se_personnummer",
            Nation::Be => "be_national_number",
        }
    }
}

/// The words of the kinds that are built in, in the order of their bits.
pub const BUILT_IN: [&str; 6] = ["card", "iban", "national_id", "email", "ip", "phone"];

/// The first bit of the operator's own patterns.
const OWN_FROM: u32 = 8;

impl Kind {
    /// Its place in [`BUILT_IN`]; `None` for an own pattern.
    pub const fn place(self) -> Option<usize> {
        match self {
            Kind::Card => Some(0),
            Kind::Iban => Some(1),
            Kind::NationalId(_) => Some(2),
            Kind::Email => Some(3),
            Kind::Ip => Some(4),
            Kind::Phone => Some(5),
            Kind::Own(_) => None,
        }
    }

    fn bit(self) -> u64 {
        let shift = match self {
            Kind::Card => 0,
            Kind::Iban => 1,
            Kind::NationalId(_) => 2,
            Kind::Email => 3,
            Kind::Ip => 4,
            Kind::Phone => 5,
            Kind::Own(at) => OWN_FROM + u32::from(at),
        };
        1_u64.checked_shl(shift).unwrap_or(0)
    }
}

/// Where something was found: bytes of the text that was looked at, `start` included, `end` not. Both are boundaries of
/// characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    pub start: usize,
    pub end: usize,
    pub kind: Kind,
}

/// A set of kinds. All national ids are one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KindSet(u64);

impl KindSet {
    /// Nothing.
    pub const EMPTY: KindSet = KindSet(0);

    /// Adds a kind.
    pub fn insert(&mut self, kind: Kind) {
        self.0 |= kind.bit();
    }

    /// Whether it is in the set.
    pub fn contains(self, kind: Kind) -> bool {
        self.0 & kind.bit() != 0
    }

    /// Whether there is nothing in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in either.
    #[must_use]
    pub const fn union(self, other: KindSet) -> KindSet {
        KindSet(self.0 | other.0)
    }

    /// Whether the kind at this place of [`BUILT_IN`] is in the set.
    pub const fn has_built_in(self, place: usize) -> bool {
        place < BUILT_IN.len() && self.0 & (1 << place) != 0
    }

    /// Whether the own pattern at this place is in the set.
    pub const fn has_own(self, place: usize) -> bool {
        place < MAX_OWN && self.0 & (1 << (place + OWN_FROM as usize)) != 0
    }

    /// The bits, for a record: 0 to 5 in the order of [`BUILT_IN`], the operator's own from 8 on.
    pub const fn bits(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let all = [
            Kind::Card,
            Kind::Iban,
            Kind::NationalId(Nation::Pl),
            Kind::Email,
            Kind::Ip,
            Kind::Phone,
            Kind::Own(0),
            Kind::Own(31),
        ];
        for kind in all {
            let mut set = KindSet::EMPTY;
            set.insert(kind);
            for other in all {
                assert_eq!(set.contains(other), kind == other, "{kind:?} and {other:?}");
            }
            match kind.place() {
                Some(place) => assert!(set.has_built_in(place)),
                None => assert!(set.has_own(0) != set.has_own(31)),
            }
        }
    }
}
