//! What comes over the network when certificates are asked for: tokens, tokens of CI and their keys, HTTP Basic, bodies, requests and envelopes are read or
//! refused, and what is read is written again as the same.
#![no_main]

use enroll::oidc::{OidcKeys, OidcToken};
use enroll::{Token, basic, message};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(token) = Token::parse(text)
    {
        assert_eq!(Token::parse(&token.expose()), Ok(token));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        // Nothing of a token is believed before it is proved; reading it must only end.
        let _ = OidcToken::parse(text);
    }
    let _ = OidcKeys::parse(bytes);
    if let Some((user, password)) = basic::read(bytes) {
        let again = basic::read(basic::write(&user, &password).as_bytes());
        assert_eq!(again, Some((user, password)));
    }
    let decoded = message::decode(bytes);
    if let Some(der) = &decoded {
        assert_eq!(
            message::decode(message::encode(der).as_bytes()).as_ref(),
            Some(der)
        );
    }
    for der in decoded.iter().map(Vec::as_slice).chain([bytes]) {
        let _ = pki::request::SigningRequest::read(
            der,
            &dockgate::tls::config::algorithms().certificates,
        );
        if let Some(certificates) = pki::pkcs7::decode(der) {
            let again = pki::pkcs7::encode(certificates.iter().map(Vec::as_slice));
            assert_eq!(pki::pkcs7::decode(&again), Some(certificates));
        }
    }
});
