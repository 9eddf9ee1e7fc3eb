//! Which source files the code of a linked program comes from: its line table (DWARF 4 section 6.2), as far as that
//! tells. Code of one function that is inlined into another counts where it was written.

use std::collections::BTreeMap;

use crate::elf;

const COPY: u8 = 1;
const ADVANCE_PC: u8 = 2;
const ADVANCE_LINE: u8 = 3;
const SET_FILE: u8 = 4;
const CONST_ADD_PC: u8 = 8;
const FIXED_ADVANCE_PC: u8 = 9;
const END_SEQUENCE: u8 = 1;
const SET_ADDRESS: u8 = 2;

/// Bytes of code in `file`, a linked program, that were written in files whose path `is_wanted`. `None` if it has no
/// line table of version 4.
pub(crate) fn bytes_of(file: &[u8], is_wanted: impl Fn(&str) -> bool) -> Option<u64> {
    let code = elf::section_named(file, ".text")?;
    let mut rest = Bytes(elf::section_named(file, ".debug_line")?.content);
    let mut found = BTreeMap::new();
    while !rest.0.is_empty() {
        let length = rest.word()?;
        let unit = Unit::read(Bytes(rest.take(length)?))?;
        unit.run(&is_wanted, &mut |from, to, wanted| {
            // What the linker left out stands at an address below the code.
            if from >= code.address && to > from {
                let held = found.entry(from).or_insert((to - from, wanted));
                held.1 &= wanted;
            }
        })?;
    }
    Some(found.values().filter(|(_, wanted)| *wanted).map(|(length, _)| *length as u64).sum())
}

/// A line program and the files it speaks of.
struct Unit<'f> {
    program: Bytes<'f>,
    files: Vec<String>,
    line_range: u8,
    opcode_base: u8,
    operands: Vec<u8>,
    line_base: i8,
}

impl<'f> Unit<'f> {
    fn read(mut unit: Bytes<'f>) -> Option<Self> {
        let version = unit.take(2)?;
        let header = unit.word()?;
        let mut header = Bytes(unit.take(header)?);
        let &[_instruction, 1, _is_statement, line_base, line_range, opcode_base] = header.take(6)? else {
            return None;
        };
        if version != [4, 0] || line_range == 0 {
            return None;
        }
        let operands = header.take(usize::from(opcode_base.checked_sub(1)?))?.to_vec();
        let mut folders = vec![""];
        while let name @ [_, ..] = header.string()? {
            folders.push(std::str::from_utf8(name).ok()?);
        }
        let mut files = vec![String::new()];
        while let name @ [_, ..] = header.string()? {
            let folder = folders.get(usize::try_from(header.number()?).ok()?)?;
            let (_changed, _length) = (header.number()?, header.number()?);
            let slash = if folder.is_empty() { "" } else { "/" };
            files.push(format!("{folder}{slash}{}", std::str::from_utf8(name).ok()?));
        }
        Some(Self {
            program: unit,
            files,
            line_range,
            opcode_base,
            operands,
            line_base: i8::from_le_bytes([line_base]),
        })
    }

    /// Gives `row` each stretch of code, and whether it is wanted: of a file that is, and of a line in it.
    fn run(mut self, is_wanted: impl Fn(&str) -> bool, row: &mut dyn FnMut(usize, usize, bool)) -> Option<()> {
        let wanted: Vec<bool> = self.files.iter().map(|file| is_wanted(file)).collect();
        let (mut address, mut file, mut line) = (0_usize, 1_usize, 1_i64);
        let mut last: Option<(usize, bool)> = None;
        while let Some(opcode) = self.program.byte() {
            let mut is_row = false;
            let mut ends = false;
            match opcode {
                special if special >= self.opcode_base => {
                    let step = special - self.opcode_base;
                    address += usize::from(step / self.line_range);
                    line += i64::from(self.line_base) + i64::from(step % self.line_range);
                    is_row = true;
                }
                0 => {
                    let length = usize::try_from(self.program.number()?).ok()?;
                    match self.program.take(length)? {
                        [END_SEQUENCE] => ends = true,
                        [SET_ADDRESS, to @ ..] => address = Bytes(to).word()?,
                        _ => {}
                    }
                }
                COPY => is_row = true,
                ADVANCE_PC => address += usize::try_from(self.program.number()?).ok()?,
                ADVANCE_LINE => line += self.program.signed()?,
                SET_FILE => file = usize::try_from(self.program.number()?).ok()?,
                CONST_ADD_PC => address += usize::from((255 - self.opcode_base) / self.line_range),
                FIXED_ADVANCE_PC => address += usize::from(u16::from_le_bytes(self.program.take(2)?.try_into().ok()?)),
                other => {
                    for _ in 0..*self.operands.get(usize::from(other) - 1)? {
                        self.program.number()?;
                    }
                }
            }
            if is_row || ends {
                if let Some((from, wanted)) = last {
                    row(from, address, wanted);
                }
                last = Some((address, line != 0 && wanted.get(file).copied().unwrap_or(false)));
            }
            if ends {
                (address, file, line, last) = (0, 1, 1, None);
            }
        }
        Some(())
    }
}

/// Bytes that are read from the front.
struct Bytes<'f>(&'f [u8]);

impl<'f> Bytes<'f> {
    fn take(&mut self, count: usize) -> Option<&'f [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn word(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.take(4)?.try_into().ok()?)).ok()
    }

    /// The bytes up to a zero, which is taken too.
    fn string(&mut self) -> Option<&'f [u8]> {
        let string = self.take(self.0.iter().position(|byte| *byte == 0)?)?;
        self.take(1)?;
        Some(string)
    }

    /// An unsigned LEB128 number.
    fn number(&mut self) -> Option<u64> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
    }

    /// A signed LEB128 number.
    fn signed(&mut self) -> Option<i64> {
        let before = self.0;
        let number = self.number()?.cast_signed();
        let count = before.len() - self.0.len();
        let is_negative = before.get(count - 1)? & 0x40 != 0;
        Some(if is_negative && count < 10 { number | (-1 << (7 * count)) } else { number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A unit of one folder and two files, and this program.
    fn unit(program: &[u8]) -> Vec<u8> {
        let mut header = vec![2, 1, 1, 0xfb, 14, 10];
        header.extend([0, 1, 1, 1, 1, 0, 0, 0, 1]);
        header.extend(b"/library\0\0main.rs\0\0\0\0lib.rs\0\x01\0\0\0");
        let mut unit = vec![4, 0];
        unit.extend((header.len() as u32).to_le_bytes());
        unit.extend(header);
        unit.extend(program);
        unit
    }

    fn stretches(program: &[u8]) -> Vec<(usize, usize, bool)> {
        let unit = unit(program);
        let mut found = Vec::new();
        let read = Unit::read(Bytes(&unit)).unwrap();
        assert_eq!(read.files, ["", "main.rs", "/library/lib.rs"]);
        read.run(|path| !path.starts_with('/'), &mut |from, to, wanted| found.push((from, to, wanted))).unwrap();
        found
    }

    /// Shows REQ-CHIP-40.
    #[test]
    fn code_counts_where_it_was_written() {
        // At 1024: 4 bytes of main.rs, 6 of lib.rs, 2 of main.rs without a line, 8 of main.rs.
        let program = [
            &[0, 5, SET_ADDRESS, 0, 4, 0, 0][..],
            &[COPY, ADVANCE_PC, 4, SET_FILE, 2, COPY],
            &[ADVANCE_PC, 6, SET_FILE, 1, ADVANCE_LINE, 0x7f, COPY],
            // A special opcode: on by two bytes and one line.
            &[10 + 2 * 14 + 6, ADVANCE_PC, 8, 0, 1, END_SEQUENCE],
        ]
        .concat();
        let expected = [(1024, 1028, true), (1028, 1034, false), (1034, 1036, false), (1036, 1044, true)];
        assert_eq!(stretches(&program), expected);
    }

    #[test]
    fn numbers_are_read() {
        assert_eq!(Bytes(&[0xe5, 0x8e, 0x26]).number(), Some(624_485));
        assert_eq!(Bytes(&[0x80, 0x7f]).signed(), Some(-128));
        assert_eq!(Bytes(&[0x3f]).signed(), Some(63));
        assert_eq!(Bytes(&[0x80]).number(), None);
    }
}
