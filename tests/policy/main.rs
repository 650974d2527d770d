//! The policy engine and the classifier, without a network.

mod operations;
mod targets;
