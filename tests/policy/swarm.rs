//! Services under the same limits as containers.

use policy::{Denied, Permitted, Policy};

use crate::support::{Ask, role};

fn policy(limits: &str) -> Policy {
    role(&format!(
        "base = \"deployer\"\nallow = [\"service.*\"]\n[role.team.limits]\nimages = [\"docker.io/library/**\"]\n{limits}"
    ))
}

fn ask(policy: &Policy, target: &str, spec: &str, task: &str) -> Result<Permitted, Box<Denied>> {
    let body = format!(
        r#"{{"Name":"web","TaskTemplate":{{"ContainerSpec":{{"Image":"busybox"{spec}}}{task}}},"Mode":{{"Replicated":{{"Replicas":1}}}}}}"#
    );
    Ask::new(policy, "POST", target)
        .body(&body)
        .engine("/networks/h0st1d", r#"{"Name":"host","Driver":"host"}"#)
        .engine("/networks/app1d", r#"{"Name":"app","Driver":"overlay"}"#)
        .run()
        .0
}

const BOTH: [&str; 2] = [
    "/v1.51/services/create",
    "/v1.51/services/web/update?version=7",
];

#[test]
fn a_service_has_the_limits_of_a_container_at_create_and_at_update() {
    let policy = policy(r#"binds = ["/srv/a/**"]"#);
    let refused = [
        (
            r#","Mounts":[{"Type":"bind","Source":"/","Target":"/x"}]"#,
            "binds",
        ),
        (
            r#","Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"DriverConfig":{"Options":{"type":"none","o":"bind","device":"/"}}}}]"#,
            "binds",
        ),
        (
            r#","Mounts":[{"Type":"cluster","Source":"v","Target":"/x"}]"#,
            "binds",
        ),
        (
            r#","Mounts":[{"Type":"bind","Source":"/srv/a","Target":"/x","ReadOnly":true,"BindOptions":{"Relabel":"private"}}]"#,
            "unknown_fields",
        ),
        (r#","CapabilityAdd":["CAP_SYS_ADMIN"]"#, "capabilities"),
        (r#","Isolation":"hyperv""#, "isolation"),
        (
            r#","Privileges":{"Seccomp":{"Mode":"unconfined"}}"#,
            "security_opts",
        ),
        (
            r#","Privileges":{"AppArmor":{"Mode":"disabled"}}"#,
            "security_opts",
        ),
        (
            r#","Privileges":{"SELinuxContext":{"Disable":true}}"#,
            "security_opts",
        ),
        (
            r#","Privileges":{"CredentialSpec":{"File":"x"}}"#,
            "security_opts",
        ),
        (r#","Sysctls":{"kernel.msgmax":"1"}"#, "sysctls"),
        (r#","Groups":["docker"]"#, "groups"),
        (
            r#","Secrets":[{"SecretID":"x","SecretName":"db"}]"#,
            "services",
        ),
        (
            r#","Configs":[{"ConfigID":"x","ConfigName":"db"}]"#,
            "services",
        ),
        (r#","NewThing":true"#, "unknown_fields"),
        (r#","capabilityadd":["ALL"]"#, "field-names"),
    ];
    for target in BOTH {
        for (spec, rule) in refused {
            assert_eq!(
                ask(&policy, target, spec, "").expect_err(spec).rule,
                rule,
                "{spec}"
            );
        }
        let spec = r#","Mounts":[{"Type":"bind","Source":"/srv/a/x","Target":"/x"}],"CapabilityAdd":["CHOWN"],"Privileges":{"NoNewPrivileges":true,"Seccomp":{"Mode":"default"}},"Env":["A=1"],"Secrets":[]"#;
        assert!(ask(&policy, target, spec, "").is_ok());
    }
}

#[test]
fn a_services_plugins_networks_and_log_drivers_are_judged() {
    let policy = policy("");
    for target in BOTH {
        for (task, rule) in [
            (r#","PluginSpec":{"Name":"x"}"#, "services"),
            (
                r#","NetworkAttachmentSpec":{"ContainerID":"x"}"#,
                "services",
            ),
            (r#","Runtime":"plugin""#, "services"),
            (r#","Networks":[{"Target":"host"}]"#, "host_namespaces"),
            (r#","Networks":[{"Target":"h0st1d"}]"#, "host_namespaces"),
            (r#","LogDriver":{"Name":"gcplogs"}"#, "log_drivers"),
            (
                r#","Resources":{"Reservations":{"GenericResources":[{"DiscreteResourceSpec":{"Kind":"gpu","Value":1}}]}}"#,
                "devices",
            ),
        ] {
            assert_eq!(
                ask(&policy, target, "", task).expect_err(task).rule,
                rule,
                "{task}"
            );
        }
        let task = r#","Networks":[{"Target":"app1d","Aliases":["web"]}],"LogDriver":{"Name":"json-file"},"Runtime":"container","RestartPolicy":{"Condition":"any"}"#;
        assert!(ask(&policy, target, "", task).is_ok());
    }
    // The old place of the networks.
    let old = r#"{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"busybox"}},"Networks":[{"Target":"host"}]}"#;
    Ask::new(&policy, "POST", "/services/create")
        .body(old)
        .denied("host_namespaces");
}

#[test]
fn templates_of_a_service_refer_to_fields_and_call_nothing() {
    let policy = policy("");
    let many = r"{{.Service.Labels}}".repeat(9);
    let fields = [
        r#","Hostname":"@T""#,
        r#","Env":["A=1","B=@T"]"#,
        r#","Mounts":[{"Type":"volume","Target":"/x/@T"}]"#,
        r#","Mounts":[{"Type":"volume","Target":"/x","VolumeOptions":{"Labels":{"a":"@T"}}}]"#,
    ];
    for target in BOTH {
        for field in fields {
            for template in [
                r#"{{printf \"%1000000s\" \"x\"}}"#,
                r#"{{join \"a\" \"b\"}}"#,
                "{{range $i := .Service.Labels}}x{{end}}",
                "{{.Node.Hostname",
                many.as_str(),
            ] {
                let spec = field.replace("@T", template);
                let denied = ask(&policy, target, &spec, "").expect_err(&spec);
                assert_eq!(denied.rule, "services", "{spec}");
            }
            for template in [
                "web",
                "{{.Node.Hostname}}",
                "{{ .Service.Name }}-{{.Task.Slot}}",
                r#"{{index .Service.Labels \"com.docker.stack.namespace\"}}"#,
            ] {
                let spec = field.replace("@T", template);
                let answer = ask(&policy, target, &spec, "");
                assert!(answer.is_ok(), "{spec}: {answer:?}");
            }
        }
    }
    // A container's are no templates.
    let body = r#"{"Image":"busybox","Env":["A={{printf 1}}"],"Hostname":"{{x}}"}"#;
    let _ = Ask::new(&policy, "POST", "/containers/create")
        .body(body)
        .allowed();
}

#[test]
fn a_service_without_a_container_or_by_rollback_is_refused() {
    let policy = policy("");
    Ask::new(&policy, "POST", "/services/create")
        .body(r#"{"Name":"web","TaskTemplate":{}}"#)
        .denied("services");
    let body = r#"{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"busybox"}}}"#;
    Ask::new(
        &policy,
        "POST",
        "/services/web/update?version=1&rollback=previous",
    )
    .body(body)
    .denied("services");
    let _ = Ask::new(&policy, "POST", "/services/web/update?version=1")
        .body(body)
        .allowed();
    let body = r#"{"Name":"web","TaskTemplate":{"ContainerSpec":{"Image":"evil/x"}}}"#;
    Ask::new(&policy, "POST", "/services/create")
        .body(body)
        .denied("images");
}
