//! Protobuf's wire format, strictly.

use std::collections::BTreeMap;

/// Most elements of one list or map. Real builds have dozens.
pub const MAX_LIST: usize = 10_000;

/// Why bytes cannot be read with certainty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The bytes end inside a field.
    #[error("{0}: the message ends inside a field")]
    Truncated(&'static str),
    /// A number has more than 64 bits, or a tag more than 32.
    #[error("{0}: a number is too long")]
    TooLong(&'static str),
    /// Field number 0, or a group, or a wire type that does not exist.
    #[error("{0}: groups and unknown wire types are refused")]
    WireType(&'static str),
    /// A field has another wire type than its definition.
    #[error("{0}: field {1} has an unexpected wire type")]
    Mismatch(&'static str, u32),
    /// A singular field occurs more than once.
    #[error("{0}: field {1} occurs more than once")]
    Repeated(&'static str, u32),
    /// A field that this version does not know.
    #[error("{0}: field {1} is unknown to this version of dockgate")]
    Unknown(&'static str, u32),
    /// A string is not UTF-8.
    #[error("{0}: field {1} is not UTF-8")]
    Text(&'static str, u32),
    /// A map has a key twice.
    #[error("{0}: field {1} has a key more than once")]
    RepeatedKey(&'static str, u32),
    /// More than [`MAX_LIST`] elements.
    #[error("{0}: field {1} has more than {MAX_LIST} elements")]
    TooMany(&'static str, u32),
    /// A rule of the client's sets an attribute that says more than what the content must be.
    #[error("{0}: an attribute is set that is not among http.checksum and git.checksum")]
    Attribute(&'static str),
    /// A rule of the client's makes of a source one that its rules do not hold.
    #[error("{0}: a source becomes one that is not docker-image, http, https or git")]
    Scheme(&'static str),
}

/// The value of a field as its wire type has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValue<'b> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64([u8; 8]),
    /// Wire type 2.
    Bytes(&'b [u8]),
    /// Wire type 5.
    Fixed32([u8; 4]),
}

/// A field of a message: its number and its value.
#[derive(Clone, Copy, Debug)]
pub struct WireField<'b> {
    message: &'static str,
    /// The number in the `.proto` file.
    pub number: u32,
    /// The value.
    pub value: FieldValue<'b>,
}

/// Reads the fields of a message in order.
#[derive(Clone, Debug)]
pub struct Fields<'b> {
    message: &'static str,
    rest: &'b [u8],
    seen: u64,
}

impl<'b> Fields<'b> {
    /// The fields of `bytes`; `message` names the message in errors.
    #[must_use]
    pub fn new(message: &'static str, bytes: &'b [u8]) -> Self {
        Self {
            message,
            rest: bytes,
            seen: 0,
        }
    }

    /// The next field; `None` behind the last one.
    ///
    /// # Errors
    /// When the bytes are not a field.
    pub fn next_field(&mut self) -> Result<Option<WireField<'b>>, Unreadable> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = u32::try_from(self.varint()?).map_err(|_| Unreadable::TooLong(self.message))?;
        let number = tag >> 3;
        let value = match tag & 7 {
            _ if number == 0 => return Err(Unreadable::WireType(self.message)),
            0 => FieldValue::Varint(self.varint()?),
            1 => FieldValue::Fixed64(self.fixed()?),
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length)
                    .ok()
                    .filter(|length| *length <= self.rest.len())
                    .ok_or(Unreadable::Truncated(self.message))?;
                FieldValue::Bytes(self.take(length)?)
            }
            5 => FieldValue::Fixed32(self.fixed()?),
            _ => return Err(Unreadable::WireType(self.message)),
        };
        Ok(Some(WireField {
            message: self.message,
            number,
            value,
        }))
    }

    /// Notes that a singular field has been seen.
    ///
    /// # Errors
    /// When it had been seen before.
    pub fn once(&mut self, number: u32) -> Result<(), Unreadable> {
        let bit = 1_u64
            .checked_shl(number)
            .ok_or(Unreadable::Unknown(self.message, number))?;
        if self.seen & bit != 0 {
            return Err(Unreadable::Repeated(self.message, number));
        }
        self.seen |= bit;
        Ok(())
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8], Unreadable> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Unreadable::Truncated(self.message))?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(Unreadable::Truncated(self.message))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn varint(&mut self) -> Result<u64, Unreadable> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self
                .rest
                .split_first()
                .ok_or(Unreadable::Truncated(self.message))?;
            self.rest = rest;
            if shift == 63 && *byte > 1 {
                return Err(Unreadable::TooLong(self.message));
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Unreadable::TooLong(self.message))
    }
}

impl<'b> WireField<'b> {
    /// The value of a `bytes` field or of a message.
    ///
    /// # Errors
    /// When the wire type is another one.
    pub fn bytes(&self) -> Result<&'b [u8], Unreadable> {
        match self.value {
            FieldValue::Bytes(bytes) => Ok(bytes),
            _ => Err(Unreadable::Mismatch(self.message, self.number)),
        }
    }

    /// The value of a `string` field.
    ///
    /// # Errors
    /// When the wire type is another one, or the text is not UTF-8.
    pub fn text(&self) -> Result<&'b str, Unreadable> {
        str::from_utf8(self.bytes()?).map_err(|_| Unreadable::Text(self.message, self.number))
    }

    /// The value of an integer, an enum or a bool.
    ///
    /// # Errors
    /// When the wire type is another one.
    pub fn number(&self) -> Result<u64, Unreadable> {
        match self.value {
            FieldValue::Varint(number) => Ok(number),
            _ => Err(Unreadable::Mismatch(self.message, self.number)),
        }
    }

    /// The value of a bool.
    ///
    /// # Errors
    /// When the wire type is another one.
    pub fn flag(&self) -> Result<bool, Unreadable> {
        Ok(self.number()? != 0)
    }

    /// The key and value of one entry of a map from text.
    ///
    /// # Errors
    /// When it is not such an entry.
    pub fn entry(&self) -> Result<(&'b str, &'b [u8]), Unreadable> {
        let mut fields = Fields::new(self.message, self.bytes()?);
        let (mut key, mut value) = ("", &b""[..]);
        while let Some(field) = fields.next_field()? {
            fields.once(field.number)?;
            match field.number {
                1 => key = field.text()?,
                2 => value = field.bytes()?,
                other => return Err(Unreadable::Unknown(self.message, other)),
            }
        }
        Ok((key, value))
    }

    /// Adds one entry of a map from text to text.
    ///
    /// # Errors
    /// When it is not such an entry, or its key is there already.
    pub fn into_map(&self, map: &mut BTreeMap<&'b str, &'b str>) -> Result<(), Unreadable> {
        let (key, value) = self.entry()?;
        let value =
            str::from_utf8(value).map_err(|_| Unreadable::Text(self.message, self.number))?;
        if map.len() >= MAX_LIST {
            return Err(Unreadable::TooMany(self.message, self.number));
        }
        match map.insert(key, value) {
            None => Ok(()),
            Some(_) => Err(Unreadable::RepeatedKey(self.message, self.number)),
        }
    }

    /// Adds an element to a list.
    ///
    /// # Errors
    /// When the list is full.
    pub fn push<T>(&self, list: &mut Vec<T>, element: T) -> Result<(), Unreadable> {
        if list.len() >= MAX_LIST {
            return Err(Unreadable::TooMany(self.message, self.number));
        }
        list.push(element);
        Ok(())
    }

    /// The error for a field that this version does not know.
    #[must_use]
    pub fn unknown(&self) -> Unreadable {
        Unreadable::Unknown(self.message, self.number)
    }
}
