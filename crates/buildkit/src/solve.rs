//! The two Solve messages.

use std::collections::BTreeMap;

use crate::definition::Llb;
use crate::wire::{Fields, Unreadable, WireField};

/// Attributes, each key once.
pub type Attributes<'b> = BTreeMap<&'b str, &'b str>;

/// Where a result goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exporter<'b> {
    /// `moby`, `local` and so on.
    pub kind: &'b str,
    /// Its attributes.
    pub attributes: Attributes<'b>,
}

/// A cache that is read or written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheEntry<'b> {
    /// `inline`, `registry` and so on.
    pub kind: &'b str,
    /// Its attributes.
    pub attributes: Attributes<'b>,
}

/// `moby.buildkit.v1.SolveRequest`: a build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Solve<'b> {
    /// The build's id, chosen by the client.
    pub reference: &'b str,
    /// The client's session.
    pub session: &'b str,
    /// The session that is asked about sources.
    pub source_policy_session: &'b str,
    /// The frontend, empty if the client is the frontend itself.
    pub frontend: &'b str,
    /// The frontend's options.
    pub attributes: Attributes<'b>,
    /// Operations of a definition of the client's own.
    pub raw: Llb<'b>,
    /// Operations of the frontend's inputs.
    pub inputs: Llb<'b>,
    /// Exporters, the deprecated pair of fields included.
    pub exporters: Vec<Exporter<'b>>,
    /// Caches that are written.
    pub cache_exports: Vec<CacheEntry<'b>>,
    /// Caches that are read.
    pub cache_imports: Vec<CacheEntry<'b>>,
    /// Whether a deprecated field of the cache options is set.
    pub deprecated_cache: bool,
    /// What the build may ask for beyond the sandbox.
    pub entitlements: Vec<&'b str>,
    /// Whether the client's session chooses exporters.
    pub session_exporter: bool,
    /// Whether steps reach the network by a proxy of the engine's.
    pub proxy_network: bool,
}

impl<'b> Solve<'b> {
    /// Reads the message.
    ///
    /// # Errors
    /// When it cannot be read with certainty.
    pub fn read(bytes: &'b [u8]) -> Result<Self, Unreadable> {
        let mut solve = Self::default();
        let mut deprecated = Exporter::default();
        let mut fields = Fields::new("SolveRequest", bytes);
        while let Some(field) = fields.next_field()? {
            if !matches!(field.number, 4 | 7 | 9 | 10 | 13) {
                fields.once(field.number)?;
            }
            match field.number {
                1 => solve.reference = field.text()?,
                2 => solve.raw.definition(field.bytes()?)?,
                3 => deprecated.kind = field.text()?,
                4 => field.into_map(&mut deprecated.attributes)?,
                5 => solve.session = field.text()?,
                6 => solve.frontend = field.text()?,
                7 => field.into_map(&mut solve.attributes)?,
                8 => solve.cache(field.bytes()?)?,
                9 => {
                    let entitlement = field.text()?;
                    field.push(&mut solve.entitlements, entitlement)?;
                }
                10 => solve.inputs.definition(field.entry()?.1)?,
                11 => _ = field.flag()?,
                // The client's own rules; those of the gate are appended and come last.
                12 => client_policy(&field)?,
                13 => {
                    let (kind, attributes) = kind_and_attributes("Exporter", &field)?;
                    field.push(&mut solve.exporters, Exporter { kind, attributes })?;
                }
                14 => solve.session_exporter = field.flag()?,
                15 => solve.source_policy_session = field.text()?,
                16 => _ = field.number()?,
                17 => solve.proxy_network = field.flag()?,
                _ => return Err(field.unknown()),
            }
        }
        if deprecated != Exporter::default() {
            solve.exporters.push(deprecated);
        }
        Ok(solve)
    }

    fn cache(&mut self, bytes: &'b [u8]) -> Result<(), Unreadable> {
        let mut fields = Fields::new("CacheOptions", bytes);
        while let Some(field) = fields.next_field()? {
            match field.number {
                1..=3 => self.deprecated_cache |= !field.bytes()?.is_empty(),
                4 => cache_entry(&field, &mut self.cache_exports)?,
                5 => cache_entry(&field, &mut self.cache_imports)?,
                _ => return Err(field.unknown()),
            }
        }
        Ok(())
    }
}

fn cache_entry<'b>(
    field: &WireField<'b>,
    list: &mut Vec<CacheEntry<'b>>,
) -> Result<(), Unreadable> {
    let (kind, attributes) = kind_and_attributes("CacheOptionsEntry", field)?;
    field.push(list, CacheEntry { kind, attributes })
}

/// `1 Type, 2 Attrs`, as exporters and caches have it.
fn kind_and_attributes<'b>(
    message: &'static str,
    field: &WireField<'b>,
) -> Result<(&'b str, Attributes<'b>), Unreadable> {
    let mut fields = Fields::new(message, field.bytes()?);
    let (mut kind, mut attributes) = ("", Attributes::new());
    while let Some(field) = fields.next_field()? {
        match field.number {
            1 => {
                fields.once(1)?;
                kind = field.text()?;
            }
            2 => field.into_map(&mut attributes)?,
            _ => return Err(field.unknown()),
        }
    }
    Ok((kind, attributes))
}

/// `moby.buildkit.v1.frontend.SolveRequest`: a frontend asks for a result within its build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrontendSolve<'b> {
    /// The frontend that is called.
    pub frontend: &'b str,
    /// Its options.
    pub attributes: Attributes<'b>,
    /// Operations of a definition of the client's own.
    pub raw: Llb<'b>,
    /// Operations of the frontend's inputs.
    pub inputs: Llb<'b>,
    /// Caches that are read.
    pub cache_imports: Vec<CacheEntry<'b>>,
    /// Attributes for exporters, as JSON; an old way.
    pub exporter_attributes: &'b [u8],
}

impl<'b> FrontendSolve<'b> {
    /// Reads the message.
    ///
    /// # Errors
    /// When it cannot be read with certainty.
    pub fn read(bytes: &'b [u8]) -> Result<Self, Unreadable> {
        let mut solve = Self::default();
        let mut fields = Fields::new("frontend.SolveRequest", bytes);
        while let Some(field) = fields.next_field()? {
            if !matches!(field.number, 3 | 12 | 13 | 15) {
                fields.once(field.number)?;
            }
            match field.number {
                1 => solve.raw.definition(field.bytes()?)?,
                2 => solve.frontend = field.text()?,
                3 => field.into_map(&mut solve.attributes)?,
                5 | 6 | 10 | 14 => _ = field.flag()?,
                11 => solve.exporter_attributes = field.bytes()?,
                12 => cache_entry(&field, &mut solve.cache_imports)?,
                13 => solve.inputs.definition(field.entry()?.1)?,
                // More rules of the client's. The engine applies each policy for itself, so they can only refuse more.
                15 => client_policy(&field)?,
                _ => return Err(field.unknown()),
            }
        }
        Ok(solve)
    }
}

/// A `sourcepolicy.Policy` of the client's. What it says does not matter, but that it can be read does: the gate's rules become
/// part of it.
fn client_policy(field: &WireField<'_>) -> Result<(), Unreadable> {
    let mut fields = Fields::new("Policy", field.bytes()?);
    while let Some(field) = fields.next_field()? {
        match field.number {
            1 => {
                fields.once(1)?;
                field.number()?;
            }
            2 => client_rule(&field)?,
            _ => return Err(field.unknown()),
        }
    }
    Ok(())
}

fn client_rule(field: &WireField<'_>) -> Result<(), Unreadable> {
    let mut fields = Fields::new("Rule", field.bytes()?);
    while let Some(field) = fields.next_field()? {
        fields.once(field.number)?;
        match field.number {
            1 => _ = field.number()?,
            2 => client_selector(&field)?,
            3 => client_updates(&field)?,
            _ => return Err(field.unknown()),
        }
    }
    Ok(())
}

fn client_selector(field: &WireField<'_>) -> Result<(), Unreadable> {
    let mut fields = Fields::new("Selector", field.bytes()?);
    while let Some(field) = fields.next_field()? {
        match field.number {
            1 => _ = field.text()?,
            2 => _ = field.number()?,
            3 => {
                let mut constraint = Fields::new("AttrConstraint", field.bytes()?);
                while let Some(field) = constraint.next_field()? {
                    match field.number {
                        1 | 2 => _ = field.text()?,
                        3 => _ = field.number()?,
                        _ => return Err(field.unknown()),
                    }
                }
            }
            _ => return Err(field.unknown()),
        }
    }
    Ok(())
}

/// What a rule of the client's may set: what the content must be. Others name sessions, and where something is fetched from.
const CLIENT_ATTRIBUTES: [&str; 2] = ["http.checksum", "git.checksum"];

/// What a rule of the client's may make of a source. Others are taken from the client, without the rules of the role.
const CLIENT_SCHEMES: [&str; 4] = ["docker-image", "http", "https", "git"];

fn client_updates(field: &WireField<'_>) -> Result<(), Unreadable> {
    let mut fields = Fields::new("Update", field.bytes()?);
    while let Some(field) = fields.next_field()? {
        match field.number {
            1 => {
                let (scheme, _) = field.text()?.split_once("://").unwrap_or_default();
                if !CLIENT_SCHEMES.contains(&scheme) {
                    return Err(Unreadable::Scheme("Update"));
                }
            }
            2 => {
                let (key, _) = field.entry()?;
                if !CLIENT_ATTRIBUTES.contains(&key) {
                    return Err(Unreadable::Attribute("Update"));
                }
            }
            _ => return Err(field.unknown()),
        }
    }
    Ok(())
}
