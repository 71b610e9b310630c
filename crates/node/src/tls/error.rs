//! What goes wrong with TLS, in words that say which side has to change something.

use std::io;
use std::path::PathBuf;

use rustls::{AlertDescription, CertificateError, Error as RustlsError};

/// TLS could not be set up, or the other side could not be trusted. Nothing was sent to it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TlsError {
    /// A certificate or key file is of no use.
    #[error("the TLS file {} can't be used: {problem}", path.display())]
    BadFile {
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// A certificate without its key, or the other way round.
    #[error("a TLS client {given} is given without its {missing}: give both or none")]
    Incomplete {
        /// What is there.
        given: &'static str,
        /// What is not.
        missing: &'static str,
    },
    /// The files are readable, but do not work together.
    #[error("TLS can't be set up with {what}: {source}")]
    Setup {
        what: String,
        /// What the library says.
        #[source]
        source: RustlsError,
    },
    /// The name to verify is neither a DNS name nor an IP address.
    #[error("{name:?} is neither a DNS name nor an IP address, so no certificate can be checked against it")]
    BadServerName { name: String },
    /// No CA is given and the system has none.
    #[error(
        "this machine has no root certificates and no CA file is given: install ca-certificates or give cacert=FILE"
    )]
    NoSystemRoots,
    /// The server's certificate comes from a CA that is not trusted here.
    #[error(
        "the server's certificate comes from a CA that is not trusted here: give the CA's certificate with \
         cacert=FILE, if this is the right server"
    )]
    UnknownCa,
    /// The server's certificate has expired.
    #[error("the server's certificate has expired{}: renew it on the server", day(.not_after.as_ref(), " on "))]
    Expired {
        /// When, in seconds since 1970, where known.
        not_after: Option<u64>,
    },
    /// The server's certificate is not valid yet.
    #[error("the server's certificate is not valid yet{}: check the clocks of both machines", day(.not_before.as_ref(), " (from "))]
    NotValidYet {
        /// From when, in seconds since 1970, where known.
        not_before: Option<u64>,
    },
    /// The server's certificate was issued for other names.
    #[error(
        "the server's certificate is not for {expected:?} but for {}: connect by such a name, or give it with sni=NAME",
        names(.presented)
    )]
    NameMismatch {
        /// The name that we connected to.
        expected: String,
        /// The names in the certificate.
        presented: Vec<String>,
    },
    /// The certificate is unusable for another reason.
    #[error("the server's certificate can't be accepted: {reason}")]
    BadCertificate {
        /// Why.
        reason: String,
    },
    /// What answers does not speak TLS.
    #[error("the server does not speak TLS on this port: write redis:// or valkey://, or use its TLS port")]
    NotTls,
    /// The server was silent after our first TLS message, as a node without TLS is.
    #[error(
        "the server took the connection but did not answer the TLS greeting within {waited_ms} ms: it probably does \
         not speak TLS on this port; write redis:// or valkey://, or use its TLS port"
    )]
    NoAnswer {
        /// How long we waited.
        waited_ms: u64,
    },
    /// The server wants a certificate from us.
    #[error(
        "the server wants a client certificate (mutual TLS): give one with cert=FILE&key=FILE, or set \
         `tls-auth-clients no` or `optional` on the server"
    )]
    ClientCertificateRequired,
    /// The server refused the certificate that we showed.
    #[error(
        "the server refused our client certificate ({alert}): it must come from the CA that the server trusts"
    )]
    ClientCertificateRefused {
        /// The server's alert.
        alert: String,
    },
    /// The server broke the handshake off with an alert.
    #[error("the server ended the TLS handshake with the alert {alert}")]
    Alert {
        /// Its name.
        alert: String,
    },
    /// The connection ended inside the handshake.
    #[error("the server closed the connection during the TLS handshake: it may not speak TLS on this port")]
    ClosedInHandshake,
    /// Anything else.
    #[error("TLS failed: {0}")]
    Other(String),
}

impl TlsError {
    /// Translates what the library says. `shown_certificate` is whether we have a client certificate.
    pub(crate) fn from_rustls(error: &RustlsError) -> Self {
        match error {
            RustlsError::InvalidCertificate(problem) => Self::from_certificate(problem),
            RustlsError::InvalidMessage(_) => Self::NotTls,
            RustlsError::AlertReceived(alert) => Self::from_alert(*alert),
            other => Self::Other(other.to_string()),
        }
    }

    /// The TLS error inside an I/O error, if that is what it is. With TLS 1.3 a server's refusal of the client
    /// arrives only with the first read after the handshake.
    pub fn from_io(error: &io::Error) -> Option<Self> {
        error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<RustlsError>())
            .map(Self::from_rustls)
    }

    fn from_certificate(problem: &CertificateError) -> Self {
        match problem {
            CertificateError::UnknownIssuer => Self::UnknownCa,
            CertificateError::Expired => Self::Expired { not_after: None },
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired {
                not_after: Some(not_after.as_secs()),
            },
            CertificateError::NotValidYet => Self::NotValidYet { not_before: None },
            CertificateError::NotValidYetContext { not_before, .. } => Self::NotValidYet {
                not_before: Some(not_before.as_secs()),
            },
            CertificateError::NotValidForName => Self::NameMismatch {
                expected: "this host".to_owned(),
                presented: Vec::new(),
            },
            CertificateError::NotValidForNameContext { expected, presented } => Self::NameMismatch {
                expected: expected.to_str().into_owned(),
                presented: presented.iter().map(|name| plain_name(name)).collect(),
            },
            CertificateError::Revoked => Self::BadCertificate {
                reason: "it is revoked".to_owned(),
            },
            CertificateError::BadSignature => Self::BadCertificate {
                reason: "its signature is wrong".to_owned(),
            },
            other => Self::BadCertificate {
                reason: other.to_string(),
            },
        }
    }

    fn from_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::CertificateRequired => Self::ClientCertificateRequired,
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnsupportedCertificate => Self::ClientCertificateRefused {
                alert: format!("{alert:?}"),
            },
            other => Self::Alert {
                alert: format!("{other:?}"),
            },
        }
    }
}

/// `DnsName("db")` and `IpAddress(127.0.0.1)`, as the library prints them, without the wrapping.
fn plain_name(name: &str) -> String {
    let inner = name
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'))
        .unwrap_or(name);
    inner.trim_matches('"').to_owned()
}

fn names(presented: &[String]) -> String {
    if presented.is_empty() {
        "other names".to_owned()
    } else {
        presented.join(", ")
    }
}

/// The day of a moment in seconds since 1970, by the civil-from-days rule of the proleptic Gregorian calendar.
fn day(seconds: Option<&u64>, lead: &str) -> String {
    let Some(seconds) = seconds else {
        return String::new();
    };
    let days = seconds / 86_400 + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let close = if lead.contains('(') { ")" } else { "" };
    format!("{lead}{year:04}-{month:02}-{day:02}{close}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_the_calendars() {
        assert_eq!(day(Some(&0), " on "), " on 1970-01-01");
        assert_eq!(day(Some(&951_827_696), " on "), " on 2000-02-29");
        assert_eq!(day(Some(&4_102_444_799), " (from "), " (from 2099-12-31)");
        assert_eq!(day(None, " on "), "");
    }

    #[test]
    fn names_lose_the_librarys_wrapping() {
        assert_eq!(plain_name("DnsName(\"db.example\")"), "db.example");
        assert_eq!(plain_name("db"), "db");
    }
}
