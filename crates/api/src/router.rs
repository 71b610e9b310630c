//! The router, made from the table of routes, and what holds for every answer.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::Response;

use crate::middleware::{RuleState, apply_rule};
use crate::problem::{Kind, Refusal};
use crate::routes;
use crate::shared::App;

/// All routes, each behind its rule.
pub(crate) fn build(app: &App) -> Router {
    let mut router = Router::new();
    for route in routes::table() {
        let state = RuleState {
            app: Arc::clone(app),
            rule: route.rule,
        };
        let handler = route.handler.route_layer(from_fn_with_state(state, apply_rule));
        for path in route.paths.paths.keys() {
            router = router.route(path, handler.clone());
        }
    }
    router
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(map_response(keep_private))
        .with_state(Arc::clone(app))
}

async fn no_such_route(request: Request) -> Refusal {
    let path: String = request.uri().path().chars().take(200).collect();
    Refusal::new(Kind::NoSuchRoute, format!("the API has no path {path:?}"))
        .hint("all paths are in /api/v1/openapi.json")
}

async fn method_not_allowed(request: Request) -> Refusal {
    Refusal::new(
        Kind::MethodNotAllowed,
        format!("the method {} does nothing here", request.method()),
    )
    .hint("the methods of this path are in the header Allow")
}

/// No answer is kept by anybody in between, or taken for what it is not.
async fn keep_private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}
