//! Who owns what a client creates, and the label that says so.

use std::collections::HashMap;
use std::fmt;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use pki::identity::{self, Identity};

use super::OwnedBy;

/// The label that names the owner of an object.
pub const OWNER_LABEL: &str = "dockgate.owner";

/// The label that joins the owner of a container to the image that it was made from.
///
/// A container has the labels of its image beside its own, so anybody who makes an image gives labels to what others run of it. An
/// image cannot have this one for itself: its id is a digest of its labels, and this label is made of its id.
pub const IMAGE_LABEL: &str = "dockgate.image";

/// Bytes of an owner's name; a certificate may hold longer ones.
const LONGEST: usize = 512;

/// The key of the gate that makes owners' labels unguessable: an image or another tool may write any label.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OwnerKey([u8; 32]);

impl fmt::Debug for OwnerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnerKey(***)")
    }
}

impl OwnerKey {
    /// The key with these bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> OwnerKey {
        OwnerKey(bytes)
    }

    /// The key in a file's text: 64 hexadecimal digits and a line end.
    #[must_use]
    pub fn parse(text: &str) -> Option<OwnerKey> {
        let bytes = HEXLOWER.decode(text.trim_end().as_bytes()).ok()?;
        bytes.try_into().ok().map(OwnerKey)
    }

    /// The text of a key file.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}\n", HEXLOWER.encode(&self.0))
    }

    fn sign(&self, value: &str) -> String {
        BASE64URL_NOPAD.encode(&self.code("owner", value))
    }

    fn code(&self, purpose: &str, value: &str) -> [u8; 32] {
        let message = format!("dockgate {purpose} 1\0{value}");
        identity::hmac_sha256(&self.0, message.as_bytes())
    }

    /// The owner that a label names, if this key made it.
    #[must_use]
    pub fn verified(&self, label: &str) -> Option<ObjectOwner> {
        let (value, _) = label.rsplit_once('.')?;
        let owner = ObjectOwner::named(value.to_owned(), self);
        (owner.label == label).then_some(owner)
    }
}

/// An owner: one certificate's name, or an entry of the policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectOwner {
    value: String,
    label: String,
    /// Makes the owner's image labels.
    images: OwnerKey,
}

/// Why a certificate is no owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnerError {
    /// No name at all.
    #[error("the certificate has no common name, URI, DNS name or email address to be an owner by")]
    Nameless,
    /// More than one name of the kind that would be taken.
    #[error("the certificate has more than one {0}, so that its owner is ambiguous")]
    Ambiguous(&'static str),
    /// A name that could be read in two ways, or is too long.
    #[error("the certificate's {0} has control characters or is longer than {LONGEST} bytes")]
    Unclean(&'static str),
    /// The issuer's key is not known.
    #[error("the key of the certificate's issuer is not known")]
    Issuer,
    /// The gate has no key to make labels with.
    #[error("the gate has no owner-key")]
    Keyless,
}

impl ObjectOwner {
    fn named(value: String, key: &OwnerKey) -> ObjectOwner {
        let label = format!("{value}.{}", key.sign(&value));
        let images = OwnerKey(key.code("images", &value));
        ObjectOwner {
            value,
            label,
            images,
        }
    }

    /// The owner of what a certificate creates. `entry` is the name of its `[[client]]` entry.
    ///
    /// # Errors
    /// If the certificate's name is ambiguous: then it has no scope, and must be refused.
    pub fn of(
        by: OwnedBy,
        identity: &Identity,
        entry: &str,
        key: &OwnerKey,
    ) -> Result<ObjectOwner, OwnerError> {
        let value = match by {
            OwnedBy::Entry => format!("entry:{}", clean("entry", entry)?),
            OwnedBy::Certificate => {
                let issuer = identity.issuer_spki.ok_or(OwnerError::Issuer)?;
                format!("{}/{}", HEXLOWER.encode(&issuer), name_of(identity)?)
            }
        };
        Ok(ObjectOwner::named(value, key))
    }

    /// The owner's typed name: `…/cn:alice`, `entry:team`.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// What [`OWNER_LABEL`] says on the owner's objects.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// What [`IMAGE_LABEL`] says on the owner's containers of the image with this id.
    #[must_use]
    pub fn of_image(&self, id: &str) -> String {
        BASE64URL_NOPAD.encode(&self.images.code("image", id))
    }

    /// Whether a container with these labels, of the image with this id, is one that the owner made.
    #[must_use]
    pub fn made(&self, owner: Option<&str>, of_image: Option<&str>, image: &str) -> bool {
        owner == Some(&self.label) && of_image == Some(&self.of_image(image))
    }

    /// The value of a `label` filter that only the owner's objects pass.
    #[must_use]
    pub fn filter(&self) -> String {
        format!("{OWNER_LABEL}={}", self.label)
    }
}

/// Tells what an owner made in a list of containers. Most are of a few images, and each image's label is made once.
#[derive(Debug)]
pub struct MadeBy<'o> {
    owner: &'o ObjectOwner,
    of_images: HashMap<String, String>,
}

impl<'o> MadeBy<'o> {
    /// For the containers of `owner`.
    #[must_use]
    pub fn new(owner: &'o ObjectOwner) -> MadeBy<'o> {
        MadeBy {
            owner,
            of_images: HashMap::new(),
        }
    }

    /// What [`ObjectOwner::made`] says.
    pub fn made(&mut self, owner: Option<&str>, of_image: Option<&str>, image: &str) -> bool {
        let (Some(owner), Some(of_image)) = (owner, of_image) else {
            return false;
        };
        if owner != self.owner.label {
            return false;
        }
        if let Some(known) = self.of_images.get(image) {
            return known == of_image;
        }
        let made = self.owner.of_image(image);
        let is_made = made == of_image;
        self.of_images.insert(image.to_owned(), made);
        is_made
    }
}

/// The one name by which a certificate owns: of the first kind that it has.
fn name_of(identity: &Identity) -> Result<String, OwnerError> {
    let kinds = [
        ("cn", "common name", &identity.common_names),
        ("uri", "URI", &identity.uris),
        ("dns", "DNS name", &identity.dns),
        ("email", "email address", &identity.emails),
    ];
    for (prefix, kind, names) in kinds {
        match &names[..] {
            [] => {}
            [name] => return Ok(format!("{prefix}:{}", clean(kind, name)?)),
            _ => return Err(OwnerError::Ambiguous(kind)),
        }
    }
    Err(OwnerError::Nameless)
}

fn clean<'n>(kind: &'static str, name: &'n str) -> Result<&'n str, OwnerError> {
    let unclean = name.is_empty() || name.len() > LONGEST || name.chars().any(char::is_control);
    match unclean {
        true => Err(OwnerError::Unclean(kind)),
        false => Ok(name),
    }
}
