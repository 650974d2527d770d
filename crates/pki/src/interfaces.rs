//! Which of this host's addresses clients elsewhere can use: those of interfaces that lead somewhere.
//!
//! An engine makes a bridge for each network and a veth pair for each container, and an address of its own for each bridge.
//! Clients elsewhere do not use those, and a certificate that named them would have to be signed again with each network.
//! `/sys/class/net` and the routing tables decide; an address about which they say nothing counts.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv6Addr},
    path::{Path, PathBuf},
};

/// The flags of IPv6 addresses that come and go by themselves: temporary (RFC 8981), deprecated, tentative, duplicate.
const PASSING: u32 = 0x01 | 0x20 | 0x40 | 0x08;

/// A route by way of a gateway (`RTF_GATEWAY`).
const GATEWAY: u32 = 0x2;

/// Where the kernel tells about interfaces.
struct Kernel {
    sys: PathBuf,
    proc: PathBuf,
}

/// The addresses by which others reach this host, at most `most`; loopback and link-local ones are not among them.
pub(crate) fn addresses(most: usize) -> BTreeSet<IpAddr> {
    let kernel = Kernel {
        sys: "/sys/class/net".into(),
        proc: "/proc/net".into(),
    };
    let all = if_addrs::get_if_addrs().unwrap_or_default();
    let all = all
        .into_iter()
        .map(|found| (found.name.clone(), found.ip()));
    kernel.choose(all).into_iter().take(most).collect()
}

impl Kernel {
    fn choose(&self, all: impl IntoIterator<Item = (String, IpAddr)>) -> BTreeSet<IpAddr> {
        let (routed, passing) = (self.routed(), self.passing());
        all.into_iter()
            .filter(|(name, address)| {
                let local = match address {
                    IpAddr::V4(v4) => v4.is_link_local(),
                    IpAddr::V6(v6) => v6.is_unicast_link_local() || passing.contains(v6),
                };
                let usable = !local && !address.is_unspecified() && !address.is_loopback();
                usable && (routed.contains(name) || self.leads_out(name))
            })
            .map(|(_, address)| address)
            .collect()
    }

    /// Whether an interface without a gateway can lead to others: a device, a tunnel, a VLAN, the inner end of a veth pair, or a
    /// bridge with a device in it. Not a bridge of containers, the outer end of a pair, an overlay or a dummy.
    fn leads_out(&self, name: &str) -> bool {
        let dir = self.sys.join(name);
        if dir.join("device").exists() {
            return true;
        }
        if dir.join("bridge").exists() {
            let ports = fs::read_dir(dir.join("brif"))
                .into_iter()
                .flatten()
                .flatten();
            return ports
                .map(|port| self.sys.join(port.file_name()))
                .any(|port| port.join("device").exists() || port.join("bonding").exists());
        }
        let made_for_containers = [
            "veth",
            "cali",
            "dummy",
            "kube-",
            "nodelocaldns",
            "flannel",
            "cilium",
        ];
        let overlay = fs::read_to_string(dir.join("uevent"))
            .is_ok_and(|uevent| uevent.lines().any(|line| line == "DEVTYPE=vxlan"));
        !overlay
            && !dir.join("brport").exists()
            && !made_for_containers
                .iter()
                .any(|prefix| name.starts_with(prefix))
    }

    /// The interfaces behind which there is a gateway.
    fn routed(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        // Iface Destination Gateway Flags …
        for line in lines(&self.proc.join("route")).iter().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if let [name, _, _, flags, ..] = fields[..]
                && hex(flags) & GATEWAY != 0
            {
                found.insert(name.to_owned());
            }
        }
        // Destination, source, next hop, metric, counters, flags, Iface.
        for line in lines(&self.proc.join("ipv6_route")) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if let [.., flags, name] = fields[..]
                && hex(flags) & GATEWAY != 0
            {
                found.insert(name.to_owned());
            }
        }
        found
    }

    /// The IPv6 addresses that will be gone tomorrow.
    fn passing(&self) -> BTreeSet<Ipv6Addr> {
        // Address, index, prefix, scope, flags, Iface.
        let read = |line: &String| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            match fields[..] {
                [address, _, _, _, flags, ..] if hex(flags) & PASSING != 0 => {
                    u128::from_str_radix(address, 16).ok().map(Ipv6Addr::from)
                }
                _ => None,
            }
        };
        lines(&self.proc.join("if_inet6"))
            .iter()
            .filter_map(read)
            .collect()
    }
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn hex(text: &str) -> u32 {
    u32::from_str_radix(text, 16).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host with a device, a bridge of an engine, a bridge that holds a device, a pair's outer and inner end.
    fn host() -> (tempfile::TempDir, Kernel) {
        let dir = tempfile::tempdir().expect("create a temporary directory");
        let kernel = Kernel {
            sys: dir.path().join("sys"),
            proc: dir.path().join("proc"),
        };
        for path in [
            "sys/eth0/device",
            "sys/docker0/bridge",
            "sys/docker0/brif/veth1",
            "sys/veth1/brport",
            "sys/br0/bridge",
            "sys/br0/brif/eth1",
            "sys/eth1/device",
            "sys/wg0",
            "sys/eth7",
            "sys/veth9",
            "sys/br-up/bridge",
            "sys/flannel.1",
            "proc",
        ] {
            fs::create_dir_all(dir.path().join(path)).expect("create a directory");
        }
        fs::write(
            kernel.sys.join("flannel.1/uevent"),
            "DEVTYPE=vxlan\nINTERFACE=flannel.1\n",
        )
        .expect("write");
        let route = "Iface\tDestination\tGateway \tFlags\tRefCnt\nbr-up\t00000000\t010200C0\t0003\t0\ndocker0\t000011AC\t00000000\t0001\t0\n";
        fs::write(kernel.proc.join("route"), route).expect("write");
        let inet6 = "20010db8000000000000000000000001 02 40 00 80     eth0\n20010db8000000000000000000000002 02 40 00 01     eth0\n";
        fs::write(kernel.proc.join("if_inet6"), inet6).expect("write");
        (dir, kernel)
    }

    #[test]
    fn only_interfaces_that_lead_somewhere_count() {
        let (_dir, kernel) = host();
        let chosen = |name: &str, address: &str| {
            let all = [(name.to_owned(), address.parse().expect("an address"))];
            !kernel.choose(all).is_empty()
        };
        for name in ["eth0", "br0", "wg0", "eth7", "br-up", "not-in-sys"] {
            assert!(chosen(name, "192.0.2.1"), "{name}");
        }
        for name in ["docker0", "veth1", "veth9", "flannel.1", "cali0123"] {
            assert!(!chosen(name, "172.17.0.1"), "{name}");
        }
        for address in [
            "127.0.0.1",
            "::1",
            "fe80::1",
            "169.254.1.1",
            "0.0.0.0",
            "2001:db8::2",
        ] {
            assert!(!chosen("eth0", address), "{address}");
        }
        assert!(chosen("eth0", "2001:db8::1"));
    }
}
