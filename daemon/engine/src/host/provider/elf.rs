//! What the first bytes of a library say, before the system's loader is let at it: whether it is a library at all, and for
//! this machine. The loader says neither in words that help.

/// Bytes that are needed to say so.
pub const HEAD: usize = 64;

/// Why a file is no library for this machine.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    #[error("it is no library (no ELF file of 64 bits)")]
    NotElf,
    #[error("it is for {found}, this machine is {wanted}")]
    Machine { found: String, wanted: &'static str },
    #[error("it has {found} bytes of {promised}: it was cut short")]
    Short { found: u64, promised: u64 },
}

/// Numbers of machines (e_machine) that such a library may be for, by their names in Rust.
const MACHINES: [(u64, &str); 4] = [(62, "x86_64"), (183, "aarch64"), (243, "riscv64"), (22, "s390x")];

/// Judges the first [`HEAD`] bytes of a file of `len` bytes for the machine called `wanted`. The loader maps what a header
/// promises, so that a file that was cut short ends the process and not the call.
pub fn check(head: &[u8], len: u64, wanted: &'static str) -> Result<(), ElfError> {
    let (Some(b"\x7fELF\x02"), Some(order)) = (head.get(..5), head.get(5)) else { return Err(ElfError::NotElf) };
    let little = *order == 1;
    let number = |at: usize, size: usize| number(head.get(at..at + size)?, little);
    let (Some(machine), Some(sections), Some(size), Some(count)) =
        (number(18, 2), number(40, 8), number(58, 2), number(60, 2))
    else {
        return Err(ElfError::NotElf);
    };
    let name = MACHINES.iter().find(|row| row.0 == machine).map(|row| row.1);
    if name != Some(wanted) {
        let found = name.map_or_else(|| format!("machine {machine}"), str::to_owned);
        return Err(ElfError::Machine { found, wanted });
    }
    // The table of sections is the end of what linkers write.
    let promised = sections.saturating_add(size * count);
    if len < promised { Err(ElfError::Short { found: len, promised }) } else { Ok(()) }
}

/// At most eight bytes as a number.
fn number(bytes: &[u8], little: bool) -> Option<u64> {
    let mut all = [0; 8];
    for (place, byte) in all.get_mut(..bytes.len())?.iter_mut().zip(bytes) {
        *place = *byte;
    }
    match little {
        true => Some(u64::from_le_bytes(all)),
        false => Some(u64::from_be_bytes(all) >> (64 - 8 * bytes.len().max(1))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(class: u8, order: u8, machine: [u8; 2]) -> Vec<u8> {
        let mut head = vec![0; HEAD];
        head[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, order]);
        head[18..20].copy_from_slice(&machine);
        // Ten sections of 64 bytes from byte 4096 on.
        let (low, high) = if order == 1 { (0, 1) } else { (1, 0) };
        head[if order == 1 { 41 } else { 46 }] = 16;
        head[58 + low] = 64;
        head[60 + low] = 10;
        head[60 + high] = 0;
        head
    }

    #[test]
    fn a_file_that_is_no_whole_library_of_this_machine_is_told_apart() {
        let machine = |found: &str| Err(ElfError::Machine { found: found.into(), wanted: "x86_64" });
        let whole = 4096 + 640;
        let cases = [
            (head(2, 1, [62, 0]), whole, Ok(())),
            (head(2, 1, [62, 0]), whole - 1, Err(ElfError::Short { found: whole - 1, promised: whole })),
            (head(2, 1, [183, 0]), whole, machine("aarch64")),
            (head(2, 2, [0, 22]), whole, machine("s390x")),
            (head(2, 1, [1, 2]), whole, machine("machine 513")),
            (head(1, 1, [3, 0]), whole, Err(ElfError::NotElf)),
            (head(2, 1, [62, 0])[..61].to_vec(), 61, Err(ElfError::NotElf)),
            (b"#!/bin/sh\n".to_vec(), 10, Err(ElfError::NotElf)),
            (vec![], 0, Err(ElfError::NotElf)),
        ];
        for (head, len, expected) in cases {
            assert_eq!(check(&head, len, "x86_64"), expected, "{head:?}");
        }
        assert_eq!(check(&head(2, 2, [0, 22]), whole, "s390x"), Ok(()));
        assert!(check(&head(2, 2, [0, 22]), whole - 1, "s390x").is_err());
    }
}
