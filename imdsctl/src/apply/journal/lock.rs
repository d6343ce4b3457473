//! A file with a lock that ends with the value.

use std::fs::{File, TryLockError};
use std::ops::{Deref, DerefMut};

/// A locked file. It is unlocked when it is dropped, also if a process that is being started has inherited it. Closing the
/// file alone would keep the lock until that process runs its program.
#[derive(Debug)]
pub struct Locked(File);

impl Locked {
    /// Takes an exclusive lock. If it cannot, returns the file and the error.
    pub fn exclusive(file: File) -> Result<Self, (File, TryLockError)> {
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(error) => Err((file, error)),
        }
    }

    /// Takes a shared lock. If another process has an exclusive lock, returns the file. A file that cannot be locked counts
    /// as locked: it can still be read.
    pub fn shared(file: File) -> Result<Self, File> {
        match file.try_lock_shared() {
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(file),
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Closing the file, which comes next, unlocks it too.
        let _ = self.0.unlock();
    }
}

impl Deref for Locked {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl DerefMut for Locked {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.0
    }
}
