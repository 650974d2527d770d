//! The calls by which a client runs programs in the steps of its build: `docker buildx debug`.

use crate::definition::Llb;
use crate::wire::{Fields, Unreadable};

/// `NewContainerRequest`: what it asks for, and whether it has a root.
///
/// # Errors
/// When it cannot be read with certainty.
pub fn new_container(bytes: &[u8]) -> Result<(Llb<'_>, bool), Unreadable> {
    let (mut llb, mut root) = (Llb::default(), false);
    let mut fields = Fields::new("NewContainerRequest", bytes);
    while let Some(field) = fields.next_field()? {
        if !matches!(field.number, 2 | 6) {
            fields.once(field.number)?;
        }
        match field.number {
            1 => _ = field.text()?,
            2 => root |= llb.mount(field.bytes()?)? == "/",
            3 => llb.network(field.number()?),
            4..=7 => _ = field.bytes()?,
            _ => return Err(field.unknown()),
        }
    }
    Ok((llb, root))
}

/// `ExecMessage`: what a program that it starts asks for.
///
/// # Errors
/// When it cannot be read with certainty.
pub fn exec_message(bytes: &[u8]) -> Result<Llb<'_>, Unreadable> {
    let mut llb = Llb::default();
    let mut kinds = 0;
    let mut fields = Fields::new("ExecMessage", bytes);
    while let Some(field) = fields.next_field()? {
        fields.once(field.number)?;
        match field.number {
            1 => _ = field.text()?,
            2..=8 => {
                kinds += 1;
                if kinds > 1 {
                    return Err(Unreadable::Repeated("ExecMessage", field.number));
                }
                let content = field.bytes()?;
                if field.number == 2 {
                    init(&mut llb, content)?;
                }
            }
            _ => return Err(field.unknown()),
        }
    }
    Ok(llb)
}

fn init<'b>(llb: &mut Llb<'b>, bytes: &'b [u8]) -> Result<(), Unreadable> {
    let mut fields = Fields::new("InitMessage", bytes);
    while let Some(field) = fields.next_field()? {
        if !matches!(field.number, 3 | 6) {
            fields.once(field.number)?;
        }
        match field.number {
            1 => _ = field.text()?,
            2 => llb.meta(field.bytes()?)?,
            // Descriptors, packed or not.
            3 => {}
            4 => _ = field.flag()?,
            5 => llb.insecure |= field.number()? != 0,
            6 => _ = field.bytes()?,
            _ => return Err(field.unknown()),
        }
    }
    Ok(())
}
