//! The OpenAPI document: what the handlers say of themselves, and what holds for all of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::http::StatusCode;
use sterna_model::Problem;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Components, ContentBuilder, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi, OpenApiBuilder, Ref,
    RefOr, Required, Response, ResponseBuilder, Type,
};
use utoipa::{PartialSchema, ToSchema};

use crate::auth::{Access, word};
use crate::idempotency::KEY_BYTES_MAX;
use crate::middleware::RouteRule;
use crate::problem::{Kind, MEDIA_TYPE};
use crate::routes;

const SCHEME: &str = "token";
/// Operations whose body may be left out.
const OPTIONAL_BODIES: [&str; 1] = ["failover"];
const TAGS: [(&str, &str); 9] = [
    (
        "services",
        "Redis and Valkey deployments that the gateway looks after.",
    ),
    (
        "groups",
        "Replication groups: a primary service, and those that copy it.",
    ),
    ("changes", "Changes of a group's primary, and of who is in it."),
    ("operations", "Long work with steps and progress."),
    ("rescues", "Writes that a failover left behind."),
    ("tokens", "Who may do what."),
    ("audit", "Who did what."),
    ("events", "Live changes."),
    ("system", "Health, metrics, this document."),
];

/// The OpenAPI document of the API as pretty JSON, with a line feed at its end.
pub fn openapi() -> String {
    let mut text = build()
        .to_pretty_json()
        .expect("a document without maps of other keys than texts is JSON");
    text.push('\n');
    text
}

fn build() -> OpenApi {
    let mut document = OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Sterna")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(description()))
                .license(Some(
                    LicenseBuilder::new()
                        .name("Apache-2.0")
                        .identifier(Some("Apache-2.0"))
                        .build(),
                )),
        )
        .tags(Some(TAGS.map(|(name, description)| {
            TagBuilder::new()
                .name(name)
                .description(Some(description))
                .build()
        })))
        .components(Some(components()))
        .build();
    for mut route in routes::table() {
        for item in route.paths.paths.values_mut() {
            complete(item, &route.rule);
        }
        if let Some(components) = &mut document.components {
            components.schemas.extend(route.schemas);
        }
        document.paths.merge(route.paths);
    }
    document
}

fn description() -> String {
    let mut text = "Cross-cluster replication for Redis and Valkey: the gateway's API.\n\nA bearer token has one of the \
                    roles viewer, operator and admin, each of which may do what the ones before it may. A field of a \
                    body or a query that is not known is refused, and named. Errors are problem documents (RFC 9457); their `type` is one of:\n"
        .to_owned();
    for kind in Kind::ALL {
        let (word, status, title) = kind.describe();
        write!(text, "\n- `/problems/{word}` ({}): {title}", status.as_u16())
            .expect("writing to a string can't fail");
    }
    text
}

fn components() -> Components {
    let mut components = Components::new();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token of the gateway: `sterna_…`."))
        .build();
    components.add_security_scheme(SCHEME, SecurityScheme::Http(scheme));
    components
        .schemas
        .insert(Problem::name().into_owned(), Problem::schema());
    let mut schemas = Vec::new();
    Problem::schemas(&mut schemas);
    components.schemas.extend(schemas);
    components
        .responses
        .extend(problems().map(|(name, response)| (name, RefOr::T(response))));
    components
}

/// Adds to the operation of a path what its rule and its method mean for it.
fn complete(item: &mut PathItem, rule: &RouteRule) {
    let reads = [&mut item.get];
    let changes = [&mut item.put, &mut item.patch, &mut item.delete];
    for operation in reads.into_iter().flatten() {
        secure(operation, rule);
        refuse(operation, rule);
    }
    for operation in changes.into_iter().flatten() {
        secure(operation, rule);
        refuse(operation, rule);
        refuse_change(operation);
    }
    if let Some(operation) = &mut item.post {
        let optional = OPTIONAL_BODIES.contains(&operation.operation_id.as_deref().unwrap_or_default());
        if let (true, Some(RefOr::T(body))) = (optional, &mut operation.request_body) {
            body.required = Some(Required::False);
        }
        take_key(operation);
        secure(operation, rule);
        refuse(operation, rule);
        refuse_change(operation);
        problem(operation, Kind::UnsupportedMediaType);
        problem(operation, Kind::Invalid);
    }
}

/// Who may.
fn secure(operation: &mut Operation, rule: &RouteRule) {
    let who = match rule.access {
        Access::Anyone => "Needs no token.".to_owned(),
        Access::Metrics => "Role: viewer; none where the setting `metrics_public` is on.".to_owned(),
        Access::Role(least) => format!("Role: {}.", word(least)),
    };
    let lines: Vec<String> = operation.description.take().into_iter().chain([who]).collect();
    operation.description = Some(lines.join("\n\n"));
    operation.security = Some(match rule.access {
        Access::Anyone => vec![],
        Access::Metrics | Access::Role(_) => vec![SecurityRequirement::new::<_, [&str; 0], &str>(SCHEME, [])],
    });
}

/// That a request may be sent again under a key.
fn take_key(operation: &mut Operation) {
    let key = ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(format!(
            "A text of 1 to {KEY_BYTES_MAX} characters, a new one for each request: sent again with the same request it \
             gets the same answer, and nothing is done twice. Kept for a day."
        )))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).build()))
        .build();
    operation.parameters.get_or_insert_default().push(RefOr::T(key));
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            let replayed = HeaderBuilder::new()
                .schema(Some(ObjectBuilder::new().schema_type(Type::String).build()))
                .description(Some("`true` where this answer was given before."))
                .build();
            response
                .headers
                .insert("Idempotency-Replayed".to_owned(), RefOr::T(replayed));
        }
    }
}

/// What any request may be refused with.
fn refuse(operation: &mut Operation, rule: &RouteRule) {
    let parameters = |wanted: ParameterIn| {
        operation
            .parameters
            .iter()
            .flatten()
            .any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == wanted))
    };
    let (path, query) = (parameters(ParameterIn::Path), parameters(ParameterIn::Query));
    let header = parameters(ParameterIn::Header);
    let mut kinds = vec![Kind::Internal, Kind::TookTooLong];
    if rule.access != Access::Anyone {
        kinds.extend([
            Kind::Unauthorized,
            Kind::Forbidden,
            Kind::TooManyRequests,
            Kind::StoreUnusable,
        ]);
    }
    if path || query || header {
        kinds.push(Kind::BadRequest);
    }
    if path {
        kinds.push(Kind::NotFound);
    }
    for kind in kinds {
        problem(operation, kind);
    }
}

/// What a change may be refused with.
fn refuse_change(operation: &mut Operation) {
    let guarded = operation
        .parameters
        .iter()
        .flatten()
        .any(|parameter| matches!(parameter, RefOr::T(parameter) if parameter.name == "If-Match"));
    if guarded {
        problem(operation, Kind::PreconditionFailed);
    }
    if operation.request_body.is_some() {
        problem(operation, Kind::BadRequest);
        problem(operation, Kind::UnsupportedMediaType);
        problem(operation, Kind::Invalid);
    }
    for kind in [
        Kind::BodyTooSlow,
        Kind::Conflict,
        Kind::TooLarge,
        Kind::ServerUnreachable,
    ] {
        problem(operation, kind);
    }
}

/// Adds the answer with the status of a kind.
fn problem(operation: &mut Operation, kind: Kind) {
    let (_, status, _) = kind.describe();
    let answer = RefOr::Ref(Ref::from_response_name(response_name(status)));
    // A handler that says more of this status itself has the word.
    operation
        .responses
        .responses
        .entry(status.as_str().to_owned())
        .or_insert(answer);
}

fn response_name(status: StatusCode) -> String {
    let words = status.canonical_reason().unwrap_or("Problem");
    words.split(' ').collect()
}

/// One answer for each status that a problem has; all kinds of a status share it.
fn problems() -> impl Iterator<Item = (String, Response)> {
    let mut by_status = BTreeMap::<StatusCode, Vec<&str>>::new();
    for kind in Kind::ALL {
        let (_, status, title) = kind.describe();
        by_status.entry(status).or_default().push(title);
    }
    by_status.into_iter().map(|(status, titles)| {
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name(Problem::name())))
            .build();
        let response = ResponseBuilder::new()
            .description(format!("{}.", titles.join("; or: ")))
            .content(MEDIA_TYPE, content)
            .build();
        (response_name(status), response)
    })
}
