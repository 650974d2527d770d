//! LLB definitions: what their operations name that lies outside the build.

use std::collections::BTreeSet;

use crate::wire::{Fields, MAX_LIST, Unreadable, WireField};

/// What the operations of definitions ask for, whatever the graph between them is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Llb<'b> {
    /// How many operations there are.
    pub operations: usize,
    /// Identifiers of sources, such as `docker-image://docker.io/library/busybox:latest`.
    pub sources: BTreeSet<&'b str>,
    /// Sessions that source attributes name.
    pub sessions: BTreeSet<&'b str>,
    /// Cgroup parents of steps.
    pub cgroup_parents: BTreeSet<&'b str>,
    /// Ids of cache mounts.
    pub cache_ids: BTreeSet<&'b str>,
    /// Whether a step runs in the host's network namespace.
    pub host_network: bool,
    /// Whether a step runs without the sandbox.
    pub insecure: bool,
    /// Whether a step asks for devices.
    pub devices: bool,
    /// Whether an operation solves another definition inside the engine, whose operations cannot be seen here.
    pub nested: bool,
}

fn add<'b>(
    set: &mut BTreeSet<&'b str>,
    text: &'b str,
    message: &'static str,
) -> Result<(), Unreadable> {
    if set.len() >= MAX_LIST {
        return Err(Unreadable::TooMany(message, 0));
    }
    set.insert(text);
    Ok(())
}

impl<'b> Llb<'b> {
    /// Reads a `pb.Definition` and adds what it asks for.
    ///
    /// # Errors
    /// When it cannot be read with certainty.
    pub fn definition(&mut self, bytes: &'b [u8]) -> Result<(), Unreadable> {
        let mut fields = Fields::new("Definition", bytes);
        while let Some(field) = fields.next_field()? {
            match field.number {
                1 => self.operation(field.bytes()?)?,
                // Metadata (descriptions, cache hints) and the source map, which only errors show.
                2 => _ = field.bytes()?,
                3 => {
                    fields.once(3)?;
                    field.bytes()?;
                }
                _ => return Err(field.unknown()),
            }
        }
        Ok(())
    }

    fn operation(&mut self, bytes: &'b [u8]) -> Result<(), Unreadable> {
        self.operations += 1;
        let mut fields = Fields::new("Op", bytes);
        let mut kinds = 0;
        while let Some(field) = fields.next_field()? {
            match field.number {
                1 => _ = field.bytes()?,
                2..=8 => {
                    fields.once(field.number)?;
                    kinds += 1;
                    if kinds > 1 {
                        return Err(Unreadable::Repeated("Op", field.number));
                    }
                    match field.number {
                        2 => self.exec(field.bytes()?)?,
                        3 => self.source(field.bytes()?)?,
                        5 => self.nested = true,
                        _ => _ = field.bytes()?,
                    }
                }
                10 | 11 => {
                    fields.once(field.number)?;
                    field.bytes()?;
                }
                _ => return Err(field.unknown()),
            }
        }
        Ok(())
    }

    fn exec(&mut self, bytes: &'b [u8]) -> Result<(), Unreadable> {
        let mut fields = Fields::new("ExecOp", bytes);
        while let Some(field) = fields.next_field()? {
            match field.number {
                1 => {
                    fields.once(1)?;
                    self.meta(field.bytes()?)?;
                }
                2 => _ = self.mount(field.bytes()?)?,
                3 => {
                    fields.once(3)?;
                    self.network(field.number()?);
                }
                4 => {
                    fields.once(4)?;
                    self.insecure |= field.number()? != 0;
                }
                5 => _ = field.bytes()?,
                6 => {
                    field.bytes()?;
                    self.devices = true;
                }
                _ => return Err(field.unknown()),
            }
        }
        Ok(())
    }

    /// Notes a `pb.NetMode`: everything but the sandbox and no network is taken for the host's.
    pub(crate) fn network(&mut self, mode: u64) {
        self.host_network |= !matches!(mode, 0 | 2);
    }

    pub(crate) fn meta(&mut self, bytes: &'b [u8]) -> Result<(), Unreadable> {
        let mut fields = Fields::new("Meta", bytes);
        while let Some(field) = fields.next_field()? {
            match field.number {
                10 => {
                    fields.once(10)?;
                    let parent = field.text()?;
                    if !parent.is_empty() {
                        add(&mut self.cgroup_parents, parent, "Meta")?;
                    }
                }
                1..=7 | 9 | 11 | 12 => {}
                _ => return Err(field.unknown()),
            }
        }
        Ok(())
    }

    /// Reads a `pb.Mount`; where it is mounted.
    pub(crate) fn mount(&mut self, bytes: &'b [u8]) -> Result<&'b str, Unreadable> {
        let mut fields = Fields::new("Mount", bytes);
        let (mut kind, mut cache, mut place) = (0, None, "");
        while let Some(field) = fields.next_field()? {
            fields.once(field.number)?;
            match field.number {
                3 => place = field.text()?,
                6 => kind = field.number()?,
                20 => cache = Some(cache_id(&field)?),
                1..=5 | 19 | 21..=24 => {}
                _ => return Err(field.unknown()),
            }
        }
        match (kind, cache) {
            (3, cache) => add(&mut self.cache_ids, cache.unwrap_or_default(), "Mount")?,
            (0..=2 | 4, None) => {}
            (0..=2 | 4, Some(cache)) => add(&mut self.cache_ids, cache, "Mount")?,
            _ => return Err(Unreadable::Unknown("MountType", 6)),
        }
        Ok(place)
    }

    /// Reads a `pb.SourceOp` and adds what it asks for.
    ///
    /// # Errors
    /// When it cannot be read with certainty.
    pub fn source(&mut self, bytes: &'b [u8]) -> Result<(), Unreadable> {
        let mut fields = Fields::new("SourceOp", bytes);
        let mut attributes = std::collections::BTreeMap::new();
        while let Some(field) = fields.next_field()? {
            match field.number {
                1 => {
                    fields.once(1)?;
                    add(&mut self.sources, field.text()?, "SourceOp")?;
                }
                2 => field.into_map(&mut attributes)?,
                _ => return Err(field.unknown()),
            }
        }
        for (key, value) in attributes {
            // `local.session` and `oci.session`; any other key that speaks of a session is treated like them.
            if key.contains("session") && !value.is_empty() {
                add(&mut self.sessions, value, "SourceOp")?;
            }
        }
        Ok(())
    }
}

fn cache_id<'b>(field: &WireField<'b>) -> Result<&'b str, Unreadable> {
    let mut fields = Fields::new("CacheOpt", field.bytes()?);
    let mut id = "";
    while let Some(field) = fields.next_field()? {
        fields.once(field.number)?;
        match field.number {
            1 => id = field.text()?,
            2 => _ = field.number()?,
            _ => return Err(field.unknown()),
        }
    }
    Ok(id)
}
