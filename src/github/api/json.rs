//! JSON that every reader understands alike (RFC 8259, and RFC 7493 on what goes between strangers).

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Reads a body: one object, in UTF-8 without a byte order mark, no key twice in any object of it, nested at most [`MAX_DEPTH`] deep, no
/// number that is not an integer of 64 bits, and no NUL. Written anew it says the same, number for number.
pub(super) fn read(body: &[u8]) -> Result<Value, JsonError> {
    if body.len() > MAX_BODY {
        return Err(JsonError(format!("a body has at most {MAX_BODY} octets").into()));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    // The words of a reader's error are its own: none repeats what was sent.
    let told = |error: serde_json::Error| JsonError(error.to_string().into());
    let value = Strict { depth: 1 }.deserialize(&mut reader).map_err(told)?;
    reader.end().map_err(told)?;
    if value.is_object() { Ok(value) } else { Err(JsonError("a body is one object".into())) }
}

/// Why a body is not read, with the place where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError(Box<str>);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the body is not the JSON that is read here: {}", self.0)
    }
}

impl std::error::Error for JsonError {}

#[derive(Clone, Copy)]
struct Strict {
    /// Of what is read now, from 1.
    depth: usize,
}

impl Strict {
    fn below<E: Error>(self) -> Result<Self, E> {
        if self.depth > MAX_DEPTH {
            return Err(E::custom(format_args!("it is nested more than {MAX_DEPTH} deep")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Value, E> {
        Err(E::custom("a number is an integer of 64 bits"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        if text.contains('\0') { Err(E::custom("a text holds no NUL")) } else { Ok(text.into()) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let (below, mut read) = (self.below()?, Vec::new());
        while let Some(element) = elements.next_element_seed(below)? {
            read.push(element);
        }
        Ok(Value::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let (below, mut read) = (self.below()?, Map::new());
        while let Some(key) = fields.next_key::<String>()? {
            if key.contains('\0') {
                return Err(A::Error::custom("a key holds no NUL"));
            }
            if read.contains_key(&key) {
                return Err(A::Error::custom("a key stands twice in one object"));
            }
            read.insert(key, fields.next_value_seed(below)?);
        }
        Ok(Value::Object(read))
    }
}

/// Most octets of a body.
pub const MAX_BODY: usize = 1 << 20;
/// Most objects and arrays inside each other.
pub const MAX_DEPTH: usize = 32;
