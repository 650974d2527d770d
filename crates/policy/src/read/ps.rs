//! The words of `container.top`'s `ps_args`, with which the engine starts `ps` on the host.

/// Columns that may be asked for: what `ps -ef` and `ps aux` print, and what names a process, its time and its memory. Not
/// those that show an environment or the place of something in the host's memory.
const COLUMNS: &[&str] = &[
    "%cpu",
    "%mem",
    "args",
    "c",
    "cmd",
    "comm",
    "command",
    "cp",
    "cputime",
    "egid",
    "egroup",
    "etime",
    "etimes",
    "euid",
    "euser",
    "gid",
    "group",
    "lstart",
    "lwp",
    "ni",
    "nice",
    "nlwp",
    "pcpu",
    "pgid",
    "pgrp",
    "pid",
    "pmem",
    "ppid",
    "pri",
    "psr",
    "rgid",
    "rgroup",
    "rss",
    "ruid",
    "ruser",
    "s",
    "sess",
    "sid",
    "size",
    "spid",
    "start",
    "start_time",
    "stat",
    "state",
    "stime",
    "sz",
    "thcount",
    "tid",
    "time",
    "tname",
    "tt",
    "tty",
    "ucmd",
    "uid",
    "uname",
    "user",
    "vsize",
    "vsz",
    "wchan",
];

/// Words that list every process. Where the options of a line contradict each other, `ps` reads all of them again as BSD's,
/// and then `-e` prints environments; so they go with one format at most, and with no other word that selects.
const EVERY: &[&str] = &[
    "-e", "-ef", "-eF", "-eL", "-eLf", "-ef", "-efL", "-efw", "-efww", "-ej", "-el", "-eo",
];

/// Letters of one word with a dash: who is shown, and in which of the fixed formats.
const UNIX: &str = "AaFfHjLlTwy";

/// Letters of one word without a dash. No `e`, which prints environments, and no `h`, without which the engine finds no columns.
const BSD: &str = "aflmrSTuvwxHj";

/// Whether `ps` does nothing with these words but list processes.
pub(super) fn safe(line: &str) -> bool {
    let mut words = line.split(' ').filter(|word| !word.is_empty());
    let (mut every, mut formats, mut others) = (0, 0, 0);
    while let Some(word) = words.next() {
        let takes_columns = matches!(word, "-o" | "-O" | "o" | "-eo" | "axo" | "-Ao");
        if takes_columns {
            formats += 1;
            if !words.next().is_some_and(columns) {
                return false;
            }
        }
        if EVERY.contains(&word) {
            every += 1;
            formats += usize::from(!takes_columns && word.contains(['f', 'F', 'j', 'l']));
        } else if takes_columns || matches!(word, "-w" | "-ww") {
        } else if let Some(list) = word.strip_prefix("--format=") {
            formats += 1;
            if !columns(list) {
                return false;
            }
        } else if let Some(list) = word.strip_prefix("--sort=") {
            if !columns(list) {
                return false;
            }
        } else {
            others += 1;
            // `ps -aux` means `-a -u x`, and what everybody means by it only where no user is called "x".
            let known = word == "-aux"
                || match word.strip_prefix('-') {
                    Some(letters) => letters_of(letters, UNIX),
                    None => letters_of(word, BSD),
                };
            if !known {
                return false;
            }
        }
    }
    line.len() <= 256 && (every == 0 || every == 1 && formats <= 1 && others == 0)
}

fn letters_of(word: &str, known: &str) -> bool {
    !word.is_empty() && word.chars().all(|letter| known.contains(letter))
}

fn columns(list: &str) -> bool {
    list.split(',')
        .map(|name| name.strip_prefix(['+', '-']).unwrap_or(name))
        .all(|name| COLUMNS.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::safe;

    #[test]
    fn what_people_ask_ps_for_passes() {
        for line in [
            "",
            "-ef",
            "aux",
            "-aux",
            "axu",
            "auxww",
            "-eo pid,ppid,args",
            "-o pid,cmd",
            "o pid,user,args",
            "axo pid,stat,comm",
            "-e --format=pid,args --sort=-pcpu",
            "-eLf",
            "-Af",
            "-A -o pid,comm",
            "-ef -ww",
            "faux",
        ] {
            assert!(safe(line), "{line}");
        }
    }

    #[test]
    fn what_prints_environments_or_is_no_listing_is_refused() {
        for line in [
            "e",
            "auxe",
            "eww",
            "-ef e",
            "-ef aux",
            "-eflj",
            "-ef -o pid",
            "-efo pid",
            "-eLH",
            "-p 1",
            "-C sshd",
            "-u root",
            "--pid=1",
            "--ppid 1",
            "-o pid,environ",
            "-o pid=PID",
            "-o",
            "-eo",
            "-o pid, args",
            "--info",
            "-V",
            "L",
            "h",
            "-",
            "--",
            "1",
            "-ef\t-o",
            "-ef;id",
            "$(id)",
            "-o pid -o environ",
            "/etc/passwd",
        ] {
            assert!(!safe(line), "{line}");
        }
        assert!(!safe(&"-w ".repeat(200)));
    }
}
