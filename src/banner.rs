//! What `serve` tells a person at the start: what it serves, whom it lets in, until when, and a command to paste.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use crate::app::App;
use crate::reload;
use crate::tls::files;
use pki::Certificate;
use policy::{Role, toggles};
use text::escape::shell_word;

/// The text, one screen at most.
#[must_use]
pub fn text(app: &App) -> String {
    let config = app.config();
    let mut out = format!(
        "dockgate {} serves unix://{}\n",
        env!("CARGO_PKG_VERSION"),
        config.upstream.display()
    );
    for address in app.addresses() {
        let _ = writeln!(out, "  listening   tcp://{address}");
    }
    let mut names: Vec<String> = Vec::new();
    if let Ok(material) = files::load(&reload::paths(config)) {
        if let Some(Ok(server)) = material
            .cert_chain
            .first()
            .map(|der| Certificate::read(der))
        {
            let _ = writeln!(
                out,
                "  server      {}, valid until {}",
                server.subject,
                server.not_after.date()
            );
            names = server.sans.iter().map(ToString::to_string).collect();
            let _ = writeln!(out, "              for {}", names.join(", "));
        }
        for ca in material
            .client_ca
            .iter()
            .filter_map(|ca| Certificate::read(ca).ok())
        {
            let _ = writeln!(
                out,
                "  lets in     clients of {}, valid until {}",
                ca.subject,
                ca.not_after.date()
            );
            let _ = writeln!(out, "              SHA-256 {}", ca.sha256);
        }
    }
    let policy = app.policy();
    let plugin = config.authz_plugin.as_deref().map(Path::display);
    let mut access = match &config.policy {
        Some(path) => {
            let mut text = format!("by the policy {}", path.display());
            for role in policy.roles.iter().filter(|role| role.toggled) {
                let _ = write!(
                    text,
                    "\n              role {}, made of toggles, may\n{}",
                    role.name,
                    opened(role)
                );
            }
            text
        }
        None if policy.is_open() => match &plugin {
            Some(path) => format!("by the authorization plugin at {path} alone (no policy)"),
            None => {
                "every certificate of this CA has full access to the engine (no policy)".to_owned()
            }
        },
        None => {
            let tables: Vec<_> = policy.roles.iter().map(opened).collect();
            format!(
                "by the toggles of the environment, which open\n{}",
                tables.join("\n")
            )
        }
    };
    if let Some(path) = plugin.filter(|_| !policy.is_open()) {
        let _ = write!(
            access,
            "\n              and by the authorization plugin at {path}"
        );
    }
    let _ = writeln!(out, "  access      {access}");
    for action in app.auto.iter().flat_map(|auto| &auto.actions) {
        let _ = writeln!(
            out,
            "  {:<11} {action}",
            if action.is_warning() {
                "warning"
            } else {
                "did"
            }
        );
    }
    if let Some(dir) = app.auto.as_ref().and_then(|auto| auto.client_dir.as_ref())
        && let Some(address) = app.addresses().first()
    {
        try_it(&mut out, dir, &host(*address, &names), address.port());
    }
    out
}

/// The table of a role that toggles made.
fn opened(role: &Role) -> String {
    let table = toggles::table(role).replace('\n', "\n              ");
    format!("              {table}")
}

fn try_it(out: &mut String, dir: &Path, host: &str, port: u16) {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let dir = dir.to_string_lossy();
    let dir = shell_word(&dir);
    let _ = write!(
        out,
        "\nTry it:\n  DOCKER_HOST=tcp://{host}:{port} DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH={dir} docker ps\n  \
         curl --cert {dir}/cert.pem --key {dir}/key.pem --cacert {dir}/ca.pem https://{host}:{port}/version\n\n"
    );
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
