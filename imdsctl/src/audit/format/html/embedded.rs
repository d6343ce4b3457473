//! The instances of a report as JSON inside of its HTML.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Write};

use imds_core::mode::Mode;
use serde::Serialize;

use super::super::changes::changes;
use super::super::counts::Class;
use crate::audit::row::Row;
use crate::output;

/// The index of a text in [`Embedded::texts`].
type Text = usize;

/// The instances, and the texts that they name by their index. The script knows the order of the fields.
#[derive(Default)]
pub struct Embedded {
    indices: HashMap<Box<str>, Text>,
    /// The texts, each followed by a comma.
    texts: String,
    /// The instances, each followed by a comma.
    rows: String,
}

/// An instance. JSON has it as a list.
#[derive(Serialize)]
struct Cells<'a>(
    // Account, Region, id, name, state, class, decision
    Text,
    Text,
    &'a str,
    Option<Cow<'a, str>>,
    Option<&'static str>,
    usize,
    &'static str,
    // Whether only dry runs are sent; the calls without a token, their last day
    bool,
    Option<u64>,
    Option<String>,
    // The kind of the source, the source
    Option<Text>,
    Option<Text>,
    // Options, changes, reasons, warnings
    Vec<Text>,
    Vec<Text>,
    Vec<Text>,
    Vec<Text>,
);

impl Embedded {
    /// Adds an instance.
    pub fn add(&mut self, row: &Row, class: Class) -> io::Result<()> {
        let options: Vec<String> = row.before.iter().map(|value| value.to_string()).collect();
        let changes = changes(row);
        let source = row.source.as_ref();
        let usage = row.usage.as_ref();
        let cells = Cells(
            self.text(row.account.as_str())?,
            self.text(row.region.as_str())?,
            row.instance_id.as_str(),
            row.name.as_deref().map(output::printable),
            row.state,
            class as usize,
            row.decision,
            row.mode == Mode::DryRun,
            usage.map(|usage| usage.calls),
            usage.and_then(|usage| usage.last_day).map(|day| day.to_string()),
            source.map(|source| self.text(source.kind.as_str())).transpose()?,
            source.map(|source| self.text(&source.to_string())).transpose()?,
            self.list(&options)?,
            self.list(&changes)?,
            self.list(&row.reasons)?,
            self.list(&row.warnings)?,
        );
        self.rows.push_str(&embedded(&cells)?);
        self.rows.push_str(",\n");
        Ok(())
    }

    /// Writes the JSON document.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let without_comma = |list: &str| list.trim_end().trim_end_matches(',').len();
        let (texts, rows) = (without_comma(&self.texts), without_comma(&self.rows));
        writeln!(out, "{{\"texts\":[{}],\"rows\":[\n{}\n]}}", &self.texts[..texts], &self.rows[..rows])
    }

    fn list(&mut self, texts: &[String]) -> io::Result<Vec<Text>> {
        texts.iter().map(|text| self.text(text)).collect()
    }

    fn text(&mut self, text: &str) -> io::Result<Text> {
        if let Some(index) = self.indices.get(text) {
            return Ok(*index);
        }
        let index = self.indices.len();
        self.texts.push_str(&embedded(&output::printable(text))?);
        self.texts.push(',');
        self.indices.insert(text.into(), index);
        Ok(index)
    }
}

/// Returns the value as JSON that can be inside a `script` element: it has no character that HTML or JavaScript obeys.
/// U+2028 and U+2029 are among those that [`output::json`] escapes.
fn embedded(value: &impl Serialize) -> io::Result<String> {
    Ok(output::json(value)?.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_nothing_that_html_obeys_and_is_the_text_nevertheless() {
        for text in
            ["</script><script>", "<!--", "]]>", "&lt;", "\u{2028}\u{2029}", "\u{202e}\u{1b}", "it's \"\\"]
        {
            let json = embedded(&text).unwrap();
            assert!(!json.contains(['<', '>', '&', '\u{2028}', '\u{2029}', '\u{202e}', '\u{1b}']), "{json}");
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
