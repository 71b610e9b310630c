//! Asking one node again and again how it is, on a connection that is kept.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::client::{Client, ClientError};
use crate::connect::Dialer;
use crate::engine::Engine;
use crate::info::Info;

/// What a node answered.
#[derive(Debug, Clone)]
pub struct ProbeAnswer {
    /// What runs there.
    pub engine: Engine,
    /// The sections that tell how it replicates.
    pub info: Info,
    pub asked: Instant,
    /// How long the answer took.
    pub round_trip: Duration,
    /// The address of this machine on the connection to it.
    pub local: Option<IpAddr>,
}

impl ProbeAnswer {
    /// What a node says when it is asked for the first time on a connection, and what runs there.
    pub async fn first(client: &mut Client) -> Result<Self, ClientError> {
        let asked = Instant::now();
        let info = client.info().await?;
        let engine = Engine::recognise(&info).map_err(|unsupported| ClientError::Unexpected {
            address: client.address().clone(),
            command: "INFO".to_owned(),
            problem: unsupported.to_string(),
        })?;
        Ok(Self::new(client, engine, info, asked))
    }

    fn new(client: &Client, engine: Engine, info: Info, asked: Instant) -> Self {
        Self {
            engine,
            info,
            asked,
            round_trip: asked.elapsed(),
            local: client.stream().local_addr().ok().map(|local| local.ip()),
        }
    }
}

/// A connection for questions, opened again where it broke.
#[derive(Debug)]
pub struct Probe {
    dialer: Dialer,
    timeout: Duration,
    /// It goes to one process, so that the engine is asked for once.
    connection: Option<(Client, Engine)>,
}

impl Probe {
    /// Nothing is connected yet; each attempt to connect, and each command, may take `timeout`.
    pub fn new(mut dialer: Dialer, timeout: Duration) -> Self {
        dialer.connect_timeout = timeout;
        Self {
            dialer,
            timeout,
            connection: None,
        }
    }

    /// Goes on with a connection that is open.
    pub fn over(mut client: Client, engine: Engine, dialer: Dialer, timeout: Duration) -> Self {
        client.set_timeout(timeout);
        Self {
            connection: Some((client, engine)),
            ..Self::new(dialer, timeout)
        }
    }

    /// Asks once.
    pub async fn ask(&mut self) -> Result<ProbeAnswer, ClientError> {
        let answer = self.try_ask().await;
        if answer.as_ref().is_err_and(|error| !error.leaves_usable()) {
            self.connection = None;
        }
        answer
    }

    async fn try_ask(&mut self) -> Result<ProbeAnswer, ClientError> {
        match &mut self.connection {
            Some((client, engine)) => {
                let (asked, engine) = (Instant::now(), *engine);
                let info = client.replication_info(engine).await?;
                Ok(ProbeAnswer::new(client, engine, info, asked))
            }
            none => {
                let mut client = Client::connect_with_timeout(&self.dialer, self.timeout).await?;
                let answer = ProbeAnswer::first(&mut client).await?;
                *none = Some((client, answer.engine));
                Ok(answer)
            }
        }
    }

    /// The connection, where there is one.
    pub fn client(&mut self) -> Option<&mut Client> {
        self.connection.as_mut().map(|(client, _)| client)
    }
}
