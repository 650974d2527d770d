//! The policy engine and the classifier, without a network.

mod support;

mod amounts;
mod audit;
mod bodies;
mod builds;
mod clients;
mod commands;
mod contexts;
mod documents;
mod escapes;
mod evaluated;
mod fetch;
mod files;
mod hosts;
mod images;
mod inspected;
mod json;
mod mounts;
mod names;
mod operations;
mod parameters;
mod ports;
mod protected;
mod readings;
mod requests;
mod roles;
mod scope;
mod secrets;
mod storage;
mod swarm;
mod targets;
mod toggles;
