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
#[derive(Debug, Clone)]
pub struct Rest {
    agent: Agent,
    base: String,
    token: String,
}

impl Rest {
    /// A client of the API at this port of loopback; nothing is sent yet.
    pub fn new(port: u16, token: &str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            // A gateway that was killed does not know the connections of the one before.
            .max_idle_connections(0)
            .timeout_global(Some(ANSWER_MAX));
        Self {
            agent: config.build().new_agent(),
            base: format!("http://127.0.0.1:{port}/api/v1"),
            token: format!("Bearer {token}"),
        }
    }

    /// Reads something; none where there is no such thing.
    pub fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>> {
        let what = format!("GET {path}");
        match read(&what, self.ask_for(path))? {
            (404, _) => Ok(None),
            answer => Ok(Some(parse(&what, answer)?)),
        }
    }

    /// Reads something.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let what = format!("GET {path}");
        parse(&what, read(&what, self.ask_for(path))?)
    }

    /// Reads something as it is.
    pub fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let what = format!("GET {path}");
        good(&what, read(&what, self.ask_for(path))?)
    }

    /// Asks for a change.
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T> {
        let what = format!("POST {path}");
        let asked = self
            .agent
            .post(format!("{}{path}", self.base))
            .header("authorization", &self.token)
            .header("content-type", "application/json")
            .send(body.to_string());
        parse(&what, read(&what, asked)?)
    }

    /// Asks for an end.
    pub fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let what = format!("DELETE {path}");
        let asked = self
            .agent
            .delete(format!("{}{path}", self.base))
            .header("authorization", &self.token)
            .call();
        parse(&what, read(&what, asked)?)
    }

    fn ask_for(&self, path: &str) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        self.agent
            .get(format!("{}{path}", self.base))
            .header("authorization", &self.token)
            .call()
    }
}

fn read(what: &str, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<(u16, Vec<u8>)> {
    let mut answer = answer.with_context(|| what.to_owned())?;
    let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX);
    let bytes = body.read_to_vec().with_context(|| what.to_owned())?;
    Ok((answer.status().as_u16(), bytes))
}

fn good(what: &str, (status, bytes): (u16, Vec<u8>)) -> Result<Vec<u8>> {
    if !(200..300).contains(&status) {
        bail!("{what}: {status}: {}", String::from_utf8_lossy(&bytes));
    }
    Ok(bytes)
}

fn parse<T: DeserializeOwned>(what: &str, answer: (u16, Vec<u8>)) -> Result<T> {
    let bytes = good(what, answer)?;
    serde_json::from_slice(&bytes).with_context(|| format!("the answer to {what}"))
}
