//! The two text formats that are spoken: `OpenMetrics` to who asks for it, as Prometheus does, and the older Prometheus
//! format to everybody else, such as `curl` and `promtool check metrics`.

use std::collections::BTreeSet;

/// How metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsFormat {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// Prometheus text format 0.0.4.
    Prometheus,
}

impl MetricsFormat {
    /// What a request with this `Accept` header gets.
    pub fn accepted_by(accept: Option<&str>) -> Self {
        if accept.is_some_and(|types| types.contains("application/openmetrics-text")) {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// The media type of the text.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Text that is in the format of `OpenMetrics`, in this format.
    pub(super) fn written(self, text: String) -> String {
        match self {
            Self::OpenMetrics => text,
            Self::Prometheus => prometheus(&text),
        }
    }
}

/// The older format differs in comments alone: a counter is described under the name that its samples have, and there are
/// neither units nor an end.
fn prometheus(text: &str) -> String {
    let comment = |line| -> Option<(&str, &str, &str)> {
        let (keyword, rest) = str::strip_prefix(line, "# ")?.split_once(' ')?;
        let (name, rest) = rest.split_once(' ')?;
        Some((keyword, name, rest))
    };
    let counters: BTreeSet<&str> = text
        .lines()
        .filter_map(comment)
        .filter(|(keyword, _, kind)| *keyword == "TYPE" && *kind == "counter")
        .map(|(_, name, _)| name)
        .collect();
    let lines = text.lines().filter_map(|line| match comment(line) {
        Some(("UNIT", ..)) => None,
        Some((keyword, name, rest)) if counters.contains(name) => {
            Some(format!("# {keyword} {name}_total {rest}\n"))
        }
        _ if line == "# EOF" => None,
        _ => Some(format!("{line}\n")),
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_described_under_the_name_of_their_samples() {
        let text = "# HELP a_bytes Bytes.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\na_bytes_total{x=\"# EOF\"} 1\n\
                    # HELP b B.\n# TYPE b gauge\nb 2.0\n# EOF\n";
        let plain = "# HELP a_bytes_total Bytes.\n# TYPE a_bytes_total counter\na_bytes_total{x=\"# EOF\"} 1\n\
                     # HELP b B.\n# TYPE b gauge\nb 2.0\n";
        assert_eq!(MetricsFormat::Prometheus.written(text.to_owned()), plain);
        assert_eq!(MetricsFormat::OpenMetrics.written(text.to_owned()), text);
    }

    #[test]
    fn open_metrics_are_for_who_asks() {
        let of = MetricsFormat::accepted_by;
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2";
        assert_eq!(of(Some(prometheus)), MetricsFormat::OpenMetrics);
        assert_eq!(of(Some("*/*")), MetricsFormat::Prometheus);
        assert_eq!(of(None), MetricsFormat::Prometheus);
    }
}
