//! An authorization plugin: a small real one, which speaks the engine's protocol on a unix socket.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::{OrSay, ScenarioResult};

/// What a plugin answers to a question of that method.
pub(crate) type PluginAnswer = fn(&str, &Value) -> String;

/// A listening plugin; it ends with its socket's file.
pub(crate) struct ListeningPlugin {
    socket: PathBuf,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
}

impl ListeningPlugin {
    /// Listens on `socket`, and answers by `word`.
    pub(crate) fn start(socket: &Path, word: PluginAnswer) -> ScenarioResult<Self> {
        let _ = fs::remove_file(socket);
        let listener = UnixListener::bind(socket).context("listen as a plugin")?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let notes = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let notes = notes.clone();
                thread::spawn(move || answer(&stream, word, &notes));
            }
        });
        Ok(Self {
            socket: socket.into(),
            asked,
        })
    }

    /// The questions of that method whose URI has `part` in it.
    pub(crate) fn questions(&self, method: &str, part: &str) -> Vec<Value> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |(asked, value): &&(String, Value)| {
            asked == method
                && value["RequestUri"]
                    .as_str()
                    .is_some_and(|uri| uri.contains(part))
        };
        asked
            .iter()
            .filter(fits)
            .map(|(_, value)| value.clone())
            .collect()
    }
}

impl Drop for ListeningPlugin {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.socket);
    }
}

fn answer(
    stream: &UnixStream,
    word: PluginAnswer,
    notes: &Mutex<Vec<(String, Value)>>,
) -> Option<()> {
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .ok()?;
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line).ok()?;
    let method = line.strip_prefix("POST /")?.split(' ').next()?.to_owned();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let question = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let said = match method.as_str() {
        "Plugin.Activate" => json!({ "Implements": ["authz"] }).to_string(),
        _ => word(&method, &question),
    };
    let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
    notes.push((method, question));
    drop(notes);
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        said.len()
    );
    (&*stream).write_all((head + &said).as_bytes()).ok()
}

/// A field of a question that carries a body or a certificate.
pub(crate) fn decoded(question: &Value, field: &str) -> String {
    let bytes = BASE64.decode(question[field].as_str().unwrap_or_default().as_bytes());
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}

/// The word of a plugin without rules.
pub(crate) fn allow(_: &str, _: &Value) -> String {
    json!({ "Allow": true }).to_string()
}
