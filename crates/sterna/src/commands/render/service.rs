//! Services, and what the doctor says of them.

use std::fmt::Write as _;

use sterna_model::{ConfigRewrite, DoctorReport, Service, ServiceRole, Verdict, verdict};
use sterna_node::NodeAddress;

use super::checks::checks;
use super::style::{Style, Tone};
use super::table::{Cell, Column, Table};
use super::units::time;

/// A list of services.
pub(crate) fn services(services: &[Service], style: &Style) -> String {
    if services.is_empty() {
        return "there is no service yet; register one with `sterna service add`\n".to_owned();
    }
    let mut table = Table::new(vec![
        Column::left("SERVICE"),
        Column::left("SITE"),
        Column::left("TLS"),
        Column::left("USER"),
        Column::left("PASSWORD"),
        Column::left("NODES"),
    ]);
    for service in services {
        let spec = &service.spec;
        let mut nodes = addresses(&spec.nodes);
        if let Some(sentinel) = &spec.sentinel {
            if !nodes.is_empty() {
                nodes.push_str("; ");
            }
            write!(
                nodes,
                "{} at Sentinels {}",
                sentinel.master_name,
                addresses(&sentinel.nodes)
            )
            .expect("a string takes any text");
        }
        table.row(vec![
            Cell::toned(Tone::Bold, spec.name.as_str()),
            spec.site.as_ref().map_or("-", |site| site.as_str()).into(),
            if spec.tls.is_some() { "yes" } else { "no" }.into(),
            spec.username.as_deref().unwrap_or("default").into(),
            if service.has_password { "kept" } else { "none" }.into(),
            nodes.into(),
        ]);
    }
    table.render(style)
}

/// One service.
pub(crate) fn service(service: &Service, style: &Style) -> String {
    let spec = &service.spec;
    let mut table = Table::new(vec![Column::left(""), Column::left("")]);
    let mut row = |name: &str, value: String| table.row(vec![name.into(), value.into()]);
    row("service", spec.name.to_string());
    row(
        "site",
        spec.site.as_ref().map_or("-".to_owned(), ToString::to_string),
    );
    row("nodes", addresses(&spec.nodes));
    if !spec.client_addresses.is_empty() {
        row("for clients", addresses(&spec.client_addresses));
    }
    if spec.config_rewrite != ConfigRewrite::default() {
        row(
            "configuration",
            format!("rewritten: {}", spec.config_rewrite.as_str()),
        );
    }
    if let Some(sentinel) = &spec.sentinel {
        row(
            "sentinels",
            format!(
                "{}, which watch it as {}",
                addresses(&sentinel.nodes),
                sentinel.master_name
            ),
        );
    }
    row(
        "user",
        spec.username.clone().unwrap_or_else(|| "default".to_owned()),
    );
    row(
        "password",
        if service.has_password {
            "kept, sealed"
        } else {
            "none"
        }
        .to_owned(),
    );
    match &spec.tls {
        None => row("TLS", "no".to_owned()),
        Some(tls) => {
            let ca = tls
                .ca_file
                .as_ref()
                .map_or_else(|| "the system's".to_owned(), |file| file.display().to_string());
            let trust = if tls.insecure {
                "NOT VERIFIED".to_owned()
            } else {
                ca
            };
            row("TLS", format!("yes, authorities: {trust}"));
        }
    }
    row("registered", time(service.created_at));
    row("revision", service.revision.to_string());
    table.render(style)
}

/// What the doctor found, check by check, with advice under each.
pub(crate) fn doctor(report: &DoctorReport, style: &Style) -> String {
    let mut text = checks(&report.checks, style);
    let role = match report.role {
        ServiceRole::Primary => "the primary",
        ServiceRole::Replica | ServiceRole::FormerPrimary => "a replica",
    };
    let (tone, verdict) = match verdict(&report.checks) {
        Verdict::Refuse => (Tone::Bad, "is NOT fit to be"),
        Verdict::Warn => (Tone::Warn, "is fit, with warnings, to be"),
        Verdict::Pass => (Tone::Good, "is fit to be"),
    };
    writeln!(
        text,
        "{}",
        style.paint(tone, &format!("{} {verdict} {role}", report.service))
    )
    .expect("a string takes any text");
    text
}

fn addresses(nodes: &[NodeAddress]) -> String {
    let nodes: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    nodes.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn services_are_listed_and_shown() {
        let style = Style::plain(samples::now());
        let all = [samples::service("eu"), samples::sentinel_service("us")];
        insta::assert_snapshot!(services(&all, &style));
        insta::assert_snapshot!(service(&samples::sentinel_service("us"), &style));
    }

    #[test]
    fn the_doctor_explains_and_advises() {
        let style = Style {
            width: Some(100),
            ..Style::plain(samples::now())
        };
        insta::assert_snapshot!(doctor(&samples::doctor(), &style));
    }
}
