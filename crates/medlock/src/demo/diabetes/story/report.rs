//! What the devices tell the records.

use super::{Seen, Ward};
use serde_json::Value;

impl Ward {
    /// Sensor and pump report, and each of it is in the records of who wore them.
    pub(super) async fn catch_up(&mut self) -> Seen {
        let hub = self.to_hub.address;
        let (readings, doses) = (self.sensor.report(hub).await?, self.pump.report(hub).await?);
        if readings == 0 || doses == 0 {
            return Err(format!("there was nothing to report: {readings} readings, {doses} doses").into());
        }
        let records = self.gateway.open(self.site.hub()?).await?;
        let whose = format!("patient=Patient/{}", self.admitted);
        let (observations, administrations) = (
            records.count(&format!("Observation?{whose}")).await?,
            records.count(&format!("MedicationAdministration?{whose}")).await?,
        );
        if (observations, administrations) != (u64::try_from(readings)?, u64::try_from(doses)?) {
            return Err(format!(
                "{readings} readings and {doses} doses were reported, {observations} and {administrations} are there"
            )
            .into());
        }
        // Of a dose during which power went nobody knows how much it was, nor when.
        let mut given = records.found(&format!("MedicationAdministration?{whose}&_count=100")).await?;
        given.retain(|one| one["status"] == "completed");
        let (boluses, basals) = (count(&given, "bolus"), count(&given, "temporary-basal"));
        let rates = given.iter().any(|one| one["dosage"]["rateQuantity"].is_object());
        if boluses + basals != given.len() || !rates || !given.iter().all(took_its_time) {
            return Err(format!("of {} doses {boluses} are boluses and {basals} basals", given.len()).into());
        }
        let statements = records.count(&format!("Provenance?{whose}")).await?;
        if self.sensor.report(hub).await? != 0 {
            return Err("it reports what the hub has".into());
        }
        Ok((
            (),
            format!(
                "{observations} Observations and {administrations} MedicationAdministrations of the patient who wore them, {boluses} \
                 boluses and {basals} temporary basals with the time that they took, and {statements} statements of who said it; \
                 nothing was lost while the hub was off"
            ),
        ))
    }
}

/// How many of them were given so.
fn count(given: &[Value], sort: &str) -> usize {
    given.iter().filter(|one| one["dosage"]["method"]["coding"][0]["code"] == sort).count()
}

/// Whether it says when it began; a basal that took any time has a rate, and a bolus has none.
fn took_its_time(one: &Value) -> bool {
    let began = one["effectivePeriod"]["start"].is_string() || one["effectiveDateTime"].is_string();
    let basal = one["dosage"]["method"]["coding"][0]["code"] == "temporary-basal";
    began && (basal || one["dosage"]["rateQuantity"].is_null())
}
