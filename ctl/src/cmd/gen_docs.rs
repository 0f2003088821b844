//! `edgectl gen DIR`: everything in the source tree that follows from the command line and the table of settings.

use std::fs;

use crate::cli::GenArgs;
use crate::failure::Failure;
use crate::out::Answer;
use crate::reference;

pub fn run(args: &GenArgs) -> Result<Answer, Failure> {
    let mut written = String::new();
    for file in reference::files() {
        let path = args.dir.join(&file.path);
        let cannot = |error: std::io::Error| Failure::usage(format!("write {}: {error}", path.display()));
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(cannot)?;
        }
        fs::write(&path, &file.text).map_err(cannot)?;
        written.push_str(&format!("{}\n", file.path));
    }
    Ok(Answer::done(written))
}
