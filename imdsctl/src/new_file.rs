//! Files that commands write: they appear when they are complete, so that no broken one takes the place of an earlier one.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// How many files that killed processes left are passed over.
const MOST_PARTIALS: u32 = 100;

/// A file that is being written. Unless it is finished, nothing stays of it, but what a killed process leaves beside it.
pub struct NewFile {
    out: BufWriter<File>,
    path: PathBuf,
    /// Where the text is until it is complete; `None` if `path` is no regular file, such as a pipe.
    partial: Option<PathBuf>,
}

impl NewFile {
    /// Begins the file. A symbolic link stays one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        ensure!(path != Path::new("-"), "--output - is no file: name one, such as --output ./result");
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let is_special = fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir());
        ensure!(!path.is_dir(), "{} cannot be written: it is a folder", path.display());
        let begun = match is_special {
            true => File::options().write(true).open(&path).map(|file| (file, None)),
            false => create_partial(&path).map(|(file, partial)| (file, Some(partial))),
        };
        let (file, partial) = begun.with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Self { out: BufWriter::new(file), path, partial })
    }

    /// Completes the file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        let synced = self.out.get_ref().sync_all();
        if let Some(partial) = &self.partial {
            let permitted = match fs::metadata(&self.path) {
                Ok(before) => fs::set_permissions(partial, before.permissions()),
                Err(_) => Ok(()),
            };
            let named = synced.and(permitted).and_then(|()| fs::rename(partial, &self.path));
            named.with_context(|| format!("{} cannot be written", self.path.display()))?;
            self.partial = None;
        }
        Ok(())
    }

    fn named<T>(&self, written: io::Result<T>) -> io::Result<T> {
        let cannot = |error: io::Error| {
            io::Error::new(error.kind(), format!("{} cannot be written: {error}", self.path.display()))
        };
        written.map_err(cannot)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        self.named(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.named(flushed)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(partial) = &self.partial {
            // What cannot be removed does no harm: the next run takes another name.
            let _ = fs::remove_file(partial);
        }
    }
}

/// Creates a file beside `path` that does not exist yet: nothing that is there is written to.
fn create_partial(path: &Path) -> io::Result<(File, PathBuf)> {
    let mut number = 0;
    loop {
        let mut partial = path.as_os_str().to_owned();
        partial.push(format!(".{}.partial", std::process::id() + number));
        match File::create_new(&partial) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < MOST_PARTIALS => {
                number += 1
            }
            created => return created.map(|file| (file, partial.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_when_it_is_complete() {
        let folder = std::env::temp_dir().join(format!("imdsctl-new-file-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (path, link) = (folder.join("report.html"), folder.join("link"));
        let names = || fs::read_dir(&folder).unwrap().count();

        let mut begun = NewFile::create(&path).unwrap();
        begun.write_all(b"half").unwrap();
        drop(begun);
        assert_eq!(names(), 0, "nothing stays of a file that is not finished");

        let write = |path: &Path, text: &[u8]| {
            let mut file = NewFile::create(path).unwrap();
            file.write_all(text).unwrap();
            file.finish().unwrap();
        };
        // What a killed process with the same ID left does not stop this one.
        fs::write(folder.join(format!("report.html.{}.partial", std::process::id())), b"left").unwrap();
        write(&path, b"one");
        fs::remove_file(folder.join(format!("report.html.{}.partial", std::process::id()))).unwrap();
        assert_eq!((fs::read(&path).unwrap(), names()), (b"one".to_vec(), 1));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&path, &link).unwrap();
            write(&link, b"two");
            assert!(link.is_symlink());
            assert_eq!((fs::read(&path).unwrap(), names()), (b"two".to_vec(), 2));
            write(Path::new("/dev/null"), b"three");
            assert!(!fs::metadata("/dev/null").unwrap().is_file(), "a device stays one");
        }
        assert!(NewFile::create(&folder).is_err(), "a folder");
        assert!(NewFile::create(Path::new("-")).is_err(), "standard output is not meant");
        fs::remove_dir_all(&folder).unwrap();
    }
}
