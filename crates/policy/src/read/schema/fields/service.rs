//! The fields of swarm services.

use super::{DRIVER, HEALTHCHECK, MOUNT, ULIMIT};
use crate::read::schema::SchemaField;
use crate::read::schema::Type::{Bool, Command, Free, List, Number, Object, Objects, Text, Texts};

const SERVICE_RESOURCES: &[SchemaField] = &[
    ("NanoCPUs", Number),
    ("MemoryBytes", Number),
    ("Pids", Number),
    ("GenericResources", List),
];

const SERVICE_NETWORK: &[SchemaField] =
    &[("Target", Text), ("Aliases", Texts), ("DriverOpts", Free)];

const CONTAINER_SPEC: &[SchemaField] = &[
    ("Image", Text),
    ("Labels", Free),
    ("Command", Command),
    ("Args", Command),
    ("Hostname", Text),
    ("Env", Texts),
    ("Dir", Text),
    ("User", Text),
    ("Groups", Texts),
    (
        "Privileges",
        Object(&[
            ("CredentialSpec", Free),
            ("SELinuxContext", Free),
            ("Seccomp", Object(&[("Mode", Text), ("Profile", Text)])),
            ("AppArmor", Object(&[("Mode", Text)])),
            ("NoNewPrivileges", Bool),
        ]),
    ),
    ("Init", Bool),
    ("StopSignal", Text),
    ("TTY", Bool),
    ("OpenStdin", Bool),
    ("ReadOnly", Bool),
    ("Mounts", Objects(MOUNT)),
    ("StopGracePeriod", Number),
    ("Healthcheck", Object(HEALTHCHECK)),
    ("Hosts", Texts),
    (
        "DNSConfig",
        Object(&[
            ("Nameservers", Texts),
            ("Search", Texts),
            ("Options", Texts),
        ]),
    ),
    ("Secrets", List),
    ("Configs", List),
    ("Isolation", Text),
    ("Sysctls", Free),
    ("CapabilityAdd", Texts),
    ("CapabilityDrop", Texts),
    ("Ulimits", Objects(ULIMIT)),
    ("OomScoreAdj", Number),
];

const UPDATE_CONFIG: &[SchemaField] = &[
    ("Parallelism", Number),
    ("Delay", Number),
    ("FailureAction", Text),
    ("Monitor", Number),
    ("MaxFailureRatio", Number),
    ("Order", Text),
];

/// The body of `service.create` and `service.update`.
pub(crate) const SERVICE: &[SchemaField] = &[
    ("Name", Text),
    ("Labels", Free),
    (
        "TaskTemplate",
        Object(&[
            ("ContainerSpec", Object(CONTAINER_SPEC)),
            ("PluginSpec", Free),
            ("NetworkAttachmentSpec", Free),
            (
                "Resources",
                Object(&[
                    ("Limits", Object(SERVICE_RESOURCES)),
                    ("Reservations", Object(SERVICE_RESOURCES)),
                    ("SwapBytes", Number),
                    ("MemorySwappiness", Number),
                ]),
            ),
            (
                "RestartPolicy",
                Object(&[
                    ("Condition", Text),
                    ("Delay", Number),
                    ("MaxAttempts", Number),
                    ("Window", Number),
                ]),
            ),
            (
                "Placement",
                Object(&[
                    ("Constraints", Texts),
                    ("Preferences", List),
                    ("MaxReplicas", Number),
                    ("Platforms", List),
                ]),
            ),
            ("Networks", Objects(SERVICE_NETWORK)),
            ("LogDriver", Object(DRIVER)),
            ("ForceUpdate", Number),
            ("Runtime", Text),
        ]),
    ),
    (
        "Mode",
        Object(&[
            ("Replicated", Object(&[("Replicas", Number)])),
            ("Global", Free),
            (
                "ReplicatedJob",
                Object(&[("MaxConcurrent", Number), ("TotalCompletions", Number)]),
            ),
            ("GlobalJob", Free),
        ]),
    ),
    ("UpdateConfig", Object(UPDATE_CONFIG)),
    ("RollbackConfig", Object(UPDATE_CONFIG)),
    ("Networks", Objects(SERVICE_NETWORK)),
    (
        "EndpointSpec",
        Object(&[
            ("Mode", Text),
            (
                "Ports",
                Objects(&[
                    ("Name", Text),
                    ("Protocol", Text),
                    ("TargetPort", Number),
                    ("PublishedPort", Number),
                    ("PublishMode", Text),
                ]),
            ),
        ]),
    ),
];
