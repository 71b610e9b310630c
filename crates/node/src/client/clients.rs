//! The clients of a node are let go, as Sentinel does it: their connections are closed, so that they ask anew where the
//! primary is.
//!
//! Many client libraries leave a primary that became a replica for no other reason: each of their writes is answered with
//! `-READONLY`, and the connection is kept. Our own connections are known by their name and stay, and so do those of
//! replicas and primaries.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use sterna_protocol::resp::Value;

use super::{CONNECTION_NAME, Client, ClientError};
use crate::address::NodeAddress;

/// How long writes are paused for between the look at who is blocked and `FAILOVER`, which pauses them itself.
const PAUSE_MS: &str = "4000";

/// Commands that wait for replicas and not for a key. A node that becomes a replica answers them, and closes their connections:
/// Redis at once, Valkey 9.1 not before its primary has answered it.
const AWAIT_REPLICAS: [&str; 2] = ["wait", "waitaof"];

/// A primary was told to hand over, and its blocked clients were let go before.
#[derive(Debug)]
pub struct HandOver {
    /// How many were, or why none.
    pub clients: Result<u64, ClientError>,
}

/// A connection that follows a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowingClient {
    /// The node's number for it, which it gives to no other as long as its process lives.
    pub id: u64,
    /// Where it comes from, as the node sees it: behind a translation of addresses that is no address of its own.
    pub from: Option<IpAddr>,
}

impl Client {
    /// `CLIENT LIST TYPE replica`: the connections that follow the node, whatever they announced of themselves.
    pub async fn following_clients(&mut self) -> Result<Vec<FollowingClient>, ClientError> {
        let list = self.command(&["CLIENT", "LIST", "TYPE", "replica"]).await?;
        let following = self.clients(&list)?.into_iter();
        Ok(following
            .map(|client| FollowingClient {
                id: client.id,
                from: client.from,
            })
            .collect())
    }

    /// The users that clients are logged in as, with how many connections each has; ours and those of replication don't count.
    pub async fn connected_users(&mut self) -> Result<BTreeMap<String, usize>, ClientError> {
        let list = self.command(&["CLIENT", "LIST"]).await?;
        let mut users = BTreeMap::new();
        for client in self.clients(&list)? {
            if !client.is_ours() && !client.replicates {
                *users.entry(client.user).or_default() += 1;
            }
        }
        Ok(users)
    }

    /// The number of this connection at its node: one more for each connection that is opened there.
    pub async fn id(&mut self) -> Result<u64, ClientError> {
        let value = self.command(&["CLIENT", "ID"]).await?;
        number(&value).ok_or_else(|| self.unexpected("CLIENT ID", "not a number"))
    }

    /// Closes the connections of ordinary clients and of subscribers; with `before` only those that were opened before the
    /// one with this id. Returns how many. Who waits for replicas is left to the node, which answers when it becomes one.
    pub async fn disconnect_clients(&mut self, before: Option<u64>) -> Result<u64, ClientError> {
        const TYPES: [&str; 2] = ["normal", "pubsub"];
        // One that may not say its name would not be told apart from theirs.
        self.command(&["CLIENT", "SETNAME", CONNECTION_NAME]).await?;
        let lists = TYPES.map(|kind| ["CLIENT", "LIST", "TYPE", kind]);
        let mut kills = Vec::new();
        for (list, kind) in self.pipeline(&lists).await?.iter().zip(TYPES) {
            for client in self.clients(list)? {
                let stays = client.is_ours() || client.awaits_replicas;
                if !stays && before.is_none_or(|before| client.id < before) {
                    // It may have become something else since.
                    kills.push(words(&[
                        "CLIENT",
                        "KILL",
                        "ID",
                        &client.id.to_string(),
                        "TYPE",
                        kind,
                    ]));
                }
            }
        }
        let answers = self.pipeline(&kills).await?;
        self.killed(&answers)
    }

    /// Closes earlier connections that were opened for this work, at a node where only the latest counts: what one of them
    /// was given and has not arrived yet has no effect any more.
    pub async fn displace(&mut self, work: &str) -> Result<(), ClientError> {
        let name = format!("{CONNECTION_NAME}-{work}");
        let commands = [
            &["CLIENT", "ID"][..],
            &["CLIENT", "SETNAME", &name],
            &["CLIENT", "LIST", "TYPE", "normal"],
        ];
        let answers = self.pipeline(&commands).await?;
        for (answer, what) in answers.iter().zip(["CLIENT ID", "CLIENT SETNAME"]) {
            if let Value::Error(text) = answer {
                return Err(ClientError::from_reply(self.address(), what, text));
            }
        }
        let own = answers.first().and_then(number);
        let earlier = self.clients(answers.last().unwrap_or(&Value::Null))?.into_iter();
        let kills: Vec<_> = earlier
            .filter(|client| *client.name == *name && Some(client.id) != own)
            .map(|client| words(&["CLIENT", "KILL", "ID", &client.id.to_string()]))
            .collect();
        let answers = self.pipeline(&kills).await?;
        self.killed(&answers).map(drop)
    }

    /// Lets the clients go that are blocked (`BRPOP`, `XREADGROUP` …) and gives `FAILOVER TO`, with no write in between.
    /// `FAILOVER` would answer them with `-UNBLOCKED`, which the workers of job queues don't survive; a closed connection
    /// they open again, and what they ask then is paused.
    ///
    /// That clients could not be let go is no error of it.
    pub async fn hand_over(&mut self, to: &NodeAddress, timeout_ms: u64) -> Result<HandOver, ClientError> {
        let blocked = self.pause_and_find_blocked().await;
        if let Err(error) = &blocked
            && !error.leaves_usable()
        {
            return blocked.map(|_| HandOver { clients: Ok(0) });
        }
        let kills = blocked.as_ref().map_or(&[][..], Vec::as_slice).iter();
        let mut commands: Vec<_> = kills
            .map(|id| words(&["CLIENT", "KILL", "ID", &id.to_string()]))
            .collect();
        let (port, timeout) = (to.port.to_string(), timeout_ms.to_string());
        let order = ["FAILOVER", "TO", &to.host, &port, "TIMEOUT", &timeout];
        commands.push(words(&order));
        let mut answers = self.pipeline(&commands).await?;
        if let Some(Value::Error(text)) = answers.pop() {
            let refused = ClientError::from_reply(self.address(), "FAILOVER", &text);
            drop(self.resume_writes().await);
            return Err(refused);
        }
        let clients = match blocked {
            Ok(_) => self.killed(&answers),
            Err(error) => Err(error),
        };
        Ok(HandOver { clients })
    }

    /// Ends the pause that [`Client::hand_over`] began, as far as it has not ended.
    pub async fn resume_writes(&mut self) -> Result<(), ClientError> {
        self.command(&["CLIENT", "UNPAUSE"]).await.map(drop)
    }

    /// Nobody gets blocked between the two: who comes later is paused.
    async fn pause_and_find_blocked(&mut self) -> Result<Vec<u64>, ClientError> {
        let commands = [
            &["MULTI"][..],
            &["CLIENT", "PAUSE", PAUSE_MS, "WRITE"],
            &["CLIENT", "LIST"],
            &["EXEC"],
        ];
        let answers = self.pipeline(&commands).await?;
        for (answer, name) in answers
            .iter()
            .zip(["MULTI", "CLIENT PAUSE", "CLIENT LIST", "EXEC"])
        {
            if let Value::Error(text) = answer {
                return Err(ClientError::from_reply(self.address(), name, text));
            }
        }
        let list = answers.last().and_then(Value::as_array).and_then(<[_]>::last);
        let clients = self.clients(list.unwrap_or(&Value::Null))?;
        Ok(clients
            .into_iter()
            .filter(|client| client.is_blocked && !client.is_ours())
            .map(|client| client.id)
            .collect())
    }

    fn clients(&self, list: &Value) -> Result<Vec<Connected>, ClientError> {
        if let Value::Error(text) = list {
            return Err(ClientError::from_reply(self.address(), "CLIENT LIST", text));
        }
        let text = list
            .as_bytes()
            .ok_or_else(|| self.unexpected("CLIENT LIST", "not a string"))?;
        let text = String::from_utf8_lossy(text);
        Ok(text.lines().filter_map(Connected::parse).collect())
    }

    fn killed(&self, answers: &[Value]) -> Result<u64, ClientError> {
        let mut count = 0;
        for answer in answers {
            match answer {
                Value::Error(text) if text.starts_with(b"ERR No such client") => {}
                Value::Error(text) => {
                    return Err(ClientError::from_reply(self.address(), "CLIENT KILL", text));
                }
                // None where it had gone by itself.
                answer => count += answer.as_int().map_or(1, |killed| u64::from(killed > 0)),
            }
        }
        Ok(count)
    }
}

/// One line of `CLIENT LIST`.
#[derive(Debug, PartialEq, Eq)]
struct Connected {
    id: u64,
    from: Option<IpAddr>,
    /// The ACL user.
    user: String,
    name: Box<str>,
    /// Of a replica, or to a primary.
    replicates: bool,
    /// Waits for a key, and is no replica and no primary.
    is_blocked: bool,
    /// Waits for replicas, in `WAIT` or `WAITAOF`.
    awaits_replicas: bool,
}

impl Connected {
    fn is_ours(&self) -> bool {
        &*self.name == CONNECTION_NAME
    }

    fn parse(line: &str) -> Option<Self> {
        let field = |name: &str| {
            line.split(' ')
                .filter_map(|field| field.split_once('='))
                .find_map(|(known, value)| (known == name).then_some(value))
        };
        let flags = field("flags").unwrap_or_default();
        let replicates = flags.contains(['S', 'M']);
        let is_blocked = flags.contains('b') && !replicates;
        let awaits_replicas = is_blocked && field("cmd").is_some_and(|cmd| AWAIT_REPLICAS.contains(&cmd));
        Some(Self {
            id: field("id")?.parse().ok()?,
            from: field("addr").and_then(|at| Some(at.parse::<SocketAddr>().ok()?.ip())),
            user: field("user").unwrap_or("default").to_owned(),
            name: field("name").unwrap_or_default().into(),
            replicates,
            is_blocked: is_blocked && !awaits_replicas,
            awaits_replicas,
        })
    }
}

/// The number of a connection.
fn number(value: &Value) -> Option<u64> {
    value.as_int().and_then(|id| u64::try_from(id).ok())
}

fn words(command: &[&str]) -> Vec<String> {
    command.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, flags: &str, cmd: &str) -> Option<Connected> {
        Connected::parse(&format!(
            "id=7 addr=127.0.0.1:1 laddr=127.0.0.1:2 fd=9 name={name} age=1 idle=0 flags={flags} db=0 sub=0 multi=-1 \
             cmd={cmd} user=default resp=2"
        ))
    }

    #[test]
    fn a_line_tells_whose_connection_it_is_and_what_it_waits_for() {
        let connected = of("worker", "bx", "blmove").expect("a connection");
        assert_eq!(
            (connected.id, connected.from),
            (7, Some(IpAddr::from([127, 0, 0, 1])))
        );
        let what = |name, flags, cmd| {
            let connected = of(name, flags, cmd).expect("a connection");
            (connected.is_ours(), connected.replicates, connected.is_blocked)
        };
        assert_eq!(what("", "b", "brpop"), (false, false, true));
        assert_eq!(what("worker", "bx", "blmove"), (false, false, true));
        assert_eq!(what("", "N", "get"), (false, false, false));
        assert_eq!(what("sterna", "N", "client|list"), (true, false, false));
        assert_eq!(what("sterna-app", "N", "get"), (false, false, false));
        for (flags, cmd) in [("b", "wait"), ("b", "waitaof"), ("Mb", "set"), ("S", "replconf")] {
            let replicates = flags != "b";
            assert_eq!(what("", flags, cmd), (false, replicates, false), "{flags} {cmd}");
            let awaits = of("", flags, cmd).map(|connected| connected.awaits_replicas);
            assert_eq!(awaits, Some(!replicates), "{flags} {cmd}");
        }
        assert_eq!(Connected::parse("no line of it"), None);
    }
}
