//! A small client of the gateway's REST API.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::Agent;

/// Longer than the longest wait that is asked for.
const ANSWER_MAX: Duration = Duration::from_secs(70);
/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

/// A client of one gateway, as its admin.
#[derive(Debug)]
pub(super) struct Rest {
    agent: Agent,
    base: String,
    token: String,
}

impl Rest {
    /// A client of the API at this port of loopback; nothing is sent yet.
    pub(super) fn new(port: u16, token: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            // A gateway that was restarted does not know the connections of the one before.
            .max_idle_connections(0)
            .timeout_global(Some(ANSWER_MAX));
        Self {
            agent: config.build().new_agent(),
            base: format!("http://127.0.0.1:{port}/api/v1"),
            token: format!("Bearer {token}"),
        }
    }

    /// Reads something.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let bytes = self.bytes(path)?;
        serde_json::from_slice(&bytes).with_context(|| format!("the answer to GET {path}"))
    }

    /// Reads something as it is.
    pub(super) fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let asked = self
            .agent
            .get(format!("{}{path}", self.base))
            .header("authorization", &self.token);
        read(&format!("GET {path}"), asked.call())
    }

    /// Asks for a change.
    pub(super) fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T> {
        let asked = self
            .agent
            .post(format!("{}{path}", self.base))
            .header("authorization", &self.token)
            .header("content-type", "application/json");
        let bytes = read(&format!("POST {path}"), asked.send(body.to_string()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("the answer to POST {path}"))
    }
}

fn read(what: &str, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Vec<u8>> {
    let mut answer = answer.with_context(|| what.to_owned())?;
    let status = answer.status();
    let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX);
    let bytes = body.read_to_vec().with_context(|| what.to_owned())?;
    if !status.is_success() {
        bail!("{what}: {status}: {}", String::from_utf8_lossy(&bytes));
    }
    Ok(bytes)
}
