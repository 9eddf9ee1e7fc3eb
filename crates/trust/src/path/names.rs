//! Applying name constraints to a certificate (RFC 5280 sections 4.2.1.10 and 6.1.3 (b), (c)).

use super::{Budget, Error};
use crate::x509::{Certificate, GeneralName, NameConstraints, Relation, Side};

/// Checks every name of `certificate` against the constraints of one authority above it.
///
/// Names are the subject unless it is empty, each alternative name, and each mail address in the subject.
pub(super) fn check(
    certificate: &Certificate<'_>,
    index: u8,
    constraints: &NameConstraints<'_>,
    budget: &mut Budget,
) -> Result<(), Error> {
    let subject = certificate.subject();
    if !subject.is_empty() {
        check_name(&GeneralName::Directory(subject), index, constraints, budget)?;
    }
    for name in certificate.extensions().subject_alt_names() {
        check_name(&name, index, constraints, budget)?;
    }
    for address in subject.email_addresses() {
        // An address that is not even text is put as one that cannot be inside any constraint.
        check_name(&GeneralName::Rfc822(address.unwrap_or_default()), index, constraints, budget)?;
    }
    Ok(())
}

fn check_name(
    name: &GeneralName<'_>,
    index: u8,
    constraints: &NameConstraints<'_>,
    budget: &mut Budget,
) -> Result<(), Error> {
    let refused = Err(Error::NameConstraint { index, form: name.form() });
    for subtree in constraints.excluded() {
        budget.take_step()?;
        match subtree.relation(name, Side::Excluded) {
            Relation::AnotherForm | Relation::Outside => {}
            Relation::Inside | Relation::Unknown => return refused,
        }
    }
    let mut constrained = false;
    for subtree in constraints.permitted() {
        budget.take_step()?;
        match subtree.relation(name, Side::Permitted) {
            Relation::AnotherForm => {}
            Relation::Outside => constrained = true,
            Relation::Inside => return Ok(()),
            Relation::Unknown => return refused,
        }
    }
    if constrained { refused } else { Ok(()) }
}
