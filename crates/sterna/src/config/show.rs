//! The settings in effect, with where each of them comes from.

use serde_json::{Map, Value, json};

use super::Config;
use super::fields::FIELDS;
use super::layers::{Layers, Origin};
use crate::commands::render::Style;
use crate::commands::render::table::{Column, Table};

/// A table of field, value and origin.
pub(super) fn table(layers: &Layers, config: &Config, style: &Style) -> String {
    let mut table = Table::new(vec![
        Column::left("FIELD"),
        Column::left("VALUE"),
        Column::left("FROM"),
    ]);
    for (path, value, origin) in rows(layers, config) {
        table.row(vec![
            path.into(),
            value.unwrap_or_else(|| "-".to_owned()).into(),
            origin.into(),
        ]);
    }
    table.render(style)
}

/// The same for programs.
pub(super) fn json(layers: &Layers, config: &Config) -> Value {
    let fields = rows(layers, config).map(|(path, value, origin)| {
        let value = json!({ "value": value, "from": origin });
        (path.to_owned(), value)
    });
    Value::Object(fields.collect::<Map<_, _>>())
}

fn rows<'a>(
    layers: &'a Layers,
    config: &'a Config,
) -> impl Iterator<Item = (&'static str, Option<String>, String)> + 'a {
    FIELDS.iter().map(|field| match layers.get(field.path) {
        Some(value) => (field.path, Some(value.text.clone()), value.origin.to_string()),
        None if field.path == "key_file" => (
            field.path,
            Some(config.key_file.display().to_string()),
            "follows from data_dir".to_owned(),
        ),
        None => (field.path, None, Origin::Default.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_shown_with_its_origin() {
        let mut layers = Layers::default();
        layers.option("data_dir", "--data-dir", Some("/var/lib/sterna".to_owned()));
        let config = Config::read(&layers).expect("good values");
        insta::assert_snapshot!(table(
            &layers,
            &config,
            &Style::plain(jiff::Timestamp::UNIX_EPOCH)
        ));
        let json = json(&layers, &config);
        assert_eq!(json["data_dir"]["from"], "--data-dir");
        assert_eq!(json["key_file"]["value"], "/var/lib/sterna/key");
        assert_eq!(json["api.tls_cert"]["value"], Value::Null);
    }
}
