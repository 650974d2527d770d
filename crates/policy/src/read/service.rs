//! Swarm services.

use docker_api::json::Value;

use super::evaluated::{TemplateFields, Templates};
use super::resources::Resources;
use super::{container, image, kept, logs, network, ports, volume};
use crate::findings::{Findings, Unresolved};
use crate::limits::{LimitKey, OF_THE_IMAGE};

/// The body of `service.create` and `service.update`.
pub(super) fn create(body: &Value<'_>, out: &mut Findings<'_>) {
    container::name(body.text_at("Name").unwrap_or_default(), "Name", out);
    if let Some(spec) = body.get("EndpointSpec") {
        ports::of_service(spec, "EndpointSpec", out);
    }
    kept::together(body, &["Labels"], "", out);
    let task = body.get("TaskTemplate");
    if let Some(task) = task {
        for field in ["PluginSpec", "NetworkAttachmentSpec"] {
            if task.get(field).is_some() {
                out.never("services", format!("TaskTemplate.{field}"), "");
            }
        }
        if let Some(runtime) = task
            .text_at("Runtime")
            .filter(|runtime| *runtime != "container")
        {
            out.never("services", "TaskTemplate.Runtime", runtime);
        }
        if let Some(log) = task.get("LogDriver") {
            logs::driver(log, "Name", "Options", "TaskTemplate.LogDriver", out);
        }
        let generic = task
            .get("Resources")
            .and_then(|resources| resources.get("Reservations"))
            .and_then(|reservations| reservations.get("GenericResources"));
        if generic.is_some_and(|list| !list.items().is_empty()) {
            out.never(
                "devices",
                "TaskTemplate.Resources.Reservations.GenericResources",
                "",
            );
        }
        networks(task, "TaskTemplate.Networks", out);
    }
    Resources::of_task(task.unwrap_or(&Value::Null)).ask("TaskTemplate.", out);
    networks(body, "Networks", out);
    let joins = |owner: &Value<'_>| owner.items_at("Networks").next().is_some();
    if !joins(body) && !task.is_some_and(joins) {
        network::name(network::DEFAULT, "TaskTemplate.Networks".into(), out);
    }
    match task.and_then(|task| task.get("ContainerSpec")) {
        Some(spec) => container_spec(spec, "TaskTemplate.ContainerSpec", out),
        None => out.never("services", "TaskTemplate.ContainerSpec", "missing"),
    }
}

fn networks(owner: &Value<'_>, at: &str, out: &mut Findings<'_>) {
    for (index, joined) in owner.items_at("Networks") {
        let field = format!("{at}[{index}].Target");
        match joined.text_at("Target") {
            Some("host") => network::name("host", field, out),
            // The CLI sends ids, and the host network of a swarm has one of its own.
            Some(name) => out.look_up(Unresolved::Network {
                name: name.to_owned(),
                field,
            }),
            None => {}
        }
        network::no_options(joined, "DriverOpts", &format!("{at}[{index}]."), out);
    }
}

fn container_spec(spec: &Value<'_>, at: &str, out: &mut Findings<'_>) {
    let fields = ["Env", "Command", "Args", "Labels"];
    kept::together(spec, &fields, &format!("{at}."), out);
    templates(spec, at, out);
    // Managers ask the registry for the image's digest, and nodes pull it.
    let image = spec.text_at("Image").unwrap_or_default();
    image::source(image, &format!("{at}.Image"), out);
    if let Some(mounts) = spec.get("Mounts") {
        volume::mounts(mounts, &format!("{at}.Mounts"), out);
    }
    let grace = spec.get("StopGracePeriod");
    container::stop_wait(grace, 1_000_000_000, &format!("{at}.StopGracePeriod"), out);
    let user = spec.text_at("User").unwrap_or(OF_THE_IMAGE);
    container::user(user, format!("{at}.User"), out);
    for (index, name) in spec.texts_at("CapabilityAdd") {
        container::capability(name, format!("{at}.CapabilityAdd[{index}]"), out);
    }
    for (index, group) in spec.texts_at("Groups") {
        out.ask(format!("{at}.Groups[{index}]"), group, LimitKey::Groups);
    }
    for (key, _) in spec.members_at("Sysctls") {
        out.ask(format!("{at}.Sysctls"), key.as_ref(), LimitKey::Sysctls);
    }
    for field in ["Secrets", "Configs"] {
        if spec.items_at(field).next().is_some() {
            let why = "any of the cluster's could be named";
            out.never("services", format!("{at}.{field}"), why);
        }
    }
    container::isolation(spec, &format!("{at}."), out);
    if let Some(asked) = spec.get("Privileges") {
        privileges(asked, &format!("{at}.Privileges"), out);
    }
}

/// What swarm's templates may refer to.
const TASK: TemplateFields = TemplateFields {
    short: &[
        ".Service.ID",
        ".Service.Name",
        ".Node.ID",
        ".Node.Hostname",
        ".Node.Platform",
        ".Node.Platform.Architecture",
        ".Node.Platform.OS",
        ".Task.ID",
        ".Task.Name",
        ".Task.Slot",
    ],
    long: &[".Service.Labels"],
    maps: &[".Service.Labels"],
    expected: "a template; expected text with {{.Service.Name}}, {{.Node.Hostname}}, {{.Task.Slot}} and the like in it, and no function",
};

/// Managers and nodes expand templates in these fields; those of mounts that name something of the host may have none.
fn templates(spec: &Value<'_>, at: &str, out: &mut Findings<'_>) {
    let mut templates = Templates::of(&TASK);
    let mut judge = |text: &str, field: &str| {
        if !templates.admit(text) {
            out.never("services", format!("{at}.{field}"), templates.expected());
        }
    };
    judge(spec.text_at("Hostname").unwrap_or_default(), "Hostname");
    for (index, variable) in spec.texts_at("Env") {
        judge(variable, &format!("Env[{index}]"));
    }
    for (index, mount) in spec.items_at("Mounts") {
        let target = mount.text_at("Target").unwrap_or_default();
        judge(target, &format!("Mounts[{index}].Target"));
        let options = mount.get("VolumeOptions");
        let labels = options.map(|options| options.members_at("Labels"));
        for (key, label) in labels.unwrap_or_default() {
            let label = label.text().unwrap_or_default();
            judge(
                label,
                &format!("Mounts[{index}].VolumeOptions.Labels.{key}"),
            );
        }
    }
}

fn privileges(asked: &Value<'_>, at: &str, out: &mut Findings<'_>) {
    for field in ["CredentialSpec", "SELinuxContext"] {
        if asked.get(field).is_some_and(|value| !value.is_empty()) {
            out.never("security_opts", format!("{at}.{field}"), "");
        }
    }
    for name in ["Seccomp", "AppArmor"] {
        let mode = asked.get(name).and_then(|profile| profile.text_at("Mode"));
        if let Some(mode) = mode.filter(|mode| *mode != "default") {
            let option = format!("{}={mode}", name.to_lowercase());
            container::security_opt(&option, format!("{at}.{name}.Mode"), out);
        }
    }
    let seccomp = asked.get("Seccomp");
    if let Some(profile) = seccomp.and_then(|seccomp| seccomp.text_at("Profile")) {
        out.never("security_opts", format!("{at}.Seccomp.Profile"), profile);
    }
    if asked.is_true("NoNewPrivileges") {
        let field = format!("{at}.NoNewPrivileges");
        container::security_opt("no-new-privileges", field, out);
    }
}
