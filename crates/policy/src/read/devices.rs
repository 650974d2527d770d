//! Devices, and the cgroup limits that come with them.

use crate::findings::Findings;
use crate::hostpath::clean;
use crate::limits::LimitKey;
use docker_api::json::Value;

/// The powers of the cgroup limits and devices, which `container.update` sends without the rest.
pub(crate) fn resources(host: &Value<'_>, at: &str, out: &mut Findings<'_>) {
    for (index, device) in host.items_at("Devices") {
        self::device(device, "PathOnHost", &format!("{at}Devices[{index}]"), out);
    }
    for (index, rule) in host.texts_at("DeviceCgroupRules") {
        out.never("devices", format!("{at}DeviceCgroupRules[{index}]"), rule);
    }
    for (index, request) in host.items_at("DeviceRequests") {
        device_request(request, &format!("{at}DeviceRequests[{index}]"), out);
    }
    for name in [
        "BlkioWeightDevice",
        "BlkioDeviceReadBps",
        "BlkioDeviceWriteBps",
        "BlkioDeviceReadIOps",
        "BlkioDeviceWriteIOps",
    ] {
        for (index, device) in host.items_at(name) {
            self::device(device, "Path", &format!("{at}{name}[{index}]"), out);
        }
    }
    if let Some(parent) = host.text_at("CgroupParent") {
        out.never("cgroup-parent", format!("{at}CgroupParent"), parent);
    }
}

/// The engine opens the path as it is written, so `..` would go through symbolic links that cleaning does not see.
fn device(device: &Value<'_>, key: &str, at: &str, out: &mut Findings<'_>) {
    let (field, path) = (
        format!("{at}.{key}"),
        device.text_at(key).unwrap_or_default(),
    );
    if clean(path) == path {
        out.ask(field, path, LimitKey::Devices);
    } else {
        out.never("devices", field, path);
    }
}

fn device_request(request: &Value<'_>, at: &str, out: &mut Findings<'_>) {
    let driver = request.text_at("Driver");
    if let Some(driver) = driver {
        out.ask(format!("{at}.Driver"), driver, LimitKey::DeviceRequests);
    }
    if driver == Some("cdi") {
        for (index, id) in request.texts_at("DeviceIDs") {
            out.ask(
                format!("{at}.DeviceIDs[{index}]"),
                id,
                LimitKey::DeviceRequests,
            );
        }
    }
    let mut any = driver.is_some();
    for (index, set) in request.items_at("Capabilities") {
        for capability in set.items() {
            any = true;
            let name = capability.text().unwrap_or("not a string");
            out.ask(
                format!("{at}.Capabilities[{index}]"),
                name,
                LimitKey::DeviceRequests,
            );
        }
    }
    if !any {
        out.never("devices", at, "names neither driver nor capability");
    }
    if let Some((key, _)) = request
        .get("Options")
        .and_then(|options| options.members().first())
    {
        out.never("devices", format!("{at}.Options"), key.as_ref());
    }
}
