//! A wall clock of a process's own, which a test sets while the process runs: a small library before that of the system
//! (`wall/wall.c`), compiled where there is a C compiler. Running time is not moved, as on a machine whose clock is set.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// The clock of one daemon.
#[derive(Debug)]
pub struct Wall {
    library: PathBuf,
    file: PathBuf,
}

impl Wall {
    /// Makes one below `dir`; nothing where there is no C compiler.
    pub fn make(dir: &Path) -> Result<Option<Wall>> {
        let wall = Wall { library: dir.join("wall.so"), file: dir.join("wall") };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/wall/wall.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&wall.library).arg(source);
        match compiler.output() {
            Ok(output) => ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                println!("SKIPPED: a clock that can be set needs a C compiler, and there is no `cc`");
                return Ok(None);
            }
            Err(error) => return Err(error).context("run cc"),
        }
        wall.set(0)?;
        Ok(Some(wall))
    }

    /// What a process is started with to have this clock.
    pub fn environment(&self) -> [(String, String); 2] {
        let shown = |path: &Path| path.display().to_string();
        [("LD_PRELOAD".into(), shown(&self.library)), ("TEST_WALL_CLOCK".into(), shown(&self.file))]
    }

    /// So many seconds ahead of the machine's, or behind it.
    pub fn set(&self, seconds: i64) -> Result<()> {
        // Written in place: the process has it mapped.
        use std::os::unix::fs::FileExt as _;
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&self.file)?;
        file.write_all_at(&seconds.to_ne_bytes(), 0).context("set the clock")
    }
}
