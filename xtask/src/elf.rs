//! As much of a 32-bit little-endian ELF file as tells a linked binary's sizes and symbols.

/// What a linked binary is made of.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Linked {
    /// Bytes of code.
    pub(crate) text: u64,
    /// Bytes of constants.
    pub(crate) constants: u64,
    /// Bytes of memory that starts zero or initialised.
    pub(crate) data: u64,
    /// The names of all symbols, as the linker wrote them.
    pub(crate) symbols: Vec<String>,
    /// The bytes of each of them, in the same order; 0 for a mere label.
    pub(crate) sizes: Vec<u64>,
}

const SHF_WRITE: u32 = 1;
const SHF_ALLOC: u32 = 2;
const SHF_EXECINSTR: u32 = 4;
const SHT_SYMTAB: u32 = 2;
const SECTION_HEADER_BYTES: usize = 40;
const SYMBOL_BYTES: usize = 16;

struct Section {
    kind: u32,
    flags: u32,
    offset: usize,
    size: usize,
    link: usize,
}

/// Reads a file; `None` if it is not such a file or is damaged.
pub(crate) fn read(file: &[u8]) -> Option<Linked> {
    // e_ident: magic, ELFCLASS32, little endian.
    if file.get(..6)? != b"\x7fELF\x01\x01" {
        return None;
    }
    let table = word(file, 0x20)?;
    let count = half(file, 0x30)?;
    let sections: Vec<Section> = (0..count)
        .map(|index| section(file, table.checked_add(index * SECTION_HEADER_BYTES)?))
        .collect::<Option<_>>()?;
    let mut linked = Linked::default();
    for section in &sections {
        let size = section.size as u64;
        match section.flags & (SHF_WRITE | SHF_ALLOC | SHF_EXECINSTR) {
            flags if flags & SHF_ALLOC == 0 => {}
            flags if flags & SHF_EXECINSTR != 0 => linked.text += size,
            flags if flags & SHF_WRITE != 0 => linked.data += size,
            _ => linked.constants += size,
        }
        if section.kind == SHT_SYMTAB {
            let names = bytes(file, sections.get(section.link)?)?;
            for symbol in bytes(file, section)?.chunks_exact(SYMBOL_BYTES) {
                let name = names.get(word(symbol, 0)?..)?;
                let end = name.iter().position(|byte| *byte == 0)?;
                if end > 0 && name[0] != b'$' {
                    linked.symbols.push(String::from_utf8_lossy(&name[..end]).into_owned());
                    linked.sizes.push(word(symbol, 8)? as u64);
                }
            }
        }
    }
    Some(linked)
}

/// A section found by its name.
pub(crate) struct Named<'f> {
    /// Where it lies in memory.
    pub(crate) address: usize,
    /// Its bytes.
    pub(crate) content: &'f [u8],
}

/// The section with this name, if `file` is such a file and has one.
pub(crate) fn section_named<'f>(file: &'f [u8], name: &str) -> Option<Named<'f>> {
    let table = word(file, 0x20)?;
    let header = |index: usize| table.checked_add(index.checked_mul(SECTION_HEADER_BYTES)?);
    let names = bytes(file, &section(file, header(half(file, 0x32)?)?)?)?;
    (0..half(file, 0x30)?).find_map(|index| {
        let at = header(index)?;
        let found = names.get(word(file, at)?..)?.strip_prefix(name.as_bytes())?.first() == Some(&0);
        let content = || bytes(file, &section(file, at)?);
        if found { Some(Named { address: word(file, at.checked_add(12)?)?, content: content()? }) } else { None }
    })
}

fn section(file: &[u8], at: usize) -> Option<Section> {
    let header = file.get(at..at.checked_add(SECTION_HEADER_BYTES)?)?;
    let field = |index: usize| word(header, 4 * index);
    Some(Section {
        kind: u32::try_from(field(1)?).ok()?,
        flags: u32::try_from(field(2)?).ok()?,
        offset: field(4)?,
        size: field(5)?,
        link: field(6)?,
    })
}

fn bytes<'f>(file: &'f [u8], section: &Section) -> Option<&'f [u8]> {
    file.get(section.offset..section.offset.checked_add(section.size)?)
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(bytes)).ok()
}

fn half(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes: [u8; 2] = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
    Some(usize::from(u16::from_le_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with five sections: none, code, constants, symbols and their names.
    fn file() -> Vec<u8> {
        let names = b"\0_start\0$t\0__rust_alloc\0";
        let symbols: Vec<u8> =
            [0u32, 1, 8, 11].iter().flat_map(|name| [name.to_le_bytes().as_slice(), &[0; 12]].concat()).collect();
        let mut file = vec![0; 0x34];
        file[..6].copy_from_slice(b"\x7fELF\x01\x01");
        let names_at = file.len() as u32;
        file.extend(names);
        let symbols_at = file.len() as u32;
        file.extend(&symbols);
        let table = (file.len() as u32).to_le_bytes();
        file[0x20..0x24].copy_from_slice(&table);
        file[0x30..0x32].copy_from_slice(&5u16.to_le_bytes());
        let headers: [[u32; 10]; 5] = [
            [0; 10],
            [0, 1, SHF_ALLOC | SHF_EXECINSTR, 0, 0, 100, 0, 0, 0, 0],
            [0, 1, SHF_ALLOC, 0, 0, 30, 0, 0, 0, 0],
            [0, SHT_SYMTAB, 0, 0, symbols_at, symbols.len() as u32, 4, 0, 0, 16],
            [0, 3, 0, 0, names_at, names.len() as u32, 0, 0, 0, 0],
        ];
        file.extend(headers.iter().flatten().flat_map(|field| field.to_le_bytes()));
        file
    }

    #[test]
    fn sizes_and_symbols_are_read() {
        let linked = read(&file()).unwrap();
        assert_eq!((linked.text, linked.constants, linked.data), (100, 30, 0));
        assert_eq!(linked.symbols, ["_start", "__rust_alloc"]);
    }

    #[test]
    fn a_cut_file_is_refused_not_fatal() {
        let file = file();
        for end in 0..file.len() {
            assert_eq!(read(&file[..end]), None, "{end} bytes");
        }
        assert_eq!(read(b"\x7fELF\x02\x01"), None, "64 bits");
    }
}
