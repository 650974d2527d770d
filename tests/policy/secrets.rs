//! Values that denials quote: what is before an `@` and behind a `?` may be a secret, and is left out.

use policy::{Denied, Policy, Power};

use crate::contexts::{judged, tar};
use crate::support::{Ask, role};

const SECRET: &str = "hunter2";

/// A role that may make every operation, so that the limits are what refuses.
fn every_operation() -> Policy {
    role(
        "base = \"ci\"\nallow = [\"*\"]\n[role.team.limits]\ntags = [\"registry.example.com/team/**\"]",
    )
}

/// What is answered, logged and recorded of a denial.
#[track_caller]
fn is_public(denied: &Denied, asked: &str) {
    let facts: Vec<_> = denied.asked.kept.iter().map(Power::fact).collect();
    let told = format!(
        "{denied} {} {} {} {facts:?}",
        denied.detail, denied.allowed, denied.grant
    );
    assert!(!told.contains(SECRET), "{asked}: {told}");
}

/// Whether it is denied, and then without the secret.
#[track_caller]
fn told_in_public(ask: &Ask<'_>) -> bool {
    let asked = format!(
        "{} {} {}",
        ask.method,
        ask.target,
        String::from_utf8_lossy(ask.body)
    );
    match ask.run().0 {
        Ok(permitted) => {
            let facts: Vec<_> = permitted.asked().kept.iter().map(Power::fact).collect();
            assert!(!format!("{facts:?}").contains(SECRET), "{asked}: {facts:?}");
            false
        }
        Err(denied) => {
            is_public(&denied, &asked);
            true
        }
    }
}

#[test]
fn the_digest_of_an_image_a_host_and_a_path_are_told_as_they_are() {
    let policy = role(
        "base = \"ci\"\nallow = [\"*\"]\n[role.team.limits]\nimages = [\"busybox\"]\ntags = [\"a\"]",
    );
    let digest = format!("sha256:{}", "0a".repeat(32));
    for (method, target, shown) in [
        (
            "POST",
            format!("/images/create?fromImage=reg.example.com/a@{digest}"),
            format!("reg.example.com/a@{digest}"),
        ),
        (
            "GET",
            "/distribution/reg.example.com/a/json".to_owned(),
            "reg.example.com/a".to_owned(),
        ),
    ] {
        let denied = Ask::new(&policy, method, &target)
            .run()
            .0
            .expect_err("a denial");
        assert!(denied.to_string().contains(&shown), "{denied}");
        assert!(!denied.asked.kept.is_empty() && denied.asked.omitted == 0);
    }
    let body = r#"{"Image":"busybox","HostConfig":{"Binds":["/srv/a@b/what?:/x"]}}"#;
    let denied = Ask::new(&policy, "POST", "/containers/create")
        .body(body)
        .denied("binds");
    assert!(denied.to_string().contains("/srv/a@b/what?"), "{denied}");
}

/// Where a request may have a value, which stands for `@V`, in its target.
const TARGETS: &[(&str, &str)] = &[
    ("POST", "/build?remote=@V"),
    ("POST", "/build?t=@V"),
    ("POST", "/build?networkmode=@V"),
    ("POST", "/build?version=@V"),
    ("POST", "/build?cgroupparent=@V"),
    ("POST", "/build?securityopt=@V"),
    ("POST", "/build?cachefrom=%5B%22@V%22%5D"),
    ("POST", "/build?buildargs=@V"),
    ("POST", "/build?buildargs=%5B%22@V%22%5D"),
    ("POST", "/build?@V=1"),
    ("POST", "/images/create?fromSrc=@V&repo=a"),
    ("POST", "/images/create?fromSrc=-&repo=@V"),
    ("POST", "/images/create?fromImage=@V"),
    ("POST", "/images/create?fromImage=@V&tag=a"),
    ("POST", "/images/create?fromImage=a&tag=@V"),
    ("POST", "/images/create?fromImage=a&fromSrc=@V"),
    ("POST", "/images/create?fromImage=a&platform=@V&x=@V"),
    ("POST", "/images/@V/push"),
    ("POST", "/images/@V/push?tag=@V"),
    ("POST", "/images/a/tag?repo=@V&tag=@V"),
    ("POST", "/images/@V/tag?repo=a"),
    ("GET", "/images/get?names=@V"),
    ("GET", "/images/@V/get"),
    ("GET", "/images/search?term=@V"),
    ("GET", "/distribution/@V/json"),
    ("GET", "/plugins/privileges?remote=@V"),
    ("POST", "/plugins/pull?remote=@V&name=@V"),
    ("POST", "/plugins/@V/push"),
    ("POST", "/plugins/create?name=@V"),
    ("POST", "/commit?container=a&repo=@V&tag=@V"),
    ("POST", "/commit?container=a&changes=@V"),
    ("POST", "/commit?container=a&changes=ONBUILD%20ADD%20@V%20/"),
    (
        "POST",
        "/commit?container=a&changes=ONBUILD%20COPY%20--from=@V%20a%20/",
    ),
    ("GET", "/containers/a/top?ps_args=@V"),
    ("POST", "/containers/create?name=@V"),
    ("POST", "/containers/a/rename?name=@V"),
];

/// And in the body of a create.
const BODIES: &[&str] = &[
    r#"{"Image":"@V"}"#,
    r#"{"Image":"a","@V":1}"#,
    r#"{"Image":"a","User":"@V"}"#,
    r#"{"Image":"a","HostConfig":{"NetworkMode":"@V"}}"#,
    r#"{"Image":"a","HostConfig":{"PidMode":"@V"}}"#,
    r#"{"Image":"a","HostConfig":{"Runtime":"@V"}}"#,
    r#"{"Image":"a","HostConfig":{"Binds":["@V:/x"]}}"#,
    r#"{"Image":"a","HostConfig":{"Links":["@V"]}}"#,
    r#"{"Image":"a","HostConfig":{"VolumeDriver":"@V"}}"#,
    r#"{"Image":"a","HostConfig":{"SecurityOpt":["@V"]}}"#,
    r#"{"Image":"a","HostConfig":{"Mounts":[{"Type":"image","Source":"@V","Target":"/x"}]}}"#,
    r#"{"Image":"a","HostConfig":{"Mounts":[{"Type":"bind","Source":"@V","Target":"/x"}]}}"#,
    r#"{"Image":"a","HostConfig":{"Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Name":"@V"}}}]}}"#,
    r#"{"Image":"a","HostConfig":{"Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"nfs","o":"username=hunter2,credentials=hunter2","device":"@V"}}}}]}}"#,
    r#"{"Image":"a","HostConfig":{"LogConfig":{"Type":"splunk","Config":{"splunk-url":"@V"}}}}"#,
    r#"{"Image":"a","HostConfig":{"LogConfig":{"Type":"@V"}}}"#,
    r#"{"Image":"a","OnBuild":["ADD @V /"]}"#,
    r#"{"Image":"a","NetworkingConfig":{"EndpointsConfig":{"@V":{}}}}"#,
    r#"{"Image":"a","Env":"@V"}"#,
    r#"{"Image":"a","Env":{"@V":1}}"#,
];

/// And in a Dockerfile.
const DOCKERFILES: &[&str] = &[
    "FROM @V\n",
    "ARG X=@V\nFROM $X\n",
    "FROM ${X:-{value}}\n",
    "FROM scratch\nADD @V /\n",
    "FROM scratch\nCOPY --from=@V a /\n",
    "FROM scratch\nONBUILD ADD @V /\n",
];

/// A secret before an `@` or behind a `?`, with and without a scheme.
const WRITTEN: &[&str] = &[
    "https://bob:hunter2@host.example/x",
    "https://hunter2@host.example/x",
    "bob:hunter2@host.example/x",
    "hunter2@host.example/x",
    "https://bob:hun/ter2@ho@host.example/x?hunter2",
    "https://host.example/x?token=hunter2",
    "host.example/x?token=hunter2",
    "git://bob:hunter2@host.example/x.git#main",
    "git@host.example:x.git?token=hunter2",
    "tcp://bob:hunter2@host.example:5000?hunter2",
];

#[test]
fn nothing_that_a_denial_says_or_keeps_has_credentials_or_a_query() {
    let policy = every_operation();
    let mut told = 0;
    for value in WRITTEN {
        let encoded: String = value.bytes().map(|b| format!("%{b:02X}")).collect();
        for (method, target) in TARGETS {
            let target = target.replace("@V", &encoded);
            if docker_api::classify(method, &target).is_ok() {
                told += usize::from(told_in_public(&Ask::new(&policy, method, &target)));
            }
        }
        for body in BODIES {
            let body = body.replace("@V", value);
            let ask = Ask::new(&policy, "POST", "/containers/create").body(&body);
            told += usize::from(told_in_public(&ask));
        }
        for text in DOCKERFILES {
            let text = text.replace("@V", value);
            let archive = tar(&[("Dockerfile", &text)]);
            if let Err(denied) = judged(&policy, "", &archive, 512).0 {
                is_public(&denied, &text);
                told += 1;
            }
        }
    }
    assert!(told > 400, "only {told} denials were looked at");
}
