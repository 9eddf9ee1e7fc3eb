//! What the devices tell the records.

use super::{Seen, Ward};

impl Ward {
    /// Sensor and pump report, and each of it is in the records of who wore them.
    pub(super) async fn catch_up(&mut self) -> Seen {
        let hub = self.to_hub.address;
        let (readings, doses) = (self.sensor.report(hub).await?, self.pump.report(hub).await?);
        if readings == 0 || doses == 0 {
            return Err(format!("there was nothing to report: {readings} readings, {doses} doses").into());
        }
        let records = self.gateway.open(&self.site).await?;
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
        let statements = records.count(&format!("Provenance?{whose}")).await?;
        if self.sensor.report(hub).await? != 0 {
            return Err("it reports what the hub has".into());
        }
        Ok((
            (),
            format!(
                "{observations} Observations and {administrations} MedicationAdministrations of the patient who wore them, with \
                 {statements} statements of who said it; nothing was lost while the hub was off"
            ),
        ))
    }
}
