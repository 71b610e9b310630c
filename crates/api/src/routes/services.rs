//! Services: what the gateway looks after.

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sterna_model::{DoctorReport, DoctorRole, Problem, Service, ServiceName, ServiceRequest, ServiceRole};
use utoipa::IntoParams;

use crate::audit::AuditNote;
use crate::auth::Caller;
use crate::extract::{IfMatch, Json, Path, Query, tagged};
use crate::problem::{Kind, Refusal};
use crate::shared::App;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DoctorQuery {
    /// The role that the service is looked at for.
    #[param(inline)]
    role: DoctorRole,
}

/// All services.
#[utoipa::path(
    get, path = "/api/v1/services", operation_id = "listServices", tag = "services",
    responses((status = 200, description = "All services, by name.", body = Vec<Service>))
)]
pub(crate) async fn list(State(app): State<App>) -> Result<Json<Vec<Service>>, Refusal> {
    Ok(Json(app.control.catalogue().services.all().await?))
}

/// Register a service.
///
/// Its nodes are asked who they are; another engine than Redis or Valkey is refused.
#[utoipa::path(
    post, path = "/api/v1/services", operation_id = "createService", tag = "services",
    request_body = ServiceRequest,
    responses((
        status = 201, description = "It is registered.", body = Service,
        headers(("Location" = String, description = "Where it is."), ("ETag" = String, description = "Its revision.")),
    ))
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Extension(note): Extension<AuditNote>,
    Json(request): Json<ServiceRequest>,
) -> Result<Response, Refusal> {
    note.target(request.spec.name.as_str());
    let secrets = request.secrets.unwrap_or_default();
    let service = app
        .control
        .add_service(request.spec, secrets, caller.actor())
        .await?;
    let location = format!("/api/v1/services/{}", service.spec.name);
    let answer = tagged(service.revision, service);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], answer).into_response())
}

/// One service.
#[utoipa::path(
    get, path = "/api/v1/services/{name}", operation_id = "getService", tag = "services",
    params(("name" = ServiceName, Path, description = "The service.")),
    responses((
        status = 200, description = "The service.", body = Service,
        headers(("ETag" = String, description = "Its revision.")),
    ))
)]
pub(crate) async fn show(State(app): State<App>, Path(name): Path<ServiceName>) -> Result<Response, Refusal> {
    let service = app.control.catalogue().services.get(&name).await?;
    Ok(tagged(service.revision, service).into_response())
}

/// Change a service.
///
/// Whoever uses it connects anew. Without `secrets` the passwords that are kept stay.
#[utoipa::path(
    put, path = "/api/v1/services/{name}", operation_id = "replaceService", tag = "services",
    params(
        ("name" = ServiceName, Path, description = "The service; its name in the body must be the same."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the last answer: change it only if nobody else did meanwhile."),
    ),
    request_body = ServiceRequest,
    responses((
        status = 200, description = "It is changed.", body = Service,
        headers(("ETag" = String, description = "Its new revision.")),
    ))
)]
pub(crate) async fn replace(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<ServiceName>,
    IfMatch(expected): IfMatch,
    Json(request): Json<ServiceRequest>,
) -> Result<Response, Refusal> {
    if request.spec.name != name {
        return Err(Refusal::new(
            Kind::Invalid,
            format!(
                "the path names the service {name}, and the body {}",
                request.spec.name
            ),
        )
        .hint("a service can't be renamed: register another, and remove this one"));
    }
    let service = app
        .control
        .update_service(request.spec, request.secrets, expected, caller.actor())
        .await
        .map_err(|error| Refusal::from(error).if_match(expected.is_some()))?;
    Ok(tagged(service.revision, service).into_response())
}

/// Forget a service.
///
/// It is left as it is. One that is in a group is refused.
#[utoipa::path(
    delete, path = "/api/v1/services/{name}", operation_id = "deleteService", tag = "services",
    params(
        ("name" = ServiceName, Path, description = "The service."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the last answer: change it only if nobody else did meanwhile."),
    ),
    responses((status = 204, description = "It is forgotten, its passwords too."))
)]
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<ServiceName>,
    IfMatch(expected): IfMatch,
) -> Result<StatusCode, Refusal> {
    app.control
        .remove_service(&name, expected, caller.actor())
        .await
        .map_err(|error| Refusal::from(error).if_match(expected.is_some()))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Look whether a service is fit for a role.
///
/// Its nodes are asked, and nothing is changed.
#[utoipa::path(
    get, path = "/api/v1/services/{name}/doctor", operation_id = "examineService", tag = "services",
    params(("name" = ServiceName, Path, description = "The service."), DoctorQuery),
    responses(
        (status = 200, description = "Check by check.", body = DoctorReport),
        (
            status = 502, description = "None of its nodes could be asked.", body = Problem,
            content_type = "application/problem+json",
        ),
    )
)]
pub(crate) async fn doctor(
    State(app): State<App>,
    Path(name): Path<ServiceName>,
    Query(query): Query<DoctorQuery>,
) -> Result<Json<DoctorReport>, Refusal> {
    let role = match query.role {
        DoctorRole::Primary => ServiceRole::Primary,
        DoctorRole::Replica => ServiceRole::Replica,
    };
    Ok(Json(app.control.doctor(name, role).await?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::read_json;

    #[test]
    fn what_is_wrong_with_a_service_is_said_without_its_passwords() {
        let read = |text: &str| read_json::<ServiceRequest>(text.as_bytes());
        let good = r#"{"name":"eu","nodes":["db:6379"],"secrets":{"password":"hunter2"}}"#;
        let request = read(good).unwrap();
        assert_eq!(request.secrets.unwrap().password.as_deref(), Some("hunter2"));
        for bad in [
            r#"{"name":"eu","nodes":["db:6379"],"secrets":"hunter2"}"#,
            r#"{"name":"eu","nodes":["db:6379"],"secrets":{"password":["hunter2"]}}"#,
            r#"{"name":"eu","nodes":["db:6379"],"secrets":{"passwort":"hunter2"}}"#,
            r#"{"name":"eu","nodes":["db:6379"],"password":"hunter2"}"#,
            r#"{"name":"eu","nodes":["redis://me:hunter2@db:6379"]}"#,
            r#"{"name":"eu","nodes":["db:6379"],"sentinel":{"nodes":[],"master_name":"m","pass":"hunter2"}}"#,
        ] {
            let refusal = read(bad).unwrap_err();
            assert_eq!(refusal.kind, Kind::Invalid, "{bad}");
            assert!(!format!("{refusal:?}").contains("hunter2"), "{refusal:?}");
        }
    }
}
