//! The client of the REST API: one request, one answer, and words for everything that can go wrong in between.

use std::io::Read;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::Agent;
use ureq::http::{Method, Request, Response, header};

use super::access::{Access, Token};
use super::problem;
use crate::cli::ApiArgs;
use crate::exit::{Classify as _, CommandError, Failure};

/// The path that every route begins with.
const PREFIX: &str = "/api/v1";
/// How long to wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A connection that was idle for longer is not used again: the gateway closes those.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// How long to wait for an answer, beyond what the request itself asks to wait.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// The longest silence of a stream: the gateway says something more often than that.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// A client of one gateway's API.
#[derive(Debug)]
pub(crate) struct Client {
    agent: Agent,
    base: String,
    access: Access,
}

/// An answer that says yes.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The body, as it came.
    pub(crate) text: String,
    /// The entity tag, for `If-Match`.
    pub(crate) etag: Option<String>,
}

impl Answer {
    /// The body as a value of the model.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, CommandError> {
        serde_json::from_str(&self.text).map_err(|error| {
            Failure::Other.because(format!(
                "the gateway's answer can't be understood: {error}\nhint: is it of the same version? this is sterna {}",
                env!("CARGO_PKG_VERSION")
            ))
        })
    }
}

impl Client {
    /// A client as the options and the environment say; nothing is sent yet.
    pub(crate) fn new(args: &ApiArgs) -> Result<Self, CommandError> {
        let access = Access::find(args)?;
        let tls = Access::tls(args)?;
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // The token is for the gateway alone, not for what stands in a variable for browsers.
            .proxy(None)
            .user_agent(concat!("sterna/", env!("CARGO_PKG_VERSION")))
            .max_idle_age(IDLE_MAX)
            .timeout_connect(Some(CONNECT_MAX))
            .timeout_resolve(Some(CONNECT_MAX));
        if let Some(tls) = tls {
            config = config.tls_config(tls);
        }
        Ok(Self {
            agent: config.build().new_agent(),
            base: args.api.trim_end_matches('/').to_owned(),
            access,
        })
    }

    /// Reads something.
    pub(crate) fn get(&self, path: &str) -> Result<Answer, CommandError> {
        self.ask(&Call::new(Method::GET, path))
    }

    /// Reads something that may take its time.
    pub(crate) fn get_slowly(&self, path: &str, takes: Duration) -> Result<Answer, CommandError> {
        let mut call = Call::new(Method::GET, path);
        call.takes = takes;
        self.ask(&call)
    }

    /// Asks for a change. The request has a key of its own, so that it can be sent again when the connection broke
    /// before the answer: it is carried out once.
    pub(crate) fn post(&self, path: &str, body: &impl Serialize) -> Result<Answer, CommandError> {
        let mut call = Call::new(Method::POST, path);
        call.body = Some(json(body)?);
        call.key = Some(idempotency_key()?);
        match self.send(&call) {
            Err(error) if broke_off(&error) => self.answer(self.send(&call)),
            sent => self.answer(sent),
        }
    }

    /// Replaces something, if it is still as it was read.
    pub(crate) fn put(
        &self,
        path: &str,
        body: &impl Serialize,
        if_match: Option<String>,
    ) -> Result<Answer, CommandError> {
        let mut call = Call::new(Method::PUT, path);
        call.body = Some(json(body)?);
        call.if_match = if_match;
        self.ask(&call)
    }

    /// Changes parts of something, if it is still as it was read.
    pub(crate) fn patch(
        &self,
        path: &str,
        body: &impl Serialize,
        if_match: Option<String>,
    ) -> Result<Answer, CommandError> {
        let mut call = Call::new(Method::PATCH, path);
        call.body = Some(json(body)?);
        call.if_match = if_match;
        self.ask(&call)
    }

    /// Removes something.
    pub(crate) fn delete(&self, path: &str) -> Result<Answer, CommandError> {
        self.ask(&Call::new(Method::DELETE, path))
    }

    /// A body that is read as it comes.
    pub(crate) fn stream(&self, path: &str) -> Result<impl Read + use<>, CommandError> {
        let mut call = Call::new(Method::GET, path);
        call.endless = true;
        let response = self.send(&call).map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            return Err(self.refusal(response));
        }
        Ok(response.into_body().into_reader())
    }

    fn ask(&self, call: &Call<'_>) -> Result<Answer, CommandError> {
        self.answer(self.send(call))
    }

    fn send(&self, call: &Call<'_>) -> Result<Response<ureq::Body>, ureq::Error> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(format!("{}{PREFIX}{}", self.base, call.path));
        if let Some(Token { secret, .. }) = &self.access.token {
            request = request.header(header::AUTHORIZATION, bearer(secret)?);
        }
        if let Some(key) = &call.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(tag) = &call.if_match {
            request = request.header(header::IF_MATCH, tag);
        }
        match &call.body {
            Some(body) => {
                let request = request
                    .header(header::CONTENT_TYPE, "application/json")
                    .body(body.as_str())?;
                let request = self.agent.configure_request(request);
                self.agent
                    .run(request.timeout_global(Some(call.takes + ANSWER_MAX)).build())
            }
            None if call.endless => {
                let request = self.agent.configure_request(request.body(())?);
                let request = request.timeout_recv_response(Some(ANSWER_MAX));
                self.agent
                    .run(request.timeout_per_read(Some(SILENCE_MAX)).build())
            }
            None => {
                let request = self.agent.configure_request(request.body(())?);
                self.agent
                    .run(request.timeout_global(Some(call.takes + ANSWER_MAX)).build())
            }
        }
    }

    fn answer(&self, sent: Result<Response<ureq::Body>, ureq::Error>) -> Result<Answer, CommandError> {
        let mut response = sent.map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            return Err(self.refusal(response));
        }
        let etag = response.headers().get(header::ETAG);
        let etag = etag.and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let text = read_body(response.body_mut()).map_err(|error| self.unreachable(&error))?;
        Ok(Answer { text, etag })
    }

    fn refusal(&self, mut response: Response<ureq::Body>) -> CommandError {
        let status = response.status().as_u16();
        let text = read_body(response.body_mut()).unwrap_or_default();
        problem::refusal(status, &text, &self.access)
    }

    fn unreachable(&self, error: &ureq::Error) -> CommandError {
        problem::unreachable(&self.base, error)
    }
}

/// One request.
#[derive(Debug)]
struct Call<'a> {
    method: Method,
    path: &'a str,
    body: Option<String>,
    key: Option<String>,
    if_match: Option<String>,
    takes: Duration,
    endless: bool,
}

impl<'a> Call<'a> {
    fn new(method: Method, path: &'a str) -> Self {
        Self {
            method,
            path,
            body: None,
            key: None,
            if_match: None,
            takes: Duration::ZERO,
            endless: false,
        }
    }
}

fn json(body: &impl Serialize) -> Result<String, CommandError> {
    serde_json::to_string(body).class(Failure::Other)
}

fn read_body(body: &mut ureq::Body) -> Result<String, ureq::Error> {
    body.with_config().limit(ANSWER_BYTES_MAX).read_to_string()
}

fn bearer(secret: &sterna_protocol::Secret) -> Result<header::HeaderValue, ureq::Error> {
    let mut value = b"Bearer ".to_vec();
    value.extend_from_slice(secret.expose());
    let mut value = header::HeaderValue::from_bytes(&value).map_err(ureq::http::Error::from)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether the request may have been carried out though no answer came.
fn broke_off(error: &ureq::Error) -> bool {
    use std::io::ErrorKind;
    matches!(error, ureq::Error::Io(error) if matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::UnexpectedEof | ErrorKind::ConnectionAborted
    ))
}

fn idempotency_key() -> Result<String, CommandError> {
    let mut bytes = [0; size_of::<u128>()];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::Local.because(format!("the system gives no random bytes: {error}")))?;
    Ok(u128::from_ne_bytes(bytes)).map(|number| format!("{number:032x}"))
}
