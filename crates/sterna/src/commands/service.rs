//! `sterna service`.

use std::time::Duration;

use sterna_model::{DoctorReport, DoctorRole, Service, ServiceName, ServiceRequest, Verdict};

use super::client::Client;
use super::render::{self, Change};
use super::{confirm, done, show, spec};
use crate::cli::{Format, RoleArg, ServiceArgs, ServiceOptions, ServiceVerb};
use crate::exit::{CommandResult, Failure};

/// The doctor talks to every node of a service, some of which may not answer.
const DOCTOR_TAKES: Duration = Duration::from_secs(60);

/// Runs the verb.
pub(super) fn run(args: &ServiceArgs) -> CommandResult {
    let client = Client::new(&args.api)?;
    let format = args.api.output;
    match &args.verb {
        ServiceVerb::Add { name, options } => {
            let (spec, secrets) = spec::new(name, options)?;
            let request = ServiceRequest {
                spec,
                secrets: Some(secrets),
            };
            let answer = client.post("/services", &request)?;
            done(format, &format!("service {name} is registered"));
            show(&answer, format, render::service)
        }
        ServiceVerb::List => show(&client.get("/services")?, format, |all: &Vec<Service>, style| {
            render::services(all, style)
        }),
        ServiceVerb::Show { name } => show(
            &client.get(&format!("/services/{name}"))?,
            format,
            render::service,
        ),
        ServiceVerb::Update { name, options } => update(&client, name, options, format),
        ServiceVerb::Remove { name, confirm } => {
            // Who asks about a service that is not there hears that before being asked.
            client.get(&format!("/services/{name}"))?;
            confirm::other_change(&Change::RemoveService { service: name }, *confirm)?;
            client.delete(&format!("/services/{name}"))?;
            done(format, &format!("service {name} is forgotten"));
            Ok(())
        }
        ServiceVerb::Doctor { name, role } => doctor(&client, name, *role, format),
    }
}

fn update(client: &Client, name: &ServiceName, options: &ServiceOptions, format: Format) -> CommandResult {
    let path = format!("/services/{name}");
    let before = client.get(&path)?;
    let service: Service = before.read()?;
    let had_password = service.has_password;
    let (spec, secrets) = spec::change(service.spec, options)?;
    if secrets.password.is_none() && secrets.sentinel_password.is_some() && had_password {
        return Err(Failure::Refused.because(
            "passwords are replaced together, and the nodes' would be gone; nothing was changed\nhint: give \
             --password-file as well",
        ));
    }
    let given = secrets.password.is_some() || secrets.sentinel_password.is_some();
    let request = ServiceRequest {
        spec,
        secrets: given.then_some(secrets),
    };
    let answer = client.put(&path, &request, before.etag)?;
    done(format, &format!("service {name} is changed"));
    show(&answer, format, render::service)
}

fn doctor(client: &Client, name: &ServiceName, role: RoleArg, format: Format) -> CommandResult {
    let role = match role {
        RoleArg::Primary => DoctorRole::Primary,
        RoleArg::Replica => DoctorRole::Replica,
    };
    let answer = client.get_slowly(&format!("/services/{name}/doctor?role={role}"), DOCTOR_TAKES)?;
    show(&answer, format, render::doctor)?;
    let report: DoctorReport = answer.read()?;
    let refused = report
        .checks
        .iter()
        .filter(|check| check.verdict == Verdict::Refuse);
    match refused.count() {
        0 => Ok(()),
        1 => Err(Failure::Refused.because(format!("1 check stands against {name} as a {role}"))),
        more => Err(Failure::Refused.because(format!("{more} checks stand against {name} as a {role}"))),
    }
}
