//! Responses in the XML formats of EC2 and STS.

use quick_xml::escape::escape;

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
        let text = text.to_string();
        // A page of instances has more than 100,000 texts, and almost none has such a character.
        let is_writable = !text.contains(is_unwritable);
        Self::Text(if is_writable { text } else { text.replace(is_unwritable, "\u{fffd}") })
    }

    fn write(&self, name: &str, document: &mut String) {
        tag("<", name, document);
        match self {
            Self::Text(text) => document.push_str(&escape(text.as_str())),
            Self::Node(children) => write_all(children, document),
            Self::Items(items) => items.iter().for_each(|item| item.write("item", document)),
        }
        tag("</", name, document);
    }
}

fn tag(open: &str, name: &str, document: &mut String) {
    document.push_str(open);
    document.push_str(name);
    document.push('>');
}

/// Whether XML 1.0 cannot represent the character.
fn is_unwritable(character: char) -> bool {
    matches!(character, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\u{fffe}' | '\u{ffff}')
}

/// The response document of `action`.
pub fn response(api: Api, action: &str, request_id: &str, content: &Xml) -> Vec<u8> {
    let id = Xml::text(request_id);
    let namespace = if api == Api::Sts { STS } else { EC2 };
    document(&format!("{action}Response"), Some(namespace), |document| {
        if api != Api::Sts {
            id.write("requestId", document);
        }
        match content {
            Xml::Node(children) => write_all(children, document),
            other => other.write("return", document),
        }
        if api == Api::Sts {
            Xml::Node(vec![("RequestId", id)]).write("ResponseMetadata", document);
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
        return document("ErrorResponse", Some(STS), |document| write_all(&children, document));
    }
    let errors = Xml::Node(vec![("Error", Xml::Node(content))]);
    document("Response", None, |document| write_all(&[("Errors", errors), ("RequestID", id)], document))
}

fn write_all(children: &[(&'static str, Xml)], document: &mut String) {
    children.iter().for_each(|(name, child)| child.write(name, document));
}

/// A document whose root has this name and namespace. They need no escapes: only known actions have a response.
fn document(root: &str, namespace: Option<&str>, write: impl FnOnce(&mut String)) -> Vec<u8> {
    let namespace = namespace.map_or(String::new(), |namespace| format!(" xmlns=\"{namespace}\""));
    let mut document = format!("<{root}{namespace}>");
    write(&mut document);
    tag("</", root, &mut document);
    document.into_bytes()
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
