//! The `filters` parameter: read in both of its forms, narrowed, and written back as one.

use std::collections::BTreeMap;

use docker_api::json::{self, Value};

/// Filters by key; of each value whether it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListFilters(BTreeMap<String, BTreeMap<String, bool>>);

/// Filters that have no reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a JSON object of lists of texts, or of objects of true and false")]
pub struct FiltersError;

impl ListFilters {
    /// Reads the parameter's value; an empty one, `null` and `{}` are no filter at all.
    ///
    /// # Errors
    /// If it has no reading, or more than one.
    pub fn parse(text: &str) -> Result<ListFilters, FiltersError> {
        let mut filters = ListFilters::default();
        if text.is_empty() {
            return Ok(filters);
        }
        let value = json::parse(text.as_bytes(), text.len()).map_err(|_| FiltersError)?;
        let members = match &value {
            Value::Null => return Ok(filters),
            Value::Object(members) => members,
            _ => return Err(FiltersError),
        };
        for (key, value) in members {
            let values = filters.0.entry(key.to_string()).or_default();
            match value {
                Value::Array(items) => {
                    for item in items {
                        let text = item.text().ok_or(FiltersError)?;
                        values.insert(text.to_owned(), true);
                    }
                }
                Value::Object(members) => {
                    for (text, holds) in members {
                        let Value::Bool(holds) = holds else {
                            return Err(FiltersError);
                        };
                        values.insert(text.to_string(), *holds);
                    }
                }
                // To the engine a key without values.
                Value::Null => {}
                _ => return Err(FiltersError),
            }
        }
        Ok(filters)
    }

    /// Adds a value to a key.
    pub fn add(&mut self, key: &str, value: &str) {
        let values = self.0.entry(key.to_owned()).or_default();
        values.insert(value.to_owned(), true);
    }

    /// Whether a key is there, with values or without.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Whether labels have all values of a key, as the engine compares them: `name` or `name=value`. True of a key without values.
    #[must_use]
    pub fn match_labels<'l>(&self, key: &str, label: impl Fn(&str) -> Option<&'l str>) -> bool {
        self.values(key).all(|value| match value.split_once('=') {
            Some((name, value)) => label(name) == Some(value),
            None => label(value).is_some(),
        })
    }

    /// The values of a key.
    pub fn values(&self, key: &str) -> impl Iterator<Item = &str> {
        let values = self.0.get(key).into_iter().flatten();
        values.map(|(value, _)| value.as_str())
    }

    /// Puts one value in place of all that a key has.
    pub fn replace(&mut self, key: &str, value: &str) {
        self.0
            .insert(key.to_owned(), BTreeMap::from([(value.to_owned(), true)]));
    }

    /// The parameter's value, in the form that every engine reads.
    #[must_use]
    pub fn to_json(&self) -> String {
        let quoted = |text: &str| json::quoted(text);
        let keys = self.0.iter().map(|(key, values)| {
            let values = values
                .iter()
                .map(|(value, holds)| format!("{}:{holds}", quoted(value)));
            let values: Vec<_> = values.collect();
            format!("{}:{{{}}}", quoted(key), values.join(","))
        });
        format!("{{{}}}", keys.collect::<Vec<_>>().join(","))
    }
}
