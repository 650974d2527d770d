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
/// Why the pattern is none, with the nearest operation's name if one is near; a pattern that matches nothing is an error.
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
    let near = text::nearest(name, Operation::ALL.iter().map(|op| op.id()));
    Err(match near.filter(|near| *near != name) {
        Some(near) => format!("\"{pattern}\" matches no operation, did you mean \"{near}\"?"),
        None => format!("\"{pattern}\" matches no operation"),
    })
}
