//! What the standard environment variables say
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>). The rest of
//! them (headers, timeouts, compression, batches) the SDK reads by itself.

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use tonic::codegen::http::Uri;

/// Reads an environment variable.
pub type Lookup<'l> = &'l dyn Fn(&str) -> Option<String>;

/// What telemetry cannot be set up with.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// A protocol that nothing here speaks.
    #[error("{variable} is {value:?}; set it to grpc or http/protobuf, or unset it")]
    Protocol {
        /// The environment variable.
        variable: String,
        /// What it says.
        value: String,
    },
    /// An address that is none.
    #[error("{variable} is {value:?}; set it to a URL such as http://localhost:4318, or unset it")]
    Endpoint {
        /// The environment variable.
        variable: String,
        /// What it says.
        value: String,
    },
    /// The exporter refuses its settings.
    #[error("telemetry cannot be exported: {0}; see the OTEL_EXPORTER_OTLP_ variables")]
    Exporter(String),
}

/// One kind of telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Traces,
    Metrics,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Metrics => "METRICS",
        }
    }

    /// Where it is exported to; none where it is not.
    ///
    /// # Errors
    /// The protocol asked for is none that is spoken here.
    pub(crate) fn endpoint(self, env: Lookup<'_>) -> Result<Option<String>, TelemetryError> {
        let get = |name: &str| env(name).filter(|value| !value.trim().is_empty());
        let signal = self.name();
        let variables = [
            format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"),
            "OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(),
        ];
        let mut named = variables.into_iter();
        let endpoint = named.find_map(|variable| Some((get(&variable)?, variable)));
        let disabled = get("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let exporter = get(&format!("OTEL_{signal}_EXPORTER"));
        if disabled || exporter.as_deref() == Some("none") {
            return Ok(None);
        }
        let Some((endpoint, variable)) = endpoint else {
            return Ok(None);
        };
        if !is_url(&endpoint) {
            let value = endpoint;
            return Err(TelemetryError::Endpoint { variable, value });
        }
        let variables = [
            format!("OTEL_EXPORTER_OTLP_{signal}_PROTOCOL"),
            "OTEL_EXPORTER_OTLP_PROTOCOL".to_owned(),
        ];
        for variable in variables {
            match get(&variable).as_deref() {
                None => {}
                Some("grpc" | "http/protobuf") => break,
                Some(value) => {
                    let value = value.to_owned();
                    return Err(TelemetryError::Protocol { variable, value });
                }
            }
        }
        Ok(Some(endpoint))
    }
}

fn is_url(text: &str) -> bool {
    let url: Result<Uri, _> = text.parse();
    url.is_ok_and(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some())
}

/// Who tells: the service's name unless `OTEL_SERVICE_NAME` gives another, what the environment
/// says, and `attributes`.
pub(crate) fn resource(
    service: &str,
    attributes: &[(&'static str, String)],
    env: Lookup<'_>,
) -> Resource {
    let attributes = attributes.iter();
    let attributes = attributes.map(|(key, value)| KeyValue::new(*key, value.clone()));
    let builder = Resource::builder().with_attributes(attributes);
    match env("OTEL_SERVICE_NAME") {
        Some(_) => builder.build(),
        None => builder.with_service_name(service.to_owned()).build(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(signal: Signal, vars: &[(&str, &str)]) -> Result<Option<String>, TelemetryError> {
        signal.endpoint(&|name| {
            let found = vars.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_is_exported_unless_a_collector_is_named_and_wanted() {
        let named = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4317");
        let on = |vars: &[_]| endpoint(Signal::Traces, vars).unwrap().is_some();
        assert!(!on(&[]));
        assert!(on(&[named]));
        assert!(on(&[(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://c:4317"
        )]));
        assert!(!on(&[(
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            "http://c:4317"
        )]));
        assert!(!on(&[named, ("OTEL_SDK_DISABLED", "true")]));
        assert!(!on(&[named, ("OTEL_TRACES_EXPORTER", "none")]));
        assert!(!on(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]));
    }

    #[test]
    fn an_endpoint_that_is_no_url_is_named_with_its_variable() {
        for bad in ["nonsense", "localhost:4317", "ftp://c", "http://"] {
            let named = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", bad);
            let error = endpoint(Signal::Traces, &[named]).unwrap_err();
            let expected = format!("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is {bad:?}");
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn a_protocol_that_is_not_spoken_is_named_with_its_variable() {
        let named = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318");
        let asked = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
        let error = endpoint(Signal::Metrics, &[named, asked]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "OTEL_EXPORTER_OTLP_PROTOCOL is \"http/json\"; set it to grpc or http/protobuf, or \
             unset it"
        );
        let own = ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc");
        assert!(endpoint(Signal::Metrics, &[named, asked, own]).is_ok());
    }
}
