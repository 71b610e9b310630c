//! A configuration file that a rewrite would break is left alone: nodes with files of their own, restarted.

use std::path::Path;
use std::process::Command;

use sterna_model::{Check, ConfigRewrite, ServiceRole, Verdict};
use sterna_node::adopt::{ConfigPersistence, NotKept, rewrite_config};
use sterna_node::{Client, Dialer, checks};
use sterna_testkit::{Server, ServerBuilder};
use tempfile::TempDir;

use crate::{dialer, dialer_as};

/// A server that includes a file with these lines, after its own.
fn including(lines: &str, own: impl FnOnce(ServerBuilder) -> ServerBuilder) -> (Server, TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let included = dir.path().join("included.conf");
    std::fs::write(&included, lines).expect("written");
    let server = own(Server::builder()).config("include", &included.display().to_string());
    (server.start().expect("started"), dir)
}

/// The fence is set and the file rewritten, if it may be.
async fn fence(dialer: &Dialer, rewrite: ConfigRewrite) -> ConfigPersistence {
    let mut node = Client::connect(dialer).await.expect("connected");
    node.config_set("min-replicas-to-write", "1").await.expect("set");
    rewrite_config(&mut node, rewrite).await
}

fn not_kept(kept: ConfigPersistence) -> NotKept {
    match kept {
        ConfigPersistence::UntilRestart(reason) => reason,
        kept => panic!("{kept:?}"),
    }
}

async fn configuration(dialer: Dialer, rewrite: ConfigRewrite) -> Check {
    let found = checks::service(&[dialer], ServiceRole::Replica, rewrite).await;
    let check = found.iter().find(|check| check.name == "configuration");
    check.unwrap_or_else(|| panic!("{found:#?}")).clone()
}

fn min_replicas(server: &Server) -> String {
    let get = ["CONFIG", "GET", "min-replicas-to-write"];
    server.client().cmd(&get).expect("answered").array()[1].text()
}

#[tokio::test]
async fn a_file_that_includes_users_is_left_alone_and_the_node_starts_again() {
    let users = "user app on >secret ~* +@all\n";
    let (mut server, _dir) = including(users, |server| server);
    let warned = configuration(dialer(server.address()), ConfigRewrite::Always).await;
    assert_eq!(warned.verdict, Verdict::Warn, "{warned:?}");
    for rewrite in [ConfigRewrite::WhenSafe, ConfigRewrite::Always] {
        let kept = not_kept(fence(&dialer(server.address()), rewrite).await);
        assert!(
            kept.error.contains("included.conf") && kept.error.contains("(app)"),
            "{kept:?}"
        );
        assert!(!kept.error.contains("secret"), "{kept:?}");
        assert_eq!(kept.by_hand[0], "min-replicas-to-write 1");
    }
    server.restart().expect("it starts again");
    // `default` counts as well, where it is defined as a user.
    let (mut server, _dir) = including("user default on nopass ~* &* +@all\n", |server| server);
    not_kept(fence(&dialer(server.address()), ConfigRewrite::WhenSafe).await);
    server.restart().expect("it starts again");
}

#[tokio::test]
async fn users_of_the_main_file_keep_nobody_from_writing_it() {
    let own = |server: ServerBuilder| server.config("user", "app on >secret ~* +@all");
    let (mut server, _dir) = including("timeout 0\n", own);
    let kept = fence(&dialer(server.address()), ConfigRewrite::WhenSafe).await;
    assert_eq!(kept, ConfigPersistence::InFile);
    let check = configuration(dialer(server.address()), ConfigRewrite::WhenSafe).await;
    assert_eq!(check.verdict, Verdict::Pass, "{check:?}");
    server.restart().expect("it starts again");
    assert_eq!(min_replicas(&server), "1");
}

#[tokio::test]
async fn where_the_files_can_not_be_seen_a_person_says_whether_users_are_included() {
    // Without its connections the process can't be found.
    let mut server = Server::builder()
        .config("user", "blind on >secret ~* &* +@all -client|info")
        .start()
        .expect("started");
    let blind = dialer_as(server.address(), Some("blind"), "secret");
    let kept = not_kept(fence(&blind, ConfigRewrite::WhenSafe).await);
    assert!(kept.error.contains("can't be seen from here"), "{kept:?}");
    assert!(kept.error.contains("--config-rewrite always"), "{kept:?}");
    let check = configuration(blind.clone(), ConfigRewrite::WhenSafe).await;
    assert_eq!(check.verdict, Verdict::Warn, "{check:?}");
    server.restart().expect("it starts again");
    assert_eq!(min_replicas(&server), "0", "nothing was written");
    let kept = fence(&blind, ConfigRewrite::Never).await;
    assert_eq!(kept, ConfigPersistence::ByHand);
    let check = configuration(blind.clone(), ConfigRewrite::Never).await;
    assert!(check.detail.contains("`min-replicas-to-write 1`"), "{check:?}");
    let kept = fence(&blind, ConfigRewrite::Always).await;
    assert_eq!(kept, ConfigPersistence::InFile);
    server.restart().expect("it starts again");
    assert_eq!(min_replicas(&server), "1");
    // Where there is nothing that could be there twice, nobody need say anything.
    let plain = Server::builder()
        .config("rename-command", "CLIENT \"\"")
        .start()
        .expect("started");
    let kept = fence(&dialer(plain.address()), ConfigRewrite::WhenSafe).await;
    assert_eq!(kept, ConfigPersistence::InFile);
}

#[tokio::test]
async fn a_module_of_an_included_file_is_not_loaded_twice() {
    let dir = tempfile::tempdir().expect("a directory");
    let load = format!("loadmodule {}\n", module(dir.path()));
    let (mut server, _dir) = including(&load, |server| server);
    let kept = not_kept(fence(&dialer(server.address()), ConfigRewrite::WhenSafe).await);
    assert!(kept.error.contains("demo.so"), "{kept:?}");
    server.restart().expect("it starts again");
    let main = |server: ServerBuilder| server.config("loadmodule", &module(dir.path()));
    let (mut server, _dir) = including("", main);
    let kept = fence(&dialer(server.address()), ConfigRewrite::WhenSafe).await;
    assert_eq!(kept, ConfigPersistence::InFile);
    server.restart().expect("it starts again");
}

/// A module that does nothing.
fn module(dir: &Path) -> String {
    const CODE: &str = r#"
typedef int (*lookup)(const char *, void *);
int RedisModule_OnLoad(void *context, void **arguments, int count) {
    lookup find = (lookup)((void **)context)[0];
    int (*is_busy)(const char *);
    void (*name)(void *, const char *, int, int);
    if (find("RedisModule_IsModuleNameBusy", &is_busy) || find("RedisModule_SetModuleAttribs", &name)) return 1;
    if (is_busy("demo")) return 1;
    name(context, "demo", 1, 1);
    return 0;
}"#;
    let (code, module) = (dir.join("demo.c"), dir.join("demo.so"));
    std::fs::write(&code, CODE).expect("written");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).args([&module, &code]);
    assert!(
        compiler
            .status()
            .expect("a C compiler, as Rust has one")
            .success()
    );
    module.display().to_string()
}

#[tokio::test]
async fn an_included_fence_is_found_and_so_is_one_that_was_written_by_hand() {
    let own = |server: ServerBuilder| server.config("min-replicas-to-write", "0");
    let (mut server, _dir) = including("min-slaves-to-write 0\n", own);
    let check = configuration(dialer(server.address()), ConfigRewrite::WhenSafe).await;
    assert!(
        check.verdict == Verdict::Warn && check.detail.contains("would win"),
        "{check:?}"
    );
    let kept = not_kept(fence(&dialer(server.address()), ConfigRewrite::WhenSafe).await);
    assert!(kept.error.contains("min-slaves-to-write"), "{kept:?}");
    let file = server.config_file().to_owned();
    let before = std::fs::read_to_string(&file).expect("read");
    std::fs::write(&file, before + &kept.by_hand.join("\n")).expect("written");
    let kept = fence(&dialer(server.address()), ConfigRewrite::WhenSafe).await;
    assert_eq!(kept, ConfigPersistence::InFile);
    server.restart().expect("it starts again");
    assert_eq!(min_replicas(&server), "1");
}
