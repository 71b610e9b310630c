//! Secrets stay where they belong: a gateway is driven through everything that touches them, and then they are looked
//! for in all that it has said, answered and written.

use std::fs::read;
use std::io::Write as _;

use serde_json::Value;
use sterna_testkit::process::Source;
use sterna_testkit::{Process, Server, wait_until};

use crate::gateway::{Gateway, Said};
use crate::groups::set;
use crate::secret_search::{
    Secrets, ask, command_line, connect, files_below, mode, private_file, read_what_is_there, request,
};
use crate::support::{DEADLINE, sterna, url};

const EU_PASSWORD: &str = "eu-pass-7f3a91c2d4";
const US_PASSWORD: &str = "us-pass-b81e06f5a9";
const US_USER: &str = "keeper";
const WRONG_PASSWORD: &str = "wrong-pass-5d2c77e0";
/// What a replica node logged in with before it was adopted.
const FORMER_PASSWORD: &str = "former-pass-93be14aa";
const DISCOVERY_PASSWORD: &str = "disco-pass-0c6d58f1";
/// A token that was never made, but looks like one.
const FORGED_TOKEN: &str = "sterna_f0rgedf0rgedf0rgedf0rgedf0rgedf0rgedf0rged";

/// Two services with passwords, a gateway that logs everything, and what has been said so far.
struct Fixture {
    gateway: Gateway,
    eu: Server,
    us: Server,
    secrets: Secrets,
    heard: Vec<(String, String)>,
}

impl Fixture {
    fn start() -> Self {
        let eu = Server::builder().password(EU_PASSWORD).start().expect("a server");
        let us = Server::builder()
            .user(US_USER, US_PASSWORD)
            .config("masterauth", FORMER_PASSWORD)
            .start()
            .expect("a server");
        let dir = tempfile::tempdir().expect("a temporary directory");
        for (file, secret) in [
            ("eu-password", EU_PASSWORD),
            ("us-password", US_PASSWORD),
            ("wrong-password", WRONG_PASSWORD),
            ("discovery-password", DISCOVERY_PASSWORD),
        ] {
            private_file(&dir.path().join(file), secret);
        }
        let env = [
            ("STERNA_LOG", "trace"),
            ("STERNA_DISCOVERY_PASSWORD_FILE", "discovery-password"),
        ];
        let gateway = Gateway::start_env_in(dir, &[], &env);
        let mut secrets = Secrets::default();
        for (what, secret) in [
            ("the password of eu", EU_PASSWORD),
            ("the password of us", US_PASSWORD),
            ("a wrong password", WRONG_PASSWORD),
            ("the former masterauth of us", FORMER_PASSWORD),
            ("the password of discovery", DISCOVERY_PASSWORD),
            ("a forged token", FORGED_TOKEN),
            ("the admin token", &gateway.token()),
        ] {
            secrets.add(what, secret);
        }
        Self {
            gateway,
            eu,
            us,
            secrets,
            heard: Vec::new(),
        }
    }

    /// Runs a verb and remembers what it said.
    fn run(&mut self, args: &[&str]) -> Said {
        let said = self.gateway.run(args);
        self.heard.push((
            format!("`sterna {}`", args.join(" ")),
            said.out.clone() + &said.err,
        ));
        said
    }

    fn ask(&mut self, method: &str, path: &str, token: &str, body: &str) -> String {
        let answer = ask(&self.gateway.api, method, path, token, body);
        self.heard.push((format!("{method} {path}"), answer.clone()));
        answer
    }

    fn register(&mut self) {
        let eu = url(&self.eu);
        let us = url(&self.us).replace("redis://", &format!("redis://{US_USER}@"));
        self.run(&[
            "service",
            "add",
            "eu",
            "--url",
            &eu,
            "--password-file",
            "eu-password",
        ])
        .good();
        self.run(&[
            "service",
            "add",
            "us",
            "--url",
            &us,
            "--password-file",
            "us-password",
        ])
        .good();
        self.run(&["group", "create", "orders", "--primary", "eu", "--replica", "us"])
            .good();
        self.wait_until_healthy();
    }

    fn wait_until_healthy(&self) {
        wait_until(DEADLINE, "the group is healthy", || {
            let status = self.gateway.run(&["status", "orders", "--output", "json"]).json();
            (status["state"] == "healthy")
                .then_some(())
                .ok_or_else(|| format!("{}: {}", status["state"], status["reason"]))
        });
    }

    fn make_tokens(&mut self) -> String {
        let mut last = String::new();
        for (name, role) in [("grafana", "viewer"), ("ops", "operator"), ("boss", "admin")] {
            // Shown once by its maker, by design: not remembered as heard.
            last = self
                .gateway
                .run(&["token", "create", name, "--role", role])
                .good();
            self.secrets.add(&format!("the token of {name}"), &last);
        }
        last.trim().to_owned()
    }

    fn learn_relay_secret(&mut self, what: &str) {
        let server = if what == "us" { &self.us } else { &self.eu };
        let secret = setting(server, "masterauth");
        assert_ne!(secret, FORMER_PASSWORD);
        self.secrets
            .add(&format!("the relay secret as {what} has it"), &secret);
    }

    /// Everything that can go wrong with a secret in hand.
    fn provoke_errors(&mut self, token: &str) {
        // The wrong password, put in by hand, found out by the gateway, and put right.
        self.run(&["service", "update", "eu", "--password-file", "wrong-password"]);
        self.run(&["service", "doctor", "eu", "--role", "primary"]);
        self.run(&["service", "update", "eu", "--password-file", "eu-password"])
            .good();
        // A node that is not there, and one that repeats in its error what it was sent.
        self.run(&[
            "service",
            "add",
            "nowhere",
            "--url",
            "redis://127.0.0.1:1",
            "--password-file",
            "us-password",
        ]);
        self.run(&["service", "doctor", "nowhere"]);
        for (name, renamed) in [("echo-auth", "AUTH"), ("echo-config", "CONFIG")] {
            let echo = Server::builder()
                .config("rename-command", &format!("{renamed} \"\""))
                .start()
                .expect("a server");
            let at = url(&echo);
            self.run(&[
                "service",
                "add",
                name,
                "--url",
                &at,
                "--password-file",
                "us-password",
            ]);
            self.run(&["service", "doctor", name]);
            self.run(&["group", "add-replica", "orders", name]);
        }
        // A password where it may not stand is refused, and not repeated.
        let bad = format!("redis://:{EU_PASSWORD}@127.0.0.1:1");
        let said = self.gateway.run(&["service", "add", "bad", "--url", &bad]);
        assert_ne!(said.code, 0);
        self.heard
            .push(("a refused URL".to_owned(), said.out + &said.err));

        for (path, body) in [
            (
                "/api/v1/services",
                format!(r#"{{"name":"x","nodes":["127.0.0.1:1"],"secrets":"{EU_PASSWORD}"}}"#),
            ),
            (
                "/api/v1/services",
                format!(r#"{{"name":"x","nodes":["127.0.0.1:1"],"secrets":{{"password":"{EU_PASSWORD}""#),
            ),
            (
                "/api/v1/services",
                format!(r#"{{"name":"x","nodes":["redis://u:{EU_PASSWORD}@127.0.0.1:1"]}}"#),
            ),
        ] {
            let answer = self.ask("POST", path, token, &body);
            assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
        }
        for path in ["/api/v1/status", "/api/v1/tokens", "/metrics"] {
            let answer = self.ask("GET", path, FORGED_TOKEN, "");
            assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        }
        // A token where it does not belong.
        self.ask("GET", &format!("/api/v1/services?token={token}"), token, "");
        // Discovery with the wrong password, and with the right one.
        for (secret, expected) in [(WRONG_PASSWORD, "-"), (DISCOVERY_PASSWORD, "+OK")] {
            let mut client = connect(&self.gateway.discovery);
            write!(client, "AUTH {secret}\r\nSENTINEL MASTERS\r\n").expect("written");
            let answer = String::from_utf8_lossy(&read_what_is_there(&mut client)).into_owned();
            assert!(answer.starts_with(expected), "{answer}");
            self.heard.push(("discovery".to_owned(), answer));
        }
    }

    fn switch_over(&mut self, to: &str) {
        self.run(&["switchover", "orders", "--to", to, "--yes"]).good();
        self.wait_until_healthy();
    }

    /// A failover whose old primary comes back with a data set of which nobody knows what is extra.
    fn fail_over_from_us(&mut self) {
        set(&self.us, "greeting", "hello");
        self.us.kill9();
        wait_until(DEADLINE, "eu is the primary", || {
            let status = self.gateway.run(&["status", "orders", "--output", "json"]).json();
            (status["epoch"] == 3)
                .then_some(())
                .ok_or_else(|| status["reason"].to_string())
        });
        self.us.restart().expect("it is back");
        self.wait_until_healthy();
    }

    /// Every verb that shows something, for people and for programs.
    fn look_at_everything(&mut self) {
        for verb in [
            &["status"][..],
            &["status", "orders"],
            &["service", "list"],
            &["service", "show", "eu"],
            &["service", "show", "us"],
            &["service", "doctor", "eu", "--role", "primary"],
            &["service", "doctor", "us"],
            &["group", "list"],
            &["group", "show", "orders"],
            &["history", "orders"],
            &["operation", "list"],
            &["operation", "show", "1"],
            &["rescue", "list"],
            &["token", "list"],
            &["audit"],
            &["config", "show"],
        ] {
            for output in ["table", "json"] {
                self.run(&[verb, &["--output", output]].concat());
            }
        }
    }

    /// Every route that can be read, as the API itself lists them.
    fn walk(&mut self, token: &str) -> usize {
        let document = self.ask("GET", "/api/v1/openapi.json", token, "");
        let body = document.split_once("\r\n\r\n").expect("a body").1;
        let document: Value = serde_json::from_str(body).expect("JSON");
        let paths = document["paths"].as_object().expect("paths");
        let mut asked = 0;
        for (path, methods) in paths {
            if methods.get("get").is_none() || path == "/api/v1/events" {
                continue;
            }
            let names: &[&str] = match path.split('/').nth(3) {
                Some("services") => &["eu", "us", "nowhere"],
                Some("groups") => &["orders", "none"],
                _ => &["1", "2", "3", "4", "5", "6"],
            };
            for name in names {
                let path = path.replace("{name}", name).replace("{id}", name);
                let answer = self.ask("GET", &path, token, "");
                asked += usize::from(answer.starts_with("HTTP/1.1 200"));
            }
        }
        asked
    }
}

fn setting(server: &Server, name: &str) -> String {
    let pair = server
        .client()
        .cmd(&["CONFIG", "GET", name])
        .expect("its settings");
    pair.array().last().expect("a value").text()
}

#[test]
fn secrets_stand_in_no_log_answer_output_command_line_or_file() {
    let mut fixture = Fixture::start();
    let token = fixture.make_tokens();
    let mut events = connect(&fixture.gateway.api);
    let listen = request("GET", "/api/v1/events", &token, "");
    events.write_all(listen.as_bytes()).expect("written");

    fixture.register();
    fixture.learn_relay_secret("us");
    let env = [
        ("STERNA_API", fixture.gateway.api.as_str()),
        ("STERNA_TOKEN", token.as_str()),
    ];
    let args = ["status", "orders", "--watch"];
    let watch = Process::spawn_in(fixture.gateway.dir.path(), sterna(), &args, &env).expect("it starts");
    watch.wait_for_line("orders", DEADLINE).expect("it watches");
    let command_lines = [
        command_line(watch.pid()),
        command_line(fixture.gateway.process.pid()),
    ];

    fixture.provoke_errors(&token);
    fixture.switch_over("us");
    fixture.learn_relay_secret("eu");
    fixture.fail_over_from_us();
    fixture.look_at_everything();
    assert!(fixture.walk(&token) >= 25, "most routes answer with something");

    let Fixture {
        gateway,
        secrets,
        heard,
        ..
    } = &fixture;
    for line in &command_lines {
        secrets.absent_from("a command line", line);
    }
    let seen = read_what_is_there(&mut events);
    assert!(String::from_utf8_lossy(&seen).contains("switchover"), "{seen:?}");
    secrets.absent_from("the events", seen);
    secrets.absent_from(
        "what `status --watch` shows",
        watch.text(Source::Stdout) + &watch.text(Source::Stderr),
    );
    for (place, said) in heard {
        secrets.absent_from(place, said);
    }
    let log = gateway.process.text(Source::Stderr);
    assert!(log.contains("DEBUG"), "more than usual is logged");
    secrets.absent_from("the log", log);
    let stdout = gateway.process.text(Source::Stdout);
    assert_eq!(stdout.matches(&gateway.token()).count(), 1, "shown once");
    secrets.without("the admin token").absent_from("stdout", stdout);
    inspect_data_dir(gateway, secrets);
}

/// What a copy of the data directory gives away without its key.
fn inspect_data_dir(gateway: &Gateway, secrets: &Secrets) {
    let data = gateway.dir.path().join("data");
    // What is below may be readable by all: nobody else gets there.
    assert_eq!(mode(&data), 0o700);
    let files = files_below(&data);
    assert!(files.iter().any(|file| file.ends_with("store.db")), "{files:?}");
    for file in &files {
        let shown = file.display().to_string();
        let bytes = read(file).expect("a readable file");
        if file.ends_with("admin-token") {
            secrets.without("the admin token").absent_from(&shown, bytes);
        } else {
            secrets.absent_from(&shown, bytes);
        }
        let name = file
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if name.starts_with("store.db") || ["key", "admin-token"].contains(&name) {
            assert_eq!(mode(file), 0o600, "{shown}");
        }
    }
}
