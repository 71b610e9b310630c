//! An API that says what a test tells it to: for what no real gateway does on demand.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::gateway::{Said, sterna_in};

/// A client that says nothing for so long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// `POST /groups`, without the prefix of the API.
    pub(crate) line: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Value,
}

/// What is answered.
pub(crate) enum Reply {
    /// A status and a body.
    Json(u16, Value),
    /// The same with an entity tag.
    Tagged(&'static str, Value),
    /// Events, then the end of the connection.
    Events(Vec<Value>),
    /// Bytes.
    File(Vec<u8>),
    /// The connection ends without an answer.
    HangUp,
}

type Script = dyn Fn(&Request, usize) -> Reply + Send + Sync;

/// The API; it goes with the test's process.
pub(crate) struct ScriptedApi {
    address: String,
    requests: Arc<Mutex<Vec<Request>>>,
    dir: tempfile::TempDir,
}

impl ScriptedApi {
    /// The script is asked with each request, and how many with the same line came before it.
    pub(crate) fn start(script: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        let script: Arc<Script> = Arc::new(script);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (kept, script) = (Arc::clone(&kept), Arc::clone(&script));
                // Whatever fails here fails because the client has gone.
                std::thread::spawn(move || drop(serve(client, &kept, &*script)));
            }
        });
        Self {
            address,
            requests,
            dir: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The directory in which verbs run.
    pub(crate) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Runs a verb against it.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        let env = [
            ("STERNA_API", self.address.as_str()),
            ("STERNA_TOKEN", "sterna_test"),
        ];
        sterna_in(self.dir.path(), args, &env)
    }

    /// What came so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The requests with this line.
    pub(crate) fn with_line(&self, line: &str) -> Vec<Request> {
        let requests = self.requests().into_iter();
        requests.filter(|request| request.line == line).collect()
    }
}

fn serve(mut client: TcpStream, kept: &Mutex<Vec<Request>>, script: &Script) -> std::io::Result<()> {
    client.set_read_timeout(Some(SILENCE_MAX))?;
    let request = read(&client)?;
    let before = {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept.iter().filter(|known| known.line == request.line).count();
        kept.push(request.clone());
        before
    };
    match script(&request, before) {
        Reply::HangUp => Ok(()),
        Reply::Json(status, body) => answer(&mut client, status, "", body.to_string().as_bytes()),
        Reply::Tagged(tag, body) => {
            let tag = format!("ETag: \"{tag}\"\r\n");
            answer(&mut client, 200, &tag, body.to_string().as_bytes())
        }
        Reply::File(bytes) => answer(&mut client, 200, "", &bytes),
        Reply::Events(events) => {
            write!(
                client,
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n"
            )?;
            for event in events {
                write!(
                    client,
                    "event: {}\ndata: {event}\n\n",
                    event["kind"].as_str().unwrap_or("missed")
                )?;
            }
            client.flush()
        }
    }
}

fn answer(client: &mut TcpStream, status: u16, headers: &str, body: &[u8]) -> std::io::Result<()> {
    write!(
        client,
        "HTTP/1.1 {status} Told\r\nContent-Type: application/json\r\nConnection: close\r\n{headers}Content-Length: \
         {}\r\n\r\n",
        body.len()
    )?;
    client.write_all(body)?;
    client.flush()
}

fn read(client: &TcpStream) -> std::io::Result<Request> {
    let mut input = BufReader::new(client);
    let mut line = String::new();
    input.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.strip_prefix("/api/v1").unwrap_or(path);
    let line = format!("{method} {path}");
    let mut headers = HashMap::new();
    loop {
        let mut header = String::new();
        input.read_line(&mut header)?;
        match header.trim_end().split_once(": ") {
            Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.to_owned()),
            None => break,
        };
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    input.read_exact(&mut body)?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    Ok(Request { line, headers, body })
}
