//! Where the parts come from: the daemon (`daemon`), programs of the system (`programs`), files of the system and lists of edged's
//! (`places`). Everything is bounded in time and size, and what cannot be had is noted with the reason; nothing here decides what
//! may be told.

mod daemon;
mod places;
mod programs;

use std::path::PathBuf;

use super::Found;
use crate::cli::Common;
use crate::edged;
use crate::failure::Failure;

/// Everything that this box tells. `config` is a configuration file that the command line names.
pub async fn all(common: &Common, config: Option<PathBuf>) -> Result<Found, Failure> {
    let mut found = Found::default();
    let status = daemon::state(common, &mut found).await?;
    let given = status.as_ref().and_then(|status| edged::given(&status.config_files));
    let config = config.or(given);
    daemon::doctor(common, config.clone(), &mut found).await?;
    // What the daemon would read now, and before that what was taken away since it read it.
    let now = edged::config_files(config.as_deref());
    let read = status.iter().flat_map(|status| &status.config_files).map(PathBuf::from);
    let files: Vec<PathBuf> = read.filter(|path| !now.contains(path)).chain(now.iter().cloned()).collect();
    let texts = places::config(&files, &mut found);
    programs::run(&mut found).await;
    programs::edged(config.as_deref(), &mut found).await;
    places::system(&mut found);
    places::lists(&texts, &mut found);
    Ok(found)
}
