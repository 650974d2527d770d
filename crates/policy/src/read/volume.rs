//! Storage: volumes and host paths, in every spelling of a mount.

use docker_api::json::Value;

use crate::findings::{Findings, Unresolved};
use crate::limits::LimitKey;

/// The body of `volume.create`.
pub(super) fn create(body: &Value<'_>, out: &mut Findings<'_>) {
    if let Some(name) = body.text_at("Name") {
        out.ask("Name", name, LimitKey::Volumes);
    }
    driver(
        body.text_at("Driver").unwrap_or_default(),
        body.get("DriverOpts"),
        "DriverOpts",
        out,
    );
    if body.get("ClusterVolumeSpec").is_some() {
        out.never("volumes", "ClusterVolumeSpec", "");
    }
}

/// A `Binds` string: `source:destination[:options]`, as the engine's Linux parser splits it.
pub(super) fn bind(spec: &str, field: &str, out: &mut Findings<'_>) {
    // A fourth part shows that the text is not a bind.
    let parts: Vec<&str> = spec.splitn(4, ':').collect();
    let (source, options) = match parts[..] {
        // A destination alone: an anonymous volume.
        [_] => return,
        // `source:destination`; `destination:mode` is an anonymous volume, and starts with a slash too, so is read as a path.
        [source, _] => (source, ""),
        [source, _, options] => (source, options),
        _ => return out.never("binds", field, spec),
    };
    let mut mode = BindMode::default();
    // The engine refuses an empty option beside others.
    for option in options.split(',').filter(|_| !options.is_empty()) {
        if let Err(why) = mode.add(option) {
            return out.never("binds", field, format!("{spec} ({why})"));
        }
    }
    if source.starts_with('/') {
        out.host_path(field.to_owned(), spec, source, mode.writes());
    } else {
        named(source, field, out);
    }
}

/// What the options of a bind say together.
#[derive(Default)]
struct BindMode {
    read_only: bool,
    writable: bool,
    relabels: bool,
}

impl BindMode {
    /// Takes one option, if it is one that moby's parser for Linux knows; `U` is Podman's.
    fn add(&mut self, option: &str) -> Result<(), String> {
        match option {
            "ro" => self.read_only = true,
            "rw" => self.writable = true,
            "z" | "Z" | "U" => self.relabels = true,
            "private" | "rprivate" | "slave" | "rslave" | "nocopy" | "consistent" | "cached"
            | "delegated" => {}
            "shared" | "rshared" => return Err("propagation must be private or slave".into()),
            other => return Err(format!("{other:?} is not an option of a bind")),
        }
        Ok(())
    }

    /// Whether the source is written to: with `z` and `Z` the engine itself writes another SELinux label on all that lies there,
    /// with `U` another owner.
    fn writes(&self) -> bool {
        !self.read_only || self.writable || self.relabels
    }
}

/// The mode behind the name in `VolumesFrom`: the mounts keep the options they were made with, and may be made read-only. Which of them
/// could be relabelled is not known here.
pub(super) fn volumes_from(spec: &str, field: &str, out: &mut Findings<'_>) {
    let mode = spec.split_once(':').map_or("", |(_, mode)| mode);
    if !matches!(mode, "" | "ro" | "rw") {
        let why = format!("{spec} (expected :ro or :rw behind the name)");
        out.never("join_containers", field, why);
    }
}

fn named(name: &str, field: &str, out: &mut Findings<'_>) {
    let plain = (2..=255).contains(&name.len())
        && name.as_bytes()[0].is_ascii_alphanumeric()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if !plain {
        return out.never("volumes", field, name);
    }
    out.ask(field, name, LimitKey::Volumes);
    out.look_up(Unresolved::Volume {
        name: name.to_owned(),
        field: field.to_owned(),
    });
}

/// `Mounts[]`, of a container or of a service.
pub(super) fn mounts(mounts: &Value<'_>, at: &str, out: &mut Findings<'_>) {
    for (index, mount) in mounts.items().iter().enumerate() {
        let at = format!("{at}[{index}]");
        match mount.text_at("Type").unwrap_or_default() {
            "bind" => bind_mount(mount, &at, out),
            "volume" => volume_mount(mount, &at, out),
            "tmpfs" => tmpfs_mount(mount, &at, out),
            "image" => out.ask(
                format!("{at}.Source"),
                mount.text_at("Source").unwrap_or_default(),
                LimitKey::Images,
            ),
            kind => out.never("binds", format!("{at}.Type"), kind),
        }
    }
}

fn bind_mount(mount: &Value<'_>, at: &str, out: &mut Findings<'_>) {
    let options = mount.get("BindOptions");
    match options.and_then(|options| options.text_at("Propagation")) {
        None | Some("private" | "rprivate" | "slave" | "rslave") => {}
        Some(mode) => out.never("binds", format!("{at}.BindOptions.Propagation"), mode),
    }
    // Read-only that stops at mount points leaves what is mounted below writable.
    let shallow = options.is_some_and(|options| options.is_true("ReadOnlyNonRecursive"));
    let writable = !mount.is_true("ReadOnly") || shallow;
    let field = format!("{at}.Source");
    match mount.text_at("Source").unwrap_or_default() {
        source if source.starts_with('/') && !source.contains(TEMPLATE) => {
            out.host_path(field, source, source, writable);
        }
        source => out.never("binds", field, source),
    }
}

fn volume_mount(mount: &Value<'_>, at: &str, out: &mut Findings<'_>) {
    if let Some(source) = mount.text_at("Source") {
        named(source, &format!("{at}.Source"), out);
    }
    let options = mount.get("VolumeOptions");
    if let Some(config) = options.and_then(|options| options.get("DriverConfig")) {
        let name = config.text_at("Name").unwrap_or_default();
        let at = format!("{at}.VolumeOptions.DriverConfig");
        driver(name, config.get("Options"), &at, out);
    }
}

/// Each option is a flag, or a key with its value.
fn tmpfs_mount(mount: &Value<'_>, at: &str, out: &mut Findings<'_>) {
    let options = mount.get("TmpfsOptions");
    let options = options.map(|options| options.items_at("Options"));
    for (index, option) in options.into_iter().flatten() {
        let key = option.items().first().and_then(Value::text);
        if !key.is_some_and(tmpfs_option) {
            let field = format!("{at}.TmpfsOptions.Options[{index}]");
            out.never("binds", field, key.unwrap_or("not a text"));
        }
    }
}

/// A volume's driver and options: of a mount, of `volume.create`, or of an existing volume. The local driver hands them
/// to mount(2), so its `device` is a host path like any other.
pub(crate) fn driver(name: &str, options: Option<&Value<'_>>, at: &str, out: &mut Findings<'_>) {
    if !matches!(name, "" | "local") {
        return out.never("volumes", format!("{at}.Name"), name);
    }
    let options = options.map(Value::members).unwrap_or_default();
    let mut seen = [""; 3];
    for (key, value) in options {
        let Some(value) = value.text() else {
            return out.never("binds", format!("{at} {key}"), value.kind());
        };
        if key.contains(TEMPLATE) || value.contains(TEMPLATE) {
            return out.never("binds", format!("{at} {key}"), "a template");
        }
        match key.as_ref() {
            "type" => seen[0] = value,
            "o" => seen[1] = value,
            "device" => seen[2] = value,
            "size" => {}
            // The value may be a secret (cifs has `password`), and the option is refused whatever it says.
            _ => return out.never("binds", format!("{at} {key}"), ""),
        }
    }
    let [kind, flags, device] = seen;
    if kind.is_empty() && flags.is_empty() && device.is_empty() {
        return;
    }
    // The kernel goes by the flags, not by the type: with `bind`, a "tmpfs" is whatever the device is.
    if kind == "tmpfs" && flags.split(',').all(tmpfs_option) && !device.contains('/') {
        return;
    }
    let flag = |name: &str| flags.split(',').any(|flag| flag == name);
    if !matches!(kind, "none" | "bind" | "")
        || !(flag("bind") || flag("rbind"))
        || !flags.split(',').all(bind_option)
    {
        return out.never(
            "binds",
            format!("{at} type={kind},o={},device", without_secrets(flags)),
            device,
        );
    }
    // The kernel walks `..` through symbolic links, where cleaning would not.
    if !device.starts_with('/') || device.split('/').any(|part| part == "..") {
        return out.never("binds", format!("{at} device"), device);
    }
    out.host_path(
        format!("{at} device"),
        device,
        device,
        // What is mounted below comes along with `rbind`, and stays writable.
        !flag("ro") || flag("rw") || flag("rbind"),
    );
}

/// Swarm expands templates in a task's mounts on the node, after everything was judged; elsewhere this is no name anybody has.
const TEMPLATE: &str = "{{";

/// Options that shape a new tmpfs and touch nothing else (tmpfs(5), mount(8)): not `remount`, which makes the host's `/sys` or
/// a read-only bind at the destination writable, nor anything else that mount(2) would do to what lies there already.
fn tmpfs_option(option: &str) -> bool {
    let (key, _) = option.split_once('=').unwrap_or((option, ""));
    common_option(option)
        || matches!(
            key,
            "size" | "mode" | "uid" | "gid" | "nr_inodes" | "nr_blocks"
        )
}

/// Options of a bind that keep it a bind, and private.
fn bind_option(option: &str) -> bool {
    common_option(option)
        || matches!(
            option,
            "bind" | "rbind" | "private" | "rprivate" | "slave" | "rslave"
        )
}

fn common_option(option: &str) -> bool {
    let option = option.strip_prefix("no").unwrap_or(option);
    matches!(
        option,
        "" | "defaults"
            | "ro"
            | "rw"
            | "exec"
            | "suid"
            | "dev"
            | "atime"
            | "diratime"
            | "relatime"
            | "strictatime"
    )
}

/// `Tmpfs`: destinations and their options.
pub(super) fn tmpfs(map: &Value<'_>, at: &str, out: &mut Findings<'_>) {
    for (target, options) in map.members() {
        let refused = match options.text() {
            Some(options) => options.split(',').find(|option| !tmpfs_option(option)),
            None => Some(options.kind()).filter(|_| *options != Value::Null),
        };
        if let Some(refused) = refused {
            out.never("binds", format!("{at}.{target}"), refused);
        }
    }
}

/// Mount options without the values of those that may be secret: all but amounts, addresses and versions.
fn without_secrets(flags: &str) -> String {
    let shown = |flag: &str| match flag.split_once('=') {
        Some((key, _)) if !PUBLIC_OPTIONS.contains(&key) => format!("{key}=***"),
        _ => flag.to_owned(),
    };
    flags.split(',').map(shown).collect::<Vec<_>>().join(",")
}

/// Mount options whose value is no secret.
const PUBLIC_OPTIONS: &[&str] = &[
    "addr",
    "gid",
    "lowerdir",
    "mode",
    "nfsvers",
    "nr_blocks",
    "nr_inodes",
    "port",
    "proto",
    "size",
    "uid",
    "upperdir",
    "vers",
    "workdir",
];
