//! The methods of a certificate verifier that concern signatures: which certificate is accepted is a verifier's own question,
//! that the peer holds its key never is.

/// Writes those methods: by the verifier in a field, or by the algorithms in one.
macro_rules! delegate_signatures {
    (verifier: $inner:tt) => {
        $crate::tls::signatures::delegate_signatures! {
            @methods self, message, cert, dss,
            self.$inner.verify_tls12_signature(message, cert, dss),
            self.$inner.verify_tls13_signature(message, cert, dss),
            self.$inner.supported_verify_schemes()
        }
    };
    (algorithms: $supported:tt) => {
        $crate::tls::signatures::delegate_signatures! {
            @methods self, message, cert, dss,
            rustls::crypto::verify_tls12_signature(message, cert, dss, &self.$supported),
            rustls::crypto::verify_tls13_signature(message, cert, dss, &self.$supported),
            self.$supported.supported_schemes()
        }
    };
    (@methods $self:ident, $message:ident, $cert:ident, $dss:ident, $tls12:expr, $tls13:expr, $schemes:expr) => {
        fn verify_tls12_signature(
            &$self,
            $message: &[u8],
            $cert: &rustls::pki_types::CertificateDer<'_>,
            $dss: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            $tls12
        }

        fn verify_tls13_signature(
            &$self,
            $message: &[u8],
            $cert: &rustls::pki_types::CertificateDer<'_>,
            $dss: &rustls::DigitallySignedStruct,
        ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
            $tls13
        }

        fn supported_verify_schemes(&$self) -> Vec<rustls::SignatureScheme> {
            $schemes
        }
    };
}
pub(crate) use delegate_signatures;
