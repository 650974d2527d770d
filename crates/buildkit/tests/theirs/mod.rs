//! Messages of BuildKit's as an ordinary protobuf library reads them: what the reader is compared with, here and in fuzz/.

use std::collections::BTreeMap;

use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TheirPair {
    #[prost(string, tag = "1")]
    pub(crate) kind: String,
    #[prost(btree_map = "string, string", tag = "2")]
    pub(crate) attributes: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TheirCache {
    #[prost(message, repeated, tag = "4")]
    pub(crate) exports: Vec<TheirPair>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) imports: Vec<TheirPair>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TheirPolicy {
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub(crate) rules: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TheirSolve {
    #[prost(string, tag = "1")]
    pub(crate) reference: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) raw: Option<TheirDefinition>,
    #[prost(string, tag = "3")]
    pub(crate) exporter: String,
    #[prost(btree_map = "string, string", tag = "4")]
    pub(crate) exporter_attributes: BTreeMap<String, String>,
    #[prost(string, tag = "5")]
    pub(crate) session: String,
    #[prost(string, tag = "6")]
    pub(crate) frontend: String,
    #[prost(btree_map = "string, string", tag = "7")]
    pub(crate) attributes: BTreeMap<String, String>,
    #[prost(message, optional, tag = "8")]
    pub(crate) cache: Option<TheirCache>,
    #[prost(string, repeated, tag = "9")]
    pub(crate) entitlements: Vec<String>,
    #[prost(bool, tag = "11")]
    pub(crate) internal: bool,
    #[prost(message, optional, tag = "12")]
    pub(crate) policy: Option<TheirPolicy>,
    #[prost(message, repeated, tag = "13")]
    pub(crate) exporters: Vec<TheirPair>,
    #[prost(bool, tag = "14")]
    pub(crate) session_exporter: bool,
    #[prost(string, tag = "15")]
    pub(crate) policy_session: String,
    #[prost(bool, tag = "17")]
    pub(crate) proxy: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TheirDefinition {
    #[prost(message, repeated, tag = "1")]
    pub(crate) operations: Vec<TheirOperation>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TheirOperation {
    #[prost(message, optional, tag = "2")]
    pub(crate) exec: Option<TheirExec>,
    #[prost(message, optional, tag = "3")]
    pub(crate) source: Option<TheirSource>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TheirSource {
    #[prost(btree_map = "string, string", tag = "2")]
    pub(crate) attributes: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TheirExec {
    #[prost(message, optional, tag = "1")]
    pub(crate) meta: Option<TheirMeta>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) mounts: Vec<TheirMount>,
    #[prost(int32, tag = "3")]
    pub(crate) network: i32,
    #[prost(int32, tag = "4")]
    pub(crate) security: i32,
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub(crate) devices: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TheirMeta {
    #[prost(string, tag = "10")]
    pub(crate) cgroup_parent: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TheirMount {
    #[prost(int32, tag = "6")]
    pub(crate) kind: i32,
    #[prost(message, optional, tag = "20")]
    pub(crate) cache: Option<TheirCacheMount>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TheirCacheMount {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
}
