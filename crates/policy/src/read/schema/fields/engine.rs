//! The fields of what administers the engine: registry logins, checkpoints and swarms.

use super::DRIVER;
use crate::read::schema::SchemaField;
use crate::read::schema::Type::{Bool, Free, List, Number, Object, Objects, Text, Texts};

/// The body of `system.auth`.
pub(crate) const AUTH: &[SchemaField] = &[
    ("username", Text),
    ("password", Text),
    ("auth", Text),
    ("email", Text),
    ("serveraddress", Text),
    ("identitytoken", Text),
    ("registrytoken", Text),
];

/// The body of `checkpoint.create`.
pub(crate) const CHECKPOINT: &[SchemaField] = &[
    ("CheckpointID", Text),
    ("CheckpointDir", Text),
    ("Exit", Bool),
];

const EXTERNAL_CA: &[SchemaField] = &[
    ("Protocol", Text),
    ("URL", Text),
    ("Options", Free),
    ("CACert", Text),
];

/// The body of `swarm.update`, and a part of that of `swarm.init`.
pub(crate) const SWARM_SPEC: &[SchemaField] = &[
    ("Name", Text),
    ("Labels", Free),
    (
        "Orchestration",
        Object(&[("TaskHistoryRetentionLimit", Number)]),
    ),
    (
        "Raft",
        Object(&[
            ("SnapshotInterval", Number),
            ("KeepOldSnapshots", Number),
            ("LogEntriesForSlowFollowers", Number),
            ("ElectionTick", Number),
            ("HeartbeatTick", Number),
        ]),
    ),
    ("Dispatcher", Object(&[("HeartbeatPeriod", Number)])),
    (
        "CAConfig",
        Object(&[
            ("NodeCertExpiry", Number),
            ("ExternalCAs", Objects(EXTERNAL_CA)),
            ("SigningCACert", Text),
            ("SigningCAKey", Text),
            ("ForceRotate", Number),
        ]),
    ),
    ("TaskDefaults", Object(&[("LogDriver", Object(DRIVER))])),
    ("EncryptionConfig", Object(&[("AutoLockManagers", Bool)])),
];

/// The body of `swarm.init`.
pub(crate) const SWARM_INIT: &[SchemaField] = &[
    ("ListenAddr", Text),
    ("AdvertiseAddr", Text),
    ("DataPathAddr", Text),
    ("DataPathPort", Number),
    ("ForceNewCluster", Bool),
    ("Spec", Object(SWARM_SPEC)),
    ("AutoLockManagers", Bool),
    ("Availability", Text),
    ("DefaultAddrPool", List),
    ("SubnetSize", Number),
];

/// The body of `swarm.join`.
pub(crate) const SWARM_JOIN: &[SchemaField] = &[
    ("ListenAddr", Text),
    ("AdvertiseAddr", Text),
    ("DataPathAddr", Text),
    ("RemoteAddrs", Texts),
    ("JoinToken", Text),
    ("Availability", Text),
];
