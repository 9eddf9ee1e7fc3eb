//! `cargo xtask firmware`: the pump's image for a Cortex-M4, built for size and for speed, run in QEMU against a
//! controller on this machine, and measured.
//!
//! QEMU counts instructions, not cycles: with `-icount shift=0` an instruction takes a nanosecond of virtual time, which
//! the board's timer reads in steps of 40. Each run begins with a loop of three million instructions that has to be
//! counted right.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::command::Program;
use crate::house::House;
use crate::peers::{BARE_TARGET, Need};
use crate::stage::Report;
use crate::{Error, Result, elf, lines};

pub(crate) const NEEDS: [Need; 2] = [Need::Qemu, Need::BareTarget];

/// What the simulated flash is called in the image: a real device has it as flash, so it is no memory.
const SIMULATED_FLASH: &str = "MEDLOCK_SIMULATED_FLASH";
/// The board's table of interrupts. With the code that was written in the application's own files it is the application;
/// all else is not: also what is inlined into the application, code without a line of its own, and its constants.
const INTERRUPTS: &str = "__INTERRUPTS";
/// The application's files. A package's own code has paths relative to it in its line table; no other package in the image
/// has files of these names.
const APPLICATION: [&str; 5] = ["src/board.rs", "src/flash.rs", "src/main.rs", "src/provision.rs", "src/pump.rs"];

/// What the image for size has reached, and some hundred bytes: more does not go unseen.
const FLASH_CEILING: u64 = 76_900;

/// One of the two images.
struct Image {
    /// `opt-level`.
    level: &'static str,
    flash: u64,
    application: u64,
    memory: u64,
    /// As the controller's program says: one object a method.
    sessions: Vec<Value>,
}

/// What is asked of the image.
struct Target {
    what: String,
    limit: u64,
    found: u64,
    /// Whether it was met before: then it has to stay so.
    kept: bool,
}

impl Target {
    const fn is_met(&self) -> bool {
        self.found <= self.limit
    }

    fn line(&self) -> String {
        let Self { what, limit, found, .. } = self;
        let verdict = if self.is_met() { "within" } else { "MISSES" };
        format!("{what}: {} {verdict} {}", grouped(*found), grouped(*limit))
    }
}

/// Stage `firmware`: targets that were met stay met, the others are told.
pub(crate) fn check(house: &House) -> Result<Report> {
    Ok(judge(&targets(&measure(house)?)))
}

fn judge(targets: &[Target]) -> Report {
    let mut report = Report::default();
    for target in targets {
        let list = if target.kept && !target.is_met() { &mut report.findings } else { &mut report.notes };
        list.push(format!("{} (emulated)", target.line()));
    }
    report
}

/// The task `firmware`. Targets are told, not enforced.
pub(crate) fn show(house: &House, as_json: bool) -> Result<bool> {
    let images = measure(house)?;
    let targets = targets(&images);
    if as_json {
        let images: Vec<Value> = images.iter().map(Image::json).collect();
        let targets: Vec<Value> = targets
            .iter()
            .map(|target| {
                json!({ "what": target.what, "limit": target.limit, "found": target.found, "met": target.is_met() })
            })
            .collect();
        println!("{:#}", json!({ "emulated": true, "target": BARE_TARGET, "images": images, "targets": targets }));
        return Ok(true);
    }
    for image in &images {
        image.print();
    }
    println!("\ntargets");
    targets.iter().for_each(|target| println!("  {}", target.line()));
    println!("\nInstructions and stack are emulated: QEMU, -icount shift=0. Cycles are not.");
    Ok(true)
}

fn measure(house: &House) -> Result<Vec<Image>> {
    let folder = house.root.join("firmware");
    let target = house.target.join("firmware");
    let build = |arguments: &[&str]| {
        Program::new("cargo")
            .args(["build", "--quiet", "--locked"])
            .args(arguments)
            .args(["--target-dir"])
            .args([&target])
            .folder(&folder)
            .hear()
            .and_then(|heard| if heard.success { Ok(()) } else { Err(Error::new(heard.stderr)) })
    };
    build(&["--profile", "host", "-p", "medlock-firmware-host"])?;
    let mut images = Vec::new();
    for (level, profile) in [("z", "release"), ("3", "fast")] {
        build(&["--profile", profile, "-p", "medlock-firmware", "--bins", "--target", BARE_TARGET])?;
        let file = target.join(BARE_TARGET).join(profile).join("medlock-firmware");
        let controller = target.join("host/medlock-firmware-host");
        images.push(Image::run(level, &file, &controller)?);
    }
    Ok(images)
}

impl Image {
    fn run(level: &'static str, file: &PathBuf, controller: &PathBuf) -> Result<Self> {
        let bytes =
            std::fs::read(file).map_err(|error| Error::new(format!("cannot read {}: {error}", file.display())))?;
        let linked =
            elf::read(&bytes).ok_or_else(|| Error::new(format!("{} is no 32-bit ELF file", file.display())))?;
        let sizes = || linked.symbols.iter().zip(&linked.sizes);
        let simulated: u64 = sizes().filter(|(name, _)| *name == SIMULATED_FLASH).map(|(_, size)| size).sum();
        let interrupts: u64 = sizes().filter(|(name, _)| *name == INTERRUPTS).map(|(_, size)| size).sum();
        let written = lines::bytes_of(&bytes, |path| APPLICATION.contains(&path))
            .ok_or_else(|| Error::new(format!("{} has no line table", file.display())))?;
        let application = interrupts + written;
        if simulated == 0 {
            return Err(Error::new(format!("{} has no {SIMULATED_FLASH}", file.display())));
        }
        let said = Program::new(controller).args([file]).json()?;
        let sessions = said.get("sessions").and_then(Value::as_array).cloned().unwrap_or_default();
        if sessions.len() != 4 {
            return Err(Error::new("the controller told of other than four methods"));
        }
        let flash = linked.text + linked.constants;
        Ok(Self { level, flash, application, memory: linked.data - simulated, sessions })
    }

    /// A figure of the session by `method`, in `part` of it.
    fn figure(&self, method: usize, part: &str, name: &str) -> u64 {
        self.sessions[method][part][name].as_u64().unwrap_or(u64::MAX)
    }

    /// The highest peak of the stack in any session.
    fn peak(&self) -> u64 {
        let parts = ["handshake", "challenge", "command"];
        (0..4).flat_map(|method| parts.map(|part| self.figure(method, part, "stack_peak"))).max().unwrap_or(u64::MAX)
    }

    fn json(&self) -> Value {
        json!({
            "opt_level": self.level,
            "flash_bytes": self.flash,
            "flash_without_application_bytes": self.flash - self.application,
            "static_memory_bytes": self.memory,
            "stack_peak_bytes": self.peak(),
            "sessions": self.sessions,
        })
    }

    fn print(&self) {
        println!("\nopt-level {}", self.level);
        println!("  flash, text and constants         {:>12} bytes", grouped(self.flash));
        println!("  without the application           {:>12} bytes", grouped(self.flash - self.application));
        println!("  static memory                     {:>12} bytes", grouped(self.memory));
        println!("  peak of the stack                 {:>12} bytes, emulated", grouped(self.peak()));
        for method in 0..4 {
            let instructions = self.figure(method, "handshake", "instructions");
            let peak = self.figure(method, "handshake", "stack_peak");
            println!(
                "  handshake, method {method}               {:>12} instructions, emulated; stack {} bytes",
                grouped(instructions),
                grouped(peak)
            );
        }
        for (name, figure) in [
            ("sealed command, verdict, receipt ", "sealed_instructions"),
            ("  and OSCORE around it            ", "instructions"),
        ] {
            println!("  {name}{:>13} instructions, emulated", grouped(self.figure(3, "command", figure)));
        }
    }
}

fn targets(images: &[Image]) -> Vec<Target> {
    let mut targets = Vec::new();
    for image in images {
        let mut add = |what: String, limit, found, kept| {
            targets.push(Target { what: format!("opt-level {}, {what}", image.level), limit, found, kept });
        };
        if image.level == "z" {
            let found = image.flash - image.application;
            add("bytes of flash without the application".into(), 48 * 1024, found, false);
            add("bytes of flash without the application, the most they may grow to".into(), FLASH_CEILING, found, true);
            add("bytes of static memory".into(), 4 * 1024, image.memory, true);
            add("bytes of stack".into(), 8 * 1024, image.peak(), true);
        } else {
            for method in 0..4 {
                let limit = if method == 3 { 20_000_000 } else { 26_000_000 };
                let found = image.figure(method, "handshake", "instructions");
                add(format!("instructions of a handshake by method {method}"), limit, found, true);
            }
            let found = image.figure(3, "command", "sealed_instructions");
            add("instructions of a sealed command with its verdict".into(), 150_000, found, true);
        }
    }
    targets
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 20_000_000].map(grouped), ["0", "999", "1,000", "20,000,000"]);
    }

    /// Shows REQ-CHIP-05.
    #[test]
    fn a_target_that_was_met_has_to_stay_so() {
        let findings = |found, kept| judge(&[Target { what: String::new(), limit: 100, found, kept }]).findings.len();
        assert_eq!(findings(100, true), 0);
        assert_eq!(findings(101, true), 1);
        assert_eq!(findings(101, false), 0, "told, not asserted");
    }
}
