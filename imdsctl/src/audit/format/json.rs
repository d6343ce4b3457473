//! An audit as one JSON document, written instance by instance.

use std::io::{self, Write};

use crate::audit::row::{Ending, Row};
use crate::output;

/// Writes `{"instances": [ … ], …}`: the instances, each in a line, then the fields of [`Ending`].
pub struct Json<W> {
    out: W,
    is_empty: bool,
}

impl<W: Write> Json<W> {
    /// Nothing is written before the first instance or the end.
    pub fn new(out: W) -> Self {
        Self { out, is_empty: true }
    }

    pub fn row(&mut self, row: &Row) -> io::Result<()> {
        self.separate()?;
        self.is_empty = false;
        self.out.write_all(output::json(row)?.as_bytes())
    }

    pub fn finish(mut self, ending: &Ending) -> io::Result<()> {
        if self.is_empty {
            self.separate()?;
        }
        let ending = output::json(ending)?;
        // The fields continue the object that is open.
        let fields = ending.strip_prefix('{').unwrap_or(&ending);
        writeln!(self.out, "\n],\n{fields}")?;
        self.out.flush()
    }

    fn separate(&mut self) -> io::Result<()> {
        self.out.write_all(if self.is_empty { b"{\"instances\": [\n" } else { b",\n" })
    }
}
