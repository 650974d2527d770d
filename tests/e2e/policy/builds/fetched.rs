//! What a build fetches from servers on loopback: git repositories and files.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::{Makers, TEAM, fails, passes};
use crate::support::client::Side;
use crate::support::suite::Suite;
use crate::support::{OrSay, ScenarioResult, ensure};

/// A server on loopback, and what it was asked for.
struct LoopbackServer {
    addr: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl LoopbackServer {
    /// Serves each connection by `serve`, which says what was asked for. The listener goes with the suite.
    fn start(serve: impl Fn(TcpStream) -> Option<String> + Send + 'static) -> ScenarioResult<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("listen on loopback")?;
        let addr = listener.local_addr().context("its address")?;
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let list = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let what = serve(stream);
                let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
                list.extend(what);
            }
        });
        Ok(Self { addr, asked })
    }

    /// git's own server, one process for each connection.
    fn of_repositories(git: &Path, base: &Path) -> ScenarioResult<Self> {
        let (git, base) = (git.to_owned(), base.display().to_string());
        Self::start(move |stream| {
            let input = OwnedFd::from(stream.try_clone().ok()?);
            let mut daemon = Command::new(&git);
            let options = [
                "daemon",
                "--inetd",
                "--log-destination=stderr",
                "--verbose",
                "--export-all",
            ];
            daemon
                .args(options)
                .arg(format!("--base-path={base}"))
                .arg(&base);
            daemon
                .stdin(Stdio::from(input))
                .stdout(Stdio::from(OwnedFd::from(stream)));
            let output = daemon.stderr(Stdio::piped()).spawn().ok()?;
            let output = output.wait_with_output().ok()?;
            Some(String::from_utf8_lossy(&output.stderr).into_owned())
        })
    }

    /// Files: each is a Dockerfile that takes nothing but the image.
    fn of_files() -> ScenarioResult<Self> {
        let body = "FROM dockgate-e2e-busybox\n";
        Self::start(move |mut stream| {
            let mut head = Vec::new();
            let mut part = [0; 512];
            while !head.ends_with(b"\r\n\r\n") {
                let n = stream.read(&mut part).ok().filter(|n| *n > 0)?;
                head.extend_from_slice(&part[..n]);
            }
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            let _ = stream.write_all(answer.as_bytes());
            let head = String::from_utf8_lossy(&head).into_owned();
            head.lines().next().map(str::to_owned)
        })
    }

    /// Nobody asked for what is not listed, and somebody asked for what is.
    fn was_asked_for_what_is_listed(&self) -> ScenarioResult {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let foreign = asked.iter().find(|what| what.contains("other"));
        ensure!(foreign.is_none(), "the engine asked for {foreign:?}");
        ensure!(
            asked.iter().any(|what| what.contains("/ok/")),
            "the engine asked for nothing that is listed: {asked:?}"
        );
        Ok(())
    }
}

/// A repository that is listed and one that is not, each with a Dockerfile in a directory too.
const REPOSITORIES: &str = r#"
commit() { git -c user.name=e2e -c user.email=e2e@example.com -C work commit -q --allow-empty -m "$1"; }
git init -q -b main work && mkdir work/dir && printf "FROM $IMAGE\nCOPY Dockerfile /it\n" | tee work/Dockerfile >work/dir/Dockerfile
git -C work add . && commit one && mkdir -p base/ok base/other
for to in ok other; do git clone -q --bare work base/$to/app.git; git -C base/$to/app.git config uploadpack.allowAnySHA1InWant true; done
"#;

fn prepared(side: &Side<'_>, git: &Path) -> ScenarioResult<LoopbackServer> {
    side.ok(REPOSITORIES)?;
    LoopbackServer::of_repositories(git, &side.directory.join("base"))
}

/// Builds that take what is listed. `GIT` and `WEB` are the two servers; what begins with `ADD` is a line of a Dockerfile.
const LISTED: &[&str] = &[
    "build -t $N git://GIT/ok/app.git 2>&1",
    "build -t $N git://GIT/ok/app.git#main:dir 2>&1",
    "build -t $N http://WEB/ok/Dockerfile 2>&1",
    "printf \"FROM $IMAGE\nCOPY --from=src Dockerfile /z\n\" | build --build-context src=git://GIT/ok/app.git -t $N -f - ctx 2>&1",
    "ADD http://WEB/ok/file /f",
    "ADD git://GIT/ok/app.git /g",
];

/// Builds that take something else, or the same in other words.
const FOREIGN: &[&str] = &[
    "build git://GIT/other/app.git 2>&1",
    "build git://GIT/ok/../other/app.git 2>&1",
    "build git://GIT/other/app.git#main:dir 2>&1",
    "build http://WEB/other/Dockerfile 2>&1",
    "printf \"FROM $IMAGE\nCOPY --from=src Dockerfile /z\n\" | build --build-context src=git://GIT/other/app.git -f - ctx 2>&1",
    "ADD http://WEB/other/file /f",
    "ADD http://WEB/ok/../other/file /f",
    "ADD http://WEB/ok/%%2e%%2e/other/file /f",
    "ADD http://WEB/ok/file?other /f",
    "ADD http://other@WEB/ok/file /f",
    "ADD git://GIT/other/app.git /g",
    "ADD git://other@GIT/ok/app.git /g",
];

/// Repositories and files that are listed are fetched, and the engine does not even ask for others.
pub(super) fn fetched(suite: &Suite, name: &str) -> ScenarioResult {
    suite.gate()?;
    let direct = Side::direct(suite, &format!("{name}-git"), &suite.engine.socket)?;
    let repositories = prepared(&direct, suite.tools.get("GIT")?)?;
    let files = LoopbackServer::of_files()?;
    let (git, web) = (repositories.addr, files.addr);
    let build = format!(
        "sources = [\"docker.io/library/*\", \"git://{git}/ok/**\", \"http://{web}/ok/**\"]\n"
    );
    let makers = Makers::with(suite, name, ("docker.io/library/*", ""), &build)?;
    let team = makers.side(TEAM)?;
    let script = |what: &str| {
        let what = what.replace("GIT", &git.to_string());
        let what = what.replace("WEB", &web.to_string());
        match what.starts_with("ADD ") {
            true => {
                format!("printf \"FROM $IMAGE\n{what}\n\" | build --no-cache -t $N -f - ctx 2>&1")
            }
            false => what,
        }
    };
    for what in LISTED {
        passes(&team, &script(what))?;
    }
    for what in FOREIGN {
        fails(&team, &script(what), "denied by policy")?;
    }
    repositories.was_asked_for_what_is_listed()?;
    files.was_asked_for_what_is_listed()?;
    makers.finish()
}
