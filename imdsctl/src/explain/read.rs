//! Output of `aws ec2 describe-instances` → instances, one at a time.

use std::fmt;

use anyhow::Result;
use serde::de::value::MapAccessDeserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::raw::{Object, RawInstance, RawReservation, Text, text};
use crate::input;

/// An instance in the input.
pub struct Described<'a> {
    /// Where it is.
    pub place: &'a Place,
    /// The owner of its reservation.
    pub owner: Option<&'a str>,
    /// Its fields.
    pub raw: RawInstance<'a>,
}

/// A place in the input.
#[derive(Debug, Default)]
pub struct Place {
    /// Whether the input is a whole response, which has `Reservations`, and not what a `--query` left of it.
    pub is_whole: bool,
    /// The indexes of the lists that contain the place, from the outermost.
    indexes: Vec<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists = if self.is_whole { ["Reservations", ".Instances"] } else { [""; 2] };
        let lists = lists.into_iter().chain(std::iter::repeat(""));
        self.indexes.iter().zip(lists).try_for_each(|(index, list)| write!(f, "{list}[{index}]"))
    }
}

type Each<'e> = dyn FnMut(Described<'_>) -> Result<()> + 'e;

/// Why instances cannot be read.
pub enum ReadError {
    /// The input is not JSON: the rest of a sentence that begins with the input's name.
    NotJson(String),
    /// The input is JSON, but not what `aws ec2 describe-instances` prints: the place and the problem.
    Shape(String),
    /// The error that ended the reading.
    Ended(anyhow::Error),
}

/// Calls `each` for every instance in the JSON document `bytes`, until it fails.
pub fn for_each<'e>(bytes: &[u8], each: &'e mut Each<'e>) -> Result<(), ReadError> {
    let text = input::text(bytes).map_err(|error| ReadError::NotJson(format!("{error:#}")))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let mut walk = Walk { each, place: Place::default(), failed: None };
    let read = Input(&mut walk).deserialize(&mut json).and_then(|()| json.end());
    if let Some(failed) = walk.failed {
        return Err(ReadError::Ended(failed));
    }
    read.map_err(|error| match error.is_data() {
        true if walk.place.indexes.is_empty() => ReadError::Shape(error.to_string()),
        true => ReadError::Shape(format!("{}: {error}", walk.place)),
        false => ReadError::NotJson(format!("is not JSON: {error}")),
    })
}

/// The way through the document.
struct Walk<'e> {
    each: &'e mut Each<'e>,
    place: Place,
    /// The error of `each` that ended it.
    failed: Option<anyhow::Error>,
}

impl Walk<'_> {
    fn instance<E: Error>(&mut self, owner: Option<&str>, raw: RawInstance<'_>) -> Result<(), E> {
        (self.each)(Described { place: &self.place, owner, raw }).map_err(|error| {
            self.failed = Some(error);
            E::custom("`failed` has the error")
        })
    }

    /// Calls `item` for each item of a list. After an error, the place stays that of the item.
    fn list<E>(&mut self, mut item: impl FnMut(&mut Self) -> Result<bool, E>) -> Result<(), E> {
        self.place.indexes.push(0);
        let depth = self.place.indexes.len();
        while item(self)? {
            self.place.indexes[depth - 1] += 1;
        }
        self.place.indexes.pop();
        Ok(())
    }
}

/// The whole input.
struct Input<'w, 'e>(&'w mut Walk<'e>);

impl<'de> DeserializeSeed<'de> for Input<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Input<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the output of `aws ec2 describe-instances`, or a list of instances")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut response: A) -> Result<(), A::Error> {
        self.0.place.is_whole = true;
        let mut has_reservations = false;
        while let Some(key) = response.next_key::<Text<'_>>()? {
            if key.0 == "Reservations" {
                response.next_value_seed(Reservations(self.0))?;
                has_reservations = true;
            } else {
                response.next_value::<IgnoredAny>()?;
            }
        }
        if has_reservations { Ok(()) } else { Err(A::Error::custom("there is no list Reservations")) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        Item(self.0).visit_seq(list)
    }
}

/// The list of reservations in a whole response.
struct Reservations<'w, 'e>(&'w mut Walk<'e>);

impl<'de> DeserializeSeed<'de> for Reservations<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reservations<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of reservations")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut reservations: A) -> Result<(), A::Error> {
        self.0.list(|walk| {
            let Some(Object(reservation)) = reservations.next_element::<Object<RawReservation<'_>>>()? else {
                return Ok(false);
            };
            // The owner may come after the instances, so that they are read first.
            let owner = text(&reservation.owner_id);
            let mut instances = reservation.instances.into_iter();
            walk.list(|walk| match instances.next() {
                Some(Object(raw)) => walk.instance(owner, raw).map(|()| true),
                None => Ok(false),
            })?;
            Ok(true)
        })
    }
}

/// An instance in a list, or a list of such.
struct Item<'w, 'e>(&'w mut Walk<'e>);

impl<'de> DeserializeSeed<'de> for Item<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Item<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an instance")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let raw = RawInstance::deserialize(MapAccessDeserializer::new(map))?;
        self.0.instance(None, raw)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.0.list(|walk| Ok(list.next_element_seed(Item(walk))?.is_some()))
    }
}
