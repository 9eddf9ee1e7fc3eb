//! A virtual patient with type 1 diabetes.
//!
//! The identifiable virtual patient of Kanderian, Weinzimer, Voskanyan and Steil (Identification of intraday metabolic
//! profiles during closed-loop glucose control in individuals with type 1 diabetes, J Diabetes Sci Technol
//! 2009;3(5):1047-1057): insulin goes from under the skin into plasma and takes effect; its effect and glucose itself
//! remove glucose, the liver and meals bring it. With time in minutes:
//!
//! ```text
//! dIsc/dt  = (ID / CI - Isc) / tau1          under the skin, mU/dL
//! dIp/dt   = (Isc - Ip) / tau2               in plasma, mU/dL
//! dIeff/dt = p2 (SI Ip - Ieff)               effect, 1/min
//! dG/dt    = -(GEZI + Ieff) G + EGP + RA     glucose, mg/dL
//! RA(t)    = C t exp(-t / tauM) / (VG tauM²) of a meal with C mg of carbohydrates
//! ```
//!
//! The parameters are round figures within what that paper found in people, and a seed varies them a little. A model to
//! try machines with; it predicts nobody's glucose.

use super::chance::Chance;
use super::units::{Glucose, Insulin, Rate};

/// Steps of a minute: small beside every time constant of the model.
const STEPS: u32 = 4;
/// Where glucose is at rest, in mg/dL.
const AT_REST_MG_DL: f64 = 115.0;

/// One person's parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameters {
    /// SI, in dL/mU/min.
    pub insulin_sensitivity: f64,
    /// GEZI, in 1/min.
    pub glucose_effectiveness: f64,
    /// EGP, in mg/dL/min.
    pub glucose_production: f64,
    /// CI, in dL/min.
    pub insulin_clearance: f64,
    /// p2, in 1/min.
    pub effect_rate: f64,
    /// tau1 and tau2, in minutes.
    pub absorption_minutes: [f64; 2],
    /// VG, in dL.
    pub glucose_volume: f64,
    /// tauM, in minutes.
    pub meal_minutes: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            insulin_sensitivity: 0.008,
            glucose_effectiveness: 0.0022,
            glucose_production: 1.33,
            insulin_clearance: 20.1,
            effect_rate: 0.0106,
            absorption_minutes: [49.0, 47.0],
            glucose_volume: 253.0,
            meal_minutes: 47.0,
        }
    }
}

/// A person who eats, gets insulin, and lives minute by minute.
#[derive(Clone, Debug, PartialEq)]
pub struct Patient {
    parameters: Parameters,
    under_skin: f64,
    plasma: f64,
    effect: f64,
    glucose: f64,
    /// Carbohydrates in stomach and gut, in mg: two steps one after the other give the published curve of absorption.
    gut: [f64; 2],
}

impl Patient {
    /// A person at rest under their own basal rate; `seed` makes each a little different.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let mut about = |value: f64| value * (0.85 + 0.3 * chance.fraction());
        let usual = Parameters::default();
        Self::with(Parameters {
            insulin_sensitivity: about(usual.insulin_sensitivity),
            glucose_production: about(usual.glucose_production),
            meal_minutes: about(usual.meal_minutes),
            ..usual
        })
    }

    /// A person with these parameters, at rest under their own basal rate.
    #[must_use]
    pub fn with(parameters: Parameters) -> Self {
        let effect = parameters.glucose_production / AT_REST_MG_DL - parameters.glucose_effectiveness;
        let plasma = effect / parameters.insulin_sensitivity;
        Self { parameters, under_skin: plasma, plasma, effect, glucose: AT_REST_MG_DL, gut: [0.0; 2] }
    }

    /// The rate of insulin under which this person, fasting, stays where they are at rest.
    #[must_use]
    pub fn basal(&self) -> Rate {
        let parameters = &self.parameters;
        let effect = parameters.glucose_production / AT_REST_MG_DL - parameters.glucose_effectiveness;
        let per_minute = effect / parameters.insulin_sensitivity * parameters.insulin_clearance;
        Rate::from_units_per_hour_rounded_down(per_minute * 60.0 / 1000.0)
    }

    /// A meal.
    pub fn eat(&mut self, carbohydrate_grams: f64) {
        self.gut[0] += carbohydrate_grams.clamp(0.0, 500.0) * 1000.0;
    }

    /// One minute, in which `insulin` was given.
    pub fn live_a_minute(&mut self, insulin: Insulin) {
        let Parameters { absorption_minutes: [tau1, tau2], meal_minutes, .. } = self.parameters;
        let parameters = self.parameters;
        let step = 1.0 / f64::from(STEPS);
        let concentration = f64::from(insulin.milliunits()) / parameters.insulin_clearance;
        for _ in 0..STEPS {
            let [stomach, gut] = self.gut;
            let appearing = gut / meal_minutes;
            let removed = (parameters.glucose_effectiveness + self.effect) * self.glucose;
            let glucose = parameters.glucose_production + appearing / parameters.glucose_volume - removed;
            let effect = parameters.effect_rate * (parameters.insulin_sensitivity * self.plasma - self.effect);
            let plasma = (self.under_skin - self.plasma) / tau2;
            let under_skin = (concentration - self.under_skin) / tau1;
            self.glucose += step * glucose;
            self.effect += step * effect;
            self.plasma += step * plasma;
            self.under_skin += step * under_skin;
            self.gut = [stomach - step * stomach / meal_minutes, gut + step * (stomach / meal_minutes - appearing)];
        }
    }

    /// The glucose in their plasma now.
    #[must_use]
    pub fn glucose(&self) -> Glucose {
        Glucose::from_mg_dl(self.glucose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lives `minutes` under `rate`; the lowest and the highest glucose.
    fn live(patient: &mut Patient, rate: Rate, minutes: u64) -> (f64, f64) {
        let mut seen = (f64::MAX, f64::MIN);
        let (mut given, mut owed) = (0, 0);
        for _ in 0..minutes {
            owed += u64::from(rate.milliunits_per_hour());
            let now = (owed / 60 - given) as u32;
            given += u64::from(now);
            patient.live_a_minute(Insulin::from_milliunits(now));
            let glucose = patient.glucose().mg_dl();
            seen = (seen.0.min(glucose), seen.1.max(glucose));
        }
        seen
    }

    /// Shows REQ-LOOP-02.
    #[test]
    fn the_own_basal_rate_keeps_a_fasting_person_where_they_are() {
        for seed in 0..20 {
            let mut patient = Patient::new(seed);
            let basal = patient.basal();
            assert!((700..2800).contains(&basal.milliunits_per_hour()), "{basal}");
            let (lowest, highest) = live(&mut patient, basal, 24 * 60);
            assert!(lowest > 112.0 && highest < 118.0, "seed {seed}: {lowest} to {highest}");
        }
    }

    /// Shows REQ-LOOP-02.
    #[test]
    fn a_meal_raises_insulin_lowers_and_its_lack_raises() {
        let rest = Patient::with(Parameters::default());
        let basal = rest.basal();
        let (mut fed, mut treated, mut without) = (rest.clone(), rest.clone(), rest);
        fed.eat(50.0);
        let (_, highest) = live(&mut fed, basal, 180);
        assert!((180.0..320.0).contains(&highest), "{highest}");
        treated.live_a_minute(Insulin::from_milliunits(1000));
        let (lowest, _) = live(&mut treated, basal, 300);
        assert!((85.0..107.0).contains(&lowest), "{lowest}");
        let (_, highest) = live(&mut without, Rate::ZERO, 300);
        assert!(highest > 200.0, "{highest}");
    }

    /// Shows REQ-LOOP-02.
    #[test]
    fn a_seed_is_a_person() {
        assert_eq!(Patient::new(7), Patient::new(7));
        assert_ne!(Patient::new(7), Patient::new(8));
    }
}
