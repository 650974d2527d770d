//! Devices, and the cgroup limits that come with them.

use super::{Findings, items, text, texts};
use crate::policy::demand::Want;
use crate::policy::hostpath::clean;
use crate::policy::json::Value;

/// The demands of the cgroup limits and devices, which `container.update` sends without the rest.
pub(in crate::policy) fn resources(host: &Value<'_>, at: &str, out: &mut Findings) {
    for (index, device) in items(host, "Devices") {
        let source = text(device, "PathOnHost").unwrap_or_default();
        out.want(
            format!("{at}Devices[{index}].PathOnHost"),
            clean(source),
            Want::Device,
        );
    }
    for (index, rule) in texts(host, "DeviceCgroupRules") {
        out.never("devices", format!("{at}DeviceCgroupRules[{index}]"), rule);
    }
    for (index, request) in items(host, "DeviceRequests") {
        device_request(request, &format!("{at}DeviceRequests[{index}]"), out);
    }
    for name in [
        "BlkioWeightDevice",
        "BlkioDeviceReadBps",
        "BlkioDeviceWriteBps",
        "BlkioDeviceReadIOps",
        "BlkioDeviceWriteIOps",
    ] {
        for (index, device) in items(host, name) {
            let source = text(device, "Path").unwrap_or_default();
            out.want(
                format!("{at}{name}[{index}].Path"),
                clean(source),
                Want::Device,
            );
        }
    }
    if let Some(parent) = text(host, "CgroupParent") {
        out.never("cgroup-parent", format!("{at}CgroupParent"), parent);
    }
}

fn device_request(request: &Value<'_>, at: &str, out: &mut Findings) {
    let driver = text(request, "Driver");
    if let Some(driver) = driver {
        out.want(format!("{at}.Driver"), driver, Want::DeviceRequest);
    }
    if driver == Some("cdi") {
        for (index, id) in texts(request, "DeviceIDs") {
            out.want(format!("{at}.DeviceIDs[{index}]"), id, Want::DeviceRequest);
        }
    }
    let mut any = driver.is_some();
    for (index, set) in items(request, "Capabilities") {
        for capability in set.items() {
            any = true;
            let name = capability.text().unwrap_or("not a string");
            out.want(
                format!("{at}.Capabilities[{index}]"),
                name,
                Want::DeviceRequest,
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
