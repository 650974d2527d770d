//! What `serve` tells a person at the start: what it serves, whom it lets in, until when, and a command to paste.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use crate::app::App;
use crate::config::Config;
use crate::generation;
use crate::observe::health::{EngineHealth, HealthFinding};
use pki::store::Paths;
use policy::risk::unmatched_are_refused;
use policy::{Role, toggles};
use rustls_pki_types::UnixTime;
use text::escape::shell_word;

/// The text, one screen at most. What certificates say is in it as it is; its printer escapes it.
#[must_use]
#[expect(clippy::too_many_lines, reason = "sequence")]
pub fn lines(app: &App, engine: &HealthFinding) -> Vec<String> {
    let config = app.config();
    let mut out = vec![format!(
        "dockgate {} serves unix://{}",
        env!("CARGO_PKG_VERSION"),
        config.upstream.display()
    )];
    if engine.engine != EngineHealth::Ok {
        out.push(format!("  warning     {}", engine.detail));
        out.push("              requests are refused with 502 until the engine answers".to_owned());
        if let Some(hint) = &engine.hint {
            out.push(format!("              hint: {hint}"));
        }
    }
    for address in app.addresses() {
        out.push(format!("  listening   tcp://{address}"));
    }
    let generation = app.generation();
    let mut names: Vec<String> = Vec::new();
    if let Some(server) = &generation.certificates.server {
        out.push(format!(
            "  server      {}, valid until {}",
            server.subject,
            pki::timestamp(server.not_after)
        ));
        names = server.sans.iter().map(ToString::to_string).collect();
        out.push(format!("              for {}", names.join(", ")));
    }
    for ca in &generation.certificates.client_ca {
        out.push(format!(
            "  lets in     clients of {}, valid until {}",
            ca.subject,
            pki::timestamp(ca.not_after)
        ));
        out.push(format!("              SHA-256 {}", ca.sha256));
    }
    ca_key(config, &mut out);
    access(app, &mut out);
    for action in app.auto.iter().flat_map(|auto| &auto.actions) {
        out.push(format!(
            "  {:<11} {action}",
            if action.is_warning() {
                "warning"
            } else {
                "did"
            }
        ));
    }
    if let Some(enroll) = &app.config().enroll {
        let dir = shell_word(&enroll.dir.to_string_lossy()).into_owned();
        out.push(format!(
            "  signer      {}, a process of its own; the gate cannot read the CA's key",
            enroll.listen
        ));
        out.push(format!(
            "              invite somebody: dockgate invite NAME --dir {dir}"
        ));
    }
    if let Some(gate) = &app.config().enrolled {
        out.push(format!(
            "  enrolled    {} is kept current by a process of its own",
            gate.dir.display()
        ));
    }
    if let Some(dir) = app.auto.as_ref().and_then(|auto| auto.client_dir.as_ref())
        && let Some(address) = app.addresses().first()
    {
        match locked_out(app, dir) {
            Some(who) => out.push(format!(
                "  note        the policy has no entry for the first client ({who}): everything it asks for is refused"
            )),
            None => try_it(&mut out, dir, &host(*address, &names), address.port()),
        }
    }
    out
}

/// Where the key is that `--auto-certs` has made or found: its holder decides who is let in.
fn ca_key(config: &Config, out: &mut Vec<String>) {
    let Some(auto) = &config.auto_certs else {
        return;
    };
    let key = Paths::of(&auto.dir).ca_key;
    if key.exists() {
        out.push(format!("  CA key      {}", key.display()));
        out.push(
            "              its holder can make clients: keep it elsewhere once they are made"
                .to_owned(),
        );
    }
}

/// What decides on requests: a policy, toggles, a plugin, or nothing.
fn access(app: &App, out: &mut Vec<String>) {
    let (config, generation) = (app.config(), app.generation());
    let policy = &generation.policy;
    let plugin = config.authz_plugin.as_deref().map(Path::display);
    match &config.policy {
        Some(path) => {
            out.push(format!("  access      by the policy {}", path.display()));
            for role in policy.roles.iter().filter(|role| role.toggled) {
                out.push(format!("              role {}, made of toggles, may", role.name));
                opened(role, out);
            }
            out.extend(unmatched_are_refused(policy).map(|said| format!("              {said}")));
        }
        None if policy.is_open() => out.push(match &plugin {
            Some(path) => {
                format!("  access      by the authorization plugin at {path} alone (no policy)")
            }
            None => "  access      every certificate of this CA has full access to the engine (no policy)"
                .to_owned(),
        }),
        None => {
            out.push("  access      by the toggles of the environment, which open".to_owned());
            for role in &policy.roles {
                opened(role, out);
            }
        }
    }
    if policy.is_open() && plugin.is_none() {
        out.push("              no request is denied".to_owned());
    } else if let Some(sentence) = generation::unenforced(policy).filter(|_| !policy.is_open()) {
        out.push(format!("              {sentence}"));
    }
    if let Some(path) = plugin.filter(|_| !policy.is_open()) {
        out.push(format!(
            "              and by the authorization plugin at {path}"
        ));
    }
}

/// The table of a role that toggles made.
fn opened(role: &Role, out: &mut Vec<String>) {
    for line in toggles::table(role).lines() {
        out.push(format!("              {line}"));
    }
}

/// The names of the first client, if the policy lets it do nothing.
fn locked_out(app: &App, dir: &Path) -> Option<String> {
    let chain = pki::pem::certificates(&dir.join("cert.pem")).ok()?;
    let generation = app.generation();
    let admitted = generation.trust.store.admit(&chain, UnixTime::now()).ok()?;
    let policy = &generation.policy;
    let client = policy.client_for(&admitted.identity);
    policy.shuts_out(client).then(|| admitted.identity.names())
}

fn try_it(out: &mut Vec<String>, dir: &Path, host: &str, port: u16) {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let file = |name: &str| shell_word(&dir.join(name).to_string_lossy()).into_owned();
    out.extend([
        String::new(),
        "Try it:".to_owned(),
        format!(
            "  DOCKER_HOST=tcp://{host}:{port} DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH={} docker ps",
            shell_word(&dir.to_string_lossy())
        ),
        format!(
            "  curl --cert {} --key {} --cacert {} https://{host}:{port}/version",
            file("cert.pem"),
            file("key.pem"),
            file("ca.pem")
        ),
        String::new(),
    ]);
}

/// A name that the server certificate (`names`, as `DNS:` and the like) is valid for and that reaches this listener from
/// here.
fn host(address: SocketAddr, names: &[String]) -> String {
    let ip = match address.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    if ip.is_loopback() && names.iter().any(|name| name == "DNS:localhost") {
        return "localhost".to_owned();
    }
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}
