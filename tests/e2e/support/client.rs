//! The two sides of every comparison: clients on the engine's socket, and the same clients through a gate.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::engine::IMAGE;
use super::process::{Process, ProcessOutput};
use super::suite::Suite;
use super::wire::{self, RawWire};
use super::{OrSay, ScenarioResult};

/// How long a client may take when the scenario does not say otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Shell functions that every scenario may use; `$N` is a container name of the scenario's own on this side.
const PRELUDE: &str = r#"
set -o pipefail
# Containers have no network: the private engine sets none up. Nothing is ever pulled.
run() { docker run --pull never --network none "$@"; }
# A container $N that sleeps, for exec and friends.
sleeper() { run -d --name "$N" "$@" "$IMAGE" sleep 1000 >/dev/null; }
# A request by curl: api PATH [curl's options].
api() { local path=$1; shift; $CURL -sS --max-time 60 $CURL_TO "$@" "$CURL_BASE$path"; }
"#;

/// One way to reach the engine.
pub(crate) struct Side<'a> {
    /// "direct" or "gate".
    pub(crate) name: &'static str,
    /// The suite's engine, tools and certificates.
    pub(crate) suite: &'a Suite,
    /// The prefix for the containers and images of this scenario on this side.
    pub(crate) prefix: String,
    /// A directory of this scenario's own on this side.
    pub(crate) directory: PathBuf,
    target: ClientTarget,
    certificates: PathBuf,
}

#[derive(Clone)]
enum ClientTarget {
    Socket(PathBuf),
    Gate(SocketAddr),
}

impl<'a> Side<'a> {
    /// Clients on a unix socket.
    pub(crate) fn direct(suite: &'a Suite, scenario: &str, socket: &Path) -> ScenarioResult<Self> {
        Self::new(
            suite,
            scenario,
            "direct",
            ClientTarget::Socket(socket.into()),
        )
    }

    /// Clients through a gate.
    pub(crate) fn gate(suite: &'a Suite, scenario: &str, addr: SocketAddr) -> ScenarioResult<Self> {
        Self::new(suite, scenario, "gate", ClientTarget::Gate(addr))
    }

    fn new(
        suite: &'a Suite,
        scenario: &str,
        name: &'static str,
        target: ClientTarget,
    ) -> ScenarioResult<Self> {
        let directory = suite.scratch(&format!("{scenario}-{name}"))?;
        let plugins = serde_json::json!({ "cliPluginsExtraDirs": suite.tools.plugins }).to_string();
        std::fs::write(directory.join("config.json"), plugins)
            .context("write the docker CLI's config.json")?;
        let prefix = format!("{}-{scenario}-{}", suite.prefix, &name[..1]);
        Ok(Self {
            name,
            suite,
            prefix,
            directory,
            target,
            certificates: suite.pki.client_folder("ecdsa"),
        })
    }

    /// The same side with another client certificate.
    pub(crate) fn with_certificate(mut self, name: &str) -> Self {
        self.certificates = self.suite.pki.client_folder(name);
        self
    }

    /// Whether this is the side through the gate.
    pub(crate) fn is_gate(&self) -> bool {
        matches!(self.target, ClientTarget::Gate(_))
    }

    /// The value of `DOCKER_HOST`.
    pub(crate) fn host(&self) -> String {
        match &self.target {
            ClientTarget::Socket(path) => format!("unix://{}", path.display()),
            ClientTarget::Gate(addr) => format!("tcp://localhost:{}", addr.port()),
        }
    }

    /// A raw connection.
    pub(crate) fn wire(&self) -> ScenarioResult<RawWire> {
        match &self.target {
            ClientTarget::Socket(path) => wire::unix(path, Duration::from_secs(20)),
            ClientTarget::Gate(addr) => {
                wire::tls(*addr, &self.certificates, Duration::from_secs(20))
            }
        }
    }

    /// Starts a bash script in which `docker`, `run`, `api` and the like reach the engine by this side.
    pub(crate) fn start(&self, script: &str) -> ScenarioResult<Process> {
        let mut command = Command::new("bash");
        command.arg("-c").arg(format!("{PRELUDE}{script}"));
        self.environment(&mut command)?;
        Process::start(command, &format!("`{}` ({})", script.trim(), self.name))
    }

    /// Runs a script to its end.
    pub(crate) fn shell(&self, script: &str) -> ScenarioResult<ProcessOutput> {
        self.shell_within(script, PATIENCE)
    }

    /// Runs a script to its end, within a deadline of its own.
    pub(crate) fn shell_within(
        &self,
        script: &str,
        within: Duration,
    ) -> ScenarioResult<ProcessOutput> {
        self.start(script)?.finish(within)
    }

    /// Runs a script that must exit with 0; its standard output without the last newline.
    pub(crate) fn ok(&self, script: &str) -> ScenarioResult<String> {
        let output = self.shell(script)?;
        if output.code == 0 {
            return Ok(output.text().trim_end().to_owned());
        }
        Err(format!(
            "`{}` ({}) ended with {}\n{}{}",
            script.trim(),
            self.name,
            output.code,
            output.text(),
            output.stderr
        ))
    }

    /// Removes the containers and images of this scenario.
    pub(crate) fn clean(&self) {
        let script = r#"ids=$(docker ps -aq --filter "name=^/$N"); [ -z "$ids" ] || docker rm -f -v $ids
            images=$(docker images --format '{{.Repository}}:{{.Tag}}' --filter "reference=$N*"); [ -z "$images" ] || docker rmi -f $images"#;
        if let Ok(direct) = Self::direct(self.suite, "clean", &self.suite.engine.socket)
            && let Err(error) = (Self {
                prefix: self.prefix.clone(),
                ..direct
            })
            .shell(script)
        {
            eprintln!("e2e: {error}");
        }
    }

    /// Text with what must differ between two runs taken out: own names, ids, addresses.
    pub(crate) fn normalise(&self, text: &str) -> String {
        let text = text
            .replace(&self.prefix, "NAME")
            .replace(&self.host(), "HOST");
        let text = text.replace(&*self.directory.to_string_lossy(), "DIRECTORY");
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(at) = rest.find(|c: char| c.is_ascii_hexdigit()) {
            let length = rest[at..]
                .find(|c: char| !c.is_ascii_hexdigit())
                .unwrap_or(rest.len() - at);
            out.push_str(&rest[..at]);
            out.push_str(if length >= 12 {
                "ID"
            } else {
                &rest[at..at + length]
            });
            rest = &rest[at + length..];
        }
        out + rest
    }

    #[expect(clippy::too_many_lines, reason = "scenario")]
    fn environment(&self, command: &mut Command) -> ScenarioResult {
        let tools = &self.suite.tools;
        let docker = tools.get("DOCKER")?;
        let path = docker
            .parent()
            .map(|folder| folder.display().to_string())
            .unwrap_or_default();
        let system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        command
            .env_clear()
            .env("PATH", format!("{path}:{system}"))
            .env("HOME", &self.directory)
            .env("LC_ALL", "C.UTF-8");
        command
            .env("DOCKER_CONFIG", &self.directory)
            .env("DOCKER_HOST", self.host())
            .env("COMPOSE_ANSI", "never");
        command
            .env("N", &self.prefix)
            .env("IMAGE", IMAGE)
            .env("DIR", &self.directory)
            .current_dir(&self.directory);
        command.env("SIDE", self.name).env(
            "CLIENTS",
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/clients"),
        );
        for name in [
            "PYTHON",
            "COMPOSE1",
            "NODE",
            "NODE_PATH",
            "CURL",
            "OPENSSL",
            "COMPOSE",
            "BOLLARD",
        ] {
            if let Ok(path) = tools.get(name) {
                command.env(name, path);
            }
        }
        match &self.target {
            ClientTarget::Socket(path) => {
                command
                    .env("CURL_TO", format!("--unix-socket {}", path.display()))
                    .env("CURL_BASE", "http://localhost");
            }
            ClientTarget::Gate(addr) => {
                let folder = self.certificates.display();
                command
                    .env("DOCKER_TLS_VERIFY", "1")
                    .env("DOCKER_CERT_PATH", &self.certificates);
                command.env(
                    "CURL_TO",
                    format!(
                        "--cacert {folder}/ca.pem --cert {folder}/cert.pem --key {folder}/key.pem"
                    ),
                );
                command
                    .env("CURL_BASE", format!("https://localhost:{}", addr.port()))
                    .env("PORT", addr.port().to_string());
            }
        }
        Ok(())
    }
}
