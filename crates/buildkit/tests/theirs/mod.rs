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
