//! Whose a resource is: the patient compartment, with one patient for each resource.

use super::lines;
use super::parameters::{ParameterId, Parameters};
use crate::kind::Kind;

/// How it is told whose a resource is.
#[derive(Debug)]
pub enum Owner {
    /// Nobody's: it is about the house.
    Nobody,
    /// It is a patient.
    Itself,
    /// The patient whom the first of these parameters names. The others may name the same, or nobody who is a patient.
    Named {
        /// The one that decides.
        first: ParameterId,
        /// Further ones of the compartment.
        others: Vec<ParameterId>,
    },
    /// That of the device which this parameter names.
    Through(ParameterId),
}

/// Each kind's, by its number.
pub(super) fn read(table: &'static str, parameters: &Parameters) -> Vec<Owner> {
    let owner = |kind: Kind| {
        if kind == Kind::PATIENT {
            return Owner::Itself;
        }
        let line = lines(table).find(|line| line.first() == Some(&kind.name()));
        let names = line.as_ref().and_then(|line| line.get(1)).copied().unwrap_or_default();
        let id = |name: &str| parameters.named(kind, name.trim_start_matches('+')).map(|parameter| parameter.id);
        let mut ids = names.split(' ').filter_map(id);
        match ids.next() {
            None => Owner::Nobody,
            Some(source) if kind == Kind::DEVICE_METRIC => Owner::Through(source),
            Some(first) => Owner::Named { first, others: ids.collect() },
        }
    };
    Kind::all().map(owner).collect()
}
