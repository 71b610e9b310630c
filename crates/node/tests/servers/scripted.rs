//! Listeners that answer every command with the same INFO, or with bytes that are no Redis at all.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A scripted listener, gone with this value.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers `INFO` with `info`, and everything else with `+PONG`.
pub(crate) async fn info_server(info: &str) -> Scripted {
    let info = format!("${}\r\n{info}\r\n", info.len()).into_bytes();
    serve(move |request| {
        if request.windows(4).any(|word| word == b"INFO") {
            info.clone()
        } else {
            b"+PONG\r\n".to_vec()
        }
    })
    .await
}

/// Answers `INFO` and `LIST` with so many bytes, and everything else with `+PONG`.
pub(crate) async fn long_answers(bytes: usize) -> Scripted {
    let long = format!("${bytes}\r\n{}\r\n", "x".repeat(bytes)).into_bytes();
    serve(move |request| {
        let asks = |word: &[u8]| request.windows(word.len()).any(|part| part == word);
        if asks(b"INFO") || asks(b"LIST") {
            long.clone()
        } else {
            b"+PONG\r\n".to_vec()
        }
    })
    .await
}

/// Answers as a Sentinel that holds `primary` for the primary of every service, in this configuration epoch.
pub(crate) async fn sentinel_server(primary: SocketAddr, epoch: u64) -> Scripted {
    let bulk = |text: String| format!("${}\r\n{text}\r\n", text.len());
    let address = format!(
        "*2\r\n{}{}",
        bulk(primary.ip().to_string()),
        bulk(primary.port().to_string())
    );
    let master = format!(
        "*2\r\n{}{}",
        bulk("config-epoch".to_owned()),
        bulk(epoch.to_string())
    );
    serve(move |request| {
        let asks = |word: &str| request.windows(word.len()).any(|part| part == word.as_bytes());
        if asks("GET-MASTER-ADDR-BY-NAME") {
            address.clone().into_bytes()
        } else if asks("MASTER") {
            master.clone().into_bytes()
        } else if asks("REPLICAS") {
            b"*0\r\n".to_vec()
        } else {
            b"+PONG\r\n".to_vec()
        }
    })
    .await
}

/// Answers whatever comes with these bytes, then closes.
pub(crate) async fn says(bytes: &'static [u8]) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            if stream.read(&mut request).await.is_ok_and(|count| count > 0) {
                drop(stream.write_all(bytes).await);
            }
        }
    });
    Scripted { address, task }
}

/// Takes connections and never says a word.
pub(crate) async fn silent() -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let task = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            kept.push(stream);
        }
    });
    Scripted { address, task }
}

/// The commands that came in one piece; none of them has an argument that begins with an asterisk.
fn commands(request: &[u8]) -> impl Iterator<Item = &[u8]> {
    request
        .split(|byte| *byte == b'*')
        .filter(|command| !command.is_empty())
}

async fn serve(answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            while let Ok(count) = stream.read(&mut request).await {
                let answers: Vec<u8> = commands(&request[..count]).flat_map(&answer).collect();
                if count == 0 || stream.write_all(&answers).await.is_err() {
                    break;
                }
            }
        }
    });
    Scripted { address, task }
}
