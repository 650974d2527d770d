use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// As in a container of Docker's with a volume, a bind of one file and a tmpfs.
fn mountinfo() -> String {
    format!(
        "611 510 0:52 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/l,upperdir=/var/lib/docker/overlay2/u/diff,workdir=/w\n\
             612 611 0:55 / /proc rw - proc proc rw\n\
             620 611 0:60 / /run/dockgate rw - tmpfs tmpfs rw,size=64k\n\
             621 611 8:1 /var/lib/docker/volumes/dockgate_certs/_data /certs rw - ext4 /dev/sda1 rw\n\
             622 611 8:1 /srv/a\\040b/policy.toml /etc/dockgate/policy.toml ro - ext4 /dev/sda1 rw\n\
             623 611 8:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n\
             624 611 8:1 /var/lib/docker/containers/{ID}/hosts /etc/hosts rw - ext4 /dev/sda1 rw\n\
             625 611 0:25 /docker.sock /run/docker.sock ro - tmpfs tmpfs rw\n"
    )
}

fn inspected(upper: Option<&str>, destinations: &[&str]) -> Inspected {
    let data = upper.map(|upper| {
        let dirs = serde_json::json!({ "UpperDir": upper });
        dirs.as_object().cloned().expect("an object")
    });
    let mount = |destination: &&str| InspectedMount {
        destination: (*destination).to_owned(),
        ..InspectedMount::default()
    };
    Inspected {
        id: ID.into(),
        mounts: Some(destinations.iter().map(mount).collect()),
        graph_driver: Some(Driver { data }),
        ..Inspected::default()
    }
}

#[test]
fn a_container_is_recognised_by_its_network_files_and_a_host_is_none() {
    let container = Surroundings::read(&mountinfo(), false);
    assert!(container.in_container());
    assert_eq!(container.candidate().as_deref(), Some(ID));
    // A virtual machine made from an image has the mark and none of the mounts.
    let host = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n";
    assert!(!Surroundings::read(host, true).in_container());
    assert!(!Surroundings::read("", false).in_container());
    assert!(!Surroundings::read("nonsense - \n\n - - -", false).in_container());
}

#[test]
fn another_containers_network_files_are_told_from_ones_own() {
    let own = Surroundings::read(&mountinfo(), false);
    assert!(own.fits(&inspected(Some("/var/lib/docker/overlay2/u/diff"), &[])));
    assert!(!own.fits(&inspected(Some("/var/lib/docker/overlay2/v/diff"), &[])));
    let mounts = ["/certs", "/etc/dockgate/policy.toml"];
    assert!(own.fits(&inspected(None, &mounts)));
    assert!(!own.fits(&inspected(None, &mounts[..1])));
    assert!(!own.fits(&inspected(None, &["/certs", "/elsewhere"])));
}

#[test]
fn the_kernels_mounts_lead_to_the_hosts_paths() {
    let mounts = Surroundings::read(&mountinfo(), false).mounts();
    let host = |path: &str| mounts.on_host(Path::new(path));
    let volume = "/var/lib/docker/volumes/dockgate_certs/_data";
    assert_eq!(host("/certs"), Some(volume.into()));
    assert_eq!(
        host("/certs/clients/a"),
        Some(Path::new(volume).join("clients/a"))
    );
    assert_eq!(
        host("/etc/dockgate/policy.toml"),
        Some("/srv/a b/policy.toml".into())
    );
    assert_eq!(host("/elsewhere"), None);
}
