//! Prometheus, which scrapes one target every second.

use super::ports::Ports;
use super::process::ServerProcess;
use super::{StartError, http, installed};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long to pause between two questions.
const POLL_PAUSE: Duration = Duration::from_millis(100);

/// A running Prometheus; killed on drop.
#[derive(Debug)]
pub struct Prometheus {
    process: ServerProcess,
    ports: Ports,
}

/// One series of an answer, with its value now.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// With the metric's name as `__name__`, where the expression keeps it.
    pub labels: BTreeMap<String, String>,
    /// NaN and infinities as well.
    pub value: f64,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    value: (f64, String),
}

impl Prometheus {
    /// Starts a server that keeps its data and its log in `directory`, which
    /// is made where it does not exist, and scrapes `http://target/metrics`
    /// as the job `twinspan`; `rules` is a file of rules, which are evaluated
    /// every second.
    ///
    /// # Errors
    /// [`StartError::NotInstalled`] without the program, otherwise why it
    /// does not serve.
    pub fn start(
        directory: &Path,
        target: SocketAddr,
        rules: Option<&Path>,
    ) -> Result<Self, StartError> {
        let program = installed::find_in_system("prometheus")?;
        let ports = Ports::reserve(1)?;
        fs::create_dir_all(directory)?;
        let config = directory.join("prometheus.yml");
        fs::write(&config, configuration(target, rules)?)?;
        let flag = |name: &str, path: &Path| {
            let mut argument = OsString::from(format!("--{name}="));
            argument.push(path);
            argument
        };
        let arguments = vec![
            flag("config.file", &config),
            flag("storage.tsdb.path", &directory.join("data")),
            format!("--web.listen-address=127.0.0.1:{}", ports.get(0)).into(),
        ];
        let process = ServerProcess {
            name: "Prometheus",
            program,
            arguments,
            environment: Vec::new(),
            log: directory.join("prometheus.log"),
            running: None,
        };
        let mut prometheus = Self { process, ports };
        let address = prometheus.address();
        prometheus.process.start(|| {
            let ready = http::status(address, "GET", "/-/ready", b"");
            ready.is_ok_and(|status| status == 200)
        })?;
        Ok(prometheus)
    }

    /// What an expression gives now, as series with one value each; a number
    /// gives one series without labels.
    ///
    /// # Errors
    /// What the server says of an expression that it cannot read or evaluate.
    pub fn query(&self, expression: &str) -> io::Result<Vec<Sample>> {
        let expression = utf8_percent_encode(expression, NON_ALPHANUMERIC);
        self.ask(&format!("/api/v1/query?query={expression}"))
    }

    /// As [`Prometheus::query`], asked again until `enough` says so.
    ///
    /// # Errors
    /// `TimedOut` with what was found when that is never enough.
    pub fn wait_for(
        &self,
        expression: &str,
        limit: Duration,
        enough: impl Fn(&[Sample]) -> bool,
    ) -> io::Result<Vec<Sample>> {
        let started = Instant::now();
        loop {
            let samples = self.query(expression)?;
            if enough(&samples) {
                return Ok(samples);
            }
            if started.elapsed() >= limit {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("after {limit:?} {expression} gives {samples:?}"),
                ));
            }
            std::thread::sleep(POLL_PAUSE);
        }
    }

    fn ask(&self, target: &str) -> io::Result<Vec<Sample>> {
        let (_, answer) = http::ask(self.address(), "GET", target, b"")?;
        let mut answer: Value = serde_json::from_slice(&answer)?;
        if answer["status"] != "success" {
            let error = format!("Prometheus answers {}", answer["error"]);
            return Err(io::Error::other(error));
        }
        let kind = answer["data"]["resultType"].take();
        let result = answer["data"]["result"].take();
        let series = match kind.as_str() {
            Some("vector") => serde_json::from_value(result)?,
            Some("scalar") => vec![Series {
                metric: BTreeMap::new(),
                value: serde_json::from_value(result)?,
            }],
            _ => return Err(io::Error::other(format!("{kind} is no single value"))),
        };
        series.into_iter().map(Sample::try_from).collect()
    }

    fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.get(0)).into()
    }
}

impl TryFrom<Series> for Sample {
    type Error = io::Error;

    fn try_from(series: Series) -> io::Result<Self> {
        // Rust reads Prometheus's NaN, +Inf and -Inf.
        let value = series.value.1.parse().map_err(io::Error::other)?;
        Ok(Self {
            labels: series.metric,
            value,
        })
    }
}

/// JSON is YAML.
fn configuration(target: SocketAddr, rules: Option<&Path>) -> io::Result<Vec<u8>> {
    let rules = rules.map(fs::canonicalize).transpose()?;
    let configuration = json!({
        "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
        "rule_files": rules.as_slice(),
        "scrape_configs": [
            { "job_name": "twinspan", "static_configs": [{ "targets": [target.to_string()] }] },
        ],
    });
    Ok(serde_json::to_vec_pretty(&configuration)?)
}
