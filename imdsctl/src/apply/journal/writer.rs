//! Writes lines on a thread of its own: lines that come together are synced together, and no call waits for the disk.

use std::fs::File;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};
use tokio::sync::oneshot;

use super::line::Line;
use super::lock::Locked;
use crate::output::json;

/// Writes the lines of a run.
pub struct Writer {
    lines: Sender<Entry>,
    thread: JoinHandle<()>,
    failure: Failure,
}

/// A line, and who waits for it.
struct Entry {
    text: String,
    written: Option<oneshot::Sender<Result<(), String>>>,
}

/// Why the journal cannot be written, if so. From then on, nothing is written.
#[derive(Debug, Clone, Default)]
struct Failure(Arc<Mutex<Option<String>>>);

impl Failure {
    fn get(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, why: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| why.to_owned());
    }
}

impl Writer {
    /// Takes over the file, which ends with a whole line. `name` is the file's, in messages.
    pub(super) fn start(file: Locked, name: &str) -> Result<Self> {
        let (lines, received) = channel();
        let failure = Failure::default();
        let (noted, name) = (failure.clone(), name.to_owned());
        let work = move || write_all(file, &name, &received, &noted);
        let thread = thread::Builder::new().name("journal".to_owned()).spawn(work);
        Ok(Self { lines, thread: thread.context("no thread can be started")?, failure })
    }

    /// Why the journal cannot be written, if so.
    pub fn failure(&self) -> Option<String> {
        self.failure.get()
    }

    /// Writes a line later.
    pub fn add(&self, line: &Line) {
        self.send(line, None);
    }

    /// Writes a line. The future ends when it is on disk.
    ///
    /// # Errors
    /// The future's: the line, or one before it, cannot be written.
    pub fn sync(&self, line: &Line) -> impl Future<Output = Result<(), String>> + use<> {
        let (written, is_written) = oneshot::channel();
        self.send(line, Some(written));
        let failure = self.failure.clone();
        async move {
            let ended = || Err(failure.get().unwrap_or_else(|| "the journal's thread ended".to_owned()));
            is_written.await.unwrap_or_else(|_| ended())
        }
    }

    fn send(&self, line: &Line, written: Option<oneshot::Sender<Result<(), String>>>) {
        match json(line) {
            // If the thread has ended, `written` is dropped, which whoever waits notices.
            Ok(text) => _ = self.lines.send(Entry { text, written }),
            Err(error) => self.failure.set(&error.to_string()),
        }
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// Why a line was not written.
    pub fn close(self) -> Result<()> {
        drop(self.lines);
        let joined = self.thread.join();
        let ended = joined.err().map(|_| "the journal's thread ended with a defect".to_owned());
        self.failure.get().or(ended).map_or(Ok(()), |why| Err(anyhow!(why)))
    }
}

/// Writes lines until there are no more senders.
fn write_all(mut file: Locked, name: &str, received: &Receiver<Entry>, failure: &Failure) {
    while let Ok(first) = received.recv() {
        let (mut text, mut waiting) = (String::new(), Vec::new());
        for entry in std::iter::once(first).chain(received.try_iter()) {
            text.push_str(&entry.text);
            text.push('\n');
            waiting.extend(entry.written);
        }
        if failure.get().is_none()
            && let Err(error) = write(&mut file, &text)
        {
            failure.set(&format!("{name} cannot be written: {error}"));
        }
        for written in waiting {
            // Whoever waited may have given up.
            let _ = written.send(failure.get().map_or(Ok(()), Err));
        }
    }
}

/// Writes whole lines, or none.
fn write(file: &mut File, text: &str) -> io::Result<()> {
    let before = file.metadata()?.len();
    file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).inspect_err(|_| {
        // If this fails, too, the next run finds the torn line.
        let _ = file.set_len(before);
    })
}
