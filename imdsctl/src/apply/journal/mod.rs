//! The journal of a plan: what was about to be sent, what EC2 said, and what became of each instance.
//!
//! The intention is on disk before the call, so that no change of a killed run is unknown.

mod line;
mod lock;
mod read;
#[cfg(test)]
mod tests;
mod writer;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, ensure};

use crate::output::json;
pub use line::{Ended, Header, Intention, Line, Place, Run, Sent, SentWord, VERSION};
pub use lock::Locked;
pub use read::{Progress, Read};
pub use writer::Writer;

/// A journal that this process holds.
pub struct Journal {
    file: Locked,
    path: PathBuf,
    /// What it said when it was opened.
    pub read: Read,
    /// Whether it did not exist.
    pub is_new: bool,
}

/// The journal of the plan in `file`.
pub fn path_of(plan: &Path) -> PathBuf {
    let mut name = plan.as_os_str().to_owned();
    name.push(".journal.jsonl");
    name.into()
}

impl Journal {
    /// Opens or creates the journal at `path`, and holds it until it is dropped.
    ///
    /// # Errors
    /// Another process holds it, it belongs to another plan, it is damaged, or it cannot be read or written.
    pub fn open(path: &Path, header: &Header) -> Result<Self> {
        let name = path.display();
        let (file, is_new) = open(path).with_context(|| format!("{name} cannot be opened"))?;
        let mut file = hold(file, path)?;
        let read = read_whole(&mut file).with_context(|| format!("{name} cannot be read"))?;
        let read = read::read(&read).with_context(|| {
            format!("{name} cannot be used; look into it, and move it away only if you know that nothing is left to do")
        })?;
        // Nothing was done before a run began, so that a journal without one is begun anew.
        let read = if read.run.is_some() { read } else { Read::default() };
        if let Some(found) = &read.header {
            ensure!(
                found.plan_sha256 == header.plan_sha256,
                "{name} is the journal of another plan: the plan was changed after it was applied. To go on, put back \
                 the plan as it was; to begin anew, give the changed plan another name"
            );
        }
        let mut journal = Self { file, path: path.to_owned(), read, is_new };
        journal.begin(header).with_context(|| format!("{name} cannot be written"))?;
        Ok(journal)
    }

    /// Removes what does not count, and writes the first line if there is none.
    fn begin(&mut self, header: &Header) -> io::Result<()> {
        if self.file.metadata()?.len() != self.read.whole {
            self.file.set_len(self.read.whole)?;
        }
        if self.read.header.is_none() {
            let line = json(&Line::Journal(header.clone()))?;
            self.file.write_all(format!("{line}\n").as_bytes())?;
        }
        self.file.sync_all()?;
        sync_folder(&self.path)
    }

    /// Begins a run, after which lines are written.
    ///
    /// # Errors
    /// The journal cannot be written.
    pub fn write(mut self, run: Run) -> Result<Writer> {
        let name = self.path.display().to_string();
        let line = json(&Line::Run(run))?;
        let written =
            self.file.write_all(format!("{line}\n").as_bytes()).and_then(|()| self.file.sync_data());
        written.with_context(|| format!("{name} cannot be written"))?;
        Writer::start(self.file, &name)
    }

    /// Removes the journal if this process created it: nothing was done.
    pub fn discard(self) {
        if self.is_new {
            // A journal without a change does no harm.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Opens the file, and creates it if it does not exist. Nobody else may read it: it names instances.
fn open(path: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.read(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.clone().create_new(true).open(path) {
        Ok(file) => return Ok((file, true)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    // A link, or a pipe, is not what an earlier run created.
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    options.open(path).map(|file| (file, false))
}

/// Holds the journal, or says who does.
fn hold(file: File, path: &Path) -> Result<Locked> {
    Locked::exclusive(file).map_err(|(mut file, error)| match error {
        TryLockError::Error(error) => anyhow!(error).context(format!("{} cannot be locked", path.display())),
        TryLockError::WouldBlock => anyhow!(held(&mut file, path)),
    })
}

/// Says who holds the journal.
fn held(file: &mut File, path: &Path) -> String {
    let run = read_whole(file).ok().and_then(|bytes| read::read(&bytes).ok()).and_then(|read| read.run);
    let last = match run {
        Some(Run { at, caller, pid }) => {
            format!("the last run is that of process {pid} of {caller}, since {at}")
        }
        None => "no run has begun".to_owned(),
    };
    format!("the plan is being applied or restored: another process holds {}; {last}", path.display())
}

fn read_whole(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a journal that no process writes, and keeps others from it until the file is dropped.
///
/// # Errors
/// A process holds it, it is damaged, or it cannot be read.
pub fn read_file(path: &Path) -> Result<(Read, Locked)> {
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut file = Locked::shared(file).map_err(|mut file| anyhow!(held(&mut file, path)))?;
    let bytes = read_whole(&mut file).with_context(|| format!("{} cannot be read", path.display()))?;
    let read = read::read(&bytes).map_err(|error| anyhow!("{}: {error:#}", path.display()))?;
    Ok((read, file))
}

/// Whether a run of a plan has begun with the journal at `path`. One that cannot be read counts as such.
pub fn is_begun(path: &Path) -> bool {
    path.exists() && !read_file(path).is_ok_and(|(read, _)| read.run.is_none())
}

/// Makes sure that the file is found after a crash of the machine.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}
