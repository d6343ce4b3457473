//! Responses in the XML formats of EC2 and STS.

use std::io;

use quick_xml::Writer;
use quick_xml::events::BytesText;

use crate::api::Api;
use crate::error::ApiError;

const EC2: &str = "http://ec2.amazonaws.com/doc/2016-11-15/";
const STS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The content of an element.
#[derive(Debug, Clone)]
pub enum Xml {
    Text(String),
    /// Named elements, in order.
    Node(Vec<(&'static str, Xml)>),
    /// Elements named `item`.
    Items(Vec<Xml>),
}

impl Xml {
    pub fn text(text: impl ToString) -> Self {
        Self::Text(text.to_string().replace(is_unwritable, "\u{fffd}"))
    }

    fn write(&self, name: &str, writer: &mut Writer<Vec<u8>>) -> io::Result<()> {
        let element = writer.create_element(name);
        match self {
            Self::Text(text) => drop(element.write_text_content(BytesText::new(text))?),
            Self::Node(children) => drop(element.write_inner_content(|writer| write_all(children, writer))?),
            Self::Items(items) => drop(element.write_inner_content(|writer| {
                items.iter().try_for_each(|item| item.write("item", writer))
            })?),
        }
        Ok(())
    }
}

/// Whether XML 1.0 cannot represent the character.
fn is_unwritable(character: char) -> bool {
    matches!(character, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}')
}

/// The response document of `action`.
pub fn response(api: Api, action: &str, request_id: &str, content: &Xml) -> Vec<u8> {
    let id = Xml::text(request_id);
    let namespace = if api == Api::Sts { STS } else { EC2 };
    document(&format!("{action}Response"), Some(namespace), |writer| {
        if api != Api::Sts {
            id.write("requestId", writer)?;
        }
        match content {
            Xml::Node(children) => write_all(children, writer)?,
            other => other.write("return", writer)?,
        }
        match api {
            Api::Sts => Xml::Node(vec![("RequestId", id)]).write("ResponseMetadata", writer),
            _ => Ok(()),
        }
    })
}

/// The response document of `error`.
pub fn error(api: Api, error: &ApiError, request_id: &str) -> Vec<u8> {
    let id = Xml::text(request_id);
    let mut content = vec![("Code", Xml::text(&error.code)), ("Message", Xml::text(&error.message))];
    if api == Api::Sts {
        content.insert(0, ("Type", Xml::text(if error.status < 500 { "Sender" } else { "Receiver" })));
        let children = [("Error", Xml::Node(content)), ("RequestId", id)];
        return document("ErrorResponse", Some(STS), |writer| write_all(&children, writer));
    }
    let errors = Xml::Node(vec![("Error", Xml::Node(content))]);
    document("Response", None, |writer| write_all(&[("Errors", errors), ("RequestID", id)], writer))
}

fn write_all(children: &[(&'static str, Xml)], writer: &mut Writer<Vec<u8>>) -> io::Result<()> {
    children.iter().try_for_each(|(name, child)| child.write(name, writer))
}

fn document(
    root: &str,
    namespace: Option<&str>,
    write: impl FnOnce(&mut Writer<Vec<u8>>) -> io::Result<()>,
) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    let namespace = namespace.map(|namespace| ("xmlns", namespace));
    let written = writer.create_element(root).with_attributes(namespace).write_inner_content(write);
    debug_assert!(written.is_ok(), "writing to memory does not fail");
    drop(written);
    writer.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callers_send_is_escaped_or_replaced() {
        for (text, written) in [
            ("a<b>&\"c", "a&lt;b&gt;&amp;&quot;c"),
            ("\0\u{1b}", "\u{fffd}\u{fffd}"),
            ("é\t\u{1f600}", "é\t\u{1f600}"),
        ] {
            let answer = response(Api::Ec2, "X", "id", &Xml::Node(vec![("value", Xml::text(text))]));
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.contains(&format!("<value>{written}</value>")), "{text:?}: {answer}");
        }
    }
}
