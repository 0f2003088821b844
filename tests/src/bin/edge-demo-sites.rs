//! Shows where requests go: the same stream with the box idle, hot, cut off and over budget, and a table of where each went and
//! why. Ends with 0 only if each went where it may.

use std::process::ExitCode;

use edge_tests::demo;
use edge_tests::runner::block_on;

fn main() -> ExitCode {
    match block_on(demo::run()).and_then(|done| done) {
        Ok(found) => {
            println!("\n{}", demo::table::text(&found));
            println!("{:.0} seconds.", found.seconds);
            if demo::holds(&found) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(fault) => {
            eprintln!("edge-demo-sites: {fault:?}");
            ExitCode::FAILURE
        }
    }
}
