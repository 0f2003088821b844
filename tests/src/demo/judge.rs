//! What is held against what was expected: where each request ended, the ledger, the audit, and the links' own record of what
//! left the box. Must not know how it came about.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Result;
use edge_wire::proxy::RoutingProxy;
use edge_wire::sites::AuditEntry;
use zbus::Variant;

use super::stream::{End, Request, Situation, stream};
use super::{Around, Found, KNOWN, Went};
use crate::clock::eventually;

/// How long the audit may take until it has written what became of the last ones.
const WRITTEN: Duration = Duration::from_secs(10);

impl Around {
    /// Holds everything against what was expected.
    pub(super) async fn judge(&self, found: &mut Found) -> Result<()> {
        let all: Vec<Request> = Situation::EACH.into_iter().flat_map(stream).collect();
        let mut checks = vec![
            (format!("each of {} requests ended once", all.len()), each_once(&found.went, &all)),
            (
                "each ended where it may, or was refused by the right name".to_owned(),
                found.went.iter().all(is_expected),
            ),
            ("every answer was right".to_owned(), found.went.iter().all(|went| went.fault.is_empty())),
            (
                "all that may wait were answered in the end".to_owned(),
                found.went.iter().all(is_answered_if_it_may_wait),
            ),
        ];
        for went in found.went.iter().filter(|went| !is_expected(went) || !went.fault.is_empty()) {
            checks.push((format!("{went:?}"), false));
        }
        let paid: f64 = found.went.iter().map(|went| went.cost_usd).sum();
        let spent = self.spent("cloud").await? + self.spent("cloud-chat").await?;
        checks.push((format!("{spent:.3} USD in the ledger, {paid:.3} in the answers"), (spent - paid).abs() < 1e-6));
        checks.push(self.audited(&found.went).await?);
        checks.extend(self.carried(&all)?);
        found.checks = checks;
        Ok(())
    }

    /// One row for each answer from a place outside the box.
    async fn audited(&self, went: &[Went]) -> Result<(String, bool)> {
        let routing = RoutingProxy::new(&self.client.connection).await?;
        let away = KNOWN + went.iter().filter(|went| ["plant", "cloud"].contains(&went.place.as_str())).count();
        let most = HashMap::from([("limit", Variant::from(1_000_u64))]);
        let mut rows: Vec<AuditEntry> = Vec::new();
        let served = |rows: &[AuditEntry]| rows.iter().filter(|row| row.outcome == "ok").count();
        let written = async || {
            rows = serde_json::from_str(&routing.audit(&most).await?)?;
            Ok((served(&rows) >= away).then_some(()))
        };
        // Whether they came is for the check to say.
        eventually("the audit has them", WRITTEN, written).await.ok();
        let regulated = rows.iter().filter(|row| row.data_class == "regulated").count();
        let said = format!(
            "the audit has {} rows: {} answered (with {KNOWN} before the stream), {regulated} regulated",
            rows.len(),
            served(&rows)
        );
        Ok((said, served(&rows) == away && regulated == 0))
    }

    /// What the links themselves have kept of it.
    fn carried(&self, all: &[Request]) -> Result<Vec<(String, bool)>> {
        let (mut found, mut secrets, mut bytes) = (0, 0, 0);
        for secret in all.iter().flat_map(Request::secrets) {
            secrets += 1;
            if self.sites.carried(&secret)? {
                found += 1;
                bytes += secret.len();
            }
        }
        // What may leave is found by the same search: were it blind, it would find nothing here either.
        let free = all.iter().filter(|request| request.kind().model == "measure" || request.kind().model == "chat");
        let mut seen = 0;
        for request in free.filter(|request| request.secrets().is_empty()) {
            for marker in request.markers() {
                seen += usize::from(self.sites.carried(&marker)?);
            }
        }
        let left = self.sites.left();
        Ok(vec![
            (format!("{seen} payloads that may leave were found on the links by the same search"), seen > 0),
            (
                format!("{bytes} bytes of regulated data left: {found} of {secrets} payloads in {left} bytes"),
                found == 0,
            ),
        ])
    }
}

fn each_once(went: &[Went], all: &[Request]) -> bool {
    let mut ids: Vec<String> = went.iter().map(|went| went.request.id()).collect();
    ids.sort();
    ids.dedup();
    ids.len() == all.len() && went.len() == all.len()
}

fn is_expected(went: &Went) -> bool {
    let expected = went.request.kind().expect.get(went.request.situation.column()).copied().unwrap_or_default();
    expected.iter().any(|end| match end {
        End::No(codes) => went.place == "no" && codes.contains(&went.why.as_str()),
        end => went.place == end.word(),
    })
}

fn is_answered_if_it_may_wait(went: &Went) -> bool {
    !went.request.kind().deferrable || went.place != "no"
}
