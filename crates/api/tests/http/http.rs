//! HTTP/1.1 as plainly as can be, so that tests see and send every byte.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Nothing in these tests takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    /// Without token or body.
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: vec![],
            body: String::new(),
        }
    }

    /// With a token.
    pub(crate) fn token(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// With a header more.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a JSON body, unless it is empty.
    pub(crate) fn json(self, body: &str) -> Self {
        if body.is_empty() {
            return self;
        }
        self.header("Content-Type", "application/json").body(body)
    }

    /// With a body of no type.
    pub(crate) fn body(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self
    }

    /// As it goes out.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: sterna\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            write!(text, "{name}: {value}\r\n").unwrap();
        }
        if !self.body.is_empty() || self.method != "GET" {
            write!(text, "Content-Length: {}\r\n", self.body.len()).unwrap();
        }
        text + "\r\n" + &self.body
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The kind of the problem document that it must be.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        let document = self.json();
        assert_eq!(document["status"], self.status, "{self:?}");
        for field in ["title", "detail"] {
            assert!(
                document[field].as_str().is_some_and(|text| !text.is_empty()),
                "{self:?}"
            );
        }
        let kind = document["type"].as_str().unwrap();
        kind.strip_prefix("/problems/").unwrap().to_owned()
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Http {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

impl Http {
    /// To the API.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(address).await.unwrap(),
            read: Vec::new(),
        }
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn send(&mut self, request: Request) -> Answer {
        self.stream.write_all(request.text().as_bytes()).await.unwrap();
        let head_only = request.method == "HEAD";
        let (status, headers) = self.head().await;
        let length = headers
            .get("content-length")
            .map_or(0, |text| text.parse().unwrap());
        let body = if head_only {
            vec![]
        } else {
            self.exactly(length).await
        };
        Answer {
            status,
            headers,
            body: String::from_utf8(body).unwrap(),
        }
    }

    /// Sends bytes and reads what comes back for them.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) -> Answer {
        self.stream.write_all(bytes).await.unwrap();
        let (status, headers) = self.head().await;
        let length = headers
            .get("content-length")
            .map_or(0, |text| text.parse().unwrap());
        let body = String::from_utf8(self.exactly(length).await).unwrap();
        Answer {
            status,
            headers,
            body,
        }
    }

    /// Reads a status line and headers.
    pub(crate) async fn head(&mut self) -> (u16, BTreeMap<String, String>) {
        let head = self.until("\r\n\r\n").await;
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        (status, headers)
    }

    /// Reads up to and with an end.
    pub(crate) async fn until(&mut self, end: &str) -> String {
        loop {
            let found = self
                .read
                .windows(end.len())
                .position(|window| window == end.as_bytes());
            if let Some(at) = found {
                let rest = self.read.split_off(at + end.len());
                return String::from_utf8(std::mem::replace(&mut self.read, rest)).unwrap();
            }
            assert!(
                self.more().await > 0,
                "the connection ended before {end:?}, after {:?}",
                String::from_utf8_lossy(&self.read)
            );
        }
    }

    /// Waits until the other side closes, and returns what came before.
    pub(crate) async fn rest(&mut self) -> String {
        while self.more().await > 0 {}
        String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned()
    }

    async fn exactly(&mut self, bytes: usize) -> Vec<u8> {
        while self.read.len() < bytes {
            assert!(self.more().await > 0, "the connection ended within a body");
        }
        let rest = self.read.split_off(bytes);
        std::mem::replace(&mut self.read, rest)
    }

    /// Reads what there is; 0 at the end. A reset is an end too.
    async fn more(&mut self) -> usize {
        tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.read))
            .await
            .expect("something comes in time")
            .unwrap_or(0)
    }
}
