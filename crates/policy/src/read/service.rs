//! Swarm services.

use docker_api::json::Value;

use super::resources::Resources;
use super::{container, image, logs, network, ports, volume};
use crate::findings::{Findings, Unresolved};
use crate::limits::{LimitKey, OF_THE_IMAGE};

/// The body of `service.create` and `service.update`.
pub(super) fn create(body: &Value<'_>, out: &mut Findings<'_>) {
    container::name(body.text_at("Name").unwrap_or_default(), "Name", out);
    if let Some(spec) = body.get("EndpointSpec") {
        ports::of_service(spec, "EndpointSpec", out);
    }
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
