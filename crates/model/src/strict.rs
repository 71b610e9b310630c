//! Reading what a person wrote: a field that is not known is a mistake there, and is named. The store reads the same types
//! leniently, since a newer version may have added fields before a gateway went back to this one.

use serde::de::{DeserializeOwned, Deserializer, Error};
use serde_ignored::Path;

/// Unknown fields that an error names.
const NAMED_MAX: usize = 8;

/// Reads a value whose fields must all be known, on every level that the type describes. What `flatten` gathers is not
/// seen: such a type reads its parts by hand.
pub fn strictly<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let mut unknown = Vec::new();
    let value = serde_ignored::deserialize(deserializer, |path| unknown.push(dotted(&path)))?;
    match unknown.len() {
        0 => Ok(value),
        1 => Err(D::Error::custom(format!("there is no field {}", unknown[0]))),
        _ => {
            unknown.truncate(NAMED_MAX);
            Err(D::Error::custom(format!(
                "there are no fields {}",
                unknown.join(", ")
            )))
        }
    }
}

/// The way to a field as people write it: `settings.rescue.days`, `nodes.0`.
fn dotted(path: &Path<'_>) -> String {
    fn collect(path: &Path<'_>, names: &mut Vec<String>) {
        match path {
            Path::Root => {}
            Path::Seq { parent, index } => {
                collect(parent, names);
                names.push(index.to_string());
            }
            Path::Map { parent, key } => {
                collect(parent, names);
                names.push(key.clone());
            }
            Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
                collect(parent, names);
            }
        }
    }
    let mut names = Vec::new();
    collect(path, &mut names);
    format!("`{}`", names.join("."))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        number: u64,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Outer {
        inner: Option<Inner>,
        list: Vec<Inner>,
        any: Value,
    }

    fn read(value: &Value) -> Result<Outer, String> {
        strictly(value).map_err(|error: serde_json::Error| error.to_string())
    }

    #[test]
    fn a_field_that_is_not_known_is_named_with_the_way_to_it() {
        let good = json!({"inner": {"number": 1}, "list": [{"number": 2}], "any": {"x": 1}});
        assert_eq!(read(&good).unwrap().inner, Some(Inner { number: 1 }));
        let mut one = good.clone();
        one["inner"]["numbr"] = json!(3);
        assert_eq!(read(&one).unwrap_err(), "there is no field `inner.numbr`");
        let mut two = good.clone();
        two["list"][0]["colour"] = json!({"deep": [1]});
        two["size"] = json!(null);
        assert_eq!(
            read(&two).unwrap_err(),
            "there are no fields `list.0.colour`, `size`"
        );
    }

    #[test]
    fn an_error_names_so_many_and_no_more() {
        let mut many = json!({"list": [], "any": null});
        for number in 0..100 {
            many[format!("f{number:02}")] = json!(1);
        }
        let error = read(&many).unwrap_err();
        assert!(error.ends_with("`f06`, `f07`"), "{error}");
    }

    #[test]
    fn what_does_not_fit_is_said_as_ever() {
        let error = read(&json!({"list": [{"number": -1}], "any": null})).unwrap_err();
        assert!(error.contains("invalid value: integer `-1`"), "{error}");
    }
}
