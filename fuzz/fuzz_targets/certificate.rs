//! Certificates, and all that can be asked of one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_trust::x509::Certificate;

fuzz_target!(|data: &[u8]| {
    let Ok(certificate) = Certificate::from_der(data) else { return };
    assert_eq!(certificate.encoding(), data, "nothing is left over");
    let _ = format!("{} {} {certificate:?}", certificate.subject(), certificate.issuer());
    let _ = certificate.public_key();
    let extensions = certificate.extensions();
    assert_eq!(extensions.iter().filter(|extension| extensions.find(extension.oid).is_none()).count(), 0);
    for name in extensions.subject_alt_names() {
        let _ = format!("{name:?}");
    }
    assert!(certificate.subject().matches(&certificate.subject()), "a name is itself");
});
