//! Tokens and the audit.

use sterna_model::{AuditRecord, Role, Token};

use super::style::{Style, Tone};
use super::table::{Cell, Column, Table};
use super::units::{age, time};

/// A list of tokens.
pub(crate) fn tokens(tokens: &[Token], style: &Style) -> String {
    let mut table = Table::new(vec![
        Column::right("ID"),
        Column::left("NAME"),
        Column::left("ROLE"),
        Column::left("CREATED"),
        Column::left("STATE"),
    ]);
    for token in tokens {
        let state = match (token.revoked_at, token.expires_at) {
            (Some(at), _) => Cell::toned(Tone::Dim, format!("revoked {}", age(at, style.now))),
            (None, Some(at)) if at <= style.now => {
                Cell::toned(Tone::Dim, format!("expired {}", age(at, style.now)))
            }
            (None, Some(at)) => format!("valid, expires {}", age(at, style.now)).into(),
            (None, None) => "valid".into(),
        };
        table.row(vec![
            token.id.to_string().into(),
            Cell::toned(Tone::Bold, token.name.clone()),
            role_word(token.role).into(),
            time(token.created_at).into(),
            state,
        ]);
    }
    table.render(style)
}

/// The role as the API spells it.
pub(crate) fn role_word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}

/// Who did what, the newest first.
pub(crate) fn audit(records: &[AuditRecord], style: &Style) -> String {
    if records.is_empty() {
        return "nothing is recorded\n".to_owned();
    }
    let mut table = Table::new(vec![
        Column::right("ID"),
        Column::left("AT"),
        Column::left("WHO"),
        Column::left("FROM"),
        Column::left("DID"),
        Column::left("ON"),
        Column::left("OUTCOME"),
    ]);
    for record in records {
        let outcome = match &record.detail {
            Some(detail) => format!("{}: {detail}", record.outcome),
            None => record.outcome.clone(),
        };
        let tone = if record.outcome == "ok" {
            Tone::Plain
        } else {
            Tone::Warn
        };
        table.row(vec![
            record.id.to_string().into(),
            time(record.at).into(),
            record.actor.clone().into(),
            record.remote.as_deref().unwrap_or("-").into(),
            record.action.clone().into(),
            record.target.clone().into(),
            Cell::toned(tone, outcome),
        ]);
    }
    table.render(style)
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn tokens_say_whether_they_open_anything() {
        let style = Style::plain(samples::now());
        insta::assert_snapshot!(tokens(&samples::tokens(), &style));
    }

    #[test]
    fn the_audit_is_a_table() {
        let style = Style::plain(samples::now());
        insta::assert_snapshot!(audit(&samples::audit(), &style));
    }
}
