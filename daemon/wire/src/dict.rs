//! Records as D-Bus dictionaries (`a{sv}`), both ways, without a map in between.
//!
//! A key that is missing means the field's empty value; a key that is unknown is skipped, so that either side may be
//! newer than the other.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zbus::as_variant;
use zbus::{Signature, Type, Variant};

use crate::dto::{Info, Platform};

const DICTIONARY: &Signature = &Signature::static_dict(&Signature::Str, &Signature::Variant);

/// Writes the wrapper of a record; `always` keys are written whatever their value, `unless_empty` keys only if they say
/// something.
macro_rules! dictionary {
    ($(#[$doc:meta])* $wrapper:ident($record:ty) {
        always { $($a:ident: $at:ty,)* }
        unless_empty { $($o:ident: $ot:ty,)* }
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $wrapper<'a>(pub Cow<'a, $record>);

        impl $wrapper<'_> {
            /// The record itself.
            pub fn into_inner(self) -> $record {
                self.0.into_owned()
            }
        }

        impl<'a> From<&'a $record> for $wrapper<'a> {
            fn from(record: &'a $record) -> $wrapper<'a> {
                $wrapper(Cow::Borrowed(record))
            }
        }

        impl From<$record> for $wrapper<'static> {
            fn from(record: $record) -> $wrapper<'static> {
                $wrapper(Cow::Owned(record))
            }
        }

        impl Type for $wrapper<'_> {
            const SIGNATURE: &'static Signature = DICTIONARY;
        }

        impl Serialize for $wrapper<'_> {
            fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                let record = &*self.0;
                let mut map = out.serialize_map(None)?;
                $(map.serialize_entry(stringify!($a), &as_variant::Serialize(&record.$a))?;)*
                $(if record.$o != <$ot>::default() {
                    map.serialize_entry(stringify!($o), &as_variant::Serialize(&record.$o))?;
                })*
                map.end()
            }
        }

        impl<'de> Deserialize<'de> for $wrapper<'static> {
            fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                struct Keys;
                impl<'de> Visitor<'de> for Keys {
                    type Value = $record;

                    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                        out.write_str("a dictionary of variants")
                    }

                    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<$record, M::Error> {
                        let mut record = <$record>::default();
                        while let Some(key) = map.next_key::<&str>()? {
                            match key {
                                $(stringify!($a) => {
                                    record.$a = map.next_value::<as_variant::Deserialize<'_, $at>>()?.0;
                                })*
                                $(stringify!($o) => {
                                    record.$o = map.next_value::<as_variant::Deserialize<'_, $ot>>()?.0;
                                })*
                                _ => drop(map.next_value::<Variant<'_>>()?),
                            }
                        }
                        Ok(record)
                    }
                }
                input.deserialize_map(Keys).map(|record| $wrapper(Cow::Owned(record)))
            }
        }
    };
}

dictionary! {
    /// [`Info`] as `a{sv}`.
    InfoDict(Info) {
        always {
            request_id: String,
            model: String,
            verdict: String,
            reason: String,
            received_at: String,
            completed_at: String,
            queue_us: u64,
            compute_us: u64,
            total_us: u64,
            batch: u32,
            cost_usd: f64,
        }
        unless_empty {
            version: String,
            variant: String,
            site: String,
            zone: String,
            data_class: String,
            provider: String,
            energy_mj: f64,
            duplicate: bool,
            warnings: Vec<String>,
        }
    }
}

dictionary! {
    /// [`Platform`] as `a{sv}`.
    PlatformDict(Platform) {
        always {
            machine: String,
            architecture: String,
            os: String,
            kernel: String,
            cores: u32,
            memory_bytes: u64,
        }
        unless_empty {}
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use zbus::OwnedVariant;
    use zbus::wire::serialized::Context;
    use zbus::wire::{LE, to_bytes};

    use super::*;

    fn full() -> Info {
        Info {
            request_id: "line-3".into(),
            model: "text-line".into(),
            version: "1.0.0".into(),
            variant: "fp32".into(),
            verdict: "local".into(),
            reason: "fits".into(),
            site: "box".into(),
            zone: "device".into(),
            data_class: "regulated".into(),
            provider: "cpu".into(),
            received_at: "2026-11-22T10:00:00Z".into(),
            completed_at: "2026-11-22T10:00:01Z".into(),
            queue_us: 1,
            compute_us: 2,
            total_us: u64::MAX,
            batch: 4,
            cost_usd: 0.25,
            energy_mj: 12.5,
            duplicate: true,
            warnings: vec!["unknown option".into()],
        }
    }

    fn keys(info: &Info) -> HashMap<String, OwnedVariant> {
        let data = to_bytes(Context::new(LE, 0), &InfoDict::from(info)).unwrap();
        data.deserialize::<HashMap<String, OwnedVariant>>().unwrap().0
    }

    #[test]
    fn info_comes_back_whole_from_a_dictionary() {
        for info in [full(), Info::default()] {
            let data = to_bytes(Context::new(LE, 0), &InfoDict::from(&info)).unwrap();
            assert_eq!(data.deserialize::<InfoDict<'static>>().unwrap().0.into_inner(), info);
        }
    }

    #[test]
    fn every_field_of_the_json_form_is_in_the_dictionary() {
        let json = serde_json::to_value(full()).unwrap();
        let dictionary = keys(&full());
        for key in json.as_object().unwrap().keys() {
            assert!(dictionary.contains_key(key), "{key} is missing");
        }
        assert_eq!(dictionary.len(), json.as_object().unwrap().len());
    }

    #[test]
    fn the_same_fields_are_left_out_as_in_the_json_form() {
        let json = serde_json::to_value(Info::default()).unwrap();
        let mut expected: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        let mut got: Vec<_> = keys(&Info::default()).into_keys().collect();
        expected.sort();
        got.sort();
        assert_eq!(got, expected);
    }

    #[test]
    fn an_unknown_key_of_a_newer_daemon_is_skipped() {
        let newer = HashMap::from([("colour", Variant::from(3.5)), ("model", Variant::from("speech"))]);
        let data = to_bytes(Context::new(LE, 0), &newer).unwrap();
        let info = data.deserialize::<InfoDict<'static>>().unwrap().0.into_inner();
        assert_eq!(info, Info { model: "speech".into(), ..Info::default() });
    }

    #[test]
    fn the_platform_comes_back_whole() {
        let platform = Platform { machine: "board".into(), cores: 4, memory_bytes: 1 << 33, ..Platform::default() };
        let data = to_bytes(Context::new(LE, 0), &PlatformDict::from(&platform)).unwrap();
        assert_eq!(data.deserialize::<PlatformDict<'static>>().unwrap().0.into_inner(), platform);
    }
}
