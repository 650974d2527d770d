//! Who owns what a request of a case names: what a role with a scope makes of it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Deserialize;

use super::test::Names;
use crate::cli::policy::WhoArgs;
use docker_api::{Operation, classify, query};
use pki::identity::Identity;
use policy::scope::{ObjectKind, ObjectOwner, OwnerKey, RoleScope, ScopeAction};
use policy::{ClientRef, Policy, PolicyError};

/// The certificate that made an object.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Maker {
    cn: Names,
    dns: Names,
    email: Names,
    uri: Names,
    issuer_spki: Option<String>,
}

/// What the client of a case does not see, by the targets of look-ups.
#[derive(Debug, Default)]
pub(super) struct HiddenObjects {
    targets: HashSet<String>,
    met: AtomicBool,
}

impl HiddenObjects {
    /// Whether a look-up asks for something that the client does not see.
    pub(super) fn has(&self, target: &str) -> bool {
        let is_hidden = self.targets.contains(target);
        self.met.fetch_or(is_hidden, Ordering::Relaxed);
        is_hidden
    }

    /// Whether something of it was asked for.
    pub(super) fn is_met(&self) -> bool {
        self.met.load(Ordering::Relaxed)
    }
}

/// Objects by their paths, such as `/containers/web`, and who made each; `null` is nobody.
pub(super) type Owned = HashMap<String, Option<Maker>>;

/// What the client does not see.
///
/// # Errors
/// If a path cannot be read as one, or a maker is not a certificate.
pub(super) fn hidden(
    policy: &Policy,
    client: ClientRef,
    who: &Identity,
    owned: &Owned,
) -> Result<HiddenObjects, PolicyError> {
    let mut hidden = HiddenObjects::default();
    let scope = policy.role(client).and_then(|role| role.scope.as_ref());
    for (path, maker) in owned {
        let (kind, name) = object(path)?;
        let Some(scope) = scope else { continue };
        let is_own = match maker {
            Some(maker) => maker.is(policy, scope, who)?,
            None => false,
        };
        if !is_own && !is_shared(scope, kind, name) {
            hidden.targets.insert(match kind {
                ObjectKind::Container => format!("{path}/json"),
                _ => path.clone(),
            });
        }
    }
    Ok(hidden)
}

/// The rule by which a scope refuses a request that the policy permits, and why; an empty rule where the object is missing.
pub(super) fn objection(
    policy: &Policy,
    client: ClientRef,
    (method, target): (&str, &str),
    owned: &Owned,
    hidden: &HiddenObjects,
) -> Option<(&'static str, String)> {
    let scope = policy.role(client)?.scope.as_ref()?;
    let request = classify(method, target).ok()?;
    let action = ScopeAction::of(request.operation);
    let kind = match action {
        ScopeAction::Object(kind) | ScopeAction::Remove(kind) => kind,
        ScopeAction::Rename | ScopeAction::Commit => ObjectKind::Container,
        ScopeAction::Joined => ObjectKind::Network,
        _ => return None,
    };
    let name = match request.operation {
        Operation::ImageCommit => committed(request.query().unwrap_or_default())?,
        _ => request.name()?.to_owned(),
    };
    let path = match kind {
        ObjectKind::Container => format!("/containers/{name}"),
        ObjectKind::Network => format!("/networks/{name}"),
        ObjectKind::Volume => format!("/volumes/{name}"),
    };
    let look_up = match kind {
        ObjectKind::Container => format!("{path}/json"),
        _ => path.clone(),
    };
    if hidden.has(&look_up) {
        return Some(("", format!("{path} is not the client's")));
    }
    let removes = matches!(action, ScopeAction::Remove(_)) && owned.contains_key(&path);
    (removes && is_shared(scope, kind, &name)).then(|| {
        let why = format!("{path} is shared, and only its owner may remove it");
        (policy::scope::SCOPE_RULE, why)
    })
}

fn committed(text: &str) -> Option<String> {
    let pairs = query::pairs(text).filter_map(Result::ok);
    let mut named = pairs.filter(|(key, _)| key == "container");
    named.next().map(|(_, name)| name.into_owned())
}

/// The kind and the name in an object's path.
fn object(path: &str) -> Result<(ObjectKind, &str), PolicyError> {
    let kinds = [
        ("/containers/", ObjectKind::Container),
        ("/networks/", ObjectKind::Network),
        ("/volumes/", ObjectKind::Volume),
    ];
    let found = kinds.iter().find_map(|(start, kind)| {
        let name = path.strip_prefix(start)?;
        (!name.is_empty() && !name.contains('/')).then_some((*kind, name))
    });
    found.ok_or_else(|| {
        let text = format!(
            "owned: \"{path}\": expected /containers/NAME, /networks/NAME or /volumes/NAME"
        );
        PolicyError::Input(text)
    })
}

fn is_shared(scope: &RoleScope, kind: ObjectKind, name: &str) -> bool {
    match kind {
        ObjectKind::Container => false,
        ObjectKind::Network => scope.shares_network(name),
        ObjectKind::Volume => scope.shares_volume(name),
    }
}

impl Maker {
    /// Whether the certificate and the client's are one owner. Without an issuer both are taken for one CA's.
    fn is(&self, policy: &Policy, scope: &RoleScope, who: &Identity) -> Result<bool, PolicyError> {
        let args = WhoArgs {
            cert: None,
            cn: self.cn.list(),
            o: Vec::new(),
            ou: Vec::new(),
            dns: self.dns.list(),
            email: self.email.list(),
            uri: self.uri.list(),
            spki: None,
            issuer_spki: self.issuer_spki.clone(),
        };
        let maker = super::identity(&args, None)?;
        let owner = |identity: &Identity| {
            let mut identity = identity.clone();
            identity.issuer_spki.get_or_insert([0; 32]);
            let entry = policy.client_name(policy.client_for(&identity)).to_owned();
            // The label is compared and nothing else, so that the key does not matter.
            ObjectOwner::of(scope.by, &identity, &entry, &OwnerKey::new([0; 32]))
        };
        let wrong = |e: policy::scope::OwnerError| PolicyError::Input(format!("owned: {e}"));
        Ok(owner(&maker).map_err(wrong)?.label() == owner(who).map_err(wrong)?.label())
    }
}
