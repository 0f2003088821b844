//! Shows where requests go: the same stream with the box idle, hot, cut off and over budget, and a table of where each went and
//! why. Ends with 0 only if each went where it may. With `--explain`: what `edgectl route explain` says of five typical requests.

use std::process::ExitCode;

use edge_tests::demo;
use edge_tests::runner::block_on;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => stream(),
        Some("--explain") => explain(),
        Some(other) => {
            eprintln!("edge-demo-sites: {other:?} is not known; it takes nothing, or --explain");
            ExitCode::from(2)
        }
    }
}

fn explain() -> ExitCode {
    match block_on(demo::explain::explain()).and_then(|done| done) {
        Ok(shown) => {
            for one in &shown.five {
                println!("$ edgectl route explain {}\n{}", one.profile, one.text);
            }
            println!("$ edgectl route replay --policy new.toml\n{}", shown.replay);
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("edge-demo-sites: {fault:?}");
            ExitCode::FAILURE
        }
    }
}

fn stream() -> ExitCode {
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
