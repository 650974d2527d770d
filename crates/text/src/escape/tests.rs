use super::*;

/// 48 bytes of nobody's key, as base64 has them.
const BASE64: &str = "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg5f8Xk/2bQ9+ZrT1LJ0aYwV";

fn windows_of_key(text: &str) -> bool {
    (0..BASE64.len() - 11).any(|at| text.contains(&BASE64[at..at + 12]))
}

#[test]
fn what_ends_lines_and_drives_terminals_is_unsafe_and_words_are_not() {
    assert!(
        "\n\r\t\u{1b}\u{7f}\u{9b}\u{2028}\u{2029}\u{202e}\u{2066}\u{200f}\u{61c}"
            .chars()
            .all(is_unsafe)
    );
    assert!(!"aä字 …\"\\\u{2030}".chars().any(is_unsafe));
}

#[test]
fn a_line_stays_a_line_and_plain_text_is_left_alone() {
    let mut out = String::new();
    json("a\nb\r\x1b[31m\"\\\u{202e}\u{85}", &mut out);
    assert_eq!(out, "a\\nb\\r\\u001b[31m\\\"\\\\\\u202e\\u0085");
    assert_eq!(line("a\nb\x1b[2J\\"), "a\\nb\\u001b[2J\\");
    assert!(matches!(line("Größe /v1.51/containers"), Cow::Borrowed(_)));
}

#[test]
fn a_path_below_a_name_that_looks_random_is_a_path_and_a_key_with_slashes_is_not() {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut state = 1_u32;
    for _ in 0..2000 {
        let name: String = (0..10)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                char::from(letters[(state >> 16) as usize % letters.len()])
            })
            .collect();
        for below in [
            "ca/clients/alice",
            "w/nodir/audit.jsonl",
            "gate/server-key.pem",
        ] {
            let path = format!("/tmp/tmp.{name}/{below}");
            assert_eq!(secret(&path), None, "{path}");
            let message = format!("DOCKER_CERT_PATH={path} docker version");
            assert_eq!(redacted(&message), message);
        }
    }
    for key in ["aB3/dE5/gH7/jK9/mN1/pQ3/s", &BASE64[40..]] {
        assert!(secret(key).is_some(), "{key}");
    }
}

#[test]
fn a_key_is_quoted_by_its_name_whatever_happened_to_it() {
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{BASE64}\n-----END PRIVATE KEY-----\n");
    let cut = &pem[..pem.len() - 30];
    let damaged = [
        pem.clone(),
        pem.replace('\n', " "),
        pem.replace('\n', ""),
        pem.replace('\n', "\r\n"),
        pem.replace("-----", "---"),
        format!("\u{feff}{pem}"),
        cut.to_owned(),
        pem[20..].to_owned(),
        BASE64.to_owned(),
        BASE64[10..40].to_owned(),
        format!("/etc/dockgate/{BASE64}"),
        format!("tcp://{BASE64}:2376"),
    ];
    for value in &damaged {
        let shown = quoted(value);
        assert!(
            shown.ends_with("not shown)") && !windows_of_key(&shown),
            "{value:?}: {shown}"
        );
        for message in [
            format!("cannot read {value:?}: No such file"),
            format!("there is no CA in {value}"),
            format!("'{value}' is not a path"),
        ] {
            let shown = redacted(&message);
            assert!(!windows_of_key(&shown), "{message}: {shown}");
        }
    }
    assert_eq!(quoted(&pem), "(a private key, not shown)");
    assert_eq!(
        redacted(&format!("tlskey = {pem:?}: expected a path")),
        "tlskey = \"(PEM, not shown)\\n\": expected a path"
    );
    assert!(!windows_of_key(&without_pem(&pem)) && !windows_of_key(&without_pem(cut)));
}

#[test]
fn what_is_public_is_shown() {
    for value in [
        "/var/lib/dockgate/certs/server-key.pem",
        "/opt/Some Company/Very-Long-Directory-Names-2024/AndMore/key.pem",
        "sha256:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=",
        "sha256//n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "9F:86:D0:81:88:4C:7D:65",
        "tcp://[2001:db8::1]:2376",
        "registry.example.com/team/application-with-a-long-name",
    ] {
        assert_eq!(quoted(value), format!("\"{value}\""));
        assert_eq!(redacted(value), value);
    }
    let advice = "keys start with -----BEGIN PRIVATE KEY-----; are certificate and key swapped?";
    assert_eq!(redacted(advice), advice);
}

#[test]
fn credentials_and_queries_are_left_out_with_and_without_a_scheme() {
    for (value, shown) in [
        ("tcp://ada:secret@host:2376", "tcp://…@host:2376"),
        ("ada:secret@host:2376", "…@host:2376"),
        ("secret@host", "…@host"),
        ("ada:se/cr?e@t@host/x", "…@host/x"),
        ("https://host/x?token=secret", "https://host/x?…"),
        ("host/x?token=secret", "host/x?…"),
        (
            "https://ada:secret@host/x?token=secret#y",
            "https://…@host/x?…",
        ),
        ("https://host/?next=ada:secret@host", "https://…@host"),
        ("tcp://host:2376", "tcp://host:2376"),
    ] {
        assert_eq!(quoted(value), format!("\"{shown}\""));
        assert!(!shown.contains("secret"));
    }
}

#[test]
fn the_digest_of_an_image_is_no_host_and_is_shown() {
    let digest = format!("sha256:{}", "0a".repeat(32));
    for (value, shown) in [
        (format!("alpine@{digest}"), format!("alpine@{digest}")),
        (
            format!("reg.io:5000/a@{digest}"),
            format!("reg.io:5000/a@{digest}"),
        ),
        (
            format!("ada:secret@reg.io/a@{digest}"),
            format!("…@reg.io/a@{digest}"),
        ),
        (format!("secret@{digest}@reg.io"), "…@reg.io".to_owned()),
        (
            "secret@sha256:short".to_owned(),
            "…@sha256:short".to_owned(),
        ),
    ] {
        assert_eq!(without_credentials(&value), shown);
        assert_eq!(without_url_secrets(&value), value);
    }
    for (path, shown) in [
        (
            format!("/v1.45/images/a@{digest}/json"),
            format!("/v1.45/images/a@{digest}/json"),
        ),
        (
            "/v1.45/containers/web/json".to_owned(),
            "/v1.45/containers/web/json".to_owned(),
        ),
        (
            "/v1.45/images/ada:se/cret@reg.io/a/push".to_owned(),
            "/v1.45/images/…@reg.io/a/push".to_owned(),
        ),
        (
            "/images/https://ada:secret%40reg.io/a/json".to_owned(),
            "/images/…%40reg.io/a/json".to_owned(),
        ),
        (
            format!("/images/ada:secret@reg.io/a@{digest}/json"),
            format!("/images/…@reg.io/a@{digest}/json"),
        ),
        ("/secret@x".to_owned(), "/…@x".to_owned()),
        ("secret@x".to_owned(), "…@x".to_owned()),
    ] {
        assert_eq!(public_path(&path), shown);
    }
}

#[test]
fn a_message_loses_the_credentials_and_queries_of_every_url_in_it_and_nothing_else() {
    for (message, shown) in [
        (
            "cannot reach https://ada:secret@host/x: refused",
            "cannot reach https://…@host/x: refused",
        ),
        (
            "\"https://host/x?token=secret\": expected git://u:secret@h/r.git#main",
            "\"https://host/x?…\": expected git://…@h/r.git#main",
        ),
        ("https://secret@host", "https://…@host"),
        (
            "ssh://ada:secret@host ssh://git@host/x",
            "ssh://…@host ssh://git@host/x",
        ),
        (
            "client bob@example.com, tcp://host:2376",
            "client bob@example.com, tcp://host:2376",
        ),
        ("what? [\"a?b\"]", "what? [\"a?b\"]"),
    ] {
        assert_eq!(redacted(message), shown);
    }
}

#[test]
fn long_values_are_cut_and_line_feeds_escaped() {
    assert_eq!(quoted("a\n\"b"), "\"a\\n\\\"b\"");
    assert_eq!(quoted(&"é ".repeat(100)).chars().count(), LONGEST + 3);
}

#[test]
fn shell_words_are_pasted_as_they_are() {
    for (word, written) in [
        ("plain-1.pem", "plain-1.pem"),
        ("", "''"),
        ("a b", "'a b'"),
        ("it's", r"'it'\''s'"),
        ("$(id)", "'$(id)'"),
        ("*[a]", "'*[a]'"),
        ("a\nb'", r"$'a\012b\''"),
    ] {
        assert_eq!(shell_word(word), written);
        let pasted = std::process::Command::new("bash")
            .args(["-c", &format!("printf %s {written}")])
            .output();
        let out = match pasted {
            Ok(out) => out,
            Err(error) => {
                let required = std::env::var_os("DOCKGATE_REQUIRE_ENGINE").is_some();
                assert!(!required, "bash does not run: {error}");
                let line = b"NOT RUN: bash is not there, so its judgement is missing here\n";
                let _ = std::io::Write::write_all(&mut std::io::stderr(), line);
                return;
            }
        };
        assert_eq!(String::from_utf8_lossy(&out.stdout), word);
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic_and_no_line_has_two(text in "\\PC{0,200}|[-A-Za-z0-9+/=\\n\\\\\"' ]{0,200}", begin in 0..3_usize) {
        let text = ["", BEGIN, "-----BEGIN PRIVATE KEY-----\n"][begin].to_owned() + &text;
        for out in [quoted(&text), line(&text).into_owned(), shell_word(&text).into_owned()] {
            proptest::prop_assert!(!out.chars().any(is_unsafe));
        }
        let _ = (redacted(&text), without_pem(&text), public_path(&text));
    }
}
