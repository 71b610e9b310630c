//! Looks for secrets where none may stand, and speaks to an API byte by byte.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::DEADLINE;

/// The most that one answer is read of.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// Secrets, each with a word for what it is, in the forms in which a careless program shows bytes.
#[derive(Debug, Default)]
pub(crate) struct Secrets(Vec<(String, Vec<Vec<u8>>)>);

impl Secrets {
    pub(crate) fn add(&mut self, what: &str, secret: &str) {
        let secret = secret.trim();
        assert!(
            secret.len() >= 12,
            "{what} is too short to be told from chance: {secret:?}"
        );
        let joined = |form: fn(u8) -> String, between: &str| {
            let bytes: Vec<_> = secret.bytes().map(form).collect();
            bytes.join(between).into_bytes()
        };
        let forms = vec![
            secret.as_bytes().to_vec(),
            joined(|byte| format!("{byte:02x}"), ""),
            joined(|byte| byte.to_string(), ", "),
            joined(|byte| byte.to_string(), ","),
        ];
        self.0.push((what.to_owned(), forms));
    }

    /// All but one.
    pub(crate) fn without(&self, what: &str) -> Self {
        let others = self.0.iter().filter(|(name, _)| name != what);
        Self(others.cloned().collect())
    }

    /// Which of them stand in there.
    pub(crate) fn found_in(&self, text: &[u8]) -> Vec<&str> {
        let holds = |form: &Vec<u8>| text.windows(form.len()).any(|part| part == form.as_slice());
        let found = self.0.iter().filter(|(_, forms)| forms.iter().any(holds));
        found.map(|(what, _)| what.as_str()).collect()
    }

    /// Panics where one of them stands in there; shows what is around it.
    #[track_caller]
    pub(crate) fn absent_from(&self, place: &str, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        if self.found_in(text).is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(text);
        let lines: Vec<_> = text
            .lines()
            .filter(|line| !self.found_in(line.as_bytes()).is_empty())
            .map(|line| line.chars().take(2000).collect::<String>())
            .take(5)
            .collect();
        panic!(
            "{:?} in {place}:\n{}",
            self.found_in(text.as_bytes()),
            lines.join("\n")
        );
    }
}

/// Every file below a directory.
pub(crate) fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("a readable directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// The permission bits of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

/// A secret in a file that its owner alone can read.
pub(crate) fn private_file(path: &Path, secret: &str) {
    fs::write(path, secret).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("chmod");
}

/// The command line of a running process, as everybody on the machine sees it.
pub(crate) fn command_line(pid: u32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/cmdline")).expect("it runs")
}

/// `host:port` of an API's URL.
pub(crate) fn host_port(api: &str) -> &str {
    api.split_once("://").map_or(api, |(_, rest)| rest)
}

/// A connection that says nothing by itself.
pub(crate) fn connect(address: &str) -> TcpStream {
    let socket = TcpStream::connect(host_port(address)).expect("it listens");
    socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    socket.set_write_timeout(Some(DEADLINE)).expect("a timeout");
    socket
}

/// Sends bytes and reads until the other side ends the connection, which it must do in time.
pub(crate) fn exchange(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut socket = connect(address);
    // It may hang up before it has taken everything; what it said before is still there to be read.
    let written = socket.write_all(bytes);
    let answer = read_to_end(&mut socket);
    assert!(
        written.is_ok() || answer.len() < ANSWER_BYTES_MAX,
        "{written:?} to {address}"
    );
    answer
}

/// Reads until the other side ends the connection.
pub(crate) fn read_to_end(socket: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let mut part = [0; 16 << 10];
    while answer.len() < ANSWER_BYTES_MAX {
        match socket.read(&mut part) {
            Ok(0) => break,
            Ok(count) => answer.extend_from_slice(&part[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!(
                "the connection was not ended: {error}; it said {:?}",
                text(&answer)
            ),
        }
    }
    answer
}

/// What is there to be read now; for a stream that has no end.
pub(crate) fn read_what_is_there(socket: &mut TcpStream) -> Vec<u8> {
    socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .expect("a timeout");
    let mut all = Vec::new();
    let mut part = [0; 16 << 10];
    while let Ok(count @ 1..) = socket.read(&mut part) {
        all.extend_from_slice(&part[..count]);
    }
    all
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// One request over a connection of its own: the whole answer, head and body.
pub(crate) fn ask(api: &str, method: &str, path: &str, token: &str, body: &str) -> String {
    let request = request(method, path, token, body);
    text(&exchange(api, request.as_bytes()))
}

/// A request that ends its connection.
pub(crate) fn request(method: &str, path: &str, token: &str, body: &str) -> String {
    let length = body.len();
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/json\r\n"
    };
    format!(
        "{method} {path} HTTP/1.1\r\nHost: sterna\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n{kind}\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

#[test]
fn a_secret_is_found_in_every_form() {
    let mut secrets = Secrets::default();
    secrets.add("word", "correct-horse");
    for text in [
        "said \"correct-horse\"",
        "636f72726563742d686f727365",
        "[99, 111, 114, 114, 101, 99, 116, 45, 104, 111, 114, 115, 101]",
    ] {
        assert_eq!(secrets.found_in(text.as_bytes()), ["word"], "{text}");
    }
    assert!(secrets.found_in(b"correct horse").is_empty());
    assert!(secrets.without("word").found_in(b"correct-horse").is_empty());
}
