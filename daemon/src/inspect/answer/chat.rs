//! Reads the answer of a language model (an OpenAI `chat.completion` or `text_completion`): how it ended, how much it says again, whether
//! it is the JSON that was asked for, how likely its tokens were. Must not know which of them is enough.

use std::collections::BTreeSet;

use serde_json::Value;

use super::repeats::repetition;
use super::schema;

/// What was asked for by `response_format`.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Wanted {
    /// Text.
    #[default]
    Text,
    /// `json_object`: an object, whatever is in it.
    Object,
    /// `json_schema`: a document that keeps to this schema.
    Schema(Value),
}

/// What is asked for by a request's body.
pub fn wanted(request: &Value) -> Wanted {
    let Some(format) = request.get("response_format") else { return Wanted::Text };
    match format.get("type").and_then(Value::as_str) {
        Some("json_object") => Wanted::Object,
        Some("json_schema") => match format.pointer("/json_schema/schema") {
            Some(schema) => Wanted::Schema(schema.clone()),
            None => Wanted::Object,
        },
        _ => Wanted::Text,
    }
}

/// What an answer shows; of several choices the worst of each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Told {
    /// It ended at the limit of its length.
    pub truncated: bool,
    /// There is neither text nor a call of a tool.
    pub empty: bool,
    /// See [`repetition`]; `None` for short texts.
    pub repetition: Option<f64>,
    /// Mean of the natural logarithms of the tokens' probabilities; `None` if they were not asked for.
    pub mean_log_probability: Option<f64>,
    /// Why it is not what was asked for.
    pub schema_fault: Option<String>,
    /// Keywords of the schema that were not checked.
    pub unchecked: BTreeSet<String>,
}

/// Reads an answer.
pub fn read(answer: &Value, wanted: &Wanted) -> Told {
    let mut told = Told::default();
    for choice in answer.get("choices").and_then(Value::as_array).into_iter().flatten() {
        told.truncated |= choice.get("finish_reason").and_then(Value::as_str) == Some("length");
        let content = choice.pointer("/message/content").or_else(|| choice.get("text")).and_then(Value::as_str);
        let calls = choice.pointer("/message/tool_calls").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let text = content.unwrap_or_default();
        told.empty |= text.trim().is_empty() && calls.is_empty();
        told.repetition = most(told.repetition, repetition(text));
        told.mean_log_probability = least(told.mean_log_probability, mean_log_probability(choice));
        for call in calls {
            arguments(call, &mut told);
        }
        // A call of a tool takes the place of the text.
        if calls.is_empty() {
            keeps_to(text, wanted, &mut told);
        }
    }
    told
}

fn keeps_to(text: &str, wanted: &Wanted, told: &mut Told) {
    if *wanted == Wanted::Text {
        return;
    }
    match serde_json::from_str::<Value>(text) {
        Err(fault) => fail(told, format!("the answer is not JSON: {fault}")),
        Ok(document) => match wanted {
            Wanted::Schema(schema) => {
                let checked = schema::check(schema, &document);
                told.unchecked.extend(checked.unchecked);
                if let Some(fault) = checked.fault {
                    fail(told, fault);
                }
            }
            _ if !document.is_object() => fail(told, "the answer is not an object".to_owned()),
            _ => {}
        },
    }
}

fn arguments(call: &Value, told: &mut Told) {
    let Some(text) = call.pointer("/function/arguments").and_then(Value::as_str) else { return };
    // No arguments at all are written as an empty text by some servers.
    if text.trim().is_empty() {
        return;
    }
    if let Err(fault) = serde_json::from_str::<Value>(text) {
        fail(told, format!("the arguments of a tool are not JSON: {fault}"));
    }
}

fn fail(told: &mut Told, fault: String) {
    told.schema_fault.get_or_insert(fault);
}

/// `logprobs.content[].logprob` of a chat, `logprobs.token_logprobs[]` of a completion.
fn mean_log_probability(choice: &Value) -> Option<f64> {
    let of_chat = choice.pointer("/logprobs/content").and_then(Value::as_array);
    let of_text = choice.pointer("/logprobs/token_logprobs").and_then(Value::as_array);
    let each = of_chat.into_iter().flatten().filter_map(|token| token.get("logprob")?.as_f64());
    let all = each.chain(of_text.into_iter().flatten().filter_map(Value::as_f64));
    let (sum, count) = all.fold((0.0, 0_u32), |(sum, count), one| (sum + one, count.saturating_add(1)));
    (count > 0).then(|| sum / f64::from(count))
}

fn most(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.into_iter().chain(other).reduce(f64::max)
}

fn least(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.into_iter().chain(other).reduce(f64::min)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(content: &str) -> Value {
        json!({"choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": content}}]})
    }

    #[test]
    fn what_is_wrong_with_an_answer_is_told() {
        let schema =
            Wanted::Schema(json!({"type": "object", "required": ["a"], "properties": {"a": {"format": "date"}}}));
        for (answer, wanted, fault) in [
            (answer("{\"a\":1}"), Wanted::Object, None),
            (answer("[1]"), Wanted::Object, Some("not an object")),
            (answer("```json\n{}\n```"), Wanted::Object, Some("not JSON")),
            (answer("{\"a\":1}"), schema.clone(), None),
            (answer("{\"b\":1}"), schema.clone(), Some("required field a")),
            (answer("anything"), Wanted::Text, None),
            (
                json!({"choices": [{"message": {"content": null, "tool_calls": [{"function": {"arguments": "{\"x\":"}}]}}]}),
                Wanted::Text,
                Some("arguments of a tool"),
            ),
        ] {
            let told = read(&answer, &wanted);
            match fault {
                Some(part) => assert!(told.schema_fault.as_ref().is_some_and(|fault| fault.contains(part)), "{told:?}"),
                None => assert_eq!(told.schema_fault, None, "{answer}"),
            }
        }
        assert!(read(&answer("{\"a\":1}"), &schema).unchecked.contains("format"));
    }

    #[test]
    fn the_worst_of_several_choices_counts() {
        let told = read(
            &json!({"choices": [
                {"finish_reason": "stop", "message": {"content": "yes"}, "logprobs": {"content": [{"logprob": -0.5}, {"logprob": -1.5}]}},
                {"finish_reason": "length", "message": {"content": " "}, "logprobs": {"content": [{"logprob": -3.0}]}},
                {"text": "x", "logprobs": {"token_logprobs": [null, -2.0]}}]}),
            &Wanted::Text,
        );
        assert!(told.truncated && told.empty);
        assert_eq!(told.mean_log_probability, Some(-3.0));
    }

    #[test]
    fn a_request_says_what_it_wants() {
        for (request, expected) in [
            (json!({}), Wanted::Text),
            (json!({"response_format": {"type": "text"}}), Wanted::Text),
            (json!({"response_format": {"type": "json_object"}}), Wanted::Object),
            (
                json!({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "array"}}}}),
                Wanted::Schema(json!({"type": "array"})),
            ),
        ] {
            assert_eq!(wanted(&request), expected, "{request}");
        }
    }
}
