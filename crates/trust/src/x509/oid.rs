//! The object identifiers this crate knows.

use crate::der::Oid;

macro_rules! oids {
    ($($(#[$doc:meta])* $name:ident = $text:literal [$($byte:literal)*];)*) => {
        /// The object identifiers this crate knows.
        pub mod ids {
            use crate::der::Oid;
            $($(#[$doc])* pub const $name: Oid<'static> = Oid::known(&[$($byte),*]);)*
        }

        /// The standard's name of an object identifier, if it is one this crate knows.
        #[must_use]
        pub fn name_of(oid: &Oid<'_>) -> Option<&'static str> {
            $(if *oid == ids::$name { return Some($text); })*
            None
        }
    };
}

oids! {
    /// X.520 commonName.
    COMMON_NAME = "CN" [0x55 0x04 0x03];
    /// X.520 serialNumber.
    SERIAL_NUMBER = "serialNumber" [0x55 0x04 0x05];
    /// X.520 countryName.
    COUNTRY = "C" [0x55 0x04 0x06];
    /// X.520 localityName.
    LOCALITY = "L" [0x55 0x04 0x07];
    /// X.520 stateOrProvinceName.
    STATE = "ST" [0x55 0x04 0x08];
    /// X.520 organizationName.
    ORGANIZATION = "O" [0x55 0x04 0x0a];
    /// X.520 organizationalUnitName.
    ORGANIZATIONAL_UNIT = "OU" [0x55 0x04 0x0b];
    /// PKCS#9 emailAddress.
    EMAIL_ADDRESS = "emailAddress" [0x2a 0x86 0x48 0x86 0xf7 0x0d 0x01 0x09 0x01];
    /// RFC 4519 domainComponent.
    DOMAIN_COMPONENT = "DC" [0x09 0x92 0x26 0x89 0x93 0xf2 0x2c 0x64 0x01 0x19];

    /// Extension subjectKeyIdentifier.
    SUBJECT_KEY_ID = "subjectKeyIdentifier" [0x55 0x1d 0x0e];
    /// Extension keyUsage.
    KEY_USAGE = "keyUsage" [0x55 0x1d 0x0f];
    /// Extension subjectAltName.
    SUBJECT_ALT_NAME = "subjectAltName" [0x55 0x1d 0x11];
    /// Extension basicConstraints.
    BASIC_CONSTRAINTS = "basicConstraints" [0x55 0x1d 0x13];
    /// Extension nameConstraints.
    NAME_CONSTRAINTS = "nameConstraints" [0x55 0x1d 0x1e];
    /// Extension cRLDistributionPoints.
    CRL_DISTRIBUTION_POINTS = "cRLDistributionPoints" [0x55 0x1d 0x1f];
    /// Extension certificatePolicies.
    CERTIFICATE_POLICIES = "certificatePolicies" [0x55 0x1d 0x20];
    /// The policy anyPolicy.
    ANY_POLICY = "anyPolicy" [0x55 0x1d 0x20 0x00];
    /// Extension policyMappings.
    POLICY_MAPPINGS = "policyMappings" [0x55 0x1d 0x21];
    /// Extension authorityKeyIdentifier.
    AUTHORITY_KEY_ID = "authorityKeyIdentifier" [0x55 0x1d 0x23];
    /// Extension policyConstraints.
    POLICY_CONSTRAINTS = "policyConstraints" [0x55 0x1d 0x24];
    /// Extension extKeyUsage.
    EXTENDED_KEY_USAGE = "extKeyUsage" [0x55 0x1d 0x25];
    /// The key purpose anyExtendedKeyUsage.
    ANY_EXTENDED_KEY_USAGE = "anyExtendedKeyUsage" [0x55 0x1d 0x25 0x00];
    /// Extension inhibitAnyPolicy.
    INHIBIT_ANY_POLICY = "inhibitAnyPolicy" [0x55 0x1d 0x36];
    /// Extension authorityInfoAccess.
    AUTHORITY_INFO_ACCESS = "authorityInfoAccess" [0x2b 0x06 0x01 0x05 0x05 0x07 0x01 0x01];
    /// Medlock's role extension, 2.25.171777735083299383877580384885501293138 (docs/role-extension.md).
    ROLE = "medlockRole" [0x69 0x82 0x82 0xbb 0x98 0x8e 0xb0 0xb9 0xba 0xaf 0xf1 0xa6 0xea 0xd8 0xeb 0x8f 0xda 0x8d 0xe4 0x52];

    /// The access method OCSP.
    OCSP = "ocsp" [0x2b 0x06 0x01 0x05 0x05 0x07 0x30 0x01];
    /// The access method caIssuers.
    CA_ISSUERS = "caIssuers" [0x2b 0x06 0x01 0x05 0x05 0x07 0x30 0x02];

    /// The key purpose serverAuth.
    SERVER_AUTH = "serverAuth" [0x2b 0x06 0x01 0x05 0x05 0x07 0x03 0x01];
    /// The key purpose clientAuth.
    CLIENT_AUTH = "clientAuth" [0x2b 0x06 0x01 0x05 0x05 0x07 0x03 0x02];
    /// The key purpose OCSPSigning.
    OCSP_SIGNING = "OCSPSigning" [0x2b 0x06 0x01 0x05 0x05 0x07 0x03 0x09];
    /// The key purpose of an SDC service provider, 1.2.840.10004.20701.1.1 (IEEE 11073-20701).
    SDC_PROVIDER = "sdcProvider" [0x2a 0x86 0x48 0xce 0x14 0x81 0xa1 0x5d 0x01 0x01];
    /// The key purpose of an SDC service consumer, 1.2.840.10004.20701.1.2 (IEEE 11073-20701).
    SDC_CONSUMER = "sdcConsumer" [0x2a 0x86 0x48 0xce 0x14 0x81 0xa1 0x5d 0x01 0x02];

    /// The other name hardwareModuleName (RFC 4108 section 5).
    HARDWARE_MODULE_NAME = "hardwareModuleName" [0x2b 0x06 0x01 0x05 0x05 0x07 0x08 0x04];

    /// The other name SmtpUTF8Mailbox (RFC 8398).
    SMTP_UTF8_MAILBOX = "SmtpUTF8Mailbox" [0x2b 0x06 0x01 0x05 0x05 0x07 0x08 0x09];
    /// The other name MACAddress.
    MAC_ADDRESS = "MACAddress" [0x2b 0x06 0x01 0x05 0x05 0x07 0x08 0x0c];

    /// The policy qualifier CPS.
    CPS = "cps" [0x2b 0x06 0x01 0x05 0x05 0x07 0x02 0x01];
    /// The policy qualifier userNotice.
    USER_NOTICE = "userNotice" [0x2b 0x06 0x01 0x05 0x05 0x07 0x02 0x02];

    /// Extension issuerAltName.
    ISSUER_ALT_NAME = "issuerAltName" [0x55 0x1d 0x12];
    /// Extension freshestCRL.
    FRESHEST_CRL = "freshestCRL" [0x55 0x1d 0x2e];
    /// Extension subjectInfoAccess.
    SUBJECT_INFO_ACCESS = "subjectInfoAccess" [0x2b 0x06 0x01 0x05 0x05 0x07 0x01 0x0b];
    /// Extension id-pkix-ocsp-nocheck.
    OCSP_NO_CHECK = "ocspNoCheck" [0x2b 0x06 0x01 0x05 0x05 0x07 0x30 0x01 0x05];
    /// Extension that marks a precertificate signing certificate (RFC 6962).
    PRECERTIFICATE_SIGNING = "precertificateSigning" [0x2b 0x06 0x01 0x04 0x01 0xd6 0x79 0x02 0x04 0x03];
    /// Extension id-pe-tlsfeature (RFC 7633).
    TLS_FEATURE = "tlsFeature" [0x2b 0x06 0x01 0x05 0x05 0x07 0x01 0x18];

    /// The request attribute challengePassword (RFC 2985 section 5.4.1).
    CHALLENGE_PASSWORD = "challengePassword" [0x2a 0x86 0x48 0x86 0xf7 0x0d 0x01 0x09 0x07];
    /// The request attribute extensionRequest (RFC 2985 section 5.4.2).
    EXTENSION_REQUEST = "extensionRequest" [0x2a 0x86 0x48 0x86 0xf7 0x0d 0x01 0x09 0x0e];

    /// The algorithm ecdsa-with-SHA256.
    ECDSA_SHA256 = "ecdsa-with-SHA256" [0x2a 0x86 0x48 0xce 0x3d 0x04 0x03 0x02];
    /// The algorithm ecdsa-with-SHA384.
    ECDSA_SHA384 = "ecdsa-with-SHA384" [0x2a 0x86 0x48 0xce 0x3d 0x04 0x03 0x03];
    /// The algorithm Ed25519, as signature and as key.
    ED25519 = "Ed25519" [0x2b 0x65 0x70];
    /// The algorithm sha256WithRSAEncryption.
    RSA_SHA256 = "sha256WithRSAEncryption" [0x2a 0x86 0x48 0x86 0xf7 0x0d 0x01 0x01 0x0b];
    /// The algorithm sha384WithRSAEncryption.
    RSA_SHA384 = "sha384WithRSAEncryption" [0x2a 0x86 0x48 0x86 0xf7 0x0d 0x01 0x01 0x0c];
    /// The algorithm sha512WithRSAEncryption.
    RSA_SHA512 = "sha512WithRSAEncryption" [0x2a 0x86 0x48 0x86 0xf7 0x0d 0x01 0x01 0x0d];
    /// The algorithm ML-DSA-44 (RFC 9881), as signature and as key.
    ML_DSA_44 = "ML-DSA-44" [0x60 0x86 0x48 0x01 0x65 0x03 0x04 0x03 0x11];
    /// The algorithm ML-DSA-65 (RFC 9881), as signature and as key.
    ML_DSA_65 = "ML-DSA-65" [0x60 0x86 0x48 0x01 0x65 0x03 0x04 0x03 0x12];
    /// The key algorithm id-ecPublicKey.
    EC_PUBLIC_KEY = "id-ecPublicKey" [0x2a 0x86 0x48 0xce 0x3d 0x02 0x01];
    /// The curve NIST P-256.
    P256 = "secp256r1" [0x2a 0x86 0x48 0xce 0x3d 0x03 0x01 0x07];
    /// The curve NIST P-384.
    P384 = "secp384r1" [0x2b 0x81 0x04 0x00 0x22];
    /// The key algorithm rsaEncryption.
    RSA_ENCRYPTION = "rsaEncryption" [0x2a 0x86 0x48 0x86 0xf7 0x0d 0x01 0x01 0x01];
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn identifiers_are_what_their_documentation_says() {
        assert_eq!(ids::ROLE.to_string(), "2.25.171777735083299383877580384885501293138");
        assert_eq!(ids::SDC_PROVIDER.to_string(), "1.2.840.10004.20701.1.1");
        assert_eq!(ids::SDC_CONSUMER.to_string(), "1.2.840.10004.20701.1.2");
        assert_eq!(ids::HARDWARE_MODULE_NAME.to_string(), "1.3.6.1.5.5.7.8.4");
        assert_eq!(ids::DOMAIN_COMPONENT.to_string(), "0.9.2342.19200300.100.1.25");
        assert_eq!(ids::P384.to_string(), "1.3.132.0.34");
        assert_eq!(name_of(&ids::P384), Some("secp384r1"));
        assert_eq!(name_of(&Oid::from_content(&[0x2a, 0x03]).unwrap()), None);
    }
}
