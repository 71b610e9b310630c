//! Reading stored JSON with fields that this version does not know.
//!
//! The model refuses unknown fields in what a person writes. In the store they are no mistake: a newer minor version
//! may have added them before a gateway went back to this one. A struct names its fields when it asks for them, so
//! those that it did not name are left out before it sees them.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde_json::{Error, Value};

/// Reads a value, in which structs may have unknown fields.
pub(crate) fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    T::deserialize(Tolerant(serde_json::from_slice(bytes)?))
}

/// A value whose structs leave out what they were not asked for.
struct Tolerant(Value);

impl IntoDeserializer<'_, Error> for Tolerant {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Tolerant {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(values) => {
                let mut values = SeqDeserializer::new(values.into_iter().map(Tolerant));
                let visited = visitor.visit_seq(&mut values)?;
                values.end()?;
                Ok(visited)
            }
            Value::Object(fields) => {
                let fields = fields.into_iter().map(|(name, value)| (name, Tolerant(value)));
                let mut fields = MapDeserializer::new(fields);
                let visited = visitor.visit_map(&mut fields)?;
                fields.end()?;
                Ok(visited)
            }
            scalar => scalar.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        mut self,
        _name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if let Value::Object(fields) = &mut self.0 {
            fields.retain(|name, _| known.contains(&name.as_str()));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        // What is in a variant is read as strictly as the type wants it; the model's variants hold nothing.
        self.0.deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        number: u64,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Kind {
        UnitKind,
        With(Inner),
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Newtype(Option<Inner>);

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[serde(default)]
        missing: Option<Inner>,
        newtype: Newtype,
        list: Vec<Inner>,
        map: BTreeMap<String, Inner>,
        pair: (Inner, f64),
        kinds: Vec<Kind>,
        any: Value,
    }

    #[test]
    fn unknown_fields_are_left_out_on_every_level() {
        let inner = json!({"number": u64::MAX, "unknown": {"x": 1}});
        let value = json!({
            "newtype": inner, "list": [inner], "map": {"a": inner, "b": inner}, "pair": [inner, 1],
            "kinds": ["unit-kind", {"with": {"number": 1}}], "any": {"kept": [null]}, "unknown": null,
        });
        let inner = || Inner { number: u64::MAX };
        let read: Outer = from_slice(value.to_string().as_bytes()).expect("read");
        let expected = Outer {
            missing: None,
            newtype: Newtype(Some(inner())),
            list: vec![inner()],
            map: [("a".to_owned(), inner()), ("b".to_owned(), inner())].into(),
            pair: (inner(), 1.0),
            kinds: vec![Kind::UnitKind, Kind::With(Inner { number: 1 })],
            any: json!({"kept": [null]}),
        };
        assert_eq!(read, expected);
    }

    #[test]
    fn all_else_is_as_strict_as_ever() {
        assert!(from_slice::<Inner>(b"{\"number\": -1}").is_err());
        assert!(from_slice::<Inner>(b"{\"number\": 1} x").is_err());
        assert!(from_slice::<Inner>(b"{}").is_err());
        assert!(from_slice::<(Inner, f64)>(b"[{\"number\": 1}, 1, 1]").is_err());
        assert!(from_slice::<Kind>(b"\"other\"").is_err());
    }
}
