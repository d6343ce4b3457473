//! JSON text → value, and its duplicate keys.
//!
//! JSON parsers commonly keep the last of two duplicate keys, which a reviewer of a policy can easily miss.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::text::Escaped;

/// Reads `text`; the second result is the places of duplicate keys.
pub(super) fn read(text: &str) -> Result<(Value, Vec<String>), serde_json::Error> {
    let repeated = RefCell::new(Vec::new());
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = At { place: String::new(), repeated: &repeated }.deserialize(&mut reader)?;
    reader.end()?;
    Ok((value, repeated.into_inner()))
}

/// The place of `key`, which may be foreign text, in the object at `place`.
pub(super) fn join(place: &str, key: &str) -> String {
    let key = Escaped(key);
    if place.is_empty() { key.to_string() } else { format!("{place}.{key}") }
}

/// The place of an item of the list at `place`; items count from 0.
pub(super) fn index(place: &str, index: usize) -> String {
    format!("{place}[{index}]")
}

struct At<'r> {
    place: String,
    repeated: &'r RefCell<Vec<String>>,
}

impl<'de> DeserializeSeed<'de> for At<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let at = At { place: index(&self.place, list.len()), repeated: self.repeated };
            match items.next_element_seed(at)? {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let place = join(&self.place, &key);
            if object.contains_key(&key) {
                self.repeated.borrow_mut().push(place.clone());
            }
            let value = entries.next_value_seed(At { place, repeated: self.repeated })?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_keys_are_found_at_every_depth() {
        let text = r#"{"a": [{"b": 1, "c": {}, "b": null}], "a": 2.5, "d": {"e": {"f": "g", "f": true}}}"#;
        let (value, repeated) = read(text).unwrap();
        assert_eq!(repeated, ["a[0].b", "a", "d.e.f"]);
        assert_eq!(value, serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn invalid_json_is_an_error() {
        for text in ["", "{", "{} {}", "{\"a\": }", &"[".repeat(100_000)] {
            assert!(read(text).is_err(), "{:.20}", text);
        }
    }
}
