//! A query that is read, changed and written back. Go takes the first of equal keys, and each is here once.

use docker_api::query::{self, QueryError};

/// The parameters of a request, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryPairs(Vec<(String, String)>);

impl QueryPairs {
    /// Reads a query.
    ///
    /// # Errors
    /// If it has no reading.
    pub fn parse(query: &str) -> Result<QueryPairs, QueryError> {
        let pairs = query::pairs(query).map(|pair| {
            let (key, value) = pair?;
            Ok((key.into_owned(), value.into_owned()))
        });
        pairs.collect::<Result<_, _>>().map(QueryPairs)
    }

    /// The first value of a parameter; empty if it is not there.
    #[must_use]
    pub fn get(&self, key: &str) -> &str {
        let found = self.0.iter().find(|(name, _)| name == key);
        found.map_or("", |(_, value)| value)
    }

    /// Puts one value in place of all that a parameter has.
    pub fn set(&mut self, key: &str, value: &str) {
        self.0.retain(|(name, _)| name != key);
        self.0.push((key.to_owned(), value.to_owned()));
    }

    /// Takes a parameter out.
    pub fn remove(&mut self, key: &str) {
        self.0.retain(|(name, _)| name != key);
    }

    /// Adds a value of a parameter that may repeat, behind the others.
    pub fn add(&mut self, key: &str, value: &str) {
        self.0.push((key.to_owned(), value.to_owned()));
    }

    /// The query as it is sent, with its `?`; empty without parameters.
    #[must_use]
    pub fn to_suffix(&self) -> String {
        let mut out = String::new();
        for (key, value) in &self.0 {
            out.push(if out.is_empty() { '?' } else { '&' });
            out.push_str(&encoded(key));
            out.push('=');
            out.push_str(&encoded(value));
        }
        out
    }
}

/// A text with everything escaped that has a meaning in a path or a query.
#[must_use]
pub fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
