//! Bodies with two readings are refused; the plain reading beside each passes.

use policy::{BodyLength, EngineHeaders, Request, Step};

use crate::support::{Ask, cn, create_allowed, create_denied, limits, role};

#[test]
fn field_names_must_be_spelt_as_the_engine_spells_them() {
    let policy = limits("privileged = true");
    let ask = |body: &'static str| Ask::new(&policy, "POST", "/containers/create").body(body);
    for body in [
        r#"{"Image":"b","hostconfig":{"Privileged":true}}"#,
        r#"{"Image":"b","HostConfig":{"privileged":true}}"#,
        r#"{"Image":"b","hostconfig":null}"#,
        r#"{"Image":"b","HostConfig":{"Mounts":[{"type":"tmpfs","Target":"/x"}]}}"#,
    ] {
        ask(body).denied("field-names");
    }
    let _ = ask(r#"{"Image":"b","HostConfig":{"Privileged":true}}"#).allowed();
}

#[test]
fn unicode_folding_in_a_field_name_is_refused() {
    let policy = limits("privileged = true");
    for body in [
        "{\"Image\":\"b\",\"Ho\u{17f}tConfig\":{\"Privileged\":true}}",
        r#"{"Image":"b","Ho\u017ftConfig":{"Privileged":true}}"#,
        "{\"Image\":\"b\",\"HostConfig\":{\"Networ\u{212a}Mode\":\"none\"}}",
        r#"{"Image":"b","H\u00f6stConfig":null}"#,
    ] {
        Ask::new(&policy, "POST", "/containers/create")
            .body(body)
            .denied("field-names");
    }
    // Free keys are free.
    let _ = Ask::new(&policy, "POST", "/containers/create")
        .body("{\"Image\":\"b\",\"Labels\":{\"\u{17f}\":\"1\",\"s\":\"2\"}}")
        .allowed();
}

#[test]
fn duplicate_keys_are_refused_wherever_they_stand() {
    let policy = limits("privileged = true");
    for body in [
        r#"{"Image":"b","Image":"c"}"#,
        r#"{"Image":"b","HostConfig":{"Privileged":true},"HostConfig":{"NetworkMode":"none"}}"#,
        r#"{"Image":"b","HostConfig":{"Privileged":true,"Privileged":null}}"#,
        r#"{"Image":"b","HostConfig":{"Mounts":[{"Type":"tmpfs","Target":"/x"}],"Mounts":[{"Target":"/y"}]}}"#,
        r#"{"Image":"b","Labels":{"a":"1","a":"2"}}"#,
        r#"{"Image":"b","HostConfig":{"Privi\u006ceged":true,"Privileged":false}}"#,
    ] {
        Ask::new(&policy, "POST", "/containers/create")
            .body(body)
            .denied("body");
    }
    let _ = Ask::new(&policy, "POST", "/containers/create")
        .body(r#"{"Image":"b","Labels":{"a":"1","A":"2"}}"#)
        .allowed();
}

#[test]
fn two_unknown_spellings_of_one_name_are_refused_even_as_null() {
    let policy = limits(r#"unknown_fields = ["NewThing"]"#);
    let ask = |body: &'static str| Ask::new(&policy, "POST", "/containers/create").body(body);
    ask(r#"{"Image":"b","NewThing":{"a":1},"newthing":null}"#).denied("field-names");
    let _ = ask(r#"{"Image":"b","NewThing":{"a":1}}"#).allowed();
}

#[test]
fn a_wrong_type_is_refused() {
    for host in [
        r#""CapAdd":"ALL""#,
        r#""Privileged":"true""#,
        r#""Privileged":1"#,
        r#""Binds":{"0":"/etc:/x"}"#,
        r#""Binds":[["/etc:/x"]]"#,
        r#""Mounts":{"Type":"bind"}"#,
        r#""Mounts":["/etc"]"#,
        r#""Sysctls":["a"]"#,
    ] {
        create_denied(
            &limits("capabilities = [\"ALL\"]\nprivileged = true"),
            host,
            "field-types",
        );
    }
    create_allowed(
        &limits(r#"capabilities = ["ALL"]"#),
        r#""CapAdd":["ALL"],"Binds":null,"Mounts":[]"#,
    );
    Ask::new(&limits(""), "POST", "/containers/create")
        .body("[]")
        .denied("field-types");
    Ask::new(&limits(""), "POST", "/containers/create")
        .body("null")
        .denied("body");
}

#[test]
fn data_after_the_body_is_refused() {
    let policy = limits("");
    for body in [
        r#"{"Image":"b"}{"HostConfig":{"Privileged":true}}"#,
        r#"{"Image":"b"}]"#,
        "{\"Image\":\"b\"}\u{0}",
        "\u{feff}{\"Image\":\"b\"}",
    ] {
        Ask::new(&policy, "POST", "/containers/create")
            .body(body)
            .denied("body");
    }
    let _ = Ask::new(&policy, "POST", "/containers/create")
        .body("{\"Image\":\"b\"}\r\n\t ")
        .allowed();
}

#[test]
fn a_field_this_version_does_not_know_is_refused_by_name() {
    let policy = limits("");
    let denied = create_denied(&policy, r#""NewThing":{"a":1}"#, "unknown_fields");
    assert!(
        denied.to_string().contains("HostConfig.NewThing"),
        "{denied}"
    );
    create_denied(&policy, r#""NewThing":[]"#, "unknown_fields");
    create_denied(
        &policy,
        r#""Mounts":[{"Type":"tmpfs","Target":"/x","NewOptions":{}}]"#,
        "unknown_fields",
    );
    create_allowed(&policy, r#""NewThing":null"#);
    create_allowed(
        &limits(r#"unknown_fields = ["HostConfig.NewThing"]"#),
        r#""NewThing":{"a":1}"#,
    );
    // HostConfig's fields at the top level, honoured by engines up to 26.
    Ask::new(&policy, "POST", "/containers/create")
        .body(r#"{"Image":"b","Privileged":true}"#)
        .denied("unknown_fields");
}

#[test]
fn the_content_type_does_not_decide_what_a_body_is() {
    let policy = limits("");
    let body = r#"{"Image":"b","HostConfig":{"Privileged":true}}"#;
    for kind in [
        "application/json; charset=utf-16",
        "text/plain",
        "APPLICATION/JSON",
        "",
    ] {
        let ask = Ask {
            content_type: kind,
            ..Ask::new(&policy, "POST", "/containers/create").body(body)
        };
        ask.denied("privileged");
        let plain = Ask {
            content_type: kind,
            ..Ask::new(&policy, "POST", "/containers/create").body(r#"{"Image":"b"}"#)
        };
        let _ = plain.allowed();
    }
}

#[test]
fn an_encoded_body_is_refused_where_it_is_inspected() {
    let policy = limits("");
    let ask = Ask {
        encoding: Some("gzip"),
        ..Ask::new(&policy, "POST", "/containers/create").body(r#"{"Image":"b"}"#)
    };
    ask.denied("body");
    let ask = Ask {
        encoding: Some("identity"),
        ..Ask::new(&policy, "POST", "/containers/create").body(r#"{"Image":"b"}"#)
    };
    let _ = ask.allowed();
}

#[test]
fn an_empty_body_is_no_body_and_a_create_needs_one() {
    let policy = limits("");
    Ask::new(&policy, "POST", "/containers/create").denied("body");
    let _ = Ask::new(&policy, "POST", "/containers/c/start").allowed();
    // The length is what the bytes are, whatever the head said.
    let classified = docker_api::classify("POST", "/containers/create").expect("plain");
    let client = policy.client_for(&cn("ci"));
    let request = Request {
        classified: &classified,
        content_type: None,
        content_encoding: None,
        headers: EngineHeaders::default(),
        body: BodyLength::Unknown,
    };
    let Step::Body(pending) = policy.decide(client, &request) else {
        panic!("a create must show its body")
    };
    let denied = match pending.body(br#"{"Image":"b","HostConfig":{"Privileged":true}}"#) {
        Step::Denied(denied) => denied,
        other => panic!("{other:?}"),
    };
    assert_eq!(denied.rule, "privileged");
}

#[test]
fn a_body_over_the_limit_is_refused_with_413_and_never_passed() {
    let text = "version = 1\nmax_body = \"1KiB\"\n[[client]]\nmatch = { any = true }\nrole = \"deployer\"\n";
    let policy = policy::Policy::parse("t", text).expect("a policy");
    let long = format!(r#"{{"Image":"b","Labels":{{"a":"{}"}}}}"#, "x".repeat(1024));
    assert_eq!(
        Ask::new(&policy, "POST", "/containers/create")
            .body(&long)
            .denied("body")
            .status
            .code(),
        413
    );
    let short = format!(r#"{{"Image":"b","Labels":{{"a":"{}"}}}}"#, "x".repeat(900));
    let _ = Ask::new(&policy, "POST", "/containers/create")
        .body(&short)
        .allowed();
    // Chunked: found out while reading.
    let classified = docker_api::classify("POST", "/containers/create").expect("plain");
    let request = Request {
        classified: &classified,
        content_type: None,
        content_encoding: None,
        headers: EngineHeaders::default(),
        body: BodyLength::Unknown,
    };
    let Step::Body(pending) = policy.decide(policy.client_for(&cn("x")), &request) else {
        panic!("body expected")
    };
    assert_eq!(pending.max_body(), 1024);
    assert!(matches!(pending.too_large(), Step::Denied(denied) if denied.status.code() == 413));
}

#[test]
fn a_body_that_cannot_be_parsed_is_refused() {
    let policy = limits("");
    for body in [
        "{",
        "{\"Image\":\"b\",}",
        "Image=b",
        "{\"Image\":\"\\ud800\"}",
        "{'Image':'b'}",
        "{\"Image\":01}",
    ] {
        Ask::new(&policy, "POST", "/containers/create")
            .body(body)
            .denied("body");
    }
    let broken = Ask {
        body: b"{\"Image\":\"\xff\"}",
        ..Ask::new(&policy, "POST", "/containers/create")
    };
    broken.denied("body");
    let deep = format!(
        "{{\"Image\":\"b\",\"Labels\":{}{}}}",
        "[".repeat(80),
        "]".repeat(80)
    );
    Ask::new(&policy, "POST", "/containers/create")
        .body(&deep)
        .denied("body");
    let _ = Ask::new(&policy, "POST", "/containers/create")
        .body("{\"Image\":\"b\"}")
        .allowed();
}

#[test]
fn a_form_body_would_override_the_query_and_is_refused() {
    let policy = role(
        "base = \"operator\"\nallow = [\"container.rename\", \"image.pull\"]\n[role.team.limits]\nimages = [\"ok/**\"]",
    );
    for kind in [
        "application/x-www-form-urlencoded",
        "Application/X-WWW-Form-Urlencoded; charset=utf-8",
        "multipart/form-data; boundary=x",
    ] {
        let ask = Ask {
            content_type: kind,
            ..Ask::new(&policy, "POST", "/images/create?fromImage=ok/x").body("fromImage=evil/x")
        };
        ask.denied("form-body");
        let ask = Ask {
            content_type: kind,
            ..Ask::new(&policy, "POST", "/containers/c/kill?signal=TERM").body("signal=KILL")
        };
        ask.denied("form-body");
    }
    let _ = Ask::new(&policy, "POST", "/images/create?fromImage=ok/x").allowed();
    let _ = Ask::new(&policy, "POST", "/containers/c/kill?signal=TERM").allowed();
}

#[test]
fn a_container_starts_without_a_checkpoint_and_without_a_body() {
    let policy = limits("");
    Ask::new(
        &policy,
        "POST",
        "/containers/c/start?checkpoint=x&checkpoint-dir=/etc",
    )
    .denied("checkpoints");
    Ask::new(&policy, "POST", "/containers/c/start?checkpoint-dir=/etc").denied("checkpoints");
    Ask::new(&policy, "POST", "/containers/c/start")
        .body(r#"{"Privileged":true}"#)
        .denied("unknown_fields");
    let _ = Ask::new(&policy, "POST", "/containers/c/start")
        .body("{}")
        .allowed();
    let _ = Ask::new(
        &policy,
        "POST",
        "/containers/c/start?checkpoint=&detachKeys=ctrl-p",
    )
    .allowed();
}

#[test]
fn what_the_engine_keeps_of_an_exec_and_a_container_is_bounded() {
    let policy =
        role("base = \"deployer\"\nallow = [\"exec.*\", \"service.*\"]\ntarget_check = false");
    let text = |length: usize| "a".repeat(length);
    let list = |count: usize, length: usize| vec![format!("\"{}\"", text(length)); count].join(",");
    // Linux counts the end of each text and a pointer to it.
    let (fits, exceeds) = (list(16, 65_000), list(17, 65_000));
    let empty = list(120_000, 0);
    for (target, body) in [
        ("/containers/a/exec", r#"{"Cmd":["true"],"Env":[@]}"#),
        ("/containers/a/exec", r#"{"Cmd":[@]}"#),
        ("/containers/create", r#"{"Image":"a","Env":[@]}"#),
        (
            "/containers/create",
            r#"{"Image":"a","Entrypoint":["sh"],"Cmd":[@]}"#,
        ),
        (
            "/services/create",
            r#"{"Name":"a","TaskTemplate":{"ContainerSpec":{"Image":"a","Env":[@]}}}"#,
        ),
    ] {
        for words in [&exceeds, &empty] {
            let body = body.replace('@', words);
            Ask::new(&policy, "POST", target).body(&body).denied("body");
        }
        let body = body.replace('@', &fits);
        let _ = Ask::new(&policy, "POST", target).body(&body).allowed();
    }
    let directory = format!(r#"{{"Cmd":["true"],"WorkingDir":"/{}"}}"#, text(1 << 20));
    Ask::new(&policy, "POST", "/containers/a/exec")
        .body(&directory)
        .denied("body");
    let labels = format!(r#"{{"Image":"a","Labels":{{"a":"{}"}}}}"#, text(1 << 20));
    Ask::new(&policy, "POST", "/containers/create")
        .body(&labels)
        .denied("body");
}

#[test]
fn an_update_changes_limits_and_no_devices() {
    let policy = limits("");
    let target = r#"{"Id":"abc","HostConfig":{"Privileged":false}}"#;
    let ask = |body: &'static str| {
        Ask::new(&policy, "POST", "/containers/c/update")
            .body(body)
            .engine("/containers/c/json", target)
    };
    ask(r#"{"Devices":[{"PathOnHost":"/dev/sda"}]}"#).denied("devices");
    ask(r#"{"CgroupParent":"/x"}"#).denied("cgroup-parent");
    ask(r#"{"Privileged":true}"#).denied("unknown_fields");
    let _ = ask(r#"{"Memory":1048576,"RestartPolicy":{"Name":"always"}}"#).allowed();
}

#[test]
fn a_body_of_the_wrong_type_names_its_place_and_what_was_expected() {
    let policy = limits("");
    for (body, said) in [
        ("[]", "body: an array, expected an object"),
        ("7", "body: a number, expected an object"),
        ("null", "body: null, expected an object"),
        (
            r#"{"Image":"b","Env":"A=1"}"#,
            "Env: a string, expected an array of strings",
        ),
        (
            r#"{"Image":"b","Env":["A=1",7]}"#,
            "Env[1]: a number, expected a string",
        ),
        (
            r#"{"Image":"b","HostConfig":{"Mounts":[{"Type":7}]}}"#,
            "HostConfig.Mounts[0].Type: a number, expected a string",
        ),
    ] {
        let ask = Ask::new(&policy, "POST", "/containers/create").body(body);
        let denied = ask.run().0.expect_err("refused");
        assert_eq!(denied.detail, said, "{body}");
    }
}
