//! The interface `Routing`: where requests go and why, what left the device, what was served.

use std::collections::HashMap;
use std::os::fd::OwnedFd as StdFd;

use edge_wire::sites::Explanation;
use zbus::message::Header;
use zbus::{OwnedFd, OwnedVariant, Variant, interface};

use super::arguments;
use super::authorize::Access;
use super::control::json;
use super::door::Door;
use super::error::No;
use crate::handle::{AuditFilter, Message, Profile, UsageFilter};
use crate::request::Failure;
use crate::transport::options;

/// Most of a policy file that is read, bytes.
const MAX_POLICY: u64 = 1 << 20;

/// The interface on one connection.
#[derive(Debug)]
pub struct Routing(pub Door);

type Given<'a> = HashMap<&'a str, Variant<'a>>;

#[interface(name = "org.edged.Edge1.Routing")]
impl Routing {
    /// What would become of such a request now, and every rule that was asked, with its numbers. profile takes the options of a
    /// request, and bytes (t), content_type (s), input_tokens (u), output_tokens (u), text (s, looked into as a payload would be)
    /// and source (s: bus, bus:UID or mqtt:TOPIC). The answer has what is plain, and all of it as JSON under json (s).
    #[zbus(out_args("explanation"))]
    async fn explain(
        &self,
        model: &str,
        profile: Given<'_>,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<HashMap<String, OwnedVariant>, No> {
        let _place = self.0.open(&header, Access::Read).await?;
        let profile = Box::new(read_profile(model, &profile)?);
        let explanation = self.0.service.handle.ask(|done| Message::Explain { profile, done }).await??;
        Ok(dictionary(&explanation)?)
    }

    /// What left the device, the newest first, as JSON. Options: since (s, RFC 3339), site, model, data_class (s), limit (u).
    #[zbus(out_args("json"))]
    async fn audit(&self, options: Given<'_>, #[zbus(header)] header: Header<'_>) -> Result<String, No> {
        let _place = self.0.open(&header, Access::Read).await?;
        let filter = read_audit(&options)?;
        let rows = self.0.service.handle.ask(|done| Message::Audit { filter, done }).await??;
        Ok(json(&rows)?)
    }

    /// What was served, by model, site and verdict, as JSON. Options: since and until (s, RFC 3339), step (s: minute, hour, day
    /// or all).
    #[zbus(out_args("json"))]
    async fn usage(&self, options: Given<'_>, #[zbus(header)] header: Header<'_>) -> Result<String, No> {
        let _place = self.0.open(&header, Access::Read).await?;
        let filter = read_usage(&options)?;
        let rows = self.0.service.handle.ask(|done| Message::Usage { filter, done }).await??;
        Ok(json(&rows)?)
    }

    /// The recorded decisions under the policy of this file, as JSON. Options: since (s, RFC 3339). Nothing is changed.
    #[zbus(out_args("json"))]
    async fn replay(
        &self,
        policy: OwnedFd,
        options: Given<'_>,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<String, No> {
        let _place = self.0.open(&header, Access::Read).await?;
        let since = text(&options, "since")?.map(str::to_owned);
        let policy = read_policy(policy.into()).await?;
        let replay = self.0.service.handle.ask(|done| Message::Replay { policy, since, done }).await??;
        Ok(json(&replay)?)
    }
}

/// The text of a policy file; away from the loop, as its disk may not answer.
async fn read_policy(from: StdFd) -> Result<String, Failure> {
    let read = tokio::task::spawn_blocking(move || {
        use std::io::Read as _;
        let mut text = String::new();
        std::fs::File::from(from).take(MAX_POLICY + 1).read_to_string(&mut text).map(|_| text)
    });
    let bad = |why: String| Failure::invalid(format!("policy: {why}"));
    let text = read.await.map_err(|error| bad(error.to_string()))?.map_err(|error| bad(format!("read it: {error}")))?;
    if text.len() as u64 > MAX_POLICY {
        return Err(bad(format!("longer than {MAX_POLICY} bytes")));
    }
    Ok(text)
}

fn dictionary(explanation: &Explanation) -> Result<HashMap<String, OwnedVariant>, Failure> {
    let text = |text: &str| OwnedVariant::from(zbus::Str::from(text.to_owned()));
    let mut told = HashMap::from([
        ("model".to_owned(), text(&explanation.model)),
        ("verdict".to_owned(), text(&explanation.verdict)),
        ("reason".to_owned(), text(&explanation.reason)),
        ("site".to_owned(), text(&explanation.site)),
        ("data_class".to_owned(), text(&explanation.data_class)),
        ("farthest".to_owned(), text(&explanation.farthest)),
        ("here".to_owned(), text(&explanation.here)),
        ("deadline_ms".to_owned(), OwnedVariant::from(explanation.deadline_ms)),
        ("wait_ms".to_owned(), OwnedVariant::from(explanation.wait_ms)),
        ("json".to_owned(), text(&json(explanation)?)),
    ]);
    if !explanation.code.is_empty() {
        told.insert("code".to_owned(), text(&explanation.code));
    }
    if let Some(predicted) = explanation.predicted_ms {
        told.insert("predicted_ms".to_owned(), OwnedVariant::from(predicted));
    }
    Ok(told)
}

fn text<'a>(given: &'a Given<'_>, name: &str) -> Result<Option<&'a str>, Failure> {
    match given.get(name) {
        None => Ok(None),
        Some(value) => match <&str>::try_from(value) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(Failure::invalid(format!("option {name}: takes a text"))),
        },
    }
}

fn number(given: &Given<'_>, name: &str, most: u64) -> Result<Option<u64>, Failure> {
    let Some(value) = given.get(name) else { return Ok(None) };
    match arguments::integer(value).and_then(|number| u64::try_from(number).ok()).filter(|it| *it <= most) {
        Some(number) => Ok(Some(number)),
        None => Err(Failure::invalid(format!("option {name}: takes an integer from 0 to {most}"))),
    }
}

/// Options that are not those of a request.
const OF_PROFILE: [&str; 6] = ["bytes", "content_type", "input_tokens", "output_tokens", "text", "source"];

fn read_profile(model: &str, given: &Given<'_>) -> Result<Profile, Failure> {
    let mut parser = options::Parser::default();
    for (name, value) in given.iter().filter(|(name, _)| !OF_PROFILE.contains(*name)) {
        arguments::take(&mut parser, name, value)?;
    }
    let small = |name| {
        let told = number(given, name, u64::from(u32::MAX))?;
        Ok::<u32, Failure>(told.map_or(0, |it| u32::try_from(it).unwrap_or(u32::MAX)))
    };
    Ok(Profile {
        model: model.to_owned(),
        options: parser.finish(),
        bytes: number(given, "bytes", u64::MAX)?,
        content_type: text(given, "content_type")?.map(str::to_owned),
        input_tokens: small("input_tokens")?,
        output_tokens: small("output_tokens")?,
        text: text(given, "text")?.map(str::to_owned),
        source: text(given, "source")?.map(str::to_owned),
    })
}

fn read_audit(given: &Given<'_>) -> Result<AuditFilter, Failure> {
    let one = |name| Ok::<_, Failure>(text(given, name)?.map(str::to_owned));
    Ok(AuditFilter {
        since: one("since")?,
        site: one("site")?,
        model: one("model")?,
        class: one("data_class")?,
        limit: number(given, "limit", 1_000)?.map_or(100, |limit| u32::try_from(limit).unwrap_or(u32::MAX)),
    })
}

fn read_usage(given: &Given<'_>) -> Result<UsageFilter, Failure> {
    let one = |name| Ok::<_, Failure>(text(given, name)?.map(str::to_owned));
    let step = one("step")?;
    if let Some(step) = &step
        && !["minute", "hour", "day", "all"].contains(&step.as_str())
    {
        return Err(Failure::invalid("option step: takes minute, hour, day or all"));
    }
    Ok(UsageFilter { since: one("since")?, until: one("until")?, step: step.unwrap_or_else(|| "all".into()) })
}
