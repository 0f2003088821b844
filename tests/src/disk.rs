//! Disks that are really full: a small file system of its own in the place of a directory, seen by the test and the processes that it
//! starts alone.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Smallest room that is left over when it counts as full, bytes: one page.
const PAGE: usize = 4096;
const FILLER: &str = "filler";

/// A small disk.
#[derive(Debug)]
pub struct Small {
    dir: PathBuf,
}

impl Small {
    /// Puts a disk of so many KiB in the place of `dir`, for this thread and what it starts. `None` where that is not allowed; it is
    /// gone with the thread.
    pub fn mount(dir: &Path, kib: u32) -> Result<Option<Small>> {
        fs::create_dir_all(dir)?;
        // SAFETY: of what the threads of this process share, only the table of mounts and the working directory become this
        // thread's own; no memory and no descriptor is concerned.
        if let Err(errno) = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) } {
            println!("SKIPPED: no name space of mounts can be had here ({errno})");
            return Ok(None);
        }
        for words in [
            vec!["--make-rprivate".to_owned(), "/".to_owned()],
            vec![
                "-t".into(),
                "tmpfs".into(),
                "-o".into(),
                format!("size={kib}k"),
                "tmpfs".into(),
                dir.display().to_string(),
            ],
        ] {
            let done = Command::new("mount").args(&words).output().context("run mount")?;
            if !done.status.success() {
                println!("SKIPPED: {}", String::from_utf8_lossy(&done.stderr).trim());
                return Ok(None);
            }
        }
        Ok(Some(Small { dir: dir.to_owned() }))
    }

    /// Fills it up but for so many bytes.
    pub fn fill(&self, left: usize) -> Result<()> {
        self.free()?;
        let mut file = fs::File::create(self.dir.join(FILLER))?;
        let page = [1u8; PAGE];
        while file.write(&page).is_ok_and(|written| written > 0) {}
        let full = file.metadata()?.len();
        let left = u64::try_from(left)?;
        ensure!(full >= left, "the disk has {full} bytes");
        Ok(file.set_len(full - left)?)
    }

    /// There is room again.
    pub fn free(&self) -> Result<()> {
        let filler = self.dir.join(FILLER);
        if filler.exists() {
            fs::remove_file(filler)?;
        }
        Ok(())
    }
}
