//! One client's conversation, without IO: what it sent goes in, the bytes of the answer come out.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sterna_protocol::Secret;
use sterna_protocol::resp::{Incoming, RespError};
use sterna_protocol::sentinel::{
    Answer, CLIENT_HELP, ClientCommand, ClientQuestion, Event, Hello, Proto, Subscriptions, parse_client,
};

use crate::answers::Facts;
use crate::logins::{DEFAULT_USER, Logins};

/// How many wrong passwords a connection may try.
const AUTH_FAILURES_MAX: u32 = 3;

const NO_AUTH: &str = "NOAUTH Authentication required.";
const NO_AUTH_HELLO: &str = "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
                             <proto> AUTH <user> <pass> option can be used to authenticate the client and select the \
                             RESP protocol version at the same time";
const WRONG_PASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const NO_PASSWORD_SET: &str = "ERR AUTH <password> called without any password configured for the default user. Are \
                               you sure your configuration is correct?";

/// Whether the conversation goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// It does.
    Continue,
    /// Send what there is and close. The word is for the log.
    Close(&'static str),
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Session {
    id: u64,
    peer: SocketAddr,
    since: Duration,
    logins: Logins,
    /// As whom it has logged in.
    user: String,
    authenticated: bool,
    auth_failures: u32,
    /// It has been answered something other than an error.
    proven: bool,
    proto: Proto,
    name: String,
    subscriptions: Subscriptions,
}

impl Session {
    /// A connection on which nothing was said yet. `now` is how long the endpoint has been up.
    pub(crate) fn new(id: u64, peer: SocketAddr, logins: Logins, now: Duration) -> Self {
        Self {
            id,
            peer,
            since: now,
            authenticated: logins.is_open(),
            logins,
            user: DEFAULT_USER.to_owned(),
            auth_failures: 0,
            proven: false,
            proto: Proto::Resp2,
            name: String::new(),
            subscriptions: Subscriptions::default(),
        }
    }

    /// Whether it has logged in, where that is asked for, and has said anything of sense at all.
    pub(crate) fn is_trusted(&self) -> bool {
        self.authenticated && self.proven
    }

    /// Whether it is to be told of events.
    pub(crate) fn is_subscribed(&self) -> bool {
        !self.subscriptions.is_empty()
    }

    /// Answers what the client sent.
    pub(crate) fn on(&mut self, incoming: Incoming, facts: &Facts<'_>, out: &mut BytesMut) -> Flow {
        let Incoming::Command(args) = incoming else {
            return Flow::Continue;
        };
        let command = match parse_client(&args) {
            Ok(command) if self.authenticated || command.needs_no_login() => command,
            Err(refused) if self.authenticated => {
                self.put(&Answer::Error(refused.into_text()), out);
                return Flow::Continue;
            }
            // Nothing else is told to somebody unknown, not even what would have been wrong.
            _ => {
                self.put(&Answer::Error(NO_AUTH.to_owned()), out);
                return Flow::Continue;
            }
        };
        if self.is_subscribed() && self.proto == Proto::Resp2 && !allowed_while_subscribed(&command) {
            let text = format!(
                "ERR Can't execute '{}': only (P)SUBSCRIBE / (P)UNSUBSCRIBE / PING / QUIT are allowed in this context",
                command.name()
            );
            self.put(&Answer::Error(text), out);
            return Flow::Continue;
        }
        self.answer(command, facts, out)
    }

    /// Tells the client of an event, if it has subscribed to it.
    pub(crate) fn publish(&self, event: &Event, out: &mut BytesMut) {
        for message in self.subscriptions.deliver(event) {
            message.encode(self.proto, out);
        }
    }

    /// The last words to a client whose input is no RESP. They repeat nothing of it: it may hold a password.
    pub(crate) fn protocol_error(&self, error: &RespError, out: &mut BytesMut) {
        let text = match error {
            RespError::Malformed { expected, .. } => format!("ERR Protocol error: expected {expected}"),
            RespError::TooLarge { what, limit, .. } => {
                format!("ERR Protocol error: {what} is over the limit of {limit}")
            }
        };
        self.put(&Answer::Error(text), out);
    }

    fn answer(&mut self, command: ClientCommand, facts: &Facts<'_>, out: &mut BytesMut) -> Flow {
        let answers = match command {
            ClientCommand::Auth { user, secret } => return self.auth(user.as_ref(), &secret, out),
            ClientCommand::Hello(hello) => return self.hello(hello, out),
            ClientCommand::Quit => {
                self.put(&Answer::ok(), out);
                return Flow::Close("it said goodbye");
            }
            ClientCommand::Ping(text) => vec![self.ping(text)],
            ClientCommand::Client(question) => vec![self.client(question, facts)],
            ClientCommand::Command(question) => vec![question.answer()],
            ClientCommand::Info(sections) => vec![facts.info(&sections)],
            ClientCommand::Role => vec![facts.role()],
            ClientCommand::Sentinel(question) => vec![facts.sentinel(&question)],
            ClientCommand::Subscribe(names) => self.subscriptions.subscribe(&names),
            ClientCommand::Unsubscribe(names) => self.subscriptions.unsubscribe(&names),
            ClientCommand::PatternSubscribe(names) => self.subscriptions.subscribe_patterns(&names),
            ClientCommand::PatternUnsubscribe(names) => self.subscriptions.unsubscribe_patterns(&names),
        };
        self.proven = true;
        for answer in answers {
            self.put(&answer, out);
        }
        Flow::Continue
    }

    fn ping(&self, text: Option<Bytes>) -> Answer {
        if self.is_subscribed() && self.proto == Proto::Resp2 {
            return Answer::Array(vec![Answer::bulk("pong"), Answer::Bulk(text.unwrap_or_default())]);
        }
        match text {
            Some(text) => Answer::Bulk(text),
            None => Answer::Simple("PONG".to_owned()),
        }
    }

    fn auth(&mut self, user: Option<&Bytes>, secret: &Secret, out: &mut BytesMut) -> Flow {
        if user.is_none() && !self.logins.has_default() {
            self.put(&Answer::Error(NO_PASSWORD_SET.to_owned()), out);
            return Flow::Continue;
        }
        if !self.check(user, secret) {
            return self.wrong_password(out);
        }
        self.authenticated = true;
        self.proven = true;
        self.put(&Answer::ok(), out);
        Flow::Continue
    }

    fn hello(&mut self, hello: Hello, out: &mut BytesMut) -> Flow {
        match &hello.auth {
            Some((user, secret)) => {
                if !self.check(Some(user), secret) {
                    return self.wrong_password(out);
                }
                self.authenticated = true;
            }
            None if !self.authenticated => {
                self.put(&Answer::Error(NO_AUTH_HELLO.to_owned()), out);
                return Flow::Continue;
            }
            None => {}
        }
        self.proven = true;
        if let Some(name) = hello.name {
            self.name = name;
        }
        self.proto = hello.proto.unwrap_or(self.proto);
        self.put(&Facts::hello(self.proto.number().into(), self.id), out);
        Flow::Continue
    }

    fn check(&mut self, user: Option<&Bytes>, secret: &Secret) -> bool {
        let user = user.map_or(DEFAULT_USER.as_bytes(), |user| &user[..]);
        let fits = self.logins.fit(user, secret);
        if fits {
            self.user = String::from_utf8_lossy(user).into_owned();
        }
        fits
    }

    fn wrong_password(&mut self, out: &mut BytesMut) -> Flow {
        self.auth_failures += 1;
        self.put(&Answer::Error(WRONG_PASS.to_owned()), out);
        if self.auth_failures < AUTH_FAILURES_MAX {
            Flow::Continue
        } else {
            Flow::Close("too many wrong passwords")
        }
    }

    fn client(&mut self, question: ClientQuestion, facts: &Facts<'_>) -> Answer {
        match question {
            ClientQuestion::Id => Answer::Integer(i64::try_from(self.id).unwrap_or(i64::MAX)),
            ClientQuestion::GetName if self.name.is_empty() => Answer::Null,
            ClientQuestion::GetName => Answer::bulk(&self.name),
            ClientQuestion::SetName(name) => {
                self.name = name;
                Answer::ok()
            }
            ClientQuestion::Info | ClientQuestion::List => Answer::bulk(self.describe(facts)),
            ClientQuestion::Accepted => Answer::ok(),
            ClientQuestion::Help => Answer::lines(&CLIENT_HELP),
        }
    }

    fn describe(&self, facts: &Facts<'_>) -> String {
        let (channels, patterns) = self.subscriptions.counts();
        let flags = if self.is_subscribed() { "P" } else { "N" };
        format!(
            "id={} addr={} laddr={} name={} age={} idle=0 flags={flags} db=0 sub={channels} psub={patterns} multi=-1 \
             events=r user={} resp={}\n",
            self.id,
            self.peer,
            facts.identity.address,
            self.name,
            facts.now.saturating_sub(self.since).as_secs(),
            self.user,
            self.proto.number(),
        )
    }

    fn put(&self, answer: &Answer, out: &mut BytesMut) {
        answer.encode(self.proto, out);
    }
}

fn allowed_while_subscribed(command: &ClientCommand) -> bool {
    matches!(
        command,
        ClientCommand::Subscribe(_)
            | ClientCommand::Unsubscribe(_)
            | ClientCommand::PatternSubscribe(_)
            | ClientCommand::PatternUnsubscribe(_)
            | ClientCommand::Ping(_)
            | ClientCommand::Quit
    )
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
