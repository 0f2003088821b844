//! `edgectl status [--check]`.

use edge_wire::dto::Status;

use crate::cli::{Common, StatusArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::out::Answer;
use crate::render::{human, json};

pub async fn run(common: &Common, args: &StatusArgs) -> Result<Answer, Failure> {
    let status = super::connect(common).await?.status().await?;
    let text = if common.json { json::record(&status) } else { human::status::status(&status) };
    let exit = if args.check && !is_well(&status) { Exit::Degraded } else { Exit::Done };
    Ok(Answer::done(text).ending(exit))
}

/// The daemon takes requests and knows of nothing that is wrong.
fn is_well(status: &Status) -> bool {
    status.state == "serving" && status.problems.is_empty()
}

#[cfg(test)]
mod tests {
    use edge_wire::dto::Problem;

    use super::*;

    #[test]
    fn only_a_serving_daemon_without_problems_is_well() {
        let serving = Status { state: "serving".into(), ..Status::default() };
        assert!(is_well(&serving));
        assert!(!is_well(&Status { problems: vec![Problem::default()], ..serving }));
        for state in ["starting", "degraded", "draining", "drained", ""] {
            assert!(!is_well(&Status { state: state.into(), ..Status::default() }), "{state}");
        }
    }
}
