//! The table of all routes, each with its rule; the router and the document are both made from it.

pub(crate) mod audit;
pub(crate) mod changes;
pub(crate) mod events;
pub(crate) mod groups;
pub(crate) mod operations;
pub(crate) mod rescues;
pub(crate) mod services;
pub(crate) mod system;
pub(crate) mod tokens;

use axum::routing::MethodRouter;
use sterna_model::Role;
use utoipa::openapi::path::Paths;
use utoipa::openapi::{RefOr, Schema};
use utoipa_axum::routes;

use crate::auth::Access;
use crate::middleware::RouteRule;
use crate::problem::{Kind, Refusal};
use crate::settings::{PAGE_DEFAULT, PAGE_MAX};
use crate::shared::App;

const ANYONE: Access = Access::Anyone;
const VIEWER: Access = Access::Role(Role::Viewer);
const OPERATOR: Access = Access::Role(Role::Operator);
const ADMIN: Access = Access::Role(Role::Admin);

/// A route: its rule, and what the handler says of itself.
pub(crate) struct Route {
    pub(crate) rule: RouteRule,
    pub(crate) schemas: Vec<(String, RefOr<Schema>)>,
    pub(crate) paths: Paths,
    pub(crate) handler: MethodRouter<App>,
}

/// An entry of the table: access, the word of the audit, the handler.
macro_rules! entry {
    ($access:expr, $action:literal, $handler:path $(, $modifier:ident)?) => {{
        let (schemas, paths, handler) = routes!($handler);
        Route {
            rule: RouteRule::new($access, $action)$(.$modifier())?,
            schemas,
            paths,
            handler,
        }
    }};
}

/// All routes.
pub(crate) fn table() -> Vec<Route> {
    vec![
        entry!(ANYONE, "health.read", system::health),
        entry!(ANYONE, "ready.read", system::ready),
        entry!(Access::Metrics, "metrics.read", system::metrics),
        entry!(ANYONE, "openapi.read", system::openapi),
        entry!(VIEWER, "service.list", services::list),
        entry!(ADMIN, "service.create", services::create),
        entry!(VIEWER, "service.read", services::show),
        entry!(ADMIN, "service.update", services::replace),
        entry!(ADMIN, "service.delete", services::remove),
        entry!(VIEWER, "service.doctor", services::doctor, waits),
        entry!(VIEWER, "group.list", groups::list),
        entry!(ADMIN, "group.create", groups::create),
        entry!(VIEWER, "group.read", groups::show),
        entry!(ADMIN, "group.update", groups::update),
        entry!(ADMIN, "group.delete", groups::remove),
        entry!(VIEWER, "status.list", groups::list_status),
        entry!(VIEWER, "status.read", groups::status),
        entry!(VIEWER, "history.read", groups::history),
        entry!(OPERATOR, "switchover", changes::switchover),
        entry!(OPERATOR, "failover", changes::failover),
        entry!(OPERATOR, "group.pause", changes::pause),
        entry!(OPERATOR, "group.resume", changes::resume),
        entry!(ADMIN, "history.accept", changes::accept_history),
        entry!(ADMIN, "replica.add", changes::add_replica),
        entry!(ADMIN, "replica.remove", changes::remove_replica),
        entry!(ADMIN, "replica.detach", changes::detach),
        entry!(VIEWER, "operation.list", operations::list),
        entry!(VIEWER, "operation.read", operations::show, waits),
        entry!(OPERATOR, "operation.cancel", operations::cancel),
        entry!(VIEWER, "rescue.list", rescues::list),
        entry!(VIEWER, "rescue.read", rescues::show),
        entry!(ADMIN, "rescue.export", rescues::file, recorded),
        entry!(ADMIN, "rescue.delete", rescues::remove),
        entry!(ADMIN, "token.list", tokens::list),
        entry!(ADMIN, "token.create", tokens::create),
        entry!(VIEWER, "token.self", tokens::own),
        entry!(ADMIN, "token.revoke", tokens::revoke),
        entry!(ADMIN, "audit.read", audit::list),
        entry!(VIEWER, "events.listen", events::listen),
    ]
}

/// How many entries a page has.
pub(crate) fn page_limit(asked: Option<usize>) -> Result<usize, Refusal> {
    match asked {
        None => Ok(PAGE_DEFAULT),
        Some(limit @ 1..=PAGE_MAX) => Ok(limit),
        Some(_) => Err(Refusal::new(
            Kind::BadRequest,
            format!("limit is 1 to {PAGE_MAX}; ask for the next page with `before`"),
        )),
    }
}
