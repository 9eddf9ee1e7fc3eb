//! QEMU and its serial line.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::{Result, what};
use serde_json::{Value, json};

/// What the pump needed to answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// Instructions.
    pub(crate) instructions: u64,
    /// Those of the sealed message in it, without OSCORE around it.
    pub(crate) sealed: u64,
    /// Bytes of stack at most, from the top.
    pub(crate) peak: u64,
    /// Bytes of stack above what was measured.
    pub(crate) outside: u64,
    /// Bytes there and back.
    pub(crate) bytes: [usize; 2],
}

impl Cost {
    pub(crate) fn json(&self) -> Value {
        json!({
            "instructions": self.instructions, "sealed_instructions": self.sealed, "stack_peak": self.peak,
            "stack_outside": self.outside, "bytes_in": self.bytes[0], "bytes_out": self.bytes[1],
        })
    }
}

impl<'c> std::iter::Sum<&'c Self> for Cost {
    /// Work adds up; of the stack the highest peak counts.
    fn sum<I: Iterator<Item = &'c Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |all, cost| Self {
            instructions: all.instructions + cost.instructions,
            sealed: all.sealed + cost.sealed,
            peak: all.peak.max(cost.peak),
            outside: all.outside.max(cost.outside),
            bytes: [all.bytes[0] + cost.bytes[0], all.bytes[1] + cost.bytes[1]],
        })
    }
}

/// A pump that is switched on. Switched off when dropped.
pub(crate) struct Line {
    machine: Child,
    to: ChildStdin,
    from: ChildStdout,
}

impl Line {
    pub(crate) fn open(image: &str) -> Result<Self> {
        let mut machine = Command::new("qemu-system-arm")
            .args([
                "-M",
                "mps2-an386",
                "-cpu",
                "cortex-m4",
                "-icount",
                "shift=0",
                "-display",
                "none",
                "-monitor",
                "none",
            ])
            .args(["-serial", "stdio", "-kernel", image])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(what("qemu-system-arm (Debian package qemu-system-arm)"))?;
        let (to, from) = (machine.stdin.take(), machine.stdout.take());
        let (Some(to), Some(from)) = (to, from) else { return Err("QEMU has no serial line".into()) };
        Ok(Self { machine, to, from })
    }

    /// Puts in what a real pump has in flash.
    pub(crate) fn provision(&mut self, content: &[u8]) -> Result<()> {
        let (answer, loop_of_three_millions) = self.frame(0, content)?;
        if answer != [1] {
            return Err("the pump refused what it was provisioned with".into());
        }
        match loop_of_three_millions.instructions {
            2_999_960..=3_000_080 => Ok(()),
            wrong => Err(format!("QEMU does not count instructions: 3,000,000 were told as {wrong}")),
        }
    }

    /// Sends a datagram and waits for the answer.
    pub(crate) fn ask(&mut self, datagram: &[u8]) -> Result<(Vec<u8>, Cost)> {
        let (answer, cost) = self.frame(1, datagram)?;
        if answer.is_empty() { Err(format!("the pump did not answer; {cost:?}")) } else { Ok((answer, cost)) }
    }

    fn frame(&mut self, kind: u8, content: &[u8]) -> Result<(Vec<u8>, Cost)> {
        let length = u16::try_from(content.len() + 1).map_err(what("a frame"))?;
        let frame = [&length.to_le_bytes(), [kind].as_slice(), content].concat();
        self.to.write_all(&frame).and_then(|()| self.to.flush()).map_err(what("the serial line"))?;
        let mut length = [0; 2];
        self.from.read_exact(&mut length).map_err(what("the serial line"))?;
        let mut answer = vec![0; usize::from(u16::from_le_bytes(length))];
        self.from.read_exact(&mut answer).map_err(what("the serial line"))?;
        let (numbers, answer) = answer.split_at_checked(16).ok_or("a short frame")?;
        let number = |at: usize| {
            let bytes = numbers.get(4 * at..4 * at + 4).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
            u64::from(u32::from_le_bytes(bytes))
        };
        let bytes = [content.len(), answer.len()];
        let cost = Cost { instructions: number(0), sealed: number(1), peak: number(2), outside: number(3), bytes };
        Ok((answer.to_vec(), cost))
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.machine.kill();
        let _ = self.machine.wait();
    }
}
