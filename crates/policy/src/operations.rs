//! Sets of operations, and the patterns that name them.

use docker_api::Operation;

/// A set of operations; one machine word pair, so that the common decision is one bit test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperationSet(u128);

// One bit for each operation, `Unknown` included.
const _: () = assert!(Operation::ALL.len() < 128);

impl OperationSet {
    /// No operation.
    pub const EMPTY: OperationSet = OperationSet(0);

    /// Whether `operation` is in the set.
    #[inline]
    pub fn contains(self, operation: Operation) -> bool {
        self.0 >> (operation as u8) & 1 == 1
    }

    /// Adds one operation.
    pub fn insert(&mut self, operation: Operation) {
        self.0 |= 1 << (operation as u8);
    }

    /// This set and the other.
    #[must_use]
    pub fn union(self, other: OperationSet) -> OperationSet {
        OperationSet(self.0 | other.0)
    }

    /// This set without the other.
    #[must_use]
    pub fn minus(self, other: OperationSet) -> OperationSet {
        OperationSet(self.0 & !other.0)
    }

    /// What both sets have.
    #[must_use]
    pub fn common(self, other: OperationSet) -> OperationSet {
        OperationSet(self.0 & other.0)
    }

    /// Whether nothing is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The operations in the table's order.
    pub fn iter(self) -> impl Iterator<Item = Operation> {
        Operation::ALL
            .iter()
            .copied()
            .filter(move |op| self.contains(*op))
    }
}

impl FromIterator<Operation> for OperationSet {
    fn from_iter<I: IntoIterator<Item = Operation>>(operations: I) -> OperationSet {
        let mut set = OperationSet::EMPTY;
        for operation in operations {
            set.insert(operation);
        }
        set
    }
}

/// Expands a pattern: `resource.verb` with `*` on either side, optionally `:class`; `*:read` is `*.*:read`.
/// An unknown operation is never matched.
///
/// # Errors
/// Why the pattern is wrong, with the nearest operation's name if one is near; a pattern that matches nothing is an error.
pub fn expand(pattern: &str) -> Result<OperationSet, String> {
    let (name, class) = match pattern.split_once(':') {
        Some((name, class)) => (name, Some(class)),
        None => (pattern, None),
    };
    if let Some(class) = class
        && !["read", "sensitive", "write", "root"].contains(&class)
    {
        return Err(format!(
            "\"{class}\" is no class, expected read, sensitive, write or root"
        ));
    }
    let (resource, verb) = match name.split_once('.') {
        Some(pair) => pair,
        None if name == "*" => ("*", "*"),
        None => {
            return Err(format!(
                "\"{pattern}\" is no pattern, expected resource.verb such as \"container.list\" or \"image.*\""
            ));
        }
    };
    let set: OperationSet = Operation::ALL
        .iter()
        .copied()
        .filter(|op| resource == "*" || op.resource() == resource)
        .filter(|op| verb == "*" || op.verb() == verb)
        .filter(|op| class.is_none_or(|class| op.risk().class() == class))
        .collect();
    if !set.is_empty() {
        return Ok(set);
    }
    Err(format!(
        "\"{pattern}\" matches no operation, {}",
        nothing(resource, verb, class)
    ))
}

/// Why a pattern matches nothing: the part of it that leaves nothing over.
fn nothing(resource: &str, verb: &str, class: Option<&str>) -> String {
    let of_resource = |op: &&Operation| resource == "*" || op.resource() == resource;
    let of_name = |op: &&Operation| of_resource(op) && (verb == "*" || op.verb() == verb);
    let all = || Operation::ALL.iter();
    if !all().any(|op| of_resource(&op)) {
        return match text::nearest(resource, all().map(|op| op.resource())) {
            Some(near) => {
                format!(
                    "since no resource is called \"{resource}\", did you mean \"{near}.{verb}\"?"
                )
            }
            None => format!("since no resource is called \"{resource}\""),
        };
    }
    if !all().any(|op| of_name(&op)) {
        let verbs = all().filter(of_resource).map(|op| op.verb());
        return match text::nearest(verb, verbs) {
            Some(near) => format!("did you mean \"{resource}.{near}\"?"),
            None => format!("since {resource} has no \"{verb}\""),
        };
    }
    let mut classes: Vec<_> = all().filter(of_name).map(|op| op.risk().class()).collect();
    classes.sort_unstable();
    classes.dedup();
    let class = class.unwrap_or_default();
    format!(
        "since none of {resource}.{verb} is of class {class}: they are {}",
        classes.join(", ")
    )
}
