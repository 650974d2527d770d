//! Contexts of classic builds: what their Dockerfile fetches, read from the archive while it passes.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use policy::{Denied, Policy, Step};
use proptest::prelude::*;

use crate::support::{Ask, limits, role};

/// An archive of these files.
pub(crate) fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, text) in files {
        add(&mut builder, name, text.as_bytes());
    }
    builder.into_inner().expect("an archive in memory")
}

fn add(builder: &mut tar::Builder<Vec<u8>>, name: &str, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder
        .append_data(&mut header, name, content)
        .expect("an entry");
}

/// A symbolic or hard link.
fn link(builder: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType, name: &str, to: &str) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(0);
    builder.append_link(&mut header, name, to).expect("a link");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

/// What the judge says of a body that comes in pieces of this size, and how many bytes would have gone on.
pub(crate) fn judged(
    policy: &Policy,
    query: &str,
    body: &[u8],
    piece: usize,
) -> (Result<(), Denied>, usize) {
    let target = format!("/v1.45/build{query}");
    let permitted = Ask::new(policy, "POST", &target).allowed();
    let mut judge = permitted.context().expect("a classic build").judge();
    let mut passed = 0;
    for part in body.chunks(piece) {
        if let Err(denied) = judge.push(part) {
            assert_eq!(judge.finish(), Err(denied.clone()), "a refusal is for good");
            return (Err(*denied), passed);
        }
        passed += part.len();
    }
    (judge.finish().map_err(|denied| *denied), passed)
}

/// The rule that refuses a Dockerfile under these limits.
#[track_caller]
fn rule(limit: &str, dockerfile: &str) -> Option<&'static str> {
    rule_with(limit, "", dockerfile)
}

#[track_caller]
fn rule_with(limit: &str, query: &str, dockerfile: &str) -> Option<&'static str> {
    let body = tar(&[("a", "b"), ("Dockerfile", dockerfile), ("z", "y")]);
    let rules = [body.clone(), gzip(&body)].map(|body| {
        let (answer, passed) = judged(&limits(limit), query, &body, 100);
        assert!(answer.is_ok() || passed < body.len(), "{dockerfile}");
        answer.err().map(|denied| denied.rule)
    });
    assert_eq!(rules[0], rules[1], "{dockerfile}");
    rules[0]
}

const LIMITS: &str = "images = [\"docker.io/library/**\", \"registry.example.com/**\"]\nfetch = [\"files.example.com\"]";

#[test]
fn a_dockerfile_gives_no_label_of_the_gates_own() {
    let limit = "tags = [\"t/**\"]\nimages = [\"**\"]";
    let scoped = role(&format!(
        "scope = \"own\"\nbase = \"ci\"\n[role.team.shared]\nnetworks = [\"bridge\"]\n[role.team.limits]\n{limit}"
    ));
    let unscoped = role(&format!("base = \"ci\"\n[role.team.limits]\n{limit}"));
    let refused = |policy: &Policy, text: &str| {
        let body = tar(&[("Dockerfile", text)]);
        let (answer, _) = judged(policy, "", &body, 512);
        answer.err().map(|denied| denied.rule)
    };
    for policy in [&scoped, &unscoped] {
        for line in [
            "LABEL dockgate.owner=x",
            "LABEL a=b dockgate.owner=x",
            "LABEL dockgate.owner x",
            "LABEL \"dockgate.owner\"=x",
            "label 'dock'gate.owner=x",
            "LABEL dock\\gate.owner=x",
            "LABEL dock\\\ngate.owner=x",
            "LABEL DOCKGATE.owner=x",
            "LABEL dockgate.image=x",
            "ARG A=dockgate.owner\nLABEL $A=x",
            "ARG A=gate.owner\nLABEL dock${A}=x",
            "ONBUILD LABEL dockgate.owner=x",
            "# escape=`\nFROM a\nLABEL dock`\ngate.owner=x",
        ] {
            let text = format!("FROM a\n{line}\n");
            let text = match line.starts_with('#') {
                true => line,
                false => &text,
            };
            assert_eq!(refused(policy, text), Some("scope"), "{text}");
        }
        for line in [
            "LABEL a=dockgate.owner b=\"dockgate.owner=x\"",
            "LABEL version=$VERSION org.${A}.b=c",
            "ENV dockgate.owner=x",
            "RUN echo LABEL dockgate.owner=x",
            "# LABEL dockgate.owner=x",
        ] {
            assert_eq!(
                refused(policy, &format!("FROM a\n{line}\n")),
                None,
                "{line}"
            );
        }
    }
}

#[test]
fn a_dockerfile_without_addresses_passes() {
    for text in [
        "FROM busybox\nADD a /a\nCOPY b /b\n",
        "# syntax=docker/dockerfile:1\n# escape=\\\nFROM busybox:1 AS base\nFROM base\nCOPY --from=base /a /b\nCOPY --from=0 /a /b\n",
        "ARG BASE=busybox\nARG TAG\nFROM ${BASE}:${TAG:-latest}\nRUN wget http://127.0.0.1/x\n",
        "from scratch\nadd --chown=1:1 x.tar /\ncopy [\"a b\", \"/c d/\"]\n",
        "FROM busybox\nADD https://files.example.com/v1/x.tgz /\nADD https://files.example.com/$VERSION/x.tgz /\n",
        "FROM registry.example.com/a/b@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n",
        "FROM busybox\nARG JAR_FILE=target/app.jar\nADD ${JAR_FILE} /app.jar\nADD $OTHER /x\nADD ${OTHER:-y} /\n",
        "FROM busybox\nENV URL=http://127.0.0.1/x\nADD app-$URL /\n",
        "FROM --platform=$BUILDPLATFORM busybox AS build\nRUN a && \\\n  # a comment\n\n  add http://x y\nONBUILD ADD a /a\nONBUILD COPY --from=1 /a /a\n",
        "\u{feff}FROM busybox\r\nADD a /a\r\n",
        "FROM busybox\nCOPY [a-z]*.txt /\nRUN tr a b <<< x\n",
        "FROM busybox\nLABEL a=\"ADD http://127.0.0.1/ /\"\nCMD [\"ADD\", \"http://127.0.0.1/\"]\n",
    ] {
        assert_eq!(rule(LIMITS, text), None, "{text}");
    }
}

/// A variable, so many times.
fn uses(variable: &str, count: usize) -> String {
    format!("${variable}").repeat(count)
}

/// Dockerfiles of which each line makes more of the one before, or much of a long one.
fn long_by_variables() -> Vec<String> {
    let doubled = |line: &str, count: usize| {
        let lines = (0..count).map(|n| {
            line.replace("@A", &format!("V{n}"))
                .replace("@B", &format!("V{}", n + 1))
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    vec![
        format!(
            "FROM busybox\nENV V0=0123456789\n{}",
            doubled("ENV @B=$@A$@A", 24)
        ),
        format!(
            "FROM busybox\nENV V0=0123456789\n{}",
            doubled("ENV @B ${@A}${@A}", 24)
        ),
        format!(
            "ARG V0=0123456789\n{}\nFROM busybox",
            doubled("ARG @B=$@A$@A", 24)
        ),
        format!("FROM busybox\n{}", vec!["ENV A=0$A$A"; 30].join("\n")),
        format!(
            "FROM busybox\nENV A={}\nENV B={}",
            "a".repeat(5000),
            uses("A", 4000)
        ),
        format!(
            "FROM busybox\nENV A={}\nLABEL b={}",
            "a".repeat(5000),
            uses("A", 4000)
        ),
        format!(
            "FROM busybox\nENV A={}\nENV B=${{A//a/{}}}",
            "a".repeat(5000),
            "b".repeat(5000)
        ),
        format!("FROM busybox\nONBUILD ENV B={}", uses("A", 4000)),
        format!("FROM busybox\nCOPY {} /\n", uses("OF_THE_IMAGE", 300)),
    ]
}

#[test]
fn variables_that_make_each_other_long_are_refused_and_usual_ones_pass() {
    for text in &long_by_variables() {
        assert_eq!(
            rule(LIMITS, text),
            Some("build"),
            "{}",
            &text[..text.len().min(200)]
        );
    }
    let paths = vec!["ENV PATH=$PATH:/opt/tool/bin"; 40].join("\n");
    let stages = vec!["FROM busybox\nENV PATH=/usr/local/bin:$PATH"; 20].join("\n");
    for text in [
        format!("FROM busybox\n{paths}\nRUN echo {}\n", uses("PATH", 4000)),
        stages,
        format!(
            "FROM busybox\nARG VERSION=1\nENV HOME=/root\n{}",
            vec!["COPY a-$VERSION $HOME/"; 400].join("\n")
        ),
        format!("FROM busybox\nCOPY {} /\n", uses("OF_THE_IMAGE", 50)),
        "FROM busybox\nENV A=1 B=$A C=${A:-x} D=\"a b\"\nENV E a b $A\nLABEL price=\"\\$5\"\n"
            .to_owned(),
    ] {
        assert_eq!(rule(LIMITS, &text), None, "{text}");
    }
    let given = format!("?buildargs=%7B%22A%22%3A%22{}%22%7D", "a".repeat(5000));
    let text = format!("FROM busybox\nARG A\nENV B={}", uses("A", 4000));
    assert_eq!(rule_with(LIMITS, &given, &text), Some("build"));
    assert_eq!(rule(LIMITS, &text), None);
    let policy = role(
        "base = \"ci\"\nallow = [\"image.commit\"]\ntarget_check = false\n[role.team.limits]\ntags = [\"**\"]",
    );
    let commit = |changes: &str| format!("/commit?container=a&changes={changes}");
    let hungry = format!("ENV%20B={}", "%24A".repeat(300));
    Ask::new(&policy, "POST", &commit(&hungry)).denied("build");
    let body = format!(
        r#"{{"Image":"busybox","OnBuild":["ENV B={}"]}}"#,
        uses("A", 300)
    );
    Ask::new(&policy, "POST", "/containers/create")
        .body(&body)
        .denied("build");
    let body = r#"{"Image":"busybox","OnBuild":["ENV PATH=$PATH:/x"]}"#;
    let _ = Ask::new(&policy, "POST", "/containers/create")
        .body(body)
        .allowed();
}

#[test]
fn an_address_is_fetched_only_where_its_host_is_listed() {
    for line in [
        "ADD http://127.0.0.1:18081/x /x",
        "add HTTP://127.0.0.1/x /x",
        "ADD a http://169.254.169.254/latest /x/",
        "ADD \"http://127.0.0.1/x\" /x",
        "ADD 'http'://127.0.0.1/x /x",
        "ADD ht\\tp://127.0.0.1/x /x",
        "ADD [\"http://127.0.0.1/x\", \"/x\"]",
        "ADD [\"\\u0068ttp://127.0.0.1/x\", \"/x\"]",
        "ADD --chown=1 --checksum=sha256:aa http://127.0.0.1/x /x",
        "ADD \\\n  http://127.0.0.1/x \\\n /x",
        "ADD \\\n# comment\n\n  http://127.0.0.1/x /x",
        "ADD ht\\\ntp://127.0.0.1/x /x",
        "ADD\thttp://127.0.0.1/x\t/x",
        "   ADD http://127.0.0.1/x /x",
        "ADD https://files.example.com@127.0.0.1/ /x",
        "ADD https://files.example.com.evil.org/ /x",
        "ADD https://files.example.com:8443/ /x",
        "ADD https://other.example.com/ /x",
        "ADD https://$HOST/x /x",
        "ADD https://files.example.com$X/x /x",
        "ADD ${S}://127.0.0.1/x /x",
        "ADD h$T://127.0.0.1/x /x",
        "ONBUILD ADD http://127.0.0.1/x /x",
        "onbuild add http://127.0.0.1/x /x",
    ] {
        let text = format!("FROM busybox\n{line}\n");
        assert_eq!(rule(LIMITS, &text), Some("fetch"), "{line}");
    }
    for (before, line) in [
        ("ARG U=http://127.0.0.1/x", "ADD $U /x"),
        ("ENV U http://127.0.0.1/x", "ADD ${U} /x"),
        ("ENV A=: B=x\nENV U=http$A//127.0.0.1", "ADD $U /x"),
        ("ARG P=://127.0.0.1/x", "ADD http$P /x"),
        ("ARG A=http B=\\:", "ADD $A$B//127.0.0.1 /x"),
    ] {
        let text = format!("FROM busybox\n{before}\n{line}\n");
        assert_eq!(rule(LIMITS, &text), Some("fetch"), "{line}");
    }
    // The client's own value of an argument, which no line shows.
    let text = "FROM busybox\nARG U\nADD $U /x\n";
    assert_eq!(rule(LIMITS, text), None);
    let given = "?buildargs=%7B%22U%22%3A%22http%3A%2F%2F127.0.0.1%2F%22%7D";
    assert_eq!(rule_with(LIMITS, given, text), Some("fetch"));
}

#[test]
fn images_are_taken_only_where_images_and_fetch_say() {
    for (text, expected) in [
        ("FROM evil/x", Some("images")),
        ("FROM quay.io/x/y", Some("images")),
        ("FROM busybox\nCOPY --from=evil/x /a /a", Some("images")),
        (
            "FROM busybox\nCOPY --chown=1 --from=\"evil/x\" /a /a",
            Some("images"),
        ),
        (
            "FROM busybox\nONBUILD COPY --from=evil/x /a /a",
            Some("images"),
        ),
        ("FROM evil/x AS busybox\nFROM busybox", Some("images")),
        ("FROM busybox AS own\nCOPY --from=own /x /x", None),
        ("FROM evil AS a\nFROM busybox", None),
        ("ARG B=evil/x\nFROM $B", Some("images")),
        ("ARG B=busybox\nARG C=$B:1\nFROM ${C}", None),
        ("ARG B=x\nFROM ${B%x}evil", Some("images")),
        ("ARG B=x\nFROM ${B:+evil}", Some("images")),
        ("FROM busybox\nARG B=evil/x\nFROM ${B:-busybox}", None),
        ("FROM evil\\/x", Some("images")),
        ("FROM 'evil/x'", Some("images")),
        ("FROM sha256:0123456789ab", Some("images")),
        (
            "FROM 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            Some("images"),
        ),
        ("FROM \\\n evil/x", Some("images")),
        ("from busybox\nfrom evil/x as b", Some("images")),
    ] {
        let registry = "images = [\"docker.io/library/**\"]";
        // A stage's own name is an image's until the stage is complete.
        assert_eq!(rule(registry, &format!("{text}\n")), expected, "{text}");
    }
    let given = "?buildargs=%7B%22B%22%3A%22evil%2Fx%22%7D";
    let text = "ARG B=busybox\nFROM $B\n";
    assert_eq!(
        rule_with("images = [\"busybox\"]", given, text),
        Some("images")
    );
    let unset = "?buildargs=%7B%22B%22%3Anull%7D";
    assert_eq!(rule_with("images = [\"busybox\"]", unset, text), None);
    // Every image may be run, and only Docker Hub's be fetched.
    for (text, expected) in [
        ("FROM team/app\n", None),
        ("FROM quay.io/x/y\n", Some("fetch")),
        ("FROM 127.0.0.1:5000/y\n", Some("fetch")),
        (
            "FROM busybox\nCOPY --from=localhost:5000/y /a /a\n",
            Some("fetch"),
        ),
    ] {
        assert_eq!(rule("images = [\"**\"]", text), expected, "{text}");
    }
}

#[test]
fn what_the_builder_might_read_otherwise_is_refused() {
    for text in [
        "FROM busybox\nRUN <<EOF\nADD a b\nEOF\n",
        "FROM busybox\nCOPY <<-'X' /a\nX\n",
        "FROM busybox\nRUN cat << EOF > a\nEOF\n",
        "FROM busybox\nONBUILD RUN 3<<EOF\nEOF\n",
        "FROM busybox\nADD [\"a\", \"b\"] [\"c\"]\n",
        "FROM busybox\nADD [\"a\", 1]\n",
    ] {
        assert_eq!(rule(LIMITS, text), Some("build"), "{text}");
    }
    // Whichever character escapes, the address is found.
    for text in [
        "# escape=`\nFROM busybox\nADD `\nhttp://127.0.0.1/ /\n",
        "# escape = `\nFROM busybox\nRUN a \\\nADD http://127.0.0.1/ /\n",
        "#escape=\\\nFROM busybox\nADD \\\nhttp://127.0.0.1/ /\n",
    ] {
        assert_eq!(rule(LIMITS, text), Some("fetch"), "{text}");
    }
}

#[test]
fn the_dockerfile_is_found_under_every_name_it_may_have() {
    let (good, evil) = ("FROM busybox\n", "FROM busybox\nADD http://127.0.0.1/ /\n");
    for (query, files, expected) in [
        ("", vec![("Dockerfile", evil)], Some("fetch")),
        ("", vec![("./Dockerfile", evil)], Some("fetch")),
        ("", vec![("x/Dockerfile", evil), ("Dockerfile", good)], None),
        ("", vec![("dockerfile", evil)], Some("fetch")),
        (
            "",
            vec![("Dockerfile", good), ("Dockerfile", evil)],
            Some("fetch"),
        ),
        (
            "",
            vec![("Dockerfile", good), ("a//.//Dockerfile", evil)],
            None,
        ),
        (
            "?dockerfile=b/D",
            vec![("Dockerfile", evil), ("b/D", good)],
            None,
        ),
        (
            "?dockerfile=b/D",
            vec![("Dockerfile", good), ("b/D", evil)],
            Some("fetch"),
        ),
        (
            "?dockerfile=.%2Fb%2F..%2FD",
            vec![("D", evil)],
            Some("fetch"),
        ),
        ("?dockerfile=..%2FD", vec![("D", good)], Some("build")),
        ("?dockerfile=.", vec![("D", good)], Some("build")),
        ("", vec![("D", good)], Some("build")),
    ] {
        let (answer, _) = judged(&limits(LIMITS), query, &tar(&files), 512);
        let found = answer.err().map(|denied| denied.rule);
        assert_eq!(found, expected, "{query} {files:?}");
    }
    // Long names of either kind.
    let long = format!("{}/Dockerfile", "d".repeat(120));
    let query = format!("?dockerfile={long}");
    let (answer, _) = judged(&limits(LIMITS), &query, &tar(&[(&long, evil)]), 512);
    assert_eq!(answer.err().map(|denied| denied.rule), Some("fetch"));
    let mut builder = tar::Builder::new(Vec::new());
    let records = [("path", b"Dockerfile".as_slice())];
    builder.append_pax_extensions(records).expect("records");
    add(&mut builder, "harmless", evil.as_bytes());
    let body = builder.into_inner().expect("an archive");
    let (answer, _) = judged(&limits(LIMITS), "", &body, 512);
    assert_eq!(answer.err().map(|denied| denied.rule), Some("fetch"));
}

#[test]
fn a_dockerfile_behind_a_link_is_refused_and_other_links_pass() {
    let good = "FROM busybox\n";
    let build = |query: &str, make: &ContextMaker| {
        let mut builder = tar::Builder::new(Vec::new());
        add(&mut builder, "Dockerfile", good.as_bytes());
        make(&mut builder);
        let body = builder.into_inner().expect("an archive");
        let (answer, _) = judged(&limits(LIMITS), query, &body, 333);
        answer.err().map(|denied| denied.rule)
    };
    let (soft, hard) = (tar::EntryType::Symlink, tar::EntryType::Link);
    assert_eq!(
        build("", &|b| link(b, soft, "Dockerfile", "evil")),
        Some("build")
    );
    assert_eq!(
        build("", &|b| link(b, hard, "Dockerfile", "evil")),
        Some("build")
    );
    assert_eq!(
        build("?dockerfile=s/D", &|b| link(b, soft, "s", "other")),
        Some("build")
    );
    let through = |b: &mut tar::Builder<Vec<u8>>| {
        link(b, soft, "x", ".");
        add(b, "x/Dockerfile", b"FROM evil/x\n");
    };
    assert_eq!(build("", &through), Some("build"));
    let through = |b: &mut tar::Builder<Vec<u8>>| {
        add(b, "s/D", b"FROM busybox\n");
        link(b, soft, "x", ".");
        link(b, soft, "x/s", "other");
    };
    assert_eq!(build("?dockerfile=s/D", &through), Some("build"));
    let others = |b: &mut tar::Builder<Vec<u8>>| {
        link(b, soft, "node_modules/.bin/a", "../a/cli.js");
        link(b, hard, "copy", "a");
        add(b, "node_modules/a/Dockerfile", b"FROM evil/x\n");
    };
    assert_eq!(build("", &others), None);
}

/// What writes entries of a context.
type ContextMaker<'a> = dyn Fn(&mut tar::Builder<Vec<u8>>) + 'a;

/// The rule that refuses a context in which a good Dockerfile comes first.
#[track_caller]
fn rule_of_context(make: &ContextMaker) -> Option<&'static str> {
    let mut builder = tar::Builder::new(Vec::new());
    add(&mut builder, "Dockerfile", b"FROM busybox\n");
    make(&mut builder);
    let body = builder.into_inner().expect("an archive");
    let (answer, _) = judged(&limits(LIMITS), "", &body, 333);
    answer.err().map(|denied| denied.rule)
}

const HIDDEN: &str = "FROM busybox\nADD http://169.254.169.254/ /\n";

#[test]
fn nothing_in_a_context_is_written_through_a_link_and_links_pass() {
    let soft = tar::EntryType::Symlink;
    // `l1/l2` is really `d/l2`, and `d/l2/Dockerfile` the Dockerfile.
    let through = |b: &mut tar::Builder<Vec<u8>>| {
        link(b, soft, "l1", "d");
        link(b, soft, "l1/l2", "..");
        add(b, "d/l2/Dockerfile", HIDDEN.as_bytes());
    };
    assert_eq!(rule_of_context(&through), Some("build"));
    let plain = |b: &mut tar::Builder<Vec<u8>>| {
        link(b, soft, "l1", "d");
        link(b, soft, "d/l2", "..");
        add(b, "d/a", b"a");
    };
    assert_eq!(rule_of_context(&plain), None);
    let file = |b: &mut tar::Builder<Vec<u8>>| {
        link(b, soft, "l1", "d");
        add(b, "l1/a", b"a");
    };
    assert_eq!(rule_of_context(&file), Some("build"));
}

#[test]
fn a_hard_link_to_a_symbolic_link_is_one_and_hard_links_to_files_pass() {
    let (soft, hard) = (tar::EntryType::Symlink, tar::EntryType::Link);
    let behind = |b: &mut tar::Builder<Vec<u8>>| {
        link(b, soft, "s", ".");
        link(b, hard, "h", "./s");
        link(b, hard, "i", "h");
    };
    assert_eq!(rule_of_context(&behind), None);
    for name in ["h/Dockerfile", "i/Dockerfile"] {
        let hidden = |b: &mut tar::Builder<Vec<u8>>| {
            behind(b);
            add(b, name, HIDDEN.as_bytes());
        };
        assert_eq!(rule_of_context(&hidden), Some("build"), "{name}");
    }
    // `s/l` is really `d/l`, whatever it is called.
    let reached = |b: &mut tar::Builder<Vec<u8>>| {
        link(b, soft, "d/l", "..");
        link(b, soft, "s", "d");
        link(b, hard, "h", "s/l");
        add(b, "h/Dockerfile", HIDDEN.as_bytes());
    };
    assert_eq!(rule_of_context(&reached), Some("build"));
    // A long target of either kind is the target.
    let long = "l".repeat(120);
    let gnu = |b: &mut tar::Builder<Vec<u8>>| {
        link(b, soft, &long, ".");
        link(b, hard, "h", &long);
    };
    let pax = |b: &mut tar::Builder<Vec<u8>>| {
        link(b, soft, "s", ".");
        records(b, &[("linkpath", "other"), ("linkpath", "s")]);
        link(b, hard, "h", "file");
    };
    let taken_back = |b: &mut tar::Builder<Vec<u8>>| {
        link(b, soft, "s", ".");
        records(b, &[("linkpath", "file"), ("linkpath", "")]);
        link(b, hard, "h", "s");
    };
    let makes: [&ContextMaker; 3] = [&gnu, &pax, &taken_back];
    for make in makes {
        assert_eq!(rule_of_context(make), None);
        let hidden = |b: &mut tar::Builder<Vec<u8>>| {
            make(b);
            add(b, "h/Dockerfile", HIDDEN.as_bytes());
        };
        assert_eq!(rule_of_context(&hidden), Some("build"));
    }
    let files = |b: &mut tar::Builder<Vec<u8>>| {
        link(b, soft, "s", ".");
        add(b, "d/file", b"a");
        link(b, hard, "copy", "d/file");
        add(b, "e/Dockerfile", b"FROM evil/x\n");
    };
    assert_eq!(rule_of_context(&files), None);
}

/// A PAX header of these records.
fn records(builder: &mut tar::Builder<Vec<u8>>, records: &[(&str, &str)]) {
    let records = records.iter().map(|(key, value)| (*key, value.as_bytes()));
    builder.append_pax_extensions(records).expect("records");
}

/// A header of this kind that only the next entry, or nobody, makes use of.
fn special(builder: &mut tar::Builder<Vec<u8>>, kind: u8, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_path("special").expect("a short name");
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(content.len() as u64);
    header.set_cksum();
    builder.append(&header, content).expect("an entry");
}

#[test]
fn a_long_name_that_is_taken_back_is_none_and_one_that_is_not_counts() {
    let long = format!("{}/Dockerfile", "d".repeat(200));
    // What comes before an entry called Dockerfile, and whether that is its name.
    let before: [(&ContextMaker, bool); 9] = [
        (&|b| records(b, &[("path", "other")]), false),
        (&|b| records(b, &[("path", &long)]), false),
        (&|b| records(b, &[("path", ""), ("path", "other")]), false),
        (&|b| records(b, &[("path", "other"), ("path", "")]), true),
        (
            &|b| {
                records(b, &[("path", "other")]);
                records(b, &[("path", "")]);
            },
            true,
        ),
        (
            &|b| {
                records(b, &[("path", "other")]);
                records(b, &[("mtime", "1")]);
            },
            true,
        ),
        // An empty size is that of the header.
        (&|b| records(b, &[("size", "0"), ("size", "")]), true),
        (&|b| special(b, b'L', b"other\0"), false),
        (&|b| special(b, b'L', b"\0"), true),
    ];
    for (at, (before, named)) in before.iter().enumerate() {
        let found = rule_of_context(&|b| {
            before(b);
            add(b, "Dockerfile", HIDDEN.as_bytes());
        });
        assert_eq!(found, named.then_some("fetch"), "{at}");
    }
}

#[test]
fn a_global_header_comes_before_an_entrys_own_or_is_refused() {
    let global = |b: &mut tar::Builder<Vec<u8>>| special(b, b'g', b"16 comment=abcd\n");
    let own: [&ContextMaker; 5] = [
        &|b| records(b, &[("path", "other")]),
        &|b| records(b, &[("linkpath", "other")]),
        &|b| records(b, &[("size", "2")]),
        &|b| special(b, b'L', b"other\0"),
        &|b| special(b, b'K', b"other\0"),
    ];
    for (at, own) in own.iter().enumerate() {
        let between = |b: &mut tar::Builder<Vec<u8>>| {
            own(b);
            global(b);
            add(b, "Dockerfile", HIDDEN.as_bytes());
        };
        assert_eq!(rule_of_context(&between), Some("build"), "{at}");
        let before = |b: &mut tar::Builder<Vec<u8>>| {
            global(b);
            own(b);
            add(b, "file", b"ab");
        };
        assert_eq!(rule_of_context(&before), None, "{at}");
    }
}

#[expect(clippy::too_many_lines, reason = "scenario")]
#[test]
fn an_archive_that_readers_might_take_otherwise_is_refused() {
    let whole = tar(&[("Dockerfile", "FROM busybox\n")]);
    let rule_of = |body: &[u8]| {
        let (answer, _) = judged(&limits(LIMITS), "", body, 512);
        answer.err().map(|denied| denied.rule)
    };
    assert_eq!(rule_of(&whole), None);
    // What follows the end is read by nobody.
    assert_eq!(rule_of(&[&whole[..], b"anything"].concat()), None);
    // Without the blocks at its end it is still an archive.
    assert_eq!(rule_of(&whole[..1024]), None);
    assert_eq!(rule_of(&whole[..1536]), None);
    for cut in [1, 400, 512, 700, 1100] {
        assert_eq!(
            rule_of(&whole[..cut]),
            (cut != 512).then_some("build").or(Some("build")),
            "{cut}"
        );
    }
    let changed = |at: usize, byte: u8| {
        let mut body = whole.clone();
        body[at] = byte;
        let sum: u32 = (0..512)
            .map(|at| {
                u32::from(if (148..156).contains(&at) {
                    b' '
                } else {
                    body[at]
                })
            })
            .sum();
        body[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        body
    };
    for kind in *b"5SXVD" {
        assert_eq!(
            rule_of(&changed(156, kind)),
            Some("build"),
            "{}",
            char::from(kind)
        );
    }
    let mut sum = whole.clone();
    sum[0] = b'E';
    assert_eq!(rule_of(&sum), Some("build"));
    for records in [("GNU.sparse.name", "Dockerfile"), ("GNU.sparse.major", "1")] {
        let mut builder = tar::Builder::new(Vec::new());
        builder
            .append_pax_extensions([(records.0, records.1.as_bytes())])
            .expect("records");
        add(&mut builder, "Dockerfile", b"FROM busybox\n");
        assert_eq!(
            rule_of(&builder.into_inner().expect("an archive")),
            Some("build")
        );
    }
    for magic in [
        &b"BZh91AY&SY...."[..],
        b"\xfd7zXZ\0\0\0\0\0\0\0",
        b"\x28\xb5\x2f\xfd\0\0\0\0\0\0\0",
        b"\x5a\x2a\x4d\x18\0\0\0\0\0\0\0",
        b"FROM busybox\nADD http://127.0.0.1/ /\n",
    ] {
        assert_eq!(rule_of(magic), Some("build"), "{magic:?}");
    }
    let mut broken = gzip(&whole);
    let at = broken.len() / 2;
    broken[at] ^= 0x55;
    assert_eq!(rule_of(&broken), Some("build"));
}

#[test]
fn a_size_of_any_kind_is_read_as_go_reads_it() {
    // A PAX size counts instead of the header's: what it covers is content, and no header.
    let evil = tar(&[("Dockerfile", "FROM evil/x\n")]);
    let mut builder = tar::Builder::new(Vec::new());
    builder
        .append_pax_extensions([("size", evil.len().to_string().as_bytes())])
        .expect("records");
    add(&mut builder, "file", b"");
    let mut body = builder.into_inner().expect("an archive");
    body.truncate(body.len() - 1024);
    body.extend_from_slice(&evil);
    body.extend_from_slice(&tar(&[("Dockerfile", "FROM busybox\n")]));
    let (answer, _) = judged(&limits(LIMITS), "", &body, 512);
    assert_eq!(answer.err(), None);
}

#[test]
fn a_number_stands_between_blanks_and_nuls_as_go_trims_them() {
    // What the size hides, if it is read as none, is a Dockerfile that nobody judges.
    let with = |size: &[u8; 12], sum: Option<&[u8; 8]>| {
        let mut header = tar::Header::new_gnu();
        header.set_path("file").expect("a short name");
        header.as_old_mut().size = *size;
        header.set_cksum();
        if let Some(sum) = sum {
            header.as_old_mut().cksum = *sum;
        }
        let mut body = tar(&[("Dockerfile", "FROM busybox\n")]);
        body.truncate(body.len() - 1024);
        body.extend_from_slice(header.as_bytes());
        // As content it is no matter, as an entry it is refused.
        body.extend_from_slice(&tar(&[("Dockerfile", HIDDEN)])[..1024]);
        body.extend_from_slice(&[0; 1024]);
        let (answer, _) = judged(&limits(LIMITS), "", &body, 512);
        answer.err().map(|denied| denied.rule)
    };
    for (size, expected) in [
        (b"00000002000\0", None),
        (b"\x000000002000\0", None),
        (b"\0 \x0000002000 ", None),
        (b"       2000 ", None),
        (b"\x80\0\0\0\0\0\0\0\0\0\x04\0", None),
        (b"\0\0\0\0\0\0\0\0\0\0\0\0", Some("fetch")),
        (b"\x0000000000\0 \0", Some("fetch")),
        (b"0\x000000002000", Some("build")),
        (b"\t0000002000\0", Some("build")),
        (b"00000002000\n", Some("build")),
        (b"00000002008\0", Some("build")),
        (
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            Some("build"),
        ),
    ] {
        assert_eq!(with(size, None), expected, "{}", size.escape_ascii());
    }
    // A sum is octal only.
    let sum = b"\x80\0\0\0\0\0\x10\0";
    assert_eq!(with(b"00000002000\0", Some(sum)), Some("build"));
}

#[test]
fn nothing_of_a_refused_context_is_complete_at_the_engine() {
    let policy = limits(LIMITS);
    let body = tar(&[
        ("Dockerfile", "FROM evil/x\n"),
        ("big", &"x".repeat(200_000)),
    ]);
    for body in [body.clone(), gzip(&body)] {
        for piece in [1, 7, 512, 4096, body.len()] {
            let (answer, passed) = judged(&policy, "", &body, piece);
            assert_eq!(answer.expect_err("refused").rule, "images");
            assert!(passed < body.len().min(2048), "{piece}: {passed}");
        }
    }
}

#[test]
fn what_grows_more_than_a_hundredfold_is_refused_early() {
    let policy = limits(LIMITS);
    let mut builder = tar::Builder::new(Vec::new());
    add(&mut builder, "zeros", &vec![0; 200 << 20]);
    add(&mut builder, "Dockerfile", b"FROM busybox\n");
    let body = builder.into_inner().expect("an archive");
    let zipped = gzip(&body);
    let (answer, passed) = judged(&policy, "", &zipped, 16 << 10);
    assert_eq!(answer.expect_err("refused").rule, "build");
    assert!(passed < zipped.len(), "{passed}");
    // The same in full costs nothing but its own bytes, and passes.
    assert!(judged(&policy, "", &body, 1 << 20).0.is_ok());
}

#[test]
fn buildkit_has_no_context_in_the_body_and_reported_builds_pass() {
    let policy = limits("buildkit = true");
    let permitted = Ask::new(&policy, "POST", "/build?version=2&session=x").allowed();
    assert!(permitted.context().is_none());
    let permitted = Ask::new(&policy, "POST", "/build?version=1").allowed();
    assert!(permitted.context().is_some());
    for query in [
        "buildargs=%7B%22A%22%3A1%7D",
        "buildargs=%7B%22A%22%3A%22x%22%2C%22A%22%3A%22y%22%7D",
        "buildargs=x",
        "cachefrom=x",
    ] {
        Ask::new(&policy, "POST", &format!("/build?{query}")).denied("build");
    }
    Ask::new(
        &limits("images = [\"busybox\"]"),
        "POST",
        "/build?cachefrom=%5B%22evil%22%5D",
    )
    .denied("images");
    let _ = Ask::new(&policy, "POST", "/build?cachefrom=null&buildargs=null").allowed();
}

#[test]
fn a_trigger_that_a_commit_leaves_is_an_instruction() {
    let policy = crate::support::role(
        "base = \"ci\"\nallow = [\"image.commit\", \"image.import\"]\ntarget_check = false\n[role.team.limits]\ntags = [\"**\"]",
    );
    for body in [
        r#"{"OnBuild":["ADD http://127.0.0.1/ /"]}"#,
        r#"{"Image":"a","OnBuild":["COPY --from=quay.io/x/y / /"]}"#,
    ] {
        Ask::new(&policy, "POST", "/commit?container=a")
            .body(body)
            .denied("fetch");
    }
    Ask::new(&policy, "POST", "/containers/create")
        .body(r#"{"Image":"a","OnBuild":["RUN a","ADD http://127.0.0.1/ /"]}"#)
        .denied("fetch");
    for target in [
        "/commit?container=a&changes=ONBUILD%20ADD%20http://127.0.0.1/%20/",
        "/images/create?fromSrc=-&repo=a&changes=ENV%20a=b&changes=ONBUILD%20ADD%20http://127.0.0.1/%20/",
    ] {
        Ask::new(&policy, "POST", target).denied("fetch");
    }
    let _ = Ask::new(
        &policy,
        "POST",
        "/commit?container=a&changes=ONBUILD%20ADD%20a%20/a&changes=CMD%20x",
    )
    .allowed();
    let _ = Ask::new(&policy, "POST", "/containers/create")
        .body(r#"{"Image":"a","OnBuild":["RUN a"]}"#)
        .allowed();
    // A step is a decision of its own; this one needs no body.
    assert!(matches!(
        policy.decide(
            policy.client_for(&crate::support::cn("x")),
            &policy::Request {
                classified: &docker_api::classify("POST", "/commit?container=a").expect("plain"),
                content_type: None,
                content_encoding: None,
                headers: policy::EngineHeaders::default(),
                body: policy::BodyLength::Empty,
            }
        ),
        Step::Denied(_)
    ));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    /// The verdict does not depend on how the bytes arrive.
    #[test]
    fn pieces_make_no_difference(piece in 1usize..3000, evil in any::<bool>(), zip in any::<bool>(), pad in 0usize..5000) {
        let text = if evil { "FROM busybox\nADD http://127.0.0.1/ /\n" } else { "FROM busybox\n" };
        let body = tar(&[("a", &"x".repeat(pad)), ("Dockerfile", text)]);
        let body = if zip { gzip(&body) } else { body };
        let (answer, _) = judged(&limits(LIMITS), "", &body, piece);
        prop_assert_eq!(answer.is_err(), evil);
    }

    /// Nothing that is sent makes the judge panic, and what it refuses stays refused.
    #[test]
    fn arbitrary_bytes_are_judged(head in 0usize..3, junk in prop::collection::vec(any::<u8>(), 0..2000), at in 0usize..1500) {
        let mut body = match head {
            0 => tar(&[("Dockerfile", "FROM busybox\n")]),
            1 => gzip(&tar(&[("Dockerfile", "FROM busybox\n")])),
            _ => Vec::new(),
        };
        let at = at.min(body.len());
        body.splice(at..at, junk);
        let _ = judged(&limits(LIMITS), "", &body, 700);
    }

    /// Whatever a Dockerfile holds, an address of the loopback at the start of a source is found where the line is one of its own:
    /// a backslash with nothing but blanks behind it continues the line before.
    #[test]
    fn no_line_before_hides_an_address(lines in prop::collection::vec("(RUN|ENV|ADD|COPY|#| |\\[)[ -~]{0,20}[^\\\\`<\\s]", 0..6)) {
        let lines: Vec<String> = lines.into_iter().filter(|line| !line.contains("<<")).collect();
        let text = format!("FROM busybox\n{}\n\nADD http://127.0.0.1/x /\n", lines.join("\n"));
        let body = tar(&[("Dockerfile", &text)]);
        let (answer, _) = judged(&limits(LIMITS), "", &body, 4096);
        prop_assert!(answer.is_err(), "{}", text);
    }
}

#[test]
fn a_build_is_not_made_from_a_protected_name_since_a_pull_would_write_it() {
    let image = policy::ImagePattern::parse("registry.example.com/ops/dockgate");
    let protected = policy::Protected::default().image(image.expect("a pattern"));
    let policy = limits(LIMITS).protecting(std::sync::Arc::new(protected));
    for (dockerfile, refused) in [
        ("FROM registry.example.com/ops/dockgate\n", true),
        ("FROM registry.example.com/ops/dockgate:2 AS a\n", true),
        ("FROM registry.example.com/ops/other\n", false),
    ] {
        let body = tar(&[("Dockerfile", dockerfile)]);
        let (answer, _) = judged(&policy, "?pull=1", &body, 100);
        let rule = answer.err().map(|denied| denied.rule);
        assert_eq!(rule, refused.then_some("protected"), "{dockerfile}");
    }
}
