//! What is said with a command: its three pipes and its end, watched in one thread with one deadline, so that nothing is left
//! behind when a helper that it started keeps a pipe.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ChildStdin, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// For what is still in the pipes when the command has ended and its group is killed.
const REST: Duration = Duration::from_secs(1);

/// What a command did.
pub(super) struct CommandEnd {
    /// Whether it ended by itself; otherwise it was killed.
    pub(super) in_time: bool,
    pub(super) status: ExitStatus,
    /// Its standard output, up to its bound.
    pub(super) answer: Vec<u8>,
    /// Whether the end of its standard output came.
    pub(super) whole: bool,
    /// Its standard error, up to its bound.
    pub(super) complaint: Vec<u8>,
}

/// Gives a command its text and reads its answer and its complaint, each up to a bound; what is above is taken and dropped,
/// so that the command can end. Then its process group is killed.
pub(super) fn talk(
    mut child: Child,
    text: &[u8],
    (answer, complaint): (usize, usize),
    deadline: Instant,
) -> io::Result<CommandEnd> {
    let said = Said::begin(&mut child, text, (answer, complaint));
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let watched = said.and_then(|mut said| {
        let end = pid.ok_or(ErrorKind::NotFound)?;
        let end = pidfd_open(end, PidfdFlags::empty())?;
        let in_time = said.until(Some(&end), deadline)?;
        Ok((said, in_time))
    });
    // All of its group, before its number can be another's.
    if let Some(group) = pid {
        // It may have ended by itself.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let status = child.wait()?;
    let (mut said, in_time) = watched?;
    said.input = None;
    said.until(None, Instant::now() + REST)?;
    Ok(CommandEnd {
        in_time,
        status,
        whole: said.answer.pipe.is_none(),
        answer: said.answer.bytes,
        complaint: said.complaint.bytes,
    })
}

/// Both directions.
struct Said<'a> {
    input: Option<ChildStdin>,
    text: &'a [u8],
    answer: HeardPipe,
    complaint: HeardPipe,
}

/// One pipe that is read.
struct HeardPipe {
    /// None after its end.
    pipe: Option<std::fs::File>,
    bytes: Vec<u8>,
    most: usize,
}

impl<'a> Said<'a> {
    fn begin(
        child: &mut Child,
        text: &'a [u8],
        (answer, complaint): (usize, usize),
    ) -> io::Result<Self> {
        let input = child.stdin.take();
        if let Some(input) = &input {
            do_not_wait(input)?;
        }
        let stdout = child.stdout.take().map(OwnedFd::from);
        let stderr = child.stderr.take().map(OwnedFd::from);
        Ok(Self {
            input,
            text,
            answer: HeardPipe::begin(stdout, answer)?,
            complaint: HeardPipe::begin(stderr, complaint)?,
        })
    }

    /// Talks until the command has ended, or until all that is read has, where no end is waited for. False at the deadline.
    fn until(&mut self, end: Option<&OwnedFd>, deadline: Instant) -> io::Result<bool> {
        loop {
            let heard = self.answer.pipe.is_none() && self.complaint.pipe.is_none();
            if end.is_none() && heard {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let wait = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            let input = self.input.as_ref().map(|it| (it.as_fd(), PollFlags::OUT));
            let pipes = [&self.answer.pipe, &self.complaint.pipe];
            let pipes = pipes.into_iter().flatten();
            let pipes = pipes.map(|it| (it.as_fd(), PollFlags::IN));
            let end = end.map(|it| (it.as_fd(), PollFlags::IN));
            let mut fds: Vec<PollFd<'_>> = (end.into_iter().chain(input).chain(pipes))
                .map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags))
                .collect();
            match poll(&mut fds, Some(&wait)) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            }
            let ended = end.is_some() && !fds[0].revents().is_empty();
            drop(fds);
            self.give();
            self.answer.take();
            self.complaint.take();
            if ended {
                return Ok(true);
            }
            if left.is_zero() {
                return Ok(false);
            }
        }
    }

    /// Writes what fits. A command that does not read has its reason; its answer counts.
    fn give(&mut self) {
        let Some(input) = &mut self.input else {
            return;
        };
        let given = match input.write(self.text) {
            Ok(count) => count,
            Err(fault) if waits(&fault) => 0,
            Err(_) => self.text.len(),
        };
        self.text = &self.text[given..];
        if self.text.is_empty() {
            self.input = None;
        }
    }
}

impl HeardPipe {
    fn begin(pipe: Option<OwnedFd>, most: usize) -> io::Result<Self> {
        if let Some(pipe) = &pipe {
            do_not_wait(pipe)?;
        }
        Ok(Self {
            pipe: pipe.map(Into::into),
            bytes: Vec::new(),
            most,
        })
    }

    /// Reads some of what is there: the deadline is looked at between.
    fn take(&mut self) {
        let mut part = [0; 8 * 1024];
        let Some(pipe) = &mut self.pipe else { return };
        match pipe.read(&mut part) {
            Ok(0) => self.pipe = None,
            Ok(count) => {
                let room = self.most.saturating_sub(self.bytes.len()).min(count);
                self.bytes.extend_from_slice(&part[..room]);
            }
            Err(fault) if waits(&fault) => {}
            Err(_) => self.pipe = None,
        }
    }
}

fn waits(fault: &io::Error) -> bool {
    matches!(fault.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn do_not_wait(fd: impl AsFd) -> io::Result<()> {
    let flags = fcntl_getfl(&fd)?;
    Ok(fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?)
}
