//! Each cause is made on the file system, or from a mountinfo as the kernel writes it.

use std::os::unix::net::{UnixListener, UnixStream};

use super::*;

const MOUNTS: &str = "\
22 1 0:20 / / rw - overlay overlay rw
31 22 0:24 /docker.sock /run/docker.sock rw - tmpfs tmpfs rw
32 22 0:24 /docker.sock//deleted /run/old.sock rw - tmpfs tmpfs rw
33 22 0:24 /my\\040docker.sock//deleted /run/my\\040docker.sock rw - tmpfs tmpfs rw
34 22 0:24 /first.sock//deleted /run/twice.sock rw - tmpfs tmpfs rw
35 22 0:24 /second.sock /run/twice.sock rw - tmpfs tmpfs rw
";

fn connect(path: &Path) -> SocketProblem {
    diagnose(path, &UnixStream::connect(path).unwrap_err())
}

#[test]
fn a_stale_bind_mount_is_told_by_its_deleted_root() {
    let stale = |path: &str| stale_mount(MOUNTS, Path::new(path)).is_some();
    assert!(stale("/run/old.sock") && stale("/run/my docker.sock"));
    assert!(!stale("/run/docker.sock") && !stale("/run/absent.sock"));
    assert!(
        !stale("/run/twice.sock"),
        "the mount on top is the one that is seen"
    );
}

#[test]
fn refusal_on_a_stale_mount_says_how_it_mends_itself() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap().join("docker.sock");
    drop(UnixListener::bind(&path).unwrap());
    let mounts = format!(
        "40 22 0:24 /docker.sock//deleted {} rw - tmpfs tmpfs rw\n",
        path.display()
    );
    let err = UnixStream::connect(&path).unwrap_err();
    let problem = SocketProblem {
        path: path.clone(),
        cause: cause(&path, &err, || mounts.clone()),
    };
    assert_eq!(
        problem.cause,
        Cause::Stale {
            mount: path.clone()
        }
    );
    assert!(
        problem.to_string().contains("--exit-on-stale-socket"),
        "{problem}"
    );
    assert_eq!(
        connect(&path).cause,
        Cause::Refused,
        "and without such a mount the engine is down"
    );
}

#[test]
fn a_hint_about_mounts_is_for_containers_alone() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["none.sock", "no/such/dir.sock"] {
        let problem = connect(&dir.path().join(name));
        let hint = |inside| problem.hint_where(inside).unwrap();
        assert!(hint(true).contains("volumes:"), "{}", hint(true));
        assert!(!hint(false).contains("volumes:"), "{}", hint(false));
        assert!(hint(false).contains("--upstream"), "{}", hint(false));
    }
}

#[test]
fn what_is_missing_or_no_socket_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    assert_eq!(
        connect(&at("none.sock")).cause,
        Cause::Missing {
            nearest: dir.path().to_owned()
        }
    );
    assert_eq!(
        connect(&at("no/such/dir.sock")).cause,
        Cause::Missing {
            nearest: dir.path().to_owned()
        }
    );
    fs::create_dir(at("dir.sock")).unwrap();
    assert_eq!(
        connect(&at("dir.sock")).cause,
        Cause::NotASocket {
            kind: "a directory"
        }
    );
    fs::write(at("file.sock"), "").unwrap();
    assert_eq!(
        connect(&at("file.sock")).cause,
        Cause::NotASocket {
            kind: "a regular file"
        }
    );
    assert_eq!(
        connect(&at("file.sock/below")).cause,
        Cause::Missing {
            nearest: at("file.sock")
        }
    );
}

#[test]
fn a_refused_permission_says_which_group_to_add() {
    let access = Access {
        owner: 0,
        group: 998,
        mode: 0o660,
        user: 65_532,
    };
    assert!(!allows(access, &[65_532]) && allows(access, &[65_532, 998]));
    assert!(
        allows(Access { user: 0, ..access }, &[])
            && !allows(
                Access {
                    owner: 65_532,
                    mode: 0o060,
                    ..access
                },
                &[998]
            )
    );
    let problem = SocketProblem {
        path: "/var/run/docker.sock".into(),
        cause: Cause::Permission(access),
    };
    assert_eq!(
        problem.to_string(),
        "no permission to open the engine's socket /var/run/docker.sock (owner 0, group 998, mode 0660) as user 65532\n\
         hint: let it into the socket's group: `group_add: [\"998\"]` in compose, `--group-add 998` with docker run, `SupplementaryGroups=998` with systemd; on this host, run it as root, or join that group and log in again"
    );
    let owner_only = SocketProblem {
        cause: Cause::Permission(Access {
            mode: 0o600,
            ..access
        }),
        ..problem
    };
    assert!(
        owner_only.hint().unwrap().contains("lets no group in"),
        "{owner_only}"
    );
}
