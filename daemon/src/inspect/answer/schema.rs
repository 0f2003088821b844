//! Whether a document keeps to a JSON schema, as far as the part that is used for the answers of language models: `type`, `enum`, `const`,
//! `required`, `properties`, `additionalProperties`, `items`, `prefixItems`, bounds of numbers, lengths and lists, `allOf`, `anyOf`, `oneOf`,
//! `not`, and `$ref` within the schema. Other keywords (`pattern`, `format`, `if`, `contains`, `uniqueItems`, `dependent...`, `$dynamicRef`,
//! `patternProperties`, `multipleOf`, `unevaluated...`) are not checked, and their names are told.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// How deep schemas may lie in each other, references included.
const DEEPEST: u8 = 64;
/// Most steps of one check, so that references cannot make it long.
const MOST_STEPS: u32 = 100_000;

/// What a check says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The first fault, with its place.
    pub fault: Option<String>,
    /// Keywords that stand in the schema and were not checked.
    pub unchecked: BTreeSet<String>,
}

/// Checks a document.
pub fn check(schema: &Value, document: &Value) -> Checked {
    let mut check = Check { root: schema, unchecked: BTreeSet::new(), steps: 0 };
    let fault = check.value(schema, document, "", DEEPEST).err();
    Checked { fault, unchecked: check.unchecked }
}

/// Keywords that check nothing.
const SAYING: [&str; 11] = [
    "$schema",
    "$id",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "examples",
    "$comment",
    "deprecated",
    "strict",
];

struct Check<'a> {
    root: &'a Value,
    unchecked: BTreeSet<String>,
    steps: u32,
}

type Verdict = Result<(), String>;

impl<'a> Check<'a> {
    fn value(&mut self, schema: &'a Value, value: &Value, at: &str, left: u8) -> Verdict {
        self.steps += 1;
        let (Some(left), true) = (left.checked_sub(1), self.steps < MOST_STEPS) else {
            self.unchecked.insert("schemas that lie too deep".to_owned());
            return Ok(());
        };
        let rules = match schema {
            Value::Bool(false) => return Err(format!("{} may not be there", place(at))),
            Value::Object(rules) => rules,
            _ => return Ok(()),
        };
        for (keyword, rule) in rules {
            self.keyword(keyword, rule, rules, value, at, left)?;
        }
        Ok(())
    }

    fn keyword(
        &mut self,
        keyword: &str,
        rule: &'a Value,
        rules: &'a Map<String, Value>,
        value: &Value,
        at: &str,
        left: u8,
    ) -> Verdict {
        match keyword {
            "type" => is_of(rule, value, at),
            "enum" => within(rule.as_array().is_none_or(|allowed| allowed.contains(value)), at, "one of the enum"),
            "const" => within(rule == value, at, "the const"),
            "required" => required(rule, value, at),
            "properties" | "additionalProperties" => self.properties(keyword, rule, rules, value, at, left),
            "items" | "prefixItems" => self.items(keyword, rule, rules, value, at, left),
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => bound(keyword, rule, value, at),
            "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties" => {
                length(keyword, rule, value, at)
            }
            "allOf" => rule.as_array().into_iter().flatten().try_for_each(|part| self.value(part, value, at, left)),
            "anyOf" => within(rule.as_array().is_none() || self.fitting(rule, value, at, left) > 0, at, "anyOf"),
            "oneOf" => within(rule.as_array().is_none() || self.fitting(rule, value, at, left) == 1, at, "oneOf"),
            "not" => within(self.value(rule, value, at, left).is_err(), at, "not"),
            "$ref" => {
                match rule.as_str().and_then(|name| name.strip_prefix('#')).and_then(|name| self.root.pointer(name)) {
                    Some(target) => self.value(target, value, at, left),
                    None => self.unknown(keyword),
                }
            }
            said if SAYING.contains(&said) => Ok(()),
            other => self.unknown(other),
        }
    }

    fn unknown(&mut self, keyword: &str) -> Verdict {
        self.unchecked.insert(keyword.to_owned());
        Ok(())
    }

    fn fitting(&mut self, rule: &'a Value, value: &Value, at: &str, left: u8) -> usize {
        let parts = rule.as_array().into_iter().flatten();
        parts.filter(|part| self.value(part, value, at, left).is_ok()).count()
    }

    fn properties(
        &mut self,
        keyword: &str,
        rule: &'a Value,
        rules: &'a Map<String, Value>,
        value: &Value,
        at: &str,
        left: u8,
    ) -> Verdict {
        let Some(fields) = value.as_object() else { return Ok(()) };
        if keyword == "properties" {
            let named = rule.as_object().into_iter().flatten();
            for (name, part) in named {
                if let Some(field) = fields.get(name) {
                    self.value(part, field, &format!("{at}/{name}"), left)?;
                }
            }
            return Ok(());
        }
        if rules.contains_key("patternProperties") {
            return self.unknown(keyword);
        }
        let named = rules.get("properties").and_then(Value::as_object);
        let others = fields.iter().filter(|(name, _)| !named.is_some_and(|named| named.contains_key(*name)));
        for (name, field) in others {
            self.value(rule, field, &format!("{at}/{name}"), left)?;
        }
        Ok(())
    }

    fn items(
        &mut self,
        keyword: &str,
        rule: &'a Value,
        rules: &'a Map<String, Value>,
        value: &Value,
        at: &str,
        left: u8,
    ) -> Verdict {
        let Some(list) = value.as_array() else { return Ok(()) };
        if let (true, Some(parts)) = (keyword == "prefixItems", rule.as_array()) {
            for (number, (item, part)) in list.iter().zip(parts).enumerate() {
                self.value(part, item, &format!("{at}/{number}"), left)?;
            }
            return Ok(());
        }
        let skipped = rules.get("prefixItems").and_then(Value::as_array).map_or(0, Vec::len);
        for (number, item) in list.iter().enumerate().skip(skipped) {
            self.value(rule, item, &format!("{at}/{number}"), left)?;
        }
        Ok(())
    }
}

fn is_of(rule: &Value, value: &Value, at: &str) -> Verdict {
    let fits = |name: &str| match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        _ => true,
    };
    match rule {
        Value::String(name) => within(fits(name), at, &format!("of type {name}")),
        Value::Array(names) => within(names.iter().filter_map(Value::as_str).any(fits), at, "of one of the types"),
        _ => Ok(()),
    }
}

fn required(rule: &Value, value: &Value, at: &str) -> Verdict {
    let Some(fields) = value.as_object() else { return Ok(()) };
    let missing =
        rule.as_array().into_iter().flatten().filter_map(Value::as_str).find(|name| !fields.contains_key(*name));
    missing.map_or(Ok(()), |name| Err(format!("{} lacks the required field {name}", place(at))))
}

fn bound(keyword: &str, rule: &Value, value: &Value, at: &str) -> Verdict {
    let (Some(bound), Some(number)) = (rule.as_f64(), value.as_f64()) else { return Ok(()) };
    let fits = match keyword {
        "minimum" => number >= bound,
        "maximum" => number <= bound,
        "exclusiveMinimum" => number > bound,
        _ => number < bound,
    };
    within(fits, at, &format!("within {keyword} {bound}"))
}

fn length(keyword: &str, rule: &Value, value: &Value, at: &str) -> Verdict {
    let length = match (value, keyword) {
        (Value::String(text), "minLength" | "maxLength") => text.chars().count(),
        (Value::Array(list), "minItems" | "maxItems") => list.len(),
        (Value::Object(fields), "minProperties" | "maxProperties") => fields.len(),
        _ => return Ok(()),
    };
    let Some(bound) = rule.as_u64().and_then(|bound| usize::try_from(bound).ok()) else { return Ok(()) };
    within(
        if keyword.starts_with("min") { length >= bound } else { length <= bound },
        at,
        &format!("within {keyword} {bound}"),
    )
}

fn within(fits: bool, at: &str, what: &str) -> Verdict {
    if fits { Ok(()) } else { Err(format!("{} is not {what}", place(at))) }
}

fn place(at: &str) -> &str {
    if at.is_empty() { "the document" } else { at }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_keyword_is_kept_to_or_its_fault_is_told_with_the_place() {
        for (schema, good, bad, fault) in [
            (json!({"type": "object"}), json!({}), json!([]), "the document is not of type object"),
            (json!({"type": ["string", "null"]}), json!(null), json!(1), "one of the types"),
            (json!({"type": "integer"}), json!(2.0), json!(2.5), "of type integer"),
            (json!({"enum": ["a", 1]}), json!(1), json!("b"), "enum"),
            (json!({"const": "a"}), json!("a"), json!("b"), "const"),
            (json!({"required": ["a"]}), json!({"a": null}), json!({"b": 1}), "lacks the required field a"),
            (
                json!({"properties": {"a": {"type": "string"}}}),
                json!({"a": "x"}),
                json!({"a": 1}),
                "/a is not of type string",
            ),
            (
                json!({"properties": {"a": {}}, "additionalProperties": false}),
                json!({"a": 1}),
                json!({"b": 1}),
                "/b may not be there",
            ),
            (json!({"items": {"type": "number"}}), json!([1, 2.5]), json!([1, "x"]), "/1 is not of type number"),
            (json!({"prefixItems": [{"type": "string"}], "items": false}), json!(["a"]), json!(["a", 1]), "/1 may not"),
            (json!({"minimum": 1, "maximum": 2}), json!(2), json!(3), "maximum 2"),
            (json!({"exclusiveMinimum": 1}), json!(1.5), json!(1), "exclusiveMinimum"),
            (json!({"minLength": 2}), json!("éé"), json!("é"), "minLength 2"),
            (json!({"maxItems": 1}), json!([1]), json!([1, 2]), "maxItems 1"),
            (json!({"anyOf": [{"type": "string"}, {"type": "null"}]}), json!("x"), json!(1), "anyOf"),
            (json!({"oneOf": [{"type": "number"}, {"type": "integer"}]}), json!(1.5), json!(1), "oneOf"),
            (
                json!({"allOf": [{"required": ["a"]}, {"required": ["b"]}]}),
                json!({"a": 1, "b": 1}),
                json!({"a": 1}),
                "field b",
            ),
            (json!({"not": {"type": "string"}}), json!(1), json!("x"), "not"),
            (
                json!({"$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"}),
                json!({"next": {"next": {}}}),
                json!({"next": {"next": 1}}),
                "/next/next is not of type object",
            ),
        ] {
            assert_eq!(check(&schema, &good), Checked { fault: None, unchecked: BTreeSet::new() }, "{schema}");
            let told = check(&schema, &bad).fault.unwrap_or_default();
            assert!(told.contains(fault), "{schema}: {told}");
        }
    }

    #[test]
    fn what_is_not_checked_is_named() {
        let schema = json!({"type": "string", "pattern": "^a", "format": "date", "$ref": "https://example.com/x"});
        let told: Vec<String> = check(&schema, &json!("b")).unchecked.into_iter().collect();
        assert_eq!(told, ["$ref", "format", "pattern"]);
    }

    #[test]
    fn a_schema_that_refers_to_itself_comes_to_an_end() {
        let schema = json!({"$ref": "#", "anyOf": [{"$ref": "#"}, {"$ref": "#"}]});
        assert!(check(&schema, &json!(1)).unchecked.contains("schemas that lie too deep"));
    }
}
