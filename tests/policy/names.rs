//! Names that pass for ids: the engine looks for a name where no object has the id, so a name that reads as an id would come to mean
//! what was looked at once that is gone.

use std::sync::Arc;

use policy::{Policy, Protected};

use crate::support::{Ask, limits, role};

/// Ids as the engine makes them.
const WEB: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
const OTHER: &str = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";

/// Names that read as an id or the beginning of one, as a query writes them.
fn refused() -> Vec<String> {
    let digits = |many: usize| WEB[..many].to_owned();
    let mut names: Vec<_> = [12, 13, 32, 63, 64].map(digits).into();
    names.extend([
        WEB[..12].to_uppercase(),
        WEB.to_uppercase(),
        format!("/{WEB}"),
        format!("//{WEB}"),
        "123456789012".into(),
    ]);
    names
}

/// Names beside them that people have.
fn allowed() -> Vec<String> {
    let names = [
        "db",
        "cafe",
        "deadbeef",
        "/deadbeef",
        "20260101",
        "abcdefabcde",
    ];
    let mut names: Vec<_> = names.map(String::from).into();
    names.extend([
        format!("{WEB}0"),
        format!("{}_web", &WEB[..12]),
        format!("runner-{}", &WEB[..32]),
        format!("{}-0", &WEB[..12]),
        "g".repeat(12),
        "9f86d081-884c-7d65-9a2f-eaa0c55ad015".into(),
    ]);
    names
}

fn named(role: &str) -> Policy {
    let text = format!("version = 1\n[[client]]\nmatch = {{ cn = \"ci\" }}\nrole = \"{role}\"\n");
    Policy::parse("test.toml", &text).expect("a policy")
}

/// Runs a create, a rename and a network's create with a name.
fn each(policy: &Policy, name: &str, check: impl Fn(&Ask<'_>)) {
    let query = name.replace('/', "%2F");
    let create = format!("/v1.45/containers/create?name={query}");
    check(&Ask::new(policy, "POST", &create).body(r#"{"Image":"registry.example.com/a"}"#));
    let rename = format!("/containers/web/rename?name={query}");
    check(&Ask::new(policy, "POST", &rename));
    let body = format!(r#"{{"Name":"{name}"}}"#);
    check(&Ask::new(policy, "POST", "/networks/create").body(&body));
}

#[test]
fn a_name_that_may_be_an_id_is_refused_in_every_role_with_limits() {
    let roles = [
        named("deployer"),
        limits(""),
        limits("names = [\"*\"]\nnetworks = [\"*\"]"),
        role("base = \"deployer\"\ntarget_check = false"),
        role("allow = [\"container.create\", \"container.rename\", \"network.create\"]"),
    ];
    for policy in &roles {
        for name in refused() {
            each(policy, &name, |ask| {
                let denied = ask.denied("names");
                let text = denied.to_string();
                assert!(text.contains("cannot be the beginning of an id"), "{text}");
                assert_eq!(denied.grant, "", "no line of a policy lets it pass");
            });
        }
        for name in allowed() {
            each(policy, &name, |ask| _ = ask.allowed());
        }
    }
    let admin = named("admin");
    for name in refused() {
        each(&admin, &name, |ask| _ = ask.allowed());
    }
    let report = role("base = \"deployer\"\nmode = \"report\"");
    each(&report, WEB, |ask| {
        let permit = ask.run().0.expect("report mode lets it pass");
        assert_eq!(permit.would_deny().map(|denied| denied.rule), Some("names"));
    });
}

#[test]
fn the_target_of_a_watchtower_is_renamed_as_it_does() {
    let watchtower = named("watchtower");
    let rename = |name: &str| format!("/containers/{WEB}/rename?name={name}");
    // Watchtower's own, of letters at random.
    let _ = Ask::new(
        &watchtower,
        "POST",
        &rename("XVlBzgbaiCMRAjWwhTHctcuAxhxKQFDa"),
    )
    .allowed();
    Ask::new(&watchtower, "POST", &rename(OTHER)).denied("names");
}

/// A role with these limits, at a gate that has files of its own.
fn guarding(text: &str) -> Policy {
    limits(text).protecting(Arc::new(Protected::default().path("/srv/gate")))
}

/// What inspect says of a container.
fn container(id: &str) -> String {
    format!(
        r#"{{"Id":"{id}","Name":"/x","Config":{{"Image":"busybox"}},"HostConfig":{{}},"Mounts":[]}}"#
    )
}

#[test]
fn an_id_that_another_container_has_as_its_name_is_not_taken_for_it() {
    let policy = guarding("");
    let (same, other) = (container(WEB), container(OTHER));
    let look_up = format!("/containers/{WEB}/json");
    for (method, target) in [
        ("POST", "/containers/NAME/attach?stream=1"),
        ("GET", "/containers/NAME/archive?path=/x"),
        ("PUT", "/containers/NAME/archive?path=/x"),
        ("HEAD", "/containers/NAME/archive?path=/x"),
    ] {
        let by_id = target.replace("NAME", WEB);
        let ask = |found| Ask::new(&policy, method, &by_id).engine(&look_up, found);
        assert_eq!(ask(&same).allowed().target(), Some(&*by_id));
        let denied = ask(&other).denied("target-check");
        assert!(denied.to_string().contains(OTHER), "{denied}");
        // A name may mean any: it goes on by the id of the one that was looked at.
        let by_name = target.replace("NAME", "web");
        let permit = Ask::new(&policy, method, &by_name)
            .engine("/containers/web/json", &other)
            .allowed();
        assert_eq!(permit.target(), Some(&*target.replace("NAME", OTHER)));
    }
    // The container that an exec is in is named by its id alone.
    let exec =
        format!(r#"{{"ID":"e1","ContainerID":"{WEB}","ProcessConfig":{{"privileged":false}}}}"#);
    let start = |found| {
        Ask::new(&policy, "POST", "/exec/e1/start")
            .body(r#"{"Detach":false}"#)
            .engine("/exec/e1/json", &exec)
            .engine(&look_up, found)
    };
    let _ = start(&same).allowed();
    start(&other).denied("target-check");
}

#[test]
fn a_joined_container_and_network_are_those_with_the_id() {
    let policy = guarding("join_containers = true");
    let body = format!(
        r#"{{"Image":"busybox","HostConfig":{{"VolumesFrom":["{WEB}"],"IpcMode":"container:{WEB}"}}}}"#
    );
    let look_up = format!("/containers/{WEB}/json");
    let (same, other) = (container(WEB), container(OTHER));
    let ask = |found| {
        Ask::new(&policy, "POST", "/containers/create")
            .body(&body)
            .engine(&look_up, found)
    };
    let _ = ask(&same).allowed();
    ask(&other).denied("target-check");
    let body = format!(r#"{{"Image":"busybox","HostConfig":{{"NetworkMode":"{WEB}"}}}}"#);
    let look_up = format!("/networks/{WEB}");
    let network = |id: &str| format!(r#"{{"Id":"{id}","Name":"app","Driver":"bridge"}}"#);
    let (same, other) = (network(WEB), network(OTHER));
    let ask = |found| {
        Ask::new(&policy, "POST", "/containers/create")
            .body(&body)
            .engine(&look_up, found)
    };
    let _ = ask(&same).allowed();
    ask(&other).denied("target-check");
}
