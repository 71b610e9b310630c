use super::*;

fn parsed(text: &str) -> ServiceUrl {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    text.parse::<ServiceUrl>().expect_err(text).to_string()
}

#[test]
fn plain_urls_name_nodes() {
    let url = parsed("redis://db");
    assert_eq!(
        url.endpoints,
        Endpoints::Nodes(vec![NodeAddress::new("db", 6379)])
    );
    assert_eq!(
        (url.user.as_deref(), url.password.is_some(), url.tls.is_some()),
        (None, false, false)
    );
    let url = parsed("valkey://a,[::1]:7000,b:7001/0");
    assert_eq!(url.scheme, Scheme::Valkey);
    assert_eq!(
        url.endpoints,
        Endpoints::Nodes(vec![
            NodeAddress::new("a", 6379),
            NodeAddress::new("::1", 7000),
            NodeAddress::new("b", 7001)
        ])
    );
}

#[test]
fn users_and_passwords_are_decoded_and_never_shown() {
    let url = parsed("rediss://al%40ice:p%2Fa%40s%25s@db:7000");
    assert_eq!(url.user.as_deref(), Some("al@ice"));
    assert_eq!(url.password.as_ref().expect("a password").expose(), b"p/a@s%s");
    assert!(url.has_password_in_text());
    assert_eq!(url.to_string(), "rediss://al@ice:***@db:7000");
    assert!(!format!("{url:?}").contains("p/a@s"), "{url:?}");

    let url = parsed("redis://:secret@db");
    assert_eq!(
        (url.user.as_deref(), url.password.as_ref().map(Secret::expose)),
        (None, Some(&b"secret"[..]))
    );
    let url = parsed("redis://alice@db");
    assert_eq!(
        (url.user.as_deref(), url.has_password_in_text()),
        (Some("alice"), false)
    );
}

#[test]
fn no_error_repeats_a_password() {
    for text in [
        "http://:hunter2@db",
        "redis://:hunter2/@db",
        "redis://:hunter2?x@db",
        "redis://:hunter2/x@db",
        "redis://:hunter2@x@db",
        "redis://:hunter2%zz@db",
        "redis://:hunter2@db:0",
        "redis://:hunter2@db/7",
        "redis://:hunter2@db?password-file=/x",
        "redis+sentinel://a/m?sentinel-password=hunter2&nonsense=1",
    ] {
        let error = refused(text);
        assert!(!error.contains("hunter2"), "{text}: {error}");
    }
}

#[test]
fn sentinels_have_a_master_name_and_access_of_their_own() {
    let url = parsed("rediss+sentinel://u:p@s1,s2:5000/my%20master?sentinel-user=su&sentinel-tls=false");
    assert_eq!(
        url.endpoints,
        Endpoints::Sentinel {
            sentinels: vec![NodeAddress::new("s1", 26379), NodeAddress::new("s2", 5000)],
            master_name: "my master".to_owned()
        }
    );
    let sentinel = url.sentinel.as_ref().expect("sentinel access");
    assert_eq!((sentinel.user.as_deref(), sentinel.tls), (Some("su"), false));
    assert_eq!(url.to_string(), "rediss+sentinel://u:***@s1,s2:5000/my master");
    assert!(refused("redis+sentinel://s1").contains("mymaster"));
    assert!(parsed("redis+sentinel://s1/m?sentinel-password=x").has_password_in_text());
}

#[test]
fn tls_parameters_are_taken_with_tls_only() {
    let url = parsed("valkeys://db?cacert=/ca%20dir/ca.pem&cert=c.pem&key=k.pem&sni=other&insecure=true");
    assert_eq!(
        url.tls,
        Some(TlsSettings {
            ca: Some("/ca dir/ca.pem".into()),
            client_cert: Some("c.pem".into()),
            client_key: Some("k.pem".into()),
            server_name: Some("other".to_owned()),
            verify: false,
        })
    );
    assert!(refused("redis://db?cacert=x").contains("rediss://"));
    assert!(refused("redis://db?sentinel-user=x").contains("redis+sentinel://"));
    assert!(refused("rediss://db?insecure=maybe").contains("true or false"));
    assert!(refused("redis://db?colour=red").contains("cacert"));
}

#[test]
fn a_database_is_refused_with_the_reason() {
    assert!(refused("redis://db/3").contains("all databases"));
    assert!(refused("redis://db/name").contains("/name"));
    assert!(refused("redis+sentinel://db/m/3").contains("all databases"));
    assert!(refused("db:6379").contains("redis://"));
}

#[test]
fn secrets_are_loaded_from_files_and_only_from_one_place() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("secret");
    std::fs::write(&path, "s3cret\n").expect("written");
    let mut url = parsed(&format!("redis://alice@db?password-file={}", path.display()));
    assert!(!url.has_password_in_text());
    assert_eq!(url.to_string(), "redis://alice:***@db");
    url.load_secrets().expect("loaded");
    assert_eq!(url.password.as_ref().map(Secret::expose), Some(&b"s3cret"[..]));
    assert!(refused("redis://:x@db?password-env=Y").contains("twice"));
}
