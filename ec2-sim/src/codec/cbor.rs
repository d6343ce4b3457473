//! CBOR (RFC 8949) as Smithy RPC v2 CBOR uses it.

use minicbor::data::{IanaTag, Type};
use minicbor::{Decoder, Encoder};
use serde_json::{Map, Number, Value};

/// The maximum depth of a document. CloudWatch's requests need less.
const DEEPEST: usize = 32;

/// The member of responses whose numbers are timestamps. They have a tag.
const TIMESTAMPS: &str = "Timestamps";

/// Parses a document. `None` if it is not valid, or is not one that CloudWatch's operations use. The tags of numbers
/// are omitted.
pub fn decode(document: &[u8]) -> Option<Value> {
    let mut decoder = Decoder::new(document);
    let value = value(&mut decoder, DEEPEST)?;
    (decoder.position() == document.len()).then_some(value)
}

fn value(decoder: &mut Decoder<'_>, depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    Some(match decoder.datatype().ok()? {
        Type::Bool => decoder.bool().ok()?.into(),
        Type::Null | Type::Undefined => {
            decoder.skip().ok()?;
            Value::Null
        }
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => decoder.u64().ok()?.into(),
        Type::I8 | Type::I16 | Type::I32 | Type::I64 => decoder.i64().ok()?.into(),
        Type::F16 | Type::F32 | Type::F64 => Value::Number(Number::from_f64(decoder.f64().ok()?)?),
        Type::String | Type::StringIndef => text(decoder)?.into(),
        Type::Array | Type::ArrayIndef => Value::Array(array(decoder, depth)?),
        Type::Map | Type::MapIndef => Value::Object(map(decoder, depth)?),
        Type::Tag => {
            decoder.tag().ok()?;
            value(decoder, depth)?
        }
        _ => return None,
    })
}

fn text(decoder: &mut Decoder<'_>) -> Option<String> {
    decoder.str_iter().ok()?.collect::<Result<String, _>>().ok()
}

fn array(decoder: &mut Decoder<'_>, depth: usize) -> Option<Vec<Value>> {
    let mut left = decoder.array().ok()?;
    let mut items = Vec::new();
    while has_next(decoder, &mut left)? {
        items.push(value(decoder, depth)?);
    }
    Some(items)
}

fn map(decoder: &mut Decoder<'_>, depth: usize) -> Option<Map<String, Value>> {
    let mut left = decoder.map().ok()?;
    let mut members = Map::new();
    while has_next(decoder, &mut left)? {
        members.insert(text(decoder)?, value(decoder, depth)?);
    }
    Some(members)
}

/// Whether an array or map has another item. `left` is the number of items, or `None` if a break ends it.
fn has_next(decoder: &mut Decoder<'_>, left: &mut Option<u64>) -> Option<bool> {
    match left {
        Some(0) => Some(false),
        Some(left) => {
            *left -= 1;
            Some(true)
        }
        None if decoder.datatype().ok()? == Type::Break => decoder.skip().ok().map(|()| false),
        None => Some(true),
    }
}

/// Writes a document. Numbers with a fraction, such as `1.0`, become double-precision numbers.
pub fn encode(value: &Value) -> Vec<u8> {
    let mut document = Vec::new();
    let written = write(value, false, &mut Encoder::new(&mut document));
    debug_assert!(written.is_ok(), "writing to memory does not fail");
    document
}

type Written = Result<(), minicbor::encode::Error<std::convert::Infallible>>;

fn write(value: &Value, is_time: bool, encoder: &mut Encoder<&mut Vec<u8>>) -> Written {
    match value {
        Value::Null => drop(encoder.null()?),
        Value::Bool(value) => drop(encoder.bool(*value)?),
        Value::Number(number) => {
            if is_time {
                encoder.tag(IanaTag::Timestamp)?;
            }
            match (number.as_i64(), number.as_f64()) {
                (Some(integer), _) => drop(encoder.i64(integer)?),
                (None, number) => drop(encoder.f64(number.unwrap_or_default())?),
            }
        }
        Value::String(text) => drop(encoder.str(text)?),
        Value::Array(items) => {
            encoder.array(items.len() as u64)?;
            items.iter().try_for_each(|item| write(item, is_time, encoder))?;
        }
        Value::Object(members) => {
            encoder.map(members.len() as u64)?;
            for (name, member) in members {
                encoder.str(name)?;
                write(member, name == TIMESTAMPS, encoder)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The examples are those of RFC 8949, appendix A, except for the names.
    #[test]
    fn documents_are_read() {
        for (document, expected) in [
            (&b"\xa0"[..], Some(json!({}))),
            (b"\xa1\x61a\xc1\x1a\x51\x4b\x67\xb0", Some(json!({"a": 1_363_896_240}))),
            (b"\xa1\x61a\xc1\xfb\x41\xd4\x52\xd9\xec\x20\x00\x00", Some(json!({"a": 1_363_896_240.5}))),
            (b"\xbf\x61a\x01\x61b\x9f\x02\x20\xff\xff", Some(json!({"a": 1, "b": [2, -1]}))),
            (b"\xa1\x61a\x7f\x65strea\x64ming\xff", Some(json!({"a": "streaming"}))),
            (b"\x83\xf9\x3e\x00\xf5\xf6", Some(json!([1.5, true, null]))),
            (b"\xa1\x61a\x41\x00", None),
            (b"\xa1\x61a\xf9\x7e\x00", None),
            (b"\xa1\x01\x01", None),
            (b"\xa1\x61a", None),
            (b"\xa1\x61a\x62\xff\xff", None),
            (b"\xbf\x61a\x01", None),
            (b"\xa0\xa0", None),
            (b"", None),
        ] {
            assert_eq!(decode(document), expected, "{document:02x?}");
        }
        assert!(decode(&[&[0x81; 31][..], b"\x01"].concat()).is_some());
        assert_eq!(decode(&[0x81; 1 << 20]), None, "the depth is limited");
        assert_eq!(
            decode(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"),
            None,
            "no memory for items that are missing"
        );
    }

    #[test]
    fn timestamps_have_a_tag_and_values_are_doubles() {
        let document =
            encode(&json!({"Timestamps": [1_363_896_240], "Values": [1.0, 0.5], "Id": "a", "n": -1}));
        let expected = [
            &b"\xa4\x62Id\x61a\x6aTimestamps\x81\xc1\x1a\x51\x4b\x67\xb0\x66Values\x82"[..],
            b"\xfb\x3f\xf0\0\0\0\0\0\0\xfb\x3f\xe0\0\0\0\0\0\0\x61n\x20",
        ]
        .concat();
        assert_eq!(document, expected, "{document:02x?}");
    }
}
