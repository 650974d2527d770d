//! The token that an invitation is handed over in: `dg1.<host:port>.<SHA-256 of the CA>.<id>.<secret>`, each part after
//! the first in base64url without padding.

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use rustls_pki_types::ServerName;
use zeroize::Zeroizing;

/// The longest token that is read.
pub const MAX_TOKEN_BYTES: usize = 1024;

const VERSION: &str = "dg1";

/// A secret in base64url, which is shown to nobody by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes over a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself, to send or print it on purpose.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where a signer is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerAddress {
    /// A host name or an address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl SignerAddress {
    /// Reads `HOST:PORT` or `[IPv6]:PORT`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("tcp://").unwrap_or(text);
        let (host, port) = text.rsplit_once(':')?;
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return None;
        }
        let host = bare.unwrap_or(host).to_ascii_lowercase();
        ServerName::try_from(host.as_str()).ok()?;
        let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
        Some(Self { host, port })
    }
}

impl fmt::Display for SignerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// The signer to ask, and how it proves itself. It is a token without id and secret, so it may be public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignerPin {
    /// Whom to ask.
    pub signer: SignerAddress,
    /// SHA-256 of the DER of the CA certificate that the signer's own certificate leads to.
    pub ca_sha256: [u8; 32],
}

impl SignerPin {
    /// Reads `dg1.<host:port>.<SHA-256 of the CA>`; white space around it is left out.
    ///
    /// # Errors
    /// When it is something else.
    pub fn parse(text: &str) -> Result<Self, TokenFault> {
        match parts(text)?.as_slice() {
            [signer, ca] => Self::read(signer, ca),
            _ => Err(TokenFault::Pin),
        }
    }

    fn read(signer: &str, ca: &str) -> Result<Self, TokenFault> {
        let signer = String::from_utf8(decode(signer, "the signer's address")?).ok();
        let signer = signer.as_deref().and_then(SignerAddress::parse);
        Ok(Self {
            signer: signer.ok_or(TokenFault::Damaged("the signer's address"))?,
            ca_sha256: decode(ca, "the CA's digest")?
                .try_into()
                .map_err(|_| TokenFault::Damaged("the CA's digest"))?,
        })
    }
}

impl fmt::Display for SignerPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signer = BASE64URL_NOPAD.encode(self.signer.to_string().as_bytes());
        let ca = BASE64URL_NOPAD.encode(&self.ca_sha256);
        write!(f, "{VERSION}.{signer}.{ca}")
    }
}

/// The parts of a text that begins as a token does.
fn parts(text: &str) -> Result<Vec<&str>, TokenFault> {
    let text = text.trim();
    let rest = text
        .strip_prefix(VERSION)
        .and_then(|rest| rest.strip_prefix('.'))
        .filter(|_| text.len() <= MAX_TOKEN_BYTES);
    Ok(rest.ok_or(TokenFault::NotAToken)?.split('.').collect())
}

fn decode(part: &str, what: &'static str) -> Result<Vec<u8>, TokenFault> {
    BASE64URL_NOPAD
        .decode(part.as_bytes())
        .map_err(|_| TokenFault::Damaged(what))
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whom to ask.
    pub signer: SignerAddress,
    /// SHA-256 of the DER of the CA certificate that the signer's own certificate leads to.
    pub ca_sha256: [u8; 32],
    /// Which invitation.
    pub id: String,
    /// What proves that it was received.
    pub secret: Secret,
}

/// Why a text is not a token. It quotes nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// It does not begin as one.
    #[error("this is not an invitation's token, which begins with \"dg1.\"")]
    NotAToken,
    /// It has not five parts.
    #[error("the token has not five parts with dots between them: a piece of it is missing")]
    Parts,
    /// It is not an address with a CA's digest.
    #[error(
        "expected the three parts \"dg1\", the signer's address and the CA's digest, with dots between them"
    )]
    Pin,
    /// One of its parts cannot be read.
    #[error("the part of the token with {0} is damaged")]
    Damaged(&'static str),
}

impl Token {
    /// Reads a token; white space around it is left out.
    ///
    /// # Errors
    /// When it is not one.
    pub fn parse(text: &str) -> Result<Self, TokenFault> {
        let parts = parts(text)?;
        let [signer, ca, id, secret] = parts.as_slice() else {
            return Err(TokenFault::Parts);
        };
        let SignerPin { signer, ca_sha256 } = SignerPin::read(signer, ca)?;
        for (part, what, least) in [(id, "the invitation", 4), (secret, "the secret", 16)] {
            let bytes = Zeroizing::new(decode(part, what)?);
            if bytes.len() < least {
                return Err(TokenFault::Damaged(what));
            }
        }
        Ok(Self {
            signer,
            ca_sha256,
            id: (*id).to_owned(),
            secret: Secret::new((*secret).to_owned()),
        })
    }

    /// The token without id and secret.
    #[must_use]
    pub fn pin(&self) -> SignerPin {
        SignerPin {
            signer: self.signer.clone(),
            ca_sha256: self.ca_sha256,
        }
    }

    /// The token as it is handed over.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        let pin = self.pin();
        Zeroizing::new(format!("{pin}.{}.{}", self.id, self.secret.expose()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(address: &str) -> Token {
        Token {
            signer: SignerAddress::parse(address).expect("an address"),
            ca_sha256: [9; 32],
            id: BASE64URL_NOPAD.encode(&[1; 8]),
            secret: Secret::new(BASE64URL_NOPAD.encode(&[2; 16])),
        }
    }

    #[test]
    fn a_token_is_read_as_it_was_written() {
        for address in ["docker.example:2378", "192.0.2.1:1", "[2001:db8::1]:65535"] {
            let token = token(address);
            let text = token.expose();
            assert!(text.starts_with("dg1."), "{}", *text);
            let shown = text
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c));
            assert!(shown, "a token needs no quotes in a shell: {}", *text);
            assert_eq!(Token::parse(&format!(" {}\n", *text)), Ok(token));
        }
    }

    #[test]
    fn what_is_not_a_token_is_refused_and_never_quoted() {
        let good = token("docker.example:2378").expose();
        let parts: Vec<&str> = good.split('.').collect();
        let with = |at: usize, part: &str| {
            let mut parts = parts.clone();
            parts[at] = part;
            parts.join(".")
        };
        let long = "A".repeat(MAX_TOKEN_BYTES);
        let of = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        for text in [
            String::new(),
            "dg2".to_owned() + &good[3..],
            good[..good.len() - 3].to_owned(),
            parts[..4].join("."),
            format!("{}.x", *good),
            with(1, &of("docker.example")),
            with(1, &of("docker.example:0")),
            with(1, &of("a b:1")),
            with(1, &of("::1:1")),
            with(1, "!"),
            with(2, "AAAA"),
            with(3, ""),
            with(4, "AAAA"),
            with(4, &long),
        ] {
            let fault = Token::parse(&text).expect_err(&text);
            assert!(!fault.to_string().contains(parts[4]), "{fault}");
        }
        assert!(!format!("{:?}", token("a:1")).contains(parts[4]));
    }
}
