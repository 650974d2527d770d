//! `dockgate top`: the table again and again, on the terminal's second screen, until ctrl-C.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::render::{self, Rates};
use crate::command::output::{Failure, Output};
use crate::observe::control::client::ControlClient;
use crate::observe::control::{Connection, GateStatus};

/// Second screen, no cursor; and back (xterm control sequences, `?1049` and `?25`).
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// To the top left; the end of a line; the rest of the screen.
const HOME: &str = "\x1b[H";
const REST_OF_LINE: &str = "\x1b[K";
const REST_OF_SCREEN: &str = "\x1b[J";

/// A terminal that does not say its size.
const USUAL: (usize, usize) = (80, 24);

/// The last look at the connections.
struct Look {
    at: Instant,
    connections: Vec<Connection>,
}

/// Shows the table every `interval`; once only when standard output is no terminal.
pub(super) async fn watch(
    client: &ControlClient,
    interval: Duration,
    output: &mut Output<'_>,
) -> Result<(), Failure> {
    if !output.is_terminal() {
        let status = client.status().await?;
        let live = client.connections().await?;
        output.row(heading(&status));
        output.line("");
        render::table(output, &live.connections, None);
        let owners = client.owners().await.unwrap_or_default();
        if !owners.owners.is_empty() {
            output.line("");
            render::owners(output, &owners);
        }
        return Ok(());
    }
    let mut ends = [
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
        signal(SignalKind::hangup())?,
    ];
    let mut resized = signal(SignalKind::window_change())?;
    let mut before: Option<Look> = None;
    // The first look comes before the screen is taken: an error stays readable.
    let page = look(client, &mut before).await?;
    output.screen(ENTER);
    let end = tokio::select! {
        end = show(client, interval, output, (page, &mut before), &mut resized) => end,
        () = any(&mut ends) => Ok(()),
    };
    output.screen(LEAVE);
    end
}

/// Shows one page after another until the reader or the gate is gone.
async fn show(
    client: &ControlClient,
    interval: Duration,
    output: &mut Output<'_>,
    (mut page, before): (String, &mut Option<Look>),
    resized: &mut Signal,
) -> Result<(), Failure> {
    while !output.is_closed() {
        output.screen(&fit(&page, size()));
        let due = tokio::time::sleep(interval);
        tokio::select! {
            _ = resized.recv() => continue,
            () = due => page = look(client, before).await?,
        }
    }
    Ok(())
}

async fn any(ends: &mut [Signal; 3]) {
    let [interrupt, terminate, hangup] = ends;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
}

/// Asks the gate, and compares with the last time.
async fn look(client: &ControlClient, before: &mut Option<Look>) -> Result<String, Failure> {
    let status = client.status().await?;
    let mut live = client.connections().await?.connections;
    let at = Instant::now();
    let rates = rates(before.as_ref(), &live, at);
    let weight = |c: &Connection| rates.get(&c.id).map_or(0.0, |(i, o)| i + o);
    *before = Some(Look {
        at,
        connections: live.clone(),
    });
    // The busiest first, then the least idle.
    live.sort_by(|a, b| {
        weight(b)
            .total_cmp(&weight(a))
            .then(a.idle_ms.cmp(&b.idle_ms))
    });
    let owners = client.owners().await.unwrap_or_default();
    let mut page = heading(&status);
    for line in std::iter::once(String::new()).chain(render::lines(&live, Some(&rates))) {
        page.push('\n');
        page.push_str(&line);
    }
    if !owners.owners.is_empty() {
        for line in std::iter::once(String::new()).chain(render::owner_lines(&owners)) {
            page.push('\n');
            page.push_str(&line);
        }
    }
    Ok(page)
}

fn rates(before: Option<&Look>, now: &[Connection], at: Instant) -> Rates {
    let Some(before) = before else {
        return Rates::new();
    };
    let seconds = (at - before.at).as_secs_f64().max(0.001);
    let old: std::collections::HashMap<u64, (u64, u64)> = before
        .connections
        .iter()
        .map(|c| (c.id, (c.bytes_in, c.bytes_out)))
        .collect();
    now.iter()
        .map(|c| {
            let (i, o) = old.get(&c.id).copied().unwrap_or_default();
            let per_second = |new: u64, old: u64| new.saturating_sub(old) as f64 / seconds;
            (
                c.id,
                (per_second(c.bytes_in, i), per_second(c.bytes_out, o)),
            )
        })
        .collect()
}

fn heading(status: &GateStatus) -> String {
    let draining = if status.draining { ", draining" } else { "" };
    format!(
        "dockgate {} (pid {}), up {}{draining}: {}, {}, {} in, {} out; engine {}",
        status.version,
        status.pid,
        render::time(status.uptime_ms),
        text::counted(status.connections, "connection"),
        text::counted(status.tunnels, "tunnel"),
        render::bytes(status.bytes_in as f64),
        render::bytes(status.bytes_out as f64),
        render::plain(&status.upstream),
    )
}

/// As much of the page as the screen has room for, over what was there before.
fn fit(page: &str, (columns, rows): (usize, usize)) -> String {
    let mut out = String::from(HOME);
    let lines: Vec<&str> = page.lines().collect();
    let room = rows.saturating_sub(1).max(1);
    for line in lines.iter().take(room) {
        out.extend(line.chars().take(columns));
        out.push_str(REST_OF_LINE);
        out.push_str("\r\n");
    }
    if lines.len() > room {
        out.extend(
            format!("… {} more", lines.len() - room)
                .chars()
                .take(columns),
        );
        out.push_str(REST_OF_LINE);
    }
    out.push_str(REST_OF_SCREEN);
    out
}

fn size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
            (usize::from(size.ws_col), usize::from(size.ws_row))
        }
        _ => USUAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_larger_than_the_screen_is_cut_and_says_so() {
        let page: String = (0..10)
            .map(|n| format!("line {n} {}\n", "x".repeat(50)))
            .collect();
        let shown = fit(&page, (12, 5));
        assert_eq!(shown.matches("\r\n").count(), 4);
        assert!(shown.contains("… 6 more"), "{shown}");
        assert!(!shown.contains(&"x".repeat(6)));
        assert!(!fit(&page, (80, 24)).contains("more"));
    }
}
